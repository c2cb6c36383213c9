//! Whom a plan can consist of: kinds of clients, each with the habits that an oracle can judge.
//!
//! Every word that a client writes is its own and ends with `~`, so that whoever sees it knows who wrote it, and when.

use super::is_served;
use crate::dice::Dice;
use crate::model;
use crate::plan::{Action, ClientPlan, Step};

/// How busy a client is.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub steps: u64,
    /// Commands of one pipeline, at most.
    pub commands_max: u64,
    /// Between two steps, at most.
    pub pause_ms_max: u64,
    /// One step in so many is bad behaviour; 0: none is.
    pub rude_one_in: u64,
}

impl Pace {
    pub fn draw(dice: &mut Dice, steps_max: u64) -> Pace {
        Pace {
            steps: dice.between(5..=steps_max),
            commands_max: dice.pick(&[1, 3, 10]),
            pause_ms_max: dice.pick(&[2, 10, 50]),
            rude_one_in: dice.pick(&[0, 0, 10, 30]),
        }
    }
}

/// A client whose commands `command` makes, one after the other.
fn client(dice: &mut Dice, name: &str, pace: Pace, mut command: impl FnMut(&mut Dice) -> String) -> ClientPlan {
    let mut steps = Vec::new();
    for _ in 0..pace.steps {
        let mut lines: Vec<String> = (0..dice.between(1..=pace.commands_max)).map(|_| command(dice)).collect();
        let wait_ms = if dice.one_in(2) { 0 } else { dice.between(0..=pace.pause_ms_max) };
        let is_rude = pace.rude_one_in > 0 && dice.one_in(pace.rude_one_in);
        let action = match is_rude {
            false => Action::Send(lines),
            true => match dice.index(4) {
                0 => Action::Part(lines),
                1 => {
                    // What is in doubt is dear to judge.
                    lines.truncate(3);
                    Action::Abandon(lines)
                }
                2 => Action::Sip(lines),
                _ => Action::Storm(dice.between(1..=20)),
            },
        };
        steps.push(Step { wait_ms, action });
    }
    ClientPlan { name: name.to_string(), steps }
}

/// Increments counters `n:…` and appends to logs `log:…`, which others do too.
pub fn counter(dice: &mut Dice, name: &str, keys: u64, pace: Pace) -> ClientPlan {
    let mut sent = 0;
    client(dice, name, pace, |dice| {
        sent += 1;
        let key = dice.between(0..=keys - 1);
        match dice.index(8) {
            0..=2 => format!("INCR n:{key}"),
            3..=5 => format!("APPEND log:{key} {name}.{sent}~"),
            6 => format!("ECHO {name}.{sent}~"),
            _ => format!("GET {}:{key}", dice.pick(&["n", "log"])),
        }
    })
}

/// Works on a few keys `r:…` with whatever there is, together with others.
pub fn register(dice: &mut Dice, name: &str, keys: u64, families: &[&Family], pace: Pace) -> ClientPlan {
    let mut sent = 0;
    let mut client = client(dice, name, pace, |dice| {
        sent += 1;
        let family = dice.pick(families);
        let mut key = || format!("r:{}{}", family.prefix, dice.between(0..=keys - 1));
        let (a, b) = (key(), key());
        let word = format!("{name}.{sent}~");
        let number = dice.between(0..=20);
        let form = dice.pick(family.forms);
        form.replace("$script", model::SCRIPT)
            .replace("$a", &a)
            .replace("$b", &b)
            .replace("$w", &word)
            .replace("$n", &number.to_string())
    });
    if is_served("multi") && dice.one_in(2) {
        let watched = format!("r:{}0", dice.pick(families).prefix);
        make_transactions(dice, &mut client, &watched);
    }
    client
}

/// Makes some pipelines transactions, some of which hold only if a key that was read before did not change.
fn make_transactions(dice: &mut Dice, client: &mut ClientPlan, watched: &str) {
    for mut step in std::mem::take(&mut client.steps) {
        if let Action::Send(lines) = &mut step.action
            && dice.one_in(4)
        {
            if dice.one_in(2) {
                let look = vec![format!("WATCH {watched}"), format!("GET {watched}")];
                client.steps.push(Step { wait_ms: step.wait_ms, action: Action::Send(look) });
                step.wait_ms = dice.between(0..=30);
            }
            lines.insert(0, "MULTI".into());
            lines.push("EXEC".into());
        }
        client.steps.push(step);
    }
}

/// Commands that belong together, on keys of their own. `$a` and `$b` stand for keys, `$w` for a word of the client's own,
/// `$n` for a number.
pub struct Family {
    prefix: &'static str,
    forms: &'static [&'static str],
    /// The server has the family if it knows this.
    herald: &'static str,
}

const FAMILIES: &[Family] = &[
    Family {
        prefix: "s",
        forms: &[
            "SET $a $w",
            "GET $a",
            "GET $a",
            "APPEND $a $w",
            "SET $a $w NX",
            "SET $a $w XX",
            "SET $a $w GET",
            "GETDEL $a",
            "GETSET $a $w",
            "DEL $a",
            "MSET $a $w $b $w",
            "MGET $a $b",
            "MSETNX $a $w $b $w",
            "RENAME $a $b",
            "COPY $a $b",
            "RENAMENX $a $b",
            "EXISTS $a $b",
            "STRLEN $a",
            "COPY $a $b REPLACE",
            "DEL $a $b",
            "TYPE $a",
        ],
        herald: "set",
    },
    Family {
        prefix: "i",
        forms: &[
            "INCR $a",
            "INCRBY $a $n",
            "DECR $a",
            "GET $a",
            "SET $a $n",
            "DEL $a",
            "MGET $a $b",
            "MSET $a $n $b $n",
            "EVAL $script 2 $a $b INCRBY $n",
            "EVAL $script 2 $a $b DECRBY $n",
        ],
        herald: "incr",
    },
    Family {
        prefix: "l",
        forms: &[
            "RPUSH $a $w",
            "LPUSH $a $w",
            "LPOP $a",
            "RPOP $a",
            "LRANGE $a 0 -1",
            "LLEN $a",
            "LMOVE $a $b LEFT RIGHT",
            "DEL $a",
            "RENAME $a $b",
            "TYPE $a",
            "EXISTS $a $b",
        ],
        herald: "lmove",
    },
    Family {
        prefix: "h",
        forms: &[
            "HSET $a f $w",
            "HSET $a f $w g $w",
            "HGET $a f",
            "HDEL $a f",
            "HDEL $a f g n",
            "HGETALL $a",
            "HINCRBY $a n $n",
            "HLEN $a",
            "DEL $a",
            "RENAME $a $b",
            "COPY $a $b",
            "HEXISTS $a g",
        ],
        herald: "hincrby",
    },
    Family {
        prefix: "m",
        forms: &[
            "SADD $a $w",
            "SADD $a x y",
            "SREM $a x",
            "SREM $a x y z",
            "SMEMBERS $a",
            "SCARD $a",
            "SISMEMBER $a x",
            "EVAL $script 2 $a $b SADD $w",
            "DEL $a",
            "RENAME $a $b",
        ],
        herald: "sadd",
    },
    Family {
        prefix: "z",
        forms: &[
            "ZADD $a $n x",
            "ZADD $a $n y $n x",
            "ZINCRBY $a $n x",
            "ZREM $a x y",
            "ZSCORE $a x",
            "ZRANGE $a 0 -1",
            "ZCARD $a",
            "DEL $a",
            "RENAME $a $b",
        ],
        herald: "zincrby",
    },
    Family {
        prefix: "x",
        forms: &[
            "XADD $a 1-* f $w",
            "XADD $a MAXLEN $n 1-* f $w",
            "XLEN $a",
            "XRANGE $a - +",
            "XDEL $a 1-$n",
            "XDEL $a 1-0 1-1",
            "XGROUP CREATE $a g 0 MKSTREAM",
            "XREADGROUP GROUP g c COUNT 2 STREAMS $a >",
            "XACK $a g 1-0 1-1 1-2",
            "DEL $a",
            "RENAME $a $b",
            "COPY $a $b",
        ],
        herald: "xreadgroup",
    },
];

/// Some of the families that the server has; at least one.
pub fn families(dice: &mut Dice) -> Vec<&'static Family> {
    let served: Vec<&Family> = FAMILIES.iter().filter(|family| is_served(family.herald)).collect();
    (0..dice.between(1..=2)).map(|_| dice.pick(&served)).collect()
}

/// Keeps a journal: each entry is one MSET of a key of its own and of one that tells the last entry.
pub fn journal(dice: &mut Dice, name: &str, pace: Pace) -> ClientPlan {
    let mut sent = 0;
    let pace = Pace { rude_one_in: 0, ..pace };
    client(dice, name, pace, |_| {
        sent += 1;
        format!("MSET j:{name}:{sent} {name}.{sent}~ j:{name}:last {name}.{sent}~")
    })
}

/// Pushes words to queues `q:…`, each once, now and then several together.
pub fn pusher(dice: &mut Dice, name: &str, keys: u64, pace: Pace) -> ClientPlan {
    let mut sent = 0;
    let mut client = client(dice, name, Pace { rude_one_in: 0, ..pace }, |dice| {
        let key = dice.between(0..=keys - 1);
        let mut word = || {
            sent += 1;
            format!("{name}.{sent}~")
        };
        match dice.index(8) {
            0..=2 => format!("RPUSH q:{key} {}", word()),
            3 => format!("LPUSH q:{key} {}", word()),
            4 => format!("RPUSH q:{key} {} {}", word(), word()),
            5 => format!("LLEN q:{key}"),
            _ => format!("ZADD q:z {} {}", dice.between(0..=9), word()),
        }
    });
    for step in &mut client.steps {
        if let Action::Send(lines) = &mut step.action
            && dice.one_in(5)
        {
            // Of one key only: whoever waits for two of them is given the one that was pushed to first.
            lines.truncate(1);
            lines.insert(0, "MULTI".into());
            lines.push("EXEC".into());
        }
    }
    client
}

/// Waits for what others push, and moves some of it on.
pub fn popper(dice: &mut Dice, name: &str, keys: u64, pace: Pace) -> ClientPlan {
    client(dice, name, Pace { commands_max: 1, rude_one_in: 0, ..pace }, |dice| {
        let key = dice.between(0..=keys - 1);
        let last = keys - 1;
        let patience = dice.pick(&["0.001", "0.02", "0.1", "0.1", "0.5", "1.5", "4"]);
        match dice.index(12) {
            0..=2 => format!("BLPOP q:{key} {patience}"),
            3 | 4 if last > 0 => format!("BLPOP q:0 q:{last} {patience}"),
            3..=5 => format!("BRPOP q:{key} {patience}"),
            6 if last > 0 => format!("BLMOVE q:0 q:{last} LEFT RIGHT {patience}"),
            6 | 7 => format!("LPOP q:{key}"),
            8 => format!("CLIENT UNBLOCK {} {}", dice.between(1..=8), dice.pick(&["TIMEOUT", "ERROR"])),
            _ => format!("BZPOPMIN q:z {patience}"),
        }
    })
}

/// Comes at some moment, about when others like it do, and waits for long for a key that nobody else knows; or pushes there,
/// or takes.
pub fn straggler(dice: &mut Dice, name: &str, at_ms: u64) -> ClientPlan {
    let mut wait_ms = at_ms + dice.between(0..=20);
    let steps = (1..=dice.between(1..=2)).map(|number| {
        let line = match dice.index(8) {
            0 => format!("RPUSH q:rare {name}.{number}~"),
            1 => "LPOP q:rare".into(),
            _ => "BLPOP q:rare 4.5".into(),
        };
        let step = Step { wait_ms, action: Action::Send(vec![line]) };
        wait_ms = dice.between(0..=20);
        step
    });
    ClientPlan { name: name.to_string(), steps: steps.collect() }
}

/// Publishes words on channels `ch:…`, each once.
pub fn publisher(dice: &mut Dice, name: &str, channels: u64, pace: Pace) -> ClientPlan {
    let mut sent = 0;
    client(dice, name, Pace { rude_one_in: 0, ..pace }, |dice| {
        sent += 1;
        format!("PUBLISH ch:{} {name}.{sent}~", dice.between(0..=channels - 1))
    })
}

/// Listens to channels and patterns, again and again.
pub fn listener(dice: &mut Dice, name: &str, channels: u64) -> ClientPlan {
    let steps = (0..dice.between(1..=3)).map(|_| {
        let mut topics = vec![format!("ch:{}", dice.between(0..=channels - 1))];
        if dice.one_in(2) {
            topics.push("ch:*".into());
        }
        let action = Action::Listen { topics, for_ms: dice.between(20..=1500) };
        Step { wait_ms: dice.between(0..=50), action }
    });
    ClientPlan { name: name.to_string(), steps: steps.collect() }
}

/// Does nothing that needs storage, one command at a time.
pub fn pinger(dice: &mut Dice, name: &str, pace: Pace) -> ClientPlan {
    let mut sent = 0;
    let mut client = client(dice, name, Pace { commands_max: 1, rude_one_in: 0, ..pace }, |dice| {
        sent += 1;
        match dice.index(6) {
            0 => "INFO clients".into(),
            1 => format!("ECHO {name}.{sent}~"),
            2 => "INFO channel".into(),
            _ => "PING".into(),
        }
    });
    // It comes and goes.
    for step in &mut client.steps {
        if dice.one_in(4)
            && let Action::Send(lines) = &step.action
        {
            step.action = Action::Part(lines.clone());
        }
    }
    client
}

/// Reads what others may write, one command at a time.
pub fn reader(dice: &mut Dice, name: &str, keys: u64, pace: Pace) -> ClientPlan {
    client(dice, name, Pace { commands_max: 1, rude_one_in: 0, ..pace }, |dice| {
        let key = dice.between(0..=keys - 1);
        match dice.index(4) {
            0 => format!("MGET n:{key} n:none"),
            1 => format!("EXISTS n:{key} n:{key}"),
            _ => format!("GET n:{key}"),
        }
    })
}

/// Sets keys `t:…` that expire, looks after them, and lets some live on.
pub fn watcher(dice: &mut Dice, name: &str, pace: Pace, start_ms: i64) -> ClientPlan {
    let mut set = 0;
    let mut clock_ms = start_ms;
    let pause_ms_max = pace.pause_ms_max as i64;
    client(dice, name, pace, |dice| {
        clock_ms += pause_ms_max / 4;
        if set == 0 || dice.one_in(3) {
            set += 1;
            let ttl_ms = if dice.one_in(2) { dice.between(1..=200) } else { dice.between(1..=3000) } as i64;
            return match dice.one_in(2) {
                true => format!("SET t:{name}:{set} v PX {ttl_ms}"),
                false => format!("SET t:{name}:{set} v PXAT {}", clock_ms + ttl_ms + 1000),
            };
        }
        let number = if dice.one_in(2) { set } else { dice.between(1..=set) };
        format!("{} t:{name}:{number}", dice.pick(&["GET", "EXISTS", "TYPE", "PERSIST"]))
    })
}

/// Has the server to itself and tries whatever there is, in several databases.
pub fn soloist(dice: &mut Dice, name: &str, pace: Pace) -> ClientPlan {
    const DATABASES: u64 = 3;
    let mut sent = 0;
    client(dice, name, pace, |dice| {
        sent += 1;
        let key = dice.between(0..=4);
        let (word, number) = (format!("{name}.{sent}~"), dice.between(0..=99));
        match dice.index(24) {
            0 => "PING".into(),
            1 => format!("ping {word}"),
            2 => format!("ECHO {}{word}", "x".repeat(dice.pick(&[1, 10, 1000]))),
            3 | 4 => format!("SET k{key} {number}"),
            5 => format!("SET k{key} \"\\x00\\r\\n{}{word}\"", "x".repeat(dice.pick(&[1, 10, 1000]))),
            6 | 7 => format!("GET k{key}"),
            8 => format!("INCRBY k{key} {number}"),
            9 => format!("DECR k{key}"),
            10 => format!("APPEND k{key} {word}"),
            11 => format!("DEL k{key} k{}", dice.between(0..=4)),
            12 => "MGET k0 k1 k2 k3 k4".into(),
            13 | 14 => format!("SELECT {}", dice.between(0..=DATABASES - 1)),
            15 => "GET".into(),
            16 => "DBSIZE".into(),
            17 => "KEYS *".into(),
            18 if dice.one_in(4) => dice.pick(&["FLUSHDB", "FLUSHALL", "SWAPDB 0 1", "SWAPDB 1 2"]).into(),
            19 => format!("RENAME k{key} k{}", dice.between(0..=4)),
            20 => format!("SETRANGE k{key} {number} {word}"),
            21 => format!("GETRANGE k{key} {} -1", -(number as i64)),
            22 => format!("MSETNX k{key} {word} k{} {word}", dice.between(0..=4)),
            _ => format!("GETSET k{key} {word}"),
        }
    })
}
