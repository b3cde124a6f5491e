//! The two tokens. Each has one constructor, here or in `story.rs`, and is consumed by value.

use std::future::Future;

use ledger::{Commitment, Durable, Lost, Opening, Receipt};
use mask::MaskedBytes;
use vocab::{Seq, Tick};

use crate::limits::PERMIT_MILLIS;

/// A recorded intent that has not been spent. Its record is on the way to the disk.
///
/// ```compile_fail
/// # fn forge(seq: vocab::Seq) {
/// let intent = gate::Intent { seq };
/// # }
/// ```
/// ```
/// # fn honest(intent: gate::Intent) {
/// let seq = intent.seq();
/// # }
/// ```
#[must_use = "an intent that is not spent leaves a record without an effect"]
pub struct Intent {
    seq: Seq,
    receipt: Receipt,
    opening: Opening,
    sending: Commitment,
    pure_read: bool,
    now: Tick,
}

impl Intent {
    pub(crate) fn new(
        receipt: Receipt,
        opening: Opening,
        sending: Commitment,
        pure_read: bool,
        now: Tick,
    ) -> Intent {
        Intent { seq: receipt.seq(), receipt, opening, sending, pure_read, now }
    }

    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Whether this intent may be overtaken by its request (DESIGN section 3): a pure read.
    pub fn may_overtake(&self) -> bool {
        self.pure_read
    }

    /// For a pure read: the permit now, and the receipt that the *release* must wait for.
    /// Any other intent is given back.
    pub fn overtake(self) -> Result<(Permit, Receipt), Intent> {
        match self.pure_read {
            true => Ok((permit(self.seq, self.opening, self.sending, self.now), self.receipt)),
            false => Err(self),
        }
    }

    /// The permit, once the record is durable.
    pub async fn durable(self) -> Result<Permit, Lost> {
        let Intent { seq, receipt, opening, sending, now, .. } = self;
        let _proof: Durable = receipt.await?;
        Ok(permit(seq, opening, sending, now))
    }

    /// Polls for [`Intent::durable`] in place.
    pub fn poll_durable(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<Permit, Lost>> {
        let (seq, opening, sending, now) = (self.seq, self.opening.clone(), self.sending, self.now);
        std::pin::Pin::new(&mut self.receipt)
            .poll(cx)
            .map(|proof| proof.map(|_durable: Durable| permit(seq, opening, sending, now)))
    }
}

/// The right to send exactly these bytes upstream, once, soon.
///
/// ```compile_fail
/// # fn forge(seq: vocab::Seq) {
/// let permit = gate::Permit { intent: seq };
/// # }
/// ```
/// ```
/// # fn honest(intent: gate::Intent) {
/// let permit = intent.overtake();
/// # }
/// ```
#[must_use = "a permit is spent by sending"]
pub struct Permit {
    intent: Seq,
    opening: Opening,
    sending: Commitment,
    expires: Tick,
}

fn permit(intent: Seq, opening: Opening, sending: Commitment, now: Tick) -> Permit {
    Permit { intent, opening, sending, expires: now.plus_millis(PERMIT_MILLIS) }
}

impl Permit {
    /// Spends the permit. `true` if `bytes` are the bytes that it was minted for and it has not expired; if not,
    /// nothing may be sent.
    pub fn spend(self, bytes: &[u8], now: Tick) -> bool {
        now <= self.expires && self.opening.opens(&self.sending, bytes)
    }

    pub fn intent(&self) -> Seq {
        self.intent
    }
}

/// Bytes that may go to the client: masked, and recorded.
///
/// ```compile_fail
/// # fn forge(bytes: mask::MaskedBytes) {
/// let release = gate::Release { bytes };
/// # }
/// ```
/// ```
/// # fn honest(proof: ledger::Durable, bytes: mask::MaskedBytes) {
/// let release = gate::Release::after(proof, bytes);
/// # }
/// ```
#[must_use = "a release is spent by sending"]
pub struct Release {
    bytes: MaskedBytes,
}

impl Release {
    /// After the record of these bytes is durable.
    pub fn after(_proof: Durable, bytes: MaskedBytes) -> Release {
        Release { bytes }
    }

    /// A reply that says nothing but that a step was done.
    pub fn constant(constant: Constant) -> Release {
        Release { bytes: mask::constant(constant.bytes()) }
    }

    pub fn into_bytes(self) -> MaskedBytes {
        self.bytes
    }
}

/// Replies without content, in the PostgreSQL protocol. They need no record of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constant {
    ParseComplete,
    BindComplete,
    CloseComplete,
    NoData,
    EmptyQuery,
    PortalSuspended,
    ReadyIdle,
    ReadyInTransaction,
    ReadyFailed,
}

impl Constant {
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Constant::ParseComplete => b"1\0\0\0\x04",
            Constant::BindComplete => b"2\0\0\0\x04",
            Constant::CloseComplete => b"3\0\0\0\x04",
            Constant::NoData => b"n\0\0\0\x04",
            Constant::EmptyQuery => b"I\0\0\0\x04",
            Constant::PortalSuspended => b"s\0\0\0\x04",
            Constant::ReadyIdle => b"Z\0\0\0\x05I",
            Constant::ReadyInTransaction => b"Z\0\0\0\x05T",
            Constant::ReadyFailed => b"Z\0\0\0\x05E",
        }
    }
}
