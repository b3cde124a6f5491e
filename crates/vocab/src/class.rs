//! Kinds of sensitive data, and what stands in their place.

use std::fmt;
use std::sync::Arc;

/// A kind of sensitive data: `pii.ssn`, `secret.aws_key`. Lower-case words joined by dots, at most 64 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(Arc<str>);

impl Class {
    /// `None` unless `text` is `word(.word)*` with words of `a-z0-9_`, at most 64 bytes.
    pub fn new(text: &str) -> Option<Class> {
        let word =
            |w: &str| !w.is_empty() && w.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        (text.len() <= 64 && text.split('.').all(word)).then(|| Class(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands in the place of a governed value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MaskKind {
    /// SQL NULL.
    Null,
    /// A constant of the column's type.
    Redact,
    /// The last `keep` characters; the rest as `*`.
    Partial { keep: u8 },
    /// `ssn_<primary key>`: the default for identifiers.
    RowToken,
    /// Keyed, deterministic in a run; made by the gateway.
    Token,
    /// The first of the year, or a multiple of `width`.
    Bucket { width: u32 },
}

impl MaskKind {
    /// The word used in configuration and records.
    pub fn as_str(&self) -> &'static str {
        match self {
            MaskKind::Null => "null",
            MaskKind::Redact => "redact",
            MaskKind::Partial { .. } => "partial",
            MaskKind::RowToken => "row-token",
            MaskKind::Token => "token",
            MaskKind::Bucket { .. } => "bucket",
        }
    }
}
