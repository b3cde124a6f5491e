//! One statement before the server: what we say that it reads and writes against what the server says.
//!
//! The server is asked three times. A function with the statement as its body, made and rolled back, depends on every
//! relation, column and function that the statement names (`pg_depend`). `EXPLAIN` shows the relations of its plan.
//! Run in a transaction, it has or has not got a transaction id, and has changed rows of certain tables.

use super::engine::Engine;
use super::facts::{Facts, Row, Rows, segment};
use super::server::{around, connect, each, rows, run};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, NoTls};

/// One statement may take as long; the longest of PostgreSQL's own take 2 s.
const STATEMENT_SECONDS_MAX: Duration = Duration::from_secs(30);

/// Catalog queries most of whose rows are about the system's own relations, and the column that says so. They are sorted
/// by it.
const OF_SYSTEM: &[(&str, &str)] = &[("relations", "oid"), ("columns", "attrelid")];
/// What is made after initdb has a higher OID.
const SYSTEM_OIDS_END: u32 = 16_384;

/// Kinds of statement that leave the catalog as it was, if they define nothing besides.
const QUIET: &[&str] = &[
    "ANALYZE",
    "BEGIN",
    "CHECKPOINT",
    "CLOSE CURSOR",
    "COPY",
    "DEALLOCATE",
    "DECLARE CURSOR",
    "DELETE",
    "EXECUTE",
    "EXPLAIN",
    "EXPLAIN ANALYZE",
    "FETCH",
    "INSERT",
    "LISTEN",
    "LOCK TABLE",
    "MERGE",
    "MOVE",
    "NOTIFY",
    "PREPARE",
    "RELEASE",
    "RESET",
    "SAVEPOINT",
    "SELECT",
    "SET",
    "SET CONSTRAINTS",
    "SHOW",
    "UNLISTEN",
    "UPDATE",
];
/// Settings with which scripts make plans slow.
const PLANNED: &[&str] = &[
    "enable_bitmapscan",
    "enable_hashagg",
    "enable_hashjoin",
    "enable_indexscan",
    "enable_mergejoin",
    "enable_nestloop",
    "enable_seqscan",
    "enable_sort",
    "from_collapse_limit",
    "join_collapse_limit",
    "work_mem",
];

/// What came out, over many statements.
#[derive(Default)]
pub struct Record {
    /// Statements that the server ran without an error.
    pub good: usize,
    /// Of those that read or change rows: how many, and how many of them we refuse or call opaque.
    pub known: usize,
    pub refused: usize,
    /// Judged by what they depend on, by their plan, by what they did.
    pub depended: usize,
    pub explained: usize,
    pub ran: usize,
    /// How often the catalog was read, and how long that took.
    pub refreshed: usize,
    pub refreshing: Duration,
    /// With a choice of columns governed: rewritten (or unchanged) and accepted by the server, refused by us, and
    /// accepted before but not after the rewrite.
    pub masked: usize,
    pub mask_refused: BTreeMap<String, usize>,
    pub broken: Vec<String>,
    /// Each is a failed test.
    pub wrong: Vec<String>,
}

pub struct Court {
    client: Client,
    engine: Engine,
    session: String,
    sessions: usize,
    port: u16,
    database: String,
    seed: u64,
    sent: Vec<Rows>,
    facts: Facts,
    /// The catalog may have changed since it was read.
    pub stale: bool,
    /// The server asked for the data of the last COPY.
    pub took_data: bool,
    /// What is being judged, for messages.
    pub place: String,
    pub record: Record,
}

/// What we say.
struct Claim {
    kind: String,
    verbs: BTreeSet<String>,
    /// Path -> verbs and columns.
    on: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>,
    functions: BTreeSet<String>,
    triggers: bool,
    pure: bool,
    /// Refused or opaque.
    unknown: Option<String>,
    changes: bool,
    text: String,
}

impl Court {
    pub async fn new(port: u16, database: &str, seed: u64) -> Court {
        let client = connect(port, database).await;
        Court {
            client,
            engine: Engine::start(),
            session: "0".to_owned(),
            sessions: 0,
            port,
            database: database.to_owned(),
            seed,
            sent: Vec::new(),
            facts: Facts::default(),
            stale: true,
            took_data: false,
            place: String::new(),
            record: Record::default(),
        }
    }

    /// As `\c` does; and to another database.
    pub async fn reconnect(&mut self, database: Option<&str>) {
        if let Some(database) = database {
            database.clone_into(&mut self.database);
        }
        self.client = connect(self.port, &self.database).await;
        self.sessions += 1;
        self.session = self.sessions.to_string();
        self.sent.clear();
        self.stale = true;
    }

    /// What cannot be asked is not judged.
    pub fn is_lost(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs a text without judging it; the rows of its last result.
    pub async fn run(&mut self, text: &str, data: Option<&str>) -> Result<Rows, Error> {
        self.took_data = false;
        let work = run(&self.client, text, data, &mut self.took_data);
        match tokio::time::timeout(STATEMENT_SECONDS_MAX, work).await {
            Ok(done) => done,
            Err(_) => {
                drop(self.client.cancel_token().cancel_query(NoTls).await);
                // What is left of it is read by the next query, which waits for it.
                rows(&self.client, "SELECT 1").await
            }
        }
    }

    /// Judges a statement and runs it.
    pub async fn statement(&mut self, text: &str, data: Option<&str>) -> Result<Rows, Error> {
        let Some(now) = self.now().await else {
            self.stale = true;
            return self.run(text, data).await;
        };
        if self.stale && !self.refresh(now.inside).await {
            return self.run(text, data).await;
        }
        let Some(claim) = self.claim(text, "", &now) else {
            self.stale = true;
            return self.run(text, data).await;
        };
        let rows = matches!(claim.kind.as_str(), "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE");
        let mut depended = None;
        if rows {
            depended = self.depends(text, now.inside).await;
            if claim.unknown.is_none() {
                self.judge_dependencies(text, &claim, depended.as_ref());
                self.judge_plan(text, &claim, now.inside).await;
            }
            if depended.is_some() {
                self.judge_mask(text, &claim, &now).await;
            }
        }
        let done = self.execute(text, data, &claim, now.inside && depended.is_some(), now.inside).await;
        if done.is_ok() {
            self.record.good += 1;
            if rows {
                self.record.known += 1;
                self.record.refused += usize::from(claim.unknown.is_some());
                if let Some(why) = claim.unknown.as_ref().filter(|_| std::env::var_os("JUDGE_ONLY").is_some())
                {
                    println!("refused: {why}\n         {}", text.trim());
                }
            }
            if matches!(claim.kind.as_str(), "PREPARE" | "DECLARE CURSOR" | "DEALLOCATE" | "DISCARD ALL") {
                for masked in ["", "masked"] {
                    let key = format!("{}{masked}", self.session);
                    self.engine.ask(&json!({ "done": [text], "session": key }));
                }
            }
        }
        // What failed by itself has changed nothing, unless it was several transactions.
        let undone =
            done.is_err() && claim.unknown.is_none() && !text.to_lowercase().contains("concurrently");
        self.stale |= claim.changes && (now.inside || !undone);
        self.stale |= (claim.unknown.is_some() && !rows) || (done.is_err() && now.inside);
        // A function that nobody vouches for may do anything.
        self.stale |= claim.unknown.is_some() && !claim.functions.is_empty();
        done
    }

    // What we say.

    fn claim(&mut self, text: &str, masked: &str, now: &Now) -> Option<Claim> {
        let key = format!("{}{masked}", self.session);
        let answer = self.engine.ask(&json!({ "sql": text, "session": key, "search_path": now.path }));
        let mut claim = Claim {
            kind: String::new(),
            verbs: BTreeSet::new(),
            on: BTreeMap::new(),
            functions: BTreeSet::new(),
            triggers: false,
            pure: false,
            unknown: None,
            changes: false,
            text: String::new(),
        };
        if let Some(why) = answer["refuse"].as_str() {
            claim.unknown = Some(why.to_owned());
            claim.kind = first_word(text);
            return Some(claim);
        }
        let [statement] = answer["statements"].as_array()?.as_slice() else { return None };
        let text_of = |key: &str| statement[key].as_str().unwrap_or_default().to_owned();
        claim.kind = text_of("kind");
        claim.text = text_of("text");
        claim.triggers = statement["triggers"] == true;
        claim.pure = statement["pure_read"] == true;
        claim.changes = statement["ddl"] == true || !QUIET.contains(&claim.kind.as_str());
        claim.unknown = statement["refuse"].as_str().or(statement["opaque"].as_str()).map(str::to_owned);
        let strings = |value: &Value| -> BTreeSet<String> {
            value.as_array().into_iter().flatten().filter_map(|v| Some(v.as_str()?.to_owned())).collect()
        };
        claim.functions = strings(&statement["functions"]);
        claim.verbs = strings(&statement["verbs"]);
        for access in statement["accesses"].as_array().into_iter().flatten() {
            let path = access[1].as_str().unwrap_or_default().to_owned();
            let (verbs, columns) = claim.on.entry(path).or_default();
            verbs.insert(access[0].as_str().unwrap_or_default().to_owned());
            let names = access[2].as_array().into_iter().flatten();
            columns.extend(names.filter_map(|c| Some(c[0].as_str()?.to_owned())));
        }
        Some(claim)
    }

    /// Reads the catalog through the session's own connection, for both of the engine's sessions.
    async fn refresh(&mut self, inside: bool) -> bool {
        let begun = std::time::Instant::now();
        let good = self.refresh_now(inside).await;
        self.record.refreshed += 1;
        self.record.refreshing += begun.elapsed();
        good
    }

    async fn refresh_now(&mut self, inside: bool) -> bool {
        let results = match self.catalog(inside).await {
            Ok(results) => results,
            Err(said) => {
                self.wrong("the catalog", &format!("cannot be read: {said}"));
                return false;
            }
        };
        let changes: Vec<Value> = results
            .iter()
            .enumerate()
            .map(|(i, new)| change(self.sent.get(i).map_or(&[][..], Vec::as_slice), new))
            .collect();
        self.sent = results;
        let named = self.engine.queries.iter().map(|(name, _)| name.as_str()).zip(&self.sent).collect();
        self.facts = Facts::new(&named, self.seed);
        let sessions =
            json!({ &self.session: [], format!("{}masked", self.session): self.facts.rules.clone() });
        let answer = self.engine.ask(&json!({ "catalog": changes, "bind": sessions }));
        self.stale = answer["bound"] != true;
        if self.stale {
            self.wrong("the catalog", &format!("cannot be bound: {answer}"));
            // It may have taken the change, or not.
            self.sent.clear();
            self.engine.ask(&json!({ "catalog": [], "bind": {} }));
        }
        !self.stale
    }

    /// The results of the catalog queries, in one message. What initdb made is read once for a connection: nothing that
    /// is tested here changes it.
    async fn catalog(&mut self, inside: bool) -> Result<Vec<Rows>, String> {
        let (begin, end) = around(inside);
        let mut text = format!("{begin}; SET LOCAL search_path = pg_catalog");
        PLANNED.iter().for_each(|name| text.push_str(&format!("; SET LOCAL {name} TO DEFAULT")));
        text.push_str("; SET LOCAL statement_timeout = 0; SET LOCAL max_parallel_workers_per_gather = 0");
        let before = PLANNED.len() + 4;
        for (name, sql) in &self.engine.queries {
            let own = OF_SYSTEM.iter().find(|(query, _)| query == name && !self.sent.is_empty());
            match own {
                Some((_, oid)) => {
                    text.push_str(&format!("; SELECT * FROM ({sql}) AS q WHERE {oid} >= {SYSTEM_OIDS_END}"));
                }
                None => text.push_str(&format!("; {sql}")),
            }
        }
        let found = each(&self.client, &format!("{text}; {end}")).await;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                self.quietly(end).await;
                return Err(error.as_db_error().map_or_else(|| error.to_string(), |e| e.to_string()));
            }
        };
        let asked = self.engine.queries.len();
        let mut results: Vec<Rows> = found.into_iter().skip(before).take(asked).collect();
        if results.len() < asked {
            return Err(format!("{} results of {asked} queries", results.len()));
        }
        for ((new, old), (name, _)) in results.iter_mut().zip(&self.sent).zip(&self.engine.queries) {
            if OF_SYSTEM.iter().any(|(query, _)| query == name) {
                let system = old.iter().take_while(|row| number(row, 0) < SYSTEM_OIDS_END).cloned();
                new.splice(0..0, system.collect::<Rows>());
            }
        }
        Ok(results)
    }

    // What the server says.

    async fn now(&mut self) -> Option<Now> {
        const STATE: &str = "SELECT pg_catalog.now() OPERATOR(pg_catalog.<>) pg_catalog.statement_timestamp(), \
             pg_catalog.array_to_string(pg_catalog.current_schemas(false), E'\\n')";
        let row = rows(&self.client, STATE).await.ok()?.pop()?;
        let path = row[1].clone().unwrap_or_default();
        let path = path.split('\n').filter(|s| !s.is_empty()).map(str::to_owned).collect();
        Some(Now { inside: row[0].as_deref() == Some("t"), path })
    }

    async fn quietly(&self, text: &str) {
        drop(rows(&self.client, text).await);
    }

    /// What a function with this body depends on. `None`: it cannot be such a body.
    async fn depends(&mut self, text: &str, inside: bool) -> Option<Rows> {
        let (begin, end) = around(inside);
        let asked = format!(
            "{begin}; CREATE FUNCTION pg_temp.judge_body() RETURNS void LANGUAGE sql BEGIN ATOMIC {text}\n; END; \
             SET LOCAL search_path = pg_catalog; \
             SELECT d.refclassid::regclass::text, d.refobjid, d.refobjsubid, \
             CASE d.refclassid WHEN 'pg_proc'::regclass THEN (SELECT n.nspname || '.' || p.proname FROM pg_proc p \
             JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.prosrc <> 'multirange_constructor1' AND p.oid = d.refobjid) END, a.attname \
             FROM pg_depend d LEFT JOIN pg_attribute a ON d.refclassid = 'pg_class'::regclass \
             AND a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND a.attnum > 0 \
             WHERE d.classid = 'pg_proc'::regclass AND d.objid = (SELECT oid FROM pg_proc \
             WHERE proname = 'judge_body' AND pronamespace = pg_my_temp_schema())"
        );
        let found = rows(&self.client, &asked).await.ok();
        self.quietly(end).await;
        found
    }

    fn judge_dependencies(&mut self, text: &str, claim: &Claim, depended: Option<&Rows>) {
        let Some(depended) = depended else { return };
        self.record.depended += 1;
        let mut missed = Vec::new();
        for row in depended {
            let oid: u32 = row[1].as_deref().and_then(|t| t.parse().ok()).unwrap_or(0);
            match row[0].as_deref() {
                Some("pg_class") => {
                    let Some(path) = self.facts.paths.get(&oid) else { continue };
                    match (claim.on.get(path), &row[4]) {
                        (None, _) if is_quoted(text, path) || self.facts.is_type(path, claim.on.keys()) => {}
                        (None, _) => missed.push(format!("relation {path}")),
                        (Some((_, columns)), Some(name))
                            if !columns.contains(name) && !is_offered(text, name) =>
                        {
                            missed.push(format!("column {path} {name}"));
                        }
                        _ => {}
                    }
                }
                Some("pg_proc") if oid >= 16_384 => {
                    // Of a range's multirange the server makes it itself: it is no code of anybody's.
                    let Some(name) = row[3].clone() else { continue };
                    if !claim.functions.contains(&name) && !is_constant(text, &name) {
                        missed.push(format!("function {name}"));
                    }
                }
                _ => {}
            }
        }
        for what in missed {
            self.wrong(text, &format!("missed: {what}"));
        }
    }

    async fn judge_plan(&mut self, text: &str, claim: &Claim, inside: bool) {
        let (begin, end) = around(inside);
        let asked = format!("{begin}; EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) {text}");
        let found = rows(&self.client, &asked).await;
        self.quietly(end).await;
        let Ok(found) = found else { return };
        let plan: String = found.into_iter().filter_map(|mut row| row.pop().flatten()).collect();
        let Ok(plan) = serde_json::from_str::<Value>(&plan) else { return };
        self.record.explained += 1;
        let mut seen = Vec::new();
        relations(&plan, &mut seen);
        let by_system_view = claim.on.keys().any(|path| self.facts.system_views.contains(path));
        let mut missed = Vec::new();
        for (schema, name, written) in seen {
            let path = format!("crm/{}/{}/{}", segment(&self.database), segment(&schema), segment(&name));
            let known =
                |path: &str| claim.on.get(path).is_some_and(|(verbs, _)| !written || verbs.contains("write"));
            let system = matches!(schema.as_str(), "pg_catalog" | "information_schema" | "pg_toast");
            if !(self.facts.within(&path, &known) || system && by_system_view) {
                missed.push(format!("{} {path}", if written { "written" } else { "planned" }));
            }
        }
        for what in missed {
            self.wrong(text, &format!("missed in the plan: {what}"));
        }
    }

    /// With some columns governed: the text that runs instead is one that the server accepts, and names none of them.
    async fn judge_mask(&mut self, text: &str, plain: &Claim, now: &Now) {
        let Some(claim) = self.claim(text, "masked", now) else { return };
        if let Some(why) = claim.unknown {
            if plain.unknown.is_none() {
                *self.record.mask_refused.entry(why).or_default() += 1;
            }
            return;
        }
        let Some(depended) = self.depends(&claim.text, now.inside).await else {
            let why = self.refusal(&claim.text, now.inside).await;
            return self.record.broken.push(format!("{}: {text}\n    {why}\n    {}", self.place, claim.text));
        };
        self.record.masked += 1;
        for row in depended.iter().filter(|row| row[0].as_deref() == Some("pg_class")) {
            let oid: u32 = row[1].as_deref().and_then(|t| t.parse().ok()).unwrap_or(0);
            let num: i32 = row[2].as_deref().and_then(|t| t.parse().ok()).unwrap_or(0);
            let path = self.facts.paths.get(&oid).cloned().unwrap_or_default();
            let name = row[4].clone().unwrap_or_default();
            let on = claim.on.get(&path);
            let written =
                on.is_some_and(|(verbs, columns)| verbs.contains("write") && columns.contains(&name));
            let quoted = on.is_none() && is_quoted(text, &path);
            let exposed = self.facts.exposing.contains(&oid) && !on.is_some_and(|(v, _)| v.contains("write"));
            let offered = returns_others(&claim.text, &name) && is_offered(&claim.text, &name);
            let is_type = on.is_none() && self.facts.is_type(&path, claim.on.keys());
            if !quoted
                && !offered
                && !is_type
                && ((self.facts.governed.contains(&(oid, num)) && !written) || exposed)
            {
                self.wrong(text, &format!("LEAK of {path} {name} in: {}", claim.text));
            }
        }
    }

    async fn refusal(&self, text: &str, inside: bool) -> String {
        let (begin, end) = around(inside);
        let body = format!(
            "{begin}; CREATE FUNCTION pg_temp.judge_body() RETURNS void LANGUAGE sql BEGIN ATOMIC {text}\n; END"
        );
        let said = rows(&self.client, &body).await.err();
        self.quietly(end).await;
        said.and_then(|e| Some(e.as_db_error()?.message().to_owned())).unwrap_or_default()
    }

    /// Runs it, in a transaction if it can be, and looks at what it did.
    async fn execute(
        &mut self,
        text: &str,
        data: Option<&str>,
        claim: &Claim,
        blind: bool,
        inside: bool,
    ) -> Result<Rows, Error> {
        const DID: &str = "SELECT (pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL)::pg_catalog.text, NULL \
             UNION ALL SELECT c.oid::pg_catalog.text, (pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) \
             OPERATOR(pg_catalog.+) pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) OPERATOR(pg_catalog.+) \
             pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid))::pg_catalog.text FROM pg_catalog.pg_class c \
             WHERE c.oid OPERATOR(pg_catalog.>=) 16384 AND c.relkind IN ('r', 'm')";
        let alone = [
            "BEGIN",
            "START",
            "COMMIT",
            "ROLLBACK",
            "SAVEPOINT",
            "RELEASE",
            "PREPARE",
            "SET",
            "RESET",
            "VACUUM",
        ];
        let alone =
            alone.contains(&claim.kind.split(' ').next().unwrap_or_default()) || claim.kind.is_empty();
        if blind || alone {
            return self.run(text, data).await;
        }
        if !inside {
            self.quietly("BEGIN").await;
        }
        let before = rows(&self.client, DID).await.unwrap_or_default();
        let done = self.run(text, data).await;
        if let Err(error) = &done {
            if !inside {
                self.quietly("ROLLBACK").await;
                if error.code() == Some(&SqlState::ACTIVE_SQL_TRANSACTION) {
                    return self.run(text, data).await;
                }
            }
            return done;
        }
        let after = rows(&self.client, DID).await.unwrap_or_default();
        if !inside {
            self.quietly("COMMIT").await;
        }
        let had_id = before.iter().any(|row| row[0].as_deref() == Some("true"));
        if claim.unknown.is_none() && !had_id && !after.is_empty() {
            self.judge_effects(text, claim, &before, &after);
        }
        done
    }

    fn judge_effects(&mut self, text: &str, claim: &Claim, before: &Rows, after: &Rows) {
        self.record.ran += 1;
        let reads = claim.verbs.iter().all(|verb| matches!(verb.as_str(), "read" | "connect"));
        let has_id = after.iter().any(|row| row[0].as_deref() == Some("true"));
        if has_id && (reads || claim.pure) {
            self.wrong(text, "writes, and is called a read");
        }
        if claim.triggers || claim.verbs.contains("define") || claim.verbs.contains("administer") {
            return;
        }
        let count = |rows: &Rows| -> BTreeMap<u32, i64> {
            let pair = |row: &Vec<Option<String>>| {
                Some((row[0].as_deref()?.parse().ok()?, row[1].as_deref()?.parse().ok()?))
            };
            rows.iter().filter_map(pair).collect()
        };
        let before = count(before);
        let mut missed = Vec::new();
        for (oid, changes) in count(after) {
            let Some(path) =
                self.facts.paths.get(&oid).filter(|_| before.get(&oid).is_none_or(|b| *b < changes))
            else {
                continue;
            };
            let known = |path: &str| claim.on.get(path).is_some_and(|(verbs, _)| verbs.contains("write"));
            if changes > 0 && !self.facts.within(path, &known) {
                missed.push(path.clone());
            }
        }
        for path in missed {
            self.wrong(text, &format!("changed rows of {path}, which is not among its writes"));
        }
    }

    fn wrong(&mut self, text: &str, what: &str) {
        self.record.wrong.push(format!("{}: {text}\n    {what}", self.place));
    }
}

/// The session's state before a statement.
struct Now {
    /// Inside a transaction of the script's own.
    inside: bool,
    path: Vec<String>,
}

/// How `new` is made of `old`: rows that stay at the beginning, what is new, rows that stay at the end.
fn change(old: &[Row], new: &[Row]) -> Value {
    let head = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[head..], &new[head..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    json!([head, new[..new.len() - tail], tail])
}

fn number(row: &Row, i: usize) -> u32 {
    row[i].as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A relation that is named in a constant (`'t'::regclass`) or as a type (`x::t`) is not read.
fn is_quoted(text: &str, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    text.contains(&format!("{name}'")) || text.contains(&format!("::{name}"))
}

/// A function that is named in constants alone (`'f(int)'::regprocedure`) is not run.
fn is_constant(text: &str, name: &str) -> bool {
    let text = text.to_lowercase();
    let name = name.rsplit('.').next().unwrap_or_default();
    let mut named =
        text.match_indices(name).map(|(at, _)| text[..at].matches('\'').count() % 2 == 1).peekable();
    text.contains("::reg") && named.peek().is_some() && named.all(|quoted| quoted)
}

/// A column of the row that an INSERT offers: the statement depends on each of them where it has ON CONFLICT, named or
/// not. Of the row that is there a column must be named, or all of them.
fn is_offered(text: &str, column: &str) -> bool {
    let text = text.to_lowercase();
    let offered = |at: usize| text[..at].ends_with("excluded.");
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let named = text.match_indices(column).map(|(at, _)| at).filter(|at| {
        !letter(text[..*at].chars().next_back()) && !letter(text[at + column.len()..].chars().next())
    });
    let rows = text.match_indices(".*").map(|(at, _)| at + 1);
    text.contains("on conflict") && named.chain(rows).all(offered)
}

/// Of the row that is offered nothing is shown, unless it is returned: not if nothing is, or other columns by name.
fn returns_others(text: &str, column: &str) -> bool {
    let text = text.to_lowercase();
    let Some((_, returned)) = text.split_once("returning") else { return true };
    let word = |w: &str| !w.is_empty() && w.chars().all(|c| c.is_alphanumeric() || c == '_');
    let other = |item: &str| {
        item.trim().split_once('.').is_some_and(|(row, named)| word(row) && word(named) && named != column)
    };
    returned.trim_end_matches([';', ' ', '\n']).split(',').all(other)
}

fn first_word(text: &str) -> String {
    text.split(|c: char| !c.is_ascii_alphabetic()).find(|w| !w.is_empty()).unwrap_or_default().to_uppercase()
}

/// Every relation of a plan: schema, name, whether the node changes it.
fn relations(plan: &Value, out: &mut Vec<(String, String, bool)>) {
    match plan {
        Value::Object(node) => {
            if let (Some(schema), Some(name)) = (node.get("Schema"), node.get("Relation Name")) {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let changes = node.get("Node Type").is_some_and(|kind| kind == "ModifyTable");
                out.push((text(schema), text(name), changes));
            }
            node.values().for_each(|value| relations(value, out));
        }
        Value::Array(values) => values.iter().for_each(|value| relations(value, out)),
        _ => {}
    }
}
