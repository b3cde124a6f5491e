//! Frames read ahead, so that their bodies are hashed several at a time. Nothing is decided here: what is wrong with a
//! frame is told after the frames before it.

use crate::frame::{Frame, FrameError, Frames, Kind};
use crate::sha256::{Message, hash_all};
use crate::tree::{Hash, leaf};

/// Most frames of a window.
const FRAMES_MAX: usize = 64;
/// A window ends behind the frame that brings its bodies to this, in bytes: what was hashed is still in the processor's
/// cache when it is decoded.
const WINDOW_BYTES: usize = 32 << 10;

/// The frames of a segment, a window at a time.
pub(super) struct Ahead<'a> {
    frames: Frames<'a>,
    window: Vec<Frame<'a>>,
    hashes: Vec<Hash>,
}

/// Why a window is the last one.
pub(super) enum Ended {
    /// The frames end, and zeros follow.
    Whole,
    Bad(FrameError),
}

impl<'a> Ahead<'a> {
    pub(super) fn of_segment(segment: &'a [u8]) -> Ahead<'a> {
        Ahead { frames: Frames::of_segment(segment), window: Vec::new(), hashes: Vec::new() }
    }

    /// Reads and hashes the next window.
    pub(super) fn read(&mut self) -> Option<Ended> {
        self.window.clear();
        self.hashes.clear();
        let ended = self.fill();
        hash_all(self.window.iter().map(hashed), &mut self.hashes);
        ended
    }

    /// The window's frames, each with a record's leaf hash or the digest of any other body.
    pub(super) fn window(&self) -> impl Iterator<Item = (&Frame<'a>, Hash)> {
        self.window.iter().zip(self.hashes.iter().copied())
    }

    /// Where the next window begins; after the last one, where the frames end.
    pub(super) fn offset(&self) -> usize {
        self.frames.offset()
    }

    fn fill(&mut self) -> Option<Ended> {
        let mut bytes = 0;
        while self.window.len() < FRAMES_MAX && bytes < WINDOW_BYTES {
            match self.frames.next() {
                Some(Ok(frame)) => {
                    bytes += frame.body.len();
                    self.window.push(frame);
                }
                Some(Err(error)) => return Some(Ended::Bad(error)),
                None => return Some(Ended::Whole),
            }
        }
        None
    }
}

fn hashed<'a>(frame: &Frame<'a>) -> Message<'a> {
    match frame.kind {
        Kind::Record => leaf(frame.body),
        Kind::Batch | Kind::Payload | Kind::Checkpoint | Kind::Inclusion | Kind::Growth | Kind::Key => {
            Message::new(&[], frame.body)
        }
    }
}
