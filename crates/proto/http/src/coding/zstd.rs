//! zstd (RFC 8878), with the window that RFC 9659 allows.

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::{Moved, Undecodable};
use crate::limits::WINDOW_BITS_MAX;

const ZSTD: Undecodable =
    Undecodable("the body is no zstd stream, or needs a dictionary or a window above 8 MiB");

pub(super) struct Zstd {
    /// `None`: there was no memory for it.
    context: Option<DCtx<'static>>,
    /// Between two frames, or behind the last.
    between: bool,
    /// What it wrote last filled what there was: there may be more.
    full: bool,
    frames: u64,
}

impl Zstd {
    pub(super) fn new() -> Zstd {
        let mut context = DCtx::try_create();
        let limit = DParameter::WindowLogMax(WINDOW_BITS_MAX);
        let limited = context.as_mut().is_some_and(|context| context.set_parameter(limit).is_ok());
        Zstd { context: context.filter(|_| limited), between: true, full: false, frames: 0 }
    }

    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Moved, Undecodable> {
        // Without input and without anything left, a call would begin a frame.
        if input.is_empty() && (self.between || !self.full) {
            return Ok((0, 0));
        }
        let Some(context) = &mut self.context else { return Err(ZSTD) };
        let space = out.len();
        let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(out));
        let hint = context.decompress_stream(&mut to, &mut from).map_err(|_| ZSTD)?;
        // A frame is over when it was written whole.
        self.between = hint == 0;
        self.frames += u64::from(self.between);
        self.full = to.pos() == space;
        Ok((from.pos(), to.pos()))
    }

    pub(super) fn is_whole(&self) -> bool {
        self.between && self.frames > 0
    }
}
