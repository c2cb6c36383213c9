//! Finding a command by name, and where its keys are. The table is the families' rows under the names that this
//! server's configuration gives them (`rename-command`).

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::spec::is_arity;
use super::{BeginSearch, Command, CommandError, FAMILIES, FindKeys, KeySpec, echoed};
use crate::limits;
use crate::observe::{CommandCounters, CommandStats};
use crate::resp::CommandArgs;

/// Longer than any command's name; longer words need no lookup.
const NAME_LEN_MAX: usize = 64;

/// A server's commands by name.
#[derive(Debug)]
pub struct CommandTable {
    by_name: HashMap<Vec<u8>, Row, FixedState>,
}

/// A command and its counters, subcommands' included, in their order.
#[derive(Clone, Debug)]
struct Row {
    command: &'static Command,
    counters: Arc<CommandCounters>,
    subcommands: Vec<Arc<CommandCounters>>,
}

impl Row {
    fn new(command: &'static Command, stats: &CommandStats) -> Row {
        let subcommands = command.subcommands.iter().map(|sub| stats.of(command.name, sub.name)).collect();
        Row { command, counters: stats.of("", command.name), subcommands }
    }

    fn subcommand(&self, word: &[u8]) -> Result<Call, CommandError> {
        let rows = self.command.subcommands.iter().zip(&self.subcommands);
        let found = rows.into_iter().find(|(sub, _)| sub.name.as_bytes().eq_ignore_ascii_case(word));
        let (sub, counters) = found.ok_or_else(|| unknown_subcommand(self.command, word))?;
        Ok(Call { command: sub, container: Some(self.command), counters: counters.clone() })
    }
}

/// What a client called: a command, and of a container the subcommand.
#[derive(Clone, Debug)]
pub struct Call {
    /// What runs.
    pub command: &'static Command,
    /// The container, if `command` is a subcommand.
    pub container: Option<&'static Command>,
    pub counters: Arc<CommandCounters>,
}

impl Call {
    /// `get`, `client|list`: as COMMAND, INFO commandstats and error texts name it.
    pub fn full_name(&self) -> String {
        match self.container {
            Some(container) => format!("{}|{}", container.name, self.command.name),
            None => self.command.name.to_string(),
        }
    }
}

impl CommandTable {
    /// All commands, with `renames` (name, new name; an empty new name removes the command) applied.
    pub fn new(renames: &[(String, String)], stats: &CommandStats) -> CommandTable {
        let mut by_name: HashMap<Vec<u8>, Row, FixedState> = HashMap::default();
        for command in all() {
            by_name.insert(command.name.as_bytes().to_vec(), Row::new(command, stats));
        }
        for (from, to) in renames {
            if let Some(row) = by_name.remove(from.to_ascii_lowercase().as_bytes())
                && !to.is_empty()
            {
                by_name.insert(to.to_ascii_lowercase().into_bytes(), row);
            }
        }
        CommandTable { by_name }
    }

    /// The command called `name`, in any case.
    pub fn get(&self, name: &[u8]) -> Option<&'static Command> {
        self.row(name).map(|row| row.command)
    }

    fn row(&self, name: &[u8]) -> Option<&Row> {
        let mut lower = [0; NAME_LEN_MAX];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.by_name.get(&*lower)
    }

    /// Finds what `args` call, and checks its arity. The texts are Redis'.
    pub fn resolve(&self, args: &CommandArgs) -> Result<Call, CommandError> {
        let row = self.row(args.name()).ok_or_else(|| unknown_command(args))?;
        let call = match args.get(1) {
            Some(word) if !row.subcommands.is_empty() => row.subcommand(word)?,
            _ => Call { command: row.command, container: None, counters: row.counters.clone() },
        };
        if !call.command.accepts(args.len()) {
            call.counters.rejected.add(1);
            return Err(CommandError::Arity(call.full_name()));
        }
        if let Some(word) = args.get(1).filter(|_| !call.command.refused.is_empty()) {
            let refused = call.command.refused.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word));
            let (name, arity) = refused.ok_or_else(|| unknown_subcommand(call.command, word))?;
            if !is_arity(*arity, args.len()) {
                return Err(CommandError::Arity(format!("{}|{name}", call.command.name)));
            }
        }
        Ok(call)
    }

    /// The commands under the names that clients use, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'static Command)> {
        let mut rows: Vec<_> = self
            .by_name
            .iter()
            .map(|(name, row)| (std::str::from_utf8(name).unwrap_or(row.command.name), row.command))
            .collect();
        rows.sort_unstable_by_key(|(name, _)| *name);
        rows.into_iter()
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// Every command's row, whatever it is renamed to.
pub fn all() -> impl Iterator<Item = &'static Command> {
    FAMILIES.iter().flat_map(|family| family.iter().copied())
}

/// The positions of a call's keys among its arguments, with the flags of the key specification that found them.
pub fn key_positions(command: &Command, args: &CommandArgs) -> Vec<(usize, &'static KeySpec)> {
    let keys = command.keys.iter().filter(|spec| !spec.flags.contains(&"not_key"));
    keys.flat_map(|spec| positions(spec, args).into_iter().map(move |at| (at, spec))).collect()
}

fn positions(spec: &KeySpec, args: &CommandArgs) -> Vec<usize> {
    let count = args.len();
    if let FindKeys::Search(search) = spec.find {
        return search(args);
    }
    let begin = match spec.begin {
        BeginSearch::Index(index) => index,
        BeginSearch::Keyword { keyword, start_from } => {
            let is_keyword = |at: &usize| args.get(*at).is_some_and(|arg| arg.eq_ignore_ascii_case(keyword.as_bytes()));
            let found = if start_from >= 0 {
                (start_from as usize..count).find(is_keyword)
            } else {
                (1..=count.saturating_sub(start_from.unsigned_abs() as usize)).rev().find(is_keyword)
            };
            match found {
                Some(at) => at + 1,
                None => return Vec::new(),
            }
        }
        BeginSearch::Unknown => return Vec::new(),
    };
    match spec.find {
        FindKeys::Range { last, step, limit } => {
            let last = match last {
                0.. => begin + last as usize,
                // `limit` n looks at the first n-th part of what is left only (of XREAD's streams, say, the half).
                -1 if limit >= 2 => begin + (count.saturating_sub(begin)) / limit as usize - 1,
                _ => count.saturating_sub(last.unsigned_abs() as usize),
            };
            (begin..=last).step_by(step.max(1) as usize).filter(|at| *at < count).collect()
        }
        FindKeys::KeyNum { key_num_index, first_key, step } => {
            let number = args.get(begin + key_num_index).and_then(crate::number::parse_i64).unwrap_or(0);
            let number = usize::try_from(number).unwrap_or(0).min(count);
            let first = begin + first_key;
            (0..number).map(|key| first + key * step.max(1)).filter(|at| *at < count).collect()
        }
        FindKeys::Unknown | FindKeys::Search(_) => Vec::new(),
    }
}

/// Redis repeats at most 128 bytes of the name, and about as many of the arguments.
fn unknown_command(args: &CommandArgs) -> CommandError {
    let mut shown = Vec::new();
    for arg in args.iter().skip(1) {
        let Some(room @ 1..) = limits::ERROR_WORD_BYTES_MAX.checked_sub(shown.len()) else { break };
        shown.extend_from_slice(&[b"'", echoed(&arg[..arg.len().min(room)]), b"' "].concat());
    }
    CommandError::echo(&[b"ERR unknown command '", echoed(args.name()), b"', with args beginning with: ", &shown])
}

fn unknown_subcommand(container: &Command, word: &[u8]) -> CommandError {
    let name = container.name.to_ascii_uppercase();
    CommandError::echo(&[b"ERR unknown subcommand '", echoed(word), b"'. Try ", name.as_bytes(), b" HELP."])
}
