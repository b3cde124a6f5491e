//! What tests share.

/// A stream of numbers (xorshift); the same in every run.
pub struct Numbers(u64);

impl Numbers {
    /// `seed` is not 0.
    pub fn new(seed: u64) -> Numbers {
        Numbers(seed)
    }

    /// A number below `end`, or 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap()
    }

    /// Up to `most` of `words`, strung together.
    pub fn text(&mut self, words: &[&str], most: usize) -> String {
        (0..self.below(most + 1)).map(|_| words[self.below(words.len())]).collect()
    }
}
