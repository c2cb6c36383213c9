//! A script: its text, the name it has by that, and what its first line says of it (`#!lua flags=no-writes`).

use bytes::Bytes;

use super::redis::digest;
use crate::keyspace::{CommandError, echoed};
use crate::resp::CommandArgs;

/// The SHA-1 of a script's text, in lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScriptDigest(pub [u8; 40]);

impl ScriptDigest {
    pub fn of(body: &[u8]) -> ScriptDigest {
        ScriptDigest(digest(body))
    }

    /// As a client names it, in any case. `None`: it cannot be one.
    pub fn parse(name: &[u8]) -> Option<ScriptDigest> {
        let mut digits: [u8; 40] = name.try_into().ok()?;
        digits.make_ascii_lowercase();
        Some(ScriptDigest(digits))
    }
}

impl std::fmt::Debug for ScriptDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for ScriptDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// What a script says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptFlags {
    /// It has a first line that says anything at all; without one it may do what scripts always could.
    pub is_declared: bool,
    pub no_writes: bool,
    pub allow_oom: bool,
}

/// A script that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub digest: ScriptDigest,
    pub flags: ScriptFlags,
    pub body: Bytes,
    /// Where the Lua begins: behind the first line's text, so that lines keep their numbers.
    code_at: usize,
}

impl Script {
    pub fn new(digest: ScriptDigest, body: &[u8]) -> Result<Script, CommandError> {
        let (flags, code_at) = match body.starts_with(b"#!") {
            true => shebang(body)?,
            false => (ScriptFlags::default(), 0),
        };
        Ok(Script { digest, flags, body: Bytes::copy_from_slice(body), code_at })
    }

    pub fn code(&self) -> &[u8] {
        &self.body[self.code_at..]
    }
}

fn shebang(body: &[u8]) -> Result<(ScriptFlags, usize), CommandError> {
    let invalid = || CommandError::custom("ERR Invalid script shebang");
    let end = memchr::memchr(b'\n', body).ok_or_else(invalid)?;
    let words = CommandArgs::from_line(&body[..end]).ok().filter(|words| !words.is_empty());
    let words = words.ok_or_else(|| CommandError::custom("ERR Invalid engine in script shebang"))?;
    if words.name() != b"#!lua" {
        return Err(CommandError::echo(&[b"ERR Unexpected engine in script shebang: ", echoed(words.name())]));
    }
    let mut flags = ScriptFlags { is_declared: true, ..ScriptFlags::default() };
    for word in words.iter().skip(1) {
        let Some(names) = word.strip_prefix(b"flags=") else {
            return Err(CommandError::echo(&[b"ERR Unknown lua shebang option: ", echoed(word)]));
        };
        for name in names.split(|byte| *byte == b',') {
            match name {
                b"no-writes" => flags.no_writes = true,
                b"allow-oom" => flags.allow_oom = true,
                b"allow-stale" | b"no-cluster" | b"allow-cross-slot-keys" => {}
                b"" if names.is_empty() => {}
                other => {
                    return Err(CommandError::echo(&[b"ERR Unexpected flag in script shebang: ", echoed(other)]));
                }
            }
        }
    }
    Ok((flags, end))
}
