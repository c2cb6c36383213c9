//! LCS: the longest common subsequence of two values, by the textbook's table.
//!
//! Which of several equally long ones is found is part of the answer, so ties are broken as Redis breaks them. Redis
//! keeps the whole table, four bytes a cell, and refuses what would not fit into `proto-max-bulk-len`. Here one row of
//! it and a bit per cell are kept, and the refusal stays, for it bounds the time as well.

use bytes::Bytes;

use super::{BASE, Result};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::{Keyspace, Type};
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::string;

/// Bytes of a cell of Redis' table.
const CELL_BYTES: usize = 4;

pub(super) static LCS: Command = Command {
    name: "lcs",
    summary: "Find longest common substring",
    since: "7.0.0",
    complexity: "O(N*M) where N and M are the lengths of s1 and s2, respectively",
    arity: -3,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::range(1, 1, 1, &["RO", "access"])],
    arguments: &[
        Argument::key("key1", 0),
        Argument::key("key2", 0),
        Argument::flag("len", "LEN").optional(),
        Argument::flag("idx", "IDX").optional(),
        Argument::integer("len").token("MINMATCHLEN").optional(),
        Argument::flag("withmatchlen", "WITHMATCHLEN").optional(),
    ],
    examples: r#"> MSET key1 ohmytext key2 mynewtext
OK
> LCS key1 key2
"mytext"
> LCS key1 key2 LEN
(integer) 6
> LCS key1 key2 IDX MINMATCHLEN 4 WITHMATCHLEN
1) "matches"
2) 1) 1) 1) (integer) 4
         2) (integer) 7
      2) 1) (integer) 5
         2) (integer) 8
      3) (integer) 4
3) "len"
4) (integer) 6"#,
    run: Run::Storage(Lcs::parse),
    ..BASE
};

#[derive(Debug)]
struct Lcs {
    keys: [Bytes; 2],
    /// An invalid option is an error only for two strings, as in Redis.
    options: Result<Options>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    match_len_min: usize,
}

impl Lcs {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Lcs { keys: [args.next_bytes()?, args.next_bytes()?], options: Options::parse(args) }))
    }

    fn value(keyspace: &mut Keyspace<'_>, key: &Bytes) -> Result<Bytes> {
        match keyspace.get(key)? {
            Some(record) if record.kind != Type::String => {
                Err(CommandError::custom("ERR The specified keys must contain string values"))
            }
            record => record.map_or(Ok(Bytes::new()), |record| string::read(keyspace, &record)),
        }
    }
}

impl Options {
    fn parse(mut args: Args<'_>) -> Result<Options> {
        let mut options = Options::default();
        while !args.is_done() {
            if args.take_word("IDX") {
                options.idx = true;
            } else if args.take_word("LEN") {
                options.len = true;
            } else if args.take_word("WITHMATCHLEN") {
                options.with_match_len = true;
            } else if args.take_word("MINMATCHLEN") {
                options.match_len_min = usize::try_from(args.next_i64()?).unwrap_or(0);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if options.idx && options.len {
            return Err(CommandError::custom("ERR If you want both the length and indexes, please just use IDX."));
        }
        Ok(options)
    }
}

impl Operation for Lcs {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let a = Lcs::value(keyspace, &self.keys[0])?;
        let b = Lcs::value(keyspace, &self.keys[1])?;
        let options = self.options.clone()?;
        check_table_size(a.len(), b.len(), keyspace.value_bytes_max())?;
        if options.len {
            reply.integer(fill_table(&a, &b, |_| ()) as i64);
            return Ok(());
        }
        let (len, stretches) = common_stretches(&a, &b);
        match options.idx {
            true => reply_stretches(reply, len, &stretches, options),
            false => reply.bulk(&text_of(&stretches, &a)),
        }
        Ok(())
    }

    fn is_long(&self) -> bool {
        true
    }
}

/// The subsequence itself, which is in `a` as in `b`.
fn text_of(stretches: &[Stretch], a: &[u8]) -> Vec<u8> {
    stretches.iter().rev().flat_map(|stretch| &a[stretch.a..][..stretch.len]).copied().collect()
}

fn reply_stretches(reply: &mut ReplyBuffer, len: usize, stretches: &[Stretch], options: Options) {
    let shown = || stretches.iter().filter(|stretch| stretch.len >= options.match_len_min);
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(shown().count());
    for stretch in shown() {
        reply.array(if options.with_match_len { 3 } else { 2 });
        for start in [stretch.a, stretch.b] {
            reply.array(2);
            reply.integer(start as i64);
            reply.integer((start + stretch.len - 1) as i64);
        }
        if options.with_match_len {
            reply.integer(stretch.len as i64);
        }
    }
    reply.bulk(b"len");
    reply.integer(len as i64);
}

fn check_table_size(a_len: usize, b_len: usize, bytes_max: usize) -> Result<()> {
    let bytes = (a_len + 1).checked_mul(b_len + 1).and_then(|cells| cells.checked_mul(CELL_BYTES));
    match bytes {
        Some(bytes) if bytes <= bytes_max => Ok(()),
        _ => Err(CommandError::custom("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")),
    }
}

/// What the subsequence takes from both values without a gap: where it begins in either, and its bytes.
struct Stretch {
    a: usize,
    b: usize,
    len: usize,
}

/// The length of the longest common subsequence, and the stretches it consists of, the last first.
fn common_stretches(a: &[u8], b: &[u8]) -> (usize, Vec<Stretch>) {
    let mut shorten_a = Bits::with_capacity(a.len() * b.len());
    let len = fill_table(a, b, |bit| shorten_a.push(bit));
    let mut stretches = Vec::new();
    let (mut i, mut j) = (a.len(), b.len());
    while i > 0 && j > 0 {
        let backwards = a[..i].iter().rev().zip(b[..j].iter().rev());
        let len = backwards.take_while(|(a, b)| a == b).count();
        if len > 0 {
            (i, j) = (i - len, j - len);
            stretches.push(Stretch { a: i, b: j, len });
        } else if shorten_a.get((i - 1) * b.len() + j - 1) {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    (len, stretches)
}

/// Computes the table row by row and returns its last cell, the length of the longest common subsequence of all of `a`
/// and all of `b`. For each cell, `visit` learns whether leaving out the last byte of `a`'s part keeps more than
/// leaving out that of `b`'s part; what it learns where the two bytes are equal means nothing.
fn fill_table(a: &[u8], b: &[u8], mut visit: impl FnMut(bool)) -> usize {
    let mut row = vec![0u32; b.len() + 1];
    for byte_a in a {
        // The cells to the left of the one that is computed, in this row and in the one before.
        let (mut left, mut above_left) = (0, 0);
        for (byte_b, cell) in b.iter().zip(&mut row[1..]) {
            let above = *cell;
            visit(above > left);
            *cell = if byte_a == byte_b { above_left + 1 } else { above.max(left) };
            (left, above_left) = (*cell, above);
        }
    }
    row[b.len()] as usize
}

/// A list of bits.
struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    fn with_capacity(bits: usize) -> Bits {
        Bits { words: Vec::with_capacity(bits.div_ceil(64)), len: 0 }
    }

    fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(64) {
            self.words.push(0);
        }
        self.words[self.len / 64] |= u64::from(bit) << (self.len % 64);
        self.len += 1;
    }

    fn get(&self, index: usize) -> bool {
        self.words[index / 64] >> (index % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::tests::check;
    use proptest::prelude::*;

    /// As Redis does it: the whole table, and a walk back through it byte by byte.
    fn by_the_whole_table(a: &[u8], b: &[u8]) -> Vec<u8> {
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                table[i][j] =
                    if a[i - 1] == b[j - 1] { table[i - 1][j - 1] + 1 } else { table[i - 1][j].max(table[i][j - 1]) };
            }
        }
        let (mut i, mut j, mut found) = (a.len(), b.len(), Vec::new());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                found.push(a[i - 1]);
                (i, j) = (i - 1, j - 1);
            } else if table[i - 1][j] > table[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        found.reverse();
        found
    }

    proptest! {
        #[test]
        fn one_row_and_a_bit_per_cell_are_enough(a in "[a-d]{0,40}", b in "[a-d]{0,40}") {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            let expected = by_the_whole_table(a, b);
            let (len, stretches) = common_stretches(a, b);
            prop_assert_eq!(len, expected.len());
            let in_b = stretches.iter().rev().flat_map(|stretch| &b[stretch.b..][..stretch.len]);
            let in_b: Vec<u8> = in_b.copied().collect();
            prop_assert_eq!(&text_of(&stretches, a), &expected);
            prop_assert_eq!(&in_b, &expected);
        }
    }

    #[test]
    fn lengths_matches_and_texts() {
        check(
            r#"
            > MSET key1 ohmytext key2 mynewtext
            OK
            > LCS key1 key2 IDX
            1) "matches"
            2) 1) 1) 1) (integer) 4
                     2) (integer) 7
                  2) 1) (integer) 5
                     2) (integer) 8
               2) 1) 1) (integer) 2
                     2) (integer) 3
                  2) 1) (integer) 0
                     2) (integer) 1
            3) "len"
            4) (integer) 6
            > LCS key1 key2 IDX MINMATCHLEN 5
            1) "matches"
            2) (empty array)
            3) "len"
            4) (integer) 6
            > LCS key1 key2 MINMATCHLEN -5 WITHMATCHLEN
            "mytext"
            > LCS key1 nothing
            ""
            > LCS nothing key1 LEN
            (integer) 0
            "#,
        );
    }

    #[test]
    fn what_is_refused() {
        check(
            r#"
            > LCS a b IDX LEN
            (error) ERR If you want both the length and indexes, please just use IDX.
            > LCS a b FOO
            (error) ERR syntax error
            > LCS a b MINMATCHLEN
            (error) ERR syntax error
            > LCS a b MINMATCHLEN x
            (error) ERR value is not an integer or out of range
            > SETRANGE a 20000 x
            (integer) 20001
            > SETRANGE b 6709 x
            (integer) 6710
            > LCS a b LEN
            (error) ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len
            "#,
        );
    }
}
