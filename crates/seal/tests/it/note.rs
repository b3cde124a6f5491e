//! Notes against the vector that Go's `sumdb/note` and C2SP publish, and against every small change.

use seal::note::{
    Algorithm, Checkpoint, NoteError, Signature, SignedNote, Signer, Standing, VerifierKey, is_name,
};

const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const SEED: [u8; 32] = [
    0x81, 0x0a, 0x14, 0x02, 0xd5, 0x14, 0x6c, 0x8d, 0x84, 0xf2, 0x44, 0x33, 0x30, 0xf5, 0x40, 0x80, 0xeb,
    0xf9, 0x8e, 0xe1, 0x7d, 0x9c, 0x74, 0xf6, 0x25, 0x2f, 0xc5, 0xd5, 0xc7, 0x28, 0x31, 0x73,
];
const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\
    \n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn the_published_note_verifies_and_nothing_near_it_does() {
    let key = VerifierKey::parse(KEY).unwrap();
    assert_eq!(key.to_string(), KEY);
    assert_eq!((key.name(), key.algorithm(), key.hash()), ("PeterNeumann", Algorithm::Ed25519, 0xc74f_20a3));
    let note = SignedNote::parse(NOTE.as_bytes()).unwrap();
    assert_eq!(note.verify(&key), Standing::Good);
    assert_eq!(note.to_bytes(), NOTE.as_bytes());
    assert_eq!(note.checkpoint(), Err(NoteError::Checkpoint));
    for i in 0..NOTE.len() {
        let mut changed = NOTE.as_bytes().to_vec();
        changed[i] ^= 1;
        let standing = SignedNote::parse(&changed).map(|note| note.verify(&key));
        assert_ne!(standing, Ok(Standing::Good), "byte {i}");
    }
}

#[test]
fn a_verifier_key_has_one_spelling() {
    for i in 0..KEY.len() {
        let mut changed = KEY.as_bytes().to_vec();
        changed[i] += 1;
        assert!(VerifierKey::parse(std::str::from_utf8(&changed).unwrap()).is_err(), "byte {i}");
        assert!(VerifierKey::parse(&KEY[..i]).is_err());
        assert!(VerifierKey::parse(&KEY[i + 1..]).is_err());
    }
    for key in [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==", // too long
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",         // unknown algorithm
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "",
        "++",
    ] {
        assert_eq!(VerifierKey::parse(key), Err(NoteError::Key), "{key}");
    }
}

#[test]
fn a_signer_of_the_published_seed_has_the_published_key() {
    let signer = Signer::from_seed("PeterNeumann", Algorithm::Ed25519, &SEED).unwrap();
    let checkpoint = Checkpoint { origin: "PeterNeumann".into(), size: 7, root: [9; 32] };
    assert_eq!(signer.verifier_key().to_string(), KEY);
    let note = signer.sign(&checkpoint);
    assert_eq!(note.verify(signer.verifier_key()), Standing::Good);
    let read = SignedNote::parse(&note.to_bytes()).unwrap();
    assert_eq!(read, note);
    assert_eq!(read.checkpoint().unwrap(), checkpoint);
    assert!(!format!("{signer:?}").contains("810a"));
}

#[test]
fn a_cosignature_binds_text_and_time() {
    let ledger = Signer::from_seed("gw", Algorithm::Ed25519, &[1; 32]).unwrap();
    let witness = Signer::from_seed("w.example/1", Algorithm::Cosignature, &[2; 32]).unwrap();
    let mut note = ledger.sign(&Checkpoint { origin: "gw".into(), size: 7, root: [9; 32] });
    assert_eq!(note.verify(witness.verifier_key()), Standing::Absent);
    let line = witness.cosign(&note, 1_790_000_000);
    assert_eq!(line.cosigned_at(), Some(1_790_000_000));
    note.push(line.clone());
    assert_eq!(note.verify(witness.verifier_key()), Standing::Good);
    assert_eq!(note.verify(ledger.verifier_key()), Standing::Good);
    for i in 0..line.bytes.len() {
        let mut forged = line.clone();
        forged.bytes[i] ^= 1;
        let note = SignedNote::new(note.text().to_owned(), vec![forged]);
        assert_eq!(note.verify(witness.verifier_key()), Standing::Bad, "byte {i}");
    }
    // A line that holds does not excuse one that does not.
    let mut bad = line.clone();
    bad.bytes[20] ^= 1;
    note.push(bad);
    assert_eq!(note.verify(witness.verifier_key()), Standing::Bad);
    // The same 32 bytes as an ordinary key are another key.
    let plain =
        VerifierKey::new("w.example/1", Algorithm::Ed25519, *witness.verifier_key().public()).unwrap();
    assert_eq!(note.verify(&plain), Standing::Absent);
}

#[test]
fn a_checkpoint_has_one_spelling() {
    let root = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";
    let good = format!("gw\n7\n{root}\n");
    assert_eq!(Checkpoint::from_text(&good).unwrap().to_text(), good);
    for text in [
        String::new(),
        format!("gw\n7\n{root}"),
        format!("gw\n7\n{root}\nextension\n"),
        format!("gw\n07\n{root}\n"),
        format!("gw\n+7\n{root}\n"),
        format!("gw\n-7\n{root}\n"),
        format!("gw\n18446744073709551616\n{root}\n"),
        format!("g w\n7\n{root}\n"),
        format!("\n7\n{root}\n"),
        "gw\n7\nCQk=\n".to_owned(),
        format!("gw\n7\n{}\n", root.replace("k=", "l=")),
    ] {
        assert_eq!(Checkpoint::from_text(&text), Err(NoteError::Checkpoint), "{text:?}");
    }
}

#[test]
fn a_note_is_refused_at_its_limits() {
    let line = Signature { name: "k".into(), key_hash: 1, bytes: vec![0; 64] };
    let most = SignedNote::new("text\n".into(), vec![line.clone(); 16]);
    assert!(SignedNote::parse(&most.to_bytes()).is_ok());
    let more = SignedNote::new("text\n".into(), vec![line.clone(); 17]);
    assert_eq!(SignedNote::parse(&more.to_bytes()), Err(NoteError::Note));
    let fill = |n: usize| SignedNote::new(format!("{}\n", "x".repeat(n)), vec![line.clone()]).to_bytes();
    let rest = fill(1).len() - 1;
    assert!(SignedNote::parse(&fill(65_536 - rest)).is_ok());
    assert_eq!(SignedNote::parse(&fill(65_537 - rest)), Err(NoteError::Note));
    for bytes in [
        &b""[..],
        b"\n\n",
        b"text\n",
        b"text\n\n",
        b"text\n\nline\n",
        b"te\x07xt\n\n\xe2\x80\x94 k AAAAAAA=\n",
    ] {
        assert_eq!(SignedNote::parse(bytes), Err(NoteError::Note));
    }
}

#[test]
fn a_name_is_a_name() {
    for name in ["gw", "gateway.example/1", "ü", &"x".repeat(255)] {
        assert!(is_name(name), "{name}");
    }
    for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb", "a\u{7f}b", "a\u{2028}b", &"x".repeat(256)] {
        assert!(!is_name(name), "{name:?}");
    }
}
