//! Large replies: who asks for everything in a large collection holds up nobody else, and who does not read them fills a bounded room and
//! not the machine's memory.
//!
//! Nothing is timed: what has happened before what is counted.

mod support;

use bulkhead::resp::Value;
use support::{Client, Server, eventually};

const FIELDS: usize = 10_000;
const READERS: usize = 16;

/// A number of INFO.
fn figure(client: &mut Client, section: &str, field: &str) -> Option<u64> {
    let Value::Bulk(text) = client.call(&["INFO", section]) else { panic!("INFO gives a text") };
    let text = String::from_utf8_lossy(&text).into_owned();
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    value.split(',').next()?.trim_start_matches("calls=").parse().ok()
}

#[test]
fn reads_that_go_through_everything_hold_up_no_short_ones() {
    // Where everything is slow, a read of this kind takes long, and that is no fault here.
    let server = Server::start(&["--request-timeout", "60000"]);
    let mut client = server.client();
    for first in (0..FIELDS).step_by(1000) {
        let mut command = vec!["HSET".to_string(), "hash".into()];
        command.extend((first..first + 1000).flat_map(|field| [format!("field:{field}"), "value".into()]));
        assert_eq!(client.call(&command).to_string(), "(integer) 1000");
    }
    client.call(&["SET", "small", "x"]);
    // Too large for the cache of records, so that it crosses to the readers.
    client.call(&["SET", "medium", &"x".repeat(20_000)]);
    let mut readers: Vec<Client> = (0..READERS).map(|_| server.client()).collect();
    readers.iter_mut().for_each(|reader| reader.send(&["HGETALL", "hash"]));
    eventually("a long read is under way", || figure(&mut client, "channel", "requests_in_flight") > Some(1));
    for _ in 0..20 {
        assert_eq!(client.call(&["GET", "small"]).to_string(), "\"x\"");
        assert_eq!(client.call(&["STRLEN", "medium"]).to_string(), "(integer) 20000");
        assert_eq!(client.call(&["SET", "other", "y"]).to_string(), "OK");
    }
    let done = figure(&mut client, "commandstats", "cmdstat_hgetall").unwrap_or(0);
    assert!(done < READERS as u64, "the short commands had to wait until all {done} long reads were done");
    for reader in &mut readers {
        let Value::Array(flat) = reader.read() else { panic!("HGETALL gives an array") };
        assert_eq!(flat.len(), 2 * FIELDS);
    }
}

#[test]
fn large_replies_that_nobody_reads_take_a_bounded_room() {
    const ELEMENT: usize = 1024 * 1024;
    const ELEMENTS: usize = 32;
    let server = Server::start(&["--large-replies-max-bytes", "40mb"]);
    let mut client = server.client();
    let element = "x".repeat(ELEMENT);
    for _ in 0..ELEMENTS {
        client.call(&["RPUSH", "list", &element]);
    }
    let whole = ["LRANGE", "list", "0", "-1"];
    let mut lazy = server.client();
    lazy.send(&whole);
    // What the kernel takes is read, as far as the server can tell.
    eventually("its reply waits", || figure(&mut client, "channel", "large_reply_bytes") > Some(0));
    let refused = "(error) TRYAGAIN too many large replies wait for their clients to read them";
    assert_eq!(client.call(&whole).to_string(), refused);
    assert_eq!(client.call(&["LLEN", "list"]).to_string(), format!("(integer) {ELEMENTS}"));
    let Value::Array(elements) = lazy.read() else { panic!("LRANGE gives an array") };
    assert_eq!(elements.len(), ELEMENTS);
    eventually("its room is free again", || figure(&mut client, "channel", "large_reply_bytes") == Some(0));
    let Value::Array(elements) = client.call(&whole) else { panic!("LRANGE gives an array") };
    assert_eq!(elements.len(), ELEMENTS);
    // Who goes without reading gives his room back, too.
    let mut gone = server.client();
    gone.send(&whole);
    eventually("another waits", || figure(&mut client, "channel", "large_reply_bytes") > Some(0));
    drop(gone);
    eventually("he is gone", || figure(&mut client, "channel", "large_reply_bytes") == Some(0));
}
