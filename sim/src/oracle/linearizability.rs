//! Linearizability: there is one order of all commands on a key, in keeping with real time, in which each reply is the
//! one that the model gives. Commands on several keys tie these keys together.
//!
//! The search walks through the history in time ("just in time linearization", Lowe 2017) and keeps every state that the
//! server could be in: a set of configurations, each a state and which of the commands under way have taken effect in it.
//! A command whose outcome is unknown may take effect at any time, or never. The end of a process decides those: before
//! it, or never; and a power cut may put back the state to an earlier one.
//!
//! What takes too many configurations is undecided, and counted as that: never passed as correct.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bulkhead::resp::Value;
use foldhash::fast::FixedState;

use super::{Case, Finding, Oracle, is_unblocked};
use crate::history::{Ended, Loss, Operation, OperationId, Outcome};
use crate::model::{self, Expected, Key, State, Touches};
use crate::plan::Fault;

pub const ORACLE: Oracle = Oracle {
    name: "linearizability",
    promise: "there is one order of all commands that explains every reply, across crashes",
    check,
};

/// `request-timeout`, and the way there and back.
const LINGERING_MAX: Duration = Duration::from_secs(3);
/// Configurations at one moment; more are too many.
const CONFIGURATIONS_MAX: usize = 4096;
/// Steps of one search.
const STEPS_MAX: usize = 2_000_000;

fn check(case: &Case<'_>) -> Result<Finding, String> {
    let operations: Vec<Call> = calls(case);
    let mut finding = Finding::default();
    for part in partitions(&operations) {
        let calls: Vec<&Call> = part.iter().map(|index| &operations[*index]).collect();
        match search(&calls, &ends(case)) {
            Verdict::Explained => finding.checked += calls.len() as u64,
            Verdict::Undecided => finding.undecided += calls.len() as u64,
            Verdict::Impossible(why) => return Err(why),
        }
    }
    Ok(finding)
}

/// A command as the search sees it.
#[derive(Clone, Debug)]
pub struct Call {
    pub label: String,
    pub commands: Vec<Command>,
    /// What it did is an array with a reply for each command: EXEC.
    pub is_transaction: bool,
    /// Reads that must say the same as when the connection began to watch their keys.
    pub guards: Vec<(Command, Value)>,
    pub keys: Keys,
    pub invoked: Duration,
    /// `None`: its outcome is unknown.
    pub reply: Option<(Duration, Value)>,
    /// The command of the same connection without which it cannot take effect.
    pub after: Option<OperationId>,
    /// From then on it cannot take effect any more, if its outcome is unknown.
    pub over: Duration,
    pub id: OperationId,
}

/// A command's database and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub db: usize,
    pub args: Vec<Vec<u8>>,
}

impl Call {
    fn is_read(&self) -> bool {
        self.commands.iter().all(|command| model::is_read(&command.args))
    }

    /// What a transaction says of a command of its own that was refused.
    fn refusal_within(&self, index: usize) -> Option<&Value> {
        match &self.reply {
            Some((_, Value::Array(replies))) if self.is_transaction => {
                replies.get(index).filter(|reply| matches!(Outcome::of((*reply).clone()), Outcome::Refused(_)))
            }
            _ => None,
        }
    }

    /// What it does to a state, and what it then says. `None`: it cannot be here.
    fn apply(&self, state: &mut State) -> Option<Expected> {
        for (command, said) in &self.guards {
            if !model::apply(state, command.db, &command.args)?.allows(said) {
                return None;
            }
        }
        let mut replies = Vec::new();
        for (index, command) in self.commands.iter().enumerate() {
            replies.push(match self.refusal_within(index) {
                Some(refusal) => Expected::Exactly(refusal.clone()),
                None => model::apply(state, command.db, &command.args)?,
            });
        }
        if self.is_transaction { Some(Expected::All(replies)) } else { replies.pop() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    These(Vec<Key>),
    Everything,
}

/// The end of a process.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub at: Duration,
    /// States from before this moment cannot come back; `None`: nothing is lost.
    pub may_go_back_to: Option<Duration>,
    /// Whatever is there now is there for good.
    pub settles: bool,
}

fn ends(case: &Case<'_>) -> Vec<End> {
    let all = &case.history.ended;
    let end = |(index, ended): (usize, &Ended)| {
        let may_lose = ended.loss == Loss::Unsynced && case.plan.directive("appendfsync") != Some("always");
        let may_go_back_to = may_lose.then(|| case.must_survive_until(ended.at));
        End { at: ended.at, may_go_back_to, settles: case.settles(index) }
    };
    all.iter().enumerate().map(end).collect()
}

fn calls(case: &Case<'_>) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut last_of: BTreeMap<usize, (OperationId, usize)> = BTreeMap::new();
    let mut transactions: BTreeMap<usize, Transaction> = BTreeMap::new();
    for (id, operation) in case.history.operations.iter().enumerate() {
        let transaction = transactions.entry(operation.connection).or_default();
        let Some(Effects { commands, is_transaction, guards }) = transaction.take(operation) else { continue };
        // It counts keys that expire as well; the leaks' oracle looks at it.
        if operation.client == "auditor" && model::name(&operation.args) == "DBSIZE" {
            continue;
        }
        let looked_at = guards.iter().map(|(command, _)| command);
        let Some(keys) = keys(commands.iter().chain(looked_at)) else { continue };
        let reply = match &operation.outcome {
            Outcome::Refused(_) => continue,
            // Touched keys were watched, or a command could not be queued: nothing happened.
            Outcome::Reply(Value::Null | Value::NullArray | Value::Error(_)) if is_transaction => continue,
            Outcome::Unknown if commands.iter().all(|command| model::is_read(&command.args)) => continue,
            Outcome::Unknown => None,
            Outcome::Reply(reply) => {
                Some((operation.returned.expect("a reply came at some time") + case.skew(), reply.clone()))
            }
        };
        let waits = model::patience(&operation.args).filter(|_| !is_transaction);
        if waits.is_some() && is_unblocked(&operation.outcome) {
            continue;
        }
        let over = if waits.is_some() { waiting_over(case, operation) } else { over(case, operation) };
        let before = last_of.get(&operation.connection);
        // In trouble the earlier part of a pipeline may be refused and the later one not, and nobody hears of it.
        let is_calm = over == operation.invoked + LINGERING_MAX;
        let follows = |(_, pipeline): &&(OperationId, usize)| {
            reply.is_some() || is_calm && *pipeline == operation.pipeline && operation.returned.is_none()
        };
        let after = before.filter(follows).map(|(id, _)| *id);
        match reply.is_some() || is_calm && operation.returned.is_none() {
            true => last_of.insert(operation.connection, (id, operation.pipeline)),
            false => last_of.remove(&operation.connection),
        };
        let Operation { client, line, invoked, .. } = operation;
        let label = match is_transaction {
            true => {
                format!("{client}: {line} of {}", commands.iter().map(Command::shown).collect::<Vec<_>>().join(", "))
            }
            false => format!("{client}: {line}"),
        };
        let mut invoked = *invoked;
        // Whoever waits and gets nothing says that there was nothing to the end.
        if let (Some(patience), Some((returned, Value::NullArray))) = (waits, &reply)
            && case.is_calm(invoked, *returned)
            && !case.is_unblocking(invoked, *returned)
        {
            let tick = Duration::from_millis(2 * case.plan.surroundings.tick_ms);
            invoked = invoked.saturating_add(patience).saturating_sub(tick).clamp(invoked, *returned);
        }
        calls.push(Call { label, commands, is_transaction, guards, keys, invoked, reply, after, over, id });
    }
    calls
}

/// What an operation does to keys.
struct Effects {
    commands: Vec<Command>,
    is_transaction: bool,
    guards: Vec<(Command, Value)>,
}

/// What a connection has queued behind MULTI, and what it watches.
#[derive(Default)]
struct Transaction {
    queued: Option<Vec<Command>>,
    watched: Vec<Vec<u8>>,
    guards: Vec<(Command, Value)>,
}

impl Transaction {
    /// What `operation` does by itself; `None`: nothing, or not yet.
    fn take(&mut self, operation: &Operation) -> Option<Effects> {
        let command = Command { db: operation.db, args: operation.args.clone() };
        match model::name(&operation.args).as_str() {
            // Within another it is refused, and changes nothing.
            "MULTI" => drop(self.queued.get_or_insert_default()),
            "WATCH" => self.watched.extend(operation.args[1..].iter().cloned()),
            "EXEC" => {
                let Transaction { queued, guards, .. } = std::mem::take(self);
                return queued.map(|commands| Effects { commands, is_transaction: true, guards });
            }
            _ => match &mut self.queued {
                Some(queued) => queued.push(command),
                None => {
                    if let Some(reply) = operation.reply()
                        && model::name(&command.args) == "GET"
                        && command.args.get(1).is_some_and(|key| self.watched.contains(key))
                    {
                        self.guards.push((command.clone(), reply.clone()));
                    }
                    return Some(Effects { commands: vec![command], is_transaction: false, guards: Vec::new() });
                }
            },
        }
        None
    }
}

impl Command {
    fn shown(&self) -> String {
        self.args.iter().map(|arg| arg.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
    }
}

/// The keys of commands that the model knows; `None`: they are none of its business.
fn keys<'c>(commands: impl Iterator<Item = &'c Command>) -> Option<Keys> {
    let mut all = Vec::new();
    for Command { db, args } in commands {
        // Keys that expire, and journals, have oracles of their own.
        let is_elsewhere = |(_, key): &Key| key.starts_with(b"t:") || key.starts_with(b"j:");
        match model::touches(*db, args) {
            Touches::Nothing => return None,
            Touches::Everything => return Some(Keys::Everything),
            Touches::Keys(keys) if keys.iter().any(is_elsewhere) => return None,
            Touches::Keys(keys) => all.extend(keys),
        }
        model::apply(&mut State::new(), *db, args)?;
    }
    (!all.is_empty()).then_some(Keys::These(all))
}

/// Until when a command whose outcome is unknown may still take effect: by then its deadline has passed, and whatever was
/// wrong has not been for as long.
fn over(case: &Case<'_>, operation: &Operation) -> Duration {
    let mut over = operation.invoked + LINGERING_MAX;
    let mut spells: Vec<(Duration, Duration)> =
        case.history.spells.iter().map(|spell| (spell.from, spell.to)).collect();
    spells.sort();
    for (from, to) in spells {
        if from <= over && to >= operation.invoked {
            over = over.max(to + LINGERING_MAX);
        }
    }
    over
}

/// As [`over`], of a command that waits: it may be served until the server has seen that its client is gone.
fn waiting_over(case: &Case<'_>, operation: &Operation) -> Duration {
    let is_unheard = |fault: &Fault| matches!(fault, Fault::Partition { .. } | Fault::Hold { .. });
    if operation.returned.is_none() && case.plan.has_fault(is_unheard) {
        return Duration::MAX;
    }
    let gone = operation.returned.or(operation.given_up).unwrap_or(operation.invoked);
    over(case, operation).max(over(case, &Operation { invoked: gone, ..operation.clone() }))
}

/// Groups of calls that have nothing to do with each other.
fn partitions(calls: &[Call]) -> Vec<Vec<usize>> {
    let mut groups: Vec<(BTreeSet<&Key>, Vec<usize>)> = Vec::new();
    if calls.iter().any(|call| call.keys == Keys::Everything) {
        return vec![(0..calls.len()).collect()];
    }
    for (index, call) in calls.iter().enumerate() {
        let Keys::These(keys) = &call.keys else { continue };
        let touches = |group: &(BTreeSet<&Key>, Vec<usize>)| keys.iter().any(|key| group.0.contains(key));
        let mut joined: (BTreeSet<&Key>, Vec<usize>) = (keys.iter().collect(), Vec::new());
        let mut apart = Vec::new();
        for group in groups {
            if touches(&group) {
                joined.0.extend(group.0);
                joined.1.extend(group.1);
            } else {
                apart.push(group);
            }
        }
        joined.1.push(index);
        apart.push(joined);
        groups = apart;
    }
    groups
        .into_iter()
        .map(|(_, mut members)| {
            members.sort();
            members
        })
        .collect()
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Explained,
    Undecided,
    Impossible(String),
}

/// What happens in a history, in order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    // At the same moment: what began may have been under way together with what ended.
    Invoke(usize),
    Return(usize),
    Over(usize),
    End(usize),
}

/// The place of a state in [`States`].
type StateId = u32;

/// Which of the pending calls have taken effect: a bit for each slot.
type Done = u128;

/// A state that the server could be in, and which of the pending calls have taken effect in it.
type Configuration = (StateId, Done);

/// Every state that was met, once, and where each call leads from there.
#[derive(Default)]
struct States {
    states: Vec<State>,
    known: BTreeMap<State, StateId>,
    effects: HashMap<(StateId, usize), Option<StateId>, FixedState>,
}

impl States {
    fn id(&mut self, state: State) -> StateId {
        *self.known.entry(state).or_insert_with_key(|state| {
            self.states.push(state.clone());
            self.states.len() as StateId - 1
        })
    }

    /// The state after a call, if its reply is the right one.
    fn effect(&mut self, state: StateId, place: usize, call: &Call) -> Option<StateId> {
        if let Some(known) = self.effects.get(&(state, place)) {
            return *known;
        }
        let mut after = self.states[state as usize].clone();
        let expected = call.apply(&mut after);
        let is_right = expected.is_some_and(|it| call.reply.as_ref().is_none_or(|(_, reply)| it.allows(reply)));
        let after = is_right.then(|| self.id(after));
        self.effects.insert((state, place), after);
        after
    }
}

/// A call as the search knows it besides.
struct Facts {
    /// The place of the call that it waits for.
    after: Option<usize>,
    is_read: bool,
    /// Another waits for it.
    is_awaited: bool,
}

/// States that the server may have been in around one event.
struct Passed {
    at: Duration,
    /// On the way there: they are of the past once it is over.
    between: BTreeSet<StateId>,
    /// Since then.
    behind: BTreeSet<StateId>,
}

struct Search<'c> {
    calls: &'c [&'c Call],
    facts: Vec<Facts>,
    states: States,
    /// What is pending, by slot.
    slots: Vec<Option<usize>>,
    configurations: BTreeSet<Configuration>,
    /// What a power cut may bring back.
    passed: Vec<Passed>,
    keeps_passed: bool,
    steps: usize,
}

/// Looks for an order that explains `calls`.
pub fn search(calls: &[&Call], ends: &[End]) -> Verdict {
    let mut events: Vec<(Duration, Event)> = Vec::new();
    for (place, call) in calls.iter().enumerate() {
        events.push((call.invoked, Event::Invoke(place)));
        // A reply that was on its way when the process ended says what happened before that.
        let ended = ends.iter().map(|end| end.at).find(|end| call.invoked <= *end);
        let returned = |at: &Duration| ended.map_or(*at, |ended| ended.min(*at));
        match &call.reply {
            Some((at, _)) => events.push((returned(at), Event::Return(place))),
            None => events.push((call.over, Event::Over(place))),
        }
    }
    events.extend(ends.iter().enumerate().map(|(index, end)| (end.at, Event::End(index))));
    events.sort();
    let mut search = Search::new(calls, ends.iter().any(|end| end.may_go_back_to.is_some()));
    for (at, event) in events {
        match event {
            Event::Invoke(place) => search.take_invocation(place),
            Event::Return(place) => {
                if let Err(why) = search.take_return(at, place) {
                    return Verdict::Impossible(why);
                }
            }
            Event::Over(place) => search.take_over(at, place),
            Event::End(index) => search.take_end(&ends[index]),
        }
        if search.is_too_much() {
            return Verdict::Undecided;
        }
    }
    Verdict::Explained
}

impl<'c> Search<'c> {
    fn new(calls: &'c [&'c Call], keeps_passed: bool) -> Search<'c> {
        let places: BTreeMap<OperationId, usize> =
            calls.iter().enumerate().map(|(place, call)| (call.id, place)).collect();
        let awaited: BTreeSet<OperationId> = calls.iter().filter_map(|call| call.after).collect();
        let facts = calls.iter().map(|call| Facts {
            after: call.after.and_then(|id| places.get(&id).copied()),
            is_read: call.is_read(),
            is_awaited: awaited.contains(&call.id),
        });
        let mut states = States::default();
        let configurations = [(states.id(State::new()), 0)].into();
        let facts = facts.collect();
        Search { calls, facts, states, slots: Vec::new(), configurations, passed: Vec::new(), keeps_passed, steps: 0 }
    }

    fn is_too_much(&self) -> bool {
        self.configurations.len() > CONFIGURATIONS_MAX || self.steps > STEPS_MAX
    }

    fn take_invocation(&mut self, place: usize) {
        match self.slots.iter().position(Option::is_none) {
            Some(slot) => self.slots[slot] = Some(place),
            None if self.slots.len() < Done::BITS as usize => self.slots.push(Some(place)),
            None => self.steps = STEPS_MAX + 1,
        }
    }

    fn slot_of(&self, place: usize) -> Option<usize> {
        self.slots.iter().position(|slot| *slot == Some(place))
    }

    /// Keeps the configurations in which `place` has taken effect with its reply.
    fn take_return(&mut self, at: Duration, place: usize) -> Result<(), String> {
        let Some(slot) = self.slot_of(place) else { return Ok(()) };
        let before = self.all_settled();
        let after = self.reach(at, before.clone(), slot);
        if self.is_too_much() {
            return Ok(());
        }
        if after.is_empty() {
            return Err(self.explain(place, &before));
        }
        self.give_up(slot, after);
        Ok(())
    }

    /// A call whose outcome is unknown has taken effect by now, or never will.
    fn take_over(&mut self, at: Duration, place: usize) {
        let Some(slot) = self.slot_of(place) else { return };
        let before = self.all_settled();
        let mut after = self.reach(at, before.clone(), slot);
        // Those in which it has not: what else may be next they can still take when it is due.
        after.extend(before);
        self.give_up(slot, after);
    }

    /// Forgets a call that is over.
    fn give_up(&mut self, slot: usize, after: BTreeSet<Configuration>) {
        self.slots[slot] = None;
        if let Some(passed) = self.passed.last_mut().filter(|_| self.keeps_passed) {
            passed.behind = after.iter().map(|(state, _)| *state).collect();
        }
        self.configurations = after.into_iter().map(|(state, done)| (state, done & !(1 << slot))).collect();
    }

    /// The configurations, each as far as reads lead.
    fn all_settled(&mut self) -> BTreeSet<Configuration> {
        std::mem::take(&mut self.configurations).into_iter().map(|it| self.settled(it)).collect()
    }

    /// Every configuration in which the call in `slot` has just taken effect.
    fn reach(&mut self, at: Duration, before: BTreeSet<Configuration>, slot: usize) -> BTreeSet<Configuration> {
        let mut work: Vec<Configuration> = before.iter().copied().collect();
        let mut seen = before;
        let mut after = BTreeSet::new();
        while let Some((state, done)) = work.pop() {
            if done & (1 << slot) != 0 {
                after.insert((state, done));
                continue;
            }
            work.extend(self.steps_from((state, done)).into_iter().filter(|next| seen.insert(*next)));
            if seen.len() > 16 * CONFIGURATIONS_MAX {
                // Undecided: `is_too_much` is asked next.
                self.steps = STEPS_MAX + 1;
            }
            if self.steps > STEPS_MAX {
                break;
            }
        }
        if self.keeps_passed {
            let between = seen.into_iter().map(|(state, _)| state).collect();
            self.passed.push(Passed { at, between, behind: BTreeSet::new() });
        }
        after
    }

    /// Every configuration that one more call leads to. One whose outcome is unknown, that has no effect and that nobody
    /// waits for leads nowhere.
    fn steps_from(&mut self, (state, done): Configuration) -> Vec<Configuration> {
        let mut next = Vec::new();
        for slot in 0..self.slots.len() {
            let Some(place) = self.ready(slot, done) else { continue };
            self.steps += 1;
            let Some(after) = self.states.effect(state, place, self.calls[place]) else { continue };
            if self.calls[place].reply.is_some() || self.facts[place].is_awaited || after != state {
                next.push(self.settled((after, done | (1 << slot))));
            }
        }
        next
    }

    /// The configuration in which every read is over whose reply is right: it changes nothing, so whatever comes later it
    /// costs nothing to have it behind oneself. (A write that changes nothing now might later.)
    fn settled(&mut self, (state, mut done): Configuration) -> Configuration {
        loop {
            let before = done;
            for slot in 0..self.slots.len() {
                let Some(place) = self.ready(slot, done).filter(|place| self.facts[*place].is_read) else { continue };
                if self.states.effect(state, place, self.calls[place]).is_some() {
                    done |= 1 << slot;
                }
            }
            if done == before {
                return (state, done);
            }
        }
    }

    /// The call in `slot`, if it may be next.
    fn ready(&self, slot: usize, done: Done) -> Option<usize> {
        let place = self.slots[slot].filter(|_| done & (1 << slot) == 0)?;
        let waits_for = self.facts[place].after.and_then(|before| self.slot_of(before));
        waits_for.is_none_or(|before| done & (1 << before) != 0).then_some(place)
    }

    /// The process ends: what is pending took effect by now, or never will.
    fn take_end(&mut self, end: &End) {
        let mut seen = self.all_settled();
        let mut work: Vec<Configuration> = seen.iter().copied().collect();
        while let Some(configuration) = work.pop() {
            work.extend(self.steps_from(configuration).into_iter().filter(|next| seen.insert(*next)));
            if seen.len() > 16 * CONFIGURATIONS_MAX {
                self.steps = STEPS_MAX + 1;
                return;
            }
        }
        let mut states: BTreeSet<StateId> = seen.into_iter().map(|(state, _)| state).collect();
        if let Some(back_to) = end.may_go_back_to {
            // What the newest event before that moment left is the state at it; all later ones may come back.
            let first = self.passed.iter().rposition(|passed| passed.at <= back_to);
            match first {
                Some(first) => states.extend(&self.passed[first].behind),
                None => {
                    states.insert(self.states.id(State::new()));
                }
            }
            for passed in &self.passed[first.map_or(0, |first| first + 1)..] {
                states.extend(passed.between.iter().chain(&passed.behind));
            }
        }
        if end.settles {
            self.passed.clear();
        }
        let at = if end.settles { Duration::ZERO } else { end.at };
        self.passed.push(Passed { at, between: BTreeSet::new(), behind: states.clone() });
        self.configurations = states.into_iter().map(|state| (state, 0)).collect();
        // A call that waits for its reply will not get one; one that got it was taken before.
        self.slots.clear();
    }

    fn explain(&self, place: usize, before: &BTreeSet<Configuration>) -> String {
        let call = self.calls[place];
        let (at, reply) = call.reply.as_ref().expect("only a reply can be impossible");
        let mut text = format!("{} was answered with {reply} at {at:?}: no order of commands explains it", call.label);
        for (state, _) in before.iter().take(3) {
            let shown: Vec<String> = self.states.states[*state as usize]
                .iter()
                .filter(|(key, _)| match &call.keys {
                    Keys::These(keys) => keys.contains(key),
                    Keys::Everything => true,
                })
                .map(|((_, key), datum)| format!("{} = {}", key.escape_ascii(), show(datum)))
                .collect();
            text += &format!(
                "\n  before it may have been: {}",
                if shown.is_empty() { "nothing".into() } else { shown.join(", ") }
            );
        }
        let others = self.slots.iter().flatten().filter(|other| **other != place).take(12);
        for other in others {
            let other = self.calls[*other];
            let fate = if other.reply.is_some() { "under way" } else { "in doubt" };
            text += &format!("\n  {fate} since {:?}: {}", other.invoked, other.label);
        }
        text
    }
}

fn show(datum: &model::Datum) -> String {
    match datum {
        model::Datum::Str(bytes) if bytes.len() <= 60 => format!("\"{}\"", bytes.escape_ascii()),
        model::Datum::Str(bytes) => format!("\"…{}\"", bytes[bytes.len() - 60..].escape_ascii()),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use bulkhead::resp::CommandArgs;

    use super::*;
    use crate::dice::Dice;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn call(id: usize, line: &str, invoked: u64, reply: Option<(u64, Value)>) -> Call {
        let args = CommandArgs::from_line(line.as_bytes()).expect("the quotes are balanced");
        let args: Vec<Vec<u8>> = args.iter().map(<[u8]>::to_vec).collect();
        let Touches::Keys(keys) = model::touches(0, &args) else { panic!("{line} names its keys") };
        let reply = reply.map(|(returned, value)| (at(returned), value));
        let (label, keys, invoked, over) = (line.to_string(), Keys::These(keys), at(invoked), at(1000));
        let commands = vec![Command { db: 0, args }];
        Call { label, commands, is_transaction: false, guards: Vec::new(), keys, invoked, reply, after: None, over, id }
    }

    fn is_explained(calls: &[Call], ends: &[End]) -> bool {
        match search(&calls.iter().collect::<Vec<_>>(), ends) {
            Verdict::Explained => true,
            Verdict::Impossible(_) => false,
            Verdict::Undecided => panic!("a small history is undecided"),
        }
    }

    fn ok() -> Value {
        Value::Simple("OK".into())
    }

    fn bulk(text: &'static str) -> Value {
        Value::Bulk(text.into())
    }

    #[test]
    fn a_read_sees_the_last_write_that_was_over() {
        let history = |seen| {
            [
                call(0, "SET a 1", 0, Some((1, ok()))),
                call(1, "SET a 2", 2, Some((3, ok()))),
                call(2, "GET a", 4, Some((5, seen))),
            ]
        };
        assert!(is_explained(&history(bulk("2")), &[]));
        assert!(!is_explained(&history(bulk("1")), &[]));
        assert!(!is_explained(&history(Value::Null), &[]));
    }

    #[test]
    fn what_is_in_doubt_may_have_happened_once_and_only_once() {
        let doubtful = || vec![call(0, "INCR n", 0, None)];
        for (seen, expected) in [(Value::Null, true), (bulk("1"), true), (bulk("2"), false)] {
            let mut calls = doubtful();
            calls.push(call(1, "GET n", 5, Some((6, seen))));
            assert_eq!(is_explained(&calls, &[]), expected);
        }
        // Once seen it stays; once the process has ended without it, it never comes.
        let reads = |first, second| {
            let mut calls = doubtful();
            calls.push(call(1, "GET n", 5, Some((6, first))));
            calls.push(call(2, "GET n", 15, Some((16, second))));
            calls
        };
        assert!(!is_explained(&reads(bulk("1"), Value::Null), &[]));
        assert!(is_explained(&reads(Value::Null, bulk("1")), &[]));
        let end = End { at: at(10), may_go_back_to: None, settles: true };
        assert!(is_explained(&reads(Value::Null, bulk("1")), &[end]), "it may take effect just before the end");
        let mut late = doubtful();
        late.push(call(1, "GET n", 12, Some((13, Value::Null))));
        late.push(call(2, "GET n", 15, Some((16, bulk("1")))));
        assert!(!is_explained(&late, &[end]), "it came back from the dead");
    }

    #[test]
    fn a_power_cut_takes_a_suffix_back() {
        let history = |seen| {
            [
                call(0, "SET a 1", 0, Some((1, ok()))),
                call(1, "SET a 2", 10, Some((11, ok()))),
                call(2, "SET a 3", 20, Some((21, ok()))),
                call(3, "GET a", 40, Some((41, seen))),
            ]
        };
        let cut = |back_to| [End { at: at(30), may_go_back_to: Some(at(back_to)), settles: true }];
        for (seen, back_to, expected) in [
            (bulk("3"), 12, true),
            (bulk("2"), 12, true),
            (bulk("1"), 12, false),
            (bulk("1"), 5, true),
            (Value::Null, 5, false),
            (Value::Null, 0, true),
        ] {
            assert_eq!(is_explained(&history(seen.clone()), &cut(back_to)), expected, "{seen} back to {back_to}");
        }
    }

    #[test]
    fn commands_on_several_keys_are_one_step() {
        let history = |a, b| {
            [call(0, "MSET a 1 b 1", 0, Some((10, ok()))), call(1, "MGET a b", 1, Some((9, Value::Array(vec![a, b]))))]
        };
        assert!(is_explained(&history(bulk("1"), bulk("1")), &[]));
        assert!(is_explained(&history(Value::Null, Value::Null), &[]));
        assert!(!is_explained(&history(bulk("1"), Value::Null), &[]));
    }

    /// Tries every order and every subset of what is in doubt.
    fn brute_force(calls: &[Call]) -> bool {
        fn go(calls: &[Call], state: &State, left: &BTreeSet<usize>) -> bool {
            if left.iter().all(|place| calls[*place].reply.is_none()) {
                return true;
            }
            left.iter().any(|place| {
                let call = &calls[*place];
                let is_first = left.iter().all(|other| match &calls[*other].reply {
                    Some((returned, _)) => *returned >= call.invoked,
                    None => true,
                });
                let mut after = state.clone();
                let expected = call.apply(&mut after).expect("the model knows it");
                let fits = call.reply.as_ref().is_none_or(|(_, reply)| expected.allows(reply));
                let mut rest = left.clone();
                rest.remove(place);
                is_first && fits && go(calls, &after, &rest)
            })
        }
        go(calls, &State::new(), &(0..calls.len()).collect())
    }

    #[test]
    fn it_agrees_with_trying_every_order() {
        let mut dice = Dice::named(1, "linearizability");
        let (mut explained, mut impossible) = (0, 0);
        for _ in 0..3000 {
            let calls = random_history(&mut dice);
            let expected = brute_force(&calls);
            assert_eq!(is_explained(&calls, &[]), expected, "{calls:#?}");
            *(if expected { &mut explained } else { &mut impossible }) += 1;
        }
        assert!(explained > 500 && impossible > 300, "{explained} explained, {impossible} impossible");
    }

    /// What a correct server could answer, and in half of the cases one reply that it could hardly give.
    fn random_history(dice: &mut Dice) -> Vec<Call> {
        let mut state = State::new();
        let mut calls: Vec<Call> = Vec::new();
        for id in 0..dice.between(3..=7) as usize {
            let key = dice.pick(&["a", "a", "b"]);
            let line = match dice.index(6) {
                0 => format!("SET {key} {id}"),
                1 => format!("GET {key}"),
                2 => format!("APPEND {key} {id}"),
                3 => "MGET a b".into(),
                4 => format!("MSET a {id} b {id}"),
                _ => format!("DEL {key}"),
            };
            let args: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
            let took_effect = 10 * id as u64 + 5;
            let (before, behind) = (dice.between(0..=30), dice.between(0..=30));
            let in_doubt = dice.one_in(6);
            let reply = if in_doubt && dice.one_in(2) {
                Value::Null
            } else {
                match model::apply(&mut state, 0, &args).expect("the model knows it") {
                    Expected::Exactly(value) => value,
                    other => panic!("{other:?}"),
                }
            };
            let reply = (!in_doubt).then(|| (took_effect + behind, reply));
            calls.push(call(id, &line, took_effect.saturating_sub(before), reply));
        }
        if dice.one_in(2) {
            let victim = dice.index(calls.len());
            if let Some((_, reply)) = &mut calls[victim].reply {
                *reply = match &*reply {
                    Value::Integer(number) => Value::Integer(1 - (*number).min(1)),
                    Value::Null => bulk("0"),
                    Value::Array(values) => Value::Array(values.iter().rev().cloned().collect()),
                    Value::Bulk(_) => Value::Null,
                    other => other.clone(),
                };
            }
        }
        calls
    }
}
