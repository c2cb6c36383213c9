//! The disk refuses or stalls writes for a while: whoever does not write must not notice, who does is told the truth, and
//! when the disk is well again, so is the server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bulkhead::engine::memory::DiskFault;
use bulkhead::resp::Value;
use tokio::time::sleep;

use super::{Fsync, Scenario, configuration};
use crate::client::{Client, Effect};
use crate::dice::Dice;
use crate::simulation::{Simulation, now};
use crate::world::{PAUSE_MS_MAX, World};
use crate::{Verdict, ensure};

pub const SCENARIO: Scenario = Scenario {
    name: "stall",
    promise: "PING, connecting and reads take no longer while writes stall or the disk is full, and writes recover",
    run,
};

const LIMIT: Duration = Duration::from_secs(120);
/// `request-timeout` of every simulated server: how long a write may remain without an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// How soon after the fault a write must succeed: the timeout, and some.
const RECOVERY_MAX: Duration = Duration::from_secs(3);

#[derive(Debug)]
struct Plan {
    config: Vec<String>,
    fault: DiskFault,
    before: Duration,
    lasts: Duration,
    writers: u64,
}

/// What the clients share.
struct Shared {
    world: Arc<World>,
    over: AtomicBool,
    /// A round trip must not take longer.
    round_trip_max: Duration,
}

impl Shared {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

fn run(world: &Arc<World>) -> Verdict {
    let mut dice = world.dice("plan");
    let fsync = dice.pick(&Fsync::ALL);
    let mut config = configuration(&mut dice, fsync);
    // With one runtime for both halves nobody promises what this scenario checks.
    config.retain(|line| !line.starts_with("runtime-mode"));
    let plan = Plan {
        config,
        fault: dice.pick(&[DiskFault::WriteStall, DiskFault::NoSpace]),
        before: dice.millis(50..=300),
        lasts: dice.millis(20..=5000),
        writers: dice.between(1..=3),
    };
    world.trace.event("plan", format_args!("{plan:?}"));
    world.trace.expect_errors();
    let mut simulation = Simulation::new(world, &plan.config);
    // A message each way; a command and a reply may be cut into pieces, whose delays run side by side; and each of the
    // tasks on the way (connection, first reader, second reader) may stand still a few times.
    let round_trip_max = simulation.latency_max * 2 + Duration::from_millis(10 * PAUSE_MS_MAX);
    let shared = Arc::new(Shared { world: world.clone(), over: AtomicBool::new(false), round_trip_max });
    simulation.client("founder", found(shared.clone(), dice.fork()));
    simulation.run_clients(LIMIT)?;
    simulation.client("pinger", ping(shared.clone(), dice.fork()));
    simulation.client("reader", read(shared.clone(), dice.fork()));
    let healed_at: Arc<Mutex<Option<Duration>>> = Arc::default();
    for number in 0..plan.writers {
        let writer = write(shared.clone(), dice.fork(), format!("writer-{number}"), healed_at.clone());
        simulation.client(&format!("writer-{number}"), writer);
    }
    simulation.run_for(plan.before)?;
    simulation.machine.disk.set_fault(Some(plan.fault));
    simulation.run_for(plan.lasts)?;
    simulation.machine.disk.set_fault(None);
    *healed_at.lock().expect("nobody panics while holding it") = Some(simulation.now());
    simulation.run_for(RECOVERY_MAX)?;
    shared.over.store(true, Ordering::Relaxed);
    simulation.run_clients(LIMIT)
}

/// Writes what the reader reads.
async fn found(shared: Arc<Shared>, mut dice: Dice) -> Verdict {
    let mut client = Client::connect_within(&shared.world, "founder", &mut dice, LIMIT).await?;
    let reply = client.call("SET stone rolls").await?;
    ensure!(reply == Value::Simple("OK".into()), "SET was answered with {reply}");
    Ok(())
}

/// Connects, pings, and leaves, over and over.
async fn ping(shared: Arc<Shared>, mut dice: Dice) -> Verdict {
    while !shared.is_over() {
        let began = now();
        let mut client = Client::connect(&shared.world, "pinger", &mut dice).await?;
        let connecting = now() - began;
        ensure!(connecting <= shared.round_trip_max, "connecting took {connecting:?}");
        for _ in 0..dice.between(1..=5) {
            expect(&mut client, "PING", Value::Simple("PONG".into()), &shared).await?;
            sleep(dice.millis(0..=50)).await;
        }
    }
    Ok(())
}

async fn read(shared: Arc<Shared>, mut dice: Dice) -> Verdict {
    let mut client = Client::connect_within(&shared.world, "reader", &mut dice, LIMIT).await?;
    while !shared.is_over() {
        let (line, reply) = dice.pick(&[
            ("GET stone", Value::Bulk("rolls".into())),
            ("MGET stone moss", Value::Array(vec![Value::Bulk("rolls".into()), Value::Null])),
            ("EXISTS stone stone", Value::Integer(2)),
        ]);
        expect(&mut client, line, reply, &shared).await?;
        sleep(dice.millis(0..=50)).await;
    }
    Ok(())
}

async fn expect(client: &mut Client, line: &str, expected: Value, shared: &Shared) -> Verdict {
    let began = now();
    let reply = client.call(line).await?;
    let took = now() - began;
    ensure!(reply == expected, "{line} was answered with {reply}");
    ensure!(took <= shared.round_trip_max, "{line} took {took:?}, more than {:?}", shared.round_trip_max);
    Ok(())
}

/// Counts its own counter up, and knows at every moment what it may be.
async fn write(shared: Arc<Shared>, mut dice: Dice, name: String, healed_at: Arc<Mutex<Option<Duration>>>) -> Verdict {
    let mut client = Client::connect_within(&shared.world, &name, &mut dice, LIMIT).await?;
    let (mut least, mut most, mut last_success) = (0, 0, Duration::ZERO);
    while !shared.is_over() {
        let began = now();
        let reply = client.call(&format!("INCR {name}")).await?;
        let took = now() - began;
        ensure!(took <= REQUEST_TIMEOUT + shared.round_trip_max, "a write was answered only after {took:?}");
        match (Effect::of(&reply), &reply) {
            (Effect::Executed, Value::Integer(value)) => {
                ensure!(least < *value && *value <= most + 1, "{name} became {value}, was in {least}..={most}");
                (least, most, last_success) = (*value, *value, began);
            }
            (Effect::Executed, _) => return Err(format!("INCR was answered with {reply}").into()),
            (Effect::Unknown, _) => most += 1,
            (Effect::Refused, _) => {
                let coded = [&b"TRYAGAIN"[..], b"NOSPACE"].iter().any(|code| refusal(&reply).starts_with(code));
                ensure!(coded, "a write was refused with {reply}");
            }
        }
        sleep(dice.millis(0..=30)).await;
    }
    let healed_at = healed_at.lock().expect("nobody panics while holding it").unwrap_or_default();
    ensure!(last_success > healed_at, "{name} did not write after the disk was well again at {healed_at:?}");
    Ok(())
}

fn refusal(reply: &Value) -> &[u8] {
    match reply {
        Value::Error(text) => text,
        _ => b"",
    }
}
