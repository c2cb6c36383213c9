//! Several clients increment the same few counters, in pipelines, while the server may be killed and its storage side
//! restarted: every acknowledged increment counts once, one in doubt at most once, and replies keep their order.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bulkhead::resp::Value;
use tokio::time::sleep;

use super::{Fsync, Scenario, configuration};
use crate::client::{Client, Effect};
use crate::dice::Dice;
use crate::simulation::{Ending, Simulation, failure};
use crate::world::World;
use crate::{Verdict, ensure};

pub const SCENARIO: Scenario = Scenario {
    name: "counters",
    promise: "acknowledged increments ≤ value ≤ acknowledged + in doubt, each acknowledged once, replies in order",
    run,
};

const LIMIT: Duration = Duration::from_secs(120);

#[derive(Debug)]
struct Plan {
    config: Vec<String>,
    clients: u64,
    counters: usize,
    pipelines: u64,
    commands_max: u64,
    /// When the server is killed, and how long it stays down.
    kills: Vec<(Duration, Duration)>,
    /// How long after the one before the storage side is started anew.
    storage_restarts: Vec<Duration>,
}

/// What the clients know of one counter.
#[derive(Default)]
struct Counter {
    acknowledged: BTreeSet<i64>,
    in_doubt: usize,
}

type Tally = Arc<Mutex<Vec<Counter>>>;

fn run(world: &Arc<World>) -> Verdict {
    let mut dice = world.dice("plan");
    let fsync = dice.pick(&Fsync::ALL);
    let plan = Plan {
        config: configuration(&mut dice, fsync),
        clients: dice.between(2..=6),
        counters: dice.between(1..=3) as usize,
        pipelines: dice.between(5..=30),
        commands_max: dice.pick(&[1, 3, 10]),
        kills: (0..dice.between(0..=2)).map(|_| (dice.millis(5..=500), dice.millis(0..=200))).collect(),
        storage_restarts: (0..dice.between(0..=3)).map(|_| dice.millis(1..=300)).collect(),
    };
    world.trace.event("plan", format_args!("{plan:?}"));
    let mut simulation = Simulation::new(world, &plan.config);
    let tally: Tally = Arc::new(Mutex::new((0..plan.counters).map(|_| Counter::default()).collect()));
    for number in 0..plan.clients {
        let worker = Worker {
            name: format!("client-{number}"),
            world: world.clone(),
            tally: tally.clone(),
            last_seen: vec![0; plan.counters],
            sent: 0,
            dice: dice.fork(),
        };
        simulation.client(&format!("client-{number}"), worker.run(plan.pipelines, plan.commands_max));
    }
    simulation.client("operator", operate(world.clone(), dice.fork(), plan.storage_restarts));
    for (after, down) in &plan.kills {
        simulation.run_for(*after)?;
        simulation.end(Ending::Kill)?;
        simulation.run_for(*down)?;
        simulation.start();
    }
    simulation.run_clients(LIMIT)?;
    simulation.client("auditor", audit(world.clone(), dice.fork(), tally));
    simulation.run_clients(LIMIT)
}

/// One client and what it has seen.
struct Worker {
    name: String,
    world: Arc<World>,
    tally: Tally,
    /// The highest value of each counter that this client was told.
    last_seen: Vec<i64>,
    sent: u64,
    dice: Dice,
}

impl Worker {
    async fn run(mut self, pipelines: u64, commands_max: u64) -> Verdict {
        let mut connection = None;
        for _ in 0..pipelines {
            let mut client = match connection.take() {
                Some(client) => client,
                None => Client::connect_within(&self.world, &self.name, &mut self.dice, LIMIT).await?,
            };
            let commands: Vec<Command> = (0..self.dice.between(1..=commands_max)).map(|_| self.command()).collect();
            let lines: Vec<String> = commands.iter().map(Command::line).collect();
            let replies = client.pipeline(&lines).await;
            for (place, command) in commands.iter().enumerate() {
                self.check(command, replies.values.get(place))?;
            }
            if replies.lost.is_none() {
                connection = Some(client);
            }
            if self.dice.one_in(2) {
                sleep(self.dice.millis(0..=10)).await;
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Command {
        self.sent += 1;
        match self.dice.one_in(3) {
            true => Command::Echo(format!("{}:{}", self.name, self.sent)),
            false => Command::Increment(self.dice.index(self.last_seen.len())),
        }
    }

    fn check(&mut self, command: &Command, reply: Option<&Value>) -> Verdict {
        match (command, reply) {
            (Command::Echo(_), None) => {}
            (Command::Echo(text), Some(Value::Bulk(reply))) if reply == text.as_bytes() => {}
            (Command::Echo(text), Some(reply)) => {
                return Err(failure(format!("{} sent ECHO {text} and got {reply}", self.name)));
            }
            (Command::Increment(counter), reply) => {
                let mut tally = self.tally.lock().expect("nobody panics while counting");
                let known = &mut tally[*counter];
                match reply {
                    Some(Value::Integer(value)) => {
                        ensure!(known.acknowledged.insert(*value), "c{counter}: two increments made it {value}");
                        let before = std::mem::replace(&mut self.last_seen[*counter], *value);
                        ensure!(before < *value, "c{counter}: {} saw {before}, then {value}", self.name);
                    }
                    Some(reply) if Effect::of(reply) == Effect::Refused => {}
                    Some(Value::Error(_)) | None => known.in_doubt += 1,
                    Some(reply) => return Err(failure(format!("an increment was answered with {reply}"))),
                }
            }
        }
        Ok(())
    }
}

enum Command {
    Echo(String),
    Increment(usize),
}

impl Command {
    fn line(&self) -> String {
        match self {
            Command::Echo(text) => format!("ECHO {text}"),
            Command::Increment(counter) => format!("INCR c{counter}"),
        }
    }
}

/// Restarts the storage side, now and then. Whether the server was killed meanwhile is not its concern.
async fn operate(world: Arc<World>, mut dice: Dice, restarts: Vec<Duration>) -> Verdict {
    for after in restarts {
        sleep(after).await;
        let mut client = Client::connect_within(&world, "operator", &mut dice, LIMIT).await?;
        if let Ok(reply) = client.call("DEBUG RESTART-STORAGE").await {
            ensure!(reply == Value::Simple("OK".into()), "DEBUG RESTART-STORAGE was answered with {reply}");
        }
    }
    Ok(())
}

async fn audit(world: Arc<World>, mut dice: Dice, tally: Tally) -> Verdict {
    let mut client = Client::connect_within(&world, "auditor", &mut dice, LIMIT).await?;
    let counters = std::mem::take(&mut *tally.lock().expect("nobody panics while counting"));
    for (number, Counter { acknowledged, in_doubt }) in counters.into_iter().enumerate() {
        let value = match client.call(&format!("GET c{number}")).await? {
            Value::Null => 0,
            Value::Bulk(text) => std::str::from_utf8(&text)?.parse::<i64>()?,
            other => return Err(failure(format!("a counter reads {other}"))),
        };
        let (least, most) = (acknowledged.len() as i64, (acknowledged.len() + in_doubt) as i64);
        ensure!(least <= value && value <= most, "c{number} is {value}, must be in {least}..={most}");
        let highest = acknowledged.last().copied().unwrap_or(0);
        ensure!(highest <= value, "c{number} is {value}, yet {highest} was acknowledged");
    }
    Ok(())
}
