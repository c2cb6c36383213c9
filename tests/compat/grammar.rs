//! Sequences of calls, generated from the command table's own description of its arguments: mostly what the grammar
//! allows, often with odd values, and sometimes bent until it is wrong, for error texts are part of the protocol.

use std::collections::BTreeSet;

use bulkhead::commands::{Argument, ArgumentKind, Command, table};
use bulkhead::resp::Value;
use bytes::Bytes;

use crate::dice::Dice;
use crate::families::{Callable, FAMILIES, Family, callables, is_excluded};
use crate::sequence::Sequence;
use crate::support::Client;
use crate::values;

/// Calls of one sequence: enough for state to build up, few enough to run many of them.
const CALLS: std::ops::Range<usize> = 6..40;

/// What can be generated.
pub struct Grammar {
    families: Vec<(&'static Family, Vec<(Callable, usize)>)>,
    /// Every word that is a token of some command.
    tokens: Vec<&'static str>,
    /// The family that all sequences are about, if `COMPAT_THEME` names its group.
    theme: Option<usize>,
    /// What is a command of the real server and not of ours: it would not be an unknown command on both.
    foreign: BTreeSet<String>,
}

impl Grammar {
    /// The grammar of our command table, for sequences that are compared with the server that `real` is connected to.
    pub fn new(real: &mut Client) -> Grammar {
        let Value::Array(names) = real.call(&["COMMAND", "LIST"]) else { panic!("COMMAND LIST gives no list") };
        let names = names.iter().map(|name| name.to_string().trim_matches('"').to_string());
        let foreign = names.filter(|name| !table::all().any(|command| command.name == name)).collect();
        let mut tokens = Vec::new();
        let mut families: Vec<(&Family, Vec<(Callable, usize)>)> =
            FAMILIES.iter().map(|row| (row, Vec::new())).collect();
        for callable in callables(table::all()) {
            collect_tokens(callable.command.arguments, &mut tokens);
            if let Some((family, members)) = families.iter_mut().find(|(row, _)| row.group == callable.command.group)
                && !is_excluded(&callable.name)
            {
                let favour = family.favourites.iter().find(|(name, _)| *name == callable.name);
                members.push((callable, favour.map_or(1, |(_, weight)| *weight)));
            }
        }
        families.retain(|(_, members)| !members.is_empty());
        tokens.sort_unstable();
        tokens.dedup();
        let theme = std::env::var("COMPAT_THEME").ok().map(|theme| {
            let named = families.iter().position(|(family, _)| family.group.name() == theme);
            named.unwrap_or_else(|| panic!("COMPAT_THEME={theme} is no group of commands"))
        });
        Grammar { families, tokens, theme, foreign }
    }

    /// The sequence of `seed`.
    pub fn sequence(&self, seed: u64) -> Sequence {
        let mut dice = Dice::new(seed);
        let calls = CALLS.start + dice.below(CALLS.len());
        // Most sequences have a theme and few keys, for otherwise keys would mostly hold nothing, or another type than
        // what is asked for.
        let theme = self.theme.or_else(|| dice.percent(80).then(|| dice.below(self.families.len())));
        let mut sequence = Sequence { resp3: dice.percent(40), pipelined: dice.percent(50), calls: Vec::new() };
        for _ in 0..calls {
            let mut call = self.call(&mut dice, theme);
            if theme.is_some() && dice.percent(80) {
                values::use_few_keys(&mut call);
            }
            sequence.calls.push(call);
        }
        sequence
    }

    /// A call, more likely than not of the family numbered `theme`.
    pub fn call(&self, dice: &mut Dice, theme: Option<usize>) -> Vec<Bytes> {
        loop {
            let call = self.any_call(dice, theme);
            let name = name_of(&call);
            let is_wanted = !is_excluded(&name) && !self.foreign.contains(&name);
            let by_chance = draws_without_end(&call) || stores_by_chance(&call) || depends_on_the_clock(&call);
            if is_wanted && !takes_seconds(&call) && !by_chance && !waits_for_entries(&call) {
                return call;
            }
        }
    }

    fn any_call(&self, dice: &mut Dice, theme: Option<usize>) -> Vec<Bytes> {
        // Odd values come together: one in a call usually decides the reply.
        let odd = if dice.percent(30) { 35 } else { 2 };
        let theme = theme.filter(|_| dice.percent(80)).map(|theme| &self.families[theme]);
        let (family, members) = match theme {
            Some(theme) => theme,
            None => dice.pick_weighted(&self.families, |(family, _)| family.weight),
        };
        let mut args = if !family.templates.is_empty() && dice.percent(30) {
            let template = dice.pick(family.templates);
            self.fill(dice, template, odd)
        } else {
            let (callable, _) = dice.pick_weighted(members, |(_, weight)| *weight);
            let mut args: Vec<Bytes> = callable.words.iter().map(|word| Bytes::from_static(word.as_bytes())).collect();
            generate_all(dice, callable.command.arguments, odd, &mut args);
            args
        };
        if dice.percent(12) {
            self.bend(dice, &mut args);
        }
        if dice.percent(25) {
            self.change_case(dice, &mut args);
        }
        args
    }

    fn fill(&self, dice: &mut Dice, template: &str, odd: usize) -> Vec<Bytes> {
        let mut args = Vec::new();
        for word in template.split(' ') {
            match word.strip_prefix('{').and_then(|word| word.strip_suffix('}')) {
                Some("call") => args.extend(self.call(dice, None)),
                Some(name) if name.starts_with("many-") => {
                    let many = values::many(dice, name);
                    args.extend(many.unwrap_or_else(|| panic!("no values are called {name}")));
                }
                Some(name) => {
                    let is_odd = dice.percent(odd);
                    args.push(values::placeholder(dice, name, is_odd));
                }
                None => args.push(Bytes::copy_from_slice(word.as_bytes())),
            }
        }
        args
    }

    /// Makes a call wrong, most likely.
    fn bend(&self, dice: &mut Dice, args: &mut Vec<Bytes>) {
        let at = dice.below(args.len());
        let any = values::any_word(dice, &self.tokens);
        match dice.below(8) {
            0 if args.len() > 1 => drop(args.remove(at)),
            1 => args.insert(at + 1, args[at].clone()),
            2 => args.insert(at + 1, any),
            3 => args.push(any),
            4 => args[at] = any,
            5 => args.truncate(1 + at),
            6 => {
                let other = dice.below(args.len());
                args.swap(at, other);
            }
            _ => args.push(args[at].clone()),
        }
    }

    /// Writes names and tokens in another case: none of it may matter.
    fn change_case(&self, dice: &mut Dice, args: &mut [Bytes]) {
        for (at, arg) in args.iter_mut().enumerate() {
            let is_word = at == 0 || self.tokens.iter().any(|token| token.as_bytes() == &arg[..]);
            if is_word {
                let change =
                    |byte: &u8| if dice.percent(50) { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
                *arg = arg.iter().map(change).collect();
            }
        }
    }
}

fn collect_tokens(arguments: &'static [Argument], tokens: &mut Vec<&'static str>) {
    for argument in arguments {
        tokens.extend(argument.token.filter(|token| !token.is_empty()));
        collect_tokens(argument.arguments, tokens);
    }
}

/// Generates `arguments` in order. A `numkeys` mostly tells the truth about the keys that follow it.
fn generate_all(dice: &mut Dice, arguments: &'static [Argument], odd: usize, args: &mut Vec<Bytes>) {
    let mut numkeys_at = None;
    for argument in arguments {
        if argument.optional && !dice.percent(45) {
            continue;
        }
        if argument.name == "numkeys" {
            numkeys_at = Some(args.len() + usize::from(argument.token.is_some()));
        }
        let from = args.len();
        generate(dice, argument, odd, args);
        if let Some(at) = numkeys_at
            && argument.multiple
        {
            if !dice.percent(odd) {
                args[at] = (args.len() - from).to_string().into();
            }
            numkeys_at = None;
        }
    }
}

fn generate(dice: &mut Dice, argument: &Argument, odd: usize, args: &mut Vec<Bytes>) {
    let times = if argument.multiple { dice.pick(&[1, 1, 2, 2, 3, 5]) } else { 1 };
    for time in 0..times {
        if let Some(token) = argument.token
            && (time == 0 || argument.multiple_token)
        {
            args.push(Bytes::from_static(token.as_bytes()));
        }
        match argument.kind {
            ArgumentKind::PureToken => {}
            ArgumentKind::OneOf if argument.arguments.is_empty() => {}
            ArgumentKind::OneOf => {
                let choice = dice.pick(argument.arguments);
                generate(dice, &choice, odd, args);
            }
            ArgumentKind::Block => generate_all(dice, argument.arguments, odd, args),
            kind => {
                let is_odd = dice.percent(odd);
                args.push(values::value(dice, argument.name, kind, is_odd));
            }
        }
    }
}

/// Whether a key would expire within seconds: nobody wants to wait for that.
pub fn takes_seconds(call: &[Bytes]) -> bool {
    let name = name_of(call);
    let after_ex = call.windows(2).filter(|pair| pair[0].eq_ignore_ascii_case(b"EX")).map(|pair| &pair[1]);
    let by_name = call.get(2).filter(|_| name == "expire" || name == "setex");
    after_ex.chain(by_name).any(|seconds| matches!(&seconds[..], [b'1'..=b'9']))
}

/// Whether elements would be drawn, with repetitions, until memory ends: Redis does.
pub fn draws_without_end(call: &[Bytes]) -> bool {
    let draws = ["hrandfield", "srandmember", "zrandmember"].contains(&name_of(call).as_str());
    draws && call.iter().skip(2).any(|arg| arg.starts_with(b"-") && arg.len() > 4)
}

/// Whether a call would store elements in an order that chance decides: of equal texts that BY led to.
fn stores_by_chance(call: &[Bytes]) -> bool {
    let has = |word: &[u8]| call.iter().any(|arg| arg.eq_ignore_ascii_case(word));
    name_of(call) == "sort" && has(b"BY") && has(b"ALPHA") && has(b"STORE")
}

/// Whether an id would be that of the moment, or a delivery be of a moment not far from it.
fn depends_on_the_clock(call: &[Bytes]) -> bool {
    let has = |word: &[u8]| call.iter().any(|arg| arg.eq_ignore_ascii_case(word));
    let idle = call.windows(2).filter(|pair| pair[0].eq_ignore_ascii_case(b"IDLE")).map(|pair| &pair[1]);
    let is_close = |text: &Bytes| !matches!(&text[..], b"0" | b"-1" | b"1000000") && text.len() < 7;
    let name = name_of(call);
    match name.as_str() {
        "xadd" => has(b"*"),
        "xclaim" | "xautoclaim" => idle.chain(call.get(4)).any(is_close),
        "xpending" => idle.into_iter().any(is_close),
        _ => false,
    }
}

/// Whether a call may wait: compat/dialogue.rs.
pub fn waits_for_entries(call: &[Bytes]) -> bool {
    name_of(call).starts_with("xread") && call.iter().any(|arg| arg.eq_ignore_ascii_case(b"BLOCK"))
}

/// Whether `args` call a container or a command, and which: as COMMAND names it.
pub fn name_of(args: &[Bytes]) -> String {
    let lower = |arg: &Bytes| String::from_utf8_lossy(arg).to_ascii_lowercase();
    let name = args.first().map(lower).unwrap_or_default();
    let has_subcommands = |command: &&Command| !command.subcommands.is_empty();
    match (table::all().filter(has_subcommands).any(|command| command.name == name), args.get(1)) {
        (true, Some(sub)) => format!("{name}|{}", lower(sub)),
        _ => name,
    }
}
