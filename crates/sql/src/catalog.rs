//! How the catalog is read: queries for the gateway's own connection, and their results as a [`Snapshot`].

use std::collections::{BTreeMap, HashMap};

use crate::limits::CATALOG_ROWS_MAX;
use crate::snapshot::{Cast, Class, Column, Constraint, Function, Index, Operator, Relation, Snapshot, Type};

/// The newest server whose grammar we read.
pub const SERVER_MAJOR_MAX: u32 = 18;

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

/// Run in this order and in one transaction, a client's own or a `REPEATABLE READ READ ONLY`. The first sets search_path to
/// `pg_catalog` until the last sets it back, so that types and view definitions come back with qualified names. Through a
/// session's own connection they also show its temporary relations. PostgreSQL 13 to 18.
pub const QUERIES: &[Query] = &[
    Query {
        name: "server",
        sql: "SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.current_database(), \
              (SELECT nspname FROM pg_catalog.pg_namespace WHERE oid = pg_catalog.pg_my_temp_schema()), \
              pg_catalog.set_config('tachograph.search_path', pg_catalog.current_setting('search_path'), true) IS NULL, \
              pg_catalog.set_config('search_path', 'pg_catalog', true)",
    },
    Query {
        name: "relations",
        sql: "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.reltype FROM pg_catalog.pg_class c \
              JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
              WHERE n.nspname !~ '^pg_toast' AND NOT pg_catalog.pg_is_other_temp_schema(n.oid) ORDER BY 1",
    },
    Query {
        name: "columns",
        sql: "SELECT a.attrelid, a.attnum, a.attname, a.atttypid, pg_catalog.format_type(a.atttypid, a.atttypmod), \
              CASE WHEN a.attcollation <> t.typcollation THEN (SELECT pg_catalog.quote_ident(n.nspname) || '.' || \
              pg_catalog.quote_ident(l.collname) FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace n \
              ON n.oid = l.collnamespace WHERE l.oid = a.attcollation) END, a.attnotnull, a.attgenerated <> '', \
              b.typtype, pg_catalog.format_type(CASE WHEN b.typbasetype <> 0 THEN b.typbasetype ELSE b.oid END, NULL), \
              a.atttypmod \
              FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
              JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace \
              JOIN pg_catalog.pg_type t ON t.oid = a.atttypid JOIN pg_catalog.pg_type b ON b.oid = a.atttypid \
              WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r','v','m','p','f','S','c') \
              AND s.nspname !~ '^pg_toast' AND NOT pg_catalog.pg_is_other_temp_schema(s.oid) ORDER BY 1, 2",
    },
    Query { name: "inherits", sql: "SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits ORDER BY 1, 2" },
    Query {
        name: "views",
        sql: "SELECT c.oid, pg_catalog.pg_get_viewdef(c.oid) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n \
              ON n.oid = c.relnamespace WHERE c.relkind IN ('v','m') AND n.nspname NOT IN \
              ('pg_catalog','information_schema') AND NOT pg_catalog.pg_is_other_temp_schema(n.oid) ORDER BY 1",
    },
    Query {
        name: "view_columns",
        sql: "SELECT DISTINCT r.ev_class, d.refobjid, d.refobjsubid FROM pg_catalog.pg_depend d \
              JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid \
              WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class \
              AND r.oid >= 16384 ORDER BY 1, 2, 3",
    },
    Query {
        name: "functions",
        sql: "SELECT p.oid, n.nspname, p.proname, p.pronargs, p.pronargdefaults, p.provariadic <> 0, p.provolatile, \
              p.prosecdef, pg_catalog.pg_get_userbyid(p.proowner), l.lanname, p.prokind, x.extname, \
              pg_catalog.array_to_string(pg_catalog.array_append(COALESCE(p.proallargtypes, \
              p.proargtypes::pg_catalog.oid[]), p.prorettype), ',') \
              FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
              JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
              LEFT JOIN pg_catalog.pg_depend e ON e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND e.objid = p.oid \
              AND e.deptype = 'e' LEFT JOIN pg_catalog.pg_extension x ON x.oid = e.refobjid \
              WHERE p.oid >= 16384 OR n.nspname <> 'pg_catalog' ORDER BY 1",
    },
    Query {
        name: "builtins",
        sql: "SELECT DISTINCT proname FROM pg_catalog.pg_proc WHERE pronamespace = \
              'pg_catalog'::pg_catalog.regnamespace ORDER BY 1",
    },
    Query {
        name: "relation_functions",
        sql: "SELECT DISTINCT o.rel, o.via, f.run FROM ( \
              SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid AS cls, oid AS obj, adrelid AS rel, \
              'w' AS via FROM pg_catalog.pg_attrdef \
              UNION ALL SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, oid, conrelid, 'w' \
              FROM pg_catalog.pg_constraint WHERE conrelid <> 0 \
              UNION ALL SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass, oid, tgrelid, 'w' FROM pg_catalog.pg_trigger \
              UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, indexrelid, indrelid, 'w' FROM pg_catalog.pg_index \
              UNION ALL SELECT 'pg_catalog.pg_rewrite'::pg_catalog.regclass, oid, ev_class, 'r' FROM pg_catalog.pg_rewrite \
              UNION ALL SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass, oid, polrelid, 'r' FROM pg_catalog.pg_policy \
              UNION ALL SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, oid, contypid, 'd' \
              FROM pg_catalog.pg_constraint WHERE contypid <> 0 \
              UNION ALL SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, oid, oid, 'd' FROM pg_catalog.pg_type \
              WHERE typtype = 'd') o \
              JOIN pg_catalog.pg_depend d ON d.classid = o.cls AND d.objid = o.obj \
              JOIN (SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid AS cls, oid AS obj, oid AS run \
              FROM pg_catalog.pg_proc UNION ALL SELECT 'pg_catalog.pg_operator'::pg_catalog.regclass, oid, \
              oprcode::pg_catalog.oid FROM pg_catalog.pg_operator) f ON f.cls = d.refclassid AND f.obj = d.refobjid \
              WHERE d.refobjid >= 16384 AND f.run >= 16384 ORDER BY 1, 2, 3",
    },
    Query {
        name: "types",
        sql: "SELECT t.oid, n.nspname, t.typname, t.typtype, t.typbasetype, t.typelem, t.typrelid, \
              COALESCE(r.rngsubtype, 0) FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
              LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid WHERE t.oid >= 16384 ORDER BY 1",
    },
    Query {
        name: "operators",
        sql: "SELECT o.oid, n.nspname, o.oprname, o.oprcode::pg_catalog.oid, o.oprleft, o.oprright, \
              o.oprresult FROM pg_catalog.pg_operator o \
              JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace WHERE o.oid >= 16384 ORDER BY 1",
    },
    Query {
        name: "casts",
        sql: "SELECT castsource, casttarget, castfunc, castcontext FROM pg_catalog.pg_cast WHERE oid >= 16384 ORDER BY 1, 2",
    },
    Query {
        // What compares, sorts and hashes values of a type.
        name: "classes",
        sql: "SELECT DISTINCT c.opcintype, f.run FROM pg_catalog.pg_opclass c JOIN pg_catalog.pg_am m ON m.oid = c.opcmethod \
              JOIN (SELECT amprocfamily AS family, amproc::pg_catalog.oid AS run FROM pg_catalog.pg_amproc \
              UNION SELECT a.amopfamily, o.oprcode::pg_catalog.oid FROM pg_catalog.pg_amop a \
              JOIN pg_catalog.pg_operator o ON o.oid = a.amopopr) f ON f.family = c.opcfamily \
              WHERE f.run >= 16384 AND m.amname IN ('btree', 'hash') AND (c.opcdefault OR EXISTS (SELECT FROM \
              pg_catalog.pg_range r WHERE r.rngsubopc = c.oid)) ORDER BY 1, 2",
    },
    Query {
        name: "constraints",
        sql: "SELECT oid, conrelid, contype, pg_catalog.array_to_string(conkey, ','), confrelid, \
              pg_catalog.array_to_string(confkey, ','), confdeltype, confupdtype, \
              pg_catalog.array_to_string(conexclop, ',') FROM pg_catalog.pg_constraint WHERE conrelid >= 16384 ORDER BY 1",
    },
    Query {
        name: "indexes",
        sql: "SELECT i.indexrelid, i.indrelid, i.indisunique, i.indisprimary, i.indkey::pg_catalog.text, \
              i.indexprs IS NOT NULL OR i.indpred IS NOT NULL, (SELECT pg_catalog.string_agg(DISTINCT \
              d.refobjsubid::pg_catalog.text, ',') FROM pg_catalog.pg_depend d WHERE d.classid = \
              'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid AND d.refobjid = i.indrelid \
              AND d.refobjsubid > 0) FROM pg_catalog.pg_index i WHERE i.indexrelid >= 16384 ORDER BY 1",
    },
    Query {
        // The columns of which generated ones are made: what depends is the default, before PostgreSQL 15 the column.
        name: "generated",
        sql: "SELECT DISTINCT a.attrelid, a.attnum, d.refobjsubid FROM pg_catalog.pg_attribute a \
              JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum \
              JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
              AND d.refobjid = a.attrelid AND d.refobjsubid > 0 AND d.refobjsubid <> a.attnum \
              AND (d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = f.oid \
              OR d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = a.attrelid AND d.objsubid = a.attnum) \
              WHERE a.attgenerated <> '' AND a.attrelid >= 16384 ORDER BY 1, 2, 3",
    },
    Query {
        name: "partitioned",
        sql: "SELECT partrelid, partattrs::pg_catalog.text FROM pg_catalog.pg_partitioned_table ORDER BY 1",
    },
    Query {
        name: "policies and rules",
        sql: "SELECT DISTINCT p.polrelid, d.refobjid FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_depend d \
              ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND d.objid = p.oid \
              AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> p.polrelid \
              UNION SELECT ev_class, 0 FROM pg_catalog.pg_rewrite WHERE ev_type <> '1' AND oid >= 16384 ORDER BY 1, 2",
    },
    Query {
        name: "search path",
        sql: "SELECT pg_catalog.set_config('search_path', pg_catalog.current_setting('tachograph.search_path'), true) \
              IS NULL",
    },
];

/// Builds the snapshot from one result per query of [`QUERIES`].
///
/// Errors: a result that is missing, too long or of another shape; a server newer than [`SERVER_MAJOR_MAX`].
pub fn snapshot(results: &[Rows]) -> Result<Snapshot, CatalogError> {
    if results.len() != QUERIES.len() {
        return Err(CatalogError(format!("{} results for {} catalog queries", results.len(), QUERIES.len())));
    }
    if let Some(i) = results.iter().position(|rows| rows.len() > CATALOG_ROWS_MAX) {
        return Err(CatalogError(format!("the catalog query `{}` returned too many rows", QUERIES[i].name)));
    }
    let canonical = canonical(results);
    let mut results = results.iter().zip(QUERIES);
    let mut next =
        || results.next().map(|(rows, query)| Table { rows, name: query.name }).unwrap_or_default();

    let mut snapshot = Snapshot::default();
    snapshot.canonical = canonical;
    let server = next();
    let [row] = server.rows else {
        return Err(CatalogError("the catalog query `server` returned no row".into()));
    };
    let row = server.row(row);
    snapshot.server = row.number::<u32>(0)? / 10_000;
    if snapshot.server > SERVER_MAJOR_MAX {
        return Err(CatalogError(format!(
            "PostgreSQL {} is newer than the grammar of this gateway ({SERVER_MAJOR_MAX}): upgrade the gateway",
            snapshot.server
        )));
    }
    snapshot.database = row.text(1)?;
    snapshot.temp_schema = row.optional(2)?;

    for row in next().iter() {
        let relation = Relation {
            oid: row.number(0)?,
            schema: row.text(1)?,
            name: row.text(2)?,
            kind: row.letter(3)?,
            temporary: row.letter(4)? == 't',
            row_type: row.number(5)?,
            ..Relation::default()
        };
        snapshot.relations.insert(relation.oid, relation);
    }
    for row in next().iter() {
        let column = Column {
            num: row.number(1)?,
            name: row.text(2)?,
            type_oid: row.number(3)?,
            type_name: row.text(4)?,
            collation: row.optional(5)?,
            generated: row.flag(7)?,
            made_of: Vec::new(),
            type_kind: row.letter(8)?,
            base_type: row.text(9)?,
            typmod: row.number(10)?,
        };
        if let Some(relation) = snapshot.relations.get_mut(&row.number(0)?) {
            relation.columns.push(column);
        }
    }
    for row in next().iter() {
        let (child, parent) = (row.number(0)?, row.number(1)?);
        if let Some(relation) = snapshot.relations.get_mut(&child) {
            relation.parents.push(parent);
        }
        if let Some(relation) = snapshot.relations.get_mut(&parent) {
            relation.children.push(child);
        }
    }
    for row in next().iter() {
        if let Some(relation) = snapshot.relations.get_mut(&row.number(0)?) {
            relation.definition = Some(row.text(1)?);
        }
    }
    for row in next().iter() {
        if let Some(relation) = snapshot.relations.get_mut(&row.number(0)?) {
            relation.depends.push((row.number(1)?, row.number(2)?));
        }
    }
    for row in next().iter() {
        let function = Function {
            oid: row.number(0)?,
            schema: row.text(1)?,
            name: row.text(2)?,
            args_max: if row.flag(5)? { u16::MAX } else { row.number(3)? },
            args_min: row
                .number::<u16>(3)?
                .saturating_sub(row.number(4)?)
                .saturating_sub(u16::from(row.flag(5)?)),
            volatility: row.letter(6)?,
            security_definer: row.flag(7)?,
            owner: row.text(8)?,
            language: row.text(9)?,
            extension: row.optional(11)?,
            types: row.numbers(12)?,
        };
        snapshot.functions.insert(function.oid, function);
    }
    for row in next().iter() {
        snapshot.builtins.insert(row.text(0)?);
    }
    for row in next().iter() {
        let (of, function) = (row.number(0)?, row.number(2)?);
        match row.letter(1)? {
            'd' => snapshot.domain_functions.entry(of).or_insert_with(Vec::new).push(function),
            via => {
                if let Some(relation) = snapshot.relations.get_mut(&of) {
                    let list =
                        if via == 'r' { &mut relation.read_functions } else { &mut relation.write_functions };
                    list.push(function);
                }
            }
        }
    }
    for row in next().iter() {
        let found = Type {
            oid: row.number(0)?,
            schema: row.text(1)?,
            name: row.text(2)?,
            kind: row.letter(3)?,
            base: row.number(4)?,
            element: row.number(5)?,
            row_of: row.number(6)?,
            bound: row.number(7)?,
        };
        snapshot.types.insert(found.oid, found);
    }
    for row in next().iter() {
        snapshot.operators.push(Operator {
            schema: row.text(1)?,
            name: row.text(2)?,
            function: row.number(3)?,
            left: row.number(4)?,
            right: row.number(5)?,
            result: row.number(6)?,
        });
    }
    for row in next().iter() {
        snapshot.casts.push(Cast {
            source: row.number(0)?,
            target: row.number(1)?,
            function: row.number(2)?,
            context: row.letter(3)?,
        });
    }
    for row in next().iter() {
        snapshot.classes.push(Class { of: row.number(0)?, function: row.number(1)? });
    }
    for row in next().iter() {
        let constraint = Constraint {
            oid: row.number(0)?,
            kind: row.letter(2)?,
            columns: row.numbers(3)?,
            references: row.number(4)?,
            referenced: row.numbers(5)?,
            on_delete: row.letter(6)?,
            on_update: row.letter(7)?,
        };
        let of: u32 = row.number(1)?;
        if constraint.kind == 'f' {
            snapshot
                .referencing
                .entry(constraint.references)
                .or_insert_with(Vec::new)
                .push((of, constraint.clone()));
        }
        if let Some(relation) = snapshot.relations.get_mut(&of) {
            relation.constraints.push(constraint);
        }
    }
    for row in next().iter() {
        let mut columns: Vec<i16> = row.numbers(4)?;
        let computed = row.flag(5)?;
        let index = Index {
            oid: row.number(0)?,
            unique: row.flag(2)?,
            primary: row.flag(3)?,
            keys: columns.clone(),
            computed,
        };
        columns.extend(row.numbers::<i16>(6)?);
        columns.retain(|c| *c > 0);
        let of: u32 = row.number(1)?;
        snapshot.index_of.insert(index.oid, of);
        if let Some(relation) = snapshot.relations.get_mut(&of) {
            relation.indexes.push((index, columns));
        }
    }
    for row in next().iter() {
        let num = row.number::<i16>(1)?;
        let columns = snapshot.relations.get_mut(&row.number(0)?).map(|r| &mut r.columns);
        if let Some(column) = columns.into_iter().flatten().find(|c| c.num == num) {
            column.made_of.push(row.number(2)?);
        }
    }
    for row in next().iter() {
        if let Some(relation) = snapshot.relations.get_mut(&row.number(0)?) {
            relation.partition_key = row.numbers(1)?;
        }
    }
    for row in next().iter() {
        let Some(relation) = snapshot.relations.get_mut(&row.number(0)?) else { continue };
        match row.number(1)? {
            0 => relation.ruled = true,
            read => relation.policy_reads.push(read),
        }
    }
    snapshot.link();
    Ok(snapshot)
}

/// Length-prefixed, so that different catalogs have different bytes.
fn canonical(results: &[Rows]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |n: usize| out.extend_from_slice(&(n as u64).to_be_bytes());
    for rows in results {
        put(rows.len());
    }
    for field in results.iter().flatten().flatten() {
        match field {
            None => out.extend_from_slice(&u64::MAX.to_be_bytes()),
            Some(text) => {
                out.extend_from_slice(&(text.len() as u64).to_be_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
    out
}

#[derive(Clone, Copy, Default)]
struct Table<'a> {
    rows: &'a [Vec<Option<String>>],
    name: &'static str,
}

impl<'a> Table<'a> {
    fn iter(self) -> impl Iterator<Item = Row<'a>> {
        self.rows.iter().map(move |fields| self.row(fields))
    }

    fn row(self, fields: &'a [Option<String>]) -> Row<'a> {
        Row { fields, name: self.name }
    }
}

struct Row<'a> {
    fields: &'a [Option<String>],
    name: &'static str,
}

impl Row<'_> {
    fn wrong(&self, i: usize) -> CatalogError {
        CatalogError(format!("field {i} of the catalog query `{}` is not what was asked for", self.name))
    }

    fn optional(&self, i: usize) -> Result<Option<String>, CatalogError> {
        self.fields.get(i).cloned().ok_or_else(|| self.wrong(i))
    }

    fn text(&self, i: usize) -> Result<String, CatalogError> {
        self.optional(i)?.ok_or_else(|| self.wrong(i))
    }

    fn str(&self, i: usize) -> Result<&str, CatalogError> {
        self.fields.get(i).and_then(|f| f.as_deref()).ok_or_else(|| self.wrong(i))
    }

    fn number<T: std::str::FromStr>(&self, i: usize) -> Result<T, CatalogError> {
        self.str(i)?.parse().map_err(|_| self.wrong(i))
    }

    fn letter(&self, i: usize) -> Result<char, CatalogError> {
        Ok(self.str(i)?.chars().next().unwrap_or(' '))
    }

    fn flag(&self, i: usize) -> Result<bool, CatalogError> {
        match self.str(i)? {
            "t" | "true" => Ok(true),
            "f" | "false" => Ok(false),
            _ => Err(self.wrong(i)),
        }
    }

    /// A list of numbers separated by commas or spaces; NULL is none.
    fn numbers<T: std::str::FromStr>(&self, i: usize) -> Result<Vec<T>, CatalogError> {
        let text = self.optional(i)?.unwrap_or_default();
        let parts = text.split([',', ' ']).filter(|p| !p.is_empty());
        parts.map(|p| p.parse().map_err(|_| self.wrong(i))).collect()
    }
}

/// An index of names: schema, then name.
pub(crate) type ByName<T> = HashMap<String, HashMap<String, T>>;

pub(crate) type ById<T> = BTreeMap<u32, T>;
