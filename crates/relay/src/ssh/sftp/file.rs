//! An open file or directory: whose intent it is, what went through it, and how that is told at its end.

use std::collections::BTreeSet;
use std::sync::Arc;

use gate::{Intent, Outcome, Tripped};
use ledger::{Map, PayloadPlain, Receipt};
use mask::body::{Body, Found, Kept, Media};
use mask::limits::FILTER_TOKEN_BYTES_MAX;
use mask::{Detectors, FilterBuilder, Known, MaskedBytes, Origin, Shape};
use proto_ssh::sftp::message::{Code, OpenFlags};
use proto_ssh::sftp::reply::{Form, form};
use proto_ssh::sftp::session::{Order, Piece, Stream, Summary};
use ring::digest::{Context, SHA256};
use vocab::{Group, ResourcePath, Seq};

use super::super::asked::Asked;
use super::super::decide::Cut;
use super::super::link::Link;
use super::hits::{Hits, Leaving, May};
use crate::alike::tripped;
use crate::config::Reel;
use crate::entropy;
use crate::limits::CHUNK_BYTES;

const HELD_BACK: &str = "policy holds back the file";

/// Coverage of what detectors alone looked at.
pub(super) const COVERAGE: &str = "partial: searched by detector, since a file has no columns";

/// See the module.
pub(super) struct File {
    /// The intent that opened it.
    pub(super) of: Seq,
    pub(super) asked: Arc<Asked>,
    /// Where in the record what was found in it stands.
    pub(super) on: ResourcePath,
    pub(super) pieces: u64,
    pub(super) hits: Hits,
    pub(super) approved: BTreeSet<Group>,
    /// Bytes of it that left for the client.
    pub(super) released: u64,
    /// Something of it was refused.
    pub(super) withheld: bool,
    /// How many names of it left.
    pub(super) names: u64,
    /// What was read last, and where it ends: at most what may reach into what follows.
    pub(super) recent: (u64, Vec<u8>),
    /// Where the last piece that was looked at ended, and where what goes on behind it begins.
    pub(super) open: Option<(u64, u64)>,
    /// Where the host said that it ends: for whether all of it was read.
    pub(super) end: Option<u64>,
    /// The length that it was given last.
    pub(super) cut_to: Option<u64>,
    reel_left: u64,
    read: Hash,
    written: Written,
}

/// What is written to a file.
struct Written {
    hash: Hash,
    /// Looks at it, as far as it goes on where it ended.
    looks: Body,
    /// Where that is.
    looked_to: u64,
    /// All of it began where the piece before ended, the first at the file's beginning: only then is known what stands around a piece, and
    /// replay may show it.
    shows: bool,
    /// Something was found in it.
    found: bool,
}

/// Below this a file is short enough to be guessed, and has no digest, in bytes.
const DIGEST_BYTES_MIN: u64 = 64;

/// The digest of what goes one way, as long as it goes in its order.
struct Hash(Context);

impl Hash {
    fn new() -> Hash {
        Hash(Context::new(&SHA256))
    }

    fn hex(self) -> String {
        self.0.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Written {
    fn new() -> Written {
        Written { hash: Hash::new(), looks: input(), looked_to: 0, shows: true, found: false }
    }

    /// Looks at what the client writes; what of it can be shown, and what was found. What does not go on where the piece before ended is
    /// looked at anew.
    fn push(
        &mut self,
        detectors: &Detectors,
        nobody: &Known,
        piece: Option<Piece>,
        data: &[u8],
    ) -> Result<(Option<MaskedBytes>, Found), &'static str> {
        let (offset, order) = piece.map_or((u64::MAX, Order::Apart), |piece| (piece.offset, piece.order));
        if matches!(order, Order::Next | Order::Appended) {
            self.hash.0.update(data);
        }
        let before = match order == Order::Appended || offset == self.looked_to {
            true => None,
            false => {
                let before = std::mem::replace(&mut self.looks, input());
                Some(before.finish(detectors, nobody).map_err(|why| why.0)?)
            }
        };
        self.looked_to = offset.saturating_add(data.len() as u64);
        let rest_shows = self.shows;
        self.shows &= order == Order::Next;
        let now = self.looks.push(detectors, nobody, data).map_err(|why| why.0)?;
        let mut found = self.looks.take_found();
        let rest = before.map(|(rest, here)| {
            found.tripped.extend(here.tripped);
            rest
        });
        self.found |= !found.tripped.is_empty();
        let shown = match (rest.filter(|_| rest_shows), self.shows) {
            (Some(rest), true) => Some(rest.then(now)),
            (Some(rest), false) => Some(rest),
            (None, true) => Some(now),
            (None, false) => None,
        };
        Ok((shown, found))
    }

    /// What of written text was still held.
    fn rest(&mut self, detectors: &Detectors, nobody: &Known) -> Option<(Option<MaskedBytes>, Found)> {
        let looks = std::mem::replace(&mut self.looks, input());
        let Ok((rest, found)) = looks.finish(detectors, nobody) else {
            // Nobody knows what is in it.
            self.found = true;
            return None;
        };
        self.found |= !found.tripped.is_empty();
        let is_any = !rest.as_bytes().is_empty() || !found.tripped.is_empty();
        is_any.then(|| (Some(rest).filter(|_| self.shows), found))
    }
}

impl File {
    pub(super) fn new(of: Seq, asked: Arc<Asked>, on: ResourcePath, reel: Reel) -> File {
        File {
            of,
            asked,
            on,
            pieces: 0,
            hits: Hits::default(),
            approved: BTreeSet::new(),
            released: 0,
            withheld: false,
            names: 0,
            recent: (0, Vec::new()),
            open: Some((0, 0)),
            end: None,
            cut_to: None,
            reel_left: match reel {
                Reel::Full => u64::MAX,
                Reel::Head { bytes } => bytes,
                Reel::None => 0,
            },
            read: Hash::new(),
            written: Written::new(),
        }
    }

    /// The next number of a piece.
    pub(super) fn number(&mut self) -> u64 {
        self.pieces += 1;
        self.pieces - 1
    }

    pub(super) fn came(&mut self, order: Order, data: &[u8]) {
        if order == Order::Next {
            self.read.0.update(data);
        }
    }

    /// Looks at what the client writes, and begins to record it: a piece, of which `sending` is sent behind its record.
    pub(super) fn writes(
        &mut self,
        link: &Link,
        at: Option<Piece>,
        data: &[u8],
        sending: &[u8],
    ) -> Result<Intent, Cut> {
        let (gate, who) = (&link.resource.gate, &link.who);
        let detectors = gate.detectors_of(who);
        let mut findings = Vec::new();
        detectors.scan_deep(data, &mut findings);
        let values = findings.iter().filter_map(|finding| data.get(finding.range.clone()));
        values.for_each(|value| link.known().remember(Origin::Echo, value));
        let nobody = Known::new(entropy::random());
        let looked = match data.is_empty() {
            true => None,
            false => Some(self.written.push(&detectors, &nobody, at, data)),
        };
        let looked = looked.transpose().map_err(|told| Cut { why: "unreadable", told })?;
        let (shown, found) = looked.unwrap_or_default();
        let piece = self.sent_piece(&detectors, data.len(), shown, &found);
        let intent = gate.piece_upstream(who, self.of, piece, sending, entropy::tick());
        intent.map_err(|e| link.unrecorded(e))
    }

    /// Records what of written text was still held when nothing more comes.
    pub(super) fn look_last(&mut self, link: &Link) -> Result<(), Cut> {
        let (gate, who) = (&link.resource.gate, &link.who);
        let detectors = gate.detectors_of(who);
        let Some((rest, found)) = self.written.rest(&detectors, &Known::new(entropy::random())) else {
            return Ok(());
        };
        let piece = self.sent_piece(&detectors, 0, rest, &found);
        // The file's outcome stands behind it, and waits for it.
        let _covered_by_the_outcome = gate.piece(who, self.of, piece).map_err(|e| link.unrecorded(e))?;
        Ok(())
    }

    fn sent_piece(
        &mut self,
        detectors: &Detectors,
        bytes: usize,
        shown: Option<MaskedBytes>,
        found: &Found,
    ) -> gate::Piece {
        let reported = |hit: Tripped| Tripped { act: "reported", ..hit };
        let reel = shown.and_then(|shown| self.reel(detectors, "written", shown.as_bytes()));
        gate::Piece {
            n: self.number(),
            to: "upstream",
            bytes: bytes as u64,
            tripwires: tripped(found, "input").into_iter().map(reported).collect(),
            reel: reel.into_iter().collect(),
            ..gate::Piece::default()
        }
    }

    /// What replay shows of a piece: of text, with what detectors know masked also where the run was let see it.
    pub(super) fn reel(
        &mut self,
        detectors: &Detectors,
        s: &'static str,
        bytes: &[u8],
    ) -> Option<PayloadPlain> {
        let length = usize::try_from(self.reel_left).unwrap_or(usize::MAX).min(bytes.len());
        let shown = bytes.get(..length).filter(|shown| !shown.is_empty() && form(shown) == Form::Text)?;
        self.reel_left -= length as u64;
        Some(payload(detectors, s, shown)).filter(PayloadPlain::fits)
    }

    /// Whether policy and the tripwire let `more` bytes of it out, by what was found so far.
    pub(super) fn may_leave(&self, link: &Link, more: usize) -> May {
        let bytes = self.released + more as u64;
        let leaving = Leaving { asked: &self.asked, of: self.of, hits: &self.hits, bytes, holds: HELD_BACK };
        leaving.may(link, &self.approved)
    }

    /// Begins to record what leaves; `around`: what stands before and behind it. A long piece has several records, and leaves
    /// behind the last. `None`: there is no byte of it.
    pub(super) fn leaves(
        &mut self,
        link: &Link,
        kept: &Kept,
        (before, behind): (&[u8], &[u8]),
    ) -> Result<Option<Receipt>, Cut> {
        let (gate, who) = (&link.resource.gate, &link.who);
        let key = gate.ledger().filter_key();
        // The beginning and end of tokens that the piece cuts.
        let begun = before.iter().rev().take(FILTER_TOKEN_BYTES_MAX).take_while(|b| !mask::ends_token(**b));
        let mut token = before.get(before.len() - begun.count()..).unwrap_or_default().to_vec();
        let rest = behind.iter().take(FILTER_TOKEN_BYTES_MAX).take_while(|b| !mask::ends_token(**b)).count();
        let shown = kept.shown.as_bytes().chunks(CHUNK_BYTES);
        let (mut last, mut chunks) =
            (None::<Receipt>, kept.bytes.as_bytes().chunks(CHUNK_BYTES).zip(shown).peekable());
        while let Some((chunk, shown)) = chunks.next() {
            let mut filter = FilterBuilder::new();
            token.extend_from_slice(chunk);
            if chunks.peek().is_none() {
                token.extend_from_slice(behind.get(..rest).unwrap_or_default());
            }
            filter.cell(&key, &token);
            let cut = token.iter().rev().take(FILTER_TOKEN_BYTES_MAX).take_while(|b| !mask::ends_token(**b));
            token = token.get(token.len() - cut.count()..).unwrap_or_default().to_vec();
            let piece = gate::Piece {
                n: self.number(),
                to: "client",
                bytes: chunk.len() as u64,
                exposures: self.hits.exposures(&self.on, "masked"),
                tripwires: self.hits.tripwires(),
                filter: (!filter.is_empty()).then(|| filter.take()),
                reel: self.reel(&link.resource.detectors, "read", shown).into_iter().collect(),
                ..gate::Piece::default()
            };
            last = Some(gate.piece(who, self.of, piece).map_err(|e| link.unrecorded(e))?);
        }
        self.released += kept.bytes.as_bytes().len() as u64;
        Ok(last)
    }

    /// How one ended that nobody closed: what is known of it besides.
    pub(super) fn unclosed(mut self, outcome: Outcome) -> Outcome {
        Outcome {
            bytes: self.released,
            exposures: self.hits.exposures(&self.on, if self.withheld { "refused" } else { "masked" }),
            tripwires: self.hits.tripwires(),
            ..outcome
        }
    }

    /// How it ended. `code`: what the host said of its CLOSE.
    pub(super) fn outcome(mut self, detectors: &Detectors, summary: &Summary, code: Option<Code>) -> Outcome {
        let closed = code == Some(Code::OK);
        let failed = summary.written.failed || !closed;
        let reel =
            self.digests(summary).iter().map(|said| payload(detectors, "digest", said.as_bytes())).collect();
        Outcome {
            result: match (self.withheld, closed) {
                (true, _) => "refused",
                (false, true) if !summary.written.failed => "ok",
                (false, _) => "error",
            },
            state: "final",
            // How much of what was written is there, only the host knows.
            settled: (summary.written.bytes > 0 && failed).then_some("indeterminate"),
            code: (!closed).then(|| status(code)),
            tag: Some(mask::name(detectors, &self.tag(summary))),
            bytes: self.released,
            exposures: self.hits.exposures(&self.on, if self.withheld { "refused" } else { "masked" }),
            tripwires: self.hits.tripwires(),
            partial: Some(COVERAGE),
            reel,
            ..Outcome::default()
        }
    }

    /// How a copy ended that went by its length (`super::scp`). `wrote`: to the host; `bytes`: how many went, of `length`.
    pub(super) fn copied(
        mut self,
        detectors: &Detectors,
        (wrote, failed): (bool, bool),
        (bytes, length): (u64, u64),
    ) -> Outcome {
        let whole = bytes == length && !failed;
        let stream = Stream { bytes, end: bytes, sequential: true, complete: whole, failed };
        let found = self.hits.are_any() || self.withheld || self.written.found;
        let hash = if wrote { &mut self.written.hash } else { &mut self.read };
        let hash = std::mem::replace(hash, Hash::new());
        let did = if wrote { "wrote" } else { "read" };
        let reel = digest(did, hash, &stream, whole, found);
        let reel = reel.iter().map(|said| payload(detectors, "digest", said.as_bytes())).collect();
        let all = if whole { ", the whole file" } else { "" };
        let left = if self.withheld { format!(", of which {} left", self.released) } else { String::new() };
        Outcome {
            result: match (self.withheld, failed) {
                (true, _) => "refused",
                (false, true) => "error",
                (false, false) => "ok",
            },
            state: "final",
            // How much of it is there, and what became of what stood there, only the host knows; of what was read, only the client.
            settled: (failed && (wrote || bytes > 0)).then_some("indeterminate"),
            tag: Some(mask::name(detectors, &format!("{did} {bytes} bytes{all}{left}"))),
            bytes: self.released,
            exposures: self.hits.exposures(&self.on, if self.withheld { "refused" } else { "masked" }),
            tripwires: self.hits.tripwires(),
            partial: Some(COVERAGE),
            reel,
            ..Outcome::default()
        }
    }

    fn tag(&self, summary: &Summary) -> String {
        let Some(flags) = summary.flags else { return format!("listed {} names", self.names) };
        let whole = |whole| if whole { ", the whole file" } else { "" };
        let read = (flags.reads()).then(|| {
            let left =
                if self.withheld { format!(", of which {} left", self.released) } else { String::new() };
            format!("read {} bytes{}{left}", summary.read.bytes, whole(self.is_read_whole(&summary.read)))
        });
        let wrote = (flags.writes()).then(|| {
            format!("wrote {} bytes{}", summary.written.bytes, whole(self.is_written_whole(summary, flags)))
        });
        [read, wrote].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    /// A line for each way.
    fn digests(&mut self, summary: &Summary) -> Vec<String> {
        let Some(flags) = summary.flags else { return Vec::new() };
        let whole = flags.reads() && self.is_read_whole(&summary.read);
        let found = self.hits.are_any() || self.withheld;
        let hash = std::mem::replace(&mut self.read, Hash::new());
        let read = digest("read", hash, &summary.read, whole, found);
        let whole = flags.writes() && self.is_written_whole(summary, flags);
        let hash = std::mem::replace(&mut self.written.hash, Hash::new());
        let wrote = digest("wrote", hash, &summary.written, whole, self.written.found);
        [read, wrote].into_iter().flatten().collect()
    }

    fn is_read_whole(&self, read: &Stream) -> bool {
        read.sequential && (read.complete || self.end == Some(read.end))
    }

    /// A file that was cut off or made by its OPEN is what was written since then; so is one that was written from its beginning and has
    /// the length of that, as `scp` leaves it.
    fn is_written_whole(&self, summary: &Summary, flags: OpenFlags) -> bool {
        let anew = flags.truncates() || flags.is_exclusive();
        let cut = self.cut_to == Some(summary.written.end);
        summary.written.sequential && !summary.written.failed && (cut || anew && !summary.altered)
    }
}

/// The digest of a file as the host has it. It is a bare one, so that a file in which something is masked has none (`found`), and neither
/// has a part of a file, which could be guessed bit by bit, nor a short one.
fn digest(did: &str, hash: Hash, stream: &Stream, whole: bool, found: bool) -> Option<String> {
    let without = |why: &str| format!("{did} {} bytes, without a digest: {why}", stream.bytes);
    (stream.bytes > 0 || whole).then(|| match (stream.sequential, whole) {
        _ if found => without("something in it is masked"),
        (false, _) => without("they were not in their order"),
        (true, false) => without("they are not the whole file"),
        (true, true) if stream.bytes < DIGEST_BYTES_MIN => without("so few could be guessed"),
        (true, true) => format!("{did} sha256 {} of {} bytes, the whole file", hash.hex(), stream.bytes),
    })
}

fn input() -> Body {
    Body::new(Media::Output, [].into(), BTreeSet::new())
}

pub(super) fn payload(detectors: &Detectors, s: &'static str, bytes: &[u8]) -> PayloadPlain {
    let data = mask::fields(detectors, [Some(bytes)], &[Shape::Text], &mut Vec::new()).into_cells().pop();
    PayloadPlain::new("ssh", Map::new().put("streams", vec![Map::new().put("s", s).put_some("data", data)]))
}

/// The name of a status, for the record.
pub(super) fn status(code: Option<Code>) -> mask::MaskedText {
    mask::MaskedText::constant(code.and_then(Code::name).unwrap_or("SSH_FX_FAILURE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What replay may show of pieces that are written at these offsets, with what is held at last; and whether something was found.
    fn shown(pieces: &[(u64, Order, &str)]) -> (String, bool) {
        let (detectors, nobody, mut written) = (Detectors::new(), Known::new([1; 16]), Written::new());
        let mut all = Vec::new();
        let mut take = |shown: Option<MaskedBytes>| {
            all.extend(shown.iter().flat_map(|shown| shown.as_bytes().iter().copied()))
        };
        for (offset, order, data) in pieces {
            let piece = Piece { offset: *offset, length: data.len() as u64, order: *order };
            let pushed = written.push(&detectors, &nobody, Some(piece), data.as_bytes());
            take(pushed.unwrap().0);
        }
        if let Some((rest, _found)) = written.rest(&detectors, &nobody) {
            take(rest);
        }
        (String::from_utf8(all).unwrap(), written.found)
    }

    #[test]
    fn what_is_written_is_looked_at_over_the_pieces_that_follow_one_another() {
        let (next, apart) = (Order::Next, Order::Apart);
        let masked = shown(&[(0, next, "id 536-2"), (8, next, "2-8391.\n")]);
        assert_eq!(masked, ("id [pii.ssn].\n".to_owned(), true));
        // Apart from what was before, and behind one another: found, and nothing of it is shown.
        let none = (String::new(), true);
        assert_eq!(shown(&[(4, apart, "id 536-2"), (12, apart, "2-8391.\n")]), none);
        // What goes back goes on with nothing; what was held before may be shown.
        let back = shown(&[(0, next, "id 536-2"), (3, apart, "2-8391.\n")]);
        assert_eq!(back, ("id 536-2".to_owned(), false));
        assert_eq!(shown(&[(0, Order::Appended, "id 536-2"), (0, Order::Appended, "2-8391.\n")]), none);
    }

    #[test]
    fn a_digest_is_of_a_whole_file_in_which_nothing_is_masked() {
        let stream =
            |bytes, sequential| Stream { bytes, end: bytes, sequential, complete: true, failed: false };
        let line = |stream: Stream, whole, found| digest("read", Hash::new(), &stream, whole, found);
        let without = |why: &str, bytes: u64| Some(format!("read {bytes} bytes, without a digest: {why}"));
        let whole = line(stream(64, true), true, false).unwrap();
        assert!(whole.starts_with("read sha256 e3b0c442") && whole.ends_with("of 64 bytes, the whole file"));
        assert_eq!(line(stream(64, true), true, true), without("something in it is masked", 64));
        assert_eq!(line(stream(63, true), true, false), without("so few could be guessed", 63));
        assert_eq!(line(stream(64, true), false, false), without("they are not the whole file", 64));
        assert_eq!(line(stream(64, false), true, false), without("they were not in their order", 64));
        assert_eq!(line(stream(0, true), false, false), None);
    }
}
