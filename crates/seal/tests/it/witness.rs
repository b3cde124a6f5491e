//! What a witness cosigns and what it refuses, against a log that turns its keys.

use seal::Hash;
use seal::frame::{Frames, Kind};
use seal::note::{Checkpoint, SignedNote, Signer};
use seal::testkit::Writer;
use seal::tree::{consistency_proof, inclusion_proof, leaf_hash};
use seal::witness::{Refused, Submission, Succession, Watched};

const ORIGIN: &str = "gw.example/log";

/// Three epochs: a checkpoint over genesis, over the first turn, after it, over the second turn, after it.
struct Log {
    notes: Vec<SignedNote>,
    records: Vec<Vec<u8>>,
    leaves: Vec<Hash>,
}

fn log() -> Log {
    let mut writer = Writer::new(ORIGIN, 1 << 20);
    for generation in [1, 2] {
        for n in 0..3u8 {
            writer.open([16 * generation + n; 16]);
        }
        writer.rotate(generation);
        writer.checkpoint();
        writer.open([16 * generation + 9; 16]);
        writer.checkpoint();
    }
    let notes = writer.notes().to_vec();
    let mut records = Vec::new();
    for segment in writer.finish() {
        let frames = Frames::of_segment(&segment).take_while(Result::is_ok).map(Result::unwrap);
        records.extend(frames.filter(|f| f.kind == Kind::Record).map(|f| f.body.to_vec()));
    }
    let leaves = records.iter().map(|record| leaf_hash(record)).collect();
    Log { notes, records, leaves }
}

impl Log {
    fn submission(&self, old: u64, note: usize) -> Submission {
        let note = self.notes[note].clone();
        let size = note.checkpoint().unwrap().size;
        let proof = consistency_proof(&self.leaves, old.min(size), size).unwrap();
        Submission::new(old, proof, note).unwrap()
    }

    /// The `epoch` record that stands `back` records before the end of the tree of a checkpoint.
    fn succession(&self, note: usize) -> Succession {
        let size = self.notes[note].checkpoint().unwrap().size;
        let seq = size - 1;
        let proof = inclusion_proof(&self.leaves, seq, size).unwrap();
        Succession {
            origin: ORIGIN.to_owned(),
            seq,
            record: self.records[usize::try_from(seq).unwrap()].clone(),
            proof,
        }
    }

    fn size(&self, note: usize) -> u64 {
        self.notes[note].checkpoint().unwrap().size
    }
}

fn watched() -> Watched {
    Watched::new(Writer::signer(ORIGIN, 0).verifier_key().clone())
}

#[test]
fn a_witness_follows_the_log_and_its_keys() {
    let log = log();
    let mut known = watched();
    for note in 0..5 {
        let asked = log.submission(known.size, note);
        assert_eq!(Submission::parse(&asked.to_bytes()), Ok(asked.clone()));
        known = known.advanced(&asked).unwrap();
        assert_eq!(known.size, log.size(note));
        // The same again is cosigned again: the tree is still the largest that it saw.
        assert_eq!(known.advanced(&log.submission(known.size, note)), Ok(known.clone()));
        if note % 2 == 1 {
            let asked = log.succession(note);
            assert_eq!(Succession::parse(&asked.to_bytes()), Ok(asked.clone()));
            let old_key = known.key.clone();
            known = known.succeeded(&asked).unwrap();
            assert_ne!(known.key, old_key);
            assert_eq!(known.succeeded(&asked), Ok(known.clone()), "an answer may be lost on its way");
            assert_eq!(known.advanced(&log.submission(known.size, note)), Err(Refused::Key), "the old key");
        }
    }
}

#[test]
fn each_refusal_is_the_specifications() {
    let log = log();
    let known = watched().advanced(&log.submission(0, 1)).unwrap();
    let size = known.size;
    let check = |asked: &Submission, expect: Refused| {
        assert_eq!(known.advanced(asked), Err(expect), "{asked:?}");
    };
    check(&log.submission(0, 1), Refused::Size(size));
    check(&log.submission(size - 1, 1), Refused::Size(size));
    // Larger than what is submitted is malformed before anything is compared.
    check(&Submission { old: size + 1, ..log.submission(size, 1) }, Refused::Malformed);
    check(&Submission { old: size, ..log.submission(0, 0) }, Refused::Malformed);
    // Smaller, and honestly so: still no.
    check(&log.submission(1, 0), Refused::Size(size));
    let signed = |size, root| {
        let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root };
        Writer::signer(ORIGIN, 0).sign(&checkpoint)
    };
    let other = Submission::new(size, vec![], signed(size, [7; 32])).unwrap();
    check(&other, Refused::Size(size));
    let forked = Submission::new(size, vec![[1; 32], [2; 32]], signed(size + 1, [7; 32])).unwrap();
    check(&forked, Refused::Proof);
    let mut unproved = log.submission(size, 2);
    unproved.note = signed(size + 1, unproved.checkpoint.root);
    unproved.proof.clear();
    check(&unproved, Refused::Proof);
    check(&log.submission(size, 2), Refused::Key);
    let stranger = Writer::new("other.example", 1 << 20);
    check(&Submission::new(0, vec![], stranger.notes()[0].clone()).unwrap(), Refused::Origin);
    // A proof for nothing is a proof too many.
    let first = Submission { proof: vec![[0; 32]], ..log.submission(0, 0) };
    assert_eq!(watched().advanced(&first), Err(Refused::Proof));
}

#[test]
fn a_key_is_taken_from_its_own_record_alone() {
    let log = log();
    let known = watched().advanced(&log.submission(0, 1)).unwrap();
    let good = log.succession(1);
    let check = |asked: Succession, expect: Refused| {
        assert_eq!(known.succeeded(&asked), Err(expect), "{asked:?}");
    };
    check(Succession { origin: "other".to_owned(), ..good.clone() }, Refused::Origin);
    check(Succession { seq: known.size, ..good.clone() }, Refused::Proof);
    check(Succession { proof: vec![], ..good.clone() }, Refused::Proof);
    check(log.succession(3), Refused::Size(known.size));
    // A record that is there, and is no epoch: nobody's text becomes a key.
    let open = Succession { seq: 1, record: log.records[1].clone(), ..good.clone() };
    check(Succession { proof: inclusion_proof(&log.leaves, 1, known.size).unwrap(), ..open }, Refused::Proof);
    // An older key does not come back.
    let mut later = known.succeeded(&good).unwrap();
    for note in [2, 3] {
        later = later.advanced(&log.submission(later.size, note)).unwrap();
    }
    later = later.succeeded(&log.succession(3)).unwrap();
    let proof = inclusion_proof(&log.leaves, good.seq, later.size).unwrap();
    assert_eq!(later.succeeded(&Succession { proof, ..good }), Err(Refused::Proof));
}

#[test]
fn a_key_of_the_future_record_is_not_in_the_tree_yet() {
    let log = log();
    let known = watched().advanced(&log.submission(0, 0)).unwrap();
    assert_eq!(known.succeeded(&log.succession(1)), Err(Refused::Size(known.size)));
}

#[test]
fn what_is_not_in_the_form_is_malformed() {
    let log = log();
    let good = String::from_utf8(log.submission(4, 1).to_bytes()).unwrap();
    assert!(Submission::parse(good.as_bytes()).is_ok());
    let line = good.lines().nth(1).unwrap().to_owned();
    for (from, to) in [
        ("old 4", "old 04"),
        ("old 4", "old +4"),
        ("old 4", "old -1"),
        ("old 4", "old 18446744073709551616"),
        ("old 4", "Old 4"),
        ("old 4", "old 4 "),
        ("old 4\n", ""),
        ("old 4\n", "old 4\r\n"),
        (&*line, "AAAA"),
        (&*line, "*"),
        (&*line, &*format!("{line} ")),
        ("\n\n", "\n"),
        ("\u{2014}", "-"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert!(Submission::parse(bad.as_bytes()).is_err(), "{from} -> {to}");
    }
    let many = good.replacen(&line, &vec![&*line; 64].join("\n"), 1);
    assert!(Submission::parse(many.as_bytes()).is_err());
    for bad in [&b""[..], b"\n\n", b"\xff\n\n", b"old 0\n\n"] {
        assert!(Submission::parse(bad).is_err());
        assert!(Succession::parse(bad).is_err());
    }
    let good = String::from_utf8(log.succession(1).to_bytes()).unwrap();
    assert!(Succession::parse(good.trim_end().as_bytes()).is_err(), "without its last newline");
    assert!(Succession::parse(format!("{good}\n").as_bytes()).is_err(), "an empty line too many");
}

/// A signature line as an independent program made it (Python's `cryptography`, from the specification's text).
#[test]
fn a_cosignature_is_the_specifications_bytes() {
    let signer = Signer::from_seed("w.example/1", seal::note::Algorithm::Cosignature, &[3; 32]).unwrap();
    let checkpoint = Checkpoint { origin: "gw.example/log".to_owned(), size: 20852163, root: [9; 32] };
    let note = Writer::signer(ORIGIN, 0).sign(&checkpoint);
    assert_eq!(signer.cosign(&note, 1_679_315_147).to_line(), FOREIGN);
}

const FOREIGN: &str = "\u{2014} w.example/1 HkQT2gAAAABkGFDL5sEap4Omx9JF4bX3hIS2+6YjdnhwZWAYFNjbA9tMuLaPrXV873Mej22bhAh7GKyF3M8M2SzFGTRMRgon6bUfAQ==\n";
