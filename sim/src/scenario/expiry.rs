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
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Wait(Duration),
    Jump(i64),
    /// Stores a key that lives for so many milliseconds.
    Set {
        ttl_ms: i64,
        absolute: bool,
    },
}

const TTL_MS_MAX: u64 = 5000;
const JUMP_MS_MAX: i64 = 4000;

fn run(world: &Arc<World>) -> Verdict {
    let mut dice = world.dice("plan");
    let fsync = dice.pick(&Fsync::ALL);
    let step = |dice: &mut Dice| match dice.index(4) {
        0 => Step::Jump(dice.between(0..=2 * JUMP_MS_MAX as u64) as i64 - JUMP_MS_MAX),
        1 => Step::Wait(dice.millis(0..=1500)),
        _ => Step::Set { ttl_ms: dice.between(1..=TTL_MS_MAX) as i64, absolute: dice.one_in(2) },
    };
    let plan = Plan {
        config: configuration(&mut dice, fsync),
        steps: (0..dice.between(1..=20)).map(|_| step(&mut dice)).collect(),
    };
    world.trace.event("plan", format_args!("{plan:?}"));
    let mut simulation = Simulation::new(world, &plan.config);
    let watcher =
        Watcher { world: world.clone(), machine: simulation.machine.clone(), alive: Vec::new(), latest_ms: 0 };
    simulation.client("watcher", watcher.run(plan.steps, dice.fork()));
    simulation.run_clients(LIMIT)
}

struct Watcher {
    world: Arc<World>,
    machine: Arc<Machine>,
    alive: Vec<Life>,
    /// The latest time that the wall clock has shown.
    latest_ms: i64,
}

/// When a key may expire, on the wall clock.
#[derive(Clone, Copy)]
struct Life {
    earliest_ms: i64,
    latest_ms: i64,
    /// The latest time that the clock has shown since the key is there: what has expired may stay gone when it goes back.
    seen_ms: i64,
}

impl Watcher {
    async fn run(mut self, steps: Vec<Step>, mut dice: Dice) -> Verdict {
        let mut client = Client::connect_within(&self.world, "watcher", &mut dice, LIMIT).await?;
        client.call("SET forever here").await?;
        for step in steps {
            match step {
                Step::Wait(duration) => sleep(duration).await,
                Step::Jump(by_ms) => self.jump(by_ms),
                Step::Set { ttl_ms, absolute } => self.set(&mut client, ttl_ms, absolute).await?,
            }
            self.check(&mut client, &mut dice).await?;
        }
        self.jump(self.latest_ms - self.now_ms() + TTL_MS_MAX as i64 + JUMP_MS_MAX);
        sleep(REMOVAL_MAX).await;
        let left = client.call("DBSIZE").await?;
        ensure!(left == Value::Integer(1), "{REMOVAL_MAX:?} after all keys but one expired, DBSIZE is {left}");
        Ok(())
    }

    async fn set(&mut self, client: &mut Client, ttl_ms: i64, absolute: bool) -> Verdict {
        let before = self.now_ms();
        // A date that has passed when the command runs would be another story: the key never is.
        let deadline = before + ttl_ms + 1000;
        let line = match absolute {
            true => format!("SET k{} v PXAT {deadline}", self.alive.len()),
            false => format!("SET k{} v PX {ttl_ms}", self.alive.len()),
        };
        let reply = client.call(&line).await?;
        ensure!(reply == Value::Simple("OK".into()), "{line} was answered with {reply}");
        let after = self.now_ms();
        let (earliest_ms, latest_ms) = if absolute { (deadline, deadline) } else { (before + ttl_ms, after + ttl_ms) };
        self.alive.push(Life { earliest_ms, latest_ms, seen_ms: after });
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        self.machine.wall.now_ms()
    }

    /// Remembers what the clock shows, for all keys that there are.
    fn note(&mut self) -> i64 {
        let now_ms = self.now_ms();
        self.latest_ms = self.latest_ms.max(now_ms);
        self.alive.iter_mut().for_each(|life| life.seen_ms = life.seen_ms.max(now_ms));
        now_ms
    }

    fn jump(&mut self, by_ms: i64) {
        self.note();
        self.world.trace.event("nemesis", format_args!("the wall clock jumps by {by_ms} ms"));
        self.machine.wall.jump_ms(by_ms);
    }

    async fn check(&mut self, client: &mut Client, dice: &mut Dice) -> Verdict {
        for number in 0..self.alive.len() {
            let before = self.note();
            let (line, is_there) = dice.pick(&[
                ("GET", Value::Bulk("v".into())),
                ("EXISTS", Value::Integer(1)),
                ("TYPE", Value::Simple("string".into())),
            ]);
            let reply = client.call(&format!("{line} k{number}")).await?;
            self.note();
            let is_seen = match &reply {
                reply if *reply == is_there => true,
                Value::Null | Value::Integer(0) => false,
                Value::Simple(none) if none == "none" => false,
                other => return Err(failure(format!("{line} was answered with {other}"))),
            };
            let Life { earliest_ms, latest_ms, seen_ms } = self.alive[number];
            let (early, late) = (earliest_ms - seen_ms, before - latest_ms);
            ensure!(is_seen || early <= SKEW_MS, "k{number} was gone {early} ms too early");
            ensure!(!is_seen || late < SKEW_MS, "k{number} was there {late} ms too long");
        }
        let reply = client.call("GET forever").await?;
        ensure!(reply == Value::Bulk("here".into()), "a key without a time to live reads {reply}");
        Ok(())
    }
}
