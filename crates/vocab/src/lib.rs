//! The nouns of Tachograph: who acts, on what, with which verdict. No dependencies, no IO, no serialization.
//!
//! Every other crate speaks in these words (ARCHITECTURE.md, "Words"). They are plain data; what may be *done*
//! with them (permit, release, receipt) is minted elsewhere, each in the one module that earned it.

#![forbid(unsafe_code)]

mod action;
mod bound;
mod class;
mod id;
mod resource;
mod time;
mod verdict;

pub use action::{Access, Action, ColumnUse, Opaque, Position, Verb};
pub use bound::Bound;
pub use class::{Class, MaskKind};
pub use id::{AskId, PolicyHash, RunId, Seq, SessionId};
pub use resource::ResourcePath;
pub use time::{Tick, WallTime};
pub use verdict::{Group, RuleId, Verdict};

/// Where the record of an effect stands when the effect happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// The record was synced to the disk (`fdatasync` returned). Promise P1 holds.
    Sync,
    /// The record was handed to the operating system. It survives the death of the gateway, not of the machine.
    Os,
}

impl Durability {
    /// The word used in configuration and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Durability::Sync => "sync",
            Durability::Os => "os",
        }
    }
}
