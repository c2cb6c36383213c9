//! LATENCY: moments at which something took longer than `latency-monitor-threshold`, by kind of event.
//!
//! It must never grow with traffic: an event keeps the worst of each second, for its last 160 such seconds.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

use crate::limits::LATENCY_SAMPLES_MAX;

/// The spikes of all events. The names are static: a command's speed class, a background task.
#[derive(Debug, Default)]
pub struct LatencyMonitor(Mutex<BTreeMap<&'static str, LatencyEvent>>);

/// The spikes of one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatencyEvent {
    /// The worst ever, in milliseconds.
    pub max_ms: u64,
    /// (Unix time in seconds, milliseconds), oldest first; never empty.
    pub samples: VecDeque<(u64, u64)>,
}

impl LatencyMonitor {
    /// Remembers that `event` took `ms` at Unix time `unix_s`. The caller has held it against the threshold.
    pub fn record(&self, event: &'static str, ms: u64, unix_s: u64) {
        let mut events = self.0.lock();
        let LatencyEvent { max_ms, samples } = events.entry(event).or_default();
        *max_ms = ms.max(*max_ms);
        match samples.back_mut() {
            Some((second, worst)) if *second == unix_s => *worst = ms.max(*worst),
            _ => samples.push_back((unix_s, ms)),
        }
        if samples.len() > LATENCY_SAMPLES_MAX {
            samples.pop_front();
        }
    }

    /// All events that ever had a spike, by name.
    pub fn events(&self) -> BTreeMap<&'static str, LatencyEvent> {
        self.0.lock().clone()
    }

    /// The event called `name`, in any case.
    pub fn event(&self, name: &[u8]) -> Option<(&'static str, LatencyEvent)> {
        let events = self.0.lock();
        let found = events.iter().find(|(event, _)| event.as_bytes().eq_ignore_ascii_case(name));
        found.map(|(event, spikes)| (*event, spikes.clone()))
    }

    /// Forgets the events called one of `names`, or all of them if none is given. Returns how many there were.
    pub fn reset(&self, names: &[&[u8]]) -> usize {
        let mut events = self.0.lock();
        let before = events.len();
        let named = |event: &str| names.iter().any(|name| event.as_bytes().eq_ignore_ascii_case(name));
        events.retain(|event, _| !names.is_empty() && !named(event));
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_keeps_its_worst_spike_and_an_event_its_last_160_seconds() {
        let monitor = LatencyMonitor::default();
        for (second, ms) in [(10, 5), (10, 9), (10, 7), (11, 3)] {
            monitor.record("command", ms, second);
        }
        let expected = LatencyEvent { max_ms: 9, samples: [(10, 9), (11, 3)].into() };
        assert_eq!(monitor.event(b"COMMAND"), Some(("command", expected)));
        for second in 0..500 {
            monitor.record("fast-command", 1, 100 + second);
        }
        let samples = &monitor.events()["fast-command"].samples;
        assert_eq!((samples.len(), samples.front(), samples.back()), (160, Some(&(440, 1)), Some(&(599, 1))));
    }

    #[test]
    fn resetting_forgets_the_named_events_or_all() {
        let monitor = LatencyMonitor::default();
        for event in ["a", "b", "c"] {
            monitor.record(event, 1, 1);
        }
        assert_eq!(monitor.reset(&[b"B", b"nope"]), 1);
        assert_eq!(monitor.events().into_keys().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(monitor.reset(&[]), 2);
        assert_eq!(monitor.reset(&[]), 0);
    }
}
