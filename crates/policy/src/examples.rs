//! Examples beside the rules, for `tacho policy test`.
//!
//! An example is a comment of one line in a policy file:
//!
//! ```text
//! // example: VERB ON by AGENT [for HUMAN [of GROUP,GROUP]] [with KEY=VALUE ...] => VERDICT [WORD,WORD]
//! ```
//!
//! - `VERB` is a verb of the schema, `reveal` (ON is a class), `release`, `delegate` (a human) or `spawn` (an agent).
//!   `ON` is a resource path; columns stand behind it in parentheses: `crm/crm/public/customers(name,ssn)`. Several are joined by
//!   ` + `: `read crm/db/s/a + write crm/db/s/b`.
//! - `KEY`s: `approved` (groups), `task`, `kind`, `resource-kind`, `function`, `class` (lists), `at` (seconds since 1970),
//!   `in-transaction`, `confined` (yes or no), `position` (of the columns), `values`, `largest`, `rows`, `bytes`,
//!   `tripwires`, `parent` (an agent that started the run).
//! - `VERDICT` is `allow`, `refuse` or `ask`; the words behind it are rule ids (for `ask`: groups), all of them.
//!   Without words any rule will do.

use std::fmt;

use vocab::{Access, Class, ColumnUse, Group, Opaque, Position, ResourcePath, Verb, Verdict, WallTime};

use crate::request::{Context, Parent, Principal, Release, Request, What, position};
use crate::source::{Policy, Source};

/// An example that is wrong, or that the policy decides otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// What a run of examples came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub ran: usize,
    pub failures: Vec<Failure>,
}

/// Runs every example of `files` under `policy`.
pub fn run(policy: &Policy, files: &[Source]) -> Report {
    let mut report = Report::default();
    for file in files {
        for (index, line) in file.text.lines().enumerate() {
            let Some(example) = line.trim_start().strip_prefix("// example:") else { continue };
            report.ran += 1;
            if let Err(message) = check(policy, example.trim()) {
                report.failures.push(Failure { file: file.path.clone(), line: index + 1, message });
            }
        }
    }
    report
}

/// The default time of an example: Thursday, 1 January 2026, 12:00 UTC.
const NOON: u64 = 1_767_268_800;

fn check(policy: &Policy, example: &str) -> Result<(), String> {
    let (asked, expected) = example.split_once("=>").ok_or("an example ends with `=> VERDICT`")?;
    let request = request(asked.trim())?;
    let mut expected = expected.split_whitespace();
    let verdict = expected.next().unwrap_or_default();
    if !["allow", "refuse", "ask"].contains(&verdict) {
        return Err(format!("`{verdict}` is no verdict: allow, refuse or ask"));
    }
    let mut words: Vec<&str> = expected.flat_map(|w| w.split(',')).filter(|w| !w.is_empty()).collect();
    words.sort_unstable();
    let decision = policy.decide(&request);
    let got: Vec<&str> = match &decision.verdict {
        Verdict::Ask(groups) => groups.iter().map(|g| &*g.0).collect(),
        Verdict::Allow | Verdict::Refuse => decision.rules.iter().map(|r| &*r.0).collect(),
    };
    if decision.verdict.as_str() == verdict && (words.is_empty() || words == got) {
        return Ok(());
    }
    let said = |verdict: &str, words: &[&str]| format!("{verdict} {}", words.join(",")).trim_end().to_owned();
    let (expected, got) = (said(verdict, &words), said(decision.verdict.as_str(), &got));
    Err(format!("expected {expected}, got {got}: {}", asked.trim()))
}

/// Reads `VERB ON ... by AGENT [for HUMAN [of GROUPS]] [with KEY=VALUE ...]`.
fn request(text: &str) -> Result<Request, String> {
    let (what, rest) = text.split_once(" by ").ok_or("an example says ` by AGENT`")?;
    let mut words = rest.split_whitespace().peekable();
    let agent = words.next().ok_or("` by ` is followed by an agent")?;
    let mut principal = Principal {
        human: "somebody".into(),
        human_groups: Vec::new(),
        agent: agent.into(),
        run: "example".into(),
        confined: true,
        parents: Vec::new(),
    };
    if words.next_if_eq(&"for").is_some() {
        principal.human = words.next().ok_or("`for` is followed by a human")?.into();
    }
    if words.next_if_eq(&"of").is_some() {
        principal.human_groups = groups(words.next().ok_or("`of` is followed by groups")?);
    }
    let mut context = Context { now: WallTime(NOON * 1_000_000_000), ..Context::default() };
    context.resource_kind = "postgres".into();
    let mut release = Release::default();
    let mut at = Position::Output;
    if words.next_if_eq(&"with").is_some() {
        for pair in words.by_ref() {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` is not KEY=VALUE"))?;
            set(key, value, &mut principal, &mut context, &mut release, &mut at)?;
        }
    }
    if let Some(word) = words.next() {
        return Err(format!("`{word}` was not expected here"));
    }
    let (resource, what) = asked(what, release, at)?;
    Ok(Request { principal, resource, what, context })
}

fn set(
    key: &str,
    value: &str,
    principal: &mut Principal,
    context: &mut Context,
    release: &mut Release,
    at: &mut Position,
) -> Result<(), String> {
    let number = || value.parse::<u64>().map_err(|_| format!("`{value}` is no number"));
    let flag = || match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("`{key}` is yes or no")),
    };
    match key {
        "approved" => context.approvals = groups(value),
        "task" => context.task = Some(value.into()),
        "kind" => context.kind = value.into(),
        "resource-kind" => context.resource_kind = value.into(),
        "function" => context.functions = value.split(',').map(Into::into).collect(),
        "argument" => context.arguments = value.split(',').map(Into::into).collect(),
        "class" => {
            let classes: Option<Vec<Class>> = value.split(',').map(Class::new).collect();
            context.classes = classes.ok_or_else(|| format!("`{value}` is no list of classes"))?;
        }
        "at" => context.now = WallTime(number()?.saturating_mul(1_000_000_000)),
        "in-transaction" => context.in_transaction = flag()?,
        "confined" => principal.confined = flag()?,
        "position" => *at = position(value).ok_or_else(|| format!("`{value}` is no position"))?,
        "values" => context.values = number()?,
        "largest" => context.largest_value = number()?,
        "rows" => release.rows = number()?,
        "bytes" => release.bytes = number()?,
        "tripwires" => release.tripwires = number()?,
        "parent" => principal.parents.push(Parent { agent: value.into(), run: "parent".into() }),
        _ => return Err(format!("`{key}` is no key of an example")),
    }
    Ok(())
}

fn groups(list: &str) -> Vec<Group> {
    list.split(',').filter(|g| !g.is_empty()).map(|g| Group(g.into())).collect()
}

/// Reads `VERB ON` or several, joined by ` + `; also the root of the resource.
fn asked(text: &str, release: Release, at: Position) -> Result<(ResourcePath, What), String> {
    let mut accesses = Vec::new();
    let mut opaque = None;
    let mut root = None;
    for part in text.split(" + ") {
        let (verb, on) =
            part.trim().split_once(' ').ok_or_else(|| format!("`{part}` is not VERB RESOURCE"))?;
        let none = || ResourcePath::root("none");
        match verb {
            "reveal" => {
                let class = Class::new(on).ok_or_else(|| format!("`{on}` is no class"))?;
                return Ok((none(), What::Reveal(class)));
            }
            "delegate" => return Ok((none(), What::Delegate(on.into()))),
            "spawn" => return Ok((none(), What::Spawn(on.into()))),
            _ => {}
        }
        let access = access(verb, on, at)?;
        let name = access.1.on.segments().next().unwrap_or_default();
        root.get_or_insert_with(|| ResourcePath::root(&name));
        match access {
            (Some(Verb::Opaque), _) => opaque = Some(Opaque("an example")),
            (Some(_), access) => accesses.push(access),
            (None, access) => return Ok((access.on, What::Release(release))),
        }
    }
    let root = root.ok_or("an example names a resource")?;
    Ok((root, What::Action { accesses, opaque }))
}

/// Reads `crm/db/schema/table(column,column)`. No verb means `release`.
fn access(verb: &str, on: &str, position: Position) -> Result<(Option<Verb>, Access), String> {
    let parsed = Verb::parse(verb);
    if parsed.is_none() && verb != "release" {
        return Err(format!("`{verb}` is no verb"));
    }
    let (path, columns) = match on.split_once('(') {
        Some((path, columns)) => {
            (path, columns.strip_suffix(')').ok_or("`)` is missing behind the columns")?)
        }
        None => (on, ""),
    };
    let on = ResourcePath::parse(path).ok_or_else(|| format!("`{path}` is no resource"))?;
    let names = columns.split(',').map(str::trim).filter(|c| !c.is_empty());
    let columns = names.map(|c| ColumnUse { column: c.into(), position }).collect();
    Ok((parsed, Access { verb: parsed.unwrap_or(Verb::Read), on, columns }))
}

#[cfg(test)]
mod tests;
