//! Masking: fields and text in, `Masked*` and findings out. The only mint of `Masked*` (ARCHITECTURE.md, "Masking").
//!
//! What reaches a client is a [`MaskedRow`] or [`MaskedBytes`]; what reaches a record, a log or a person is
//! [`MaskedText`]. Each has its one constructor in this crate, behind [`Detectors`]:
//!
//! - [`text`], [`statement`], [`name`], [`param`]: text for records and people;
//! - [`fields`]: the cells of a result row; [`Tail`]: a stream that may be split anywhere;
//! - [`body`]: the body of an HTTP request or response, as it streams: JSON, forms, events, parts, text;
//! - [`Prints`], [`Filter`], [`Known`]: was this exact value ever seen, without keeping it.
//!
//! **Invariant:** pure. No IO, no clock, no randomness; keys are arguments.
//! **Invariant:** a detector never fires on a bare integer of nine digits.
//! **Invariant:** what masks a stream masks the whole alike, however it was split ([`Tail`], [`body::Body`]).
//! **Invariant:** a body that cannot be read, or that two readers could read in two ways, is not released.
//!
//! Deliberately absent: masking by column (that happens at the read, in the statement: `sql`; a body has no read that
//! could be rewritten, so that its paths are masked here), names and addresses (no detector that is worth its false
//! alarms), and encodings of an agent's own making.
//!
//! Reading order: `detect` (finding) -> `text`, `field`, `tail` (replacing) -> `body` (streams with a structure) ->
//! `print`, `filter`, `known`, `taint` (remembering).

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod body;
mod detect;
mod field;
mod filter;
mod json;
mod known;
mod letter;
pub mod limits;
mod print;
mod release;
mod shape;
mod sip;
mod tail;
mod taint;
mod text;

pub use detect::{Detectors, Finding, Form};
pub use field::{CellFinding, MaskedField, MaskedRow, fields, hidden_number};
pub use filter::{Filter, FilterBuilder, FilterKey, FilterStream, ends_token};
pub use known::{Echoes, Known, Origin};
pub use print::{Print, Prints};
pub use release::{
    Opaque, Unmasked, channel_message, chunk, constant, message, null_field, release, spdy_data,
};
pub use shape::Shape;
pub use tail::{MaskedBytes, Tail};
pub use taint::Taint;
pub use text::{MaskedText, lines, name, param, says_all, statement, statement_with_values, text};
