//! Payloads of RESTORE: whatever stands in front of a footer that is right.

use bulkhead::rdb::{self, Value};
use bytes::Bytes;

/// Reads the input as a value's bytes. What is a value is one again after it was written, in either form.
pub fn rdb_load(input: &[u8]) {
    // Without a footer it is nothing, unless the input happens to end with one.
    let _ = rdb::load(&Bytes::copy_from_slice(input));
    let Ok(value) = rdb::load(&rdb::seal(input.to_vec()).into()) else { return };
    for compact in [false, true] {
        let again = rdb::load(&rdb::dump(&value, compact).into());
        assert_eq!(again.map(in_order), Ok(in_order(value.clone())), "written as compact: {compact}");
    }
}

/// With the elements of types that have no order in one.
fn in_order(value: Value) -> Value {
    match value {
        Value::Set(mut members) => {
            members.sort();
            Value::Set(members)
        }
        Value::SortedSet(mut members) => {
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::SortedSet(members)
        }
        Value::Stream(stream) => Value::Stream(stream.without_form()),
        value => value,
    }
}
