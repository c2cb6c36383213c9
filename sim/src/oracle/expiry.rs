//! A key with a time to live is there until its time on the wall clock, and gone from then on, however the clock jumps.
//!
//! Told by keys `t:…`, each of which is set once, with a time to live.

use std::collections::BTreeMap;
use std::time::Duration;

use bulkhead::resp::Value;

use super::{Case, Finding, Oracle};
use crate::history::{Loss, Operation, Outcome};
use crate::model;
use crate::world::START_MS;

pub const ORACLE: Oracle = Oracle {
    name: "expiry",
    promise: "a key lives exactly until its time on the wall clock, however that jumps",
    check,
};

/// When a key may expire, on the wall clock. A key can be made to stay.
struct Life {
    set: Duration,
    earliest_ms: i64,
    latest_ms: i64,
    is_certain: bool,
    /// Since when it may never expire, and since when it must not.
    may_stay: Option<Duration>,
    stays: Option<Duration>,
}

fn check(case: &Case<'_>) -> Result<Finding, String> {
    if case.history.ended.iter().any(|ended| ended.loss == Loss::Unsynced) {
        return Finding::checked(0);
    }
    let wall = WallClock::new(case);
    let mut lives: BTreeMap<&[u8], Life> = case.history.operations.iter().filter_map(|one| life(one, &wall)).collect();
    for persist in case.history.operations.iter().filter(|one| one.args[0] == b"PERSIST") {
        let Some(life) = lives.get_mut(persist.args[1].as_slice()) else { continue };
        let may = matches!(&persist.outcome, Outcome::Unknown | Outcome::Reply(Value::Integer(1)));
        life.may_stay = life.may_stay.or(may.then_some(persist.invoked));
        life.stays = life.stays.or(persist.returned.filter(|_| persist.reply() == Some(&Value::Integer(1))));
    }
    let mut checked = 0;
    for look in &case.history.operations {
        let Some(life) = look.args.get(1).and_then(|key| lives.get(key.as_slice())) else { continue };
        let (Some(returned), Some(reply)) = (look.returned, look.reply()) else { continue };
        let is_seen = match (model::name(&look.args).as_str(), reply) {
            ("GET", Value::Bulk(_)) | ("EXISTS", Value::Integer(1)) => true,
            ("TYPE", Value::Simple(kind)) => kind == "string",
            ("GET", Value::Null) | ("EXISTS", Value::Integer(0)) => false,
            _ => continue,
        };
        checked += 1;
        // What has expired may stay gone when the clock goes back, so the latest time that it has shown counts.
        let (_, shown) = wall.between(life.set, returned);
        let (now, _) = wall.between(look.invoked, returned);
        let key = look.args[1].escape_ascii();
        let skew_ms = 2 * case.plan.surroundings.tick_ms as i64;
        if !is_seen && life.is_certain && look.invoked > life.set && life.earliest_ms - shown > skew_ms {
            let early = life.earliest_ms - shown;
            return Err(format!("{key} was gone {early} ms too early: {} at {returned:?}", look.line));
        }
        if !is_seen && life.stays.is_some_and(|since| since < look.invoked) {
            return Err(format!("{key} was made to stay and is gone: {} at {returned:?}", look.line));
        }
        if is_seen && now - life.latest_ms >= skew_ms && life.may_stay.is_none_or(|since| since > returned) {
            return Err(format!("{key} was there {} ms too long: {} at {returned:?}", now - life.latest_ms, look.line));
        }
    }
    Finding::checked(checked)
}

/// `SET key value PX ms` and `SET key value PXAT ms`.
fn life<'h>(operation: &'h Operation, wall: &WallClock) -> Option<(&'h [u8], Life)> {
    let args = &operation.args;
    if operation.is_refused() || args.len() != 5 || args[0] != b"SET" || !args[1].starts_with(b"t:") {
        return None;
    }
    let number: i64 = std::str::from_utf8(&args[4]).ok()?.parse().ok()?;
    let returned = operation.returned.unwrap_or(Duration::MAX);
    let (least, most) = wall.between(operation.invoked, returned);
    let (earliest_ms, latest_ms) = match &args[3][..] {
        b"PXAT" => (number, number),
        _ => (least + number, most.saturating_add(number)),
    };
    let is_certain = operation.is_acknowledged();
    Some((&args[1], Life { set: operation.invoked, earliest_ms, latest_ms, is_certain, may_stay: None, stays: None }))
}

/// What the wall clock has shown when.
struct WallClock {
    /// Since when how many milliseconds were added to the simulation's time.
    offsets: Vec<(Duration, i64)>,
}

impl WallClock {
    fn new(case: &Case<'_>) -> WallClock {
        let mut offsets = vec![(Duration::ZERO, START_MS)];
        for (at, by_ms) in &case.history.jumps {
            let before = offsets.last().map_or(START_MS, |(_, offset)| *offset);
            offsets.push((*at, before + by_ms));
        }
        WallClock { offsets }
    }

    /// The least and the most that it has shown between two moments.
    fn between(&self, from: Duration, to: Duration) -> (i64, i64) {
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        for (index, (since, offset)) in self.offsets.iter().enumerate() {
            let until = self.offsets.get(index + 1).map_or(Duration::MAX, |(at, _)| *at);
            let (begin, end) = (from.max(*since), to.min(until));
            if begin <= end {
                least = least.min(offset.saturating_add(millis(begin)));
                most = most.max(offset.saturating_add(millis(end)));
            }
        }
        (least, most)
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}
