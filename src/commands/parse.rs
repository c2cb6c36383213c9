//! Reading a command's arguments in order: what parsers of all families share. Arity was checked before.

use bytes::Bytes;

use super::CommandError;
use crate::number;
use crate::resp::CommandArgs;

/// Walks the arguments of one command, from the first after its name.
pub struct Args<'a> {
    args: &'a CommandArgs,
    at: usize,
}

impl<'a> Args<'a> {
    pub fn new(args: &'a CommandArgs) -> Args<'a> {
        Args::from(args, 1)
    }

    /// From argument `at` on: 2 for the subcommands of a container.
    pub fn from(args: &'a CommandArgs, at: usize) -> Args<'a> {
        Args { args, at }
    }

    pub fn remaining(&self) -> usize {
        self.args.len() - self.at
    }

    pub fn is_done(&self) -> bool {
        self.remaining() == 0
    }

    pub fn peek(&self) -> Option<&'a [u8]> {
        self.args.get(self.at)
    }

    /// The next argument, borrowed.
    pub fn next(&mut self) -> Result<&'a [u8], CommandError> {
        let arg = self.args.get(self.at).ok_or(CommandError::Syntax)?;
        self.at += 1;
        Ok(arg)
    }

    /// The next argument, owned without a copy.
    pub fn next_bytes(&mut self) -> Result<Bytes, CommandError> {
        let arg = self.args.bytes(self.at).ok_or(CommandError::Syntax)?;
        self.at += 1;
        Ok(arg)
    }

    pub fn next_i64(&mut self) -> Result<i64, CommandError> {
        number::parse_i64(self.next()?).ok_or(CommandError::NotInteger)
    }

    pub fn next_f64(&mut self) -> Result<f64, CommandError> {
        number::parse_f64(self.next()?).ok_or(CommandError::NotFloat)
    }

    /// All arguments that are left, owned without a copy.
    pub fn rest(&mut self) -> Vec<Bytes> {
        let rest = (self.at..self.args.len()).filter_map(|index| self.args.bytes(index)).collect();
        self.at = self.args.len();
        rest
    }

    /// Takes the next argument if it is `word`, in any case.
    pub fn take_word(&mut self, word: &str) -> bool {
        let matches = self.peek().is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
        self.at += usize::from(matches);
        matches
    }

    /// A syntax error unless all arguments were taken.
    pub fn finish(self) -> Result<(), CommandError> {
        if self.is_done() { Ok(()) } else { Err(CommandError::Syntax) }
    }
}
