//! What is read is what Redis wrote, in every form it has; what is written is read again.

use super::compact::{Listpack, read_intset, read_listpack, read_ziplist, read_zipmap, write_intset};
use super::*;
use crate::resp::CommandArgs;
use proptest::prelude::*;

/// A value and a payload that holds it.
fn corpus() -> Vec<(Value, Bytes)> {
    let mut lines = include_str!("payloads.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut corpus = Vec::new();
    while let (Some(value), Some(payload)) = (lines.next(), lines.next()) {
        let digits = payload.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        let payload: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        corpus.push((parse_value(value), payload.into()));
    }
    corpus
}

/// `list a b c`, in redis-cli's quoting.
fn parse_value(line: &str) -> Value {
    let args = CommandArgs::from_line(line.as_bytes()).unwrap();
    let elements: Vec<Bytes> = (1..args.len()).filter_map(|at| args.bytes(at)).collect();
    let pairs = || elements.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone()));
    let score = |text: Bytes| std::str::from_utf8(&text).unwrap().parse().unwrap();
    match &args[0] {
        b"string" => Value::String(elements[0].clone()),
        b"list" => Value::List(elements),
        b"set" => Value::Set(elements),
        b"hash" => Value::Hash(pairs().collect()),
        b"zset" => Value::SortedSet(pairs().map(|(member, text)| (member, score(text))).collect()),
        kind => panic!("{kind:?}"),
    }
}

/// With the elements of types that have no order in one.
fn normal(value: Value) -> Value {
    match value {
        Value::Set(mut members) => {
            members.sort();
            Value::Set(members)
        }
        Value::Hash(mut fields) => {
            fields.sort();
            Value::Hash(fields)
        }
        Value::SortedSet(mut members) => {
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::SortedSet(members)
        }
        value => value,
    }
}

#[test]
fn every_form_that_redis_writes_is_read() {
    let corpus = corpus();
    assert!(corpus.len() > 30);
    for (value, payload) in corpus {
        let loaded = load(&payload).unwrap_or_else(|error| panic!("{value:?}: {error}"));
        assert_eq!(normal(loaded), normal(value));
    }
}

#[test]
fn what_redis_does_not_compress_is_written_as_redis_does() {
    let mut same = 0;
    for (value, payload) in corpus() {
        // Of a set and a loose sorted set the order is chance.
        same += [false, true].into_iter().filter(|compact| dump(&value, *compact) == payload).count();
    }
    assert!(same >= 15, "only {same} of the payloads");
}

#[test]
fn damage_and_later_versions_are_noticed() {
    let good = dump(&Value::String("hello".into()), false);
    assert!(load(&good.clone().into()).is_ok());
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(load(&bad.into()), Err(LoadError::Footer), "byte {at}");
    }
    assert_eq!(load(&Bytes::from_static(b"short")), Err(LoadError::Footer));
    assert_eq!(load(&sealed(&[0, 1, b'a'], VERSION + 1)), Err(LoadError::Footer));
    assert_eq!(load(&sealed(&[0, 1, b'a'], 1)), Ok(Value::String("a".into())));
}

/// A payload with the footer that makes it one.
fn sealed(data: &[u8], version: u16) -> Bytes {
    let mut payload = data.to_vec();
    payload.extend(version.to_le_bytes());
    payload.extend(CRC64.checksum(&payload).to_le_bytes());
    payload.into()
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (what, data) in [
        ("nothing", &b""[..]),
        ("a stream", b"\x0f\x00"),
        ("no type at all", b"\x63\x00"),
        ("a string that is cut off", b"\x00\x05abc"),
        ("a length of 2^64 - 1", b"\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("a list without elements", b"\x01\x00"),
        ("a set with a member twice", b"\x02\x02\x01a\x01a"),
        ("a hash of four thousand million", b"\x04\x80\xff\xff\xff\xff\x01a\x01b"),
        ("a score that is none", b"\x03\x01\x01a\xfd"),
        ("a binary score that is none", b"\x05\x01\x01a\x00\x00\x00\x00\x00\x00\xf8\x7f"),
        ("an intset of odd length", b"\x0b\x09\x02\x00\x00\x00\x01\x00\x00\x00\x05"),
        ("a listpack with a field and no value", b"\x10\x0a\x0a\x00\x00\x00\x01\x00\x81a\x02\xff"),
        ("a compressed string that grows beyond reason", b"\x00\xc3\x02\x80\x7f\xff\xff\xff\x00a"),
        ("a reference to before the beginning", b"\x00\xc3\x04\x05\x00a\x20\x05"),
    ] {
        assert_eq!(load(&seal(data.to_vec()).into()), Err(LoadError::Data), "{what}");
    }
}

fn text() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        any::<i64>().prop_map(|value| value.to_string().into()),
        (-5000i64..5000).prop_map(|value| value.to_string().into()),
        prop::collection::vec(any::<u8>(), 0..10).prop_map(Bytes::from),
        (0usize..6000).prop_map(|len| vec![b'x'; len].into()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let texts = || prop::collection::btree_set(text(), 1..20);
    let integers = prop::collection::btree_set(any::<i64>(), 1..20);
    let score =
        prop_oneof![any::<i32>().prop_map(f64::from), any::<f64>().prop_filter("not NaN", |score| !score.is_nan())];
    prop_oneof![
        text().prop_map(Value::String),
        prop::collection::vec(text(), 1..20).prop_map(Value::List),
        texts().prop_map(|members| Value::Set(members.into_iter().collect())),
        integers.prop_map(|members| Value::Set(members.iter().map(|member| member.to_string().into()).collect())),
        prop::collection::btree_map(text(), text(), 1..20).prop_map(|fields| Value::Hash(fields.into_iter().collect())),
        prop::collection::btree_map(text(), score, 1..20)
            .prop_map(|members| Value::SortedSet(members.into_iter().collect())),
    ]
}

proptest! {
    #[test]
    fn values_round_trip(value in value(), compact: bool) {
        let loaded = load(&dump(&value, compact).into());
        // A compact sorted set forgets the sign of a zero, as in Redis; equality does not see it.
        prop_assert_eq!(loaded.map(normal), Ok(normal(value)));
    }

    #[test]
    fn listpacks_and_intsets_round_trip(entries in prop::collection::vec(text(), 0..20), mut integers: Vec<i64>) {
        let mut listpack = Listpack::new();
        entries.iter().for_each(|entry| listpack.push(entry));
        prop_assert_eq!(read_listpack(&listpack.finish().into()), Ok(entries));
        let intset = write_intset(&mut integers);
        let texts: Vec<Bytes> = integers.iter().map(|value| value.to_string().into()).collect();
        prop_assert_eq!(read_intset(&intset.into()), Ok(texts));
    }

    #[test]
    fn damaged_payloads_are_errors_not_panics(
        data in prop::collection::vec(any::<u8>(), 0..40), kind in 0u8..20, original in 0usize..32,
        changes in prop::collection::vec((any::<u16>(), any::<u8>()), 0..4),
    ) {
        let _ = load(&seal([&[kind], &data[..]].concat()).into());
        for read in [read_intset, read_listpack, read_ziplist, read_zipmap] {
            let _ = read(&data.clone().into());
        }
        let (_, payload) = corpus().swap_remove(original);
        let mut changed = payload[..payload.len() - FOOTER_LEN].to_vec();
        for (at, byte) in changes {
            let at = usize::from(at) % changed.len();
            changed[at] = byte;
        }
        let _ = load(&seal(changed).into());
    }
}
