//! What can be wrong with a configuration: one variant per cause, worded for the person who has to mend it.
//!
//! Where Redis 7.0 has words for a cause they are used verbatim, because the same causes answer CONFIG SET and clients'
//! test suites compare the text. A value is never quoted: it may be a password.

use std::fmt;
use std::path::PathBuf;

/// Why a value, a line or a combination of values is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    #[error("argument must be 'yes' or 'no'")]
    NotYesNo,
    #[error("argument couldn't be parsed into an integer")]
    NotInteger,
    #[error("argument couldn't be parsed as an octal number")]
    NotOctal,
    #[error("argument must be a memory value")]
    NotMemory,
    #[error("argument must be a memory or percent value")]
    NotMemoryOrPercent,
    #[error("percentage argument must be less or equal to 100")]
    PercentTooLarge,
    /// The bounds as this kind of directive writes them (decimal, octal).
    #[error("argument must be between {0} and {1} inclusive")]
    OutOfRange(String, String),
    #[error("argument(s) must be one of the following: {}", .0.join(", "))]
    NotOneOf(&'static [&'static str]),
    /// The directive can also be left to the server: added to any cause that stems from parsing.
    #[error("{0}, or 'auto'")]
    OrAuto(Box<Cause>),
    #[error("wrong number of arguments")]
    WrongNumberOfArguments,
    /// A directive with a syntax of its own, in Redis' words.
    #[error("{0}")]
    Syntax(&'static str),
    /// Understood, but ignoring it would break what the operator relies on.
    #[error("not supported by this version of Bulkhead: {0}")]
    NotSupported(&'static str),
    /// Valid alone, impossible together with another directive.
    #[error("{0}")]
    Conflict(String),
    #[error("unknown directive{}", .nearest.map_or(String::new(), |name| format!("; did you mean '{name}'?")))]
    Unknown { nearest: Option<&'static str> },
    #[error("unbalanced quotes: a quoted argument must be closed, and followed by a space or the end of the line")]
    UnbalancedQuotes,
    #[error("can't read '{}': {error}", .path.display())]
    Unreadable { path: PathBuf, error: String },
    #[error("'{}' includes itself", .0.display())]
    IncludeLoop(PathBuf),
    #[error("nested deeper than {} files", crate::limits::INCLUDE_DEPTH_MAX)]
    IncludeTooDeep,
    #[error(
        "more than {} files read: does a file include itself under several names?",
        crate::limits::INCLUDE_FILES_MAX
    )]
    TooManyFiles,
    #[error("neither a configuration file (that comes first) nor a flag; flags are spelled --directive value")]
    NotAFlag,
}

/// Where something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line, counted from 1, of a file (`-`: standard input).
    File { path: PathBuf, line: usize },
    /// The command line.
    Flag,
    /// Nowhere: the fault lies with the configuration as a whole.
    Whole,
}

/// One thing wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub origin: Origin,
    /// The directive as it was spelled, or empty where the line has none.
    pub directive: String,
    pub cause: Cause,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, self.directive.as_str()) {
            (Origin::File { path, line }, "") => write!(f, "{}:{line}: ", path.display())?,
            (Origin::File { path, line }, name) => write!(f, "{}:{line}: {name}: ", path.display())?,
            (Origin::Flag, "") | (Origin::Whole, "") => {}
            (Origin::Flag, name) => write!(f, "command line: {name}: ")?,
            (Origin::Whole, name) => write!(f, "{name}: ")?,
        }
        write!(f, "{}", self.cause)
    }
}

/// Everything wrong with a configuration, in the order in which it was read; never empty. One line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ConfigError::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// Why CONFIG SET changed nothing. The text is Redis' reply without its `ERR ` code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigSetError {
    #[error("Unknown option or number of arguments for CONFIG SET - '{0}'")]
    Unknown(String),
    #[error("CONFIG SET failed (possibly related to argument '{argument}') - {reason}")]
    Failed { argument: String, reason: String },
}

/// CONFIG REWRITE has nothing to rewrite. The text is Redis' reply without its `ERR ` code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The server is running without a config file")]
pub struct NoConfigFile;
