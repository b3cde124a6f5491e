//! What the catalog says, as far as judging needs it; and a choice of columns to be governed.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub type Column = (u32, i32);
pub type Row = Vec<Option<String>>;
pub type Rows = Vec<Row>;

/// Of one moment's catalog.
#[derive(Default)]
pub struct Facts {
    /// Relation OID -> path as we write it.
    pub paths: BTreeMap<u32, String>,
    parents: BTreeMap<String, Vec<String>>,
    /// Relation -> relations that have a column of its row type.
    holders: BTreeMap<String, BTreeSet<String>>,
    /// PostgreSQL's own views: what they read is not ours to list.
    pub system_views: BTreeSet<String>,
    /// `schema.table.column` of those that are governed when masks are judged, and what must then not be named.
    pub rules: Vec<Value>,
    pub governed: BTreeSet<Column>,
    /// Views over them.
    pub exposing: BTreeSet<u32>,
}

/// A path's segment, as `vocab` escapes it.
pub fn segment(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F")
}

impl Facts {
    /// `results`: of the catalog queries, by name. `seed` chooses the governed columns.
    pub fn new(results: &BTreeMap<&str, &Rows>, seed: u64) -> Facts {
        let rows = |name: &str| results[name].iter();
        let text = |row: &Row, i: usize| row[i].clone().unwrap_or_default();
        let number = |row: &Row, i: usize| row[i].as_deref().and_then(|t| t.parse().ok()).unwrap_or(0u32);
        let server = &results["server"][0];
        let (database, temporary) = (text(server, 1), text(server, 2));
        let mut facts = Facts::default();
        let mut views = BTreeSet::new();
        let mut tables: BTreeMap<u32, (String, String)> = BTreeMap::new();
        for row in rows("relations") {
            let (oid, schema, name, kind) = (number(row, 0), text(row, 1), text(row, 2), text(row, 3));
            let shown = if schema == temporary { "pg_temp" } else { &schema };
            let path = format!("crm/{}/{}/{}", segment(&database), segment(shown), segment(&name));
            let system = matches!(schema.as_str(), "pg_catalog" | "information_schema");
            if system && kind == "v" {
                facts.system_views.insert(path.clone());
            }
            let plain = !system && schema != temporary && !schema.contains('.') && !name.contains('.');
            if plain && matches!(kind.as_str(), "r" | "p") {
                tables.insert(oid, (schema, name));
            }
            if kind == "v" && !system {
                views.insert(oid);
            }
            // A composite type is a type.
            if kind != "c" {
                facts.paths.insert(oid, path);
            }
        }
        for row in rows("inherits") {
            let (child, parent) = (number(row, 0), number(row, 1));
            if let (Some(child), Some(parent)) = (facts.paths.get(&child), facts.paths.get(&parent)) {
                facts.parents.entry(child.clone()).or_default().push(parent.clone());
            }
        }
        facts.hold(results);
        let mut keys: BTreeSet<Column> = BTreeSet::new();
        for row in rows("indexes").filter(|row| row[3].as_deref() == Some("t")) {
            let nums = text(row, 4);
            keys.extend(nums.split_whitespace().filter_map(|n| Some((number(row, 1), n.parse().ok()?))));
        }
        for row in rows("columns") {
            let (oid, num) = (number(row, 0), number(row, 1) as i32);
            let Some((schema, table)) = tables.get(&oid) else { continue };
            let name = text(row, 2);
            let column = format!("{schema}.{table}.{name}");
            if keys.contains(&(oid, num)) || !mix(seed, &column).is_multiple_of(3) || name.contains('.') {
                continue;
            }
            facts.governed.insert((oid, num));
            facts.rules.push(json!({ "column": column, "class": "pii.name", "as": "null" }));
        }
        loop {
            let before = facts.exposing.len();
            for row in rows("view_columns") {
                let (view, of, num) = (number(row, 0), number(row, 1), number(row, 2) as i32);
                // A table with a rule is not read through the rule, and a materialized view has masks of its own.
                if views.contains(&view)
                    && (facts.governed.contains(&(of, num)) || facts.exposing.contains(&of))
                {
                    facts.exposing.insert(view);
                }
            }
            if facts.exposing.len() == before {
                return facts;
            }
        }
    }

    /// Row types as types of columns, alone or as arrays. An array's type is named after its element's.
    fn hold(&mut self, results: &BTreeMap<&str, &Rows>) {
        let number = |row: &Row, i: usize| row[i].as_deref().and_then(|t| t.parse().ok()).unwrap_or(0u32);
        let arrays = results["types"].iter().filter_map(|row| {
            Some(((row[1].as_deref()?, row[2].as_deref()?.strip_prefix('_')?), number(row, 0)))
        });
        let arrays: BTreeMap<(&str, &str), u32> = arrays.collect();
        let mut rows = BTreeMap::new();
        for row in results["relations"].iter().filter(|row| number(row, 5) >= 16_384) {
            let name = (row[1].as_deref().unwrap_or_default(), row[2].as_deref().unwrap_or_default());
            rows.insert(number(row, 5), number(row, 0));
            rows.extend(arrays.get(&name).map(|array| (*array, number(row, 0))));
        }
        for row in results["columns"].iter() {
            let paths = (
                rows.get(&number(row, 3)).and_then(|of| self.paths.get(of)),
                self.paths.get(&number(row, 0)),
            );
            if let (Some(of), Some(holder)) = paths {
                self.holders.entry(of.clone()).or_default().insert(holder.clone());
            }
        }
    }

    /// Whether a relation is named as the type of a column of one of these: a field of such a value is none of its rows.
    pub fn is_type<'a>(&self, path: &str, mut of: impl Iterator<Item = &'a String>) -> bool {
        self.holders.get(path).is_some_and(|holders| of.any(|path| holders.contains(path)))
    }

    /// Whether `path` or a table that it is a child or partition of is among those that `known` knows.
    pub fn within(&self, path: &str, known: &dyn Fn(&str) -> bool) -> bool {
        let parents = self.parents.get(path).into_iter().flatten();
        known(path) || parents.into_iter().any(|parent| self.within(parent, known))
    }
}

/// A hash that is the same everywhere.
pub fn mix(seed: u64, text: &str) -> u64 {
    text.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
        >> 7
}
