//! Writes ledgers and bundles in memory, for tests.
