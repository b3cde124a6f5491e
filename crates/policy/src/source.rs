//! From files to rules: every error at once, with file, line and what would be right.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use cedar_policy::{
    ActionConstraint, Effect, EntityUid, PolicyId, PolicySet, PrincipalConstraint, ResourceConstraint,
    Schema, ValidationMode, Validator,
};
use miette::Diagnostic;
use ring::digest;
use vocab::{Group, PolicyHash, ResourcePath, RuleId};

use crate::SCHEMA;
use crate::decide::{Act, Slice};
use crate::limits::{FILE_BYTES_MAX, FILES_MAX, RULES_MAX};

/// A policy file, read by whoever may read files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As shown in errors and used in rule ids; the last component matters.
    pub path: String,
    pub text: String,
}

/// Something wrong in a policy. Lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub message: String,
    pub help: Option<String>,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        self.help.iter().try_for_each(|help| write!(f, "\n    help: {help}"))
    }
}

impl std::error::Error for PolicyError {}

/// A policy that parsed and passed validation. Its text decides everything; cheap to share behind an `Arc`.
pub struct Policy {
    pub(crate) rules: Vec<Rule>,
    text: String,
    hash: PolicyHash,
    whole: Slice,
}

/// An entity that a rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub kind: String,
    pub id: String,
}

/// One rule, and what slicing and caching need to know of it.
#[derive(Clone)]
pub(crate) struct Rule {
    pub(crate) cedar: cedar_policy::Policy,
    pub(crate) id: RuleId,
    pub(crate) needs: Vec<Group>,
    pub(crate) message: Option<String>,
    pub(crate) forbids: bool,
    /// Any condition reads `context`.
    pub(crate) reads_context: bool,
    /// Any condition reads `context.at`, which is another for each column.
    pub(crate) reads_at: bool,
    /// Any condition reads `context.decided` or `context.decided_how`.
    pub(crate) reads_decided: bool,
    /// Any condition mentions `resource`.
    pub(crate) reads_resource: bool,
    /// Ids of the resources that the rule names anywhere.
    pub(crate) named: HashSet<String>,
}

impl Policy {
    /// Reads all files. Their order does not matter. Errors: every one of every file.
    pub fn parse(files: &[Source]) -> Result<Policy, Vec<PolicyError>> {
        let mut files: Vec<&Source> = files.iter().collect();
        files.sort_by_key(|file| (file_name(&file.path), &file.path));
        let mut errors = Vec::new();
        let mut statements = Vec::new();
        if files.len() > FILES_MAX {
            errors.push(whole_file(files[FILES_MAX], format!("a policy has at most {FILES_MAX} files")));
        }
        for file in &files {
            if file.text.len() > FILE_BYTES_MAX {
                errors.push(whole_file(file, format!("a policy file has at most {FILE_BYTES_MAX} bytes")));
                continue;
            }
            statements.extend(Statement::all(file));
        }
        if let Some(beyond) = statements.get(RULES_MAX) {
            errors.push(beyond.error(0, format!("a policy has at most {RULES_MAX} rules"), None));
            return Err(errors);
        }
        let rules = read_rules(&statements, &mut errors);
        if errors.is_empty() {
            let text = canonical_text(&files);
            let hash = PolicyHash(sha256(text.as_bytes()));
            let whole = Slice::whole(&rules, hash);
            return Ok(Policy { rules, text, hash, whole });
        }
        Err(folded(errors))
    }

    /// The resources that rules name which forbid something to `who`, in whatever part of a rule they stand.
    pub fn forbidden_names(&self, who: &crate::Principal) -> impl Iterator<Item = &str> {
        let principals = crate::decide::principals(who);
        let rules =
            self.rules.iter().filter(move |rule| rule.forbids && rule.concerns_principal(&principals));
        rules.flat_map(|rule| &rule.named).map(String::as_str)
    }

    /// Whether any rule asks what models decided.
    pub fn reads_decided(&self) -> bool {
        self.rules.iter().any(|rule| rule.reads_decided)
    }

    /// What each rule names, wherever it stands in it: the type of an entity (`Resource`, `Human`, `Group`, ...) and its id.
    pub fn names(&self) -> impl Iterator<Item = (&RuleId, Name)> {
        self.rules.iter().flat_map(|rule| {
            let name = |uid: EntityUid| Name {
                kind: uid.type_name().to_string(),
                id: uid.id().unescaped().to_owned(),
            };
            rule.cedar.entity_literals().into_iter().map(move |uid| (&rule.id, name(uid)))
        })
    }

    /// The groups whose approval rules ask for.
    pub fn asked(&self) -> impl Iterator<Item = (&RuleId, &Group)> {
        self.rules.iter().flat_map(|rule| rule.needs.iter().map(|group| (&rule.id, group)))
    }

    /// The rules that an approval by `group` could lift.
    pub fn asking<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = &'a RuleId> {
        self.rules.iter().filter(move |rule| rule.needs.contains(group)).map(|rule| &rule.id)
    }

    /// SHA-256 of [`Policy::canonical_text`].
    pub fn hash(&self) -> PolicyHash {
        self.hash
    }

    /// All files in order of their paths, each after a line that names it: what a record stores once per hash, and what
    /// [`Policy::from_canonical`] reads back.
    pub fn canonical_text(&self) -> &str {
        &self.text
    }

    /// Reads back what [`Policy::canonical_text`] gave.
    pub fn from_canonical(text: &str) -> Result<Policy, Vec<PolicyError>> {
        let mut files: Vec<Source> = Vec::new();
        for line in text.split_inclusive('\n') {
            match (line.strip_prefix(FILE_LINE), files.last_mut()) {
                (Some(path), _) => {
                    files.push(Source { path: path.trim_end().to_owned(), text: String::new() });
                }
                (None, Some(file)) => file.text.push_str(line),
                (None, None) => {
                    files.push(Source { path: "unnamed.cedar".to_owned(), text: line.to_owned() })
                }
            }
        }
        Policy::parse(&files)
    }

    /// SHA-256 of the schema that ships with the crate.
    pub fn schema_hash(&self) -> [u8; 32] {
        sha256(SCHEMA.as_bytes())
    }

    /// The ids of all rules, in order.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &RuleId> {
        self.rules.iter().map(|rule| &rule.id)
    }

    /// The whole policy as a slice.
    pub(crate) fn whole(&self) -> &Slice {
        &self.whole
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({} rules, {:?})", self.rules.len(), self.hash)
    }
}

/// Begins the line that names a file in the canonical text. A comment, so that the whole is a policy too.
const FILE_LINE: &str = "//# file ";

fn canonical_text(files: &[&Source]) -> String {
    let mut out = String::new();
    for file in files {
        out.push_str(FILE_LINE);
        out.push_str(file_name(&file.path));
        out.push('\n');
        // A line of the file's own that looks like ours is a comment: it can be told apart by one more slash.
        for line in file.text.lines() {
            if line.starts_with(FILE_LINE) {
                out.push('/');
            }
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

fn whole_file(file: &Source, message: String) -> PolicyError {
    PolicyError { file: file.path.clone(), line: 1, column: 1, message, help: None }
}

/// One rule's text and place.
struct Statement<'a> {
    file: &'a Source,
    /// Byte offset in the file.
    start: usize,
    text: &'a str,
    /// Counted from 0 in the file.
    index: usize,
}

impl<'a> Statement<'a> {
    /// The statements of a file. They end with `;` outside strings and comments, as in Cedar's grammar.
    fn all(file: &'a Source) -> Vec<Statement<'a>> {
        let text = &file.text;
        let mut statements = Vec::new();
        let (mut start, mut in_string, mut in_comment) = (None, false, false);
        let mut bytes = text.bytes().enumerate().peekable();
        while let Some((i, b)) = bytes.next() {
            match b {
                b'\n' => in_comment = false,
                _ if in_comment => continue,
                b'\\' if in_string => {
                    bytes.next();
                    continue;
                }
                b'"' => in_string = !in_string,
                b'/' if !in_string && text.as_bytes().get(i + 1) == Some(&b'/') => {
                    in_comment = true;
                    continue;
                }
                _ => {}
            }
            if start.is_none() && !b.is_ascii_whitespace() {
                start = Some(i);
            }
            if b == b';' && !in_string {
                let from = start.take().unwrap_or(i);
                let index = statements.len();
                statements.push(Statement { file, start: from, text: &text[from..=i], index });
            }
        }
        if let Some(from) = start {
            let index = statements.len();
            statements.push(Statement { file, start: from, text: &text[from..], index });
        }
        statements
    }

    fn error(&self, offset: usize, message: String, help: Option<String>) -> PolicyError {
        let at = self.file.text.floor_char_boundary((self.start + offset).min(self.file.text.len()));
        let before = &self.file.text[..at];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        PolicyError {
            file: self.file.path.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message,
            help,
        }
    }

    fn diagnostic(&self, diagnostic: &dyn Diagnostic) -> PolicyError {
        let label = diagnostic.labels().and_then(|mut labels| labels.next());
        let offset = label.as_ref().map_or(0, miette::LabeledSpan::offset);
        let expected = label.as_ref().and_then(|l| l.label()).filter(|l| !l.is_empty()).map(str::to_owned);
        let help = diagnostic.help().map(|h| h.to_string()).or(expected);
        self.error(offset, diagnostic.to_string(), help)
    }
}

/// In order, and what is wrong at one place for several actions once.
fn folded(mut errors: Vec<PolicyError>) -> Vec<PolicyError> {
    let place = |e: &PolicyError| (e.file.clone(), e.line, e.column);
    errors.sort_by_cached_key(|e| (place(e), e.message.clone()));
    errors.dedup();
    let mut all: Vec<(PolicyError, usize)> = Vec::new();
    for error in errors {
        let alike = |a: &PolicyError| {
            let before =
                |e: &PolicyError| e.message.split_once("Action::").map(|(before, _)| before.to_owned());
            place(a) == place(&error) && before(a).is_some_and(|a| before(&error) == Some(a))
        };
        match all.last_mut() {
            Some((first, more)) if alike(first) => *more += 1,
            _ => all.push((error, 0)),
        }
    }
    let said = |(mut error, more): (PolicyError, usize)| {
        if more > 0 {
            error.message.push_str(&format!(" (and the same for {more} other actions)"));
        }
        error
    };
    all.into_iter().map(said).collect()
}

/// Parses, names, validates and inspects every statement.
fn read_rules(statements: &[Statement<'_>], errors: &mut Vec<PolicyError>) -> Vec<Rule> {
    let mut set = PolicySet::new();
    let mut rules = Vec::with_capacity(statements.len());
    let mut places: BTreeMap<String, &Statement<'_>> = BTreeMap::new();
    for (n, statement) in statements.iter().enumerate() {
        // The internal id is the position: it sorts, and cannot clash.
        let id = PolicyId::new(format!("{n:05}"));
        match cedar_policy::Policy::parse(Some(id), statement.text) {
            Ok(policy) => {
                places.insert(policy.id().to_string(), statement);
                rules.push(rule(statement, &policy, errors));
                if let Err(e) = set.add(policy) {
                    errors.push(statement.error(0, e.to_string(), None));
                }
            }
            Err(e) => errors.extend(e.iter().map(|e| statement.diagnostic(e))),
        }
    }
    let schema = match Schema::from_cedarschema_str(SCHEMA) {
        Ok((schema, _)) => schema,
        Err(e) => {
            errors.extend(statements.first().map(|s| s.error(0, format!("the built-in schema: {e}"), None)));
            return rules;
        }
    };
    let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
    let names: BTreeMap<&String, &RuleId> = places.keys().zip(rules.iter().map(|rule| &rule.id)).collect();
    let said = |id: &PolicyId, what: &dyn Diagnostic| {
        let id = id.to_string();
        let mut error = places.get(&id)?.diagnostic(what);
        let inner = format!("for policy `{id}`");
        error.message = error.message.replace(&inner, &format!("in rule `{}`", names.get(&id)?));
        Some(error)
    };
    for error in result.validation_errors() {
        errors.extend(said(error.policy_id(), error));
    }
    // A rule that can never apply, or has characters that read as others, is a mistake too.
    for warning in result.validation_warnings() {
        errors.extend(said(warning.policy_id(), warning));
    }
    let mut seen = HashSet::new();
    for (rule, statement) in rules.iter().zip(places.values()) {
        if !seen.insert(&rule.id) {
            let help = Some("give each rule an @id of its own".to_owned());
            errors.push(statement.error(0, format!("another rule has the id `{}`", rule.id), help));
        }
    }
    rules
}

fn rule(statement: &Statement<'_>, policy: &cedar_policy::Policy, errors: &mut Vec<PolicyError>) -> Rule {
    for (name, _) in policy.annotations() {
        if !["id", "needs", "message"].contains(&name) {
            let help = Some("the annotations are @id, @needs and @message".to_owned());
            errors.push(statement.error(0, format!("unknown annotation `@{name}`"), help));
        }
    }
    let id = policy.annotation("id").map_or_else(
        || format!("{}#{}", file_name(&statement.file.path), statement.index + 1),
        str::to_owned,
    );
    let plain =
        |text: &str| !text.is_empty() && text.len() <= 128 && !text.contains(|c: char| c.is_control());
    if !plain(&id) {
        errors.push(statement.error(0, "an @id has 1 to 128 characters, none a control".to_owned(), None));
    }
    let forbids = policy.effect() == Effect::Forbid;
    let json = policy.to_json().map(|j| j.to_string()).unwrap_or_default();
    let needs: Vec<Group> = policy
        .annotation("needs")
        .map(|groups| groups.split(',').map(|g| Group(g.trim().into())).collect())
        .unwrap_or_default();
    if policy.annotation("needs").is_some() {
        check_needs(statement, forbids, &needs, &json, errors);
    }
    // If the text form is missing, everything is assumed to be read.
    let mentions = |variable: &str| json.is_empty() || json.contains(&format!(r#"{{"Var":"{variable}"}}"#));
    Rule {
        id: RuleId(id.into()),
        needs,
        message: policy.annotation("message").map(str::to_owned),
        forbids,
        reads_context: mentions("context"),
        reads_at: json.is_empty() || reads_of_context(&json, "at"),
        // A word that stands elsewhere costs a comparison and nothing else.
        reads_decided: mentions("context") && (json.is_empty() || json.contains("decided")),
        reads_resource: mentions("resource"),
        named: policy.entity_literals().iter().map(|uid| uid.id().unescaped().to_owned()).collect(),
        cedar: policy.clone(),
    }
}

/// Whether a rule's JSON reads this attribute of `context`. `context` as a whole reads all.
fn reads_of_context(json: &str, attribute: &str) -> bool {
    const CONTEXT: &str = r#"{"Var":"context"}"#;
    json.match_indices(CONTEXT).any(|(at, _)| {
        // `.` and `has` name the attribute beside it, on one side or the other.
        let behind = json[at + CONTEXT.len()..].strip_prefix(r#","attr":""#);
        let behind = behind.and_then(|rest| rest.split_once('"')).map(|(name, _)| name);
        let before = json[..at].strip_suffix(r#"","left":"#);
        let before = before.and_then(|rest| rest.rsplit_once(r#""attr":""#)).map(|(_, name)| name);
        let word = |name: &&str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        behind.or(before).filter(word).is_none_or(|name| name == attribute)
    })
}

/// A `@needs` that no approval could satisfy is a mistake.
fn check_needs(
    statement: &Statement<'_>,
    forbids: bool,
    needs: &[Group],
    json: &str,
    errors: &mut Vec<PolicyError>,
) {
    if !forbids {
        let help = Some("write a permit, and beside it a forbid with @needs".to_owned());
        errors.push(statement.error(0, "only a forbid can carry @needs".to_owned(), help));
    }
    for group in needs {
        if group.0.is_empty() {
            errors.push(statement.error(0, "@needs names an empty group".to_owned(), None));
        } else if !json.contains(r#""attr":"approvals""#) || !json.contains(&format!("{:?}", &*group.0)) {
            let message = format!("no approval by `{group}` would lift this forbid");
            let help = format!("add: unless {{ context.approvals.contains(\"{group}\") }}");
            errors.push(statement.error(0, message, Some(help)));
        }
    }
}

impl Rule {
    /// Whether the rule's scope can hold for `principal` (a run and what it is in) at all.
    pub(crate) fn concerns_principal(&self, principal: &[EntityUid]) -> bool {
        match self.cedar.principal_constraint() {
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => true,
            PrincipalConstraint::In(uid)
            | PrincipalConstraint::Eq(uid)
            | PrincipalConstraint::IsIn(_, uid) => principal.contains(&uid),
        }
    }

    /// Whether the rule's scope can hold for `act`.
    pub(crate) fn concerns_act(&self, act: Act) -> bool {
        let is = |uid: &EntityUid| uid.id().unescaped() == act.as_str();
        match self.cedar.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => is(&uid),
            ActionConstraint::In(uids) => uids.iter().any(is),
        }
    }

    /// Whether the rule's scope can hold for `root`, for what it is in, or for anything below it.
    pub(crate) fn concerns_tree(&self, root: &ResourcePath) -> bool {
        match self.cedar.resource_constraint() {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => true,
            ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) | ResourceConstraint::IsIn(_, uid) => {
                let id = uid.id().unescaped();
                within(id, root.as_str()) || within(root.as_str(), id)
            }
        }
    }

    /// Whether the rule forbids `root` and all that is in it to `principal` (a run and what it is in), and no condition or
    /// approval lifts that.
    pub(crate) fn forbids_tree(&self, principal: &[EntityUid], root: &ResourcePath) -> bool {
        let concerns = match self.cedar.principal_constraint() {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::In(uid) => principal.contains(&uid),
            PrincipalConstraint::Eq(_) | PrincipalConstraint::Is(_) | PrincipalConstraint::IsIn(..) => false,
        };
        let covers = match self.cedar.resource_constraint() {
            ResourceConstraint::Any => true,
            ResourceConstraint::In(uid) => within(root.as_str(), uid.id().unescaped()),
            ResourceConstraint::Eq(_) | ResourceConstraint::Is(_) | ResourceConstraint::IsIn(..) => false,
        };
        let always = self.needs.is_empty() && !self.cedar.has_non_scope_constraint();
        self.forbids && concerns && covers && always
    }

    /// Whether the rule's scope can hold for a resource with these ids: its own, and of all that it is in.
    pub(crate) fn concerns_resource(&self, ids: &[&str]) -> bool {
        match self.cedar.resource_constraint() {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => true,
            ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) | ResourceConstraint::IsIn(_, uid) => {
                ids.contains(&uid.id().unescaped())
            }
        }
    }
}

fn within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
