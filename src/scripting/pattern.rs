//! Lua's patterns: `string.find`, `match`, `gmatch` and `gsub` as Lua 5.1 has them, with every step counted. Lua's own run in C,
//! where nothing can stop a pattern that tries everything over and over.
//!
//! It must never recurse deeper than its bound, nor go on when the script must end.

use smallvec::SmallVec;

use super::watch::{Overdue, Watch};
use crate::limits;

/// Why a pattern was not matched to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// The words of Lua.
    Malformed(&'static str),
    Overdue(Overdue),
}

type Result<T> = std::result::Result<T, PatternError>;

impl From<Overdue> for PatternError {
    fn from(overdue: Overdue) -> PatternError {
        PatternError::Overdue(overdue)
    }
}

/// What a pattern has captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// From here, so many bytes.
    Text { start: usize, len: usize },
    /// `()`: the position, counted from 1.
    Position(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Unfinished,
    Position,
    Closed(usize),
}

/// Lua's own bound.
const CAPTURES_MAX: usize = 32;

const ESCAPE: u8 = b'%';

/// A match: where it ends, and what it captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub start: usize,
    pub end: usize,
    captures: SmallVec<[(usize, Open); 4]>,
}

impl Found {
    /// How many values a match gives: its captures, or all of it.
    pub fn len(&self) -> usize {
        self.captures.len().max(1)
    }

    /// How many captures the pattern has.
    pub fn captures(&self) -> usize {
        self.captures.len()
    }

    /// Capture `index`; of a pattern without any the first is all of it.
    pub fn capture(&self, index: usize) -> Result<Capture> {
        match self.captures.get(index) {
            None if index == 0 => Ok(Capture::Text { start: self.start, len: self.end - self.start }),
            None => Err(PatternError::Malformed("invalid capture index")),
            Some((_, Open::Unfinished)) => Err(PatternError::Malformed("unfinished capture")),
            Some((start, Open::Position)) => Ok(Capture::Position(start + 1)),
            Some((start, Open::Closed(len))) => Ok(Capture::Text { start: *start, len: *len }),
        }
    }
}

/// A pattern over a subject.
pub struct Matcher<'a> {
    subject: &'a [u8],
    pattern: &'a [u8],
    captures: SmallVec<[(usize, Open); 4]>,
    depth: usize,
    steps: u64,
    watch: &'a Watch,
}

impl<'a> Matcher<'a> {
    /// To Lua 5.1 a pattern ends with a NUL.
    pub fn new(subject: &'a [u8], pattern: &'a [u8], watch: &'a Watch) -> Matcher<'a> {
        let pattern = &pattern[..memchr::memchr(0, pattern).unwrap_or(pattern.len())];
        Matcher { subject, pattern, captures: SmallVec::new(), depth: 0, steps: 0, watch }
    }

    /// Whether the pattern holds for its first place only; that mark is taken off it.
    pub fn take_anchor(&mut self) -> bool {
        let is_anchored = self.pattern.first() == Some(&b'^');
        self.pattern = &self.pattern[usize::from(is_anchored)..];
        is_anchored
    }

    /// Matches at `start` and nowhere else.
    pub fn match_at(&mut self, start: usize) -> Result<Option<Found>> {
        self.captures.clear();
        self.depth = 0;
        let end = self.go(start, 0)?;
        Ok(end.map(|end| Found { start, end, captures: self.captures.clone() }))
    }

    /// The first match at `start` or behind it.
    pub fn find(&mut self, start: usize, is_anchored: bool) -> Result<Option<Found>> {
        for start in start..=self.subject.len() {
            let found = self.match_at(start)?;
            if found.is_some() || is_anchored {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn step(&mut self) -> Result<()> {
        self.steps += 1;
        if self.steps.is_multiple_of(limits::SCRIPT_STEPS_UNWATCHED) {
            self.watch.pass(limits::SCRIPT_STEPS_UNWATCHED)?;
        }
        Ok(())
    }

    fn at(&self, p: usize) -> Option<u8> {
        self.pattern.get(p).copied()
    }

    /// Matches the pattern from `p` on at `s`: where the match ends.
    fn go(&mut self, s: usize, p: usize) -> Result<Option<usize>> {
        self.depth += 1;
        if self.depth > limits::SCRIPT_PATTERN_DEPTH_MAX {
            return Err(PatternError::Malformed("pattern too complex"));
        }
        let end = self.walk(s, p);
        self.depth -= 1;
        end
    }

    fn walk(&mut self, mut s: usize, mut p: usize) -> Result<Option<usize>> {
        loop {
            self.step()?;
            let Some(byte) = self.at(p) else { return Ok(Some(s)) };
            match (byte, self.at(p + 1)) {
                (b'(', Some(b')')) => return self.open(s, p + 2, Open::Position),
                (b'(', _) => return self.open(s, p + 1, Open::Unfinished),
                (b')', _) => return self.close(s, p + 1),
                (b'$', None) => return Ok((s == self.subject.len()).then_some(s)),
                (ESCAPE, Some(b'b')) => match self.balance(s, p + 2)? {
                    Some(end) => (s, p) = (end, p + 4),
                    None => return Ok(None),
                },
                (ESCAPE, Some(b'f')) => match self.frontier(s, p + 2)? {
                    Some(next) => p = next,
                    None => return Ok(None),
                },
                (ESCAPE, Some(digit @ b'0'..=b'9')) => match self.again(s, digit)? {
                    Some(end) => (s, p) = (end, p + 2),
                    None => return Ok(None),
                },
                _ => {
                    let end = self.class_end(p)?;
                    let matches = self.subject.get(s).is_some_and(|byte| self.single(*byte, p, end));
                    match self.at(end) {
                        Some(b'?') => {
                            if matches && let Some(found) = self.go(s + 1, end + 1)? {
                                return Ok(Some(found));
                            }
                            p = end + 1;
                        }
                        Some(b'*') => return self.most(s, p, end),
                        Some(b'+') => return if matches { self.most(s + 1, p, end) } else { Ok(None) },
                        Some(b'-') => return self.least(s, p, end),
                        _ if !matches => return Ok(None),
                        _ => (s, p) = (s + 1, end),
                    }
                }
            }
        }
    }

    /// As many as there are, and fewer if what follows asks for it.
    fn most(&mut self, s: usize, p: usize, end: usize) -> Result<Option<usize>> {
        let mut count = 0;
        while self.subject.get(s + count).is_some_and(|byte| self.single(*byte, p, end)) {
            self.step()?;
            count += 1;
        }
        loop {
            if let Some(found) = self.go(s + count, end + 1)? {
                return Ok(Some(found));
            }
            match count.checked_sub(1) {
                Some(fewer) => count = fewer,
                None => return Ok(None),
            }
        }
    }

    /// As few as what follows allows.
    fn least(&mut self, mut s: usize, p: usize, end: usize) -> Result<Option<usize>> {
        loop {
            if let Some(found) = self.go(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.subject.get(s).is_some_and(|byte| self.single(*byte, p, end)) {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn open(&mut self, s: usize, p: usize, how: Open) -> Result<Option<usize>> {
        if self.captures.len() >= CAPTURES_MAX {
            return Err(PatternError::Malformed("too many captures"));
        }
        let level = self.captures.len();
        self.captures.push((s, how));
        let found = self.go(s, p)?;
        if found.is_none() {
            self.captures.truncate(level);
        }
        Ok(found)
    }

    fn close(&mut self, s: usize, p: usize) -> Result<Option<usize>> {
        let open = self.captures.iter().rposition(|(_, state)| *state == Open::Unfinished);
        let level = open.ok_or(PatternError::Malformed("invalid pattern capture"))?;
        self.captures[level].1 = Open::Closed(s - self.captures[level].0);
        let found = self.go(s, p)?;
        if found.is_none() {
            self.captures[level].1 = Open::Unfinished;
        }
        Ok(found)
    }

    /// `%1`: what was captured before, once more.
    fn again(&mut self, s: usize, digit: u8) -> Result<Option<usize>> {
        let index = usize::from(digit).wrapping_sub(usize::from(b'1'));
        let Some(&(start, Open::Closed(len))) = self.captures.get(index) else {
            return Err(PatternError::Malformed("invalid capture index"));
        };
        self.watch.pass(len as u64 / 64)?;
        let captured = &self.subject[start..start + len];
        Ok(self.subject[s..].starts_with(captured).then_some(s + len))
    }

    /// `%b()`: from an opening byte to the closing one that belongs to it.
    fn balance(&mut self, s: usize, p: usize) -> Result<Option<usize>> {
        let (Some(open), Some(close)) = (self.at(p), self.at(p + 1)) else {
            return Err(PatternError::Malformed("unbalanced pattern"));
        };
        if self.subject.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1usize;
        for at in s + 1..self.subject.len() {
            self.step()?;
            let byte = self.subject[at];
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + 1));
                }
            } else if byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    /// `%f[set]`: between a byte that is not in the set and one that is. Where the pattern goes on.
    fn frontier(&mut self, s: usize, p: usize) -> Result<Option<usize>> {
        if self.at(p) != Some(b'[') {
            return Err(PatternError::Malformed("missing '[' after '%f' in pattern"));
        }
        let end = self.class_end(p)?;
        let before = s.checked_sub(1).map_or(0, |at| self.subject[at]);
        let after = self.subject.get(s).copied().unwrap_or(0);
        Ok((!self.in_set(before, p, end - 1) && self.in_set(after, p, end - 1)).then_some(end))
    }

    /// Where the item that begins at `p` ends.
    fn class_end(&self, p: usize) -> Result<usize> {
        match self.at(p) {
            Some(ESCAPE) if self.at(p + 1).is_none() => {
                Err(PatternError::Malformed("malformed pattern (ends with '%')"))
            }
            Some(ESCAPE) => Ok(p + 2),
            Some(b'[') => {
                let mut at = p + 1;
                if self.at(at) == Some(b'^') {
                    at += 1;
                }
                // The first `]` in a set stands for itself.
                loop {
                    let missing = PatternError::Malformed("malformed pattern (missing ']')");
                    let byte = self.at(at).ok_or(missing)?;
                    at += 1;
                    if byte == ESCAPE && self.at(at).is_some() {
                        at += 1;
                    }
                    if self.at(at) == Some(b']') {
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(p + 1),
        }
    }

    /// Whether a byte is what the item from `p` to `end` stands for.
    fn single(&self, byte: u8, p: usize, end: usize) -> bool {
        match self.pattern[p] {
            b'.' => true,
            ESCAPE => in_class(byte, self.pattern[p + 1]),
            b'[' => self.in_set(byte, p, end - 1),
            literal => literal == byte,
        }
    }

    /// Whether a byte is in the set that begins at `p` and whose `]` stands at `last`.
    fn in_set(&self, byte: u8, p: usize, last: usize) -> bool {
        let mut at = p + 1;
        let is_negated = self.pattern[at] == b'^';
        at += usize::from(is_negated);
        while at < last {
            let first = self.pattern[at];
            if first == ESCAPE {
                at += 1;
                if in_class(byte, self.pattern[at]) {
                    return !is_negated;
                }
                at += 1;
            } else if self.pattern.get(at + 1) == Some(&b'-') && at + 2 < last {
                if (first..=self.pattern[at + 2]).contains(&byte) {
                    return !is_negated;
                }
                at += 3;
            } else {
                if first == byte {
                    return !is_negated;
                }
                at += 1;
            }
        }
        is_negated
    }
}

/// `%a` and its like, in the C locale; an upper-case letter stands for all others.
fn in_class(byte: u8, class: u8) -> bool {
    let is_in = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b' ' | b'\t'..=b'\r'),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    is_in != class.is_ascii_uppercase()
}
