//! What a directive is: one row of the table, its kind, when it may change and whether the server obeys it.
//!
//! A row says what it takes and what it means, and does nothing itself. The rows stand in `table.rs`.

use super::error::Cause;
use super::model::{Config, Machine};
use super::text;
use super::value::{Before, Kind, Value};

/// One row of the table.
#[derive(Debug)]
pub struct Directive {
    /// The name that is reported; lower case.
    pub name: &'static str,
    /// An older name that Redis still takes (`slave-…`, `…-ziplist-…`).
    pub alias: Option<&'static str>,
    pub kind: Kind,
    /// As it would be written in a file.
    pub default: &'static str,
    /// The value that the word `auto` stands for on a machine, where `auto` may be said.
    pub auto: Option<fn(&Machine) -> Value>,
    pub change: Change,
    pub meaning: Meaning,
    /// What it does; of an accepted directive, why it does nothing.
    pub doc: &'static str,
    /// The only values that are taken, as CONFIG GET shows them, and what to say of any other.
    only: Option<(&'static [&'static str], &'static str)>,
    /// CONFIG GET shows it only by its full name: Redis' own debugging aids.
    pub hidden: bool,
    /// Its value must not reach a log, the slow log or MONITOR.
    pub secret: bool,
}

/// When a directive may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// By CONFIG SET.
    Live,
    /// At start only.
    Fixed,
    /// At start only, and CONFIG SET says "protected", as Redis does of what could write files somewhere else.
    Protected,
    /// Said in files or flags only, possibly more than once; CONFIG GET and SET do not know it.
    FileOnly,
}

/// Whether the server obeys it.
#[derive(Clone, Copy, Debug)]
pub enum Meaning {
    /// It does: the chapter of help and sample where it stands, and how its value enters the typed configuration.
    Active(&'static str, fn(&mut Config, &Value)),
    /// It does not, and need not: stored and reported, named once in the log at start.
    Accepted,
}

impl Directive {
    const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        meaning: Meaning,
        doc: &'static str,
    ) -> Directive {
        Directive {
            name,
            alias: None,
            kind,
            default,
            auto: None,
            change: Change::Live,
            meaning,
            doc,
            only: None,
            hidden: false,
            secret: false,
        }
    }

    pub(super) const fn alias(self, alias: &'static str) -> Directive {
        Directive { alias: Some(alias), ..self }
    }

    pub(super) const fn fixed(self) -> Directive {
        Directive { change: Change::Fixed, ..self }
    }

    pub(super) const fn protected(self) -> Directive {
        Directive { change: Change::Protected, ..self }
    }

    pub(super) const fn file_only(self) -> Directive {
        Directive { change: Change::FileOnly, ..self }
    }

    /// Lets `auto` be said, and makes it the default where the default says so.
    pub(super) const fn auto(self, of: fn(&Machine) -> Value) -> Directive {
        Directive { auto: Some(of), ..self }
    }

    pub(super) const fn only(self, values: &'static [&'static str], otherwise: &'static str) -> Directive {
        Directive { only: Some((values, otherwise)), ..self }
    }

    pub(super) const fn hidden(self) -> Directive {
        Directive { hidden: true, ..self }
    }

    pub(super) const fn secret(self) -> Directive {
        Directive { secret: true, ..self }
    }

    /// The chapter of help and sample where it stands, if the server obeys it.
    pub fn chapter(&self) -> Option<&'static str> {
        match self.meaning {
            Meaning::Active(chapter, _) => Some(chapter),
            Meaning::Accepted => None,
        }
    }

    /// What is said of the values that are refused because they cannot be obeyed, if there are any.
    pub fn refusal(&self) -> Option<&'static str> {
        self.only.map(|(_, otherwise)| otherwise)
    }

    /// Whether the server would do the same without it, whatever it says.
    pub fn has_no_effect(&self) -> bool {
        self.chapter().is_none() && self.only.is_none()
    }

    /// What may be written, for `--help`.
    pub fn syntax(&self) -> String {
        match self.only {
            Some((values, _)) => values.join("|"),
            None if self.auto.is_some() => format!("{}|auto", self.kind.syntax()),
            None => self.kind.syntax(),
        }
    }

    /// Reads the words given for this directive.
    pub fn parse(&self, words: &[&[u8]], before: Before<'_>) -> Result<Value, Cause> {
        if self.auto.is_some() && matches!(words, [word] if word.eq_ignore_ascii_case(b"auto")) {
            return Ok(Value::Auto);
        }
        let value = self.kind.parse(words, before).map_err(|cause| match cause {
            Cause::WrongNumberOfArguments => cause,
            cause if self.auto.is_some() => Cause::OrAuto(Box::new(cause)),
            cause => cause,
        })?;
        match self.only {
            Some((values, otherwise)) if !values.iter().any(|only| only.as_bytes() == value.text()) => {
                Err(Cause::NotSupported(otherwise))
            }
            _ => Ok(value),
        }
    }

    /// The value that it has where nothing is said.
    pub fn default_value(&self) -> Value {
        if self.change == Change::FileOnly {
            return Value::List(Vec::new());
        }
        let words = text::split_words(self.default.as_bytes()).unwrap_or_default();
        let words: Vec<&[u8]> = if words.is_empty() { vec![b""] } else { words.iter().map(Vec::as_slice).collect() };
        let before = Before { value: &Value::Auto, repeated: false };
        self.parse(&words, before).unwrap_or_else(|cause| panic!("default of {}: {cause}", self.name))
    }
}

/// A directive that the server obeys, by setting a field of the configuration.
pub(super) const fn active(
    chapter: &'static str,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    apply: fn(&mut Config, &Value),
    doc: &'static str,
) -> Directive {
    Directive::new(name, kind, default, Meaning::Active(chapter, apply), doc)
}

/// A directive that need not be obeyed, and why.
pub(super) const fn accepted(why: &'static str, name: &'static str, kind: Kind, default: &'static str) -> Directive {
    Directive::new(name, kind, default, Meaning::Accepted, why)
}
