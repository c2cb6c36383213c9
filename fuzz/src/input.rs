//! Choices read out of a fuzzer's bytes, so that its small changes to the bytes are small changes to what is tried. When
//! the bytes are used up, every choice is the first one: all that is built from them ends.

pub struct Input<'i> {
    rest: &'i [u8],
}

impl<'i> Input<'i> {
    pub fn new(bytes: &'i [u8]) -> Input<'i> {
        Input { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        match self.rest.split_first() {
            Some((byte, rest)) => {
                self.rest = rest;
                *byte
            }
            None => 0,
        }
    }

    pub fn index(&mut self, len: usize) -> usize {
        usize::from(self.byte()) % len
    }

    /// Not when the bytes are used up.
    pub fn one_in(&mut self, count: usize) -> bool {
        !self.is_empty() && self.index(count) == 0
    }

    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())].clone()
    }

    pub fn bytes(&mut self, len: usize) -> &'i [u8] {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    pub fn rest(self) -> &'i [u8] {
        self.rest
    }
}
