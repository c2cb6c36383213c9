//! Which commands are compared, how often, and what is allowed to differ. A new family of commands joins by one row in
//! [`FAMILIES`]: its calls are generated from the table rows' `arguments`. What must not be generated is named in
//! [`EXCLUDED`], what may differ in [`ALLOWED`], each with its reason; nothing else is.

use bulkhead::commands::{Command, Group, table};
use bulkhead::resp::Value;

use crate::pair::{Call, Pair, same_elements};

/// The commands of one group.
pub struct Family {
    pub group: Group,
    /// How often one of its commands comes, relative to other families.
    pub weight: usize,
    /// Commands (`get`, `client|list`) that come more often than the others, which weigh 1.
    pub favourites: &'static [(&'static str, usize)],
    /// Calls worth making more often than the grammar would: `{name}` stands for a value of the argument of that name
    /// (see values.rs), `{call}` for a whole call.
    pub templates: &'static [&'static str],
}

pub const FAMILIES: &[Family] = &[
    Family {
        group: Group::String,
        weight: 60,
        favourites: &[("set", 8), ("get", 3), ("incrbyfloat", 2), ("setrange", 2), ("getex", 3), ("append", 2)],
        templates: &[
            "SET {key} {value}",
            "SET {key} {integer}",
            "SET {key} {double}",
            "SET {key} {value} PX 5",
            "SET {key} {value} EX {seconds}",
            "SET {key} {value} KEEPTTL",
            "SET {key} {value} XX GET",
            "INCRBYFLOAT {key} {double}",
            "GETEX {key} PERSIST",
            "MSET {key} {value} {key} {value} {key} {value}",
            "SETRANGE {key} {far-offset} {value}",
            "APPEND {key} {value}",
            "GETRANGE {key} {far-offset} {far-offset}",
        ],
    },
    Family {
        group: Group::Generic,
        weight: 40,
        favourites: &[
            ("expire", 2),
            ("copy", 3),
            ("rename", 2),
            ("renamenx", 2),
            ("ttl", 2),
            ("pttl", 2),
            ("scan", 2),
            ("sort", 3),
        ],
        templates: &[
            "PEXPIRE {key} 5",
            "EXPIRE {key} {seconds}",
            "EXPIRE {key} {seconds} GT",
            "EXPIRE {key} {seconds} LT",
            "EXPIREAT {key} {unix-time-seconds} NX",
            "COPY {key} {key} DB {db} REPLACE",
            "COPY {key} {key} REPLACE",
            "MOVE {key} {db}",
            "RENAME {key} {key}",
            "OBJECT ENCODING {key}",
            "DUMP {key}",
            "RESTORE {key} 0 {serialized-value}",
            "RESTORE {key} 0 {serialized-value} REPLACE",
            "RESTORE {key} {milliseconds} {serialized-value} REPLACE",
            "MEMORY USAGE {key}",
            "SORT {key} ALPHA",
            "SORT {key} ALPHA DESC LIMIT {integer} {integer}",
            "SORT {key} BY {sort-pattern} GET # GET {sort-pattern}",
            "SORT {key} BY {sort-pattern} ALPHA",
            "SORT {key} BY nosort DESC STORE {key}",
            "SORT {key} BY {sort-pattern} LIMIT {integer} {integer} STORE {key}",
            "SORT_RO {key} GET {sort-pattern}",
            "SCAN 0 MATCH {pattern} COUNT {count} TYPE string",
        ],
    },
    Family {
        group: Group::Bitmap,
        weight: 30,
        favourites: &[("setbit", 2), ("bitfield", 2)],
        templates: &[
            "SETBIT {key} {bit-offset} {bit}",
            "SETBIT {key} {bit-offset} {bit}",
            "GETBIT {key} {bit-offset}",
            "SETBIT {key} {far-bit-offset} {bit}",
            "BITPOS {key} {bit} {far-offset}",
            "BITFIELD {key} SET {encoding} {far-bit-offset} {field-value} GET {encoding} {far-bit-offset}",
            "BITCOUNT {key} {far-offset} -1",
            "BITFIELD {key} SET {encoding} {field-offset} {field-value}",
            "BITFIELD {key} OVERFLOW SAT INCRBY {encoding} {field-offset} {field-value} GET {encoding} {field-offset}",
            "BITFIELD {key} OVERFLOW FAIL INCRBY {encoding} {field-offset} {field-value} SET {encoding} {field-offset} {field-value}",
            "BITFIELD {key} INCRBY {encoding} {field-offset} {field-value}",
            "BITFIELD_RO {key} GET {encoding} {field-offset}",
            "BITOP {operation} {key} {key}",
            "BITOP {operation} {key} {key} {key}",
            "BITPOS {key} {bit} {integer} {integer} BIT",
            "BITCOUNT {key} {integer} {integer} BIT",
        ],
    },
    Family {
        group: Group::List,
        weight: 50,
        favourites: &[("lpush", 2), ("rpush", 3), ("lmove", 2), ("linsert", 2), ("lrem", 2), ("lpos", 2)],
        templates: &[
            "RPUSH {key} {value} {value} {value}",
            "LPUSH {key} a b a c a b",
            "RPUSH {key} {long} {long} {long} {long}",
            "RPUSH {key} {integer} {integer} {long}",
            "LRANGE {key} 0 -1",
            "LREM {key} {integer} a",
            "LINSERT {key} BEFORE a {value}",
            "LINSERT {key} AFTER b {long}",
            "LPOS {key} a RANK {integer} COUNT {integer} MAXLEN {integer}",
            "LSET {key} {integer} {long}",
            "LMOVE {key} {key} LEFT RIGHT",
            "LMPOP 2 {key} {key} LEFT COUNT {integer}",
            "LPOP {key} {integer}",
        ],
    },
    Family {
        group: Group::Hyperloglog,
        weight: 20,
        favourites: &[("pfadd", 3), ("pfcount", 2)],
        templates: &[
            "PFADD {key} {value} {value}",
            "PFADD {key} {integer} {integer} {double} {double}",
            "PFCOUNT {key}",
            "PFCOUNT {key} {key}",
            "PFMERGE {key} {key} {key}",
            "PFDEBUG TODENSE {key}",
            // What the bytes are is part of the promise.
            "GET {key}",
        ],
    },
    Family {
        group: Group::Hash,
        weight: 30,
        favourites: &[("hset", 4), ("hincrby", 2), ("hdel", 2), ("hgetall", 2)],
        templates: &[
            "HSET {key} {field} {value}",
            "HSET {key} {field} {value} {field} {value} {field} {value}",
            "HSET {key} {many-fields}",
            "HDEL {key} {many-fields}",
            "HINCRBY {key} {field} {integer}",
            "HINCRBYFLOAT {key} {field} {double}",
            "HRANDFIELD {key} {integer} WITHVALUES",
            "HSCAN {key} 0 COUNT {count}",
            "HSCAN {key} 0 MATCH f*",
            "HGETALL {key}",
            "OBJECT ENCODING {key}",
        ],
    },
    Family {
        group: Group::Set,
        weight: 30,
        favourites: &[("sadd", 5), ("srem", 2), ("smembers", 2)],
        templates: &[
            "SADD {key} {member} {member} {member}",
            "SADD {key} {many-members}",
            "SADD {key} {many-integers}",
            "SREM {key} {many-integers}",
            "SMOVE {key} {key} {member}",
            "SINTERCARD 2 {key} {key} LIMIT {integer}",
            "SINTERSTORE {key} {key} {key}",
            "SUNIONSTORE {key} {key} {key}",
            "SDIFFSTORE {key} {key} {key}",
            "SPOP {key} {integer}",
            "SRANDMEMBER {key} {integer}",
            "SSCAN {key} 0 COUNT {count}",
            "OBJECT ENCODING {key}",
        ],
    },
    Family {
        group: Group::SortedSet,
        weight: 45,
        favourites: &[("zadd", 12), ("zrange", 6), ("zincrby", 2), ("zrangestore", 2)],
        templates: &[
            "ZADD {key} {score} {member} {score} {member} {score} {member}",
            "ZADD {key} {many-scored}",
            "ZADD {key} 0 m0 0 m1 0 m2 0 m3 0 m4",
            "ZADD {key} GT CH {score} {member}",
            "ZADD {key} XX INCR {score} {member}",
            "ZRANGE {key} {integer} {integer} WITHSCORES",
            "ZRANGE {key} {integer} {integer} REV",
            "ZRANGE {key} {score-end} {score-end} BYSCORE LIMIT {integer} {integer}",
            "ZRANGE {key} {score-end} {score-end} BYSCORE REV WITHSCORES",
            "ZRANGE {key} {lex-end} {lex-end} BYLEX LIMIT {integer} {integer}",
            "ZRANGESTORE {key} {key} {integer} {integer}",
            "ZRANGESTORE {key} {key} {score-end} {score-end} BYSCORE",
            "ZUNIONSTORE {key} 2 {key} {key} WEIGHTS {double} {double} AGGREGATE MAX",
            "ZUNION 3 {key} {key} {key} WITHSCORES",
            "ZINTERSTORE {key} 2 {key} {key} WEIGHTS {double} {double}",
            "ZINTER 2 {key} {key} AGGREGATE MIN WITHSCORES",
            "ZDIFFSTORE {key} 2 {key} {key}",
            "ZDIFF 2 {key} {key} WITHSCORES",
            "ZINTERCARD 2 {key} {key} LIMIT {integer}",
            "ZMPOP 2 {key} {key} MIN COUNT {count}",
            "ZPOPMAX {key} {count}",
            "ZREMRANGEBYSCORE {key} {score-end} {score-end}",
            "ZREMRANGEBYRANK {key} {integer} {integer}",
            "ZRANDMEMBER {key} {integer} WITHSCORES",
            "ZSCAN {key} 0 COUNT {count}",
            "SADD {key} {member} {member}",
            "OBJECT ENCODING {key}",
        ],
    },
    Family {
        group: Group::Geo,
        weight: 15,
        favourites: &[("geoadd", 4), ("geosearch", 4)],
        templates: &[
            "GEOADD {key} {longitude} {latitude} {member} {longitude} {latitude} {member}",
            "GEOADD {key} 13.361389 38.115556 m0 15.087269 37.502669 m1 13.583333 37.316667 m2",
            "GEOADD {key} {many-places}",
            "ZADD {key} {score} {member}",
            "GEOSEARCH {key} FROMLONLAT {longitude} {latitude} BYRADIUS {radius} {unit} ASC",
            "GEOSEARCH {key} FROMLONLAT {longitude} {latitude} BYBOX {width} {height} {unit} WITHDIST WITHCOORD",
            "GEOSEARCH {key} FROMMEMBER {member} BYRADIUS {radius} {unit} DESC COUNT {count} WITHHASH",
            "GEOSEARCH {key} FROMMEMBER {member} BYRADIUS {radius} km COUNT {count} ANY",
            "GEOSEARCHSTORE {key} {key} FROMLONLAT {longitude} {latitude} BYBOX {width} {height} km STOREDIST",
            "GEOSEARCHSTORE {key} {key} FROMMEMBER {member} BYRADIUS {radius} km COUNT {count}",
            "GEORADIUS {key} {longitude} {latitude} {radius} {unit} WITHDIST DESC",
            "GEORADIUS {key} {longitude} {latitude} {radius} km STOREDIST {key}",
            "GEORADIUS {key} {longitude} {latitude} {radius} km STORE {key} COUNT {count}",
            "GEORADIUSBYMEMBER {key} {member} {radius} {unit} WITHCOORD",
            "GEORADIUSBYMEMBER_RO {key} {member} {radius} km COUNT {count} ASC",
            "GEODIST {key} {member} {member} {unit}",
            "GEOPOS {key} {member} {member}",
            "GEOHASH {key} {member} {member}",
        ],
    },
    Family {
        group: Group::Stream,
        weight: 60,
        favourites: &[
            ("xadd", 8),
            ("xrange", 2),
            ("xread", 2),
            ("xreadgroup", 8),
            ("xgroup|create", 4),
            ("xdel", 3),
            ("xtrim", 2),
            ("xack", 3),
            ("xclaim", 3),
            ("xautoclaim", 3),
            ("xpending", 3),
            ("xinfo|stream", 2),
            ("xinfo|groups", 2),
        ],
        templates: &[
            "XADD {key} {entry-id} {field} {value}",
            "XADD {key} {partial-id} {field} {value} {field} {value}",
            "XADD {key} {partial-id} f0 {long}",
            "XADD {key} MAXLEN ~ {integer} {partial-id} f0 {integer} f1 {long}",
            "XADD {key} MAXLEN {integer} {partial-id} f0 {integer} f1 {value}",
            "XADD {key} NOMKSTREAM MINID {entry-id} {partial-id} {field} {value}",
            "XRANGE {key} - + COUNT {count}",
            "XREVRANGE {key} + {range-id} COUNT {count}",
            "XRANGE {key} {range-id} {range-id}",
            "XDEL {key} {entry-id} {entry-id} {entry-id}",
            "XTRIM {key} MAXLEN ~ {integer}",
            "XTRIM {key} MINID ~ {entry-id} LIMIT {count}",
            "XTRIM {key} MAXLEN {integer}",
            "XTRIM {key} MINID {entry-id}",
            "XSETID {key} {entry-id}",
            "XSETID {key} {entry-id} ENTRIESADDED {integer} MAXDELETEDID {entry-id}",
            "XREAD COUNT {count} STREAMS {key} {key} {entry-id} {entry-id}",
            "XREAD STREAMS {key} $",
            "XGROUP CREATE {key} {group} {entry-id} MKSTREAM",
            "XGROUP CREATE {key} {group} {entry-id} ENTRIESREAD {integer}",
            "XGROUP CREATE {key} {group} $ MKSTREAM",
            "XGROUP SETID {key} {group} {entry-id}",
            "XGROUP DESTROY {key} {group}",
            "XREADGROUP GROUP {group} {consumer} COUNT {count} STREAMS {key} >",
            "XREADGROUP GROUP {group} {consumer} NOACK STREAMS {key} >",
            "XREADGROUP GROUP {group} {consumer} COUNT {count} STREAMS {key} {key} > {entry-id}",
            "XREADGROUP GROUP {group} {consumer} STREAMS {key} {entry-id}",
            "XACK {key} {group} {entry-id} {entry-id} {entry-id}",
            "XPENDING {key} {group}",
            "XPENDING {key} {group} IDLE {min-idle-time} {range-id} + {count}",
            "XPENDING {key} {group} - {range-id} {count} {consumer}",
            "XCLAIM {key} {group} {consumer} {min-idle-time} {entry-id} {entry-id} JUSTID FORCE",
            "XCLAIM {key} {group} {consumer} 0 {entry-id} {entry-id} RETRYCOUNT {integer} LASTID {entry-id}",
            "XCLAIM {key} {group} {consumer} 0 {entry-id} IDLE {min-idle-time} FORCE",
            "XAUTOCLAIM {key} {group} {consumer} {min-idle-time} {range-id} COUNT {count}",
            "XAUTOCLAIM {key} {group} {consumer} 0 - COUNT {count} JUSTID",
            "XINFO STREAM {key}",
            "XINFO STREAM {key} FULL",
            "XINFO GROUPS {key}",
            "XINFO CONSUMERS {key} {group}",
            "DUMP {key}",
            "COPY {key} {key} REPLACE",
        ],
    },
    Family {
        group: Group::Connection,
        weight: 12,
        favourites: &[("select", 12)],
        templates: &[
            "SELECT {db}",
            "SELECT {db}",
            "SELECT {db}",
            "PING",
            "CLIENT SETNAME {value}",
            "CLIENT INFO",
            "ECHO {value}",
        ],
    },
    Family {
        group: Group::Server,
        weight: 12,
        favourites: &[("dbsize", 4), ("swapdb", 4), ("flushdb", 2), ("command|getkeys", 6)],
        templates: &[
            "SWAPDB {db} {db}",
            "DBSIZE",
            "COMMAND GETKEYS {call}",
            "COMMAND GETKEYSANDFLAGS {call}",
            "COMMAND LIST FILTERBY PATTERN get",
        ],
    },
    Family {
        group: Group::Pubsub,
        weight: 4,
        favourites: &[],
        templates: &["PUBLISH {value} {value}", "COMMAND GETKEYS SSUBSCRIBE {value} {value}"],
    },
    Family {
        group: Group::Scripting,
        weight: 20,
        favourites: &[("eval", 6), ("evalsha", 2), ("eval_ro", 2)],
        templates: &[
            "EVAL {script} 1 {key}",
            "EVAL {script} 1 {key} {value}",
            "EVAL {script} 1 {key} {integer}",
            "EVAL {script} 2 {key} {key} {value}",
            "EVAL {script} 0",
            "EVAL_RO {script} 1 {key} {value}",
            "EVALSHA {sha1} 1 {key}",
            "SCRIPT LOAD {script}",
        ],
    },
    Family { group: Group::Transactions, weight: 2, favourites: &[], templates: &["WATCH {key}"] },
    // Answered as Redis answers with cluster mode off.
    Family {
        group: Group::Cluster,
        weight: 2,
        favourites: &[],
        templates: &["CLUSTER INFO", "CLUSTER INFO {value}", "CLUSTER KEYSLOT {key}", "CLUSTER KEYSLOT"],
    },
];

/// Commands that no sequence contains (`config|*`: with all subcommands; `*|help`: of all containers), and why.
pub const EXCLUDED: &[(&str, &str)] = &[
    ("shutdown", "ends the server; tests/persistence.rs"),
    ("debug|*", "means something else on every server"),
    ("multi", "what may differ in a reply may not within EXEC's; compat/dialogue.rs"),
    ("wait", "may wait for ever; compat/dialogue.rs"),
    ("bl*", "may wait for ever; compat/dialogue.rs"),
    ("brpop*", "may wait for ever; compat/dialogue.rs"),
    ("bz*", "may wait for ever; compat/dialogue.rs"),
    ("monitor", "shows what others do; compat/dialogue.rs"),
    ("*subscribe", "a reply per channel, and then messages; compat/dialogue.rs"),
    ("client|kill", "the victims are the test's own connections; tests/protocol.rs"),
    ("client|pause", "holds up both servers for as long as it says; tests/protocol.rs"),
    ("client|unpause", "belongs to CLIENT PAUSE"),
    ("client|reply", "takes the replies away that are to be compared; tests/protocol.rs"),
    ("client|list", "its lines depend on who else is connected"),
    ("*|help", "lists the subcommands that there are"),
    ("config|*", "the directives are this server's own; CONFIG SET would change what is compared"),
    ("info", "reports this server"),
    ("slowlog|*", "reports how fast this server was"),
    ("latency|*", "reports how fast this server was"),
    ("command", "lists the commands that there are; the table test compares each"),
    ("command|count", "counts the commands that there are"),
    ("command|docs", "the table test compares each command's"),
    ("command|info", "the table test compares each command's"),
    ("replicaof", "makes a replica of the real server; its example runs it"),
    ("slaveof", "makes a replica of the real server; its example runs it"),
    ("lastsave", "depends on when"),
    ("bgsave", "whether one is under way depends on how fast this server is"),
    ("bgrewriteaof", "whether one is under way depends on how fast this server is"),
    ("memory|doctor", "reports this server"),
    ("memory|malloc-stats", "reports this server"),
    ("memory|stats", "reports this server"),
    ("pfselftest", "takes the real server a second, and its example runs it"),
    ("script|debug", "there is no debugger here, and the real one would take over the connection"),
    ("lolwut", "prints this server's own picture"),
];

/// A reply that may differ between the servers, and what must be the same about it all the same.
pub struct Allowed {
    pub commands: &'static [&'static str],
    pub reason: &'static str,
    pub alike: fn(&mut Pair, &Call<'_>) -> bool,
}

pub const ALLOWED: &[Allowed] = &[
    Allowed {
        commands: &["ttl", "expiretime"],
        reason: "the two servers run a command at two moments: within 2 seconds",
        alike: |_, call| close(call, 2),
    },
    Allowed {
        commands: &["pttl", "pexpiretime"],
        reason: "the two servers run a command at two moments: within 2000 milliseconds",
        alike: |_, call| close(call, 2000),
    },
    Allowed {
        commands: &["sort", "sort_ro"],
        reason: "sets have no order, nor have equal texts that BY led to; LIMIT cuts out any of them. And Redis 7.0 takes \
                 numbers for none once an earlier command has read one that is out of range (a stale errno)",
        alike: |_, call| match (call.ours, call.theirs) {
            (Value::Array(_), Value::Error(error)) => error.ends_with(b"scores can't be converted into double"),
            (Value::Array(ours), Value::Array(theirs)) if has_word(call, b"LIMIT") => ours.len() == theirs.len(),
            (ours, theirs) => has_word(call, b"BY") && sorted(ours).is_some() && sorted(ours) == sorted(theirs),
        },
    },
    Allowed {
        commands: &["dump"],
        reason: "the real server compresses, and orders a set by chance: each reads the other's as the same value",
        alike: |pair, call| pair.dumps_alike(call),
    },
    Allowed {
        commands: &["xpending", "xinfo|stream", "xinfo|consumers"],
        reason: "the two servers delivered an entry, and are asked, at two moments: times are within 2 seconds",
        alike: |_, call| same_but_for_times(call.ours, call.theirs),
    },
    Allowed {
        commands: &["object|encoding"],
        reason: "SORT makes a skiplist of a listpack that it only reads; here reading changes nothing",
        alike: |pair, call| pair.encodings_alike(call),
    },
    Allowed {
        commands: &["memory|usage"],
        reason: "counts what this server stores: the same kind of reply",
        alike: |_, call| matches!((call.ours, call.theirs), (Value::Integer(1..), Value::Integer(1..))),
    },
    Allowed {
        commands: &["keys"],
        reason: "in no particular order",
        alike: |_, call| sorted(call.ours).is_some_and(|ours| Some(ours) == sorted(call.theirs)),
    },
    Allowed {
        commands: &["hgetall", "hkeys", "hvals"],
        reason: "in no particular order where the hash is large; a small one is in the order in which it was filled",
        alike: |pair, call| pair.fields_alike(call),
    },
    Allowed {
        commands: &["smembers", "sinter", "sunion", "sdiff"],
        reason: "in no particular order",
        alike: |_, call| same_elements(call),
    },
    Allowed {
        commands: &["hscan", "sscan", "zscan"],
        reason: "cursors are this server's own: a whole iteration finds the same elements",
        alike: |pair, call| pair.element_scans_alike(call),
    },
    Allowed {
        commands: &["hrandfield"],
        reason: "chance decides: as many fields, all of them of the hash",
        alike: |pair, call| pair.draws_alike(call, &[b"HGETALL"]),
    },
    Allowed {
        commands: &["srandmember"],
        reason: "chance decides: as many members, all of them of the set",
        alike: |pair, call| pair.draws_alike(call, &[b"SMEMBERS"]),
    },
    Allowed {
        commands: &["zrandmember"],
        reason: "chance decides: as many members, all of them of the sorted set",
        alike: |pair, call| pair.draws_alike(call, &[b"ZRANGE", b"0", b"-1", b"WITHSCORES"]),
    },
    Allowed {
        commands: &["spop"],
        reason: "chance decides: as many members, and the servers go on with the same ones",
        alike: |pair, call| pair.pops_alike(call),
    },
    Allowed {
        commands: &["zrange", "zrangestore", "zrangebylex", "zrevrangebylex", "zremrangebylex", "zlexcount"],
        reason: "a range by member of members with different scores means nothing",
        alike: |pair, call| pair.ranges_by_member_alike(call),
    },
    Allowed {
        commands: &["command|list"],
        reason: "we have fewer commands: none that Redis does not have",
        alike: |_, call| match (call.ours, call.theirs) {
            (Value::Array(ours), Value::Array(theirs)) => {
                ours.iter().all(|name| theirs.contains(name) || is_newer(name.to_string().trim_matches('"')))
            }
            _ => false,
        },
    },
    Allowed {
        commands: &["scan"],
        reason: "cursors are this server's own: a whole iteration finds the same keys",
        alike: |pair, call| pair.scans_alike(call),
    },
    Allowed {
        commands: &["randomkey"],
        reason: "chance decides: some key that exists",
        alike: |pair, call| pair.both_exist(call),
    },
    Allowed {
        commands: &["dbsize"],
        reason: "expired keys count until they are reclaimed: the same once each was looked at",
        alike: |pair, call| pair.sizes_alike(call),
    },
    Allowed {
        commands: &["hello"],
        reason: "connection ids are this server's own",
        alike: |_, call| without_id(call.ours).is_some_and(|ours| Some(ours) == without_id(call.theirs)),
    },
    Allowed {
        commands: &["client|info"],
        reason: "buffers, ages and addresses are this connection's own; LIB-NAME and LIB-VER came with Redis 7.2",
        alike: |_, call| client_facts(call.ours).is_some_and(|ours| Some(ours) == client_facts(call.theirs)),
    },
    Allowed {
        commands: &["client|id", "object|idletime", "time"],
        reason: "counts what this server has seen: the same kind of reply",
        alike: |_, call| match (call.ours, call.theirs) {
            (Value::Integer(_), Value::Integer(_)) => true,
            (Value::Array(ours), Value::Array(theirs)) => ours.len() == theirs.len(),
            _ => false,
        },
    },
];

/// Whether two replies are the same but for times: moments, and how long ago something was. These stand behind `idle`, or
/// third in what XPENDING says of an entry.
pub fn same_but_for_times(ours: &Value, theirs: &Value) -> bool {
    const MOMENT: i64 = 1_000_000_000_000;
    let is_close = |ours: i64, theirs: i64| ours.abs_diff(theirs) <= 2000;
    let is_idle = |value: Option<&Value>| value == Some(&Value::Bulk("idle".into()));
    let is_entry =
        |values: &[Value]| matches!(values, [Value::Bulk(_), Value::Bulk(_), Value::Integer(_), Value::Integer(_)]);
    match (ours, theirs) {
        (Value::Integer(ours), Value::Integer(theirs)) if *ours > MOMENT && *theirs > MOMENT => {
            is_close(*ours, *theirs)
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            let alike = |at: usize| match (&ours[at], &theirs[at]) {
                (Value::Integer(one), Value::Integer(other))
                    if is_entry(ours) && at == 2 || is_idle(at.checked_sub(1).and_then(|key| ours.get(key))) =>
                {
                    is_close(*one, *other)
                }
                (one, other) => same_but_for_times(one, other),
            };
            ours.len() == theirs.len() && (0..ours.len()).all(alike)
        }
        (Value::Map(ours), Value::Map(theirs)) => {
            let alike = |(ours, theirs): (&(Value, Value), &(Value, Value))| match (&ours.1, &theirs.1) {
                (Value::Integer(one), Value::Integer(other)) if is_idle(Some(&ours.0)) => is_close(*one, *other),
                (one, other) => ours.0 == theirs.0 && same_but_for_times(one, other),
            };
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(alike)
        }
        (ours, theirs) => ours == theirs,
    }
}

/// Both the same negative answer, or both a time, close to one another.
fn close(call: &Call<'_>, tolerance: i64) -> bool {
    match (call.ours, call.theirs) {
        (Value::Integer(ours), Value::Integer(theirs)) => {
            *ours >= 0 && *theirs >= 0 && ours.abs_diff(*theirs) <= tolerance as u64
        }
        _ => false,
    }
}

fn has_word(call: &Call<'_>, word: &[u8]) -> bool {
    call.args.iter().any(|arg| arg.eq_ignore_ascii_case(word))
}

/// An array's elements in order of their text.
pub fn sorted(value: &Value) -> Option<Vec<String>> {
    let Value::Array(values) = value else { return None };
    let mut texts: Vec<String> = values.iter().map(Value::to_string).collect();
    texts.sort();
    Some(texts)
}

/// HELLO's facts as texts, its `id` left out.
fn without_id(value: &Value) -> Option<Vec<(String, String)>> {
    let mut pairs: Vec<(String, String)> = match value {
        Value::Map(pairs) => pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        Value::Array(flat) => {
            flat.chunks(2).map(|pair| (pair[0].to_string(), pair[pair.len() - 1].to_string())).collect()
        }
        _ => return None,
    };
    pairs.retain(|(key, _)| key != "\"id\"");
    Some(pairs)
}

/// The fields of CLIENT INFO in their order, with the values of those that a client decides.
fn client_facts(value: &Value) -> Option<Vec<String>> {
    let (Value::Bulk(line) | Value::Verbatim { text: line, .. }) = value else { return None };
    let line = String::from_utf8_lossy(line).into_owned();
    let fields = line.split_whitespace().filter(|field| !field.starts_with("lib-"));
    let decided = ["name", "flags", "db", "sub", "psub", "ssub", "multi", "events", "cmd", "user", "redir", "resp"];
    let fact = |field: &str| match field.split_once('=') {
        Some((name, _)) if !decided.contains(&name) => name.to_string(),
        _ => field.to_string(),
    };
    Some(fields.map(fact).collect())
}

/// A command that can be called, under the name that COMMAND gives it.
pub struct Callable {
    pub name: String,
    pub command: &'static Command,
    /// The words that call it: `["client", "list"]`.
    pub words: Vec<&'static str>,
}

/// Every command of `table` and every subcommand; containers only where a bare call means something.
pub fn callables(table: impl Iterator<Item = &'static Command>) -> Vec<Callable> {
    let mut all = Vec::new();
    for command in table {
        all.push(Callable { name: command.name.into(), command, words: vec![command.name] });
        for sub in command.subcommands {
            let (name, words) = (format!("{}|{}", command.name, sub.name), vec![command.name, sub.name]);
            all.push(Callable { name, command: sub, words });
        }
    }
    all
}

pub fn is_excluded(name: &str) -> bool {
    EXCLUDED.iter().any(|(pattern, _)| covers(pattern, name)) || is_newer(name)
}

/// Commands that no Redis has.
const OURS: &[&str] = &["bgtask"];

/// Whether a command came with a later Redis (or with none) than the one we are compared with: there is nothing to compare it with.
pub fn is_newer(name: &str) -> bool {
    if OURS.iter().any(|ours| name == *ours || name.starts_with(&format!("{ours}|"))) {
        return true;
    }
    let version = |since: &str| since.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
    let found = callables(table::all()).into_iter().find(|callable| callable.name == name);
    found.is_some_and(|callable| version(callable.command.since) >= vec![7, 2])
}

/// Whether `pattern` of [`EXCLUDED`] means the command called `name`.
pub fn covers(pattern: &str, name: &str) -> bool {
    let (container, sub) = name.split_once('|').unwrap_or((name, ""));
    match pattern.split_once('|') {
        Some((of, "*")) => of == container,
        Some(("*", of)) => of == sub,
        _ => match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(end), _) => name.ends_with(end),
            (_, Some(begin)) => name.starts_with(begin),
            _ => pattern == name,
        },
    }
}

pub fn allowed(name: &str) -> Option<&'static Allowed> {
    ALLOWED.iter().find(|row| row.commands.contains(&name))
}
