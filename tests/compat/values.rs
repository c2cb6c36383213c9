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
        ("sort-pattern", _) => (SORT_PATTERNS, PATTERNS),
        ("long", _) => (LONG_STRINGS, STRINGS),
        ("element" | "pivot", _) => (&[b"a", b"b", b"c", b"1", b"hello world"], STRINGS),
        ("type", _) => (TYPES, STRINGS),
        ("field", _) => (NAMES, STRINGS),
        ("member", _) => (MEMBERS, ODD_MEMBERS),
        ("score", _) => (SCORES, ODD_DOUBLES),
        ("min" | "max", ArgumentKind::Double) | ("score-end", _) => (SCORE_ENDS, ODD_SCORE_ENDS),
        ("min" | "max", ArgumentKind::String) | ("lex-end", _) => (LEX_ENDS, ODD_LEX_ENDS),
        ("start" | "stop", ArgumentKind::String) | ("range-end", _) => (RANGE_ENDS, ODD_INTEGERS),
        ("longitude", _) => (LONGITUDES, ODD_COORDINATES),
        ("latitude", _) => (LATITUDES, ODD_COORDINATES),
        ("radius" | "width" | "height", _) => (LENGTHS, ODD_LENGTHS),
        ("unit", _) => (UNITS, STRINGS),
        ("bit", _) => (&[b"0", b"1"], ODD_INTEGERS),
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
