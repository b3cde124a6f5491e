//! Statements in, rewritten statements out: one JSON object a line, for tests and for trying things out.
//!
//! ```text
//! {"queries": true}                                          -> the catalog queries, each with its name
//! {"catalog": [[..], ..], "rules": [..], "session": "s"}     -> binds; for one session, or for all without `session`.
//!                                                               A result that is null is the session's last one.
//! {"sql": "SELECT ..", "session": "s", "search_path": [..]}  -> what each statement does, and its text
//! {"done": ["SELECT .."], "session": "s"}                    -> the session ran these: PREPARE and DECLARE are kept
//! ```

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, Write};
use std::sync::Arc;

use serde_json::{Value, json};
use sql::{
    Analysis, ColumnRule, Effect, FunctionKind, Governed, Names, Snapshot, Vouched, analyze, catalog, parse,
    rewrite,
};
use vocab::{Class, MaskKind, ResourcePath};

#[derive(Clone, Default)]
struct Session {
    bound: Option<Arc<(Snapshot, Governed)>>,
    results: Vec<catalog::Rows>,
    names: Names,
}

#[derive(Default)]
struct State {
    shared: Option<Arc<(Snapshot, Governed)>>,
    rules: Vec<ColumnRule>,
    sessions: HashMap<String, Session>,
}

fn main() {
    let mut state = State::default();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let answer = state.answer(&request).unwrap_or_else(|error| json!({ "error": error }));
        writeln!(out, "{answer}").unwrap();
        out.flush().unwrap();
    }
}

impl State {
    fn answer(&mut self, request: &Value) -> Result<Value, String> {
        let session = request["session"].as_str().unwrap_or_default().to_owned();
        if request.get("queries").is_some() {
            return Ok(json!(catalog::QUERIES.iter().map(|q| json!([q.name, q.sql])).collect::<Vec<_>>()));
        }
        if let Some(rules) = request["rules"].as_array() {
            self.rules = rules.iter().map(rule).collect::<Option<_>>().ok_or("a rule is wrong")?;
        }
        if let Some(results) = request.get("catalog") {
            let results: Vec<Option<catalog::Rows>> =
                serde_json::from_value(results.clone()).map_err(|e| e.to_string())?;
            let last = &mut self.sessions.entry(session.clone()).or_default().results;
            last.resize(results.len(), catalog::Rows::new());
            last.iter_mut().zip(results).for_each(|(old, new)| *old = new.unwrap_or(std::mem::take(old)));
            let snapshot = catalog::snapshot(last.clone()).map_err(|e| e.to_string())?;
            let governed = Governed::bind(&snapshot, &self.rules).map_err(|errors| format!("{errors:?}"))?;
            let bound = Some(Arc::new((snapshot, governed)));
            match session.as_str() {
                "" => self.shared = bound,
                _ => self.sessions.entry(session).or_default().bound = bound,
            }
            return Ok(json!({ "bound": true }));
        }
        let shared = self.shared.clone();
        let session = self.sessions.entry(session).or_default();
        let bound = session.bound.clone().or(shared).ok_or("no catalog yet")?;
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
}

fn statements(session: &Session, bound: &(Snapshot, Governed), request: &Value) -> Result<Value, String> {
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

fn keep(session: &mut Session, bound: &(Snapshot, Governed), sql: &str) {
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
