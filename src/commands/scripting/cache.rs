//! What scripts share on a server: the texts that EVALSHA finds, the interpreters that wait for their next script, and who runs.
//!
//! It is bounded: of texts that came by EVAL the oldest go, for their clients send them again; those that were loaded on purpose
//! stay, and another one is refused. As in Redis nothing of it survives a restart.

use std::collections::{BTreeMap, HashMap};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::FixedState;
use parking_lot::Mutex;

use super::Result;
use crate::commands::CommandError;
use crate::env::Clock;
use crate::limits;
use crate::scripting::{Machine, Running, Script, ScriptDigest};

/// See the head of this file.
pub struct Scripting {
    clock: Arc<dyn Clock>,
    texts: Mutex<Texts>,
    machines: Mutex<Vec<Machine>>,
    /// How often all was forgotten: what is older is not used again.
    generation: AtomicU64,
    running: Mutex<BTreeMap<u64, Arc<Running>>>,
    runs: AtomicU64,
}

#[derive(Default)]
struct Texts {
    by_digest: HashMap<ScriptDigest, Remembered, FixedState>,
    /// Those that may go, the oldest first.
    by_age: BTreeMap<u64, ScriptDigest>,
    bytes: usize,
    made: u64,
}

struct Remembered {
    script: Arc<Script>,
    /// Its place among those that may go; `None`: it was loaded on purpose.
    age: Option<u64>,
}

impl Texts {
    /// Makes room for a text of so many bytes. `false`: what is there has to stay.
    fn make_room(&mut self, bytes: usize) -> bool {
        while self.by_digest.len() >= limits::SCRIPTS_MAX || self.bytes + bytes > limits::SCRIPTS_BYTES_MAX {
            let Some((_, oldest)) = self.by_age.pop_first() else { return false };
            if let Some(gone) = self.by_digest.remove(&oldest) {
                self.bytes -= gone.script.body.len();
            }
        }
        true
    }

    fn insert(&mut self, script: Arc<Script>, is_loaded: bool) -> bool {
        if let Some(known) = self.by_digest.get_mut(&script.digest) {
            if is_loaded && let Some(age) = known.age.take() {
                self.by_age.remove(&age);
            }
            return true;
        }
        if !self.make_room(script.body.len()) {
            return false;
        }
        self.bytes += script.body.len();
        let age = (!is_loaded).then_some(self.made);
        self.made += 1;
        if let Some(age) = age {
            self.by_age.insert(age, script.digest);
        }
        self.by_digest.insert(script.digest, Remembered { script, age });
        true
    }
}

/// For INFO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptingFigures {
    pub scripts: usize,
    /// Bytes of their texts.
    pub scripts_bytes: usize,
    /// Bytes of the interpreters that wait for a script.
    pub machines_bytes: usize,
}

impl Scripting {
    pub fn new(clock: Arc<dyn Clock>) -> Scripting {
        let (texts, machines, generation, running, runs) = Default::default();
        Scripting { clock, texts, machines, generation, running, runs }
    }

    pub fn get(&self, digest: ScriptDigest) -> Option<Arc<Script>> {
        self.texts.lock().by_digest.get(&digest).map(|known| known.script.clone())
    }

    /// A script that was sent with EVAL. It may be forgotten again.
    pub fn remember(&self, script: Arc<Script>) {
        self.texts.lock().insert(script, false);
    }

    /// SCRIPT LOAD
    pub fn load(&self, script: Arc<Script>) -> Result<()> {
        match self.texts.lock().insert(script, true) {
            true => Ok(()),
            false => Err(CommandError::custom("ERR too many scripts are loaded, SCRIPT FLUSH makes room")),
        }
    }

    /// SCRIPT FLUSH
    pub fn forget_all(&self) {
        let mut texts = self.texts.lock();
        *texts = Texts { made: texts.made, ..Texts::default() };
        drop(texts);
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.machines.lock().clear();
    }

    /// An interpreter, for as long as the lease is held.
    pub fn machine(&self) -> Result<Lease<'_>> {
        let generation = self.generation.load(Ordering::Relaxed);
        let kept = self.machines.lock().pop();
        let machine = match kept {
            Some(machine) => machine,
            None => Machine::new(self.clock.clone()).map_err(|error| {
                tracing::debug!(%error, "no interpreter for a script");
                CommandError::Internal
            })?,
        };
        Ok(Lease { scripting: self, generation, machine: Some(machine) })
    }

    /// A script begins to run, and does until what is returned is dropped.
    pub fn begin(&self) -> Run<'_> {
        let (number, running) = (self.runs.fetch_add(1, Ordering::Relaxed), Arc::new(Running::default()));
        self.running.lock().insert(number, running.clone());
        Run { scripting: self, number, running }
    }

    /// SCRIPT KILL. `false`: none is running.
    pub fn kill_all(&self) -> bool {
        let running = self.running.lock();
        running.values().for_each(|script| script.kill());
        !running.is_empty()
    }

    pub fn figures(&self) -> ScriptingFigures {
        let texts = self.texts.lock();
        let (scripts, scripts_bytes) = (texts.by_digest.len(), texts.bytes);
        drop(texts);
        let machines_bytes = self.machines.lock().iter().map(Machine::memory_bytes).sum();
        ScriptingFigures { scripts, scripts_bytes, machines_bytes }
    }
}

/// See [`Scripting::machine`].
pub struct Lease<'s> {
    scripting: &'s Scripting,
    generation: u64,
    machine: Option<Machine>,
}

impl Deref for Lease<'_> {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        self.machine.as_ref().expect("invariant: a lease has its machine until it is dropped")
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut Machine {
        self.machine.as_mut().expect("invariant: a lease has its machine until it is dropped")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let is_current = self.generation == self.scripting.generation.load(Ordering::Relaxed);
        if let Some(machine) = self.machine.take().filter(|machine| is_current && machine.is_sound()) {
            let mut machines = self.scripting.machines.lock();
            if machines.len() < limits::SCRIPT_MACHINES_KEPT {
                machines.push(machine);
            }
        }
    }
}

/// See [`Scripting::begin`].
pub struct Run<'s> {
    scripting: &'s Scripting,
    number: u64,
    running: Arc<Running>,
}

impl Run<'_> {
    pub fn as_killable(&self) -> &Arc<Running> {
        &self.running
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.scripting.running.lock().remove(&self.number);
    }
}
