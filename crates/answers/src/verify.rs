//! `verify`: what `seal` says of a ledger, as an answer and as the [`Chain`] that other answers rest on.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use index::Index;
use seal::files::{Among, Copies, among_segments};
use seal::limits::NOTE_BYTES_MAX;
use seal::note::{Checkpoint, VerifierKey};
use seal::verify::{Finding, Options, Report, Subject, Verifier, Warning, beyond, verify_bundle};
use serde::{Deserialize, Serialize};
use vocab::Seq;

use crate::desk::{Cannot, Chain, Verified};
use crate::limits::{BUNDLE_BYTES_MAX, SEGMENT_BYTES_MAX};
use crate::shape::Answer;
use crate::text::{Text, count, hex};

/// Whether a ledger or a bundle verifies, and up to where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyAnswer {
    pub verified: bool,
    /// The first thing that is wrong.
    pub wrong: Option<WrongLine>,
    pub proved: Option<ProvedLine>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongLine {
    pub segment: u64,
    pub offset: u64,
    pub record: u64,
    pub rule: String,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvedLine {
    pub origin: String,
    pub key: String,
    /// The key was given by the one who verifies.
    pub anchored: bool,
    pub records: u64,
    pub runs: u64,
    pub open_runs: u64,
    pub bytes: u64,
    pub checkpoints: u64,
    /// Records with a smaller `seq` are covered.
    pub covered: u64,
    pub open_records: u64,
    pub root: String,
    /// Of a bundle: the records of its run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_records: Option<u64>,
    /// The largest size that a given witness signed; of a bundle never one that covers no record of its run.
    pub witnessed: Option<u64>,
    /// How many records, of a bundle its run's, are after that size.
    #[serde(default)]
    pub after_witnessed: Option<u64>,
    /// Given checkpoints that this ledger continues.
    pub known: u64,
    /// The largest size of these.
    #[serde(default)]
    pub known_size: Option<u64>,
    /// As `after_witnessed`.
    #[serde(default)]
    pub after_known: Option<u64>,
    pub warnings: Vec<String>,
}

/// Verifies a ledger's directory or a bundle.
///
/// `progress` is told how many bytes of how many are done. A gateway may be writing the ledger at the same time: give
/// [`Options::live`].
pub fn verify(
    path: &Path,
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Result<Report, Finding>, Cannot> {
    let meta = fs::metadata(path).map_err(|e| cannot(path, &e))?;
    if meta.is_file() {
        return Ok(verify_bundle(&read_file(path, BUNDLE_BYTES_MAX)?, options));
    }
    // Read before the segments: while a gateway writes, its copies are never ahead of them.
    let mut options = options.clone();
    let copies = copies(path)?;
    options.known.extend(copies.known);
    let mut warnings = copies.unused;
    let (segments, others) = segments(&path.join("segment"))?;
    if others > 0 {
        warnings.push(format!("{others} other files stand among the segments and were not read"));
    }
    let mut total = 0;
    for (_, segment) in &segments {
        total += fs::metadata(segment).map_err(|e| cannot(segment, &e))?.len();
    }
    let mut verifier = Verifier::new(options);
    let mut done = 0;
    // The last segment in use is the one before the first that was never written: read one ahead.
    let mut ahead: Option<(u64, Vec<u8>)> = None;
    for (number, segment) in segments {
        let bytes = read_file(&segment, SEGMENT_BYTES_MAX)?;
        if let Some((earlier, waiting)) = ahead.replace((number, bytes)) {
            let next_is_unused = ahead.as_ref().is_some_and(|(_, next)| seal::frame::is_zero(next));
            if let Err(finding) = verifier.push_segment(earlier, &waiting, next_is_unused) {
                return Ok(Err(finding));
            }
            done += waiting.len() as u64;
            progress(done, total);
        }
    }
    if let Some((number, bytes)) = ahead
        && let Err(finding) = verifier.push_segment(number, &bytes, true)
    {
        return Ok(Err(finding));
    }
    progress(total, total);
    Ok(verifier.finish().map(|mut report| {
        report.warnings.extend(warnings.into_iter().map(|text| Warning { seq: 0, text }));
        report
    }))
}

/// The ledger's own copies of checkpoints, its newest and what each witness cosigned last (FORMAT.md, section 1).
fn copies(ledger: &Path) -> Result<Copies, Cannot> {
    let witnesses = ledger.join("witness");
    let mut names = Vec::new();
    if witnesses.is_dir() {
        for entry in fs::read_dir(&witnesses).map_err(|e| cannot(&witnesses, &e))? {
            names.extend(entry.map_err(|e| cannot(&witnesses, &e))?.file_name().into_string());
        }
    }
    Copies::read(names, |path| {
        let path = ledger.join(path);
        path.exists().then(|| read_note(&path)).transpose()
    })
}

/// A byte more than a note has shows that it is none.
fn read_note(path: &Path) -> Result<Vec<u8>, Cannot> {
    regular(path)?;
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(NOTE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|e| cannot(path, &e))?;
    Ok(bytes)
}

/// Of a bundle in which its run is not closed. Which of the two it is, only the ledger says.
pub(crate) const NO_CLOSE: &str =
    "no close in this bundle: the run was open when it was made, or the end was cut off";

fn has_no_close(report: &Report) -> bool {
    matches!(report.subject, Subject::Bundle { complete: false, .. })
}

/// What the verdict means for other answers.
///
/// `witnesses` are the ones that [`Options`] had: the report says that one of them signed, not which.
pub fn chain(verdict: &Result<Report, Finding>, witnesses: &[VerifierKey]) -> Chain {
    match verdict {
        Err(finding) => Chain::Broken(finding.to_string()),
        Ok(report) => {
            let names = || witnesses.iter().map(|w| w.name().to_owned()).collect::<Vec<_>>();
            let checkpoint = report.last_checkpoint.map(|seen| {
                Checkpoint { origin: report.origin.clone(), size: seen.size, root: seen.root }.to_text()
            });
            Chain::Verified(Verified {
                covered: Seq(report.covered),
                anchored: report.anchored,
                witnessed: report.witnessed.map(|w| (names(), Seq(w.size))),
                checkpoint: checkpoint.unwrap_or_default(),
                no_close: has_no_close(report),
                torn: report.torn.map(|at| torn(report.segments.saturating_sub(1), at)),
            })
        }
    }
}

/// In words, for [`Verified::torn`].
fn torn(segment: u64, offset: u64) -> String {
    format!(
        "segment {segment} ends at byte {offset} in a frame that is not whole, and what follows is not here"
    )
}

impl Chain {
    /// What was verified, held against what was read into an index: both must be the same records, or answers would rest on
    /// others than were proved. `least`: how many records the index must have; `torn`: where its reading stopped in
    /// a frame that is not whole.
    #[must_use]
    pub fn of_index(self, index: &Index, least: RecordCount, stopped: Option<(u64, u64)>) -> Chain {
        let Chain::Verified(mut verified) = self else { return self };
        let read = index.next().0;
        let (holds, verified_count) = match least {
            RecordCount::Exactly(count) => (read == count, count),
            RecordCount::AtLeast(count) => (read >= count, count),
        };
        if !holds {
            return Chain::Broken(format!(
                "{verified_count} records were verified and {read} could be read: a segment is not where it belongs"
            ));
        }
        if verified.torn.is_none() {
            verified.torn = stopped.map(|(segment, offset)| torn(segment, offset));
        }
        Chain::Verified(verified)
    }
}

/// How many records an index must have beside a verified ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordCount {
    Exactly(u64),
    /// A gateway is writing: more may have come.
    AtLeast(u64),
}

impl VerifyAnswer {
    pub fn new(verdict: &Result<Report, Finding>) -> VerifyAnswer {
        match verdict {
            Err(finding) => VerifyAnswer { verified: false, wrong: Some(wrong(finding)), proved: None },
            Ok(report) => VerifyAnswer { verified: true, wrong: None, proved: Some(proved(report)) },
        }
    }
}

impl Answer for VerifyAnswer {
    const SHAPE: &'static str = "tacho.verify/1";

    fn render(&self, text: &mut Text) {
        if let Some(wrong) = &self.wrong {
            text.line("NOT VERIFIED. The first thing that is wrong:");
            text.pair("record", &wrong.record.to_string());
            text.pair("place", &format!("segment {}, offset {}", wrong.segment, wrong.offset));
            text.pair("rule", &wrong.rule);
            text.pair("found", &wrong.why);
        }
        if let Some(proved) = &self.proved {
            text.line(&format!(
                "Verified: {} records of {} runs in {}.",
                proved.records, proved.runs, proved.origin
            ));
            let end = match proved.covered {
                0 => "no checkpoint covers any record yet".to_owned(),
                covered => format!("up to record {}, {} checkpoints", covered - 1, proved.checkpoints),
            };
            text.pair("sealed", &end);
            text.pair("open", &format!("{} records after the last checkpoint", proved.open_records));
            let whose =
                if proved.anchored { "given by you" } else { "taken from the ledger itself: give --key" };
            text.pair("key", &format!("{} ({whose})", proved.key));
            let far = |(size, after)| format!("up to size {size}; {}", proved.beyond(after));
            let witnessed = proved.witnessed.zip(proved.after_witnessed).map(far);
            text.pair("witness", witnessed.as_deref().unwrap_or("NOT WITNESSED"));
            if let Some(known) = proved.known_size.zip(proved.after_known).map(far) {
                text.pair("known", &format!("continues {}, {known}", count(proved.known, "checkpoint")));
            }
            text.pair("root", &proved.root);
            proved.warnings.iter().for_each(|warning| text.pair("warning", warning));
        }
    }

    fn exit_code(&self) -> u8 {
        u8::from(!self.verified)
    }
}

impl ProvedLine {
    fn beyond(&self, after: u64) -> String {
        match self.run_records {
            Some(records) => beyond("run", records, after),
            None => beyond("ledger", self.records, after),
        }
    }
}

fn wrong(finding: &Finding) -> WrongLine {
    WrongLine {
        segment: finding.segment,
        offset: finding.offset,
        record: finding.seq,
        rule: finding.rule.to_string(),
        why: finding.to_string(),
    }
}

/// What is said of no record is of none.
fn warning(warning: &Warning) -> String {
    match warning.seq {
        0 => warning.text.clone(),
        seq => format!("record {seq}: {}", warning.text),
    }
}

fn proved(report: &Report) -> ProvedLine {
    let mut warnings: Vec<String> = report.warnings.iter().map(warning).collect();
    if report.more_warnings > 0 {
        warnings.push(format!("and {} more warnings", report.more_warnings));
    }
    if let Some(torn) = report.torn {
        warnings.push(format!("the last segment ends in a torn tail at byte {torn}"));
    }
    if has_no_close(report) {
        warnings.push(NO_CLOSE.to_owned());
    }
    ProvedLine {
        origin: report.origin.clone(),
        key: report.key.to_string(),
        anchored: report.anchored,
        records: report.records,
        runs: report.runs,
        open_runs: report.open_runs,
        bytes: report.bytes,
        checkpoints: report.checkpoints,
        covered: report.covered,
        open_records: report.open,
        root: hex(&report.root),
        run_records: match report.subject {
            Subject::Ledger => None,
            Subject::Bundle { records, .. } => Some(records),
        },
        witnessed: report.witnessed.map(|w| w.size),
        after_witnessed: report.after_witnessed,
        known: report.known,
        known_size: report.known_size,
        after_known: report.after_known,
        warnings,
    }
}

/// The segment files of a directory by number, and how many others there are, which are no part of a ledger.
fn segments(dir: &Path) -> Result<(Vec<(u64, PathBuf)>, usize), Cannot> {
    let (mut found, mut others) = (Vec::new(), 0);
    for entry in fs::read_dir(dir).map_err(|e| cannot(dir, &e))? {
        let path = entry.map_err(|e| cannot(dir, &e))?.path();
        match path.file_name().and_then(|name| name.to_str()).map_or(Among::Other, among_segments) {
            Among::Segment(number) => found.push((number, path)),
            Among::Spare => {}
            Among::Other => others += 1,
        }
    }
    found.sort();
    Ok((found, others))
}

fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, Cannot> {
    let size = regular(path)?;
    if size > limit {
        let path = path.display();
        return Err(Cannot::Ledger(format!("{path} is {size} bytes long; at most {limit} are read")));
    }
    fs::read(path).map_err(|e| cannot(path, &e))
}

/// The size of a file. A pipe of that name could be read for ever.
fn regular(path: &Path) -> Result<u64, Cannot> {
    let meta = fs::metadata(path).map_err(|e| cannot(path, &e))?;
    match meta.is_file() {
        true => Ok(meta.len()),
        false => Err(Cannot::Ledger(format!("{} is no regular file", path.display()))),
    }
}

fn cannot(path: &Path, error: &std::io::Error) -> Cannot {
    Cannot::Ledger(format!("{}: {error}", path.display()))
}
