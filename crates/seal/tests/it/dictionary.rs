//! A thief of the disk who guesses statements: no stored digest is the digest of a guess (promise P4).

use crate::random::Random;
use seal::Hash;
use seal::cbor::Value;
use seal::payload::{commitment, open};
use seal::testkit::{Writer, map, run_key, text};
use seal::tree::{leaf_hash, node_hash, sha256, sha256_of};
use std::collections::HashSet;

const SSN: &str = "987-65-4320";

fn statement(ssn: &str) -> String {
    format!("select * from customers where ssn = '{ssn}'")
}

/// A ledger whose records hold digests of a statement with a secret in it, made by `digest`.
fn ledger(digest: impl Fn(&[u8], &mut Random) -> (Hash, Vec<u8>)) -> Vec<Vec<u8>> {
    let (mut random, mut w) = (Random(7), Writer::new("gateway.example/1", 16 << 10));
    let run = [3; 16];
    w.open(run);
    for bytes in [statement(SSN).into_bytes(), SSN.as_bytes().to_vec()] {
        let (asked, opening) = digest(&bytes, &mut random);
        let body = [
            ("asked", Value::Bytes(asked.to_vec())),
            ("statement", text("select * from customers where ssn = $1")),
        ];
        let plain = map(&[("open", Value::Bytes(opening)), ("statement", Value::Bytes(bytes))]).to_bytes();
        w.record("intent", Some(run), None, &map(&body), &[&plain]);
    }
    w.close(run);
    w.checkpoint();
    w.finish()
}

/// Digests that a thief would compute of each guess: bare, prefixed, doubled, and with constant openings.
fn dictionary() -> HashSet<Hash> {
    let ssns = (0..10_000).map(|n| format!("987-65-{n:04}"));
    let guesses = ssns.flat_map(|ssn| {
        let query = [&[b'Q'][..], statement(&ssn).as_bytes(), &[0]].concat();
        [statement(&ssn).into_bytes(), ssn.replace('-', "").into_bytes(), ssn.into_bytes(), query]
    });
    let mut digests = HashSet::new();
    for guess in guesses {
        let bare = sha256(&guess);
        digests.extend([
            bare,
            sha256(&bare),
            leaf_hash(&guess),
            node_hash(&bare, &bare),
            sha256_of(&[&guess, &[0]]),
            sha256_of(&[b"gateway.example/1", &guess]),
            sha256_of(&[&[3; 16], &guess]),
            commitment(&[0; 32], &guess),
            commitment(&[0xff; 32], &guess),
        ]);
    }
    digests
}

/// How many windows of 32 bytes, anywhere in the ledger, are a digest of a guess.
fn hits(segments: &[Vec<u8>], dictionary: &HashSet<Hash>) -> usize {
    segments
        .iter()
        .flat_map(|segment| segment.windows(32))
        .filter(|window| dictionary.contains(*window))
        .count()
}

#[test]
fn no_stored_digest_is_that_of_a_guess() {
    let dictionary = dictionary();
    let committed = ledger(|bytes, random| {
        let opening: [u8; 32] = random.bytes(32).try_into().unwrap();
        (commitment(&opening, bytes), opening.to_vec())
    });
    assert_eq!(hits(&committed, &dictionary), 0);
    // The net catches what it is made for: the same ledger with bare digests.
    let bare = ledger(|bytes, _| (sha256(bytes), Vec::new()));
    assert_eq!(hits(&bare, &dictionary), 2);
}

/// Whoever has the run's key opens the payload, finds the opening, and can check the commitment.
#[test]
fn the_holder_of_the_key_can_check_a_commitment() {
    let segments = ledger(|bytes, random| {
        let opening: [u8; 32] = random.bytes(32).try_into().unwrap();
        (commitment(&opening, bytes), opening.to_vec())
    });
    let frames: Vec<_> = seal::frame::Frames::of_segment(&segments[0]).map(|f| f.unwrap()).collect();
    let payload = frames.iter().find(|f| f.kind == seal::frame::Kind::Payload).unwrap();
    let plain = open(&run_key([3; 16]), "gateway.example/1", payload.body).unwrap();
    let plain = seal::cbor::decode(&plain).unwrap();
    let opening: [u8; 32] = plain.get("open").unwrap().as_bytes_of().unwrap();
    let bytes = plain.get("statement").unwrap().as_bytes().unwrap();
    assert_eq!(bytes, statement(SSN).as_bytes());
    let asked = commitment(&opening, bytes);
    assert!(segments[0].windows(32).any(|window| window == asked));
}
