//! The policy directory: read whole, every error at once; and `tacho policy`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use answers::text::Text;
use answers::{Answer, Cannot, Desk, Look};
use policy::{Name, Policy, Source};
use serde::{Deserialize, Serialize};

use crate::analyst::Reading;
use crate::config::Config;
use crate::fault::{Exit, Failure, Outcome};
use crate::operators::{Operator, Operators};
use crate::{cli, hex, out};

/// Every `*.cedar` file of a directory, by name.
pub fn sources(dir: &Path) -> Result<Vec<Source>, Failure> {
    let listed = std::fs::read_dir(dir).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Failure::could_not(format!(
            "there is no policy directory {}; `tacho init` writes one, or set policy in [gateway]",
            dir.display()
        )),
        _ => Failure::file("read", dir, &e),
    })?;
    let mut paths = Vec::new();
    for entry in listed {
        let path = entry.map_err(|e| Failure::file("read", dir, &e))?.path();
        if path.extension().is_some_and(|e| e == "cedar") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).map_err(|e| Failure::file("read", path, &e))?;
        Ok(Source { path: path.display().to_string(), text })
    };
    let sources: Vec<Source> = paths.iter().map(read).collect::<Result<_, Failure>>()?;
    if sources.is_empty() {
        return Err(Failure::usage(format!(
            "{} holds no policy (*.cedar), and without one everything is refused; `tacho init` writes a starter",
            dir.display()
        )));
    }
    Ok(sources)
}

/// The policy of a directory. Errors: every one, with file, line and column; exit 2.
pub fn load(dir: &Path) -> Result<Policy, Failure> {
    parse(&sources(dir)?)
}

pub fn parse(sources: &[Source]) -> Result<Policy, Failure> {
    Policy::parse(sources).map_err(|errors| Failure {
        exit: Exit::Usage,
        lines: errors.iter().map(ToString::to_string).collect(),
    })
}

/// What of a policy that is valid can hardly be meant: names that nothing has, so that its rule says nothing, or waits for nobody. Each
/// with what would mend it.
pub fn doubts(config: &Config, policy: &Policy, operators: &Operators) -> Vec<(String, String)> {
    let claimed = |id: &str| {
        config.issuers.iter().any(|issuer| {
            let person =
                issuer.owner.as_deref() == Some(id) || issuer.humans.values().any(|human| human == id);
            person || id.strip_prefix(&issuer.name).is_some_and(|rest| rest.starts_with(':'))
        })
    };
    let groups = || config.humans.iter().flat_map(|human| &human.groups);
    let known = |name: &Name| match name.kind.as_str() {
        "Resource" => {
            let root = name.id.split('/').next().unwrap_or_default();
            config.resources.iter().any(|resource| resource.name == root)
        }
        "Human" => config.humans.iter().any(|human| human.name == name.id) || claimed(&name.id),
        "Group" => groups().any(|group| *group == name.id) || claimed(&name.id),
        // Agents and runs are what a caller says they are; actions and classes are the schema's and the detectors'.
        _ => true,
    };
    let named = policy.names().filter(|(_, name)| !known(name)).map(|(rule, name)| {
        let Name { kind, id } = &name;
        let what =
            format!("rule `{rule}` names {kind}::{id:?}, and nothing that is configured is or has that");
        (what, "mend the name in the rule, or configure what it names".to_owned())
    });
    let speaks = |group: &str| {
        let of = |o: &Operator| o.roles.contains(&cli::Role::Approver) && o.groups.contains(group);
        group == gate::INITIATOR || operators.list.iter().any(of)
    };
    let mut waiting: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (rule, group) in policy.asked().filter(|(_, group)| !speaks(&group.0)) {
        waiting.entry(&group.0).or_default().push(format!("`{rule}`"));
    }
    let asked = waiting.into_iter().map(|(group, rules)| {
        let what =
            format!("no operator approves for the group `{group}`, for which {} waits", rules.join(", "));
        (what, format!("tacho operator add NAME --role approver --group {group}"))
    });
    let mut all: Vec<(String, String)> = named.chain(asked).collect();
    for dir in unread(&config.gateway.policy, SUBDIRECTORIES_DEEP_MAX) {
        let what = format!(
            "{} holds *.cedar files, and a policy is read from its own directory alone",
            dir.display()
        );
        all.push((what, format!("move them to {}", config.gateway.policy.display())));
    }
    all.sort();
    all.dedup();
    all
}

/// How deep below the policy directory rules are looked for that nobody reads.
const SUBDIRECTORIES_DEEP_MAX: usize = 4;

/// Directories below `dir` with rules in them.
fn unread(dir: &Path, deep: usize) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    // Not through links: they may lead back.
    let dirs =
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path());
    let has_rules = |dir: &Path| {
        let mut files = std::fs::read_dir(dir).into_iter().flatten().flatten();
        files.any(|file| file.path().extension().is_some_and(|e| e == "cedar"))
    };
    let below = |dir: PathBuf| {
        let deeper = if deep > 1 { unread(&dir, deep - 1) } else { Vec::new() };
        has_rules(&dir).then_some(dir).into_iter().chain(deeper)
    };
    dirs.flat_map(below).collect()
}

/// `tacho policy check|test|replay`
pub fn policy(config_file: &Path, verb: &cli::Policy, json: bool) -> Outcome {
    match verb {
        cli::Policy::Check { dir } => {
            let policy = load(&directory(config_file, dir.as_deref())?)?;
            out::answer(&Checked { hash: hex::encode(&policy.hash().0), rules: rule_names(&policy) }, json)
        }
        cli::Policy::Test { dir } => {
            let sources = sources(&directory(config_file, dir.as_deref())?)?;
            let report = policy::examples::run(&parse(&sources)?, &sources);
            let failures = report.failures.iter().map(ToString::to_string).collect();
            out::answer(&Tested { ran: count(report.ran), failures }, json)
        }
        cli::Policy::Replay { dir, run, ledger } => {
            let policy = load(&directory(config_file, dir.as_deref())?)?;
            let reading = Reading::open(config_file, ledger)?;
            out::answer(&reading.ask(|desk| replay(desk, &policy, run.as_deref()))?, json)
        }
    }
}

fn directory(config_file: &Path, given: Option<&Path>) -> Result<PathBuf, Failure> {
    match given {
        Some(dir) => Ok(dir.to_owned()),
        None => Ok(Config::load(config_file)?.gateway.policy),
    }
}

fn rule_names(policy: &Policy) -> Vec<String> {
    policy.rules().map(|rule| rule.0.to_string()).collect()
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// A policy that is valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    pub hash: String,
    pub rules: Vec<String>,
}

impl Answer for Checked {
    const SHAPE: &'static str = "tacho.policy-checked/1";

    fn render(&self, text: &mut Text) {
        text.line(&format!("The policy is valid: {} rules.", self.rules.len()));
        self.rules.iter().for_each(|rule| text.line(&format!("  {rule}")));
        text.pair("hash", &self.hash);
    }
}

/// The examples beside the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    pub ran: u64,
    pub failures: Vec<String>,
}

impl Answer for Tested {
    const SHAPE: &'static str = "tacho.policy-tested/1";

    fn render(&self, text: &mut Text) {
        self.failures.iter().for_each(|failure| text.line(failure));
        text.line(&format!("{} examples, {} decided otherwise.", self.ran, self.failures.len()));
    }

    fn exit_code(&self) -> u8 {
        u8::from(!self.failures.is_empty())
    }
}

/// Recorded decisions, made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Decisions that were made again under the policy recorded with them, and under the new one.
    pub decided: u64,
    /// Those that the recorded policy decides otherwise than the record says: there is none, or something is wrong.
    pub unfaithful: Vec<Difference>,
    /// Those that the new policy decides otherwise.
    pub different: Vec<Difference>,
    /// Records whose request or policy is not in the ledger that was read.
    pub unread: Vec<u64>,
}

/// One decision that comes out otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    pub run: String,
    pub record: u64,
    pub statement: String,
    pub was: String,
    pub is: String,
    pub rules: Vec<String>,
}

impl Answer for Replayed {
    const SHAPE: &'static str = "tacho.policy-replayed/1";

    fn render(&self, text: &mut Text) {
        let line = |d: &Difference| {
            format!("  {} -> {}  record {} of run {}: {}", d.was, d.is, d.record, d.run, d.statement)
        };
        text.line(&format!(
            "{} recorded decisions made again; {} come out otherwise.",
            self.decided,
            self.different.len()
        ));
        self.different.iter().for_each(|d| text.line(&line(d)));
        if !self.unfaithful.is_empty() {
            text.line("UNFAITHFUL: the recorded policy itself does not give the recorded verdict:");
            self.unfaithful.iter().for_each(|d| text.line(&line(d)));
        }
        if !self.unread.is_empty() {
            text.line(&format!(
                "{} decisions could not be made again: their request or policy is not here.",
                self.unread.len()
            ));
        }
    }

    fn exit_code(&self) -> u8 {
        u8::from(!(self.unfaithful.is_empty() && self.different.is_empty()))
    }
}

fn replay(desk: &Desk<'_>, new: &Policy, run: Option<&str>) -> Result<Replayed, Cannot> {
    let only = run.map(|run| desk.find_run(run)).transpose()?.map(|run| run.id);
    let subject = only.map_or_else(|| "policy replay".to_owned(), |run| run.to_string());
    desk.watch.watch(desk.who, Look::Replay, &subject)?;
    let mut done = Replayed { decided: 0, unfaithful: Vec::new(), different: Vec::new(), unread: Vec::new() };
    let mut recorded: BTreeMap<[u8; 32], Option<Policy>> = BTreeMap::new();
    for run in desk.index.runs().filter(|run| only.is_none_or(|only| run.id == only)) {
        // The text of a request stands in the record where the run first made it.
        let mut texts: BTreeMap<[u8; 32], &str> = BTreeMap::new();
        for action in &run.actions {
            let request = action.request();
            if let Some(text) = &request.request_text {
                texts.insert(request.request, text);
            }
            let old = recorded.entry(request.policy).or_insert_with(|| {
                Policy::from_canonical(&desk.index.policy(&request.policy)?.what.text).ok()
            });
            let record = action.cite().0;
            let (Some(text), Some(old)) = (texts.get(&request.request), old) else {
                done.unread.push(record);
                continue;
            };
            let (Ok(then), Ok(now)) = (old.replay(text), new.replay(text)) else {
                done.unread.push(record);
                continue;
            };
            done.decided += 1;
            let was = request.verdict.as_str();
            let difference = |decision: &policy::Decision| Difference {
                run: run.id.to_string(),
                record,
                statement: answers::text::statement_line(&request.statement),
                was: was.to_owned(),
                is: decision.verdict.as_str().to_owned(),
                rules: decision.rules.iter().map(|rule| rule.0.to_string()).collect(),
            };
            if then.verdict.as_str() != was {
                done.unfaithful.push(difference(&then));
            }
            if now.verdict.as_str() != was {
                done.different.push(difference(&now));
            }
        }
    }
    Ok(done)
}
