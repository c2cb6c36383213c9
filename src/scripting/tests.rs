//! Tests of the interpreter in its sandbox: what scripts must not reach, must not leave behind, and must not be able to hold up.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::env::{BoxFuture, Clock};
use crate::limits;
use crate::resp::{CommandArgs, Protocol, ReplyBuffer, Value};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::time::Duration;

/// Each look at it takes a microsecond.
#[derive(Default)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Duration {
        Duration::from_micros(self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn unix_time(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        unreachable!("nobody sleeps here")
    }
}

/// Answers every command with what it was called with.
#[derive(Default)]
struct Echo {
    calls: usize,
    /// The command that ends the script.
    fatal: Option<&'static str>,
    running: Option<Arc<Running>>,
}

impl Host for Echo {
    fn call(&mut self, args: &CommandArgs, protocol: Protocol) -> Result<BytesMut, CallError> {
        self.calls += 1;
        if self.fatal.is_some_and(|fatal| fatal.as_bytes() == args.name()) {
            return Err(CallError::Fatal);
        }
        if args.name() == b"kill" {
            self.running.as_ref().expect("a script to kill").kill();
        }
        let mut reply = ReplyBuffer::new(protocol);
        match args.name() {
            b"fail" => reply.error("ERR failed"),
            b"nosuch" => return Err(CallError::Refused("no such command")),
            b"raw" => reply.append_raw(&args[1]),
            _ => {
                reply.array(args.len());
                args.iter().for_each(|arg| reply.bulk(arg));
            }
        }
        Ok(reply.into_bytes())
    }

    fn may_call(&self, _: &CommandArgs) -> Option<bool> {
        Some(true)
    }
}

fn machine() -> Machine {
    Machine::new(Arc::new(Ticking::default())).unwrap()
}

fn run_on(machine: &mut Machine, text: &str, host: &mut Echo) -> Result<Value, Ended> {
    run_for(Duration::from_secs(1), machine, text, host)
}

/// A look at the clock comes with every ten thousand instructions.
fn run_for(time_max: Duration, machine: &mut Machine, text: &str, host: &mut Echo) -> Result<Value, Ended> {
    let script = Script::new(ScriptDigest::of(text.as_bytes()), text.as_bytes()).unwrap();
    let running = Arc::new(Running::default());
    host.running = Some(running.clone());
    let job = Job { script: &script, keys: &[], arguments: &[], time_max, running };
    let mut reply = ReplyBuffer::new(Protocol::Resp3);
    machine.run(&job, host, &mut reply)?;
    let mut encoded = reply.into_bytes();
    let value = Value::decode(&mut encoded).unwrap().expect("a complete reply");
    assert!(encoded.is_empty(), "{text}: more than one reply");
    Ok(value)
}

fn run(text: &str) -> Result<Value, Ended> {
    run_on(&mut machine(), text, &mut Echo::default())
}

fn returns(text: &str, expected: &str) {
    match run(text) {
        Ok(value) => assert_eq!(value.to_string(), expected, "{text}"),
        Err(ended) => panic!("{text}: {ended:?}"),
    }
}

fn fails(text: &str, expected: &str) {
    match run(text) {
        Err(Ended::Failed { text: error, .. }) => {
            let error = String::from_utf8_lossy(&error).into_owned();
            assert!(error.contains(expected), "{text}: {error}");
        }
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn sorting_is_as_in_lua_and_ends_in_time() {
    returns(
        "local n, s, m = {}, {}, {}
         for i = 1, 1000 do n[i] = (i * 7919 % 1013 - 500) / 4 s[i] = tostring(n[i]) .. '\\0' .. i m[i] = n[i] end
         local less = function(a, b) return a < b end
         table.sort(n) table.sort(s) table.sort(m, less)
         for i = 2, 1000 do if n[i] < n[i - 1] or s[i] < s[i - 1] or m[i] ~= n[i] then return i end end
         return {#n, #s, #m}",
        "1) (integer) 1000\n2) (integer) 1000\n3) (integer) 1000",
    );
    returns("local t = {} table.sort(t, nil) return #t", "(integer) 0");
    let mut lasting = "local t = {} for i = 1, 5000 do t[i] = i end table.sort(t, rawequal) return 1";
    for _ in 0..2 {
        let ended = run_for(Duration::from_micros(20), &mut machine(), lasting, &mut Echo::default());
        assert!(matches!(ended, Err(Ended::Overdue(Overdue::Time))), "{lasting}: {ended:?}");
        lasting =
            "local t = {} for i = 1, 9000 do t[i] = i end table.sort(t, function(a, b) return a > b end) return 1";
    }
    fails("table.sort(1)", "user_script:1: bad argument #1 to 'sort' (table expected, got number)");
    fails("table.sort({}, 1)", "user_script:1: bad argument #2 to 'sort' (function expected, got number)");
    fails("table.sort({1, 'a', 2})", "attempt to compare");
    fails("table.sort({1, 2, 3}, function(a, b) return redis.call('fail') end)", "ERR failed");
    let always = "table.sort({3, 2, 5, 4, 1}, function() return true end)";
    fails(always, "user_script:1: invalid order function for sorting");
}

#[test]
fn bytecode_is_not_run_however_it_comes() {
    fails("\u{1b}Lua", "Error compiling script");
    returns(
        "local f, e = loadstring('\\27Lua') return {f == nil, e}",
        "1) (integer) 1\n2) \"attempt to load chunk with wrong mode\"",
    );
    returns(
        "local n = 0 local f = load(function() n = n + 1 return ({'\\27', 'Lua'})[n] end) return f == nil",
        "(integer) 1",
    );
    fails("return string.dump(function() end)", "attempt to call field 'dump'");
}

#[test]
fn what_reaches_outside_is_not_there() {
    for name in
        ["dofile", "loadfile", "print", "newproxy", "getfenv", "setfenv", "debug", "io", "package", "require", "module"]
    {
        fails(&format!("return {name}"), &format!("nonexistent global variable '{name}'"));
    }
    returns("return {os.execute == nil, string.dump == nil}", "1) (integer) 1\n2) (integer) 1");
}

#[test]
fn nothing_that_a_script_does_to_its_world_is_seen_by_the_next() {
    for change in [
        "rawset(_G, 'x', 1)",
        "_G.x = 1",
        "x = 1",
        "redis.call = 1",
        "rawset(redis, 'call', 1)",
        "setmetatable(redis, {})",
        "getmetatable(_G).__index = {}",
        "getmetatable('').__index.upper = 1",
        "getmetatable('').__index = {}",
        "string.upper = 1",
        "cjson.x = 1",
        "coroutine.x = 1",
        "for _, t in pairs({redis, string, _G}) do for k in pairs(t) do t[k] = nil end end",
    ] {
        fails(change, "eadonly table");
    }
    // Where nothing stops it, the interpreter is not used again.
    for change in ["table.insert(redis, 1)", "table.insert(_G, 1)", "table.insert(string, 1, 2)"] {
        let mut machine = machine();
        let _ = run_on(&mut machine, change, &mut Echo::default());
        assert!(!machine.is_sound(), "{change}");
    }
    let mut machine = machine();
    for harmless in ["KEYS[1] = 5", "KEYS = {} return #KEYS", "return math.random()", "local x = {} x.y = 1"] {
        let _ = run_on(&mut machine, harmless, &mut Echo::default());
        assert!(machine.is_sound(), "{harmless}");
    }
}

#[test]
fn the_real_tables_stay_hidden() {
    // Whoever got hold of one could change it.
    fails("local _, t = pairs(redis) t.x = 1", "attempt to index local 't' (a nil value)");
    returns("local names = {} for name in pairs(bit) do names[#names + 1] = name end return #names", "(integer) 12");
    returns("return {next(redis) == nil, rawget(redis, 'call') == nil}", "1) (integer) 1\n2) (integer) 1");
}

#[test]
fn what_never_ends_is_ended() {
    for endless in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local function f() return f() end return f()",
        "repeat local ok = pcall(error) until false",
        "local co = coroutine.wrap(function() while true do end end) co()",
        "while true do pcall(coroutine.wrap(function() while true do coroutine.yield() end end)) end",
        "return string.find(string.rep('a', 5000), string.rep('a*', 50) .. 'b')",
        "while true do pcall(string.find, string.rep('a', 5000), string.rep('a-', 50) .. 'b') end",
        "return string.gsub(string.rep('a', 100000), '.-b', '')",
        "for w in string.gmatch(string.rep('a', 100000), 'a-b') do end",
        "while true do redis.pcall('anything') end",
        "while true do xpcall(function() error('x') end, function(e) while true do end end) end",
        "setmetatable({}, {__index = function(t, k) return t[k + 1] end})[1]()",
        "return table.sort({3, 1, 2}, function(a, b) while true do end end)",
        "return string.gsub('x', 'x', function() while true do end end)",
        "return cjson.encode(setmetatable({}, {__index = function() while true do end end})), (function() while true do end end)()",
    ] {
        let mut machine = machine();
        match run_for(Duration::from_micros(500), &mut machine, endless, &mut Echo::default()) {
            Err(Ended::Overdue(Overdue::Time)) => assert!(!machine.is_sound(), "{endless}"),
            Err(Ended::Failed { text, .. }) => {
                // The stack may end before the time does.
                assert!(String::from_utf8_lossy(&text).contains("overflow"), "{endless}: {text:?}");
            }
            other => panic!("{endless}: {other:?}"),
        }
    }
}

#[test]
fn a_script_that_is_killed_ends_though_it_catches_every_error() {
    let mut machine = machine();
    let script = "redis.call('kill') while true do pcall(function() while true do end end) end";
    let ended = run_on(&mut machine, script, &mut Echo::default());
    assert!(matches!(ended, Err(Ended::Overdue(Overdue::Killed))), "{ended:?}");
    assert!(!machine.is_sound());
}

#[test]
fn what_the_host_cannot_go_on_with_no_script_can_catch() {
    for script in ["redis.pcall('stop') redis.call('after')", "pcall(redis.call, 'stop') pcall(redis.call, 'after')"] {
        let mut host = Echo { fatal: Some("stop"), ..Echo::default() };
        let ended = run_on(&mut machine(), script, &mut host);
        assert!(matches!(ended, Err(Ended::Fatal)), "{script}: {ended:?}");
        assert_eq!(host.calls, 1, "{script}");
    }
}

#[test]
fn memory_is_bounded() {
    for greedy in [
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do t[#t + 1] = {} end",
        "return string.rep('x', 1e10)",
        "return ('x'):rep(2^31):rep(2^31)",
        "local t = {} for i = 1, 1e9 do t[i] = string.rep('x', 1e6) .. i end",
    ] {
        let mut machine = machine();
        let ended = run_on(&mut machine, greedy, &mut Echo::default());
        assert!(matches!(ended, Err(Ended::Failed { .. })), "{greedy}: {ended:?}");
        // What it takes to say so comes on top.
        assert!(machine.memory_bytes() <= limits::SCRIPT_MEMORY_BYTES_MAX + (1 << 20), "{greedy}");
    }
}

#[test]
fn the_stack_is_bounded() {
    for deep in [
        "local function f(n) return f(n + 1) + 1 end return f(1)",
        "local function f() return pcall(f) end return tostring(f())",
        "local t = {} t[1] = t return cjson.encode(t)",
        "return cjson.decode(string.rep('[', 100000))",
        "return cmsgpack.unpack(string.rep('\\145', 100000))",
        "return string.find('a', string.rep('(', 1000))",
        "return string.find(string.rep('a', 1000), string.rep('a?', 1000))",
        "return unpack({}, 1, 1e8)",
        "return unpack({}, -2^31, 2^31 - 1)",
        "return unpack({}, 1, 2^53)",
        "local t = {} for i = 1, 300 do t = {t} end return cmsgpack.pack(t)",
        "local t = {} t[1] = t return t",
    ] {
        // Whatever comes of it, the process is still here.
        let deep = deep.to_string();
        let threads = std::thread::Builder::new().stack_size(limits::ENGINE_THREAD_STACK_BYTES);
        let _ = threads.spawn(move || run(&deep).map_err(drop)).unwrap().join().unwrap();
    }
    fails("return unpack({}, -2^31, 2^31 - 1)", "too many results to unpack");
    fails("return cmsgpack.unpack(string.rep('\\145', 100000))", "Bad data format");
}

#[test]
fn a_reply_without_end_is_cut_short() {
    let value = run("local t = {} t[1] = t return t").unwrap().to_string();
    assert!(value.ends_with("(error) ERR reached lua stack limit"), "{value}");
    let huge = "local s = string.rep('x', 1e6) local t = {} for i = 1, 1000 do t[i] = s end return t";
    assert!(matches!(run(huge), Err(Ended::ReplyTooLarge)));
    let tree = "local t = {1} for i = 1, 60 do t = {t, t} end return t";
    let ended = run_for(Duration::from_micros(500), &mut machine(), tree, &mut Echo::default());
    assert!(matches!(ended, Err(Ended::ReplyTooLarge | Ended::Overdue(Overdue::Time))), "{ended:?}");
}

#[test]
fn a_script_draws_the_same_numbers_each_time() {
    let mut machine = machine();
    let mut draw = |text| run_on(&mut machine, text, &mut Echo::default()).unwrap().to_string();
    let first = draw("return {math.random(1000), math.random(1000)}");
    draw("math.randomseed(77) return math.random()");
    draw("cjson.encode_number_precision(3) return 1");
    assert_eq!(draw("return {math.random(1000), math.random(1000)}"), first);
    assert_eq!(draw("return cjson.encode(1 / 3)"), "\"0.33333333333333\"");
}

#[test]
fn errors_reach_the_script_as_it_may_see_them() {
    returns("return type(select(2, pcall(redis.call, 'nosuch')))", "\"string\"");
    returns("return redis.pcall('fail').err", "\"ERR failed\"");
    returns(
        "local _, e = xpcall(function() redis.call('fail') end, function(e) return e end) return e.err",
        "\"ERR failed\"",
    );
    returns(
        "local _, e = coroutine.resume(coroutine.create(function() redis.call('fail') end)) return e.err",
        "\"ERR failed\"",
    );
    returns("return select(2, pcall(string.rep))", "\"bad argument #1 to '?' (string expected, got no value)\"");
    fails("redis.call('fail')", "ERR failed script: ");
    fails("local t = {}\nreturn t.x.y", ", on @user_script:2.");
}

/// A value of RESP3 that has a counterpart in Lua and is not lost on the way.
fn value() -> impl Strategy<Value = Value> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
    let leaf = prop_oneof![
        bytes().prop_map(Value::Bulk),
        (-(1i64 << 53)..1i64 << 53).prop_map(Value::Integer),
        "[ -~]{0,10}".prop_map(|text| Value::Simple(text.into())),
        any::<f64>().prop_filter("a number", |number| number.is_finite()).prop_map(Value::Double),
        "-?[1-9][0-9]{0,30}".prop_map(|digits| Value::BigNumber(digits.into())),
        bytes().prop_map(|text| Value::Verbatim { format: "txt".into(), text }),
        Just(Value::Boolean(true)),
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map("[a-z]{1,5}", inner, 0..2).prop_map(|map| {
                Value::Map(map.into_iter().map(|(key, value)| (Value::Bulk(key.into()), value)).collect())
            }),
            "[a-z]{1,5}".prop_map(|member| Value::Set(vec![Value::Bulk(member.into())])),
        ]
    })
}

fn encoded(value: &Value, reply: &mut ReplyBuffer) {
    match value {
        Value::Bulk(text) => reply.bulk(text),
        Value::Integer(number) => reply.integer(*number),
        Value::Simple(text) => reply.status(text),
        Value::Double(number) => reply.double(*number),
        Value::BigNumber(digits) => reply.big_number(&String::from_utf8_lossy(digits)),
        Value::Verbatim { text, .. } => reply.verbatim("txt", text),
        Value::Boolean(value) => reply.boolean(*value),
        Value::Array(values) => {
            reply.array(values.len());
            values.iter().for_each(|value| encoded(value, reply));
        }
        Value::Set(values) => {
            reply.set(values.len());
            values.iter().for_each(|value| encoded(value, reply));
        }
        Value::Map(pairs) => {
            reply.map(pairs.len());
            pairs.iter().flat_map(|(key, value)| [key, value]).for_each(|value| encoded(value, reply));
        }
        other => unreachable!("{other:?} is not generated"),
    }
}

proptest! {
    #[test]
    fn a_reply_that_a_script_passes_on_is_the_same_reply(value in value()) {
        let mut reply = ReplyBuffer::new(Protocol::Resp3);
        encoded(&value, &mut reply);
        let literal: String = reply.as_bytes().iter().map(|byte| format!("\\{byte:03}")).collect();
        let found = run(&format!("redis.setresp(3) return redis.call('raw', '{literal}')")).unwrap();
        prop_assert_eq!(found, value);
    }

    #[test]
    fn json_is_read_back_as_it_was_written(text in prop::collection::vec(any::<u8>(), 0..40)) {
        let literal: String = text.iter().map(|byte| format!("\\{byte:03}")).collect();
        let found = run(&format!("return cjson.decode(cjson.encode({{x = '{literal}'}})).x")).unwrap();
        prop_assert_eq!(found, Value::Bulk(text.clone().into()));
        let found = run(&format!("return cmsgpack.unpack(cmsgpack.pack({{x = '{literal}'}})).x")).unwrap();
        prop_assert_eq!(found, Value::Bulk(text.into()));
    }

    #[test]
    fn no_text_harms_the_libraries(text in prop::collection::vec(any::<u8>(), 0..60)) {
        let literal: String = text.iter().map(|byte| format!("\\{byte:03}")).collect();
        for call in [
            "cjson.decode(x)", "cmsgpack.unpack(x)", "struct.unpack(x, x)", "struct.pack(x, 1, 2, 3)", "struct.size(x)",
            "string.find(x, x)", "string.gsub(x, x, x)", "string.format(x, 1, 'a')", "loadstring(x)",
        ] {
            let _ = run(&format!("local x = '{literal}' {call}"));
        }
    }
}
