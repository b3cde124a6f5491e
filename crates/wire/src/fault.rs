//! Errors that say whose fault they are, and what each audience may read.

use std::error::Error;
use std::fmt;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The agent's side.
    Client,
    /// The resource's side.
    Upstream,
    /// Ours: a defect or an exhausted limit of the gateway.
    Gateway,
    /// Whoever configured the gateway.
    Operator,
}

impl Side {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Upstream => "upstream",
            Side::Gateway => "gateway",
            Side::Operator => "operator",
        }
    }
}

/// Something that ends a connection. Built from constants alone: no byte of any peer is in it.
///
/// A decision against a request is not a fault (that is a refusal, with the id of a rule).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    pub side: Side,
    /// One of [`kind`]: what records, metrics and tests match on.
    pub kind: &'static str,
    /// The sentence that the peer may read.
    pub outward: &'static str,
    /// Where it happened and what to look at, for the operator's log: often the name of the message.
    pub inward: &'static str,
}

impl Fault {
    pub const fn new(side: Side, kind: &'static str, outward: &'static str, inward: &'static str) -> Fault {
        Fault { side, kind, outward, inward }
    }
}

/// A reason for a fault, without a side. Each crate of a protocol has all of its own in one list: see [`crate::reasons`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    pub kind: &'static str,
    pub outward: &'static str,
    pub inward: &'static str,
}

impl Reason {
    pub const fn new(kind: &'static str, outward: &'static str, inward: &'static str) -> Reason {
        Reason { kind, outward, inward }
    }

    /// The fault of `side` for this reason.
    pub const fn on(self, side: Side) -> Fault {
        Fault::new(side, self.kind, self.outward, self.inward)
    }
}

/// Constants of [`Reason`]: `NAME = kind, outward, inward;`
#[macro_export]
macro_rules! reasons {
    ($($name:ident = $kind:expr, $outward:literal, $inward:literal;)*) => {
        $(pub const $name: $crate::Reason = $crate::Reason::new($kind, $outward, $inward);)*
    };
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {} ({})", self.side.as_str(), self.kind, self.outward, self.inward)
    }
}

impl Error for Fault {}

/// The kinds of fault that decoders give. Crates above may have kinds of their own.
pub mod kind {
    /// The message is shorter than its fields say.
    pub const TRUNCATED: &str = "truncated";
    /// Bytes are left after the last field.
    pub const TRAILING_BYTES: &str = "trailing-bytes";
    /// A string lacks its terminating zero.
    pub const UNTERMINATED: &str = "unterminated";
    /// A string that must end with a zero has one inside.
    pub const INTERIOR_ZERO: &str = "interior-zero";
    /// A length field that no message of the protocol can have.
    pub const BAD_LENGTH: &str = "bad-length";
    /// Legal in the protocol, above our limit.
    pub const TOO_LARGE: &str = "too-large";
    /// More elements than our limit.
    pub const TOO_MANY: &str = "too-many";
    /// A value outside of those that the specification lists.
    pub const BAD_VALUE: &str = "bad-value";
    /// A message type that we do not know, or not in this state.
    pub const UNKNOWN_MESSAGE: &str = "unknown-message";
    /// A known message at a moment when the protocol does not allow it.
    pub const OUT_OF_ORDER: &str = "out-of-order";
    /// Authentication failed.
    pub const AUTHENTICATION: &str = "authentication";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_as_one_line() {
        let fault = Fault::new(Side::Client, kind::TRUNCATED, "message is too short", "Bind");
        assert_eq!(fault.to_string(), "client truncated: message is too short (Bind)");
    }
}
