//! One client, alone with the server: every reply is the one that a few lines of model predict, in whatever pieces bytes
//! arrive, and after a stop and a start everything is still there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bulkhead::resp::Value;

use super::{Fsync, Scenario, configuration};
use crate::client::Client;
use crate::dice::Dice;
use crate::simulation::{Ending, Simulation};
use crate::world::World;
use crate::{Verdict, ensure};

pub const SCENARIO: Scenario = Scenario {
    name: "session",
    promise: "one client gets exactly the replies that a model predicts, across a clean restart",
    run,
};

const LIMIT: Duration = Duration::from_secs(120);
const KEYS: u64 = 5;
const DATABASES: u64 = 3;

#[derive(Debug)]
struct Plan {
    config: Vec<String>,
    pipelines: u64,
    commands_max: u64,
}

fn run(world: &Arc<World>) -> Verdict {
    let mut dice = world.dice("plan");
    let fsync = dice.pick(&Fsync::ALL);
    let plan = Plan {
        config: configuration(&mut dice, fsync),
        pipelines: dice.between(5..=40),
        commands_max: dice.pick(&[1, 4, 24]),
    };
    world.trace.event("plan", format_args!("{plan:?}"));
    let mut simulation = Simulation::new(world, &plan.config);
    let mut model = Model::default();
    let script: Vec<Vec<Exchange>> = (0..plan.pipelines)
        .map(|_| (0..dice.between(1..=plan.commands_max)).map(|_| model.exchange(&mut dice)).collect())
        .collect();
    simulation.client("client", talk(world.clone(), dice.fork(), script));
    simulation.run_clients(LIMIT)?;

    simulation.end(Ending::Stop)?;
    simulation.end(Ending::PowerCut)?;
    simulation.start();
    simulation.client("heir", talk(world.clone(), dice.fork(), vec![model.inventory()]));
    simulation.run_clients(LIMIT)
}

/// A command and the reply that it must get.
type Exchange = (String, Value);

async fn talk(world: Arc<World>, mut dice: Dice, script: Vec<Vec<Exchange>>) -> Verdict {
    let mut client = Client::connect_within(&world, "client", &mut dice, LIMIT).await?;
    for pipeline in script {
        let (lines, expected): (Vec<String>, Vec<Value>) = pipeline.into_iter().unzip();
        let replies = client.pipeline(&lines).await;
        ensure!(replies.values == expected, "{lines:?}\n  got      {replies:?}\n  expected {expected:?}");
    }
    // A client that says nothing more, and breaks off in the middle of a command, still gets what it asked for before.
    let lines = ["SET parting words", "GET parting", "DEL parting"].map(String::from);
    let replies = client.part(&lines, b"*2\r\n$3\r\nGET\r\n$100\r\nhalf a key").await;
    ensure!(replies.values == [simple("OK"), bulk("words"), Value::Integer(1)], "at parting it got {replies:?}");
    Ok(())
}

/// What the server must hold: string values by database and key.
#[derive(Default)]
struct Model {
    db: u64,
    values: BTreeMap<(u64, u64), Vec<u8>>,
}

impl Model {
    /// Draws a command, and predicts its reply.
    fn exchange(&mut self, dice: &mut Dice) -> Exchange {
        let key = dice.between(0..=KEYS - 1);
        let number = dice.between(0..=99);
        let word = "x".repeat(dice.pick(&[1, 10, 1000]));
        match dice.index(14) {
            0 => ("PING".into(), simple("PONG")),
            1 => (format!("ECHO {word}"), bulk(word)),
            2 => (format!("ping {word}"), bulk(word)),
            3 => self.set(key, format!("{number}"), number.to_string().into()),
            4 => self.set(key, format!("\"\\x00\\r\\n{word}\""), [&b"\0\r\n"[..], word.as_bytes()].concat()),
            5 => (format!("GET k{key}"), self.get(key)),
            6 => (format!("INCRBY k{key} {number}"), self.add(key, number as i64)),
            7 => (format!("DECR k{key}"), self.add(key, -1)),
            8 => {
                let value = self.value(key);
                value.extend_from_slice(word.as_bytes());
                (format!("APPEND k{key} {word}"), Value::Integer(value.len() as i64))
            }
            9 => {
                let there = self.values.remove(&(self.db, key)).is_some();
                (format!("DEL k{key}"), Value::Integer(i64::from(there)))
            }
            10 => {
                let all = (0..KEYS).map(|key| self.get(key)).collect();
                (format!("MGET {}", (0..KEYS).map(|key| format!("k{key} ")).collect::<String>()), Value::Array(all))
            }
            11 => {
                self.db = dice.between(0..=DATABASES - 1);
                (format!("SELECT {}", self.db), simple("OK"))
            }
            12 => ("GET".into(), error("ERR wrong number of arguments for 'get' command")),
            _ => {
                let count = self.values.range((self.db, 0)..(self.db + 1, 0)).count();
                ("DBSIZE".into(), Value::Integer(count as i64))
            }
        }
    }

    /// Reads everything there is.
    fn inventory(&mut self) -> Vec<Exchange> {
        let mut exchanges = Vec::new();
        for db in 0..DATABASES {
            self.db = db;
            exchanges.push((format!("SELECT {db}"), simple("OK")));
            exchanges.extend((0..KEYS).map(|key| (format!("GET k{key}"), self.get(key))));
        }
        exchanges
    }

    fn value(&mut self, key: u64) -> &mut Vec<u8> {
        self.values.entry((self.db, key)).or_default()
    }

    fn set(&mut self, key: u64, typed: String, value: Vec<u8>) -> Exchange {
        *self.value(key) = value;
        (format!("SET k{key} {typed}"), simple("OK"))
    }

    fn get(&self, key: u64) -> Value {
        self.values.get(&(self.db, key)).map_or(Value::Null, |value| bulk(value.clone()))
    }

    fn add(&mut self, key: u64, amount: i64) -> Value {
        let there = self.values.get(&(self.db, key)).map_or("0".into(), |value| String::from_utf8_lossy(value));
        let Ok(sum) = there.parse::<i64>().map(|number| number + amount) else {
            return error("ERR value is not an integer or out of range");
        };
        *self.value(key) = sum.to_string().into();
        Value::Integer(sum)
    }
}

fn simple(text: &'static str) -> Value {
    Value::Simple(text.into())
}

fn error(text: &'static str) -> Value {
    Value::Error(text.into())
}

fn bulk(text: impl Into<Vec<u8>>) -> Value {
    Value::Bulk(text.into().into())
}
