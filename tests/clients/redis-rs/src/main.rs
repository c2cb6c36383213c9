//! redis-rs against Bulkhead: pools, pipelines, transactions, publish/subscribe, blocking pops, RESP2 and RESP3.
//!
//!     bulkhead-redis-rs PORT
//!
//! Started by scripts/clients.sh. It must use the library as its documentation does, and nothing below it.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use redis::{Client, Commands, Connection, ErrorKind, RedisResult, ServerErrorKind};

fn main() -> RedisResult<()> {
    let port = std::env::args().nth(1).expect("a port");
    for protocol in ["resp2", "resp3"] {
        let client = Client::open(format!("redis://127.0.0.1:{port}/0?protocol={protocol}"))?;
        let mut connection = client.get_connection()?;
        type Check = fn(&Client, &mut Connection) -> RedisResult<()>;
        let checks: [(&str, Check); 6] = [
            ("pools", pools),
            ("types", types),
            ("pipelines", pipelines),
            ("transactions", transactions),
            ("messages", messages),
            ("blocking pops", blocking_pops),
        ];
        for (name, check) in checks {
            redis::cmd("FLUSHALL").exec(&mut connection)?;
            check(&client, &mut connection)?;
            println!("redis-rs {protocol}: {name}: ok");
        }
    }
    Ok(())
}

fn pools(client: &Client, connection: &mut Connection) -> RedisResult<()> {
    let pool = r2d2::Pool::builder().max_size(4).build(client.clone()).expect("a pool");
    thread::scope(|scope| {
        for number in 0..8 {
            let pool = pool.clone();
            scope.spawn(move || {
                let mut connection = pool.get().expect("a connection of the pool");
                for turn in 0..50 {
                    let key = format!("pool:{number}:{turn}");
                    let () = connection.set(&key, turn).expect("SET");
                    assert_eq!(connection.get::<_, i64>(&key).expect("GET"), turn);
                    let () = connection.incr("pool:total", 1).expect("INCR");
                }
            });
        }
    });
    assert_eq!(connection.get::<_, i64>("pool:total")?, 400);
    Ok(())
}

fn types(_: &Client, connection: &mut Connection) -> RedisResult<()> {
    let () = connection.hset_multiple("hash", &[("a", 1), ("b", 2)])?;
    let hash: BTreeMap<String, i64> = connection.hgetall("hash")?;
    assert_eq!(hash, BTreeMap::from([("a".into(), 1), ("b".into(), 2)]));
    let () = connection.sadd("set", &["a", "b"])?;
    assert_eq!(connection.smembers::<_, BTreeSet<String>>("set")?, BTreeSet::from(["a".into(), "b".into()]));
    let () = connection.zadd_multiple("board", &[(1.5, "bob"), (f64::INFINITY, "ann")])?;
    let board: Vec<(String, f64)> = connection.zrange_withscores("board", 0, -1)?;
    assert_eq!(board, [("bob".to_string(), 1.5), ("ann".to_string(), f64::INFINITY)]);
    let () = connection.rpush("list", &[b"\0\xff\r\n".as_slice(), b""])?;
    assert_eq!(connection.lrange::<_, Vec<Vec<u8>>>("list", 0, -1)?, [b"\0\xff\r\n".to_vec(), Vec::new()]);
    let fields: BTreeSet<(String, i64)> = connection.hscan("hash")?.collect::<RedisResult<_>>()?;
    assert_eq!(fields.len(), 2);
    assert_eq!(connection.get::<_, Option<String>>("none")?, None);
    let error = connection.incr::<_, _, i64>("hash", 1).expect_err("INCR of a hash");
    assert_eq!(error.code(), Some("WRONGTYPE"), "{error}");
    let error = redis::cmd("NOSUCH").exec(connection).expect_err("there is no such command");
    assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::ResponseError), "{error}");
    Ok(())
}

fn pipelines(_: &Client, connection: &mut Connection) -> RedisResult<()> {
    let mut pipe = redis::pipe();
    for number in 0..10_000 {
        pipe.set(format!("pipe:{number}"), number).ignore().get(format!("pipe:{number}"));
    }
    let values: Vec<i64> = pipe.query(connection)?;
    assert_eq!(values, (0..10_000).collect::<Vec<i64>>());
    assert_eq!(connection.scan_match::<_, String>("pipe:*")?.count(), 10_000);
    Ok(())
}

fn transactions(client: &Client, connection: &mut Connection) -> RedisResult<()> {
    let results: (String, i64) = redis::pipe().atomic().set("n", 1).incr("n", 1).query(connection)?;
    assert_eq!(results, ("OK".into(), 2));
    let mut other = client.get_connection()?;
    let mut attempts = 0;
    let (after,): (i64,) = redis::transaction(connection, &["n"], |connection, pipe| {
        attempts += 1;
        let before: i64 = connection.get("n")?;
        if attempts == 1 {
            let () = other.set("n", 10)?;
        }
        pipe.set("n", before * 2).ignore().get("n").query(connection)
    })?;
    assert_eq!((attempts, after), (2, 20), "the first attempt had to fail: the key was changed");
    Ok(())
}

fn messages(client: &Client, connection: &mut Connection) -> RedisResult<()> {
    let mut listening = client.get_connection()?;
    listening.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut listener = listening.as_pubsub();
    listener.subscribe("news")?;
    listener.psubscribe("news.*")?;
    assert_eq!(connection.publish::<_, _, i64>("news", "one")?, 1);
    assert_eq!(connection.publish::<_, _, i64>("news.local", "two")?, 1);
    let heard: Vec<(String, String)> = (0..2)
        .map(|_| {
            let message = listener.get_message()?;
            Ok((message.get_channel_name().to_string(), message.get_payload()?))
        })
        .collect::<RedisResult<_>>()?;
    assert_eq!(heard, [("news".into(), "one".into()), ("news.local".into(), "two".into())]);
    listener.unsubscribe("news")?;
    listener.punsubscribe("news.*")?;
    Ok(())
}

fn blocking_pops(client: &Client, connection: &mut Connection) -> RedisResult<()> {
    let waiter = client.clone();
    let popped = thread::spawn(move || waiter.get_connection()?.blpop::<_, (String, String)>(&["q1", "q2"], 20.0));
    while !redis::cmd("INFO").arg("clients").query::<String>(connection)?.contains("blocked_clients:1\r") {
        thread::yield_now();
    }
    let () = connection.rpush("q2", "job")?;
    assert_eq!(popped.join().expect("the waiter did not panic")?, ("q2".into(), "job".into()));
    assert_eq!(connection.brpop::<_, Option<(String, String)>>("q1", 0.05)?, None);
    let () = connection.zadd("z", "m", 2)?;
    let popped: (String, String, f64) = connection.bzpopmin("z", 1.0)?;
    assert_eq!(popped, ("z".into(), "m".into(), 2.0));
    Ok(())
}
