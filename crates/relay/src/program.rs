//! What a program writes on its way to a client: masked on each of its two streams, held until its record is durable, searched on
//! the screen where there is a terminal, and kept for replay. And what it is given to read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use gate::{By, Exposure, Piece, Tripped};
use ledger::{Map, PayloadPlain};
use mask::body::{Body, Found, Media, Unreadable};
use mask::{Detectors, Filter, FilterBuilder, FilterKey, FilterStream, Known, MaskedBytes};
use vocab::{Class, ResourcePath};

use crate::alike::tripped;
use crate::config::Reel;
use crate::entropy;
use crate::limits::{CHUNK_BYTES, SSH_TYPED_BACK};
use crate::seat::Seat;

/// One of a program's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

impl Stream {
    /// The word in a reel.
    fn as_str(self) -> &'static str {
        match self {
            Stream::Out => "out",
            Stream::Err => "err",
        }
    }
}

/// Of which so much comes at once, more comes: half of the largest packet of SSH.
const MUCH_BYTES: usize = 16 << 10;

/// What a program writes.
pub(crate) struct Writes {
    out: Side,
    err: Side,
    /// Masked, and not yet recorded; and which stream each part of it belongs to.
    held: MaskedBytes,
    cuts: Vec<(Stream, usize)>,
    tripwires: BTreeSet<Tripped>,
    /// How many values each detector found that were masked.
    masked: BTreeMap<(&'static str, Class), u64>,
    pub(crate) classes: BTreeSet<Class>,
    pub(crate) hits: u64,
    /// One of them in the standard output.
    pub(crate) hit_out: bool,
    filter: FilterBuilder,
    /// So many bytes and pieces are recorded.
    pub(crate) bytes: u64,
    pub(crate) pieces: u64,
    /// How many bytes replay may still show; `None`: it shows none.
    reel_left: Option<u64>,
    /// Whom the reel shows it to: nobody who knows a value of it.
    nobody: Known,
    began: Instant,
}

/// One of the two streams.
struct Side {
    body: Body,
    /// What left of it, for the filter.
    left: FilterStream,
    /// What left of it, as the reel shows it.
    shown: Body,
}

impl Side {
    fn new() -> Side {
        let body = || Body::new(Media::Output, [].into(), BTreeSet::new());
        Side { body: body(), left: FilterStream::new(), shown: body() }
    }
}

/// Masked bytes whose record is made, and which stream each part belongs to.
pub(crate) struct Recorded {
    pub(crate) held: MaskedBytes,
    pub(crate) cuts: Vec<(Stream, usize)>,
}

impl Writes {
    pub(crate) fn new(reel: Reel) -> Writes {
        Writes {
            out: Side::new(),
            err: Side::new(),
            held: mask::constant(b""),
            cuts: Vec::new(),
            tripwires: BTreeSet::new(),
            masked: BTreeMap::new(),
            classes: BTreeSet::new(),
            hits: 0,
            hit_out: false,
            filter: FilterBuilder::new(),
            bytes: 0,
            pieces: 0,
            reel_left: allowance(reel),
            nobody: Known::new(entropy::random()),
            began: Instant::now(),
        }
    }

    /// How much is masked and not yet recorded.
    pub(crate) fn held(&self) -> &[u8] {
        self.held.as_bytes()
    }

    /// Whether something of a line is held that has no end yet.
    pub(crate) fn waits(&self) -> bool {
        self.out.body.waits() || self.err.body.waits()
    }

    /// Takes what the program wrote. Errors: it cannot be looked into.
    pub(crate) fn push(&mut self, look: &Look<'_>, stream: Stream, data: &[u8]) -> Result<(), Unreadable> {
        let before = self.held.as_bytes().len();
        if before == 0 && data.len() >= MUCH_BYTES {
            // More follows: a piece is in one place from the beginning.
            self.held = MaskedBytes::with_room(CHUNK_BYTES + 2 * MUCH_BYTES);
        }
        let side = match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        };
        side.body.push_onto(look.detectors, look.known, data, &mut self.held)?;
        let found = side.body.take_found();
        self.took(look, stream, before, found);
        Ok(())
    }

    /// Lets what is held of lines that have no end yet be recorded.
    pub(crate) fn let_go(&mut self, look: &Look<'_>) {
        for stream in [Stream::Out, Stream::Err] {
            let side = self.side(stream);
            let masked = side.body.let_go(look.detectors, look.known);
            let found = side.body.take_found();
            self.take(look, stream, masked, found);
        }
    }

    /// There is no more of either. Errors: as [`Writes::push`].
    pub(crate) fn finish(&mut self, look: &Look<'_>) -> Result<(), Unreadable> {
        for stream in [Stream::Out, Stream::Err] {
            let body = std::mem::replace(&mut self.side(stream).body, Side::new().body);
            let (masked, found) = body.finish(look.detectors, look.known)?;
            self.take(look, stream, masked, found);
        }
        Ok(())
    }

    fn side(&mut self, stream: Stream) -> &mut Side {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }

    fn take(&mut self, look: &Look<'_>, stream: Stream, masked: MaskedBytes, found: Found) {
        let before = self.held.as_bytes().len();
        self.held = std::mem::replace(&mut self.held, mask::constant(b"")).then(masked);
        self.took(look, stream, before, found);
    }

    /// What is held behind `before` came last, from this stream.
    fn took(&mut self, look: &Look<'_>, stream: Stream, before: usize, found: Found) {
        let hits = self.hits;
        self.note(&found);
        self.hit_out |= stream == Stream::Out && self.hits > hits;
        let masked = self.held.as_bytes().get(before..).unwrap_or_default();
        if masked.is_empty() {
            return;
        }
        let (side, filter) = match stream {
            Stream::Out => (&mut self.out, &mut self.filter),
            Stream::Err => (&mut self.err, &mut self.filter),
        };
        side.left.piece(filter, look.key, masked);
        match self.cuts.last_mut() {
            Some((last, some)) if *last == stream => *some += masked.len(),
            Some(_) | None => self.cuts.push((stream, masked.len())),
        }
    }

    /// What is said of the program beside its streams: a JSON text, masked, and counted as what it writes. Errors: it is none.
    pub(crate) fn beside(&mut self, look: &Look<'_>, text: &[u8]) -> Result<MaskedBytes, Unreadable> {
        let mut body = Body::new(Media::Json, [].into(), BTreeSet::new());
        let first = body.push(look.detectors, look.known, text)?;
        let before = body.take_found();
        let (rest, behind) = body.finish(look.detectors, look.known)?;
        let masked = first.then(rest);
        self.note(&before);
        self.note(&behind);
        let mut left = FilterStream::new();
        left.piece(&mut self.filter, look.key, masked.as_bytes());
        left.so_far(&mut self.filter, look.key);
        Ok(masked)
    }

    fn note(&mut self, found: &Found) {
        for hit in &found.tripped {
            self.classes.insert(hit.class.clone());
            if hit.act == mask::body::Act::Masked {
                self.hits += hit.count;
                *self.masked.entry((hit.detector, hit.class.clone())).or_default() += hit.count;
            }
        }
        self.tripwires.extend(tripped(found, "output"));
    }

    /// What stands on the screen and may not.
    pub(crate) fn on_screen(&mut self, found: Vec<Tripped>) {
        self.classes.extend(found.iter().map(|hit| hit.class.clone()));
        self.tripwires.extend(found);
    }

    /// Takes what is held, as the record has it. `seat`: a terminal is before it; `last`: nothing comes behind it.
    pub(crate) fn piece(
        &mut self,
        look: &Look<'_>,
        root: &ResourcePath,
        seat: Option<&Seat>,
        last: bool,
    ) -> (Recorded, Piece) {
        let (held, cuts) =
            (std::mem::replace(&mut self.held, mask::constant(b"")), std::mem::take(&mut self.cuts));
        let length = held.as_bytes().len() as u64;
        self.bytes += length;
        let reel: Vec<PayloadPlain> = self.reel(look, &held, &cuts, seat, last).into_iter().collect();
        let piece = Piece {
            n: self.pieces,
            to: "client",
            bytes: length,
            exposures: self.exposures(root, false),
            tripwires: std::mem::take(&mut self.tripwires),
            filter: self.taken_filter(look.key),
            reel,
            ..Piece::default()
        };
        self.pieces += 1;
        (Recorded { held, cuts }, piece)
    }

    /// What was found since the last record, where it stays here.
    pub(crate) fn withheld(&mut self, root: &ResourcePath) -> (Vec<Exposure>, BTreeSet<Tripped>) {
        (self.exposures(root, true), std::mem::take(&mut self.tripwires))
    }

    /// The filter of what leaves next: with the beginnings of tokens that may go on, since nothing may come after this.
    fn taken_filter(&mut self, key: &FilterKey) -> Option<Filter> {
        for side in [&self.out, &self.err] {
            side.left.so_far(&mut self.filter, key);
        }
        (!self.filter.is_empty()).then(|| self.filter.take())
    }

    fn exposures(&mut self, root: &ResourcePath, withheld: bool) -> Vec<Exposure> {
        let exposure = |((_, class), cells)| Exposure {
            on: root.clone(),
            class,
            at: "output",
            what: if withheld { "refused" } else { "masked" },
            by: By::Detector,
            rows: 0,
            cells,
            prints: Vec::new(),
        };
        std::mem::take(&mut self.masked).into_iter().map(exposure).collect()
    }

    /// What replay shows of a piece, and when: what detectors know is masked here also where the run was let see it, and where pieces cut it.
    ///
    /// What is typed comes back key by key: at a terminal few bytes wait for more, or for the end of their line.
    fn reel(
        &mut self,
        look: &Look<'_>,
        held: &MaskedBytes,
        cuts: &[(Stream, usize)],
        seat: Option<&Seat>,
        last: bool,
    ) -> Option<PayloadPlain> {
        let left = self.reel_left.as_mut().filter(|left| **left > 0)?;
        let length = usize::try_from(*left).unwrap_or(usize::MAX).min(held.as_bytes().len());
        let mut rest = held.as_bytes().get(..length)?;
        *left -= length as u64;
        let mut streams = seat.map(Seat::sizes).unwrap_or_default();
        for (stream, length) in cuts {
            let (part, behind) = rest.split_at((*length).min(rest.len()));
            rest = behind;
            let waits = seat.is_some() && part.len() <= SSH_TYPED_BACK && !part.contains(&b'\n');
            let side = match stream {
                Stream::Out => &mut self.out,
                Stream::Err => &mut self.err,
            };
            let shown = side.shown.push(look.detectors, &self.nobody, part).ok()?;
            let shown =
                if waits { shown } else { shown.then(side.shown.let_go(look.detectors, &self.nobody)) };
            streams.extend(said(*stream, &shown));
        }
        if last {
            for (stream, side) in [(Stream::Out, &mut self.out), (Stream::Err, &mut self.err)] {
                let body = std::mem::replace(&mut side.shown, Side::new().shown);
                let (shown, _found) = body.finish(look.detectors, &self.nobody).ok()?;
                streams.extend(said(stream, &shown));
            }
        }
        if streams.is_empty() {
            return None;
        }
        let at = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        payload(Map::new().put("at", at).put("streams", streams))
    }
}

/// By whom and what a program's streams are looked at.
pub(crate) struct Look<'a> {
    pub(crate) detectors: &'a Detectors,
    pub(crate) known: &'a Known,
    pub(crate) key: &'a FilterKey,
}

/// What a program is given to read, as its record shows it. It goes on as it came.
pub(crate) struct Reads {
    body: Body,
    nobody: Known,
    left: u64,
    n: u64,
}

impl Reads {
    /// `shown`: the reel may have it. What is typed at a terminal and not echoed is a password perhaps.
    pub(crate) fn new(reel: Reel, shown: bool) -> Reads {
        Reads {
            body: Body::new(Media::Output, [].into(), BTreeSet::new()),
            nobody: Known::new(entropy::random()),
            left: if shown { allowance(reel).unwrap_or(0) } else { 0 },
            n: 0,
        }
    }

    /// The record of the next bytes. Errors: they cannot be looked into.
    pub(crate) fn piece(&mut self, detectors: &Detectors, bytes: &[u8]) -> Result<Piece, Unreadable> {
        let shown = self.body.push(detectors, &self.nobody, bytes)?;
        let found = self.body.take_found();
        Ok(self.of(bytes.len() as u64, &shown, &found))
    }

    /// The record of what was held back of the last ones. `None`: there is nothing.
    pub(crate) fn rest(&mut self, detectors: &Detectors) -> Option<Piece> {
        let shown = self.body.let_go(detectors, &self.nobody);
        let found = self.body.take_found();
        (!shown.as_bytes().is_empty()).then(|| self.of(0, &shown, &found))
    }

    fn of(&mut self, bytes: u64, shown: &MaskedBytes, found: &Found) -> Piece {
        let sent = |hit: Tripped| Tripped { act: "reported", ..hit };
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(shown.as_bytes().len());
        self.left -= length as u64;
        let reel = shown.field(0..length).filter(|_| length > 0).and_then(|data| {
            payload(Map::new().put("streams", vec![Map::new().put("s", "in").put("data", data)]))
        });
        self.n += 1;
        Piece {
            n: self.n - 1,
            to: "upstream",
            bytes,
            tripwires: tripped(found, "input").into_iter().map(sent).collect(),
            reel: reel.into_iter().collect(),
            ..Piece::default()
        }
    }
}

fn allowance(reel: Reel) -> Option<u64> {
    match reel {
        Reel::Full => Some(u64::MAX),
        Reel::Head { bytes } => Some(bytes),
        Reel::None => None,
    }
}

/// The streams of a program, whatever carried them.
fn payload(map: Map) -> Option<PayloadPlain> {
    let payload = PayloadPlain::new("ssh", map);
    payload.fits().then_some(payload)
}

/// What a stream said, for the reel.
fn said(stream: Stream, shown: &MaskedBytes) -> Option<Map> {
    let data = shown.field(0..shown.as_bytes().len()).filter(|_| !shown.as_bytes().is_empty())?;
    Some(Map::new().put("s", stream.as_str()).put("data", data))
}
