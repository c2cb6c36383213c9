//! Values of directives: the kinds there are, how each is read, and how it is written again.
//!
//! A [`Value`] is canonical: two texts that mean the same give equal values, so "changed" and "default" are plain
//! comparisons. Nothing here knows what a directive is for, and nothing converts a number without its range.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::error::Cause;
use super::model::{OutputLimit, OutputLimits};
use super::text;

/// How the words after a directive's name are read.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// A decimal integer in an inclusive range.
    Integer { min: i64, max: i64 },
    /// An octal number from 0 to `max` (file permissions).
    Octal { max: u32 },
    /// A number of bytes in an inclusive range, with or without a unit.
    Memory { min: u64, max: u64 },
    /// A number of bytes, or a percentage up to 100 with its sign.
    MemoryOrPercent,
    /// One of these words, in any case.
    Word(&'static [&'static str]),
    /// Any one word, or none (`""`).
    Text,
    /// One word with rules of its own.
    Special(fn(&[u8]) -> Result<Value, Cause>),
    /// Several words with rules of their own.
    List(fn(&[&[u8]], Before<'_>) -> Result<Value, Cause>),
}

/// What a directive stood at before the words of a [`Kind::List`] are read: some lists merge, some grow.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    pub value: &'a Value,
    /// The same start has already given this directive (never so for CONFIG SET): a repeated line adds to it.
    pub repeated: bool,
}

/// A directive's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Left to the server, which derives it from the machine.
    Auto,
    Bool(bool),
    Integer(i64),
    Octal(u32),
    /// Bytes.
    Memory(u64),
    Percent(u64),
    /// A word as the table spells it.
    Word(&'static str),
    Text(Vec<u8>),
    List(Vec<Vec<u8>>),
    /// `save`: pairs of seconds and changes.
    SavePoints(Vec<(u64, u64)>),
    OutputLimits(OutputLimits),
}

impl Kind {
    /// Whether a line of a file may have, and CONFIG SET splits its argument into, more than one word.
    pub fn takes_many_words(&self) -> bool {
        matches!(self, Kind::List(_))
    }

    /// Reads the words given for a directive of this kind.
    pub fn parse(&self, words: &[&[u8]], before: Before<'_>) -> Result<Value, Cause> {
        let word = || match words {
            [word] => Ok(*word),
            _ => Err(Cause::WrongNumberOfArguments),
        };
        match *self {
            Kind::Bool => match word()?.to_ascii_lowercase().as_slice() {
                b"yes" => Ok(Value::Bool(true)),
                b"no" => Ok(Value::Bool(false)),
                _ => Err(Cause::NotYesNo),
            },
            Kind::Integer { min, max } => {
                let number = text::parse_integer(word()?).ok_or(Cause::NotInteger)?;
                in_range(number, min, max, Value::Integer, |bound| bound.to_string())
            }
            Kind::Octal { max } => {
                let digits = std::str::from_utf8(word()?).ok().filter(|digits| !digits.starts_with('+'));
                let number = digits.and_then(|digits| u32::from_str_radix(digits, 8).ok()).ok_or(Cause::NotOctal)?;
                in_range(number, 0, max, Value::Octal, |bound| format!("{bound:o}"))
            }
            Kind::Memory { min, max } => {
                let bytes = text::parse_memory(word()?).ok_or(Cause::NotMemory)?;
                in_range(bytes, min, max, Value::Memory, |bound| bound.to_string())
            }
            Kind::MemoryOrPercent => {
                let word = word()?;
                match word.strip_suffix(b"%").map(parse_natural) {
                    Some(Some(percent)) if percent > 100 => Err(Cause::PercentTooLarge),
                    Some(percent) => percent.map(Value::Percent).ok_or(Cause::NotMemoryOrPercent),
                    None => text::parse_memory(word).map(Value::Memory).ok_or(Cause::NotMemoryOrPercent),
                }
            }
            Kind::Word(words) => parse_word(word()?, words).map(Value::Word),
            Kind::Text => Ok(Value::Text(word()?.to_vec())),
            Kind::Special(parse) => parse(word()?),
            Kind::List(_) if words.is_empty() => Err(Cause::WrongNumberOfArguments),
            Kind::List(parse) => parse(words, before),
        }
    }

    /// What may be written, for `--help`.
    pub fn syntax(&self) -> String {
        match self {
            Kind::Bool => "yes|no".into(),
            Kind::Integer { min, max: i64::MAX } => format!("<{min} or more>"),
            Kind::Integer { min, max } => format!("<{min} to {max}>"),
            Kind::Octal { max } => format!("<0 to {max:o}, octal>"),
            Kind::Memory { .. } => "<bytes>".into(),
            Kind::MemoryOrPercent => "<bytes or n%>".into(),
            Kind::Word(words) => words.join("|"),
            Kind::Text => "<text>".into(),
            Kind::Special(_) => "<value>".into(),
            Kind::List(_) => "<value> ...".into(),
        }
    }
}

fn in_range<N: PartialOrd>(
    number: N,
    min: N,
    max: N,
    value: fn(N) -> Value,
    write: fn(N) -> String,
) -> Result<Value, Cause> {
    if min <= number && number <= max { Ok(value(number)) } else { Err(Cause::OutOfRange(write(min), write(max))) }
}

/// The table's spelling of a word.
pub fn parse_word(word: &[u8], words: &'static [&'static str]) -> Result<&'static str, Cause> {
    let known = words.iter().find(|known| known.as_bytes().eq_ignore_ascii_case(word));
    known.copied().ok_or(Cause::NotOneOf(words))
}

/// Writing.
impl Value {
    /// As CONFIG GET shows it.
    pub fn text(&self) -> Vec<u8> {
        match self {
            Value::Auto => "auto".into(),
            Value::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
            Value::Integer(number) => number.to_string().into(),
            Value::Octal(number) => format!("{number:o}").into(),
            Value::Memory(bytes) => bytes.to_string().into(),
            Value::Percent(percent) => format!("{percent}%").into(),
            Value::Word(word) => (*word).into(),
            Value::Text(text) => text.clone(),
            Value::List(words) => words.join(&b' '),
            Value::SavePoints(points) => {
                let points: Vec<String> =
                    points.iter().map(|(seconds, changes)| format!("{seconds} {changes}")).collect();
                points.join(" ").into()
            }
            // Redis still says `slave` here, and clients' test suites know it.
            Value::OutputLimits(limits) => {
                let show = |class, limit: &OutputLimit| {
                    format!("{class} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_seconds)
                };
                [show("normal", &limits.normal), show("slave", &limits.replica), show("pubsub", &limits.pubsub)]
                    .join(" ")
                    .into()
            }
        }
    }

    /// What follows the directive's name in a file: one string per line, at least one.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Value::Memory(bytes) => vec![text::format_memory(*bytes)],
            Value::List(words) if !words.is_empty() => {
                vec![words.iter().map(|word| text::quote_word(word)).collect::<Vec<_>>().join(" ")]
            }
            Value::SavePoints(points) if !points.is_empty() => {
                points.iter().map(|(seconds, changes)| format!("{seconds} {changes}")).collect()
            }
            Value::OutputLimits(limits) => {
                [("normal", &limits.normal), ("replica", &limits.replica), ("pubsub", &limits.pubsub)]
                    .map(|(class, limit)| {
                        let [hard, soft] = [limit.hard_bytes, limit.soft_bytes].map(text::format_memory);
                        format!("{class} {hard} {soft} {}", limit.soft_seconds)
                    })
                    .into()
            }
            other => vec![text::quote_word(&other.text())],
        }
    }
}

/// Reading into a typed field. Each of these panics where a row of the table pairs a kind with a setter that does not
/// fit it: our own bug, and one that the sweep over the table's bounds finds.
impl Value {
    /// A yes or no.
    pub fn flag(&self) -> bool {
        match self {
            Value::Bool(yes) => *yes,
            other => misfit(other),
        }
    }

    /// An integer, an octal number or a number of bytes.
    pub fn number<N: TryFrom<i128>>(&self) -> N {
        let number = match self {
            Value::Integer(number) => i128::from(*number),
            Value::Octal(number) => i128::from(*number),
            Value::Memory(bytes) => i128::from(*bytes),
            other => misfit(other),
        };
        N::try_from(number).unwrap_or_else(|_| misfit(self))
    }

    /// One of the table's words.
    pub fn word(&self) -> &'static str {
        match self {
            Value::Word(word) => word,
            other => misfit(other),
        }
    }

    /// A text.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Value::Text(text) => text,
            other => misfit(other),
        }
    }

    /// A path, or `None` where the text is empty.
    pub fn path(&self) -> Option<PathBuf> {
        let bytes = self.bytes();
        (!bytes.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(bytes)))
    }

    /// Several words.
    pub fn list(&self) -> &[Vec<u8>] {
        match self {
            Value::List(words) => words,
            other => misfit(other),
        }
    }

    /// The limits of the three classes.
    pub fn output_limits(&self) -> OutputLimits {
        match self {
            Value::OutputLimits(limits) => *limits,
            other => misfit(other),
        }
    }
}

fn misfit(value: &Value) -> ! {
    panic!("the table's kind and setter of a directive do not fit: {value:?}")
}

// ---- Rules of single directives -----------------------------------------------------------------------------------

/// A single empty word stands for no words at all (`save ""`, `bind ""`).
fn without_empty<'a>(words: &'a [&'a [u8]]) -> &'a [&'a [u8]] {
    if matches!(words, [word] if word.is_empty()) { &[] } else { words }
}

fn owned(words: &[&[u8]]) -> Value {
    Value::List(words.iter().map(|word| word.to_vec()).collect())
}

fn parse_natural(word: &[u8]) -> Option<u64> {
    text::parse_integer(word).and_then(|number| u64::try_from(number).ok())
}

/// `bind`.
pub fn addresses(words: &[&[u8]], _: Before<'_>) -> Result<Value, Cause> {
    let words = without_empty(words);
    if words.len() > crate::limits::BIND_ADDRESSES_MAX {
        return Err(Cause::Syntax("Too many bind addresses specified."));
    }
    Ok(owned(words))
}

/// `save`: repeated lines add up, an empty one starts over.
pub fn save_points(words: &[&[u8]], before: Before<'_>) -> Result<Value, Cause> {
    const INVALID: Cause = Cause::Syntax("Invalid save parameters");
    let mut points = match before {
        Before { value: Value::SavePoints(points), repeated: true } if !words[0].is_empty() => points.clone(),
        _ => Vec::new(),
    };
    for pair in without_empty(words).chunks(2) {
        let [seconds, changes] = pair else { return Err(INVALID) };
        let seconds = parse_natural(seconds).filter(|seconds| *seconds > 0).ok_or(INVALID)?;
        points.push((seconds, parse_natural(changes).ok_or(INVALID)?));
    }
    Ok(Value::SavePoints(points))
}

/// `client-output-buffer-limit`: classes that are not named keep their limits.
pub fn output_limits(words: &[&[u8]], before: Before<'_>) -> Result<Value, Cause> {
    const INVALID: Cause = Cause::Syntax("Error in hard, soft or soft_seconds setting in buffer limit configuration.");
    let mut limits = match before.value {
        Value::OutputLimits(limits) => *limits,
        _ => OutputLimits::default(),
    };
    for class in without_empty(words).chunks(4) {
        let [class, hard, soft, seconds] = class else {
            return Err(Cause::Syntax("Wrong number of arguments in buffer limit configuration."));
        };
        let limit = match class.to_ascii_lowercase().as_slice() {
            b"normal" => &mut limits.normal,
            b"slave" | b"replica" => &mut limits.replica,
            b"pubsub" => &mut limits.pubsub,
            _ => return Err(Cause::Syntax("Invalid client class specified in buffer limit configuration.")),
        };
        *limit = OutputLimit {
            hard_bytes: text::parse_memory(hard).ok_or(INVALID)?,
            soft_bytes: text::parse_memory(soft).ok_or(INVALID)?,
            soft_seconds: parse_natural(seconds).ok_or(INVALID)?,
        };
    }
    Ok(Value::OutputLimits(limits))
}

/// `oom-score-adj-values`.
pub fn oom_scores(words: &[&[u8]], _: Before<'_>) -> Result<Value, Cause> {
    if words.len() != 3 {
        return Err(Cause::WrongNumberOfArguments);
    }
    if !words.iter().all(|word| text::parse_integer(word).is_some_and(|score| (-2000..=2000).contains(&score))) {
        return Err(Cause::Syntax("Invalid oom-score-adj-values, elements must be between -2000 and 2000."));
    }
    Ok(owned(words))
}

/// `latency-tracking-info-percentiles`.
pub fn percentiles(words: &[&[u8]], _: Before<'_>) -> Result<Value, Cause> {
    let mut percentiles = Vec::new();
    for word in without_empty(words) {
        let percentile: f64 = std::str::from_utf8(word)
            .ok()
            .and_then(|word| word.parse().ok())
            .ok_or(Cause::Syntax("Invalid latency-tracking-info-percentiles parameters"))?;
        if !(0.0..=100.0).contains(&percentile) {
            const OUTSIDE: &str = "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]";
            return Err(Cause::Syntax(OUTSIDE));
        }
        percentiles.push(percentile.to_string().into_bytes());
    }
    Ok(Value::List(percentiles))
}

/// `shutdown-on-sigterm`, `shutdown-on-sigint`.
pub fn shutdown_options(words: &[&[u8]], _: Before<'_>) -> Result<Value, Cause> {
    const OPTIONS: &[&str] = &["default", "save", "nosave", "now", "force"];
    let given = words.iter().map(|word| parse_word(word, OPTIONS)).collect::<Result<Vec<_>, _>>()?;
    if given.contains(&"save") && given.contains(&"nosave") {
        return Err(Cause::Syntax("shutdown options SAVE and NOSAVE can't be used simultaneously"));
    }
    // In the table's order and without `default` beside another, as Redis' bit set comes out.
    let kept = OPTIONS[1..].iter().filter(|option| given.contains(option)).map(|option| option.as_bytes().to_vec());
    let kept: Vec<_> = kept.collect();
    Ok(Value::List(if kept.is_empty() { vec![b"default".to_vec()] } else { kept }))
}

/// `notify-keyspace-events`, as a set of letters in one order; `A` stands for all classes but `m` and `n`. (Redis 7.0
/// sets `n` beside `A` but forgets to show it, so that CONFIG REWRITE loses it.)
pub fn keyspace_events(word: &[u8]) -> Result<Value, Cause> {
    const CLASSES: &[u8] = b"g$lshzxetd";
    let mut given = word.to_vec();
    if given.contains(&b'A') {
        given.extend(CLASSES);
    }
    if !given.iter().all(|letter| b"AKEmn".contains(letter) || CLASSES.contains(letter)) {
        return Err(Cause::Syntax("Invalid event class character. Use 'Ag$lshzxeKEtmdn'."));
    }
    let in_order =
        |letters: &[u8]| letters.iter().copied().filter(|letter| given.contains(letter)).collect::<Vec<u8>>();
    let classes = in_order(CLASSES);
    let mut text = if classes == CLASSES { b"A".to_vec() } else { classes };
    text.extend(in_order(b"KEmn"));
    Ok(Value::Text(text))
}

/// `hz`: a hint, so that numbers out of range are taken as the nearest that is not.
pub fn frequency(word: &[u8]) -> Result<Value, Cause> {
    use crate::limits::{HZ_MAX, HZ_MIN};
    let number = text::parse_integer(word).ok_or(Cause::NotInteger)?;
    in_range(number, 0, i32::MAX.into(), |hz| Value::Integer(hz.clamp(HZ_MIN, HZ_MAX)), |bound| bound.to_string())
}

/// `dbfilename`, `appendfilename`, `appenddirname`: a name, not a path.
pub fn file_name(word: &[u8]) -> Result<Value, Cause> {
    if word.contains(&b'/') || word.contains(&b'\\') {
        return Err(Cause::Syntax("argument can't be a path, just a file name"));
    }
    Ok(Value::Text(word.to_vec()))
}

/// `replicaof`: `no one` says the same as nothing.
pub fn primary(words: &[&[u8]], _: Before<'_>) -> Result<Value, Cause> {
    match without_empty(words) {
        [] => Ok(Value::List(Vec::new())),
        [no, one] if no.eq_ignore_ascii_case(b"no") && one.eq_ignore_ascii_case(b"one") => Ok(Value::List(Vec::new())),
        words @ [_, _] => Ok(owned(words)),
        _ => Err(Cause::WrongNumberOfArguments),
    }
}

/// `rename-command`: each line adds a pair.
pub fn rename(words: &[&[u8]], before: Before<'_>) -> Result<Value, Cause> {
    if words.len() != 2 {
        return Err(Cause::WrongNumberOfArguments);
    }
    let mut pairs = before.value.list().to_vec();
    pairs.extend(words.iter().map(|word| word.to_ascii_lowercase()));
    Ok(Value::List(pairs))
}

/// `user`: the line that Redis' own CONFIG REWRITE always writes, an open default user, says nothing.
pub fn user(words: &[&[u8]], _: Before<'_>) -> Result<Value, Cause> {
    const OPEN: &[&[u8]] = &[
        b"on",
        b"nopass",
        b"sanitize-payload",
        b"skip-sanitize-payload",
        b"~*",
        b"allkeys",
        b"&*",
        b"allchannels",
        b"+@all",
        b"allcommands",
    ];
    match words {
        [b"default", rules @ ..] if rules.iter().all(|rule| OPEN.contains(rule)) => Ok(Value::List(Vec::new())),
        _ => Ok(owned(words)),
    }
}

/// Any words at all.
pub fn anything(words: &[&[u8]], _: Before<'_>) -> Result<Value, Cause> {
    Ok(owned(without_empty(words)))
}
