//! What a SQL statement does, and the statement that may run instead.
//!
//! PostgreSQL's own grammar reads the text ([`parse`]); our own name resolution against a [`Snapshot`] of the upstream's
//! catalog says which relations, columns and functions it reaches ([`analyze`]); where a governed column is read,
//! [`rewrite`] puts a masked sub-select in the relation's place, so that no expression, predicate, sort, cursor or COPY
//! ever touches the raw value.
//!
//! Pure: no IO, clock or randomness. What is not understood is refused ([`Analysis::refuse`]) or called opaque
//! ([`vocab::Action::opaque`]); nothing unknown is ever called harmless.
//!
//! Reading order: `statement` (text -> trees), `syntax` (its errors) -> `catalog`, `snapshot`, `governed` (what is behind the names) -> `names`
//! (what a session adds) -> `analyze/` -> `rewrite` -> `meant`
//! (whether it came out as intended). `tree` is the walk that cannot miss a node.

#![forbid(unsafe_code)]
// A condition on the kind of a node and one on what is in it are two steps of a walk, and read as two.
#![allow(clippy::collapsible_if)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod analysis;
mod analyze;
pub mod catalog;
mod constants;
mod functions;
mod governed;
mod kind;
pub mod limits;
mod meant;
mod names;
mod relations;
mod rewrite;
mod settings;
mod snapshot;
mod statement;
mod syntax;
mod tree;
mod wire;

pub use analysis::{
    Analysis, ByName, Carried, CopyField, CopyForm, CopyType, Effect, FunctionKind, FunctionUse, GovernedUse,
    Reason, SessionLocks,
};
pub use analyze::analyze;
pub use constants::constants;
pub use governed::{BindError, ColumnRule, Governed};
pub use names::{Names, TempRelation, Vouched};
pub use rewrite::{PositionMap, Rewritten, rewrite};
pub use settings::encoding as reads_encoding;
pub use snapshot::{OWN_OIDS_END, Snapshot, Written};
pub use statement::{Literal, LiteralKind, Statement, literals_of, masked_literals, parse};
pub use syntax::ParseError;
