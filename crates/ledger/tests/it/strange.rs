//! A ledger that a newer version wrote: kinds of record that this one does not know.

use std::path::Path;

use ledger::Kind;
use seal::cbor::Value;
use seal::testkit::{Writer, map, text};
use vocab::RunId;

use crate::harness::{DIR, KEYS, Rig, verify};

const RUN: [u8; 16] = [7; 16];

/// A ledger with two strange records, one of them in a run that is still open.
fn newer() -> Rig {
    let mut rig = Rig::new(1);
    let segment = 64 << 10;
    rig.config.segment_bytes = segment as u64;
    let mut writer = Writer::new("test/ledger", segment);
    writer.batch();
    writer.open(RUN);
    writer.gateway("weather", &map(&[("rain", Value::Bool(true))]));
    writer.record("plan-step", Some(RUN), None, &map(&[("step", text("read it all"))]), &[]);
    writer.record("note", Some(RUN), None, &map(&[("what", text("cancel"))]), &[]);
    writer.checkpoint();
    for (number, bytes) in writer.finish().iter().enumerate() {
        rig.disk.put(&Path::new(DIR).join(format!("segment/{number:010}.seg")), bytes);
    }
    // The key with which the test's writer signs.
    rig.disk.put(&Path::new(KEYS).join("checkpoint.key"), &[1; 32]);
    rig
}

#[test]
fn a_record_of_an_unknown_kind_is_handed_over_as_what_it_is() {
    let entries = newer().entries();
    let kinds: Vec<(Option<Kind>, &str)> = entries.iter().map(|entry| (entry.kind, &*entry.word)).collect();
    assert_eq!(
        kinds,
        [
            (Some(Kind::Genesis), "genesis"),
            (Some(Kind::Open), "open"),
            (None, "weather"),
            (None, "plan-step"),
            (Some(Kind::Note), "note")
        ]
    );
    assert_eq!((entries[3].run, entries[3].rseq), (Some(RunId(RUN)), Some(1)));
    assert_eq!(entries[3].body.get("step").and_then(Value::as_text), Some("read it all"));
}

#[test]
fn recovery_keeps_their_places_and_goes_on_after_them() {
    let rig = newer();
    let (ledger, recovery) = rig.try_open().unwrap();
    assert_eq!(recovery.interrupted, [RunId(RUN)]);
    assert!(ledger.status().records > 5);
    drop(ledger);
    let report = verify(&rig.segments(), Default::default()).unwrap();
    assert_eq!(report.open_runs, 0, "the run is closed, its strange record counted");
}
