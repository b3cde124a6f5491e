//! Policy: a recordable request in, a [`Decision`] out. Pure; time is an argument. Contains Cedar.
//!
//! A request is the conjunction of every (verb, resource) pair in it, `opaque` being one more. Default deny; an
//! evaluation error is Refuse; no matching permit is Refuse, never Ask. `Ask` only if a forbid with `@needs` applied and
//! those approvals, in the context of a second evaluation, allow every pair. Only `release` is allowed unless forbidden:
//! what is released was allowed before, and masked.
//!
//! **Invariant:** a decision is a function of the policy's text and of [`Request::canonical`], which a record can hold.
//! **Invariant:** a [`Slice`] decides as the whole policy does.
//!
//! Columns are resources below their table: a permit on the table covers its columns, a permit on each used
//! column covers the table for that request, and a forbid on a column applies when the column is used, anywhere.
//!
//! Annotations: `@id("...")` names a rule (else `file.cedar#n`), `@message("...")` is what the agent reads,
//! `@needs("group, group")` marks a forbid that approvals lift. Examples stand beside the rules ([`examples`]).
//!
//! Reading order: `source` (files -> rules) -> `request` (what is asked) -> `decide` -> `examples`.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod decide;
pub mod examples;
pub mod limits;
mod request;
mod source;

pub use decide::{Decision, Slice};
pub use request::{Context, Parent, Principal, Release, ReplayError, Request, What};
pub use source::{Name, Policy, PolicyError, Source};

/// The starter policy that `tacho init` writes.
pub const STARTER: &str = include_str!("starter.cedar");
/// The schema that every policy is validated against.
pub const SCHEMA: &str = include_str!("schema.cedarschema");
