//! Bugs planted on purpose: a real server behind a proxy that changes a reply here and there, against a real server as
//! it is. Each must be found, and shrunk to a handful of calls, or the differential test has gone blind. A server that is
//! only slower than the other is no bug, and must not be taken for one.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bulkhead::resp::Value;
use bytes::Bytes;

use crate::grammar::Grammar;
use crate::pair::{FLAGS, Pair};
use crate::sequence::{line, parse_all};
use crate::shrink::shrink;
use crate::support::{Client, Server, split_line, wait_until};

/// What the proxy makes of a call: asks the server behind it whatever it wants, and gives the reply's bytes.
type Plant = fn(&[Bytes], &mut Behind) -> Bytes;

/// At most so many calls must show a bug once it is shrunk.
const CALLS_MAX: usize = 4;

struct Bug {
    name: &'static str,
    plant: Plant,
}

const BUGS: &[Bug] = &[
    Bug {
        name: "an error text lacks its last words",
        plant: |call, behind| {
            let reply = behind.forward(call);
            let text = String::from_utf8_lossy(&reply);
            if text.starts_with('-') { text.replace(" or out of range", "").into() } else { reply }
        },
    },
    Bug {
        name: "APPEND to a number answers and writes nothing",
        plant: |call, behind| match is(call, "append") && call.len() == 3 {
            true if behind.ask(&format!("GETRANGE {} 0 0", line(&call[1..2]))).starts_with(b"$1\r\n1") => {
                let before = behind.ask(&format!("STRLEN {}", line(&call[1..2])));
                let before: usize = String::from_utf8_lossy(&before[1..before.len() - 2]).parse().unwrap_or(0);
                format!(":{}\r\n", before + call[2].len()).into()
            }
            _ => behind.forward(call),
        },
    },
    Bug {
        name: "RENAME loses the time to live",
        plant: |call, behind| {
            let reply = behind.forward(call);
            if is(call, "rename") && reply.starts_with(b"+") {
                behind.ask(&format!("PERSIST {}", line(&call[2..3])));
            }
            reply
        },
    },
    Bug {
        name: "SWAPDB does nothing",
        plant: |call, behind| {
            if is(call, "swapdb") && call.len() == 3 { Bytes::from_static(b"+OK\r\n") } else { behind.forward(call) }
        },
    },
    Bug {
        name: "SET forgets KEEPTTL",
        plant: |call, behind| {
            let kept: Vec<Bytes> = call.iter().filter(|arg| !arg.eq_ignore_ascii_case(b"keepttl")).cloned().collect();
            if is(call, "set") { behind.forward(&kept) } else { behind.forward(call) }
        },
    },
    Bug {
        name: "nulls of RESP3 are written as in RESP2",
        plant: |call, behind| {
            let reply = behind.forward(call);
            if &reply[..] == b"_\r\n" { Bytes::from_static(b"$-1\r\n") } else { reply }
        },
    },
    Bug {
        name: "EXPIRE GT does not compare",
        plant: |call, behind| {
            let plain: Vec<Bytes> = call.iter().filter(|arg| !arg.eq_ignore_ascii_case(b"gt")).cloned().collect();
            if is(call, "expire") && call.len() == 4 { behind.forward(&plain) } else { behind.forward(call) }
        },
    },
    Bug {
        name: "PERSIST ignores what comes behind its key",
        plant: |call, behind| {
            if is(call, "persist") && call.len() > 2 { behind.forward(&call[..2]) } else { behind.forward(call) }
        },
    },
    Bug {
        name: "LINSERT AFTER inserts before",
        plant: |call, behind| {
            let before = |arg: &Bytes| if arg.eq_ignore_ascii_case(b"after") { "BEFORE".into() } else { arg.clone() };
            let changed: Vec<Bytes> = call.iter().map(before).collect();
            if is(call, "linsert") { behind.forward(&changed) } else { behind.forward(call) }
        },
    },
    Bug {
        name: "PFCOUNT does not store its estimate",
        plant: |call, behind| match is(call, "pfcount") && call.len() == 2 {
            true => behind.forward(&[call[0].clone(), call[1].clone(), call[1].clone()]),
            false => behind.forward(call),
        },
    },
    Bug {
        name: "a short time to live is forgotten",
        plant: |call, behind| {
            if is(call, "pexpire") && call.len() == 3 && &call[2][..] == b"5" {
                return behind.ask(&format!("EXISTS {}", line(&call[1..2])));
            }
            behind.forward(call)
        },
    },
];

fn is(call: &[Bytes], name: &str) -> bool {
    call.first().is_some_and(|arg| arg.eq_ignore_ascii_case(name.as_bytes()))
}

#[test]
fn planted_bugs_are_found_and_shrunk() {
    let (behind, real) = (Server::start_redis(FLAGS), Server::start_redis(FLAGS));
    let grammar = Grammar::new(&mut real.client());
    let mut overlooked = Vec::new();
    for bug in BUGS {
        let mut pair = Pair::new(proxy(behind.port, bug.plant), real.port);
        let found = (1..3000).find_map(|seed| {
            let sequence = grammar.sequence(seed);
            let mismatch = pair.run(&sequence).err()?;
            Some((seed, shrink(&mut pair, &sequence, &mismatch)))
        });
        match found {
            Some((seed, Some((shortest, mismatch)))) => {
                println!("{} (seed {seed}):\n{}", bug.name, mismatch.transcript(&shortest));
                if shortest.calls.len() > CALLS_MAX {
                    overlooked.push(format!(
                        "{}: shrunk to {} calls only:\n{shortest}",
                        bug.name,
                        shortest.calls.len()
                    ));
                }
            }
            Some((seed, None)) => overlooked.push(format!("{}: seen at seed {seed} and not again", bug.name)),
            None => overlooked.push(format!("{}: not found", bug.name)),
        }
    }
    assert!(overlooked.is_empty(), "{}", overlooked.join("\n"));
}

/// Where a time to live is compared with one set just before, which of them is later must not hang on how much time each
/// server took between the two.
#[test]
fn a_server_that_is_slower_is_no_other_server() {
    let slowly: Plant = |call, behind| {
        if is(call, "pexpire") {
            wait_until(Instant::now() + Duration::from_millis(2));
        }
        behind.forward(call)
    };
    let (behind, real) = (Server::start_redis(FLAGS), Server::start_redis(FLAGS));
    let mut real_client = real.client();
    assert_eq!(real_client.ask("SET k0 v"), "OK");
    let Value::Bulk(payload) = real_client.call(&["DUMP", "k0"]) else { panic!("a key that is there") };
    let mut pair = Pair::new(proxy(behind.port, slowly), real.port);
    let set_and_compare =
        ["SET k1 v PX 100000", "PSETEX k1 100000 v", &format!("RESTORE k1 100000 {} REPLACE", line(&[payload]))];
    let wrong = set_and_compare.into_iter().filter_map(|set| {
        let sequence = format!("{set}\nPEXPIRE k1 100000 GT\n");
        // Not always is the real server done with both within a millisecond.
        parse_all(&format!("{sequence}\n").repeat(20)).iter().find_map(|sequence| pair.run(sequence).err())?;
        Some(sequence)
    });
    assert_eq!(wrong.collect::<Vec<String>>(), Vec::<String>::new());
}

/// Listens on a port of its own and passes calls on to `port`, as `plant` has it. Ends with the test's process.
fn proxy(port: u16, plant: Plant) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let own = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            // It ends with either connection; how is the test's business.
            std::thread::spawn(move || serve(&stream, port, plant));
        }
    });
    own
}

fn serve(stream: &TcpStream, port: u16, plant: Plant) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut behind = Behind { client: Client::try_connect(port)?, is_lost: false };
    let mut client = Client::over(stream.try_clone()?)?;
    loop {
        let Value::Array(parts) = client.try_read()? else { return Ok(()) };
        let arg = |part| if let Value::Bulk(arg) = part { Some(arg) } else { None };
        let call: Vec<Bytes> = parts.into_iter().filter_map(arg).collect();
        let reply = plant(&call, &mut behind);
        if behind.is_lost {
            return stream.shutdown(std::net::Shutdown::Both);
        }
        client.try_send_raw(&reply)?;
    }
}

/// The server behind the proxy.
struct Behind {
    client: Client,
    /// It has closed the connection, so the proxy must too.
    is_lost: bool,
}

impl Behind {
    fn forward(&mut self, call: &[Bytes]) -> Bytes {
        let reply = self.client.try_send(call).and_then(|()| self.client.try_read_raw());
        self.is_lost |= reply.is_err();
        reply.unwrap_or_default()
    }

    fn ask(&mut self, line: &str) -> Bytes {
        self.forward(&split_line(line))
    }
}
