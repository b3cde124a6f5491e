//! Derived tables over the ledger: runs, sessions, actions, exposures, fingerprints. Rebuildable from zero.
//!
//! `ledger.read(cursor)` -> [`Decoder`] -> [`Index::apply`] -> `answers`. The index holds nothing that the ledger does
//! not: deleting it loses nothing, and building it twice gives the same tables. This first version lives in memory; it
//! is built by one scan and brought up to date from its last position while a gateway goes on appending.
//!
//! **Nothing is dropped silently.** A kind of record that this version does not know is kept and counted
//! ([`Index::unknown`]); a field that it does not know, misses, or cannot read is a [`Flaw`] of that record. Answers
//! list both, and neither lets a claim of absence through.
//!
//! Deliberately absent: sockets, keys, clocks, and any way to reach an upstream.
//!
//! Reading order: `record` (what a record says), `decode` (canonical bytes -> record), `run` (records of one run put
//! together), `decided` (what a model decided, and what it caused), `rows` and `table` (all of it), `follow` (keeping it
//! up to date).

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod decided;
mod decode;
mod follow;
pub mod limits;
mod record;
mod rows;
mod run;
mod table;

pub use decided::{Decided, Planned};
pub use decode::{Decoder, Unreadable};
pub use follow::{Bundle, FollowError, Follower};
pub use record::{
    Act, Approval, ApprovalVerdict, AskPart, At, Body, Cause, Chunk, Close, Column, Connect, Coverage,
    Decision, Delegation, Disconnect, Disposition, Epoch, Exposure, Flaw, FlawKind, Form, Gap, Governed,
    Head, Heartbeat, How, Open, Outcome, Param, Payload, Plan, PlanStep, Record, RefusalPart, Request,
    ResultColumn, ResultWord, Settled, Side, Signature, Span, Stage, Start, StepOf, Touch, Tripwire,
    VerbWord, VerdictWord,
};
pub use rows::{
    Administered, Catalog, Filter, Full, Genesis, PolicyText, Print, PrintPlace, Seen, Strange, Tombstone,
    Watched,
};
pub use run::{Action, Became, Effect, Note, Noted, Run, Session, Told};
pub use table::Index;
