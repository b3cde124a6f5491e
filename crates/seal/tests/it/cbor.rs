//! One spelling per value: what decodes, encodes to the same bytes.

use crate::random::Random;
use seal::cbor::{Encoder, Value, decode, validate};

#[test]
fn what_is_encoded_decodes_to_the_same() {
    let mut random = Random(1);
    for _ in 0..2_000 {
        let value = any(&mut random, 0);
        let bytes = value.to_bytes();
        let decoded = decode(&bytes).unwrap();
        assert_eq!(decoded.to_bytes(), bytes);
        assert_eq!(validate(&bytes), Ok(()));
    }
}

#[test]
fn mutated_bytes_are_refused_or_are_canonical() {
    let mut random = Random(2);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..50_000 {
        let mut bytes = any(&mut random, 0).to_bytes();
        for _ in 0..1 + random.below(3) {
            match random.below(4) {
                0 if bytes.len() > 1 => bytes.truncate(random.below(bytes.len())),
                1 => bytes.push(random.next() as u8),
                _ if !bytes.is_empty() => {
                    let i = random.below(bytes.len());
                    bytes[i] = random.next() as u8;
                }
                _ => {}
            }
        }
        assert_eq!(decode(&bytes).map(drop), validate(&bytes));
        match decode(&bytes) {
            Ok(value) => {
                assert_eq!(value.to_bytes(), bytes);
                accepted += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > 1_000 && refused > 1_000, "{accepted} accepted, {refused} refused");
}

#[test]
fn a_declared_length_reserves_nothing() {
    // 2^64 - 1 items, entries or bytes, and none of them there.
    for head in [0x5b, 0x7b, 0x9b, 0xbb] {
        assert!(decode(&[[head].as_slice(), &[0xff; 8]].concat()).is_err());
    }
}

#[test]
fn every_integer_is_in_its_shortest_form() {
    for n in [0, 23, 24, 255, 256, 65_535, 65_536, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX] {
        let mut out = Vec::new();
        Encoder::new(&mut out).uint(n);
        assert_eq!(decode(&out).unwrap(), Value::Uint(n));
    }
    for n in [-1, -24, -25, -256, -257, i64::MIN, i64::MIN + 1, 0, 1, i64::MAX] {
        let mut out = Vec::new();
        Encoder::new(&mut out).int(n);
        assert_eq!(decode(&out).unwrap().as_i64(), Some(n));
    }
}

fn any(random: &mut Random, level: usize) -> Value {
    match random.below(if level < 4 { 9 } else { 7 }) {
        0 => Value::Uint(random.next() >> random.below(64)),
        1 => Value::Neg(-1 - (random.next() >> (1 + random.below(63))) as i64),
        2 => {
            let n = random.below(40);
            Value::Bytes(random.bytes(n))
        }
        3 => Value::Text(word(random)),
        4 => Value::Bool(random.below(2) == 0),
        5 => Value::Null,
        6 => Value::Text("ü".repeat(random.below(20))),
        7 => Value::Array((0..random.below(5)).map(|_| any(random, level + 1)).collect()),
        _ => Value::Map((0..random.below(5)).map(|_| (word(random), any(random, level + 1))).collect()),
    }
}

fn word(random: &mut Random) -> String {
    (0..random.below(30)).map(|_| char::from(b'a' + random.below(26) as u8)).collect()
}
