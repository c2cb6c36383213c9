//! Lua 5.1 as scripts of Redis know it: the interpreter in its sandbox, Redis' libraries for it, and the translation of values.
//! Who runs a script, and what `redis.call` does, is for the commands to say ([`Host`]).
//!
//! Start with `machine.rs`. This room must never let a script out of its sandbox, run longer than it may, or use more memory
//! than it may; and it keeps the interpreter's crate to itself.

mod arguments;
mod bit;
mod cjson;
mod cmsgpack;
mod convert;
mod machine;
mod pattern;
mod raise;
mod random;
mod redis;
mod sandbox;
mod script;
mod strings;
mod structlib;
mod tables;
mod watch;

#[cfg(test)]
mod tests;

pub use machine::{CallError, Ended, Host, Job, Machine, compile_error};
pub use script::{Script, ScriptDigest, ScriptFlags};
pub use watch::{Overdue, Running};
