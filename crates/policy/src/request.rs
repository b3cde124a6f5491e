//! What policy is asked, and its canonical text.

use std::fmt::Write as _;

use vocab::{Access, Class, ColumnUse, Group, Opaque, Position, ResourcePath, Verb, WallTime};

use crate::limits::{ACCESSES_MAX, ANCESTORS_MAX, CANONICAL_BYTES_MAX, COLUMNS_MAX, DEPTH_MAX, PARENTS_MAX};

/// Who asks: a run of an agent, started by a human.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    pub human: Box<str>,
    /// The human's groups, as configured or as the identity provider said.
    pub human_groups: Vec<Group>,
    pub agent: Box<str>,
    /// The run's id as text.
    pub run: Box<str>,
    /// Whether the agent is kept apart from the gateway's belongings.
    pub confined: bool,
    /// The runs that this one was started in, nearest first. The child may do only what each of them may.
    pub parents: Vec<Parent>,
}

/// A run that started the principal's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parent {
    pub agent: Box<str>,
    pub run: Box<str>,
}

/// Circumstances of a request. Nothing in it is a value of the client's: types, classes, sizes and names only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Groups that have approved this very request.
    pub approvals: Vec<Group>,
    /// What the run was started for, as the record has it (masked).
    pub task: Option<Box<str>>,
    pub resource_kind: Box<str>,
    /// The exact kind of the request: `vocab::Action::kind`.
    pub kind: Box<str>,
    pub functions: Vec<Box<str>>,
    /// Of a call of a tool: the names of its arguments, and `name=value` of those that the operator opened to policy.
    pub arguments: Vec<Box<str>>,
    /// How a decision of a model's that was not carried out yet says the request (`same`, `part`, `holds`, `within`, `like`). `None`: none
    /// does, or no rule asks.
    pub decided: Option<Box<str>>,
    /// The same decision repeats what the result of a tool said, and no person.
    pub decided_by_result: bool,
    pub in_transaction: bool,
    pub now: WallTime,
    /// Classes that detectors found in the request's values (for `release`: in the response).
    pub classes: Vec<Class>,
    /// Number of values (literals and parameters).
    pub values: u64,
    /// Size of the largest, in bytes.
    pub largest_value: u64,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// An action: every access in it, and `opaque` if it is.
    Action { accesses: Vec<Access>, opaque: Option<Opaque> },
    /// To see a class unmasked.
    Reveal(Class),
    /// To let a response out.
    Release(Release),
    /// To start a run for another human.
    Delegate(Box<str>),
    /// To start a run of an agent inside this run.
    Spawn(Box<str>),
}

/// A response so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Release {
    pub rows: u64,
    pub bytes: u64,
    /// Hits of detectors and fingerprints that break coverage.
    pub tripwires: u64,
}

/// One question to policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub principal: Principal,
    /// The root of the resource that the session is connected to.
    pub resource: ResourcePath,
    pub what: What,
    pub context: Context,
}

/// Why a canonical request could not be read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayError {
    /// Counted from 1.
    pub line: usize,
    pub what: &'static str,
}

impl std::fmt::Display for ReplayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "canonical request, line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for ReplayError {}

/// The first line of a canonical request.
const VERSION: &str = "tacho-request 1";
/// Stands for the reason of an opaque action: the record has that beside the request, and no decision depends on it.
const OPAQUE_REASON: Opaque = Opaque("as recorded");

impl Request {
    /// The request as deterministic text: one `word value...` a line in a fixed order, lists sorted. Equal text gives
    /// an equal decision. Values are percent-encoded, so that a name cannot forge a line. The reason of an opaque
    /// action is left out.
    pub fn canonical(&self) -> String {
        let mut out = String::with_capacity(512);
        let mut line = |word: &str, values: &[&str]| {
            out.push_str(word);
            for value in values {
                out.push(' ');
                encode(value, &mut out);
            }
            out.push('\n');
        };
        let (p, c) = (&self.principal, &self.context);
        line("tacho-request", &["1"]);
        line("human", &[&p.human]);
        sorted(p.human_groups.iter().map(|g| &*g.0)).iter().for_each(|g| line("group", &[g]));
        line("agent", &[&p.agent]);
        line("run", &[&p.run]);
        line("confined", &[flag(p.confined)]);
        p.parents.iter().for_each(|parent| line("parent", &[&parent.agent, &parent.run]));
        line("resource", &[self.resource.as_str()]);
        sorted(c.approvals.iter().map(|g| &*g.0)).iter().for_each(|g| line("approval", &[g]));
        c.task.iter().for_each(|t| line("task", &[t]));
        line("resource-kind", &[&c.resource_kind]);
        line("kind", &[&c.kind]);
        sorted(c.functions.iter().map(|f| &**f)).iter().for_each(|f| line("function", &[f]));
        sorted(c.arguments.iter().map(|a| &**a)).iter().for_each(|a| line("argument", &[a]));
        c.decided.iter().for_each(|how| line("decided", &[how]));
        if c.decided_by_result {
            line("decided-by-result", &[]);
        }
        line("in-transaction", &[flag(c.in_transaction)]);
        line("now", &[&c.now.0.to_string()]);
        sorted(c.classes.iter().map(Class::as_str)).iter().for_each(|k| line("class", &[k]));
        line("values", &[&c.values.to_string(), &c.largest_value.to_string()]);
        match &self.what {
            What::Action { accesses, opaque } => {
                let mut accesses: Vec<&Access> = accesses.iter().collect();
                accesses.sort();
                accesses.dedup();
                for access in accesses {
                    line("access", &[access.verb.as_str(), access.on.as_str()]);
                    let mut columns: Vec<&ColumnUse> = access.columns.iter().collect();
                    columns.sort();
                    columns.dedup();
                    columns.iter().for_each(|u| line("column", &[&u.column, u.position.as_str()]));
                }
                opaque.iter().for_each(|_| line("opaque", &[]));
                line("action", &[]);
            }
            What::Reveal(class) => line("reveal", &[class.as_str()]),
            What::Release(r) => {
                line("release", &[&r.rows.to_string(), &r.bytes.to_string(), &r.tripwires.to_string()]);
            }
            What::Delegate(human) => line("delegate", &[human]),
            What::Spawn(agent) => line("spawn", &[agent]),
        }
        out
    }

    /// Reads a canonical request back. Strict: what [`Request::canonical`] would not write is refused.
    pub fn parse(canonical: &str) -> Result<Request, ReplayError> {
        if canonical.len() > CANONICAL_BYTES_MAX {
            return Err(ReplayError { line: 1, what: "the request is longer than any that is written" });
        }
        let request = Lines::new(canonical).request()?;
        if request.canonical() != canonical {
            return Err(ReplayError { line: 1, what: "the text is not in canonical form" });
        }
        Ok(request)
    }

    /// Whether the request is within the limits of what is evaluated.
    pub(crate) fn bounded(&self) -> bool {
        let accesses = match &self.what {
            What::Action { accesses, .. } => &accesses[..],
            _ => &[],
        };
        let depth = |access: &Access| access.on.ancestors().take(DEPTH_MAX + 1).count();
        self.principal.parents.len() <= PARENTS_MAX
            && accesses.len() <= ACCESSES_MAX
            && accesses.iter().all(|a| a.columns.len() <= COLUMNS_MAX)
            && accesses.iter().all(|a| depth(a) <= DEPTH_MAX)
            && accesses.iter().map(depth).sum::<usize>() <= ANCESTORS_MAX
    }
}

fn sorted<'a>(values: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut values: Vec<&str> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}

fn flag(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// Percent-encodes what could be taken for structure: white space, controls, `%`, and the empty value.
fn encode(value: &str, out: &mut String) {
    if value.is_empty() {
        out.push_str("%-");
    }
    for c in value.chars() {
        if c == '%' || c.is_whitespace() || c.is_control() {
            c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| {
                let _ = write!(out, "%{b:02X}");
            });
        } else {
            out.push(c);
        }
    }
}

fn decode(value: &str) -> Option<Box<str>> {
    if value == "%-" {
        return Some("".into());
    }
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let hex = std::str::from_utf8(tail.get(..2)?).ok()?;
            out.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &tail[2..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(out).ok().map(String::into_boxed_str)
}

/// The lines of a canonical request, taken in order.
struct Lines<'a> {
    lines: std::iter::Peekable<std::iter::Enumerate<std::str::Lines<'a>>>,
    line: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Lines<'a> {
        Lines { lines: text.lines().enumerate().peekable(), line: 1 }
    }

    fn request(mut self) -> Result<Request, ReplayError> {
        match self.lines.next() {
            Some((_, VERSION)) => {}
            _ => return Err(self.fault("expected `tacho-request 1`")),
        }
        let human = self.one("human")?;
        let human_groups = self.groups("group")?;
        let agent = self.one("agent")?;
        let run = self.one("run")?;
        let confined = self.flag("confined")?;
        let parents = self.many("parent", |[agent, run]| Some(Parent { agent, run }))?;
        let resource = self.one("resource")?;
        let resource = ResourcePath::parse(&resource).ok_or_else(|| self.fault("not a resource path"))?;
        let approvals = self.groups("approval")?;
        let task = self.many("task", |[task]| Some(task))?.into_iter().next();
        let resource_kind = self.one("resource-kind")?;
        let kind = self.one("kind")?;
        let functions = self.many("function", |[name]| Some(name))?;
        let arguments = self.many("argument", |[said]| Some(said))?;
        let decided = self.take("decided")?.map(|[how]| how);
        let decided_by_result = self.take::<0>("decided-by-result")?.is_some();
        let in_transaction = self.flag("in-transaction")?;
        let [now] = self.numbers("now")?;
        let classes = self.many("class", |[class]| Class::new(&class))?;
        let [values, largest_value] = self.numbers("values")?;
        let what = self.what()?;
        if self.lines.next().is_some() {
            return Err(self.fault("more lines than a request has"));
        }
        let principal = Principal { human, human_groups, agent, run, confined, parents };
        let context = Context {
            approvals,
            task,
            resource_kind,
            kind,
            functions,
            arguments,
            decided,
            decided_by_result,
            in_transaction,
            now: WallTime(now),
            classes,
            values,
            largest_value,
        };
        Ok(Request { principal, resource, what, context })
    }

    fn what(&mut self) -> Result<What, ReplayError> {
        if let Some([class]) = self.take("reveal")? {
            let class = Class::new(&class).ok_or_else(|| self.fault("not a class"))?;
            return Ok(What::Reveal(class));
        }
        if self.is_next("release") {
            let [rows, bytes, tripwires] = self.numbers("release")?;
            return Ok(What::Release(Release { rows, bytes, tripwires }));
        }
        if let Some([human]) = self.take("delegate")? {
            return Ok(What::Delegate(human));
        }
        if let Some([agent]) = self.take("spawn")? {
            return Ok(What::Spawn(agent));
        }
        let mut accesses = Vec::new();
        while let Some([verb, on]) = self.take("access")? {
            let verb = Verb::parse(&verb).ok_or_else(|| self.fault("not a verb"))?;
            let on = ResourcePath::parse(&on).ok_or_else(|| self.fault("not a resource path"))?;
            let columns =
                self.many("column", |[column, at]| Some(ColumnUse { column, position: position(&at)? }))?;
            accesses.push(Access { verb, on, columns });
        }
        let opaque = self.take::<0>("opaque")?.map(|_| OPAQUE_REASON);
        match self.take::<0>("action")? {
            Some(_) => Ok(What::Action { accesses, opaque }),
            None => Err(self.fault("expected `action`")),
        }
    }

    fn fault(&self, what: &'static str) -> ReplayError {
        ReplayError { line: self.line, what }
    }

    fn is_next(&mut self, word: &str) -> bool {
        self.lines.peek().is_some_and(|(_, line)| line.split(' ').next() == Some(word))
    }

    /// The `N` values of the next line if it begins with `word`.
    fn take<const N: usize>(&mut self, word: &str) -> Result<Option<[Box<str>; N]>, ReplayError> {
        if !self.is_next(word) {
            return Ok(None);
        }
        let Some((index, line)) = self.lines.next() else { return Ok(None) };
        self.line = index + 1;
        let values: Option<Vec<Box<str>>> = line.split(' ').skip(1).map(decode).collect();
        let values = values.ok_or_else(|| self.fault("a value is not well encoded"))?;
        values.try_into().map(Some).map_err(|_| self.fault("a wrong number of values"))
    }

    fn one(&mut self, word: &'static str) -> Result<Box<str>, ReplayError> {
        match self.take(word)? {
            Some([value]) => Ok(value),
            None => Err(self.fault("a line is missing")),
        }
    }

    fn many<const N: usize, T>(
        &mut self,
        word: &str,
        read: impl Fn([Box<str>; N]) -> Option<T>,
    ) -> Result<Vec<T>, ReplayError> {
        let mut out = Vec::new();
        while let Some(values) = self.take(word)? {
            out.push(read(values).ok_or_else(|| self.fault("a value is not one of those allowed"))?);
        }
        Ok(out)
    }

    fn groups(&mut self, word: &str) -> Result<Vec<Group>, ReplayError> {
        self.many(word, |[group]| Some(Group(group.into())))
    }

    fn flag(&mut self, word: &'static str) -> Result<bool, ReplayError> {
        match &*self.one(word)? {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => Err(self.fault("expected yes or no")),
        }
    }

    fn numbers<const N: usize>(&mut self, word: &str) -> Result<[u64; N], ReplayError> {
        let values: [Box<str>; N] = self.take(word)?.ok_or_else(|| self.fault("a line is missing"))?;
        let mut out = [0; N];
        for (number, text) in out.iter_mut().zip(&values) {
            *number = text.parse().map_err(|_| self.fault("expected a number"))?;
        }
        Ok(out)
    }
}

pub(crate) fn position(word: &str) -> Option<Position> {
    [
        Position::Output,
        Position::Predicate,
        Position::Sort,
        Position::Group,
        Position::Join,
        Position::Write,
        Position::WriteSource,
    ]
    .into_iter()
    .find(|p| p.as_str() == word)
}

#[cfg(test)]
mod tests;
