//! Numbers that a seed decides.

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n.max(1)
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Text that no message holds by chance.
    pub fn consonants(&mut self, length: usize) -> String {
        (0..length).map(|_| *self.pick(b"bcdfghjkmnpqrstvwxz") as char).collect()
    }

    pub fn digits(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b'1' + self.below(9) as u8)).collect()
    }
}
