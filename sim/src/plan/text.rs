//! A plan as text, one thing to a line, for people to read, keep and edit:
//!
//! ```text
//! plan 1
//! scenario counters
//! seed 17
//! tick-ms 1
//! latency-ms 9
//! yields 4
//! pauses 0
//! commits 4
//! machines 1
//! config appendfsync always
//! fault 120 stall 500
//! fault 800 kill 200
//! heal 1500
//! client c0
//!   5 INCR n1
//!     + GET n1
//!   0 !part INCR n1
//!   3 !storm 20
//! ```
//!
//! A client's line begins with how long it waits, in milliseconds; `+` adds a command to the pipeline above; `!` does
//! something else than to send. Empty lines and lines that begin with `#` say nothing.

use std::fmt;

use super::{Action, Call, ClientPlan, Fault, Place, Plan, Step, Surroundings};

const VERSION: u64 = 1;

pub fn render(plan: &Plan, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Surroundings { tick_ms, latency_ms, yields, pauses, commits, machines } = plan.surroundings;
    writeln!(f, "plan {VERSION}\nscenario {}\nseed {}", plan.scenario, plan.seed)?;
    writeln!(f, "tick-ms {tick_ms}\nlatency-ms {latency_ms}\nyields {yields}\npauses {pauses}\ncommits {commits}")?;
    writeln!(f, "machines {machines}")?;
    for line in &plan.config {
        writeln!(f, "config {line}")?;
    }
    for (at_ms, fault) in &plan.faults {
        writeln!(f, "fault {at_ms} {fault}")?;
    }
    writeln!(f, "heal {}", plan.heal_ms)?;
    for client in &plan.clients {
        writeln!(f, "client {}", client.name)?;
        for Step { wait_ms, action } in &client.steps {
            let verb = match action {
                Action::Send(_) => "",
                Action::Part(_) => "!part ",
                Action::Abandon(_) => "!abandon ",
                Action::Sip(_) => "!sip ",
                Action::Storm(count) => {
                    writeln!(f, "  {wait_ms} !storm {count}")?;
                    continue;
                }
                Action::Listen { topics, for_ms } => {
                    writeln!(f, "  {wait_ms} !listen {for_ms} {}", topics.join(" "))?;
                    continue;
                }
            };
            let mut lines = action.commands().iter();
            writeln!(f, "  {wait_ms} {verb}{}", lines.next().map_or("", String::as_str))?;
            for line in lines {
                writeln!(f, "    + {line}")?;
            }
        }
    }
    Ok(())
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match *self {
            Fault::Stall { for_ms }
            | Fault::Hang { for_ms }
            | Fault::NoSpace { for_ms }
            | Fault::IoError { for_ms }
            | Fault::SyncFails { for_ms }
            | Fault::Hold { for_ms } => write!(f, " {for_ms}"),
            Fault::Slow { for_ms, each_ms: detail }
            | Fault::Damage { for_ms, one_in: detail }
            | Fault::Cold { for_ms, one_in: detail } => write!(f, " {for_ms} {detail}"),
            Fault::Panic { call, nth } => {
                let word = Call::ALL.iter().find(|(known, _)| *known == call).map_or("", |(_, word)| word);
                write!(f, " {word} {nth}")
            }
            Fault::Stop { down_ms } | Fault::Kill { down_ms } => write!(f, " {down_ms}"),
            Fault::PowerCut { down_ms, keep_percent } | Fault::KillThenPowerCut { down_ms, keep_percent } => {
                write!(f, " {down_ms} {keep_percent}")
            }
            Fault::RestartStorage => Ok(()),
            Fault::Partition { machine, for_ms } => write!(f, " {machine} {for_ms}"),
            Fault::ClockJump { by_ms } => write!(f, " {by_ms}"),
            Fault::Failpoint { place, what, times, for_ms } => {
                write!(f, " {} {what} {times} {for_ms}", place.name())
            }
        }
    }
}

pub fn parse(text: &str) -> Result<Plan, String> {
    let mut plan = Plan {
        scenario: String::new(),
        seed: 0,
        surroundings: Surroundings { tick_ms: 1, latency_ms: 1, yields: 0, pauses: 0, commits: 0, machines: 1 },
        config: Vec::new(),
        faults: Vec::new(),
        heal_ms: 0,
        clients: Vec::new(),
    };
    let mut version = None;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let parsed = match line.starts_with(' ') {
            true => parse_step(&mut plan, trimmed),
            false => parse_line(&mut plan, &mut version, trimmed),
        };
        parsed.map_err(|error| format!("line {}: {error}: {trimmed}", index + 1))?;
    }
    match version {
        Some(VERSION) => Ok(plan),
        Some(other) => Err(format!("a plan of version {other}, this is version {VERSION}")),
        None => Err(format!("not a plan: it must begin with `plan {VERSION}`")),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("not a number: `{text}`"))
}

fn parse_line(plan: &mut Plan, version: &mut Option<u64>, line: &str) -> Result<(), String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let surroundings = &mut plan.surroundings;
    match word {
        "plan" => *version = Some(number(rest)?),
        "scenario" => plan.scenario = rest.to_string(),
        "seed" => plan.seed = number(rest)?,
        "tick-ms" => surroundings.tick_ms = number::<u64>(rest)?.max(1),
        "latency-ms" => surroundings.latency_ms = number::<u64>(rest)?.max(1),
        "yields" => surroundings.yields = number(rest)?,
        "pauses" => surroundings.pauses = number(rest)?,
        "commits" => surroundings.commits = number(rest)?,
        "machines" => surroundings.machines = number::<u64>(rest)?.max(1),
        "heal" => plan.heal_ms = number(rest)?,
        "config" => plan.config.push(rest.to_string()),
        "fault" => {
            let (at_ms, fault) = rest.split_once(' ').ok_or("a fault has a time and a name")?;
            plan.faults.push((number(at_ms)?, parse_fault(fault)?));
        }
        "client" => plan.clients.push(ClientPlan { name: rest.to_string(), steps: Vec::new() }),
        _ => return Err(format!("unknown word `{word}`")),
    }
    Ok(())
}

fn parse_fault(text: &str) -> Result<Fault, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let fault = match words[..] {
        ["stall", ms] => Fault::Stall { for_ms: number(ms)? },
        ["hang", ms] => Fault::Hang { for_ms: number(ms)? },
        ["no-space", ms] => Fault::NoSpace { for_ms: number(ms)? },
        ["io-error", ms] => Fault::IoError { for_ms: number(ms)? },
        ["sync-fails", ms] => Fault::SyncFails { for_ms: number(ms)? },
        ["slow", ms, each] => Fault::Slow { for_ms: number(ms)?, each_ms: number(each)? },
        ["damage", ms, one_in] => Fault::Damage { for_ms: number(ms)?, one_in: number::<u64>(one_in)?.max(1) },
        ["cold", ms, one_in] => Fault::Cold { for_ms: number(ms)?, one_in: number::<u64>(one_in)?.max(1) },
        ["panic", call, nth] => {
            let call = Call::ALL.iter().find(|(_, word)| *word == call).ok_or("no such call of the engine")?.0;
            Fault::Panic { call, nth: number::<u64>(nth)?.max(1) }
        }
        ["stop", ms] => Fault::Stop { down_ms: number(ms)? },
        ["kill", ms] => Fault::Kill { down_ms: number(ms)? },
        ["power-cut", ms, keep] => Fault::PowerCut { down_ms: number(ms)?, keep_percent: number(keep)? },
        ["kill-then-power-cut", ms, keep] => {
            Fault::KillThenPowerCut { down_ms: number(ms)?, keep_percent: number(keep)? }
        }
        ["restart-storage"] => Fault::RestartStorage,
        ["partition", machine, ms] => Fault::Partition { machine: number(machine)?, for_ms: number(ms)? },
        ["hold", ms] => Fault::Hold { for_ms: number(ms)? },
        ["failpoint", place, what, times, ms] => Fault::Failpoint {
            place: Place::named(place).ok_or("no such failpoint")?,
            what: what.parse()?,
            times: number(times)?,
            for_ms: number(ms)?,
        },
        ["clock-jump", by] => Fault::ClockJump { by_ms: number(by)? },
        _ => return Err("not a fault".into()),
    };
    Ok(fault)
}

fn parse_step(plan: &mut Plan, line: &str) -> Result<(), String> {
    let client = plan.clients.last_mut().ok_or("nobody does it: it must stand below a client")?;
    if let Some(command) = line.strip_prefix("+ ") {
        let pipeline = client.steps.last_mut().and_then(|step| step.action.commands_mut());
        pipeline.ok_or("there is no pipeline above")?.push(command.to_string());
        return Ok(());
    }
    let (wait_ms, what) = line.split_once(' ').ok_or("a step has a wait and an action")?;
    let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
    let lines = |line: &str| vec![line.to_string()];
    let action = match verb {
        "!part" => Action::Part(lines(rest)),
        "!abandon" => Action::Abandon(lines(rest)),
        "!sip" => Action::Sip(lines(rest)),
        "!storm" => Action::Storm(number(rest)?),
        "!listen" => {
            let mut words = rest.split_whitespace();
            let for_ms = number(words.next().unwrap_or_default())?;
            Action::Listen { for_ms, topics: words.map(String::from).collect() }
        }
        _ if verb.starts_with('!') => return Err(format!("no client can `{verb}`")),
        _ => Action::Send(lines(what)),
    };
    client.steps.push(Step { wait_ms: number(wait_ms)?, action });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: &str = r#"plan 1
scenario counters
seed 17
tick-ms 2
latency-ms 9
yields 4
pauses 16
commits 4
machines 2
config appendfsync always
config batch-size 3
fault 1 stall 500
fault 2 no-space 1
fault 2 hang 3
fault 3 io-error 2
fault 4 sync-fails 3
fault 5 slow 100 4
fault 6 damage 100 5
fault 7 cold 100 6
fault 8 panic after-write 2
fault 9 stop 7
fault 10 kill 8
fault 11 power-cut 9 50
fault 12 kill-then-power-cut 10 0
fault 13 restart-storage
fault 14 partition 1 11
fault 15 hold 12
fault 16 clock-jump -4000
fault 17 failpoint writer.receive stall:250 2 500
heal 100
client c0
  5 SET a "\x00 b"
    + GET a
  0 !part INCR n
    + INCR n
  1 !abandon INCR n
  2 !sip GET a
  3 !storm 20
  4 !listen 500 ch:0 ch:*
client c1
"#;

    #[test]
    fn a_plan_survives_being_written_down() {
        let plan: Plan = EVERYTHING.parse().expect("it is a plan");
        assert_eq!(plan.to_string(), EVERYTHING);
        assert_eq!(plan.faults.len(), 18, "every kind of fault is here");
        assert_eq!(plan.commands(), 6);
        assert_eq!(plan.directive("batch-size"), Some("3"));
    }

    #[test]
    fn what_is_no_plan_is_refused_with_the_line() {
        for (text, expected) in [
            ("", "not a plan"),
            ("plan 2", "version 2"),
            ("plan 1\nfault 3 flood 1", "line 2: not a fault"),
            ("plan 1\nfault x stall 1", "line 2: not a number"),
            ("plan 1\nfault 3 panic nowhere 1", "no such call"),
            ("plan 1\nfault 3 failpoint nowhere drop 1 0", "no such failpoint"),
            ("plan 1\nfault 3 failpoint channel.drop drip 1 0", "unknown fault"),
            ("plan 1\n  5 GET a", "line 2: nobody does it"),
            ("plan 1\nclient a\n  + GET a", "no pipeline"),
            ("plan 1\nclient a\n  1 !fly", "no client can"),
            ("plan 1\nweather fine", "unknown word"),
        ] {
            let error = text.parse::<Plan>().expect_err(text);
            assert!(error.contains(expected), "{error}");
        }
    }
}
