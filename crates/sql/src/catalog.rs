//! How the catalog is read: queries for the gateway's own connection, and their results as a [`Snapshot`].

use crate::Snapshot;

/// A query that the gateway runs, as is, with text results.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    pub name: &'static str,
    pub sql: &'static str,
}

/// The result of one query: rows of text fields.
pub type Rows = Vec<Vec<Option<String>>>;

/// A catalog that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogError(pub String);

impl std::fmt::Display for CatalogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CatalogError {}

/// Run in this order, in one `REPEATABLE READ READ ONLY` transaction with `search_path` set to `pg_catalog`.
pub const QUERIES: &[Query] = &[Query { name: "server", sql: "SELECT current_setting('server_version_num')" }];

/// Builds the snapshot from one result per query of [`QUERIES`].
///
/// Errors: a result that is missing or has another shape; a server whose major version is newer than the grammar's.
pub fn snapshot(results: Vec<Rows>) -> Result<Snapshot, CatalogError> {
    if results.len() != QUERIES.len() {
        return Err(CatalogError(format!("{} results for {} queries", results.len(), QUERIES.len())));
    }
    Ok(Snapshot::default())
}
