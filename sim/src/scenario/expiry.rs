//! Keys with a time to live, and a wall clock that jumps: a key is there until its time on the wall clock, gone from then
//! on whoever looks, and removed from the disk soon after.

use std::sync::Arc;
use std::time::Duration;

use bulkhead::resp::Value;
use tokio::time::sleep;

use super::{Fsync, Scenario, configuration};
use crate::client::Client;
use crate::dice::Dice;
use crate::simulation::{Simulation, failure};
use crate::world::{Machine, World};
use crate::{Verdict, ensure};

pub const SCENARIO: Scenario = Scenario {
    name: "expiry",
    promise: "a key lives exactly until its time on the wall clock, however that jumps",
    run,
};

const LIMIT: Duration = Duration::from_secs(120);
/// Two machines' clocks may disagree by a tick of the simulation.
const SKEW_MS: i64 = 2;
/// How soon an expired key must be gone from the disk: some rounds of housekeeping.
const REMOVAL_MAX: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Plan {
    config: Vec<String>,
    keys: Vec<Key>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
struct Key {
    ttl_ms: i64,
    /// The time to live is given as a date.
    absolute: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Wait(Duration),
    Jump(i64),
}

fn run(world: &Arc<World>) -> Verdict {
    let mut dice = world.dice("plan");
    let fsync = dice.pick(&Fsync::ALL);
    let key = |dice: &mut Dice| Key { ttl_ms: dice.between(1..=5000) as i64, absolute: dice.one_in(2) };
    let step = |dice: &mut Dice| match dice.index(4) {
        0 => Step::Jump(dice.between(0..=8000) as i64 - 4000),
        _ => Step::Wait(dice.millis(0..=1500)),
    };
    let plan = Plan {
        config: configuration(&mut dice, fsync),
        keys: (0..dice.between(1..=8)).map(|_| key(&mut dice)).collect(),
        steps: (0..dice.between(1..=10)).map(|_| step(&mut dice)).collect(),
    };
    world.trace.event("plan", format_args!("{plan:?}"));
    let mut simulation = Simulation::new(world, &plan.config);
    let watcher =
        Watcher { world: world.clone(), machine: simulation.machine.clone(), alive: Vec::new(), latest_ms: 0 };
    simulation.client("watcher", watcher.run(plan.keys, plan.steps, dice.fork()));
    simulation.run_clients(LIMIT)
}

struct Watcher {
    world: Arc<World>,
    machine: Arc<Machine>,
    /// The earliest and the latest wall-clock time at which each key may expire.
    alive: Vec<(i64, i64)>,
    /// The latest time that the wall clock has shown: what had expired by then may stay gone when it goes back.
    latest_ms: i64,
}

impl Watcher {
    async fn run(mut self, keys: Vec<Key>, steps: Vec<Step>, mut dice: Dice) -> Verdict {
        let mut client = Client::connect_within(&self.world, "watcher", &mut dice, LIMIT).await?;
        client.call("SET forever here").await?;
        for (number, key) in keys.iter().enumerate() {
            let before = self.now_ms();
            let deadline = before + key.ttl_ms + 1000;
            let line = match key.absolute {
                true => format!("SET k{number} v PXAT {deadline}"),
                false => format!("SET k{number} v PX {}", key.ttl_ms),
            };
            let reply = client.call(&line).await?;
            ensure!(reply == Value::Simple("OK".into()), "{line} was answered with {reply}");
            self.alive.push(match key.absolute {
                true => (deadline, deadline),
                false => (before + key.ttl_ms, self.now_ms() + key.ttl_ms),
            });
        }
        for step in steps {
            match step {
                Step::Wait(duration) => sleep(duration).await,
                Step::Jump(by_ms) => self.jump(by_ms),
            }
            self.check(&mut client, &mut dice).await?;
        }
        self.jump(keys.iter().map(|key| key.ttl_ms + 1000).max().unwrap_or(0) + 200_000);
        sleep(REMOVAL_MAX).await;
        let left = client.call("DBSIZE").await?;
        ensure!(left == Value::Integer(1), "{REMOVAL_MAX:?} after all keys but one expired, DBSIZE is {left}");
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        self.machine.wall.now_ms()
    }

    fn jump(&mut self, by_ms: i64) {
        self.latest_ms = self.latest_ms.max(self.now_ms());
        self.world.trace.event("nemesis", format_args!("the wall clock jumps by {by_ms} ms"));
        self.machine.wall.jump_ms(by_ms);
    }

    async fn check(&mut self, client: &mut Client, dice: &mut Dice) -> Verdict {
        for (number, (earliest, latest)) in self.alive.iter().enumerate() {
            let before = self.machine.wall.now_ms();
            let (line, is_there) = dice.pick(&[
                ("GET", Value::Bulk("v".into())),
                ("EXISTS", Value::Integer(1)),
                ("TYPE", Value::Simple("string".into())),
            ]);
            let reply = client.call(&format!("{line} k{number}")).await?;
            let after = self.machine.wall.now_ms();
            self.latest_ms = self.latest_ms.max(after);
            let seen = match &reply {
                reply if *reply == is_there => true,
                Value::Null | Value::Integer(0) => false,
                Value::Simple(none) if none == "none" => false,
                other => return Err(failure(format!("{line} was answered with {other}"))),
            };
            let gone_too_early = earliest - self.latest_ms;
            ensure!(seen || gone_too_early <= SKEW_MS, "k{number} was gone {gone_too_early} ms too early");
            ensure!(!seen || before - latest < SKEW_MS, "k{number} was there {} ms too long", before - latest);
        }
        let reply = client.call("GET forever").await?;
        ensure!(reply == Value::Bulk("here".into()), "a key without a time to live reads {reply}");
        Ok(())
    }
}
