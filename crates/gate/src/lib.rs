//! The gate: policy, approval, intent, permit. **Nothing is forwarded without a [`Permit`]; nothing reaches the
//! client but a [`Release`].** This crate is the only mint of both.
//!
//! One request, in the order of the source and of the wire:
//! [`Gate::verdict`] -> (allow) [`Gate::intend`] -> durable -> [`Permit`] -> upstream -> [`Gate::outcome`] -> durable
//! -> [`Release`] -> client; or (ask) [`Gate::ask`] -> [`Gate::spend`] -> intend; or (refuse) [`Gate::refuse`].
//!
//! Reading order: `story.rs`, `question.rs`, `inbox.rs`, `decisions.rs` (what models decided), `cause.rs`, `likeness.rs`,
//! `planned.rs`, `token.rs`.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cause;
mod decisions;
mod heard;
mod inbox;
mod likeness;
pub mod limits;
mod planned;
mod question;
mod story;
mod token;

pub use cause::{Because, Said};
pub use heard::Voice;
pub use inbox::{Answer, Approver, Form, INITIATOR, Inbox, InboxError, Pending, Signature, Touched};
pub use likeness::{Arguments, Asking, BELOW, How, Member, NO_TEXT, READ_ON, Requested, Saying};
pub use planned::{Planned, StepHow, StepOf};
pub use question::{
    By, Decision, Exposure, GovernedRead, Outcome, Param, Piece, Question, Subject, Told, Tripped, Tx, Who,
};
pub use story::{Asked, Decided, Gate, GateError, Ground, Spent};
pub use token::{Constant, Intent, Permit, Release};
