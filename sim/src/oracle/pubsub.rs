//! Messages: what one client publishes reaches whoever listens once, in order, and soon, whatever storage does; and nobody
//! hears what nobody said.

use std::collections::BTreeMap;
use std::time::Duration;

use bulkhead::resp::Value;

use super::isolation::{is_network, round_trip};
use super::{Case, Finding, Oracle};
use crate::history::{Listening, Operation};
use crate::model;

pub const ORACLE: Oracle = Oracle {
    name: "pubsub",
    promise: "a message reaches whoever listens, once, in its publisher's order, and as soon in a write stall as ever",
    check,
};

fn check(case: &Case<'_>) -> Result<Finding, String> {
    let is_publish = |one: &&Operation| model::name(&one.args) == "PUBLISH" && one.args.len() == 3;
    let said: BTreeMap<&[u8], &Operation> =
        case.history.operations.iter().filter(is_publish).map(|one| (one.args[2].as_slice(), one)).collect();
    let mut checked = 0;
    for listening in &case.history.listenings {
        checked += check_heard(case, listening, &said)?;
        checked += check_missed(case, listening, &said)?;
    }
    Finding::checked(checked)
}

/// Everything that was heard was said, on that channel, before, and not long before; once, and in order.
fn check_heard(case: &Case<'_>, listening: &Listening, said: &BTreeMap<&[u8], &Operation>) -> Result<usize, String> {
    let client = &listening.client;
    // By topic and publisher: the place of its last message among all that were sent.
    let mut last: BTreeMap<(&str, &str), (usize, &Operation)> = BTreeMap::new();
    let order: BTreeMap<&[u8], usize> = case
        .history
        .operations
        .iter()
        .enumerate()
        .filter_map(|(index, one)| Some((one.args.get(2)?.as_slice(), index)))
        .collect();
    for message in &listening.messages {
        let word = message.payload.escape_ascii();
        let Some(publish) = said.get(message.payload.as_slice()) else {
            return Err(format!("{client} heard {word}, which nobody said"));
        };
        if publish.args[1] != message.channel || !matches(&message.topic, &message.channel) {
            return Err(format!("{client} heard {word} on {}", message.channel.escape_ascii()));
        }
        if publish.is_refused() {
            return Err(format!("{client} heard {word}, which was refused"));
        }
        let place = order.get(message.payload.as_slice()).copied().unwrap_or_default();
        if let Some((before, earlier)) = last.insert((&message.topic, &publish.client), (place, publish))
            && before >= place
        {
            return Err(format!("{client} heard {word} after {}", earlier.line));
        }
        let took = message.at.saturating_sub(publish.invoked);
        // Behind other commands of its pipeline it may have to wait for them.
        let is_excused =
            publish.pipeline_len > 1 || case.history.spells_during(publish.invoked, message.at, is_network);
        let bound = round_trip(case, message.payload.len() + message.channel.len() + FRAME);
        if took > bound && !is_excused && case.plan.directive("runtime-mode") != Some("single") {
            return Err(format!("{client} heard {word} {took:?} after it was sent, more than {bound:?}"));
        }
    }
    Ok(listening.messages.len())
}

/// What was said while it surely listened was heard.
fn check_missed(case: &Case<'_>, listening: &Listening, said: &BTreeMap<&[u8], &Operation>) -> Result<usize, String> {
    let Some(since) = listening.since else { return Ok(0) };
    let until =
        listening.until.saturating_sub(if listening.is_lost { 2 * round_trip(case, 0) } else { Duration::ZERO });
    let mut checked = 0;
    for (payload, publish) in said {
        let Some(returned) = publish
            .returned
            .filter(|returned| publish.invoked > since + case.skew() && *returned + case.skew() < until)
        else {
            continue;
        };
        if !matches!(publish.reply(), Some(Value::Integer(_)))
            || case.history.spells_during(publish.invoked, returned + round_trip(case, FRAME), is_network)
        {
            continue;
        }
        for topic in listening.topics.iter().filter(|topic| matches(topic, &publish.args[1])) {
            checked += 1;
            let is_it = |one: &&crate::history::Message| one.topic == *topic && one.payload == *payload;
            let times = listening.messages.iter().filter(is_it).count();
            if times != 1 {
                let (client, word) = (&listening.client, payload.escape_ascii());
                return Err(format!("{client} listened to {topic} and heard {word} {times} times"));
            }
        }
    }
    Ok(checked)
}

/// What a message weighs besides its words.
const FRAME: usize = 64;

/// Plans use patterns with one star at their end.
fn matches(topic: &str, channel: &[u8]) -> bool {
    match topic.strip_suffix('*') {
        Some(start) => channel.starts_with(start.as_bytes()),
        None => channel == topic.as_bytes(),
    }
}
