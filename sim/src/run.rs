//! One seed of one scenario, from start to verdict. A run fails by what its clients see, by a panic anywhere in the server,
//! or by an error in the server's log where none is due.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};
use std::time::Duration;

use crate::scenario::Scenario;
use crate::trace::{Log, Trace};
use crate::world::World;

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub scenario: &'static str,
    pub seed: u64,
    /// Of everything that happened: equal runs have equal hashes.
    pub hash: u64,
    pub events: u64,
    pub simulated: Duration,
    pub failure: Option<String>,
}

impl Report {
    /// The run in one line. It says nothing about real time, so that two lines can be compared.
    pub fn line(&self) -> String {
        let Report { scenario, seed, hash, events, simulated, failure } = self;
        let simulated = simulated.as_secs_f64();
        let verdict = if failure.is_some() { "FAILED" } else { "ok" };
        format!("{scenario} seed {seed}: {verdict}, {events} events in {simulated:.3} s, hash {hash:016x}")
    }
}

/// Runs a seed. With `printed`, everything that happens goes to standard output.
pub fn run(scenario: &'static Scenario, seed: u64, printed: bool) -> Report {
    record_panics();
    let world = Arc::new(World { seed, trace: Arc::new(Trace::new(printed)) });
    PANICS.set(Some(Vec::new()));
    let verdict = tracing::subscriber::with_default(Log(world.trace.clone()), || {
        catch_unwind(AssertUnwindSafe(|| (scenario.run)(&world)))
    });
    let panics = PANICS.take().unwrap_or_default();
    let unexpected = world.trace.unexpected_errors();
    let failure = match verdict {
        _ if !panics.is_empty() => Some(panics.join("\n")),
        Ok(Err(error)) => Some(error.to_string()),
        _ => (!unexpected.is_empty()).then(|| format!("the server logged: {}", unexpected.join("; "))),
    };
    Report {
        scenario: scenario.name,
        seed,
        hash: world.trace.hash(),
        events: world.trace.events(),
        simulated: world.trace.now(),
        failure,
    }
}

thread_local! {
    /// The panics of this thread's run, the server's own catching notwithstanding; `None` while there is no run.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

fn record_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let running = PANICS.with_borrow_mut(|panics| {
                let running = panics.is_some();
                panics.get_or_insert_default().push(panic.to_string());
                running
            });
            if !running {
                PANICS.set(None);
                report(panic);
            }
        }));
    });
}
