//! Which columns are governed, and what stands in their place.

use std::collections::BTreeMap;

use vocab::{Class, MaskKind};

use crate::Snapshot;

/// An operator's rule for one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnRule {
    pub schema: String,
    pub table: String,
    pub column: String,
    pub class: Class,
    pub kind: MaskKind,
}

/// A rule that cannot be bound. Names the rule, not its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindError {
    /// `schema.table.column`.
    pub column: String,
    pub what: String,
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.column, self.what)
    }
}

impl std::error::Error for BindError {}

/// The rules, bound to relation OID and attribute number of one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Governed {
    pub(crate) relations: BTreeMap<u32, ()>,
}

impl Governed {
    pub fn bind(snapshot: &Snapshot, rules: &[ColumnRule]) -> Result<Governed, Vec<BindError>> {
        let missing = |rule: &ColumnRule| BindError {
            column: format!("{}.{}.{}", rule.schema, rule.table, rule.column),
            what: "no such relation in the catalog".into(),
        };
        let _ = snapshot;
        if rules.is_empty() { Ok(Governed::default()) } else { Err(rules.iter().map(missing).collect()) }
    }

    /// No column is governed.
    pub fn is_empty(&self) -> bool {
        self.relations.is_empty()
    }
}
