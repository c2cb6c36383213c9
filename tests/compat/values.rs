//! What generated arguments are: few and colliding, with every edge case that ever made two servers disagree.
//!
//! Both servers run with `proto-max-bulk-len 1mb`, so no number here can make either of them allocate much.

use bulkhead::commands::ArgumentKind;
use bytes::Bytes;

use crate::dice::Dice;

pub const KEYS: &[&[u8]] = &[b"k0", b"k1", b"k2", b"k3", b"k4", b"k5"];

const ODD_KEYS: &[&[u8]] =
    &[b"", b"k\x00\xff\r\n", b"{k}0", b"K0", b" k0 ", b"a-key-that-is-longer-than-what-fits-into-an-embedded-string"];

const STRINGS: &[&[u8]] = &[
    b"",
    b"a",
    b"b",
    b"hello world",
    b"0",
    b"1",
    b"-5",
    b"10",
    b"3.14",
    b"1.0",
    b"5.0e3",
    b"\x00\xff\r\n",
    b"caf\xc3\xa9",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b" 1",
    b"1 ",
    b"007",
    b"0x10",
    b"inf",
    b"nan",
    // The longest embedded string, and one byte more.
    b"44444444444444444444444444444444444444444444",
    b"444444444444444444444444444444444444444444445",
    b"a string of more than twenty bytes",
];

/// Three of them do not fit into a record.
const LONG_STRINGS: &[&[u8]] = &[&[b'a'; 400], &[b'b'; 500], &[0xc3; 70]];

const SMALL_INTEGERS: &[&[u8]] = &[b"0", b"1", b"2", b"3", b"5", b"10", b"-1", b"-2", b"-5", b"100"];

const ODD_INTEGERS: &[&[u8]] = &[
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551616",
    b"4294967296",
    b"2147483648",
    b"-2147483649",
    b"1048575",
    b"1048576",
    b"1048577",
    b"-0",
    b"+1",
    b"01",
    b" 1",
    b"1 ",
    b"1.5",
    b"1e2",
    b"0x1",
    b"",
    b"abc",
    b"1\x00",
];

const DOUBLES: &[&[u8]] = &[b"0", b"1", b"0.1", b"-0.5", b"1.5", b"2.25", b"3.0e2", b"10", b"-1", b"1e10", b"100.001"];

const ODD_DOUBLES: &[&[u8]] = &[
    b"inf",
    b"-inf",
    b"+inf",
    b"infinity",
    b"nan",
    b"-nan",
    b"-0",
    b"-0.0",
    b"+1.5",
    b"1e308",
    b"-1.7976931348623157e308",
    b"1e309",
    b"5e-324",
    b"1e-5000",
    b"1e5000",
    b"0x1p3",
    b".5",
    b"5.",
    b".",
    b"e5",
    b"1.5abc",
    b" 1.5",
    b"1.5 ",
    b"",
    b"abc",
    b"0.1000000000000000055511151231257827",
    b"123456789012345678901234567890",
    b"3.00000000000000000000",
];

const DATABASES: &[&[u8]] = &[b"0", b"1", b"2", b"9"];
const ODD_DATABASES: &[&[u8]] = &[b"15", b"16", b"-1", b"99999999999", b"1.0", b"abc", b"", b"01"];

/// Long enough to outlast a run by far, and far enough apart that GT and LT never depend on milliseconds.
const SECONDS: &[&[u8]] = &[b"100", b"1000", b"5000", b"1000000"];
const MILLISECONDS: &[&[u8]] = &[b"100000", b"1000000", b"5000000", b"1000000000"];
const ODD_TIMES: &[&[u8]] = &[
    b"0",
    b"-1",
    b"-100",
    b"9223372036854775807",
    b"-9223372036854775808",
    // Seconds whose milliseconds do not fit, and the last that do.
    b"9223372036854776",
    b"9223372036854775",
    b"9223370000000000",
    b"abc",
    b"1.5",
    b"",
    b"+100",
];

const UNIX_SECONDS: &[&[u8]] = &[b"4102444800", b"4102448400", b"33177117420", b"1", b"1000000000"];
const UNIX_MILLISECONDS: &[&[u8]] = &[b"4102444800000", b"4102444800123", b"33177117420000", b"1", b"1000000000000"];

const PATTERNS: &[&[u8]] = &[
    b"*", b"k*", b"k?", b"k[0-2]", b"k[^0]", b"[kK]0", b"*0", b"", b"k\\0", b"nothing", b"k[", b"**", b"k[0-", b"?0\\",
];

const BIT_OFFSETS: &[&[u8]] = &[b"0", b"1", b"5", b"7", b"8", b"12", b"63", b"100", b"1000"];
/// Where long strings begin, and their segments.
const FAR_OFFSETS: &[&[u8]] =
    &[b"16383", b"16384", b"65530", b"65535", b"65536", b"81919", b"81920", b"131072", b"100000", b"-1", b"0"];
const FAR_BIT_OFFSETS: &[&[u8]] = &[b"524287", b"524288", b"524289", b"655359", b"655360", b"800000", b"131071"];
const FIELD_OFFSETS: &[&[u8]] = &[b"0", b"1", b"5", b"7", b"63", b"100", b"#0", b"#1", b"#3"];
const ODD_BIT_OFFSETS: &[&[u8]] = &[
    // The last bit that there may be, and the next one.
    b"8388607",
    b"8388608",
    b"-1",
    b"#-1",
    b"#8388607",
    b"#1048575",
    b"#2305843009213693952",
    b"#9223372036854775807",
    b"#",
    b"##1",
    b"9223372036854775807",
    b"9223372036854775808",
    b"1.5",
    b"01",
    b"",
    b"abc",
];
const FIELDS: &[&[u8]] = &[b"u8", b"i8", b"u1", b"i1", b"u2", b"i5", b"u4", b"u63", b"i64", b"i16", b"u16", b"i63"];
const ODD_FIELDS: &[&[u8]] =
    &[b"u64", b"i65", b"u0", b"i0", b"U8", b"u08", b"u", b"", b"8", b"u8\x00x", b"u-1", b"i 8"];
/// Where fields of all widths overflow.
const FIELD_VALUES: &[&[u8]] = &[
    b"0",
    b"1",
    b"-1",
    b"2",
    b"127",
    b"128",
    b"-128",
    b"-129",
    b"200",
    b"255",
    b"256",
    b"65535",
    b"4611686018427387904",
    b"9223372036854775807",
    b"-9223372036854775808",
];

/// Fields of hashes: few, so that they meet.
const NAMES: &[&[u8]] = &[b"f0", b"f1", b"f2", b"f3", b"1", b"-7"];
/// Members of sets and sorted sets: integers, and what only looks like one.
const MEMBERS: &[&[u8]] = &[b"m0", b"m1", b"m2", b"0", b"1", b"2", b"10", b"-5", b"7", b"100"];
const ODD_MEMBERS: &[&[u8]] = &[
    b"",
    b"007",
    b"-0",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"\x00\xff\r\n",
    // The longest member of a listpack, and one byte more.
    b"4444444444444444444444444444444444444444444444444444444444444444",
    b"44444444444444444444444444444444444444444444444444444444444444445",
];
/// Few scores, so that many members have the same.
const SCORES: &[&[u8]] = &[b"0", b"1", b"1", b"2", b"-1", b"2.5", b"0.1", b"-0", b"inf", b"-inf", b"10"];
const SCORE_ENDS: &[&[u8]] = &[b"0", b"1", b"2", b"(1", b"(2", b"-inf", b"+inf", b"inf", b"-1", b"(-1", b"10", b"(0"];
const ODD_SCORE_ENDS: &[&[u8]] = &[
    b"", b"(", b"((1", b"nan", b"(nan", b" 1", b"1 ", b"1e400", b"(1e400", b"1e-400", b"0x1", b"abc", b"[1", b"1\x00x",
    b"-", b"+", b"-0", b"(-0",
];
const LEX_ENDS: &[&[u8]] = &[b"-", b"+", b"[m0", b"(m0", b"[m2", b"(m2", b"[1", b"(10", b"[", b"(", b"-", b"+"];
const ODD_LEX_ENDS: &[&[u8]] = &[b"", b"m0", b"-1", b"+x", b"-\x00x", b"+\x00x", b"[\x00", b"(\xff", b"0", b"1"];
/// Ends of ZRANGE's ranges: they are positions, scores or members, as its options say.
const RANGE_ENDS: &[&[u8]] =
    &[b"0", b"-1", b"1", b"2", b"0", b"-1", b"-3", b"(1", b"-inf", b"+inf", b"-", b"+", b"[m1"];

/// Ids of a stream's entries: few, so that they meet.
const ENTRY_IDS: &[&[u8]] =
    &[b"1-0", b"1-1", b"1-2", b"2-0", b"2-1", b"2-2", b"3-0", b"3", b"3-1", b"4-1", b"5", b"5-1", b"0", b"0-0", b"7-7"];
/// The rest is for the server to choose.
const PARTIAL_IDS: &[&[u8]] = &[b"1-*", b"2-*", b"3-*", b"3-*", b"4-*", b"5-*", b"5-*", b"5-*"];
const RANGE_IDS: &[&[u8]] = &[b"-", b"-", b"+", b"1", b"2", b"(2-0", b"(1-1", b"3-0", b"(3", b"0", b"5", b"(5-1"];
const ODD_IDS: &[&[u8]] = &[
    b"$",
    b">",
    b"*",
    b"-",
    b"+",
    b"(",
    b"(-",
    b"(+",
    b"((1",
    b"1-",
    b"-1",
    b"1--1",
    b"1-1-1",
    b"01-01",
    b" 1-1",
    b"1-+1",
    b"18446744073709551615-18446744073709551615",
    b"(18446744073709551615-18446744073709551615",
    b"(0-0",
    b"18446744073709551616",
    b"18446744073709551615-0",
    b"5-18446744073709551615",
    b"1-*",
    b"0-*",
    b"",
    b"abc",
    b"1\x00-1",
    b"9223372036854775808-1",
    b"5-9223372036854775808",
];
const GROUPS: &[&[u8]] = &[b"g0", b"g1", b"g0", b"g1", b"g2"];
const CONSUMERS: &[&[u8]] = &[b"Alice", b"Bob", b"c"];
/// None that would tell entries apart that were delivered a moment ago.
const IDLE_TIMES: &[&[u8]] = &[b"0", b"0", b"1000000", b"-1"];
const ODD_IDLE_TIMES: &[&[u8]] =
    &[b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"1.5", b"", b"abc", b"0x1"];
/// What MAXLEN or MINID leaves.
const THRESHOLDS: &[&[u8]] = &[b"0", b"1", b"2", b"3", b"5", b"10", b"100", b"2-1", b"3-0", b"1-1"];

const SORT_PATTERNS: &[&[u8]] =
    &[b"k*", b"k*", b"#", b"*", b"nosort", b"k*->a", b"k*->1", b"k*->", b"*->a", b"k0*", b"", b"k\x00*"];

/// Few places, some of them near one another, at the ends of the earth, and on cells' edges.
const LONGITUDES: &[&[u8]] = &[b"13.361389", b"15.087269", b"15", b"13.5", b"0", b"180", b"-180", b"179.9", b"-122.4"];
const LATITUDES: &[&[u8]] = &[b"38.115556", b"37.502669", b"37", b"38", b"0", b"85.05112878", b"-85", b"-33.9", b"70"];
const ODD_COORDINATES: &[&[u8]] =
    &[b"181", b"-180.0001", b"85.06", b"-85.06", b"inf", b"nan", b"1e308", b"", b"abc", b"-0", b"1e-320"];
const LENGTHS: &[&[u8]] = &[b"0", b"1", b"10", b"50", b"100", b"200", b"400", b"1000", b"5000", b"20000", b"0.5"];
const ODD_LENGTHS: &[&[u8]] = &[b"-1", b"-0", b"inf", b"nan", b"1e300", b"1e-300", b"", b"abc", b"1e8"];
const UNITS: &[&[u8]] = &[b"m", b"km", b"ft", b"mi", b"km", b"KM", b"Mi"];
/// As redis-server dumped them.
const PAYLOADS: &[&[u8]] = &[
    b"\x00\x00\x0a\x00]\x9b\x5c@\x0f\x7f\xa2\xda",
    b"\x00\x03abc\x0a\x00\xd9\xac0=Ar\xa2\xe2",
    b"\x00\xc0\x0c\x0a\x00<*\xf8Q\x5c\x04\xbc\xd5",
    b"\x00\xc1\x7f\xff\x0a\x00\x17`\x82(T\x80\x84\x80",
    b"\x00\xc2\x00\x80\x00\x00\x0a\x00E\xd8.\xed\xd5\xbd\xa9\x10",
    b"\x00\xc2\x00\x00\x00\x80\x0a\x00\xc7O\x87>3U\x81\x87",
    b"\x00\x0a2147483648\x0a\x00\xe7\xb1)\xa3L\x1dv\xee",
    b"\x00\x139223372036854775807\x0a\x00:e~\x94\x81\xe8_\x22",
    b"\x00\x03012\x0a\x00\x8fTc\xe9T~\xeb\x0c",
    b"\x00\x14aaaaaaaaaaaaaaaaaaaa\x0a\x00\x83\xb4k^\x1b\x11\xac\xf1",
    b"\x00\xc3\x0a@P\x02aba\xe0B\x01\x01ab\x0a\x00\x94\x9d_\x0e\xb1\xde\xa4E",
    b"\x00\xc3\x17Ah\x0chello world h\xe0\xff\x0b\xe1H\x07\x01d \x0a\x00\xfb)'A\xc5Jyk",
    b"\x12\x01\x02\xc3#@c\x11c\x00\x00\x00\x05\x00\x81a\x02\x01\x01\xf1x\xec\x03\xe0Fx\xe0<\x00\x06H\xf4\x14\x1a\x99\xbe\x1c \x5c\x01\x09\xff\x0a\x00}\x9a\xd7.o\xc8- ",
    b"\x0b\x0e\x02\x00\x00\x00\x03\x00\x00\x00\xfe\xff\x01\x00\x03\x00\x0a\x00\x1b\x18F\x0e\xe1o\x04\xbb",
    b"\x0b\x10\x04\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00p\x11\x01\x00\x0a\x00'5Cn\xfdfV\xc4",
    b"\x0b\x18\x08\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x0a\x001\x22\xf0m\xf5B\xc0\xb4",
    b"\x02\x01\x01a\x0a\x00b\x96\xe9~D\xd2\x1am",
    b"\x02\x03\x01a\x01b\xc0\x01\x0a\x00#\xffs\xbd\xb0\xf95&",
    b"\x10\x17\x17\x00\x00\x00\x06\x00\x81f\x02\x81v\x02\x81g\x02\x0c\x01\x81h\x02\x80\x01\xff\x0a\x00@\xa3}\x04\xd1o6\x10",
    b"\x04\x01\x01f\xc3\x09@A\x01vv\xe04\x00\x01vv\x0a\x00=q\xbeR7\x86\xcfE",
    b"\x11\xc3>@F\x1fF\x00\x00\x00\x0c\x00\x81d\x02\x84-inf\x05\x81e\x02\x00\x01\x81a\x02\x01\x01\x81b\x02\x832.5\x07\x04\x81f\x02\x971.0\xe0\x05\x00\x0a1e+300\x18\x81c\x02\x83 5\x01\x04\xff\x0a\x00\xcd#\xee@o<\xcf\xfe",
    b"\x05\x03\x01b\x00\x00\x00\x00\x00\x00\x04@\xc3\x09@A\x01aa\xe04\x00\x01aa\x00\x00\x00\x00\x00\x00\xf0?\x01x\x00\x00\x00\x00\x00\x00\xf0\xff\x0a\x00n\x06\x07:\xa7\x81\xd6\xb7",
    b"\x0e\x02\x15\x15\x00\x00\x00\x11\x00\x00\x00\x04\x00\x00\x01a\x03\xf1\x02\xfd\x02\xfe\x0d\xff\x0e\x0e\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x01b\xff\x0a\x00\xc1S\x0f\xfc\x95\xa1#\x98",
    b"\x01\x02\x01a\xc0\x05\x0a\x00G\xa3w\x89\xf0\xcf\xbb\x97",
    b"\x12\x02\x01\x05plain\x02\x0c\x0c\x00\x00\x00\x02\x00\x81a\x02\x01\x01\xff\x0a\x00\xdd5\x9e\xf3s\x8c\xa2R",
    b"\x0d\x16\x16\x00\x00\x00\x13\x00\x00\x00\x04\x00\x00\x01f\x03\x01v\x03\x01g\x03\xf8\xff\x0a\x00\x9f\xe528\xd1G\xeb_",
    b"\x0c!!\x00\x00\x00\x1b\x00\x00\x00\x06\x00\x00\x01b\x03\x04-1.5\x06\x01a\x03\xf4\x02\x01c\x03\x03inf\xff\x0a\x00\x03\x10*]\xdf\xef\xe7P",
    b"\x03\x04\x01a\x031.5\x01b\xfe\x01c\xff\x01d\x017\x0a\x00\xc72X\x13\xc8\x83\xbc\xf9",
    b"\x00\x81\x00\x00\x00\x00\x00\x00\x00\x03abc\x0a\x003\xe0\xdc\xd8L\xcd\xe6g",
    b"\x00\x80\x00\x00\x00\x03abc\x0a\x00\x8b\xd6\xc3F&c\x1f\xed",
];
const ODD_PAYLOADS: &[&[u8]] = &[
    b"",
    b"abc",
    // Of a later version; damaged; a stream; a string that is longer than the payload.
    b"\x00\x01a\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    b"\x00\xc0\x0a\x0a\x00n\x9fWE\x0e\xaec\xbc",
    b"\x0f\x00\x0a\x00nR\x1f\x0d\x81\xd6\x80\xcb",
    b"\x00?abc\x0a\x00\xf5_nP\xf8\x15\xbb\x22",
    b"\x01\x00\x0a\x00[\xf8%\xccl\x17CV",
    b"\x02\x02\x01a\x01a\x0a\x00W\xbev/\xc2\xd6R:",
    b"\x05\x01\x01a\x00\x00\x00\x00\x00\x00\xf8\x7f\x0a\x00\xf0\xf9)\xa9\x06TY'",
    b"c\x0a\x00\xae\x7f\x81\xd3\xec\xda\xe1\xfb",
    b"\x00\x01atrailing\x0a\x00\x5c\xfbV\x95B\xa2\xc3\x19",
];

/// Each is run with some keys and arguments, or none.
const SCRIPTS: &[&[u8]] = &[
    b"return 1",
    b"return {KEYS[1], ARGV[1], #KEYS, #ARGV}",
    b"return redis.call('get', KEYS[1])",
    b"return redis.call('set', KEYS[1], ARGV[1] or 'v')",
    b"return redis.pcall('incrby', KEYS[1], ARGV[1])",
    b"redis.call('set', KEYS[1], 'x') return redis.call('lpush', KEYS[1], 'y')",
    b"redis.call('del', KEYS[1]) redis.call('rpush', KEYS[1], 1, 2.5, 'c') return redis.call('lrange', KEYS[1], 0, -1)",
    b"redis.call('del', KEYS[1]) redis.call('hset', KEYS[1], 'f', ARGV[1] or 0) return redis.call('hgetall', KEYS[1])",
    b"local ok, e = pcall(redis.call, 'hset', KEYS[1], 'f', 'v') return {ok, tostring(e):sub(1, 9)}",
    b"redis.setresp(3) return redis.call('config', 'get', 'x')",
    b"redis.call('select', ARGV[1] or 1) redis.call('set', 'k0', 'elsewhere') return redis.call('dbsize')",
    b"redis.call('rename', KEYS[1], KEYS[2]) return redis.call('exists', KEYS[1], KEYS[2])",
    b"redis.call('zadd', KEYS[1], 1, 'a', 2, 'b') return redis.call('zrange', KEYS[1], 0, -1, 'withscores')",
    b"redis.call('sadd', KEYS[1], 'm') redis.call('nosuch')",
    b"for i = 1, 70 do redis.call('rpush', KEYS[1], i) end error('done')",
    b"redis.call('flushdb') redis.call('set', KEYS[1], 'new') error({err = 'CODE text'})",
    b"redis.call('set', KEYS[1], '1', 'px', 100000) redis.call('incr', KEYS[1]) return redis.call('get', KEYS[1])",
    b"return cjson.encode({ARGV[1], tonumber(ARGV[1])})",
    b"#!lua flags=no-writes\nreturn redis.call('strlen', KEYS[1])",
    b"#!lua flags=no-writes\nreturn redis.call('del', KEYS[1])",
    b"return redis.call('eval', 'return 1', 0)",
    b"x = 1",
    b"return x",
    b"return return",
];
/// Of the first of them, and of none.
const DIGESTS: &[&[u8]] = &[
    b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db",
    b"E0E1F9FABFC9D4800C877A703B823AC0578FF8DB",
    b"0000000000000000000000000000000000000000",
];

const COUNTS: &[&[u8]] = &[b"1", b"2", b"10", b"1000"];
const TYPES: &[&[u8]] = &[b"string", b"list", b"hash", b"set", b"zset", b"stream", b"STRING", b"nosuch"];

/// A value for the argument called `name`; `odd`: preferably one that may be refused.
pub fn value(dice: &mut Dice, name: &str, kind: ArgumentKind, odd: bool) -> Bytes {
    let (usual, strange): (&[&[u8]], &[&[u8]]) = match (name, kind) {
        (_, ArgumentKind::Key) => (KEYS, ODD_KEYS),
        ("db" | "index1" | "index2" | "destination-db", _) => (DATABASES, ODD_DATABASES),
        ("seconds", _) => (SECONDS, ODD_TIMES),
        ("milliseconds" | "ttl", _) => (MILLISECONDS, ODD_TIMES),
        ("unix-time-seconds", _) => (UNIX_SECONDS, ODD_TIMES),
        ("unix-time-milliseconds", _) => (UNIX_MILLISECONDS, ODD_TIMES),
        ("cursor", _) => (&[b"0"], ODD_INTEGERS),
        ("count", _) => (COUNTS, ODD_INTEGERS),
        ("protover", _) => (&[b"2", b"3"], ODD_INTEGERS),
        ("serialized-value", _) => (PAYLOADS, ODD_PAYLOADS),
        ("sort-pattern", _) => (SORT_PATTERNS, PATTERNS),
        ("long", _) => (LONG_STRINGS, STRINGS),
        ("element" | "pivot", _) => (&[b"a", b"b", b"c", b"1", b"hello world"], STRINGS),
        ("type", _) => (TYPES, STRINGS),
        ("script", _) => (SCRIPTS, STRINGS),
        ("sha1", _) => (DIGESTS, STRINGS),
        ("field", _) => (NAMES, STRINGS),
        ("member", _) => (MEMBERS, ODD_MEMBERS),
        ("score", _) => (SCORES, ODD_DOUBLES),
        ("min" | "max", ArgumentKind::Double) | ("score-end", _) => (SCORE_ENDS, ODD_SCORE_ENDS),
        ("min" | "max", ArgumentKind::String) | ("lex-end", _) => (LEX_ENDS, ODD_LEX_ENDS),
        ("start" | "stop", ArgumentKind::String) | ("range-end", _) => (RANGE_ENDS, ODD_INTEGERS),
        ("id" | "last-id" | "entry-id" | "max_deleted_entry_id", _) => (ENTRY_IDS, ODD_IDS),
        ("partial-id", _) => (PARTIAL_IDS, ODD_IDS),
        ("range-id" | "end", _) => (RANGE_IDS, ODD_IDS),
        ("group" | "groupname", _) => (GROUPS, STRINGS),
        ("consumer" | "consumername", _) => (CONSUMERS, STRINGS),
        ("min-idle-time" | "ms", _) => (IDLE_TIMES, ODD_IDLE_TIMES),
        ("threshold", _) => (THRESHOLDS, ODD_INTEGERS),
        ("longitude", _) => (LONGITUDES, ODD_COORDINATES),
        ("latitude", _) => (LATITUDES, ODD_COORDINATES),
        ("radius" | "width" | "height", _) => (LENGTHS, ODD_LENGTHS),
        ("unit", _) => (UNITS, STRINGS),
        ("bit", _) => (&[b"0", b"1"], ODD_INTEGERS),
        ("far-offset", _) => (FAR_OFFSETS, ODD_INTEGERS),
        ("far-bit-offset", _) => (FAR_BIT_OFFSETS, ODD_BIT_OFFSETS),
        ("bit-offset", _) => (BIT_OFFSETS, ODD_BIT_OFFSETS),
        ("field-offset", _) => (FIELD_OFFSETS, ODD_BIT_OFFSETS),
        ("encoding", _) => (FIELDS, ODD_FIELDS),
        ("field-value", _) => (FIELD_VALUES, ODD_INTEGERS),
        ("operation", _) => (&[b"AND", b"OR", b"XOR", b"NOT"], STRINGS),
        ("subcommand", _) => (&[b"GETREG", b"DECODE", b"ENCODING", b"TODENSE"], STRINGS),
        (_, ArgumentKind::Integer | ArgumentKind::UnixTime) => (SMALL_INTEGERS, ODD_INTEGERS),
        (_, ArgumentKind::Double) => (DOUBLES, ODD_DOUBLES),
        (_, ArgumentKind::Pattern) => (PATTERNS, STRINGS),
        _ => (STRINGS, STRINGS),
    };
    Bytes::from_static(dice.pick(if odd { strange } else { usual }))
}

/// The value that `{name}` of a template stands for.
pub fn placeholder(dice: &mut Dice, name: &str, odd: bool) -> Bytes {
    let kind = match name {
        "key" => ArgumentKind::Key,
        "integer" => ArgumentKind::Integer,
        "double" => ArgumentKind::Double,
        "pattern" => ArgumentKind::Pattern,
        _ => ArgumentKind::String,
    };
    value(dice, name, kind, odd)
}

/// Many arguments that `{name}` of a template stands for: so many that a collection made of them no longer fits into its
/// record, and often is not in its compact form either.
pub fn many(dice: &mut Dice, name: &str) -> Option<Vec<Bytes>> {
    let write: fn(usize, usize) -> Vec<String> = match name {
        "many-fields" => |at, _| vec![format!("f{at}"), format!("v{at}")],
        "many-members" => |at, _| vec![format!("m{at}")],
        "many-integers" => |at, _| vec![at.to_string()],
        "many-scored" => |at, variety| vec![(at % variety).to_string(), format!("m{at}")],
        "many-places" => |at, _| vec![format!("{}", 13 + at % 5), format!("37.{at}"), format!("m{at}")],
        _ => return None,
    };
    let count = dice.pick(&[20, 65, 70, 129, 140, 520]);
    let variety = dice.pick(&[1, 3, 1000]);
    Some((0..count).flat_map(|at| write(at, variety)).map(Bytes::from).collect())
}

/// Puts the first keys of [`KEYS`] in the place of the others.
pub fn use_few_keys(call: &mut [Bytes]) {
    for word in call.iter_mut() {
        if let Some(at) = KEYS.iter().position(|key| *key == &word[..]) {
            *word = Bytes::from_static(KEYS[at % 2]);
        }
    }
}

/// Any word at all: another argument's value, or something of another command's grammar.
pub fn any_word(dice: &mut Dice, tokens: &[&'static str]) -> Bytes {
    match dice.below(6) {
        0 => Bytes::from_static(dice.pick(KEYS)),
        1 => Bytes::from_static(dice.pick(SMALL_INTEGERS)),
        2 => Bytes::from_static(dice.pick(ODD_INTEGERS)),
        3 => Bytes::from_static(dice.pick(STRINGS)),
        _ => Bytes::from_static(dice.pick(tokens).as_bytes()),
    }
}
