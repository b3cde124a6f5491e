//! A plan: one statement text, analysed, decided and rewritten, as it may be used again and again.
//!
//! **Invariant:** a plan holds for one exact text under one catalog, one set of session names and one policy. The
//! session throws all its plans away when any of these changes; nothing is keyed on a fingerprint.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gate::{Decided, Gate, GovernedRead, Ground, Param, Subject, Who};
use ledger::Print;
use mask::{Detectors, MaskedText};
use policy::Context;
use sql::{Analysis, ByName, Effect, LiteralKind, Names, Reason, Rewritten, Statement};
use vocab::{Access, Action, Class, Group, MaskKind, RuleId, Verb, Verdict};

use super::catalog::Catalog;
use super::flight::Columns;
use super::resource::{Pins, Resource};
use crate::limits::PRINTS_MAX;

/// The plans of one session, by exact text. The hash has a key of its own and is fast on long texts; an agent that made
/// texts collide would slow down its own session alone.
pub type Plans = HashMap<Arc<str>, Arc<Plan>, foldhash::quality::RandomState>;

/// What a session's names stand for.
pub struct SessionNames<'a> {
    pub names: &'a Names,
    /// What stands behind a name that a statement runs or reads by, and behind that, as it was given and as it was sent. `None`: it is
    /// not known.
    pub behind: &'a dyn Fn(&ByName) -> Option<Vec<Behind>>,
}

/// A text behind a name, and what upstream holds of it.
pub struct Behind {
    pub text: Arc<str>,
    pub upstream: Arc<str>,
}

/// One statement, ready to be asked about.
pub struct Plan {
    /// Without its tree.
    pub statement: Option<Statement>,
    pub analysis: Arc<Analysis>,
    /// Types of users' own that the client gave to its parameters: the text does not say them.
    pub types: Arc<[u32]>,
    /// The catalog that it was made from, by its hash and changes.
    pub catalog: [u8; 32],
    pub changes: u64,
    /// What its records say of it.
    pub subject: Subject,
    /// What runs upstream.
    pub text: Arc<str>,
    pub rewritten: Rewritten,
    pub revealed: BTreeMap<Class, RuleId>,
    /// What of the context is the statement's own; see [`Plan::context`].
    own: Context,
    /// Classed values among the literals.
    values: Vec<Valued>,
    /// The governed columns that it writes, with what stands for their values.
    pub writes: Vec<Written>,
    /// The verdict without approvals. Used again only if it is `cacheable`.
    pub decided: Arc<Decided>,
    /// What it does or what is revealed depends on when it is asked: the plan holds for this once.
    pub volatile: bool,
    /// Why it cannot run whatever policy says.
    pub refuse: Option<Reason>,
    /// Why, in PostgreSQL's own words about the client's own text, where those are known.
    pub said: Option<String>,
    /// The shape of its result when it last had one: most often it has the same again.
    pub shown: Mutex<Option<Arc<Columns>>>,
}

impl Plan {
    /// Reads a statement in the light of catalog, names and policy, with the types of users' own that its parameters are
    /// given. `None`: a text without a statement.
    pub fn make(
        resource: &Resource,
        who: &Who,
        pins: Pins,
        catalog: &Catalog,
        SessionNames { names, behind }: SessionNames<'_>,
        in_transaction: bool,
        (statement, types): (Option<Statement>, Arc<[u32]>),
    ) -> Plan {
        let gate = &resource.gate;
        let detectors = gate.detectors();
        let mut analysis = match &statement {
            Some(statement) => sql::analyze(
                statement,
                &catalog.snapshot,
                &catalog.governed,
                names,
                &resource.vouched,
                &resource.root,
            ),
            None => Analysis::of_nothing(resource.root.join(&names.database)),
        };
        if !types.is_empty() && catalog.snapshot.runs_code_by(&types, &resource.vouched) {
            analysis.is_beyond(TYPE_RUNS_CODE);
        }
        let values = statement.as_ref().map_or(Vec::new(), |statement| values(detectors, statement));
        let own = context(&analysis, statement.as_ref(), &values);
        let now = Context { in_transaction, now: crate::entropy::wall(), ..own.clone() };
        let decided = gate.verdict(
            who,
            &Ground { action: &analysis.action, context: &now, release: None },
            &BTreeSet::new(),
        );
        let governs = analysis.classes();
        let (revealed, volatile) = match governs.is_empty() {
            true => (BTreeMap::new(), false),
            false => (gate.reveals(who, &now, &governs), gate.reveals_by_context(who, &governs)),
        };
        let classes: BTreeSet<Class> = revealed.keys().cloned().collect();
        let off = switches_off(&analysis, pins);
        let lifts =
            || analysis.effects.iter().find_map(|effect| lifts(effect, pins)).filter(|_| off.is_none());
        let mut refuse = analysis.refuse.or_else(lifts);
        let writes = written(resource, &analysis);
        if refuse.is_none() && statement.as_ref().is_some_and(|s| literal_masks(s, &writes)) {
            refuse = Some(MASK_WRITTEN);
        }
        let own_text = statement.as_ref().map_or("", |s| s.text());
        let rewritten = match &statement {
            Some(_) if refuse.is_none() && off.is_some() => Rewritten { text: off, ..Rewritten::default() },
            Some(statement) if refuse.is_none() => {
                sql::rewrite(statement, &analysis, &catalog.snapshot, &catalog.governed, names, &classes)
                    .unwrap_or_else(|reason| {
                        refuse = Some(reason);
                        Rewritten::default()
                    })
            }
            _ => Rewritten::default(),
        };
        let behind = analysis.by_name.as_ref().map_or_else(|| Some(Vec::new()), behind);
        let known = behind.is_some();
        let behind = behind.unwrap_or_default();
        let own_literals = statement.as_ref().map(sql::masked_literals).unwrap_or_default();
        let asked = shown(detectors, (own_text, &own_literals), behind.iter().map(|b| &*b.text));
        let instead = match rewritten.text.as_deref() {
            Some(text) => Some((text, &rewritten.literals)),
            None if behind.iter().any(|b| b.text != b.upstream) => Some((own_text, &own_literals)),
            None => None,
        };
        let sent = instead
            .map(|(text, literals)| shown(detectors, (text, literals), behind.iter().map(|b| &*b.upstream)));
        let says_all = known && asked.says_all && sent.as_ref().is_none_or(|sent| sent.says_all);
        let may_ask = !decided.cacheable || matches!(decided.verdict, Verdict::Ask(_));
        let says = (may_ask && tells(&analysis, &writes)).then(|| asked.with_values(detectors)).flatten();
        let governed: Vec<GovernedRead> = analysis
            .governed
            .iter()
            .filter(|g| !classes.contains(&g.class))
            .map(|g| GovernedRead { on: g.path.clone(), class: g.class.clone(), kind: g.kind.as_str() })
            .collect();
        let sent = sent.map(|sent| sent.text);
        let subject =
            Subject::new(detectors, analysis.action.clone(), asked.text, sent, &governed).saying(says);
        Plan {
            subject: if says_all { subject } else { subject.hidden() },
            text: rewritten.text.as_deref().unwrap_or(own_text).into(),
            rewritten,
            revealed,
            own,
            values,
            writes,
            decided: decided.into(),
            shown: Mutex::new(None),
            volatile: volatile || analysis.by_name.is_some(),
            refuse,
            said: None,
            analysis: Arc::new(analysis),
            types,
            catalog: catalog.hash,
            changes: catalog.changes,
            statement: statement.map(Statement::bare),
        }
    }

    pub fn action(&self) -> &Action {
        &self.analysis.action
    }

    /// The verdict in this context: the remembered one if nothing but the plan decided it, else a fresh one.
    pub fn verdict(
        &self,
        gate: &Gate,
        who: &Who,
        context: impl FnOnce() -> Context,
        approved: &BTreeSet<Group>,
    ) -> Arc<Decided> {
        let may_keep =
            approved.is_empty() && self.decided.cacheable && !matches!(self.decided.verdict, Verdict::Ask(_));
        match may_keep {
            true => self.decided.clone(),
            false => gate.verdict(who, &self.ground(&context()), approved).into(),
        }
    }

    /// Whether it is of the same statement, and reveals the same.
    pub fn is(&self, other: &Plan) -> bool {
        std::ptr::eq(self, other)
            || self.text == other.text
                && self.statement.as_ref().map(Statement::text)
                    == other.statement.as_ref().map(Statement::text)
                && self.types == other.types
                && self.revealed == other.revealed
    }

    /// The statement, if nothing stands before it: then a text whose plan this is holds nothing else.
    pub fn whole_text(&self) -> Option<&Statement> {
        self.statement.as_ref().filter(|statement| statement.characters_before() == 0)
    }

    /// Whether what is said of it depends on what names mean.
    pub fn reads_names(&self) -> bool {
        self.statement.as_ref().is_some_and(|statement| statement.reads_names())
    }

    /// Whether it runs code that looks up names while it runs.
    pub fn runs_code(&self) -> bool {
        self.analysis.user_code || !self.analysis.functions.is_empty()
    }

    /// Whether it begins a transaction, or says of which kind one is, and does nothing else.
    pub fn only_begins(&self) -> bool {
        let effects = &self.analysis.effects;
        let begins = |effect: &Effect| matches!(effect, Effect::Begin { .. } | Effect::SetTransaction { .. });
        !effects.is_empty() && effects.iter().all(begins)
    }

    pub fn ground<'a>(&'a self, context: &'a Context) -> Ground<'a> {
        Ground { action: self.action(), context, release: None }
    }

    /// The circumstances in which the statement is asked for now.
    pub fn context(&self, in_transaction: bool, params: &[Param]) -> Context {
        let mut context = Context { in_transaction, now: crate::entropy::wall(), ..self.own.clone() };
        let found: BTreeSet<Class> =
            context.classes.drain(..).chain(params.iter().flat_map(|p| p.classes.iter().cloned())).collect();
        context.classes = found.into_iter().collect();
        context.values += params.len() as u64;
        let largest = params.iter().filter_map(|p| u64::try_from(p.size).ok()).max();
        context.largest_value = context.largest_value.max(largest.unwrap_or(0));
        context
    }

    /// The statement as the client wrote it.
    pub fn text(&self) -> Option<&str> {
        self.statement.as_ref().map(Statement::text)
    }

    /// Fingerprints of the values among the literals, under the present epoch's key.
    pub fn prints(&self, gate: &Gate) -> Vec<Print> {
        if self.values.is_empty() {
            return Vec::new();
        }
        let key = gate.ledger().epoch_key();
        let text = self.statement.as_ref().map_or("", |s| s.text());
        let print = |v: &Valued| Some(key.print(&v.class, text.get(v.range.clone())?.as_bytes()));
        self.values.iter().filter_map(print).collect::<BTreeSet<Print>>().into_iter().collect()
    }

    /// Whether what comes after it must wait for its end: it may change what names mean, or starts a COPY from the
    /// client.
    pub fn is_barrier(&self) -> bool {
        self.analysis.effects.iter().any(|effect| match effect {
            Effect::CopyIn
            | Effect::Set { .. }
            | Effect::Reset { .. }
            | Effect::ResetAll
            | Effect::DiscardAll
            | Effect::DiscardTemp
            | Effect::Prepare { .. }
            | Effect::Deallocate { .. }
            | Effect::DeclareCursor { .. }
            | Effect::CloseCursor { .. }
            | Effect::CreatesTemp { .. }
            | Effect::Ddl { .. }
            // Of a transaction that has failed it is a ROLLBACK.
            | Effect::Commit { .. }
            | Effect::Rollback { .. }
            | Effect::RollbackTo { .. } => true,
            Effect::Begin { .. }
            | Effect::Savepoint { .. }
            | Effect::Release { .. }
            | Effect::SetTransaction { .. }
            | Effect::DiscardPlans
            | Effect::Execute { .. }
            | Effect::Fetch { .. }
            | Effect::Listen { .. }
            | Effect::Unlisten { .. }
            | Effect::Notify { .. }
            | Effect::Show { .. }
            | Effect::CopyOut => false,
        })
    }

    pub fn copies_in(&self) -> bool {
        self.analysis.effects.contains(&Effect::CopyIn)
    }

    /// Whether it names `$1` and is none that is prepared: in a Query, nothing can stand there.
    pub fn lacks_parameters(&self) -> bool {
        let prepares = |effect: &Effect| matches!(effect, Effect::Prepare { .. });
        self.statement.as_ref().is_some_and(|s| s.parameters() > 0)
            && !self.analysis.effects.iter().any(prepares)
    }

    /// Whether it names a relation that is not there and that PostgreSQL looks for only when it runs: prepared before the
    /// relation is made, it is refused at its execution if the relation is still not there.
    pub fn is_named_later(&self) -> bool {
        const LATER: [&str; 3] = ["DROP ", "ALTER ", "TRUNCATE "];
        let kind = self.analysis.action.kind;
        self.refuse.is_some_and(|reason| reason.code == "42P01")
            && LATER.iter().any(|word| kind.starts_with(word))
    }

    /// In PostgreSQL's own words, which programs read: the relation, cursor or prepared statement that the statement
    /// names and that is not there. The name is the client's own.
    pub fn absent(&self) -> Option<String> {
        let reason = self.refuse?;
        match reason.code {
            "42P01" => {
                let text = self.statement.as_ref()?.text();
                if let Some(at) = reason.at {
                    return Some(format!("relation \"{}\" does not exist", dotted_name(text.get(at..)?)?));
                }
                // DROP names what it drops right behind its own words.
                let kind = self.action().kind;
                let what = kind.strip_prefix("DROP ")?.to_ascii_lowercase();
                let (own, rest) = text.split_at_checked(kind.len())?;
                let name = dotted_name(rest.trim_start()).filter(|_| own.eq_ignore_ascii_case(kind))?;
                Some(format!("{what} \"{name}\" does not exist"))
            }
            "34000" => self.analysis.effects.iter().find_map(|effect| match effect {
                Effect::Fetch { name } => Some(format!("cursor \"{name}\" does not exist")),
                _ => None,
            }),
            "26000" => self.analysis.effects.iter().find_map(|effect| match effect {
                Effect::Execute { name } => Some(format!("prepared statement \"{name}\" does not exist")),
                _ => None,
            }),
            _ => None,
        }
    }

    /// What PostgreSQL says of it where it is not alone in its Query; as the first of a pipeline it would run.
    pub fn stands_alone(&self) -> Option<&'static str> {
        match self.action().kind {
            "VACUUM" => Some("VACUUM cannot run inside a transaction block"),
            "DISCARD ALL" => Some("DISCARD ALL cannot run inside a transaction block"),
            "CREATE DATABASE" => Some("CREATE DATABASE cannot run inside a transaction block"),
            "DROP DATABASE" => Some("DROP DATABASE cannot run inside a transaction block"),
            "ALTER SYSTEM" => Some("ALTER SYSTEM cannot run inside a transaction block"),
            _ => None,
        }
    }

    /// Whether errors about it are rebuilt from templates: something governed or a user's code is in reach.
    pub fn careful(&self) -> bool {
        !self.analysis.governed.is_empty() || self.analysis.user_code || self.analysis.action.opaque.is_some()
    }
}

/// A statement as it is shown, with what stands behind its name.
struct Shown {
    text: MaskedText,
    /// Nothing but literals and comments was masked in it.
    says_all: bool,
    /// What it was made of, with its literals.
    all: String,
    literals: Vec<Range<usize>>,
}

impl Shown {
    fn with_values(&self, detectors: &Detectors) -> Option<MaskedText> {
        mask::statement_with_values(detectors, &self.all, &self.literals)
    }
}

/// Whether who approves it may see its values: it names no governed column and puts nothing into one, so that none of them is compared
/// with it, and gives nobody a password.
fn tells(analysis: &Analysis, writes: &[Written]) -> bool {
    let administers = |access: &Access| access.verb == Verb::Administer;
    let connects = ["SERVER", "USER MAPPING", "SUBSCRIPTION"];
    writes.is_empty()
        && analysis.governed.iter().all(|used| used.positions.is_empty())
        && !analysis.action.accesses.iter().any(administers)
        && !connects.iter().any(|word| analysis.action.kind.ends_with(word))
}

fn shown<'a>(
    detectors: &Detectors,
    (text, literals): (&str, &[Range<usize>]),
    behind: impl Iterator<Item = &'a str>,
) -> Shown {
    let (mut all, mut ranges) = (text.to_owned(), literals.to_vec());
    for text in behind {
        // A line of its own: what stands before may end with a comment.
        all.push_str("\n= ");
        let start = all.len();
        all.push_str(text);
        // One that cannot be cut into tokens is a literal, whole.
        let found = sql::literals_of(text).map(|all| all.into_iter().map(|literal| literal.range).collect());
        let found: Vec<Range<usize>> = found.unwrap_or_else(|| std::iter::once(0..text.len()).collect());
        ranges.extend(found.into_iter().map(|range| start + range.start..start + range.end));
    }
    let shown = mask::statement(detectors, &all, &ranges);
    Shown { says_all: mask::says_all(&shown, &all, &ranges), text: shown, all, literals: ranges }
}

const TYPE_RUNS_CODE: &str = "A parameter of this type may run a function that nobody vouches for.";

/// Of the types that a client gives to parameters, each of a user's once.
pub fn own_types(types: &[u32]) -> Arc<[u32]> {
    let own = types.iter().copied().filter(|oid| *oid >= sql::OWN_OIDS_END);
    own.collect::<BTreeSet<u32>>().into_iter().collect()
}

/// A session that the gateway has opened read-only stays it: the client cannot ask upstream for more.
const READ_ONLY: Reason = Reason {
    code: "25006",
    sentence: "this session is read-only: policy permits nothing but reading here",
    at: None,
};

fn longer(setting: &str) -> Reason {
    let sentence = match setting {
        "lock_timeout" => "lock_timeout cannot be raised above what the gateway has set for this session",
        "idle_in_transaction_session_timeout" => {
            "idle_in_transaction_session_timeout cannot be raised above what the gateway has set for this session"
        }
        _ => "statement_timeout cannot be raised above what the gateway has set for this session",
    };
    Reason { code: "42501", sentence, at: None }
}

/// What stands for a hidden value must not take its place.
pub const MASK_WRITTEN: Reason = Reason {
    code: "42501",
    sentence: "a value in it is a mask that stands for a hidden one: leave that column out of the statement",
    at: None,
};

/// A governed column that a statement writes.
pub struct Written {
    column: String,
    kind: MaskKind,
}

impl Written {
    /// Whether `value` is what this gateway shows in place of a value of the column. Those of kinds that cannot be told
    /// from a value (NULL, a bucket) are not known.
    pub fn is_mask(&self, value: &str) -> bool {
        match self.kind {
            MaskKind::RowToken => {
                value.strip_prefix(&self.column).is_some_and(|rest| rest.len() > 1 && rest.starts_with('_'))
            }
            MaskKind::Redact => value == "redacted",
            MaskKind::Partial { keep } => {
                let stars = value.chars().take_while(|c| *c == '*').count();
                stars > 0 && value.chars().count() - stars <= usize::from(keep)
            }
            MaskKind::Null | MaskKind::Token | MaskKind::Bucket { .. } => false,
        }
    }
}

fn written(resource: &Resource, analysis: &Analysis) -> Vec<Written> {
    let mut all = Vec::new();
    for access in analysis.action.accesses.iter().filter(|access| access.verb == Verb::Write) {
        for rule in &resource.rules {
            let of_rule = access.on.as_str().ends_with(&format!("/{}/{}", rule.schema, rule.table));
            if of_rule && access.columns.iter().any(|used| *used.column == *rule.column) {
                all.push(Written { column: rule.column.clone(), kind: rule.kind.clone() });
            }
        }
    }
    all
}

/// Whether a constant, or what constants make, is a mask of a column that the statement writes. What a function or a column
/// makes of others is known to the upstream alone.
fn literal_masks(statement: &Statement, writes: &[Written]) -> bool {
    let is_mask = |text: &String| writes.iter().any(|written| written.is_mask(text));
    // One that cannot be walked is not known.
    !writes.is_empty() && sql::constants(statement).is_none_or(|all| all.iter().any(is_mask))
}

/// Why a client's effect on its session is refused: it would lift a pin.
fn lifts(effect: &Effect, pins: Pins) -> Option<Reason> {
    let (name, value) = match effect {
        Effect::Begin { read_only } | Effect::SetTransaction { read_only } => {
            return (pins.read_only && *read_only == Some(false)).then_some(READ_ONLY);
        }
        Effect::Set { name, value, .. } => (name.to_ascii_lowercase(), value.as_deref()),
        // Of the others what they come back to is what the gateway has set.
        Effect::Reset { name } if name.eq_ignore_ascii_case("transaction_read_only") => {
            (name.to_ascii_lowercase(), None)
        }
        _ => return None,
    };
    if pins.read_only && name.ends_with("transaction_read_only") {
        let on = value.is_some_and(|v| ["on", "true", "yes", "1"].contains(&&*v.to_ascii_lowercase()));
        return (!on).then_some(READ_ONLY);
    }
    let (_, most) = pins.times().find(|(pin, _)| *pin == name)?;
    (!value.is_some_and(|value| within(value, most))).then(|| longer(&name))
}

/// What is sent in place of a SET that switches off one of the gateway's limits of time, as a dump's first lines do: the
/// limit is then as the gateway has set it.
fn switches_off(analysis: &Analysis, pins: Pins) -> Option<String> {
    let [Effect::Set { name, value, local }] = &analysis.effects[..] else { return None };
    let (pin, _) = pins.times().find(|(pin, _)| name.eq_ignore_ascii_case(pin))?;
    let local = if *local { "LOCAL " } else { "" };
    let off = analysis.action.kind == "SET" && value.as_deref().and_then(milliseconds) == Some(0);
    off.then(|| format!("SET {local}{pin} TO DEFAULT"))
}

/// Whether a setting of time is one, and at most `most`.
pub fn within(value: &str, most: Duration) -> bool {
    milliseconds(value).is_some_and(|ms| (1..=most.as_millis()).contains(&ms))
}

/// A setting of time as PostgreSQL reads it, where it is a whole number: of milliseconds if it has no unit.
fn milliseconds(value: &str) -> Option<u128> {
    let value = value.trim();
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let number: u128 = value[..end].parse().ok()?;
    let unit = match value[end..].trim() {
        "ms" | "" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// A value of a class that a detector found in a literal: where, in bytes of the statement.
struct Valued {
    class: Class,
    range: Range<usize>,
}

/// The classed values in the statement's literals, at most [`PRINTS_MAX`].
fn values(detectors: &Detectors, statement: &Statement) -> Vec<Valued> {
    let mut all = Vec::new();
    for literal in statement.literals() {
        let mut found = Vec::new();
        let text = statement.text().get(literal.range.clone()).unwrap_or("");
        detectors.scan_deep(text.as_bytes(), &mut found);
        let start = literal.range.start;
        all.extend(found.into_iter().map(|finding| Valued {
            range: start + finding.range.start..start + finding.range.end,
            class: finding.class,
        }));
    }
    all.truncate(PRINTS_MAX);
    all
}

fn context(analysis: &Analysis, statement: Option<&Statement>, values: &[Valued]) -> Context {
    let literals = statement.map_or(&[][..], Statement::literals);
    let literals = literals.iter().filter(|l| l.kind != LiteralKind::Comment);
    Context {
        resource_kind: "postgres".into(),
        kind: analysis.action.kind.into(),
        functions: analysis.action.functions.clone(),
        classes: values.iter().map(|v| v.class.clone()).collect::<BTreeSet<_>>().into_iter().collect(),
        values: literals.clone().count() as u64,
        largest_value: literals.map(|l| l.range.len() as u64).max().unwrap_or(0),
        ..Context::default()
    }
}

/// The name, with its schema if it has one, that `text` begins with, as PostgreSQL folds and prints it.
fn dotted_name(text: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"').filter(|end| !quoted[end + 1..].starts_with('"'))?;
                (quoted[..end].to_owned(), &quoted[end + 1..])
            }
            None => {
                let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
                let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
                (rest[..end].to_ascii_lowercase(), &rest[end..])
            }
        };
        if part.is_empty() {
            return None;
        }
        name.push_str(&part);
        match after.strip_prefix('.') {
            Some(more) => {
                name.push('.');
                rest = more;
            }
            None => return Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pins, READ_ONLY, dotted_name, lifts, longer};
    use sql::Effect;
    use std::time::Duration;
    use vocab::MaskKind;

    #[test]
    fn a_mask_is_told_from_a_value() {
        let of = |column: &str, kind| super::Written { column: column.to_owned(), kind };
        for (written, masks, values) in [
            (of("ssn", MaskKind::RowToken), &["ssn_1", "ssn_a_b"][..], &["ssn", "ssn_", "536-22-8391"][..]),
            (
                of("card", MaskKind::Partial { keep: 4 }),
                &["************3486", "***"],
                &["4539", "**** 12345", ""],
            ),
            (of("note", MaskKind::Redact), &["redacted"], &["Redacted", ""]),
            (of("born", MaskKind::Bucket { width: 10 }), &[], &["10", "1970-01-01"]),
        ] {
            masks.iter().for_each(|mask| assert!(written.is_mask(mask), "{mask}"));
            values.iter().for_each(|value| assert!(!written.is_mask(value), "{value}"));
        }
    }

    #[test]
    fn a_pin_is_not_lifted_by_what_a_client_sets() {
        let pins = Pins {
            read_only: true,
            statement_timeout: Some(Duration::from_secs(60)),
            lock_timeout: Some(Duration::from_secs(5)),
            idle_in_transaction: Some(Duration::from_secs(60)),
        };
        const IDLE: &str = "idle_in_transaction_session_timeout";
        let set = |name: &str, value: Option<&str>| Effect::Set {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            local: false,
        };
        for (effect, expect) in [
            (Effect::Begin { read_only: None }, None),
            (Effect::Begin { read_only: Some(true) }, None),
            (Effect::Begin { read_only: Some(false) }, Some(READ_ONLY)),
            (Effect::SetTransaction { read_only: Some(false) }, Some(READ_ONLY)),
            (set("transaction_read_only", Some("on")), None),
            (set("default_transaction_read_only", Some("off")), Some(READ_ONLY)),
            (set("Default_Transaction_Read_Only", Some("0")), Some(READ_ONLY)),
            // Not a constant: not known.
            (set("transaction_read_only", None), Some(READ_ONLY)),
            (Effect::Reset { name: "transaction_read_only".to_owned() }, Some(READ_ONLY)),
            (Effect::Reset { name: "statement_timeout".to_owned() }, None),
            (set("statement_timeout", Some("60000")), None),
            (set("statement_timeout", Some("1 min")), None),
            (set("statement_timeout", Some("60001")), Some(longer("statement_timeout"))),
            (set("statement_timeout", Some("2min")), Some(longer("statement_timeout"))),
            (set("statement_timeout", Some("0")), Some(longer("statement_timeout"))),
            (set("statement_timeout", Some("-1")), Some(longer("statement_timeout"))),
            (set("statement_timeout", None), Some(longer("statement_timeout"))),
            (set("Lock_Timeout", Some("5s")), None),
            (set("lock_timeout", Some("6s")), Some(longer("lock_timeout"))),
            (set("lock_timeout", Some("0")), Some(longer("lock_timeout"))),
            (set(IDLE, Some("1min")), None),
            (set(IDLE, Some("2min")), Some(longer(IDLE))),
            (set(IDLE, Some("0")), Some(longer(IDLE))),
            (set(IDLE, None), Some(longer(IDLE))),
            (set("work_mem", Some("4MB")), None),
        ] {
            assert_eq!(lifts(&effect, pins), expect, "{effect:?}");
            assert_eq!(lifts(&effect, Pins::NONE), None, "{effect:?}");
        }
    }

    #[test]
    fn a_missing_name_is_printed_as_postgres_prints_it() {
        for (text, expect) in [
            ("MyTab where", Some("mytab")),
            ("app.\"My Tab\" t", Some("app.My Tab")),
            ("mytab", Some("mytab")),
            ("\"a\"\"b\"", None),
            (".x", None),
        ] {
            assert_eq!(dotted_name(text).as_deref(), expect, "{text}");
        }
    }
}
