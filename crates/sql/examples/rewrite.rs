//! Statements in, rewritten statements out: one JSON object a line, for tests and for trying things out.
//!
//! ```text
//! {"queries": true}                                          -> the catalog queries, each with its name
//! {"catalog": [[h, [..], t], ..], "bind": {"s": [..], ..}}   -> binds it for these sessions, each with its rules. Of the
//!                                                               last result, the first h and the last t rows stay.
//! {"sql": "SELECT ..", "session": "s", "search_path": [..]}  -> what each statement does, and its text
//! {"done": ["SELECT .."], "session": "s"}                    -> the session ran these: PREPARE and DECLARE are kept
//! ```

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use sql::{
    Analysis, ColumnRule, Effect, FunctionKind, Governed, Names, Snapshot, Vouched, analyze, catalog, parse,
    rewrite,
};
use vocab::{Class, MaskKind, ResourcePath};

#[derive(Clone, Default)]
struct Session {
    bound: Option<Bound>,
    names: Names,
}

#[derive(Default)]
struct State {
    results: Vec<catalog::Rows>,
    sessions: HashMap<String, Session>,
}

fn main() {
    let mut state = State::default();
    let mut out = std::io::stdout().lock();
    for line in BufReader::with_capacity(1 << 20, std::io::stdin()).lines() {
        let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let answer = state.answer(&request).unwrap_or_else(|error| json!({ "error": error }));
        out.write_all(format!("{answer}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

impl State {
    fn answer(&mut self, request: &Value) -> Result<Value, String> {
        let session = request["session"].as_str().unwrap_or_default().to_owned();
        if request.get("queries").is_some() {
            return Ok(json!(catalog::QUERIES.iter().map(|q| json!([q.name, q.sql])).collect::<Vec<_>>()));
        }
        if let Some(changes) = request.get("catalog") {
            self.change(changes)?;
            let snapshot = Arc::new(catalog::snapshot(&self.results).map_err(|e| e.to_string())?);
            for (session, rules) in request["bind"].as_object().ok_or("no sessions")? {
                let rules =
                    rules.as_array().and_then(|rules| rules.iter().map(rule).collect::<Option<Vec<_>>>());
                let governed = Governed::bind(&snapshot, &rules.ok_or("a rule is wrong")?);
                let governed = Arc::new(governed.map_err(|errors| format!("{errors:?}"))?);
                self.sessions.entry(session.clone()).or_default().bound = Some((snapshot.clone(), governed));
            }
            return Ok(json!({ "bound": true }));
        }
        let session = self.sessions.entry(session).or_default();
        let bound = session.bound.clone().ok_or("no catalog yet")?;
        if let Some(path) = request["search_path"].as_array() {
            session.names.search_path = path.iter().filter_map(|s| Some(s.as_str()?.to_owned())).collect();
        }
        session.names.database = bound.0.database().to_owned();
        if let Some(done) = request["done"].as_array() {
            done.iter().filter_map(Value::as_str).for_each(|sql| keep(session, &bound, sql));
            return Ok(json!({ "kept": true }));
        }
        statements(session, &bound, request)
    }

    fn change(&mut self, changes: &Value) -> Result<(), String> {
        type Change = (usize, catalog::Rows, usize);
        let changes: Vec<Change> = Vec::deserialize(changes).map_err(|e| e.to_string())?;
        self.results.resize(changes.len(), catalog::Rows::new());
        for (rows, (head, new, tail)) in self.results.iter_mut().zip(changes) {
            let end =
                rows.len().checked_sub(tail).filter(|end| head <= *end).ok_or("more stays than there was")?;
            rows.splice(head..end, new);
        }
        Ok(())
    }
}

type Bound = (Arc<Snapshot>, Arc<Governed>);

fn statements(session: &Session, bound: &Bound, request: &Value) -> Result<Value, String> {
    let (snapshot, governed) = bound;
    let sql = request["sql"].as_str().ok_or("no sql")?;
    let reveal = request["reveal"].as_array().into_iter().flatten();
    let revealed: BTreeSet<Class> = reveal.filter_map(|c| Class::new(c.as_str()?)).collect();
    let parsed = match parse(sql) {
        Ok(parsed) => parsed,
        Err(error) => return Ok(json!({ "refuse": error.sentence, "code": error.code })),
    };
    let mut out = Vec::new();
    for statement in &parsed {
        let found = analyze(
            statement,
            snapshot,
            governed,
            &session.names,
            &Vouched::default(),
            &ResourcePath::root("crm"),
        );
        let made = rewrite(statement, &found, snapshot, governed, &session.names, &revealed);
        let (text, refuse) = match made {
            Ok(made) => (made.text.unwrap_or_else(|| statement.text().to_owned()), None),
            Err(reason) => (String::new(), Some(reason)),
        };
        out.push(json!({
            "kind": found.action.kind,
            "text": text,
            "changed": text != statement.text(),
            "refuse": refuse.map(|r| r.sentence),
            "code": refuse.map(|r| r.code),
            "described": describe(&found),
            "opaque": found.action.opaque.map(|o| o.0),
            "verbs": found.action.verbs().iter().map(|v| v.as_str()).collect::<Vec<_>>(),
            "accesses": found.action.accesses.iter().map(|a| json!([a.verb.as_str(), a.on.as_str(),
                a.columns.iter().map(|c| json!([c.column, c.position.as_str()])).collect::<Vec<_>>()])).collect::<Vec<_>>(),
            "functions": found.action.functions,
            "triggers": found.functions.iter().any(|f| f.kind == FunctionKind::Trigger),
            "pure_read": found.pure_read,
            "writes": found.writes,
            "redefines": found.redefines.iter().map(|p| p.as_str()).collect::<Vec<_>>(),
            "ddl": found.effects.iter().any(|e| matches!(e, Effect::Ddl { .. } | Effect::Rollback { .. }
                | Effect::RollbackTo { .. } | Effect::DiscardAll | Effect::DiscardTemp)),
            "unresolved": found.unresolved,
        }));
    }
    Ok(json!({ "statements": out }))
}

fn describe(found: &Analysis) -> String {
    format!("{:?} {:?}", found.effects, found.governed.iter().map(|g| g.path.as_str()).collect::<Vec<_>>())
}

fn keep(session: &mut Session, bound: &Bound, sql: &str) {
    for statement in parse(sql).unwrap_or_default() {
        let found = analyze(
            &statement,
            &bound.0,
            &bound.1,
            &session.names,
            &Vouched::default(),
            &ResourcePath::root("crm"),
        );
        let found = Arc::new(found);
        for effect in found.effects.clone() {
            match effect {
                Effect::Prepare { name } => drop(session.names.prepared.insert(name, found.clone())),
                Effect::DeclareCursor { name, .. } => drop(session.names.cursors.insert(name, found.clone())),
                Effect::Deallocate { name: Some(name) } => drop(session.names.prepared.remove(&name)),
                Effect::Deallocate { name: None } | Effect::DiscardAll => session.names.prepared.clear(),
                _ => {}
            }
        }
    }
}

fn rule(value: &Value) -> Option<ColumnRule> {
    let text = |key: &str| value[key].as_str();
    let mut name = text("column")?.splitn(3, '.').map(str::to_owned);
    let kind = match text("as")? {
        "null" => MaskKind::Null,
        "redact" => MaskKind::Redact,
        "row-token" => MaskKind::RowToken,
        "token" => MaskKind::Token,
        other => match other.split_once(':')? {
            ("partial", keep) => MaskKind::Partial { keep: keep.parse().ok()? },
            ("bucket", width) => MaskKind::Bucket { width: width.parse().ok()? },
            _ => return None,
        },
    };
    Some(ColumnRule {
        schema: name.next()?,
        table: name.next()?,
        column: name.next()?,
        class: Class::new(text("class")?)?,
        kind,
    })
}
