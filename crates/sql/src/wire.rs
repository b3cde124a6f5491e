//! What the relay holds an answer against: the origin that the wire itself names, and names that may be said.

use std::collections::HashSet;

use vocab::{Access, Action, Class, ResourcePath, Verb};

use crate::analysis::Analysis;
use crate::governed::{Cover, Governed};
use crate::snapshot::Snapshot;

impl Governed {
    /// The class of a column by relation OID and attribute number, as a RowDescription names them. A column of a
    /// masked sub-select has no such origin; one that has, and a class, came raw.
    pub fn class_of(&self, relation: u32, attnum: i16) -> Option<Class> {
        match self.relations.get(&relation)? {
            Cover::Columns(masks) => masks.get(&attnum).map(|mask| mask.class.clone()),
            Cover::View(body) => body.masks.get(&attnum).map(|mask| mask.class.clone()),
            Cover::Broken => None,
        }
    }
}

impl Snapshot {
    /// Lower-case names of relations, their columns and schemas, types and functions: what an error may say.
    pub fn names(&self) -> HashSet<&str> {
        let relations = self.relations.values().flat_map(|r| {
            [r.name.as_str(), r.schema.as_str()].into_iter().chain(r.columns.iter().map(|c| c.name.as_str()))
        });
        let types = self.types.values().map(|t| t.name.as_str());
        let functions = self.functions.values().map(|f| f.name.as_str());
        relations.chain(types).chain(functions).collect()
    }
}

impl Analysis {
    /// Of a text without a statement: it touches nothing but the database that it is sent to.
    pub fn of_nothing(database: ResourcePath) -> Analysis {
        Analysis {
            action: Action {
                accesses: vec![Access { verb: Verb::Connect, on: database, columns: Vec::new() }],
                kind: "EMPTY",
                ..Action::default()
            },
            pure_read: true,
            ..Analysis::default()
        }
    }
}
