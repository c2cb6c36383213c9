//! One client writes without a pause while the server is stopped, killed, or loses power, and comes back: what must be
//! there is there, what may be lost is a suffix, and no write is there in part.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bulkhead::resp::Value;
use tokio::time::sleep;

use super::{Fsync, Scenario, configuration};
use crate::client::{Client, Effect};
use crate::dice::Dice;
use crate::simulation::{Ending, Simulation, failure, now};
use crate::world::World;
use crate::{Verdict, ensure};

pub const SCENARIO: Scenario = Scenario {
    name: "restart",
    promise: "after any ending all acknowledged writes are there, or under everysec and no a prefix of them",
    run,
};

const LIMIT: Duration = Duration::from_secs(300);
/// What `everysec` may lose: a second, and the time that a thread may take to get going.
const LOSS_WINDOW: Duration = Duration::from_millis(1100);

#[derive(Debug)]
struct Plan {
    config: Vec<String>,
    /// For how long the server runs, how it ends, and how long it stays down.
    rounds: Vec<(Duration, Vec<Ending>, Duration)>,
    commands_max: u64,
    pause_ms_max: u64,
}

/// What the nemesis and the writer tell each other.
#[derive(Default)]
struct Shared {
    /// Power cuts that the writer has not looked into yet: since when nothing need have survived but what was synced.
    cuts: Vec<Duration>,
    over: bool,
}

fn run(world: &Arc<World>) -> Verdict {
    let mut dice = world.dice("plan");
    let fsync = dice.pick(&Fsync::ALL);
    let endings = [
        vec![Ending::Stop],
        vec![Ending::Kill],
        vec![Ending::PowerCut],
        vec![Ending::Stop, Ending::PowerCut],
        vec![Ending::Kill, Ending::PowerCut],
    ];
    // Short of a second nothing is lost under everysec; past it something is kept.
    let up = |dice: &mut Dice| if dice.one_in(2) { dice.millis(20..=1000) } else { dice.millis(1200..=3000) };
    let plan = Plan {
        config: configuration(&mut dice, fsync),
        rounds: (0..dice.between(1..=5)).map(|_| (up(&mut dice), dice.pick(&endings), dice.millis(0..=1500))).collect(),
        commands_max: dice.pick(&[1, 5]),
        pause_ms_max: dice.pick(&[2, 10, 50]),
    };
    world.trace.event("plan", format_args!("{plan:?}"));
    let mut simulation = Simulation::new(world, &plan.config);
    let shared: Arc<Mutex<Shared>> = Arc::default();
    let writer = Writer {
        world: world.clone(),
        shared: shared.clone(),
        fsync,
        acknowledged: Vec::new(),
        written: 0,
        dice: dice.fork(),
    };
    simulation.client("writer", writer.run(plan.commands_max, plan.pause_ms_max));
    for (up, endings, down) in &plan.rounds {
        simulation.run_for(*up)?;
        for ending in endings {
            if *ending == Ending::PowerCut && !endings.contains(&Ending::Stop) {
                shared.lock().expect("nobody panics while holding it").cuts.push(simulation.now());
            }
            simulation.end(*ending)?;
        }
        simulation.run_for(*down)?;
        simulation.start();
    }
    simulation.run_for(Duration::from_millis(100))?;
    shared.lock().expect("nobody panics while holding it").over = true;
    simulation.run_clients(LIMIT)
}

/// Writes `seq:0`, `seq:1` … each together with `last`, and remembers what was acknowledged when.
struct Writer {
    world: Arc<World>,
    shared: Arc<Mutex<Shared>>,
    fsync: Fsync,
    /// The time at which each write was acknowledged, in their order: the first that was not ends the list.
    acknowledged: Vec<Duration>,
    /// Writes sent, acknowledged or not.
    written: usize,
    dice: Dice,
}

impl Writer {
    async fn run(mut self, commands_max: u64, pause_ms_max: u64) -> Verdict {
        loop {
            let mut client = Client::connect_within(&self.world, "writer", &mut self.dice, LIMIT).await?;
            let over = self.is_over();
            if !self.take_stock(&mut client).await? {
                continue;
            }
            if over {
                return Ok(());
            }
            while self.write(&mut client, commands_max).await? && !self.is_over() {
                sleep(self.dice.millis(0..=pause_ms_max)).await;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.shared.lock().expect("nobody panics while holding it").over
    }

    /// Writes one pipeline. `false`: the connection is of no more use.
    async fn write(&mut self, client: &mut Client, commands_max: u64) -> Verdict<bool> {
        let first = self.written;
        self.written += self.dice.between(1..=commands_max) as usize;
        let line = |number: usize| format!("MSET seq:{number} v{number} last v{number}");
        let replies = client.pipeline(&(first..self.written).map(line).collect::<Vec<_>>()).await;
        for reply in &replies.values {
            match Effect::of(reply) {
                Effect::Executed if *reply == Value::Simple("OK".into()) => self.acknowledged.push(now()),
                Effect::Executed => return Err(failure(format!("MSET was answered with {reply}"))),
                // A stopping server may refuse; a later write of the pipeline must not pass an earlier one.
                Effect::Refused | Effect::Unknown => return Ok(false),
            }
        }
        Ok(replies.lost.is_none())
    }

    /// Compares what is there with what was written, and goes on from there. `false`: the connection broke meanwhile.
    async fn take_stock(&mut self, client: &mut Client) -> Verdict<bool> {
        let cuts = self.shared.lock().expect("nobody panics while holding it").cuts.clone();
        let must_be_there = cuts.iter().map(|cut| self.must_survive(*cut)).min().unwrap_or(self.acknowledged.len());
        let keys: String = (0..=self.written).map(|number| format!("seq:{number} ")).collect();
        let replies = client.pipeline(&[format!("MGET {keys}"), "GET last".into()]).await;
        let [Value::Array(values), last] = &replies.values[..] else { return Ok(false) };
        let there = values.iter().take_while(|value| **value != Value::Null).count();
        let behind = &values[there..];
        ensure!(behind.iter().all(|value| *value == Value::Null), "seq:{there} is missing, a later one is there");
        for (number, value) in values[..there].iter().enumerate() {
            ensure!(*value == bulk(number), "seq:{number} is {value}");
        }
        ensure!(there >= must_be_there, "seq:{there} is missing, {must_be_there} writes must be there");
        let expected_last = there.checked_sub(1).map_or(Value::Null, bulk);
        ensure!(*last == expected_last, "last is {last}, yet {there} writes are there: one is there in part");
        self.world.trace.event("writer", format_args!("finds {there} writes, {must_be_there} had to be there"));
        // What may be lost is lost; what was in doubt and is there counts as acknowledged.
        self.acknowledged.resize(there, now());
        self.written = there;
        self.shared.lock().expect("nobody panics while holding it").cuts.drain(..cuts.len());
        Ok(true)
    }

    /// How many of the acknowledged writes a power cut must leave.
    fn must_survive(&self, cut: Duration) -> usize {
        match self.fsync {
            Fsync::Always => self.acknowledged.len(),
            Fsync::EverySecond => self.acknowledged.partition_point(|at| *at + LOSS_WINDOW < cut),
            Fsync::Never => 0,
        }
    }
}

fn bulk(number: usize) -> Value {
    Value::Bulk(format!("v{number}").into())
}
