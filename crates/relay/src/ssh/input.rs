//! A program's input: recorded, piece by piece, before it is sent. It is sent as it is.

use std::collections::BTreeSet;

use bytes::Bytes;
use gate::{Piece, Tripped};
use ledger::{Map, PayloadPlain};
use mask::body::{Body, Found, Media};
use mask::{Detectors, Known, MaskedBytes, Origin};

use super::channel::{Started, not_sent};
use super::decide::Cut;
use super::library::{Lane, Stdin};
use super::link::Link;
use super::writer::UpstreamWriter;
use crate::alike::tripped;
use crate::config::Reel;
use crate::entropy;
use crate::seat::Seat;

/// Input that detectors have seen.
enum Looked {
    /// As it came, as the record shows it, and what was found.
    At(Bytes, MaskedBytes, Found),
    End,
}

impl Link {
    /// Carries the client's input to a program, until there is no more.
    ///
    /// At a terminal the reel has none of it: what is not echoed is a password perhaps, and what is stands in the output.
    pub(super) async fn input(
        &self,
        lane: &Lane,
        started: &Started,
        writer: &UpstreamWriter,
    ) -> Result<(), Cut> {
        let (of, seat) = (started.of, started.seat.as_ref());
        let gate = &self.resource.gate;
        let detectors = gate.detectors_of(&self.who);
        // Nobody knows a value of it before: what is found is said, and masked in the record.
        let nobody = Known::new(entropy::random());
        let mut body = Body::new(Media::Output, [].into(), BTreeSet::new());
        let mut left = match self.resource.config.reel {
            _ if seat.is_some() => 0,
            Reel::Full => u64::MAX,
            Reel::Head { bytes } => bytes,
            Reel::None => 0,
        };
        let (mut n, mut looked) = (0, None);
        // What the record shows of a piece is in the record when the next one is looked at: it needs no room of its own.
        let mut room = mask::constant(b"");
        loop {
            let next = match looked.take() {
                Some(next) => next,
                None => self.look(&detectors, &nobody, &mut body, seat, lane.stdin().await, room)?,
            };
            let (bytes, shown, found) = match next {
                Looked::At(bytes, shown, found) => (bytes, shown, found),
                Looked::End => {
                    let (shown, found) = body.finish(&detectors, &nobody).map_err(|why| unreadable(why.0))?;
                    if !shown.as_bytes().is_empty() {
                        let piece = piece(n, 0, &shown, &found, &mut left);
                        let _covered_by_the_outcome =
                            gate.piece(&self.who, of, piece).map_err(|e| self.unrecorded(e))?;
                    }
                    return writer.end().await.map_err(not_sent);
                }
            };
            let piece = piece(n, bytes.len() as u64, &shown, &found, &mut left);
            (n, room) = (n + 1, shown);
            room.clear();
            let intent = match seat {
                None => gate.piece_upstream(&self.who, of, piece, &bytes, entropy::tick()),
                Some(_) => gate.piece_unopened(&self.who, of, piece, &bytes, entropy::tick()),
            };
            if intent.is_ok()
                && let Some(stdin) = lane.stdin_now()
            {
                // What comes next is looked at while that becomes durable, and recorded behind it.
                looked = Some(self.look(&detectors, &nobody, &mut body, seat, stdin, room)?);
                room = mask::constant(b"");
            }
            let (_seq, permit) = self.permitted(intent).await?;
            writer.stdin(permit, bytes).await.map_err(not_sent)?;
        }
    }

    /// Looks at the next input, and puts what the record shows of it into `shown`, which is empty.
    fn look(
        &self,
        detectors: &Detectors,
        nobody: &Known,
        body: &mut Body,
        seat: Option<&Seat>,
        stdin: Stdin,
        mut shown: MaskedBytes,
    ) -> Result<Looked, Cut> {
        let Stdin::Data(bytes) = stdin else { return Ok(Looked::End) };
        self.hear(&bytes);
        if let Some(seat) = seat {
            self.hear(&seat.typed(&bytes));
        }
        body.push_onto(detectors, nobody, &bytes, &mut shown).map_err(|why| unreadable(why.0))?;
        Ok(Looked::At(bytes, shown, body.take_found()))
    }

    /// What the run says it may hear again.
    fn hear(&self, bytes: &[u8]) {
        let mut findings = Vec::new();
        self.resource.gate.detectors_of(&self.who).scan_deep(bytes, &mut findings);
        let mut known = self.known();
        for value in findings.iter().filter_map(|finding| bytes.get(finding.range.clone())) {
            known.remember(Origin::Echo, value);
        }
    }
}

fn unreadable(told: &'static str) -> Cut {
    Cut { why: "unreadable", told }
}

fn piece(n: u64, bytes: u64, shown: &MaskedBytes, found: &Found, left: &mut u64) -> Piece {
    let sent = |hit: Tripped| Tripped { act: "reported", ..hit };
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(shown.as_bytes().len());
    *left -= length as u64;
    let reel = shown.field(0..length).filter(|_| length > 0).map(|data| {
        let stream = Map::new().put("s", "in").put("data", data);
        PayloadPlain::new("ssh", Map::new().put("streams", vec![stream]))
    });
    Piece {
        n,
        to: "upstream",
        bytes,
        tripwires: tripped(found, "input").into_iter().map(sent).collect(),
        reel: reel.into_iter().filter(PayloadPlain::fits).collect(),
        ..Piece::default()
    }
}
