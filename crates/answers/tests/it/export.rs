//! The report and the bundle.

use std::path::Path;

use answers::{Answer, Cannot, Chain, VerifyAnswer, chain, export_bundle, verify};
use ledger::read::Store;
use seal::testkit::{run_key, text};
use seal::verify::{Options, verify_bundle};
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
    let exported = export_bundle(&store, RunId(A), Some(&run_key(A)), &mut bytes).unwrap();
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
    export_bundle(&Store::open(&dir.0).unwrap(), RunId(A), None, &mut bytes).unwrap();
    assert!(!bytes.windows(32).any(|w| w == run_key(A)));
    assert!(verify_bundle(&bytes, &Options::default()).is_ok());
}

#[test]
fn records_after_the_last_checkpoint_are_left_out_and_counted() {
    let mut story = known();
    let last = story.intent(B, &[]);
    story.outcome(B, last, &[]);
    let dir = Dir::of(story);
    let mut bytes = Vec::new();
    let exported = export_bundle(&Store::open(&dir.0).unwrap(), RunId(B), None, &mut bytes).unwrap();
    assert_eq!((exported.left_out, exported.complete), (2, false));
    assert!(verify_bundle(&bytes, &Options::default()).is_ok());
}

#[test]
fn a_run_that_is_not_there_makes_no_bundle() {
    let dir = Dir::of(known());
    let error =
        export_bundle(&Store::open(&dir.0).unwrap(), RunId([9; 16]), None, &mut Vec::new()).unwrap_err();
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

/// A story in a directory of its own, which goes with it.
pub struct Dir(pub std::path::PathBuf);

impl Dir {
    pub fn of(story: Story) -> Dir {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("tacho-answers-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(dir.join("segment")).unwrap();
        for (n, segment) in story.segments().iter().enumerate() {
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
