//! The report and the bundle.

use std::path::Path;

use answers::{Answer, Cannot, Chain, RecordCount, Scope, VerifyAnswer, chain, export_bundle, verify};
use ledger::read::Store;
use seal::note::{Checkpoint, Signature, SignedNote, VerifierKey};
use seal::testkit::{Writer, run_key, text};
use seal::verify::{Known, Options, Subject, verify_bundle};
use vocab::RunId;

use crate::story::{A, B, Story, known, texts, touches, whole};
use crate::support::{Case, expect};

#[test]
fn the_report_is_one_page_that_reads_from_the_top() {
    let mut case = Case::new(whole());
    case.key = true;
    let page = case.ask(|desk| desk.report("a1a1a1", true)).unwrap().to_html();
    expect("report_a.html", &page);
    let order: Vec<usize> = [
        "Who initiated it?",
        "What was touched?",
        "Was any sensitive data exposed?",
        "4. What happened",
        "5. Why this can be believed",
    ]
    .iter()
    .map(|heading| page.find(heading).unwrap())
    .collect();
    assert!(order.is_sorted(), "{order:?}");
    assert!(page.contains("ssn_7") && page.contains("&lt;b&gt;Ada&lt;/b&gt;"), "results are there, escaped");
}

/// P1, and only where each record of the run claims it.
#[test]
fn a_report_says_that_records_came_first_where_they_were_durable() {
    for (durability, claimed) in [("sync", true), ("os", false)] {
        let mut story = Story::with_run();
        let intent = story.intent(A, &[("durability", text(durability))]);
        story.outcome(A, intent, &[]);
        let page = Case::new(story).ask(|desk| desk.report("a1a1a1", false)).unwrap().to_html();
        assert_eq!(page.contains("before the record of it is durable"), claimed);
        assert!(!page.contains("before it took effect"));
    }
}

#[test]
fn the_report_needs_nothing_from_elsewhere() {
    let page = Case::new(whole()).ask(|desk| desk.report("b2b2b2", false)).unwrap().to_html();
    for forbidden in
        ["<script", "<img", "<link", "<iframe", "http://", "https://", "url(", "@import", "javascript:"]
    {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains("results were not asked for"));
}

#[test]
fn a_report_without_the_key_says_that_results_are_sealed() {
    let report = Case::new(whole()).ask(|desk| desk.report("a1a1a1", true)).unwrap();
    assert!(report.replay.is_none());
    assert!(report.to_html().contains("Results are not shown: replay needs the gateway&#39;s key"));
}

#[test]
fn hostile_text_becomes_no_markup_anywhere_on_the_page() {
    let hostile = "</pre><script>alert(1)</script><img src=x onerror=\"alert(1)\">'\u{202e}";
    let mut story = Story::new();
    story.open(
        A,
        &[
            ("human", text(hostile)),
            ("by", text(hostile)),
            ("agent", text(hostile)),
            ("agent_version", text(hostile)),
            ("task", text(hostile)),
            ("argv", texts(&[hostile])),
        ],
    );
    story.connect(A);
    let ask = story.ask(
        A,
        &[
            ("statement", text(hostile)),
            ("sent", text(hostile)),
            ("rules", texts(&[hostile])),
            ("groups", texts(&[hostile])),
            ("touches", touches(hostile, hostile, &[(hostile, hostile)])),
            ("opaque", text(hostile)),
        ],
    );
    story.approval(A, ask, &[("by", text(hostile)), ("reason", text(hostile)), ("verdict", text(hostile))]);
    story.refusal(A, Some(ask), &[("code", text(hostile)), ("message", text(hostile))]);
    story.record("note", A, None, &seal::testkit::map(&[("what", text(hostile)), ("detail", text(hostile))]));
    story.record(hostile, A, None, &seal::testkit::map(&[(hostile, text(hostile))]));
    let page = Case::new(story).ask(|desk| desk.report("a1a1a1", true)).unwrap().to_html();
    assert!(page.matches("&lt;script&gt;").count() > 10);
    for forbidden in ["<script", "<img", "\u{202e}", "onerror=\"a"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn a_bundle_verifies_offline_and_reads_back() {
    let mut story = known();
    story.rotate(1);
    story.checkpoint();
    let dir = Dir::of(story);
    let store = Store::open(&dir.0).unwrap();
    let mut bytes = Vec::new();
    let exported = export_bundle(&store, RunId(A), Some(&run_key(A)), &[], &mut bytes).unwrap();
    assert!(exported.complete && exported.with_key && exported.left_out == 0, "{exported:?}");
    assert_eq!((exported.bytes, exported.payloads), (bytes.len() as u64, 1));
    let report = verify_bundle(&bytes, &Options::default()).unwrap();
    assert_eq!(report.records, exported.records + 2, "genesis and the epoch with a key come along");
    let read = index::Bundle::read(&bytes).unwrap();
    assert_eq!(read.key, Some(run_key(A)));
    assert_eq!(read.index.run(RunId(A)).unwrap().records.len() as u64, exported.records);
}

#[test]
fn a_bundle_has_the_key_only_if_asked() {
    let dir = Dir::of(known());
    let mut bytes = Vec::new();
    export_bundle(&Store::open(&dir.0).unwrap(), RunId(A), None, &[], &mut bytes).unwrap();
    assert!(!bytes.windows(32).any(|w| w == run_key(A)));
    assert!(verify_bundle(&bytes, &Options::default()).is_ok());
}

/// A parent that only starts children, a run that did nothing: no record names a key, so none goes in.
#[test]
fn a_run_without_payloads_is_exported_with_its_key_and_verifies() {
    let mut story = known();
    let idle = [7; 16];
    story.open(idle, &[]);
    story.close(idle);
    story.checkpoint();
    let dir = Dir::of(story);
    let store = Store::open(&dir.0).unwrap();
    let mut bytes = Vec::new();
    let exported = export_bundle(&store, RunId(idle), Some(&run_key(idle)), &[], &mut bytes).unwrap();
    assert_eq!((exported.with_key, exported.payloads), (false, 0));
    let report = verify_bundle(&bytes, &Options::default()).unwrap();
    assert_eq!(report.subject, Subject::Bundle { run: idle, records: 2, complete: true });
    let mut shown = answers::text::Text::new();
    exported.render(&mut shown);
    assert!(shown.finish().contains("no payloads, and so no key"));
}

/// Whoever exports it is told: the tombstone is none of the run's records, so that the bundle does not hold it.
#[test]
fn the_export_of_an_erased_run_says_who_erased_it() {
    let mut story = known();
    let record = story.erase(A);
    let dir = Dir::of(story);
    let store = Store::open(&dir.0).unwrap();
    let shown = |run| {
        let exported = export_bundle(&store, RunId(run), None, &[], &mut Vec::new()).unwrap();
        let mut shown = answers::text::Text::new();
        exported.render(&mut shown);
        shown.finish()
    };
    let told = format!("by olga: request 4711 (record {record})");
    assert!(shown(A).contains(&told), "{}", shown(A));
    assert!(!shown(B).contains("erased"));
}

#[test]
fn records_after_the_last_checkpoint_are_left_out_and_counted() {
    let mut story = known();
    let last = story.intent(B, &[]);
    story.outcome(B, last, &[]);
    let dir = Dir::of(story);
    let mut bytes = Vec::new();
    let exported = export_bundle(&Store::open(&dir.0).unwrap(), RunId(B), None, &[], &mut bytes).unwrap();
    assert_eq!((exported.left_out, exported.complete), (2, false));
    assert!(verify_bundle(&bytes, &Options::default()).is_ok());
}

#[test]
fn a_run_that_is_not_there_makes_no_bundle() {
    let dir = Dir::of(known());
    let error =
        export_bundle(&Store::open(&dir.0).unwrap(), RunId([9; 16]), None, &[], &mut Vec::new()).unwrap_err();
    assert!(matches!(error, Cannot::NoSuchRun(_)), "{error:?}");
}

#[test]
fn verify_names_the_first_bad_record_and_breaks_the_chain_of_answers() {
    let dir = Dir::of(known());
    let mut seen = Vec::new();
    let good = verify(&dir.0, &Options::default(), &mut |done, of| seen.push((done, of))).unwrap();
    let answer = VerifyAnswer::new(&good);
    assert!(answer.verified && answer.exit_code() == 0);
    assert!(seen.last().is_some_and(|(done, of)| done == of));
    assert!(matches!(chain(&good, &[]), Chain::Verified(_)));
    let path = dir.0.join("segment/0000000000.seg");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(20).position(|w| w == b"refund of ticket 471").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let bad = verify(&dir.0, &Options::default(), &mut |_, _| {}).unwrap();
    let answer = VerifyAnswer::new(&bad);
    assert_eq!((answer.verified, answer.exit_code()), (false, 1));
    assert!(matches!(chain(&bad, &[]), Chain::Broken(_)));
    assert!(answer.to_text().starts_with("NOT VERIFIED"));
}

/// What was in the last batch is not there, so nothing is claimed of it; where nobody can be writing, it is damage.
#[test]
fn a_ledger_that_ends_in_a_frame_that_is_not_whole_proves_nothing() {
    let story = || {
        let mut story = Story::with_run();
        let intent = story.intent(A, &[]);
        story.outcome(A, intent, &[]);
        story.checkpoint();
        story
    };
    let mut case = Case::new(story());
    let dir = Dir::of(story());
    let path = dir.0.join("segment/0000000000.seg");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.iter().rposition(|b| *b != 0).unwrap();
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let live = Options { live: true, ..Options::default() };
    case.chain = chain(&verify(&dir.0, &live, &mut |_, _| {}).unwrap(), &[]);
    let exposed = case.ask(|desk| desk.exposed(&Scope::Run("a1a1a1"))).unwrap();
    assert_eq!(exposed.answer, "none-observed", "{exposed:?}");
    assert!(exposed.prevents.iter().any(|p| p.what == "chain-torn"), "{:?}", exposed.prevents);
    assert!(exposed.proof.text().contains("TORN"), "{}", exposed.proof.text());
    let whole = verify(&dir.0, &Options::default(), &mut |_, _| {}).unwrap();
    assert!(matches!(chain(&whole, &[]), Chain::Broken(why) if why.contains("torn-tail")));
}

/// A file that nobody signed makes no bundle that nobody can verify.
#[test]
fn a_cosigned_checkpoint_is_preferred_where_its_signatures_hold() {
    let dir = Dir::of(known());
    let store = Store::open(&dir.0).unwrap();
    let witness = Writer::witness("witness.example/one");
    let bundle = |witnesses: &[VerifierKey]| {
        let mut bytes = Vec::new();
        export_bundle(&store, RunId(A), None, witnesses, &mut bytes).unwrap();
        let given = Options { witnesses: witnesses.to_vec(), witness_optional: true, ..Options::default() };
        verify_bundle(&bytes, &given).unwrap()
    };
    let newest = bundle(&[]);
    let good = Writer::signer(crate::story::ORIGIN, 0).sign(&Checkpoint {
        origin: newest.origin.clone(),
        size: newest.covered,
        root: newest.root,
    });
    let mut unsigned = SignedNote::new(
        good.text().to_owned(),
        vec![Signature { bytes: vec![0; 64], ..good.signatures()[0].clone() }],
    );
    unsigned.push(witness.cosign(&unsigned, 1_790_000_100));
    std::fs::create_dir_all(dir.0.join("witness")).unwrap();
    let path = dir.0.join("witness/deadbeef");
    std::fs::write(&path, unsigned.to_bytes()).unwrap();
    let key = witness.verifier_key().clone();
    assert!(bundle(std::slice::from_ref(&key)).witnessed.is_none(), "its own line does not hold");
    let mut cosigned = good;
    cosigned.push(witness.cosign(&cosigned, 1_790_000_100));
    std::fs::write(&path, cosigned.to_bytes()).unwrap();
    assert_eq!(bundle(&[key]).witnessed.map(|seen| seen.size), Some(newest.covered));
}

/// A pipe in the place of a file would be waited for; what is too long is not read to find that out.
#[test]
fn a_pipe_or_a_file_with_a_hole_in_it_is_not_read() {
    let dir = Dir::of(known());
    let unread = |path: &Path| {
        let error = verify(path, &Options::default(), &mut |_, _| {}).unwrap_err();
        assert!(matches!(error, Cannot::Ledger(_)), "{error:?}");
    };
    for odd in ["checkpoint", "segment/0000000009.seg"] {
        let path = dir.0.join(odd);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        unread(&dir.0);
        std::fs::remove_file(path).unwrap();
    }
    let sparse = dir.0.join("run.bundle");
    std::fs::write(&sparse, b"TACHOBUN").unwrap();
    std::fs::File::options().write(true).open(&sparse).unwrap().set_len(40 << 30).unwrap();
    unread(&sparse);
}

/// What a witness has seen of the ledger says nothing of a run after it, and is not called a witness of it.
#[test]
fn a_bundle_says_how_many_of_its_runs_records_are_after_what_was_witnessed() {
    let witness = Writer::witness("witness.example/one");
    let mut w = Writer::new(crate::story::ORIGIN, 8192);
    w.open(A);
    w.checkpoint();
    w.rotate(1);
    let link = w.witnessed_checkpoint(&witness, 1_790_000_100);
    w.close(A);
    let after = w.open(B);
    w.close(B);
    w.checkpoint();
    let dir = Dir::of_segments(&w.finish());
    let store = Store::open(&dir.0).unwrap();
    let given = Options {
        witnesses: vec![witness.verifier_key().clone()],
        witness_optional: true,
        known: vec![Known::parse(&link.to_bytes()).unwrap()],
        ..Options::default()
    };
    let shown = |run| {
        let path = dir.0.join("run.bundle");
        export_bundle(&store, RunId(run), None, &[], &mut std::fs::File::create(&path).unwrap()).unwrap();
        let verdict = verify(&path, &given, &mut |_, _| {}).unwrap();
        (VerifyAnswer::new(&verdict).to_text(), chain(&verdict, &given.witnesses))
    };
    let (text, _) = shown(A);
    let part = format!("witness        up to size {}; 1 of the run's 2 records is after that", after - 1);
    assert!(text.contains(&part), "{text}");
    let (text, chain) = shown(B);
    assert!(text.contains("NOT WITNESSED") && text.contains("ALL of the run's 2 records"), "{text}");
    assert!(matches!(chain, Chain::Verified(verified) if verified.witnessed.is_none()));
}

/// What is broken is said before anything that may be forged, and no command ends well on it.
#[test]
fn a_broken_chain_is_said_first_and_in_the_exit_code() {
    let mut case = Case::new(known());
    case.chain = Chain::Broken("segment 0, offset 512, seq 3: record-cbor".to_owned());
    let (who, touched) = case.ask(|desk| (desk.who("a1a1a1").unwrap(), desk.touched("a1a1a1").unwrap()));
    let show = case.ask(|desk| desk.show("a1a1a1")).unwrap();
    let found = case.ask(|desk| desk.find("table:nowhere")).unwrap();
    for (text, exit) in [
        (who.to_text(), who.exit()),
        (touched.to_text(), touched.exit()),
        (show.to_text(), show.exit()),
        (found.to_text(), found.exit()),
    ] {
        assert!(text.starts_with("CHAIN BROKEN: segment 0, offset 512"), "{text}");
        assert_eq!(exit, 3, "{text}");
    }
    let page = case.ask(|desk| desk.report("a1a1a1", false)).unwrap().to_html();
    assert!(page.find("CHAIN BROKEN").unwrap() < page.find("Who initiated it?").unwrap());
}

/// A segment under another name is verified by nobody and read by nobody, or by one of the two.
#[test]
fn what_was_verified_and_what_was_read_are_the_same_records() {
    let dir = Dir::of(known());
    let verdict = verify(&dir.0, &Options::default(), &mut |_, _| {}).unwrap();
    let records = verdict.as_ref().unwrap().records;
    let mut follower = index::Follower::new(&Store::open(&dir.0).unwrap());
    follower.refresh().unwrap();
    let held = |count| chain(&verdict, &[]).of_index(follower.index(), count, None);
    for count in [RecordCount::Exactly(records), RecordCount::AtLeast(records - 1)] {
        assert!(matches!(held(count), Chain::Verified(_)), "{count:?}");
    }
    for count in [RecordCount::Exactly(records - 1), RecordCount::AtLeast(records + 1)] {
        assert!(matches!(held(count), Chain::Broken(_)), "{count:?}");
    }
    let stopped =
        chain(&verdict, &[]).of_index(follower.index(), RecordCount::AtLeast(records), Some((0, 900)));
    assert!(matches!(stopped, Chain::Verified(verified) if verified.torn.is_some()));
}

/// A story in a directory of its own, which goes with it.
pub struct Dir(pub std::path::PathBuf);

impl Dir {
    pub fn of(story: Story) -> Dir {
        Dir::of_segments(&story.segments())
    }

    pub fn of_segments(segments: &[Vec<u8>]) -> Dir {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("tacho-answers-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(dir.join("segment")).unwrap();
        for (n, segment) in segments.iter().enumerate() {
            std::fs::write(dir.join(format!("segment/{n:010}.seg")), segment).unwrap();
        }
        Dir(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let path: &Path = &self.0;
        drop(std::fs::remove_dir_all(path));
    }
}
