//! Forged bundles: the same kind of table as for ledgers.

use crate::both::{Both, Given};
use seal::cbor::{Value, decode};
use seal::frame::Kind;
use seal::note::{Checkpoint, SignedNote, Signer};
use seal::testkit::{BundleParts, Items, Sample, Writer, map, run_key, sample, sample_on, text};
use seal::tree::empty_root;
use seal::verify::{Options, Rule, Subject, beyond, verify_bundle};
use std::fs;

struct Row {
    name: &'static str,
    rule: Rule,
    forge: fn(&Sample, BundleParts) -> Vec<u8>,
}

const fn row(name: &'static str, rule: Rule, forge: fn(&Sample, BundleParts) -> Vec<u8>) -> Row {
    Row { name, rule, forge }
}

/// The bundle that is forged is of run a: C; genesis I; epoch I, C I G; then open I, (P intent I, P P outcome I) twice,
/// close I; K.
const TABLE: &[Row] = &[
    row("edit a record", Rule::BundleProof, |_, mut b| {
        let intent = b.nth(Kind::Record, 3);
        b.edit(intent, "at", Value::Uint(1));
        b.render()
    }),
    row("edit the last record", Rule::BundleProof, |_, mut b| {
        let close = b.nth(Kind::Record, 7);
        b.edit(close, "at", Value::Uint(1));
        b.render()
    }),
    row("remove a record", Rule::RunSequence, |_, mut b| {
        let intent = b.nth(Kind::Record, 3);
        b.frames.drain(intent - 1..intent + 2);
        b.render()
    }),
    row("remove a record's proof", Rule::BundleOrder, |_, mut b| {
        let proof = b.nth(Kind::Inclusion, 3);
        b.frames.remove(proof);
        b.render()
    }),
    row("remove the last proof", Rule::BundleOrder, |_, mut b| {
        b.frames.truncate(b.frames.len() - 2);
        b.render()
    }),
    row("give a proof of another record", Rule::BundleProof, |_, mut b| {
        let (one, other) = (b.nth(Kind::Inclusion, 4), b.nth(Kind::Inclusion, 5));
        b.frames[one].1 = b.frames[other].1.clone();
        b.render()
    }),
    row("shorten a proof", Rule::BundleProof, |_, mut b| {
        let proof = b.nth(Kind::Inclusion, 3);
        b.frames[proof].1.truncate(10 + 32);
        b.frames[proof].1[9] = 1;
        b.render()
    }),
    row("lengthen a proof", Rule::BundleProof, |_, mut b| {
        let proof = b.nth(Kind::Inclusion, 3);
        b.frames[proof].1.extend_from_slice(&[0; 32]);
        b.frames[proof].1[9] += 1;
        b.render()
    }),
    row("miscount a proof's hashes", Rule::BundleProof, |_, mut b| {
        let proof = b.nth(Kind::Inclusion, 3);
        b.frames[proof].1[8] = 0xff;
        b.render()
    }),
    row("give a proof without a record", Rule::BundleOrder, |_, mut b| {
        let proof = b.nth(Kind::Inclusion, 3);
        let again = b.frames[proof].clone();
        b.frames.insert(proof + 1, again);
        b.render()
    }),
    row("replace a payload", Rule::PayloadDigest, |_, mut b| {
        let payload = b.nth(Kind::Payload, 1);
        b.frames[payload].1 = b"another ciphertext".to_vec();
        b.render()
    }),
    row("remove a payload", Rule::PayloadDigest, |_, mut b| {
        let payload = b.nth(Kind::Payload, 1);
        b.frames.remove(payload);
        b.render()
    }),
    row("append a payload", Rule::PayloadOrphan, |_, mut b| {
        b.frames.push((Kind::Payload, b"more".to_vec()));
        b.render()
    }),
    row("mix in a record of another run", Rule::BundleOrder, |s, mut b| {
        let other = BundleParts::cut(&s.segments, &s.runs[1], None);
        let open = other.nth(Kind::Record, 2);
        let at = b.nth(Kind::Record, 3) - 1;
        b.frames.splice(at..at, other.frames[open..open + 2].to_vec());
        b.render()
    }),
    row("mix in a record of the gateway", Rule::BundleOrder, |_, mut b| {
        let genesis = b.nth(Kind::Record, 0);
        b.edit(genesis, "kind", text("start"));
        b.edit(genesis, "seq", Value::Uint(1));
        let start = b.frames[genesis].clone();
        let mut forged = BundleParts { frames: b.frames.clone() };
        forged.frames[genesis] = start;
        forged.render()
    }),
    row("leave genesis out", Rule::BundleOrder, |_, mut b| {
        let genesis = b.nth(Kind::Record, 0);
        b.frames.drain(genesis..genesis + 7); // and the epoch with its link
        b.render()
    }),
    row("leave the run out", Rule::BundleOrder, |_, mut b| {
        let open = b.nth(Kind::Record, 2);
        b.frames.truncate(open);
        b.render()
    }),
    row("leave a change of keys out", Rule::CheckpointSignature, |_, mut b| {
        let epoch = b.nth(Kind::Record, 1);
        b.frames.drain(epoch..epoch + 5);
        b.render()
    }),
    row("leave a link out", Rule::BundleOrder, |_, mut b| {
        let link = b.nth(Kind::Record, 1) + 2;
        b.frames.drain(link..link + 3);
        b.render()
    }),
    row("leave a link's proof out", Rule::BundleOrder, |_, mut b| {
        let link = b.nth(Kind::Record, 1) + 2;
        b.frames.remove(link + 1);
        b.render()
    }),
    row("give text for a link", Rule::CheckpointNote, |_, mut b| {
        let link = b.nth(Kind::Record, 1) + 2;
        b.frames[link].1 = b"all is well\n".to_vec();
        b.render()
    }),
    row("link to a checkpoint of before the change of keys", Rule::CheckpointSize, |s, mut b| {
        let link = b.nth(Kind::Record, 1) + 2;
        b.frames[link].1 = s.notes[s.last_of_first_key - 1].to_bytes();
        b.render()
    }),
    row("link to a checkpoint that the new key signed", Rule::CheckpointSignature, |s, mut b| {
        let link = b.nth(Kind::Record, 1) + 2;
        b.frames[link].1 = s.notes[s.last_of_first_key + 1].to_bytes();
        b.render()
    }),
    row("link under another name", Rule::CheckpointOrigin, |s, mut b| {
        let link = b.nth(Kind::Record, 1) + 2;
        b.frames[link].1 = sample_on("gateway.example/2", 8192).notes[s.last_of_first_key].to_bytes();
        b.render()
    }),
    row("give a link's proof of another record", Rule::BundleProof, |_, mut b| {
        let link = b.nth(Kind::Record, 1) + 2;
        b.frames[link + 1].1 = b.frames[b.nth(Kind::Inclusion, 0)].1.clone();
        b.render()
    }),
    row("give a link's proof in the bundle's tree", Rule::BundleProof, |_, mut b| {
        let link = b.nth(Kind::Record, 1) + 2;
        b.frames[link + 1].1 = b.frames[link - 1].1.clone();
        b.render()
    }),
    row("leave a link's growth out", Rule::BundleOrder, |_, mut b| {
        let growth = b.nth(Kind::Growth, 0);
        b.frames.remove(growth);
        b.render()
    }),
    row("give a growth without a link", Rule::BundleOrder, |_, mut b| {
        let growth = b.nth(Kind::Growth, 0);
        b.frames.push(b.frames[growth].clone());
        b.render()
    }),
    row("give an inclusion proof for a growth", Rule::BundleOrder, |_, mut b| {
        let growth = b.nth(Kind::Growth, 0);
        b.frames[growth].0 = Kind::Inclusion;
        b.render()
    }),
    row("give a growth from another size", Rule::BundleProof, |_, mut b| {
        let growth = b.nth(Kind::Growth, 0);
        b.frames[growth].1[7] -= 1;
        b.render()
    }),
    row("shorten a growth", Rule::BundleProof, |_, mut b| {
        let growth = b.nth(Kind::Growth, 0);
        b.frames[growth].1.truncate(10);
        b.frames[growth].1[9] = 0;
        b.render()
    }),
    row("lengthen a growth", Rule::BundleProof, |_, mut b| {
        let growth = b.nth(Kind::Growth, 0);
        b.frames[growth].1.extend_from_slice(&[0; 32]);
        b.frames[growth].1[9] += 1;
        b.render()
    }),
    row("change a growth", Rule::BundleProof, |_, mut b| {
        let growth = b.nth(Kind::Growth, 0);
        b.frames[growth].1[10] ^= 1;
        b.render()
    }),
    row("leave the checkpoint out", Rule::BundleOrder, |_, mut b| {
        b.frames.remove(0);
        b.render()
    }),
    row("give two checkpoints", Rule::BundleOrder, |_, mut b| {
        let again = b.frames[0].clone();
        b.frames.insert(1, again);
        b.render()
    }),
    row("give text for a checkpoint", Rule::CheckpointNote, |_, mut b| {
        b.frames[0].1 = b"all is well\n".to_vec();
        b.render()
    }),
    row("give an older checkpoint", Rule::BundleProof, |s, mut b| {
        b.frames[0].1 = s.notes[2].to_bytes();
        b.render()
    }),
    row("forge the checkpoint with another key", Rule::CheckpointSignature, |s, b| {
        resigned(b, &s.origin, Writer::signer(&s.origin, 200))
    }),
    row("forge the checkpoint under another name", Rule::CheckpointOrigin, |_, b| {
        resigned(b, "gateway.example/2", Writer::signer("gateway.example/2", 0))
    }),
    row("begin with a foreign genesis", Rule::BundleProof, |_, mut b| {
        let genesis = b.nth(Kind::Record, 0);
        b.edit(genesis, "at", Value::Uint(5));
        b.render()
    }),
    row("give another payload key", Rule::BundleKey, |_, mut b| {
        b.frames.last_mut().unwrap().1 = vec![7; 32];
        b.render()
    }),
    row("give a payload key of another length", Rule::BundleKey, |_, mut b| {
        b.frames.last_mut().unwrap().1 = vec![7; 31];
        b.render()
    }),
    row("give the payload key twice", Rule::BundleKey, |_, mut b| {
        let key = b.frames.last().unwrap().clone();
        b.frames.push(key);
        b.render()
    }),
    row("smuggle in a batch frame", Rule::FrameKind, |_, mut b| {
        b.frames.push((Kind::Batch, vec![0; 24]));
        b.render()
    }),
    row("append bytes", Rule::TailNotZero, |_, b| [b.render(), vec![0, 0, 0, 0, 1]].concat()),
    row("append zeros", Rule::BundleOrder, |_, b| [b.render(), vec![0; 16]].concat()),
    row("cut the end off", Rule::FrameLength, |_, b| {
        let mut bytes = b.render();
        bytes.truncate(bytes.len() - 5);
        bytes
    }),
    row("flip a byte", Rule::FrameCrc, |_, b| {
        let mut bytes = b.render();
        bytes[40] ^= 1;
        bytes
    }),
    row("claim another version", Rule::BundleHeader, |_, b| {
        let mut bytes = b.render();
        bytes[11] = 4;
        bytes
    }),
    row("call a bundle with links one of version 1", Rule::BundleOrder, |_, b| {
        let mut bytes = b.render();
        bytes[11] = 1;
        bytes
    }),
    row("call a bundle with growths one of version 2", Rule::BundleOrder, |_, b| {
        let mut bytes = b.render();
        bytes[11] = 2;
        bytes
    }),
    row("name the forger's key behind the genesis", Rule::CheckpointSignature, |s, _| foreign(s, true)),
    row("link the forger's key by a checkpoint of the ledger's", Rule::BundleProof, |s, _| {
        let mut b = BundleParts::cut(&forgers(s), &FORGED, None);
        let link = b.nth(Kind::Record, 1) + 2;
        b.frames[link].1 = s.notes[2].to_bytes();
        b.render()
    }),
];

/// A run that never was.
const FORGED: [u8; 16] = [0xfa; 16];

/// A ledger that begins as the sample's does, but for the first key's signatures: whoever made it has none of its keys.
fn forgers(s: &Sample) -> Vec<Vec<u8>> {
    let heartbeat = map(&[("runs", Value::Uint(0)), ("sessions", Value::Uint(0))]);
    let mut w = Writer::new(&s.origin, 8192);
    w.gateway("heartbeat", &heartbeat);
    w.rotate(66);
    w.checkpoint();
    w.open(FORGED);
    w.close(FORGED);
    for _ in 0..20 {
        w.gateway("heartbeat", &heartbeat);
    }
    w.checkpoint();
    let mut items = Items::parse(&w.finish());
    // Over the epoch; the one over genesis alone is as the ledger has it.
    items.resign(|size| (size == 3).then(|| Writer::signer(&s.origin, 67)));
    items.render()
}

/// The forger's bundle under the ledger's own genesis, with a link of a stranger's or, as in version 1, without any.
fn foreign(s: &Sample, linked: bool) -> Vec<u8> {
    let mut b = BundleParts::cut(&forgers(s), &FORGED, None);
    if linked { b.render() } else { former(&mut b, 1) }
}

/// As version 2 had it, without growths; or as version 1 had it, without links.
fn former(b: &mut BundleParts, version: u8) -> Vec<u8> {
    b.frames.retain(|(kind, _)| *kind != Kind::Growth);
    while let Some(link) = b.frames.iter().skip(1).position(|(kind, _)| *kind == Kind::Checkpoint)
        && version == 1
    {
        b.frames.drain(link + 1..link + 3);
    }
    let mut bytes = b.render();
    bytes[11] = version;
    bytes
}

#[test]
fn each_forged_bundle_is_found_by_both_verifiers() {
    let sample = sample();
    let mut both = Both::start("bundles");
    let path = both.directory.join("forged.bundle");
    for row in TABLE {
        let parts = BundleParts::cut(&sample.segments, &sample.runs[0], Some(run_key(sample.runs[0])));
        assert_eq!(parts.frames.iter().filter(|(kind, _)| *kind == Kind::Record).count(), 8);
        fs::write(&path, (row.forge)(&sample, parts)).unwrap();
        let found = both.ask(&path, &Given::default()).map(drop).map_err(|finding| finding.rule);
        assert_eq!(found, Err(row.rule), "{}", row.name);
    }
}

/// A bundle without its end verifies: its records are proved, and the report says that it is not complete.
#[test]
fn a_bundle_without_close_is_never_called_complete() {
    let sample = sample();
    let mut both = Both::start("bundles-open");
    let mut parts = BundleParts::cut(&sample.segments, &sample.runs[0], None);
    parts.frames.truncate(parts.frames.len() - 2);
    let path = both.directory.join("run.bundle");
    fs::write(&path, parts.render()).unwrap();
    let report = both.ask(&path, &Given::default()).unwrap();
    assert_eq!(report.subject, Subject::Bundle { run: sample.runs[0], records: 5, complete: false });
}

/// What whoever holds the signing key can do to a bundle, and what finds it.
#[test]
fn a_bundle_of_another_history_is_found_by_what_is_held_elsewhere() {
    let sample = sample();
    let mut both = Both::start("bundles-held");
    let path = both.directory.join("run.bundle");
    // Another ledger under the same name: its first key is another one.
    let mut w = Writer::new(&sample.origin, 8192);
    w.open(sample.runs[0]);
    w.close(sample.runs[0]);
    w.checkpoint();
    fs::write(&path, seal::testkit::bundle(&w.finish(), &sample.runs[0], None)).unwrap();
    both.ask(&path, &Given::default()).unwrap();

    let last = sample.notes.last().unwrap();
    let elsewhere = [
        (Given { known: vec![last.clone()], ..Given::default() }, Rule::KnownCheckpoint),
        (
            Given {
                key: Some(Writer::signer(&sample.origin, 1).verifier_key().to_string()),
                ..Given::default()
            },
            Rule::KeyAnchor,
        ),
        (
            Given { witnesses: vec![Sample::witness().verifier_key().to_string()], ..Given::default() },
            Rule::NotWitnessed,
        ),
    ];
    for (given, rule) in elsewhere {
        assert_eq!(both.ask(&path, &given).map(drop).map_err(|finding| finding.rule), Err(rule));
    }
}

/// What a witness has seen of a ledger says nothing of a run that came after it, and of one that went on only a part.
#[test]
fn what_was_seen_before_a_run_does_not_vouch_for_it() {
    let mut both = Both::start("bundles-before");
    let path = both.directory.join("run.bundle");
    let (before, after) = ([1; 16], [2; 16]);
    let mut w = Writer::new("gateway.example/1", 8192);
    w.open(before);
    w.checkpoint();
    w.rotate(1);
    let link = w.witnessed_checkpoint(&Sample::witness(), 1_790_000_100);
    w.open(after);
    w.close(after);
    w.close(before);
    w.checkpoint();
    let segments = w.finish();
    let size = link.checkpoint().unwrap().size;
    let known = Given { known: vec![link], ..Given::default() };
    let witness = Given { witnesses: vec![Sample::witness().verifier_key().to_string()], ..known.clone() };

    fs::write(&path, seal::testkit::bundle(&segments, &before, None)).unwrap();
    let report = both.ask(&path, &witness).unwrap();
    assert_eq!(report.witnessed.map(|seen| seen.size), Some(size));
    assert_eq!(
        (report.after_witnessed, report.known_size, report.after_known),
        (Some(1), Some(size), Some(1))
    );
    assert_eq!(beyond("run", 2, 1), "1 of the run's 2 records is after that");

    let bytes = seal::testkit::bundle(&segments, &after, None);
    fs::write(&path, &bytes).unwrap();
    let found = both.ask(&path, &witness).map(drop).map_err(|finding| finding.rule);
    assert_eq!(found, Err(Rule::NotWitnessed));
    assert_eq!(both.ask(&path, &known).unwrap().after_known, Some(2));
    let lenient = Options { witness_optional: true, ..witness.options() };
    let report = verify_bundle(&bytes, &lenient).unwrap();
    assert_eq!((report.witnessed, report.after_witnessed), (None, None));

    // The whole ledger has the witness's checkpoint, and records behind it.
    let ledger = both.write("ledger", &segments);
    let report = both.ask(&ledger, &witness).unwrap();
    assert_eq!((report.after_witnessed, report.after_known), (Some(3), Some(3)));
}

/// The first checkpoint over a change of keys is signed with the old key, each later one with the new one.
#[test]
fn a_bundle_may_be_sealed_by_the_first_checkpoint_over_a_change_of_keys() {
    let mut both = Both::start("bundles-ratchet");
    let path = both.directory.join("run.bundle");
    let origin = "gateway.example/1";
    let mut w = Writer::new(origin, 8192);
    w.open([5; 16]);
    w.close([5; 16]);
    w.rotate(1);
    w.checkpoint();
    let segments = w.finish();
    let parts = BundleParts::cut(&segments, &[5; 16], None);
    fs::write(&path, parts.render()).unwrap();
    both.ask(&path, &Given::default()).unwrap();
    // But not by a key that was never announced.
    fs::write(&path, resigned(parts, origin, Writer::signer(origin, 2))).unwrap();
    let found = both.ask(&path, &Given::default()).map(drop).map_err(|finding| finding.rule);
    assert_eq!(found, Err(Rule::CheckpointSignature));
}

/// In version 1 nothing linked a key to the first, so that anybody could name one of their own.
#[test]
fn a_key_anchors_no_bundle_that_does_not_link_its_keys() {
    let sample = sample();
    let mut both = Both::start("bundles-former");
    let path = both.directory.join("run.bundle");
    let key = Given { key: Some(sample.signer(0).verifier_key().to_string()), ..Given::default() };
    fs::write(&path, foreign(&sample, false)).unwrap();
    assert_eq!(both.ask(&path, &key).map(drop).map_err(|finding| finding.rule), Err(Rule::KeyAnchor));
    assert!(!both.ask(&path, &Given::default()).unwrap().anchored);

    // An honest one, too: only what is held elsewhere vouches for it.
    let mut honest = BundleParts::cut(&sample.segments, &sample.runs[0], None);
    fs::write(&path, former(&mut honest, 1)).unwrap();
    assert_eq!(both.ask(&path, &key).map(drop).map_err(|finding| finding.rule), Err(Rule::KeyAnchor));
    let known = Given { known: vec![sample.notes.last().unwrap().clone()], ..key.clone() };
    let report = both.ask(&path, &known).unwrap();
    assert!(!report.anchored && report.known == 1, "{report:?}");
    assert!(report.warnings.iter().any(|w| w.text.contains("version 1")), "{report:?}");
    // A tree of nothing is a part of every ledger, and joined to none.
    let nothing = Checkpoint { origin: sample.origin.clone(), size: 0, root: empty_root() };
    let mut nothing = sample.signer(0).sign(&nothing);
    nothing.push(Sample::witness().cosign(&nothing, 1_790_000_100));
    let known = Given { known: vec![nothing], ..key.clone() };
    let witness = Given { witnesses: vec![Sample::witness().verifier_key().to_string()], ..known.clone() };
    for (given, rule) in [(known, Rule::KeyAnchor), (witness, Rule::NotWitnessed)] {
        let found = both.ask(&path, &given).map(drop).map_err(|finding| finding.rule);
        assert_eq!(found, Err(rule));
    }

    // Where the key never changed, there is nothing to link.
    let mut w = Writer::new(&sample.origin, 8192);
    w.open([5; 16]);
    w.close([5; 16]);
    w.checkpoint();
    fs::write(&path, former(&mut BundleParts::cut(&w.finish(), &[5; 16], None), 1)).unwrap();
    assert!(both.ask(&path, &key).unwrap().anchored);
}

/// A ledger whose key changes once, between run a and run b; `said` is in the run that was sealed with the first key.
fn old_run(origin: &str, said: &str) -> Writer {
    let mut w = Writer::new(origin, 8192);
    w.open([0xa; 16]);
    w.record("intent", Some([0xa; 16]), None, &map(&[("statement", text(said))]), &[]);
    w.close([0xa; 16]);
    w.checkpoint();
    w.rotate(1);
    w.checkpoint();
    w.open([0xb; 16]);
    w.close([0xb; 16]);
    w.checkpoint();
    w
}

/// Whoever takes the present key has none of those before it: what they have signed is not theirs to replace.
#[test]
fn the_present_key_replaces_nothing_that_an_erased_one_has_sealed() {
    let mut both = Both::start("bundles-old-run");
    let path = both.directory.join("run.bundle");
    let origin = "gateway.example/1";
    let honest = old_run(origin, "drop table audit");
    let link = honest.notes()[2].clone();
    let honest = BundleParts::cut(&honest.finish(), &[0xa; 16], None);
    // The forger's tree has the ledger's genesis and epoch, another run between them, and the present key's signature.
    let forged = BundleParts::cut(&old_run(origin, "select 1").finish(), &[0xa; 16], None);
    let at = honest.nth(Kind::Record, 1);
    assert!(forged.frames[at] == honest.frames[at], "the epoch's record is the ledger's");
    let mut forged = forged;
    forged.frames[at + 2..at + 4].clone_from_slice(&honest.frames[at + 2..at + 4]);
    assert_eq!(forged.frames[at + 2].1, link.to_bytes(), "the link is the one that the erased key signed");
    let key = Given { key: Some(Writer::signer(origin, 0).verifier_key().to_string()), ..Given::default() };
    let mut other = forged.clone();
    other.frames[at + 4] = honest.frames[at + 4].clone();
    for forgery in [&forged, &other] {
        fs::write(&path, forgery.render()).unwrap();
        for given in [&Given::default(), &key] {
            let found = both.ask(&path, given).map(drop).map_err(|finding| finding.rule);
            assert_eq!(found, Err(Rule::BundleProof));
        }
    }
    // Nor by calling it older than that is asked for.
    fs::write(&path, former(&mut forged, 2)).unwrap();
    assert_eq!(both.ask(&path, &key).map(drop).map_err(|finding| finding.rule), Err(Rule::KeyAnchor));
    assert!(!both.ask(&path, &Given::default()).unwrap().anchored);

    fs::write(&path, honest.render()).unwrap();
    assert!(both.ask(&path, &key).unwrap().anchored);
    // What somebody kept of the time before is held against it.
    let known = Given { known: vec![link], ..key };
    assert_eq!(both.ask(&path, &known).unwrap().known, 1);
}

/// In version 2 nothing said that a link's tree is a part of the bundle's, so that only what is younger than the last key is
/// anchored.
#[test]
fn a_key_anchors_no_bundle_of_version_2_that_is_older_than_the_last_key() {
    let mut both = Both::start("bundles-second");
    let path = both.directory.join("run.bundle");
    let origin = "gateway.example/1";
    let w = old_run(origin, "select 1");
    let notes = w.notes().to_vec();
    let segments = w.finish();
    let key = Given { key: Some(Writer::signer(origin, 0).verifier_key().to_string()), ..Given::default() };
    fs::write(&path, former(&mut BundleParts::cut(&segments, &[0xb; 16], None), 2)).unwrap();
    assert!(both.ask(&path, &key).unwrap().anchored);

    fs::write(&path, former(&mut BundleParts::cut(&segments, &[0xa; 16], None), 2)).unwrap();
    assert_eq!(both.ask(&path, &key).map(drop).map_err(|finding| finding.rule), Err(Rule::KeyAnchor));
    let known = |n: usize| Given { known: vec![notes[n].clone()], ..key.clone() };
    let report = both.ask(&path, &known(3)).unwrap();
    assert!(!report.anchored && report.known == 1, "{report:?}");
    assert!(report.warnings.iter().any(|w| w.text.contains("version 2")), "{report:?}");
    let found = both.ask(&path, &known(2)).map(drop).map_err(|finding| finding.rule);
    assert_eq!(found, Err(Rule::KnownCheckpoint), "of the link's size, which nothing joins to the bundle's");
}

/// Each key is vouched for by the one before it, up to the anchor.
#[test]
fn a_bundle_over_several_changes_of_keys_is_anchored_by_the_first() {
    let mut both = Both::start("bundles-links");
    let path = both.directory.join("run.bundle");
    let origin = "gateway.example/1";
    let mut w = Writer::new(origin, 8192);
    w.open([5; 16]);
    for generation in 1..4 {
        w.rotate(generation);
        w.checkpoint();
        w.checkpoint();
    }
    w.close([5; 16]);
    w.checkpoint();
    let parts = BundleParts::cut(&w.finish(), &[5; 16], None);
    let key = Given { key: Some(Writer::signer(origin, 0).verifier_key().to_string()), ..Given::default() };
    fs::write(&path, parts.render()).unwrap();
    let report = both.ask(&path, &key).unwrap();
    assert_eq!((report.anchored, report.rotations), (true, 3));
    // The key before the last signs no more once another checkpoint has followed.
    fs::write(&path, resigned(parts.clone(), origin, Writer::signer(origin, 2))).unwrap();
    let found = both.ask(&path, &key).map(drop).map_err(|finding| finding.rule);
    assert_eq!(found, Err(Rule::CheckpointSignature));
    // A link that reaches over the next change is none.
    let mut late = parts;
    let (one, two) = (late.nth(Kind::Record, 1) + 2, late.nth(Kind::Record, 2) + 2);
    let old = SignedNote::parse(&late.frames[two].1).unwrap().checkpoint().unwrap();
    late.frames[one].1 = Writer::signer(origin, 0).sign(&old).to_bytes();
    fs::write(&path, late.render()).unwrap();
    let found = both.ask(&path, &key).map(drop).map_err(|finding| finding.rule);
    assert_eq!(found, Err(Rule::BundleProof));
}

/// The bundle with its checkpoint's size and root signed by another key, under a name.
fn resigned(mut bundle: BundleParts, origin: &str, signer: Signer) -> Vec<u8> {
    let old = SignedNote::parse(&bundle.frames[0].1).unwrap().checkpoint().unwrap();
    bundle.frames[0].1 = signer.sign(&Checkpoint { origin: origin.to_owned(), ..old }).to_bytes();
    bundle.render()
}

trait Edit {
    fn nth(&self, kind: Kind, n: usize) -> usize;
    fn edit(&mut self, index: usize, key: &str, value: Value);
}

impl Edit for BundleParts {
    /// The index of the nth frame of a kind.
    fn nth(&self, kind: Kind, n: usize) -> usize {
        self.frames.iter().enumerate().filter(|(_, (k, _))| *k == kind).nth(n).unwrap().0
    }

    /// Changes a field of a record.
    fn edit(&mut self, index: usize, key: &str, value: Value) {
        let Value::Map(mut fields) = decode(&self.frames[index].1).unwrap() else { panic!("not a record") };
        fields.iter_mut().find(|(k, _)| k == key).unwrap().1 = value;
        self.frames[index].1 = Value::Map(fields).to_bytes();
    }
}
