//! What statements do and become, against the leak corpus's schema; and against a real server where one is installed.

#![allow(clippy::unwrap_used)]

mod derived;
mod goldens;
mod hostile;
mod literals;
mod locks;
mod names;
mod unseen;

use std::path::PathBuf;

use sql::{ColumnRule, Governed, Names, Snapshot, catalog};
use vocab::{Class, MaskKind};

/// The catalog of the corpus's schema, as PostgreSQL 15 gave it: `testdata/catalog.json`.
fn snapshot() -> Snapshot {
    let text = std::fs::read_to_string(testdata().join("catalog.json")).unwrap();
    let results: Vec<catalog::Rows> = serde_json::from_str(&text).unwrap();
    catalog::snapshot(&results).unwrap()
}

fn testdata() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("testdata")
}

fn rules() -> Vec<ColumnRule> {
    let customers = [
        ("name", MaskKind::RowToken),
        ("email", MaskKind::RowToken),
        ("ssn", MaskKind::RowToken),
        ("card", MaskKind::Partial { keep: 4 }),
        ("dob", MaskKind::Bucket { width: 1 }),
        ("salary", MaskKind::Null),
        ("notes", MaskKind::Redact),
    ];
    let rule = |table: &str, column: &str, class: &str, kind| ColumnRule {
        schema: "app".into(),
        table: table.into(),
        column: column.into(),
        class: Class::new(class).unwrap(),
        kind,
    };
    let mut rules: Vec<ColumnRule> =
        customers.into_iter().map(|(c, kind)| rule("customers", c, &format!("pii.{c}"), kind)).collect();
    rules.push(rule("api_keys", "secret", "secret.api_key", MaskKind::RowToken));
    rules.push(rule("customers_audit", "old_row", "pii.row", MaskKind::Null));
    rules
}

fn governed(snapshot: &Snapshot) -> Governed {
    Governed::bind(snapshot, &rules()).unwrap()
}

fn names() -> Names {
    Names {
        search_path: vec!["app".into(), "public".into()],
        role: "agent".into(),
        database: "leakcorpus".into(),
        ..Names::default()
    }
}
