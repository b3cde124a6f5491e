//! The table of named attacks (promise P3): what each is found by, and what must be held elsewhere to find it.
//!
//! A row forges a ledger out of a good one. Where `needs` names something, the row is shown twice: it goes unseen
//! without, and is found with it. The forger has no key unless the row says so.

use crate::both::{Both, Given};
use Needs::{Anchor, KnownCheckpoint, Nothing, WitnessKey, WitnessedCheckpoint};
use seal::cbor::Value;
use seal::frame::{Frames, Kind, SEGMENT_HEADER_BYTES, SegmentHeader, encode_frame};
use seal::note::{Algorithm, Checkpoint, SignedNote, Signer};
use seal::testkit::{Item, Items, Sample, Writer, map, sample, sample_on, text};
use seal::tree::{Frontier, leaf_hash};
use seal::verify::Rule;

type Segments = Vec<Vec<u8>>;

/// What somebody else must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// The ledger's first verifier key.
    Anchor,
    /// Its newest checkpoint.
    KnownCheckpoint,
    /// A witness's verifier key: at least one checkpoint must bear its signature.
    WitnessKey,
    /// The checkpoint that the witness cosigned.
    WitnessedCheckpoint,
}

struct Row {
    name: &'static str,
    needs: Needs,
    rule: Rule,
    forge: fn(&Sample) -> Segments,
}

const fn row(name: &'static str, needs: Needs, rule: Rule, forge: fn(&Sample) -> Segments) -> Row {
    Row { name, needs, rule, forge }
}

const TABLE: &[Row] = &[
    // Records.
    row("edit a body in a run", Nothing, Rule::RunChain, |s| edit_statement(s, false).render()),
    row("edit a body and mend the chains", Nothing, Rule::CheckpointRoot, |s| {
        edit_statement(s, true).render()
    }),
    row("edit a body of the gateway", Nothing, Rule::CheckpointRoot, |s| {
        forged(s, |items| {
            items.edit(items.find(0, |i| i.is_kind("start")), set_body("durability", text("os")))
        })
    }),
    row("edit a body and leave its CRC", Nothing, Rule::FrameCrc, |s| {
        let mut segments = s.segments.clone();
        let at = find_bytes(&segments[0], b"select name from customers");
        segments[0][at] = b'S';
        segments
    }),
    row("set the clock of a record", Nothing, Rule::RunChain, |s| {
        forged(s, |items| {
            let at = items.find(0, |i| i.is_kind("intent"));
            items.edit(at, |fields| set(fields, "at", Value::Uint(1_790_000_000_000_000_000)));
        })
    }),
    row("give a record to another run", Nothing, Rule::RunSequence, |s| {
        let to = s.runs[1];
        forged(s, |items| {
            let at = items.find(1, |i| i.is_kind("intent"));
            items.edit(at, |fields| set(fields, "run", Value::Bytes(to.to_vec())));
        })
    }),
    row("swap two records", Nothing, Rule::RecordSeq, |s| swap_units(s, false)),
    row("swap two records and renumber", Nothing, Rule::CheckpointRoot, |s| swap_units(s, true)),
    row("remove a record", Nothing, Rule::RecordSeq, |s| remove(s, false, |i| i.is_kind("start"))),
    row("remove a record and renumber", Nothing, Rule::CheckpointSize, |s| {
        remove(s, true, |i| i.is_kind("start"))
    }),
    row("remove a record, renumber and fill the gap", Nothing, Rule::CheckpointRoot, |s| {
        forged_and_linked(s, |items| {
            items.retain(|i| !i.is_kind("start"));
            let (segment, index) = items.find(0, |i| i.is_kind("open"));
            items.segments[segment].insert(index, gateway_record("heartbeat"));
        })
    }),
    row("insert a record", Nothing, Rule::RecordSeq, |s| insert(s, false)),
    row("insert a record and renumber", Nothing, Rule::CheckpointSize, |s| insert(s, true)),
    row("duplicate a record", Nothing, Rule::RecordSeq, |s| duplicate(s, false)),
    row("duplicate a record and renumber", Nothing, Rule::CheckpointSize, |s| duplicate(s, true)),
    row("remove a run whole", Nothing, Rule::RecordSeq, |s| remove_run(s, false)),
    row("remove a run whole and renumber", Nothing, Rule::CheckpointSize, |s| remove_run(s, true)),
    row("remove a run's middle and mend its chain", Nothing, Rule::CheckpointSize, |s| {
        remove(s, true, |i| i.is_kind("outcome"))
    }),
    row("answer a record that is still to come", Nothing, Rule::RecordOf, |s| {
        forged(s, |items| {
            let at = items.find(0, |i| i.is_kind("outcome"));
            items.edit(at, |fields| set(fields, "of", Value::Uint(99)));
        })
    }),
    row("spell a record another way", Nothing, Rule::RecordCbor, |s| {
        forged(s, |items| {
            let (segment, index) = items.find(0, |i| i.is_kind("start"));
            let Item::Record(bytes) = &mut items.segments[segment][index] else { panic!() };
            // The map's `v`: 1, as 0x18 0x01.
            bytes.splice(3..4, [0x18, 0x01]);
        })
    }),
    row("hide a field in a record", Nothing, Rule::RecordHeader, |s| {
        forged(s, |items| {
            let at = items.find(0, |i| i.is_kind("start"));
            items.edit(at, |fields| set(fields, "zz", Value::Uint(1)));
        })
    }),
    row("replace a record by one that is too long", Nothing, Rule::RecordSize, |s| {
        let mut items = Items::parse(&sample_on(&s.origin, 1 << 17).segments);
        let at = items.find(0, |i| i.is_kind("start"));
        items.edit(at, set_body("version", text(&"x".repeat(70_000))));
        items.render()
    }),
    // Runs.
    row("append to a closed run", Nothing, Rule::RunClosed, |s| {
        forged_and_linked(s, |items| {
            let (segment, index) = items.find(0, |i| i.is_kind("close"));
            let note = run_record("note", &items.segments[segment][index]);
            items.segments[segment].insert(index + 1, note);
        })
    }),
    row("open a run twice", Nothing, Rule::RunOpen, |s| {
        forged_and_linked(s, |items| {
            let (segment, index) = items.find(0, |i| i.is_kind("open"));
            let open = run_record("open", &items.segments[segment][index]);
            items.segments[segment].insert(index + 1, open);
        })
    }),
    row("remove a run's open", Nothing, Rule::RunOpen, |s| remove(s, true, |i| i.is_kind("open"))),
    row("remove a run's close", Nothing, Rule::CheckpointSize, |s| remove(s, true, |i| i.is_kind("close"))),
    row("change a close's count", Nothing, Rule::CloseCount, |s| edit_close(s, "count", Value::Uint(3))),
    row("change a close's root", Nothing, Rule::CloseRoot, |s| {
        edit_close(s, "root", Value::Bytes(vec![7; 32]))
    }),
    row("put a key's epoch into a run", Nothing, Rule::RunField, |s| {
        forged(s, |items| {
            let at = items.find(0, |i| i.is_kind("open"));
            items.edit(at, |fields| set(fields, "kind", text("epoch")));
        })
    }),
    // Payloads.
    row("replace a payload", Nothing, Rule::PayloadDigest, |s| {
        forged(s, |items| {
            let (segment, index) = items.find(1, is_payload);
            items.segments[segment][index] = Item::Payload(b"another ciphertext".to_vec());
        })
    }),
    row("remove a payload", Nothing, Rule::PayloadDigest, |s| {
        forged(s, |items| {
            let (segment, index) = items.find(1, is_payload);
            items.segments[segment].remove(index);
        })
    }),
    row("swap two payloads of a record", Nothing, Rule::PayloadDigest, |s| {
        forged(s, |items| {
            let (segment, index) = items.find(1, is_payload);
            assert!(is_payload(&items.segments[segment][index + 1]));
            items.segments[segment].swap(index, index + 1);
        })
    }),
    row("replace a payload and mend its record", Nothing, Rule::CheckpointRoot, |s| {
        forged_and_linked(s, |items| {
            let (segment, index) = items.find(1, is_payload);
            items.segments[segment][index] = Item::Payload(b"another ciphertext".to_vec());
        })
    }),
    row("tear a payload from its record", Nothing, Rule::PayloadOrphan, |s| {
        forged(s, |items| {
            let (segment, index) = items.find(0, is_payload);
            items.segments[segment].insert(index + 1, Item::Batch);
        })
    }),
    // Batches and segments.
    row("reorder batches", Nothing, Rule::BatchOrder, |s| reorder_batches(s, false)),
    row("reorder batches and renumber them", Nothing, Rule::RecordSeq, |s| reorder_batches(s, true)),
    row("take out a frame and close the gap", Nothing, Rule::BatchOffset, |s| {
        take_out(s, Kind::Checkpoint, 2)
    }),
    row("take out a batch frame", Nothing, Rule::BatchOrder, |s| take_out(s, Kind::Batch, 2)),
    row("take out a segment's first batch frame", Nothing, Rule::BatchMissing, |s| {
        take_out(s, Kind::Batch, 0)
    }),
    row("forge a batch frame", Nothing, Rule::BatchFrame, |s| {
        let mut segments = s.segments.clone();
        let frame = Frames::of_segment(&segments[0]).next().unwrap().unwrap();
        let (start, mut body) = (frame.offset, frame.body.to_vec());
        body[0] = b'X';
        let mut forged = Vec::new();
        encode_frame(Kind::Batch, &body, &mut forged).unwrap();
        segments[0][start..start + forged.len()].copy_from_slice(&forged);
        segments
    }),
    row("zero a frame in the middle", Nothing, Rule::TailNotZero, |s| {
        let mut segments = s.segments.clone();
        let frame = Frames::of_segment(&segments[0]).nth(4).unwrap().unwrap();
        let (start, end) = (frame.offset, frame.end());
        segments[0][start..end].fill(0);
        segments
    }),
    row("make a frame's length hostile", Nothing, Rule::FrameLength, |s| {
        let mut segments = s.segments.clone();
        let offset = Frames::of_segment(&segments[0]).nth(4).unwrap().unwrap().offset;
        segments[0][offset..offset + 4].fill(0xff);
        segments
    }),
    row("smuggle in a frame of an unknown kind", Nothing, Rule::FrameKind, |s| {
        smuggle(s, |out| {
            encode_frame(Kind::Record, b"hidden", out).unwrap();
            out[8] = b'X';
            let crc = crc32c_of(&out[8..]).to_be_bytes();
            out[4..8].copy_from_slice(&crc);
        })
    }),
    row("smuggle in a bundle's frame", Nothing, Rule::FrameKind, |s| {
        smuggle(s, |out| encode_frame(Kind::Key, &[7; 32], out).unwrap())
    }),
    row("hide bytes behind the end", Nothing, Rule::TornTail, |s| {
        let mut segments = s.segments.clone();
        *segments[1].last_mut().unwrap() = 1;
        segments
    }),
    row("hide bytes behind the end of an earlier segment", Nothing, Rule::TailNotZero, |s| {
        let mut segments = s.segments.clone();
        *segments[0].last_mut().unwrap() = 1;
        segments
    }),
    row("tear the last batch", Nothing, Rule::TornTail, |s| {
        let mut segments = s.segments.clone();
        let last = segments[1].iter().rposition(|b| *b != 0).unwrap();
        segments[1][last - 40..].fill(0);
        segments
    }),
    row("zero an earlier segment's tail", Nothing, Rule::SegmentOrder, |s| {
        let mut segments = s.segments.clone();
        let frames: Vec<usize> = Frames::of_segment(&segments[0]).map(|f| f.unwrap().offset).collect();
        segments[0][frames[frames.len() - 3]..].fill(0);
        segments
    }),
    row("remove the first segment", Nothing, Rule::SegmentOrder, |s| s.segments[1..].to_vec()),
    row("swap two segments", Nothing, Rule::SegmentOrder, |s| s.segments.iter().rev().cloned().collect()),
    row("put a spare between two segments", Nothing, Rule::SegmentOrder, |s| {
        vec![s.segments[0].clone(), vec![0; 8192], s.segments[1].clone()]
    }),
    row("edit a segment's header", Nothing, Rule::SegmentHeader, |s| {
        let mut segments = s.segments.clone();
        segments[1][300] = 1;
        segments
    }),
    row("splice in a segment of another ledger", Nothing, Rule::SegmentOrigin, |s| {
        vec![s.segments[0].clone(), sample_on("gateway.example/2", 8192).segments[1].clone()]
    }),
    row("splice in a segment of a twin under the same name", Nothing, Rule::RunChain, |s| {
        vec![twin(s)[0].clone(), s.segments[1].clone()]
    }),
    // Origin, genesis, keys.
    row("rename the ledger in every segment", Nothing, Rule::SegmentOrigin, |s| {
        let mut items = Items::parse(&s.segments);
        items.origin = "gateway.example/2".into();
        items.render()
    }),
    row("rename the ledger in genesis", Nothing, Rule::Genesis, |s| {
        forged(s, |items| items.edit((0, 1), set_body("origin", text("gateway.example/2"))))
    }),
    row("begin with a foreign genesis", Nothing, Rule::CheckpointSignature, |s| {
        let key = stranger(s).verifier_key().to_string();
        forged(s, |items| items.edit((0, 1), set_body("key", text(&key))))
    }),
    row("begin without genesis", Nothing, Rule::Genesis, |s| remove(s, true, |i| i.is_kind("genesis"))),
    row("begin a second time", Nothing, Rule::Genesis, |s| {
        forged_and_linked(s, |items| {
            let genesis = items.segments[0][1].clone();
            items.segments[0].insert(2, genesis);
        })
    }),
    row("announce a key of another name", Nothing, Rule::EpochKey, |s| {
        let key = Writer::signer("gateway.example/2", 1).verifier_key().to_string();
        forged(s, |items| items.edit(items.find(0, |i| i.is_kind("epoch")), set_body("key", text(&key))))
    }),
    row("announce the forger's key", Nothing, Rule::CheckpointRoot, |s| {
        let key = stranger(s).verifier_key().to_string();
        forged(s, |items| items.edit(items.find(0, |i| i.is_kind("epoch")), set_body("key", text(&key))))
    }),
    row("announce two keys at once", Nothing, Rule::EpochKey, |s| {
        forged_and_linked(s, |items| {
            let (segment, index) = items.find(0, |i| i.is_kind("epoch"));
            let again = items.segments[segment][index].clone();
            items.segments[segment].insert(index + 1, again);
        })
    }),
    // Checkpoints.
    row("forge a checkpoint with another key", Nothing, Rule::CheckpointSignature, |s| {
        let mut items = edit_statement(s, true);
        items.resign(|_| Some(Signer::from_seed(&s.origin, Algorithm::Ed25519, &[99; 32]).unwrap()));
        items.render()
    }),
    row("forge a checkpoint's signature", Nothing, Rule::CheckpointSignature, |s| {
        forged(s, |items| {
            for_checkpoint(items, 1, |note| {
                let mut line = note.signatures()[0].clone();
                line.bytes[10] ^= 1;
                SignedNote::new(note.text().to_owned(), vec![line])
            });
        })
    }),
    row("forge a checkpoint's text", Nothing, Rule::CheckpointSignature, |s| {
        forged(s, |items| {
            for_checkpoint(items, 1, |note| {
                let text = Checkpoint { root: [7; 32], ..note.checkpoint().unwrap() }.to_text();
                SignedNote::new(text, note.signatures().to_vec())
            });
        })
    }),
    row("put a checkpoint of another ledger", Nothing, Rule::CheckpointOrigin, |s| {
        let other = sample_on("gateway.example/2", 8192).notes[1].clone();
        forged(s, |items| for_checkpoint(items, 1, |_| other))
    }),
    row("put text where a checkpoint was", Nothing, Rule::CheckpointNote, |s| {
        forged(s, |items| {
            let (segment, index) = items.find(1, |i| matches!(i, Item::Checkpoint(_)));
            items.segments[segment][index] = Item::Checkpoint(b"all is well\n".to_vec());
        })
    }),
    row("replay an old checkpoint at the end", Nothing, Rule::CheckpointSize, |s| {
        let old = s.notes[s.notes.len() - 2].to_bytes();
        forged(s, |items| items.segments[1].push(Item::Checkpoint(old)))
    }),
    row("drop the first checkpoint after a change of keys", Nothing, Rule::CheckpointSignature, |s| {
        let gone = s.notes[s.last_of_first_key].to_bytes();
        forged(s, |items| items.retain(|i| *i != Item::Checkpoint(gone.clone())))
    }),
    row("drop every checkpoint", Nothing, Rule::NoCheckpoint, |s| {
        forged(s, |items| items.retain(|i| !matches!(i, Item::Checkpoint(_))))
    }),
    row("drop the last checkpoints to write a long tail", Nothing, Rule::OpenTail, |s| {
        let mut w = Writer::new(&s.origin, 4 << 20);
        (0..4_097).for_each(|_| {
            w.gateway("heartbeat", &map(&[]));
        });
        w.finish()
    }),
    row("empty the ledger", Nothing, Rule::Empty, |s| {
        let header = SegmentHeader { number: 0, first_seq: 0, first_batch: 0, origin: s.origin.clone() };
        let mut segment = header.encode().unwrap().to_vec();
        segment.resize(8192, 0);
        vec![segment]
    }),
    // With a stolen key, or with none and an eye on the end: only what is held elsewhere tells.
    row("re-sign the past with the stolen current key", Nothing, Rule::CheckpointSignature, |s| {
        let mut items = edit_statement(s, true);
        let stolen = || s.signer(1);
        items.resign(|_| Some(stolen()));
        items.render()
    }),
    row(
        "re-sign the past with it and drop the checkpoints before",
        Nothing,
        Rule::CheckpointSignature,
        |s| {
            let mut items = edit_statement(s, true);
            let kept: Vec<Vec<u8>> =
                s.notes[s.last_of_first_key + 1..].iter().map(SignedNote::to_bytes).collect();
            items.retain(|i| !matches!(i, Item::Checkpoint(note) if !kept.contains(note)));
            items.resign(|_| Some(s.signer(1)));
            items.render()
        },
    ),
    row("re-sign what is after the change of keys with it", KnownCheckpoint, Rule::KnownCheckpoint, |s| {
        let mut items = edit_last_statement(s);
        items.resign(|size| (size > boundary(s)).then(|| s.signer(1)));
        items.render()
    }),
    row("rewrite the whole ledger under it", Anchor, Rule::KeyAnchor, |s| {
        let mut items = edit_statement(s, false);
        let key = s.signer(1).verifier_key().to_string();
        items.edit((0, 1), set_body("key", text(&key)));
        items.retain(|i| !i.is_kind("epoch"));
        items.relink();
        items.resign(|_| Some(s.signer(1)));
        items.render()
    }),
    row("write a whole new ledger under a new key", Anchor, Rule::KeyAnchor, |s| {
        let mut items = Items::parse(&s.segments);
        let mine = stranger(s);
        items.edit((0, 1), set_body("key", text(&mine.verifier_key().to_string())));
        items.retain(|i| !i.is_kind("epoch"));
        items.relink();
        items.resign(|_| Some(stranger(s)));
        items.render()
    }),
    row("fork after the last checkpoint but one", KnownCheckpoint, Rule::KnownCheckpoint, |s| {
        let mut items = Items::parse(&s.segments);
        let at = items.find(s.notes.len() - 2, |i| matches!(i, Item::Checkpoint(_)));
        items.cut_after(at);
        let more =
            [Item::Batch, gateway_record("heartbeat"), gateway_record("stop"), Item::Checkpoint(vec![])];
        items.segments[at.0].extend(more);
        items.relink();
        let cut = s.notes[s.notes.len() - 2].checkpoint().unwrap().size;
        items.resign(|size| (size > cut).then(|| s.signer(1)));
        items.render()
    }),
    row("cut at the last checkpoint but one", KnownCheckpoint, Rule::KnownCheckpoint, |s| {
        cut_after_note(s, s.notes.len() - 2)
    }),
    row("cut within the records after a checkpoint", KnownCheckpoint, Rule::KnownCheckpoint, |s| {
        let mut items = Items::parse(&s.segments);
        let (segment, index) = items.find(s.notes.len() - 2, |i| matches!(i, Item::Checkpoint(_)));
        items.cut_after((segment, index + 2)); // the batch's frame and one record
        items.render()
    }),
    row("zero the tail after the last checkpoint but one", KnownCheckpoint, Rule::KnownCheckpoint, |s| {
        let mut segments = s.segments.clone();
        let frames = Frames::of_segment(&segments[1]).map(|f| f.unwrap());
        let ends: Vec<usize> = frames.filter(|f| f.kind == Kind::Checkpoint).map(|f| f.end()).collect();
        segments[1][ends[ends.len() - 2]..].fill(0);
        segments
    }),
    row("drop the last segment", KnownCheckpoint, Rule::KnownCheckpoint, |s| s.segments[..1].to_vec()),
    row("make the last segment a spare", KnownCheckpoint, Rule::KnownCheckpoint, |s| {
        vec![s.segments[0].clone(), vec![0; 8192]]
    }),
    row("put back an old disk", KnownCheckpoint, Rule::KnownCheckpoint, |s| cut_after_note(s, 1)),
    row("cut past the witnessed checkpoint", WitnessedCheckpoint, Rule::KnownCheckpoint, |s| {
        cut_after_note(s, s.witnessed - 1)
    }),
    row("cut past it, seen by the witness's key alone", WitnessKey, Rule::NotWitnessed, |s| {
        cut_after_note(s, s.witnessed - 1)
    }),
    row("strip the witness's signature", WitnessKey, Rule::NotWitnessed, |s| {
        let n = s.witnessed;
        forged(s, |items| {
            for_checkpoint(items, n, |note| {
                SignedNote::new(note.text().to_owned(), note.signatures()[..1].to_vec())
            });
        })
    }),
    row("forge the witness's signature", WitnessKey, Rule::Cosignature, |s| {
        let n = s.witnessed;
        forged(s, |items| {
            for_checkpoint(items, n, |note| {
                let mut lines = note.signatures().to_vec();
                lines[1].bytes[7] ^= 1; // its time
                SignedNote::new(note.text().to_owned(), lines)
            });
        })
    }),
];

#[test]
fn each_named_tampering_is_found_by_both_verifiers() {
    let sample = sample();
    let mut both = Both::start("tampering");
    for row in TABLE {
        let path = both.write("forged", &(row.forge)(&sample));
        if row.needs != Nothing {
            let unseen = both.ask(&path, &Given::default());
            assert!(unseen.is_ok(), "{}: does not need {:?}: {unseen:?}", row.name, row.needs);
        }
        let found = both.ask(&path, &given(row.needs, &sample)).map(drop).map_err(|finding| finding.rule);
        assert_eq!(found, Err(row.rule), "{}", row.name);
    }
}

/// The witness needs no cooperation of the gateway: what it holds convicts a forger who has every key of the ledger.
#[test]
fn what_is_held_elsewhere_says_nothing_against_the_good_ledger() {
    let sample = sample();
    let mut both = Both::start("tampering-good");
    let path = both.write("good", &sample.segments);
    for needs in [Nothing, Anchor, KnownCheckpoint, WitnessKey, WitnessedCheckpoint] {
        both.ask(&path, &given(needs, &sample)).unwrap();
    }
}

#[test]
fn the_table_is_long_enough_and_names_are_unique() {
    let mut names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TABLE.len());
    assert!(TABLE.len() >= 25);
    // Every rule about ledgers has a row that breaks it, but for those whose rows need a run of their own below.
    let bundles = [Rule::BundleHeader, Rule::BundleOrder, Rule::BundleProof, Rule::BundleKey];
    let missing: Vec<&Rule> = Rule::ALL
        .iter()
        .filter(|rule| !bundles.contains(rule) && !TABLE.iter().any(|row| row.rule == **rule))
        .collect();
    assert_eq!(missing, Vec::<&Rule>::new());
}

/// The limit of the promise, shown: what is after the last checkpoint is not sealed, and every report says how much.
#[test]
fn the_open_tail_can_be_rewritten_and_the_report_counts_it() {
    let sample = sample();
    let mut both = Both::start("tampering-open");
    let forged = forged(&sample, |items| {
        let at = items.find(3, |i| i.is_kind("open"));
        items.edit(at, set_body("human", text("somebody else")));
    });
    let path = both.write("forged", &forged);
    assert_eq!(both.ask(&path, &given(KnownCheckpoint, &sample)).unwrap().open, 1);
}

fn given(needs: Needs, sample: &Sample) -> Given {
    let witness = || vec![Sample::witness().verifier_key().to_string()];
    match needs {
        Nothing => Given::default(),
        Anchor => Given { key: Some(sample.signer(0).verifier_key().to_string()), ..Given::default() },
        KnownCheckpoint => Given { known: vec![sample.notes.last().unwrap().clone()], ..Given::default() },
        WitnessKey => Given { witnesses: witness(), ..Given::default() },
        WitnessedCheckpoint => Given {
            witnesses: witness(),
            known: vec![sample.notes[sample.witnessed].clone()],
            ..Given::default()
        },
    }
}

/// Changes items, and lays them out with right CRCs, numbers and offsets.
fn forged(sample: &Sample, change: impl FnOnce(&mut Items)) -> Segments {
    let mut items = Items::parse(&sample.segments);
    change(&mut items);
    items.render()
}

/// Changes items, and mends every number, chain and digest too.
fn forged_and_linked(sample: &Sample, change: impl FnOnce(&mut Items)) -> Segments {
    forged(sample, |items| {
        change(items);
        items.relink();
    })
}

fn edit_statement(sample: &Sample, mend: bool) -> Items {
    let mut items = Items::parse(&sample.segments);
    items.edit(
        items.find(0, |i| i.is_kind("intent")),
        set_body("statement", text("select 1 -- nothing to see")),
    );
    if mend {
        items.relink();
    }
    items
}

fn edit_last_statement(sample: &Sample) -> Items {
    let mut items = Items::parse(&sample.segments);
    items.edit(
        items.find(4, |i| i.is_kind("intent")),
        set_body("statement", text("select 1 -- nothing to see")),
    );
    items.relink();
    items
}

/// The size at the last checkpoint that the first key signed.
fn boundary(sample: &Sample) -> u64 {
    sample.notes[sample.last_of_first_key].checkpoint().unwrap().size
}

fn edit_close(sample: &Sample, field: &'static str, value: Value) -> Segments {
    forged(sample, |items| items.edit(items.find(0, |i| i.is_kind("close")), set_body(field, value)))
}

fn remove(sample: &Sample, mend: bool, gone: fn(&Item) -> bool) -> Segments {
    forged(sample, |items| {
        let (segment, index) = items.find(0, gone);
        let payloads = items.segments[segment][..index].iter().rev().take_while(|i| is_payload(i)).count();
        items.segments[segment].drain(index - payloads..=index);
        if mend {
            items.relink();
        }
    })
}

fn remove_run(sample: &Sample, mend: bool) -> Segments {
    let run = sample.runs[0];
    forged(sample, |items| {
        for segment in &mut items.segments {
            let mut kept: Vec<Item> = Vec::new();
            for item in segment.drain(..) {
                if item.is_of(&run) {
                    let payloads = kept.iter().rev().take_while(|i| is_payload(i)).count();
                    kept.truncate(kept.len() - payloads);
                } else {
                    kept.push(item);
                }
            }
            *segment = kept;
        }
        if mend {
            items.relink();
        }
    })
}

/// Swaps the first run's open with the record of the gateway before it.
fn swap_units(sample: &Sample, mend: bool) -> Segments {
    forged(sample, |items| {
        let (segment, index) = items.find(0, |i| i.is_kind("open"));
        items.segments[segment].swap(index - 1, index);
        if mend {
            items.relink();
        }
    })
}

fn insert(sample: &Sample, mend: bool) -> Segments {
    forged(sample, |items| {
        let (segment, index) = items.find(0, |i| i.is_kind("start"));
        items.segments[segment].insert(index + 1, gateway_record("heartbeat"));
        if mend {
            items.relink();
        }
    })
}

fn duplicate(sample: &Sample, mend: bool) -> Segments {
    forged(sample, |items| {
        let (segment, index) = items.find(0, |i| i.is_kind("start"));
        let again = items.segments[segment][index].clone();
        items.segments[segment].insert(index + 1, again);
        if mend {
            items.relink();
        }
    })
}

/// Swaps the second and the third batch of the first segment.
fn reorder_batches(sample: &Sample, renumber: bool) -> Segments {
    if renumber {
        return forged(sample, |items| {
            let starts: Vec<usize> =
                (1..4).map(|n| items.find(n, |i| *i == Item::Batch)).map(|(_, index)| index).collect();
            items.segments[0][starts[0]..starts[2]].rotate_left(starts[1] - starts[0]);
        });
    }
    let mut segments = sample.segments.clone();
    let starts: Vec<usize> = Frames::of_segment(&segments[0])
        .map(|f| f.unwrap())
        .filter(|f| f.kind == Kind::Batch)
        .map(|f| f.offset)
        .collect();
    segments[0][starts[1]..starts[3]].rotate_left(starts[2] - starts[1]);
    segments
}

/// Takes out the nth frame of a kind from the first segment's bytes, and moves up what follows.
fn take_out(sample: &Sample, kind: Kind, n: usize) -> Segments {
    let mut segments = sample.segments.clone();
    let frames = Frames::of_segment(&segments[0]).map(|f| f.unwrap());
    let frame = frames.filter(|f| f.kind == kind).nth(n).unwrap();
    let (start, end) = (frame.offset, frame.end());
    segments[0].drain(start..end);
    segments[0].resize(8192, 0);
    segments
}

/// Puts a frame behind the first batch frame, whose batch is then the only one in the ledger.
fn smuggle(sample: &Sample, frame: impl FnOnce(&mut Vec<u8>)) -> Segments {
    let mut out = Vec::new();
    frame(&mut out);
    let first = Frames::of_segment(&sample.segments[0]).next().unwrap().unwrap();
    assert_eq!(first.offset, SEGMENT_HEADER_BYTES);
    let mut segment = sample.segments[0][..first.end()].to_vec();
    segment.extend_from_slice(&out);
    segment.resize(8192, 0);
    vec![segment]
}

fn cut_after_note(sample: &Sample, n: usize) -> Segments {
    let mut items = Items::parse(&sample.segments);
    items.cut_after(items.find(n, |i| matches!(i, Item::Checkpoint(_))));
    items.render()
}

/// A ledger of the same name, keys, length and shape, in which run b did something else before the second segment.
fn twin(sample: &Sample) -> Segments {
    let mut items = Items::parse(&sample.segments);
    let (segment, index) = items.find(2, |i| i.is_kind("intent"));
    assert!(items.segments[segment][index].is_of(&sample.runs[1]));
    items.edit((segment, index), set_body("statement", text("another statement")));
    items.relink();
    items.resign(|size| Some(if size > boundary(sample) { sample.signer(1) } else { sample.signer(0) }));
    items.render()
}

fn for_checkpoint(items: &mut Items, n: usize, change: impl FnOnce(&SignedNote) -> SignedNote) {
    let (segment, index) = items.find(n, |i| matches!(i, Item::Checkpoint(_)));
    let Item::Checkpoint(body) = &items.segments[segment][index] else { panic!() };
    let changed = change(&SignedNote::parse(body).unwrap()).to_bytes();
    items.segments[segment][index] = Item::Checkpoint(changed);
}

/// A key of the ledger's name that is not the ledger's.
fn stranger(sample: &Sample) -> Signer {
    Writer::signer(&sample.origin, 200)
}

fn is_payload(item: &Item) -> bool {
    matches!(item, Item::Payload(_))
}

/// A record of the gateway; `relink` gives it its place.
fn gateway_record(kind: &str) -> Item {
    let fields = [
        ("v", Value::Uint(1)),
        ("at", Value::Uint(1_790_000_001_000_000_000)),
        ("seq", Value::Uint(77)),
        ("body", map(&[])),
        ("kind", text(kind)),
    ];
    Item::Record(map(&fields).to_bytes())
}

/// A record of the same run as another; `relink` gives it its place.
fn run_record(kind: &str, like: &Item) -> Item {
    let Some(Value::Map(mut fields)) = like.value() else { panic!("not a record") };
    set(&mut fields, "kind", text(kind));
    Item::Record(Value::Map(fields).to_bytes())
}

fn set(fields: &mut Vec<(String, Value)>, key: &str, value: Value) {
    match fields.iter_mut().find(|(k, _)| k == key) {
        Some((_, old)) => *old = value,
        None => fields.push((key.to_owned(), value)),
    }
}

fn set_body(key: &'static str, value: Value) -> impl FnOnce(&mut Vec<(String, Value)>) {
    move |fields| match fields.iter_mut().find(|(k, _)| k == "body") {
        Some((_, Value::Map(body))) => set(body, key, value),
        _ => panic!("no body"),
    }
}

fn find_bytes(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).position(|window| window == needle).unwrap()
}

/// CRC-32C, bit by bit: a forger has one too.
fn crc32c_of(bytes: &[u8]) -> u32 {
    let step = |crc: u32| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
    !bytes.iter().fold(!0, |crc, b| (0..8).fold(crc ^ u32::from(*b), |crc, _| step(crc)))
}

/// The sample is what the table takes it for.
#[test]
fn the_sample_has_what_the_table_needs() {
    let sample = sample();
    let items = Items::parse(&sample.segments);
    assert_eq!(items.render(), sample.segments);
    let mut relinked = items.clone();
    relinked.relink();
    assert_eq!(relinked.render(), sample.segments);
    let mut tree = Frontier::new();
    for item in items.segments.iter().flatten() {
        if let Item::Record(bytes) = item {
            tree.append(leaf_hash(bytes));
        }
    }
    assert_eq!(sample.notes.last().unwrap().checkpoint().unwrap().size + 1, tree.size());
    assert!(sample.witnessed > sample.last_of_first_key);
}
