//! br (RFC 7932).

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{BEHIND, Moved, Undecodable};
use crate::limits::WINDOW_BITS_MAX;

const BR: Undecodable = Undecodable("the body is no br stream");
const BR_WINDOW: Undecodable = Undecodable("the window of a br stream is larger than 8 MiB");

/// Low bits of the first byte with which a window of 2^24 is declared: the only one of RFC 7932 above our limit.
const WINDOW_24: u8 = 0x0f;
const _: () = assert!(WINDOW_BITS_MAX == 23);

pub(super) struct Br {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    begun: bool,
    over: bool,
}

impl Br {
    pub(super) fn new() -> Br {
        let alloc = StandardAlloc::default;
        // Strict: without the larger windows of another format.
        Br { state: Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())), begun: false, over: false }
    }

    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Moved, Undecodable> {
        match input.first() {
            None if !self.begun || self.over => return Ok((0, 0)),
            Some(_) if self.over => return Err(BEHIND),
            Some(first) if !self.begun && first & 0x0f == WINDOW_24 => return Err(BR_WINDOW),
            Some(_) | None => self.begun = true,
        }
        let (mut left, mut read, mut space, mut wrote, mut total) = (input.len(), 0, out.len(), 0, 0);
        let state = &mut *self.state;
        match BrotliDecompressStream(
            &mut left, &mut read, input, &mut space, &mut wrote, out, &mut total, state,
        ) {
            BrotliResult::ResultFailure => return Err(BR),
            BrotliResult::ResultSuccess => self.over = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok((read, wrote))
    }

    pub(super) fn is_whole(&self) -> bool {
        self.over
    }
}
