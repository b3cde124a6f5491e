//! An open file or directory: whose intent it is, what went through it, and how that is told at its end.

use std::collections::BTreeSet;
use std::sync::Arc;

use gate::Outcome;
use ledger::{Map, PayloadPlain};
use mask::body::{Body, Found, Media};
use mask::{Detectors, Known, MaskedBytes, Shape};
use proto_ssh::sftp::message::{Code, OpenFlags};
use proto_ssh::sftp::reply::{Form, form};
use proto_ssh::sftp::session::{Order, Stream, Summary};
use ring::digest::{Context, SHA256};
use vocab::{Group, ResourcePath, Seq};

use super::super::asked::Asked;
use super::hits::Hits;
use crate::config::Reel;

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
    /// Where the host said that it ends.
    pub(super) end: Option<u64>,
    /// The length that it was given last.
    pub(super) cut_to: Option<u64>,
    reel_left: u64,
    read: Hash,
    written: Hash,
    /// Looks at what is written, in its order.
    looks: Body,
}

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
            written: Hash::new(),
            looks: input(),
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

    /// Looks at what the client writes; what of it can be shown, and what was found.
    pub(super) fn write(
        &mut self,
        detectors: &Detectors,
        nobody: &Known,
        order: Option<Order>,
        data: &[u8],
    ) -> Result<(MaskedBytes, Found), &'static str> {
        let in_order = matches!(order, Some(Order::Next | Order::Appended));
        if in_order {
            self.written.0.update(data);
            let shown = self.looks.push(detectors, nobody, data).map_err(|why| why.0)?;
            return Ok((shown, self.looks.take_found()));
        }
        let before = std::mem::replace(&mut self.looks, input());
        let (rest, mut found) = before.finish(detectors, nobody).map_err(|why| why.0)?;
        let mut alone = input();
        let shown = alone.push(detectors, nobody, data).map_err(|why| why.0)?;
        let (last, here) = alone.finish(detectors, nobody).map_err(|why| why.0)?;
        found.tripped.extend(here.tripped);
        Ok((rest.then(shown).then(last), found))
    }

    /// What of written text was still held.
    pub(super) fn rest(&mut self, detectors: &Detectors, nobody: &Known) -> Option<(MaskedBytes, Found)> {
        let looks = std::mem::replace(&mut self.looks, input());
        looks.finish(detectors, nobody).ok().filter(|(rest, _)| !rest.as_bytes().is_empty())
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

    /// A line for each way: the digest of the file as the host has it, and of how much of it that is one.
    fn digests(&mut self, summary: &Summary) -> Vec<String> {
        let Some(flags) = summary.flags else { return Vec::new() };
        let read_whole = self.is_read_whole(&summary.read);
        let line = |hash: &mut Hash, did: &str, stream: &Stream, whole: bool| {
            let hash = std::mem::replace(hash, Hash::new());
            (stream.bytes > 0 || whole).then(|| match (stream.sequential, whole) {
                (true, true) => {
                    format!("{did} sha256 {} of {} bytes, the whole file", hash.hex(), stream.bytes)
                }
                (true, false) => {
                    format!("{did} sha256 {} of {} bytes from the beginning of it", hash.hex(), stream.bytes)
                }
                (false, _) => format!("{did} {} bytes not in their order, without a digest", stream.bytes),
            })
        };
        let read = line(&mut self.read, "read", &summary.read, flags.reads() && read_whole);
        let whole = flags.writes() && self.is_written_whole(summary, flags);
        let wrote = line(&mut self.written, "wrote", &summary.written, whole);
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

fn input() -> Body {
    Body::new(Media::Output, [].into(), BTreeSet::new())
}

fn payload(detectors: &Detectors, s: &'static str, bytes: &[u8]) -> PayloadPlain {
    let data = mask::fields(detectors, [Some(bytes)], &[Shape::Text], &mut Vec::new()).into_cells().pop();
    PayloadPlain::new("ssh", Map::new().put("streams", vec![Map::new().put("s", s).put_some("data", data)]))
}

/// The name of a status, for the record.
pub(super) fn status(code: Option<Code>) -> mask::MaskedText {
    mask::MaskedText::constant(code.and_then(Code::name).unwrap_or("SSH_FX_FAILURE"))
}
