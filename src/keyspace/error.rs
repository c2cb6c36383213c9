//! Why a command failed, and the words in which its client hears it. This is the one place where an error gets its
//! wire text; nothing else writes error replies by hand.

use std::borrow::Cow;

use super::TxnError;
use crate::engine::EngineError;
use crate::limits;
use crate::observe::Category;

/// The failure of one command. `Display` is the reply without its leading `-`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CommandError {
    #[error("ERR syntax error")]
    Syntax,
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    #[error("ERR value is not a valid float")]
    NotFloat,
    #[error("ERR no such key")]
    NoSuchKey,
    #[error("ERR index out of range")]
    IndexOutOfRange,
    #[error("ERR DB index is out of range")]
    DbIndex,
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    #[error("ERR increment would produce NaN or Infinity")]
    FloatOverflow,
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpire(&'static str),
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(String),
    #[error("NOAUTH Authentication required.")]
    NoAuth,
    /// Certainly not executed, safe to send again.
    #[error("TRYAGAIN {0}")]
    TryAgain(&'static str),
    /// May have been executed.
    #[error("INDOUBT {0}")]
    InDoubt(&'static str),
    /// The disk's reserve is touched, and the command would take more of it.
    #[error(
        "NOSPACE the disk is nearly full, the command was not executed; delete keys or free space (see disk-reserve)"
    )]
    DiskReserve,
    /// No error: a blocking command found nothing, and waits if it may.
    #[error("ERR internal error: a command that waits was not made to")]
    WouldWait,
    /// A script ended with this error. What it had done by then stays, as in Redis.
    #[error("{}", String::from_utf8_lossy(.text))]
    Script {
        text: Vec<u8>,
        /// A command of the script's has failed and was counted for it.
        is_counted: bool,
    },
    /// Our own bug, contained: the command had no effect.
    #[error("ERR internal error, the command was not executed; see the server's log")]
    Internal,
    /// Any other text, with its code.
    #[error("{0}")]
    Custom(Cow<'static, str>),
    /// A text that repeats bytes of the client's, whatever they are.
    #[error("{}", String::from_utf8_lossy(.0))]
    Echo(Vec<u8>),
    #[error("{}", storage_reply(.0))]
    Storage(TxnError),
}

impl CommandError {
    /// An error with a text of its own, its code (`ERR`, `NOPERM` …) included.
    pub fn custom(text: impl Into<Cow<'static, str>>) -> CommandError {
        CommandError::Custom(text.into())
    }

    /// An error whose text, code included, is put together from `parts`: ours, and what the client said.
    pub fn echo(parts: &[&[u8]]) -> CommandError {
        CommandError::Echo(parts.concat())
    }

    /// Under which the error log counts it, where nobody but the server itself is told.
    pub fn category(&self) -> Category {
        match self {
            CommandError::Storage(error) => error.category(),
            _ => Category::Background,
        }
    }

    /// The reply without its leading `-`.
    pub fn reply_text(&self) -> Cow<'_, [u8]> {
        match self {
            CommandError::Custom(text) => Cow::Borrowed(text.as_bytes()),
            CommandError::Echo(text) | CommandError::Script { text, .. } => Cow::Borrowed(text),
            other => Cow::Owned(other.to_string().into_bytes()),
        }
    }
}

/// As much of a client's word as an error repeats: 128 bytes, and, since Redis' texts are C strings, up to a NUL.
pub fn echoed(word: &[u8]) -> &[u8] {
    let word = &word[..word.len().min(limits::ERROR_WORD_BYTES_MAX)];
    memchr::memchr(0, word).map_or(word, |end| &word[..end])
}

impl From<TxnError> for CommandError {
    fn from(error: TxnError) -> Self {
        CommandError::Storage(error)
    }
}

impl From<EngineError> for CommandError {
    fn from(error: EngineError) -> Self {
        CommandError::Storage(TxnError::Engine(error))
    }
}

/// Engine errors keep codes of their own, so that clients and operators can tell a full disk from a bug. Every one of
/// them means: certainly not executed. But for a failed fsync: what was written before it is in the log, and may be found
/// there when the store is opened again.
fn storage_reply(error: &TxnError) -> String {
    let TxnError::Engine(error) = error else {
        return "ERR internal error: a read was not restarted".to_string();
    };
    match error {
        EngineError::NoSpace(_) => "NOSPACE the disk is full, the write was not executed; free space and retry".into(),
        EngineError::ReadOnly(reason) => format!("READONLY storage refuses writes after an error: {reason}"),
        EngineError::SyncFailed(reason) => {
            format!("INDOUBT fsync failed, the write may or may not survive; storage refuses writes: {reason}")
        }
        EngineError::Corruption(reason) => format!("CORRUPT the stored data is damaged: {reason}"),
        EngineError::WriteStall => "TRYAGAIN writes are stalled, the write was not executed".into(),
        EngineError::WouldBlock
        | EngineError::TakesLong
        | EngineError::Io(_)
        | EngineError::Locked(_)
        | EngineError::Closed => {
            format!("IOERR {error}")
        }
    }
}
