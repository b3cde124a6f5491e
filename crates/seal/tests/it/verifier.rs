//! The streaming verifier's own behaviour; forged ledgers are in `apps/tacho-verify/tests`.

use seal::cbor::Value;
use seal::limits::{AT_BACKWARDS_NANOS_MAX, OPEN_RECORDS_MAX};
use seal::note::Algorithm;
use seal::testkit::{Items, Writer, map, sample};
use seal::verify::{Finding, Known, Options, Report, Rule, Verifier};

fn verify(segments: &[Vec<u8>], options: Options) -> Result<Report, Finding> {
    let mut verifier = Verifier::new(options);
    for (number, segment) in segments.iter().enumerate() {
        verifier.push_segment(number as u64, segment, number + 1 == segments.len())?;
    }
    verifier.finish()
}

#[test]
fn open_runs_are_handed_on_as_a_recovery_needs_them() {
    let sample = sample();
    let mut verifier = Verifier::new(Options::default());
    for (number, segment) in sample.segments.iter().enumerate() {
        verifier.push_segment(number as u64, segment, number == 1).unwrap();
    }
    let open: Vec<_> = verifier.open_runs().map(|(run, state)| (*run, state.tree.size())).collect();
    assert_eq!(open, [(sample.runs[3], 1)]);
}

#[test]
fn the_open_tail_ends_at_its_limit() {
    let ledger = |open: u64| {
        let mut w = Writer::new("gateway.example/1", 4 << 20);
        (0..open).for_each(|_| {
            w.gateway("heartbeat", &map(&[]));
        });
        verify(&w.finish(), Options::default())
    };
    assert_eq!(ledger(OPEN_RECORDS_MAX).unwrap().open, OPEN_RECORDS_MAX);
    assert_eq!(ledger(OPEN_RECORDS_MAX + 1).unwrap_err().rule, Rule::OpenTail);
}

#[test]
fn a_clock_that_runs_backwards_is_a_warning_beyond_its_tolerance() {
    let ledger = |back: u64| {
        let mut items = Items::parse(&sample().segments);
        let at = items.find(0, |i| i.is_kind("heartbeat"));
        items.edit(at, |fields| {
            let (_, value) = fields.iter_mut().find(|(key, _)| key == "at").unwrap();
            // Records are a millisecond apart.
            *value = Value::Uint(value.as_u64().unwrap() - 1_000_000 - back);
        });
        items.resign(|size| {
            let old = items_boundary();
            Some(Writer::signer("gateway.example/1", u8::from(size > old)))
        });
        verify(&items.render(), Options::default()).unwrap().warnings
    };
    assert_eq!(ledger(AT_BACKWARDS_NANOS_MAX), vec![]);
    let warnings = ledger(AT_BACKWARDS_NANOS_MAX + 1);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].text.contains("backwards"));
}

fn items_boundary() -> u64 {
    let sample = sample();
    sample.notes[sample.last_of_first_key].checkpoint().unwrap().size
}

/// Each prefix that ends at a checkpoint is a ledger of its own, and a known checkpoint of every later one.
#[test]
fn each_checkpoint_is_continued_by_all_that_follow() {
    let sample = sample();
    for note in &sample.notes {
        let known = vec![Known::parse(&note.to_bytes()).unwrap()];
        assert_eq!(verify(&sample.segments, Options { known, ..Options::default() }).unwrap().known, 1);
    }
}

#[test]
fn a_known_checkpoint_of_the_empty_ledger_is_continued_by_each() {
    let sample = sample();
    let empty =
        seal::note::Checkpoint { origin: sample.origin.clone(), size: 0, root: seal::tree::empty_root() };
    for (root, verdict) in [(empty.root, true), ([1; 32], false)] {
        let note = sample.signer(0).sign(&seal::note::Checkpoint { root, ..empty.clone() });
        let known = vec![Known::parse(&note.to_bytes()).unwrap()];
        assert_eq!(verify(&sample.segments, Options { known, ..Options::default() }).is_ok(), verdict);
    }
}

#[test]
fn signatures_of_keys_that_were_not_given_are_counted_and_mean_nothing() {
    let sample = sample();
    let report = verify(&sample.segments, Options::default()).unwrap();
    assert_eq!((report.unknown_signatures, report.witnessed), (1, None));
    let other = seal::note::Signer::from_seed("elsewhere", Algorithm::Cosignature, &[4; 32]).unwrap();
    let options = Options { witnesses: vec![other.verifier_key().clone()], ..Options::default() };
    assert_eq!(verify(&sample.segments, options).unwrap_err().rule, Rule::NotWitnessed);
}

#[test]
fn rule_names_are_unique_and_fit_a_command_line() {
    let mut names: Vec<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Rule::ALL.len());
}

/// The page names each rule, so that a third party can.
#[test]
fn the_format_page_names_every_rule() {
    let page = include_str!("../../../../docs/FORMAT.md");
    for rule in Rule::ALL {
        assert!(page.contains(&format!("`{rule}`")), "{rule}");
    }
}
