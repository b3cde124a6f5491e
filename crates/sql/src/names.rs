//! What a session adds to the catalog's names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::Analysis;
use crate::snapshot::Function;

/// The session's state that name resolution needs. The relay keeps it, from the effects of statements that succeeded
/// and from values read back; a wrong value here is a wrong resolution, so what is not certain is read again.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The effective `search_path`, `$user` already replaced. `pg_temp` and `pg_catalog` come first unless listed.
    pub search_path: Vec<String>,
    pub role: String,
    pub database: String,
    /// Temporary relations of this session that the snapshot does not have yet.
    pub temp: Vec<TempRelation>,
    /// Statements prepared with SQL's PREPARE.
    pub prepared: BTreeMap<String, Arc<Analysis>>,
    /// Open cursors, and portals of the protocol: they share their names.
    pub cursors: BTreeMap<String, Arc<Analysis>>,
}

/// A temporary relation that the session made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TempRelation {
    pub name: String,
    /// `None`: not known.
    pub columns: Option<Vec<String>>,
}

/// What the operator vouches for: that it neither returns nor prints nor stores a governed value.
#[derive(Clone, Debug, Default)]
pub struct Vouched {
    /// `schema.name`; every overload.
    pub functions: BTreeSet<String>,
    /// Every function and operator of these extensions.
    pub extensions: BTreeSet<String>,
}

impl Vouched {
    pub(crate) fn covers(&self, function: &Function) -> bool {
        let name = format!("{}.{}", function.schema, function.name);
        self.functions.contains(&name) || self.covers_extension(function)
    }

    pub(crate) fn covers_extension(&self, function: &Function) -> bool {
        function.extension.as_ref().is_some_and(|e| self.extensions.contains(e))
    }
}
