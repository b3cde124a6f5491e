//! The gate: policy, approval, intent, permit. **Nothing is forwarded without a [`Permit`]; nothing reaches the
//! client but a [`Release`].** This crate is the only mint of both.
//!
//! One request, in the order of the source and of the wire:
//! [`Gate::verdict`] -> (allow) [`Gate::intend`] -> durable -> [`Permit`] -> upstream -> [`Gate::outcome`] -> durable
//! -> [`Release`] -> client; or (ask) [`Gate::ask`] -> [`Gate::spend`] -> intend; or (refuse) [`Gate::refuse`].
//!
//! Reading order: `story.rs`, `question.rs`, `inbox.rs`, `cause.rs`, `token.rs`.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cause;
mod inbox;
pub mod limits;
mod question;
mod story;
mod token;

pub use cause::{How, Said};
pub use inbox::{Answer, Approver, Form, INITIATOR, Inbox, InboxError, Pending, Touched};
pub use question::{
    By, Decision, Exposure, GovernedRead, Outcome, Param, Piece, Question, Subject, Tripped, Tx, Who,
};
pub use story::{Asked, Decided, Gate, GateError, Ground, Spent};
pub use token::{Constant, Intent, Permit, Release};
