//! SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed function fast enough for every token of a response.

/// The 64-bit SipHash-2-4 of `bytes` under `key`.
pub(crate) fn sip(key: &[u8; 16], bytes: &[u8]) -> u64 {
    hash(key, bytes, |word| word)
}

/// The 64-bit SipHash-2-4 of `bytes` with ASCII's capital letters as small ones.
pub(crate) fn sip_lowercase(key: &[u8; 16], bytes: &[u8]) -> u64 {
    hash(key, bytes, lowercase)
}

fn hash(key: &[u8; 16], bytes: &[u8], as_read: impl Fn(u64) -> u64) -> u64 {
    let (k0, k1) = (short(&key[..8]), short(&key[8..]));
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = bytes.as_chunks::<8>();
    let mut take = |m: u64| {
        v[3] ^= m;
        (0..2).for_each(|_| round(&mut v));
        v[0] ^= m;
    };
    words.iter().for_each(|word| take(as_read(u64::from_le_bytes(*word))));
    take(as_read(short(rest)) | (bytes.len() as u64) << 56);
    v[2] ^= 0xff;
    (0..4).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

/// Up to eight bytes, little-endian.
pub(crate) fn short(bytes: &[u8]) -> u64 {
    match (bytes.len(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (n, Some(head), Some(tail)) => {
            let tail = u64::from(u32::from_le_bytes(*tail));
            u64::from(u32::from_le_bytes(*head)) | tail << (8 * (n - 4))
        }
        _ => bytes.iter().rev().fold(0, |word, &b| word << 8 | u64::from(b)),
    }
}

/// ASCII's capital letters among eight bytes made small, all at once: a byte of 7 bits is at least `A` if adding what is
/// missing to 128 sets its high bit, and above `Z` likewise.
fn lowercase(word: u64) -> u64 {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let low = word & !HIGH;
    let at_least_a = low + 0x3f3f_3f3f_3f3f_3f3f;
    let above_z = low + 0x2525_2525_2525_2525;
    word | (at_least_a & !above_z & !word & HIGH) >> 2
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_reference_implementation() {
        let key: [u8; 16] = std::array::from_fn(|i| i as u8);
        let input: Vec<u8> = (0..64).collect();
        let expect: [(usize, u64); 4] = [
            (0, 0x726f_db47_dd0e_0e31),
            (1, 0x74f8_39c5_93dc_67fd),
            (8, 0x93f5_f579_9a93_2462),
            (15, 0xa129_ca61_49be_45e5),
        ];
        for (len, hash) in expect {
            assert_eq!(sip(&key, &input[..len]), hash, "{len} bytes");
        }
    }

    #[test]
    fn capital_letters_count_as_small_ones_and_nothing_else_does() {
        let key = [5; 16];
        let all: Vec<u8> = (0..=255).collect();
        for start in 0..256 {
            for len in 0..20.min(256 - start) {
                let bytes = &all[start..start + len];
                let small = bytes.to_ascii_lowercase();
                assert_eq!(sip_lowercase(&key, bytes), sip(&key, &small), "{bytes:?}");
            }
        }
    }
}
