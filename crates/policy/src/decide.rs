//! Deciding.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr as _;
use std::sync::LazyLock;

use cedar_policy::{
    AuthorizationError, Authorizer, Context as CedarContext, Decision as Allowed, Entities, Entity, EntityId,
    EntityTypeName, EntityUid, PolicyId, PolicySet, Request as CedarRequest, RestrictedExpression,
};
use vocab::{Access, Class, Group, PolicyHash, ResourcePath, RuleId, Verb, Verdict};

use crate::request::{Context, Principal, Release, ReplayError, Request, What};
use crate::source::{Policy, Rule};

/// What policy says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub verdict: Verdict,
    /// The rules that decided, sorted: the permits of an Allow, the forbids of a Refuse or Ask. Empty if nothing
    /// permits.
    pub rules: Vec<RuleId>,
    /// What the agent may read: the `@message` of a rule that decided, or what no rule permits.
    pub message: Option<String>,
    /// The first pair that was not allowed: what to show first.
    pub failed: Option<(&'static str, String)>,
}

impl Decision {
    fn refuse(message: &str) -> Decision {
        Decision {
            verdict: Verdict::Refuse,
            rules: Vec::new(),
            message: Some(message.to_owned()),
            failed: None,
        }
    }

    pub fn allowed(&self) -> bool {
        self.verdict == Verdict::Allow
    }

    /// The groups whose approval the request waits for; empty unless the verdict is Ask.
    pub fn needs(&self) -> &[Group] {
        match &self.verdict {
            Verdict::Ask(groups) => groups,
            Verdict::Allow | Verdict::Refuse => &[],
        }
    }
}

/// An action of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Act {
    Verb(Verb),
    Release,
    Delegate,
    Spawn,
}

impl Act {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Act::Verb(verb) => verb.as_str(),
            Act::Release => "release",
            Act::Delegate => "delegate",
            Act::Spawn => "spawn",
        }
    }

    fn all() -> impl Iterator<Item = Act> {
        Verb::ALL.into_iter().map(Act::Verb).chain([Act::Release, Act::Delegate, Act::Spawn])
    }
}

impl Policy {
    /// Decides by every rule. A session decides faster by its [`Policy::slice`], and alike.
    pub fn decide(&self, request: &Request) -> Decision {
        self.whole().decide(request)
    }

    /// Decides a request that a record holds.
    pub fn replay(&self, canonical: &str) -> Result<Decision, ReplayError> {
        Request::parse(canonical).map(|request| self.decide(&request))
    }

    /// Those of `classes` that `who` may see unmasked, each with the rule that permits it.
    pub fn reveals(
        &self,
        who: &Principal,
        resource: &ResourcePath,
        context: &Context,
        classes: &[Class],
    ) -> BTreeMap<Class, RuleId> {
        self.whole().reveals(who, resource, context, classes)
    }

    /// The rules that can concern `who`, partitioned by action: made once per session.
    pub fn slice(&self, who: &Principal) -> Slice {
        let principals = principals(who);
        let rules = self.rules.iter().filter(|rule| rule.concerns_principal(&principals));
        Slice::new(rules, self.hash())
    }

    /// Whether the verdict on `request` may change with its context: then it must not be cached.
    pub fn depends_on_context(&self, request: &Request) -> bool {
        self.whole().depends_on_context(request)
    }

    /// Whether any rule can concern what leaves `resource` for `who`: without one, every answer is released.
    pub fn decides_releases(&self, who: &Principal, resource: &ResourcePath) -> bool {
        self.whole().decides_releases(who, resource)
    }

    /// Whether `who` can do nothing to `resource` and what is below it but connect and read, whatever the context.
    pub fn only_reads(&self, who: &Principal, resource: &ResourcePath) -> bool {
        self.whole().only_reads(who, resource)
    }

    /// Whether `who` can do `verb` to nothing in `resource`, whatever the context and whoever approves. `false` says nothing.
    pub fn never(&self, who: &Principal, verb: Verb, resource: &ResourcePath) -> bool {
        self.whole().never(who, verb, resource)
    }
}

/// Rules of a policy, by action.
pub struct Slice {
    hash: PolicyHash,
    acts: HashMap<Act, Rules>,
}

/// The rules that concern one action.
#[derive(Default)]
struct Rules {
    set: PolicySet,
    by_id: HashMap<String, Rule>,
    /// Whether any rule mentions `resource` or `context.at` in a condition: then each column is asked for.
    any_column: bool,
    /// Whether any rule reads the context.
    reads_context: bool,
    /// Ids that rules name: a column among them is asked for.
    named: HashSet<String>,
    /// A rule could not be put in: nothing is decided but Refuse.
    broken: bool,
}

impl Slice {
    pub(crate) fn whole(rules: &[Rule], hash: PolicyHash) -> Slice {
        Slice::new(rules.iter(), hash)
    }

    fn new<'a>(rules: impl Iterator<Item = &'a Rule> + Clone, hash: PolicyHash) -> Slice {
        let acts = Act::all().map(|act| (act, Rules::new(rules.clone().filter(|r| r.concerns_act(act)))));
        Slice { hash, acts: acts.collect() }
    }

    /// The hash of the policy that this is a slice of.
    pub fn hash(&self) -> PolicyHash {
        self.hash
    }

    /// Decides. `Refuse` for a request beyond the limits.
    pub fn decide(&self, request: &Request) -> Decision {
        if !request.bounded() {
            return Decision::refuse("The request touches more than is evaluated. Split it.");
        }
        let Some(asked) = Asked::new(request) else {
            return Decision::refuse("The request cannot be put to policy.");
        };
        let first = self.evaluate(&asked, &request.context.approvals);
        if first.allowed() {
            return Decision {
                verdict: Verdict::Allow,
                rules: ids(&first.permits),
                message: None,
                failed: None,
            };
        }
        if first.faulty() {
            let message = "A rule could not be evaluated; the request is refused until it is mended.";
            let failed = first.failures.first().cloned();
            return Decision { rules: ids(&first.errors), failed, ..Decision::refuse(message) };
        }
        match self.ask(&asked, &first, &request.context.approvals) {
            Some(groups) => first.not_allowed(Verdict::Ask(groups)),
            None => first.not_allowed(Verdict::Refuse),
        }
    }

    /// Those of `classes` that `who` may see unmasked, each with the first rule that permits it.
    pub fn reveals(
        &self,
        who: &Principal,
        resource: &ResourcePath,
        context: &Context,
        classes: &[Class],
    ) -> BTreeMap<Class, RuleId> {
        // Mostly nothing permits it, and an evaluation costs more than all else that is done for a small answer.
        let mut permits: Vec<&Rule> =
            self.acts[&Act::Verb(Verb::Reveal)].by_id.values().filter(|rule| !rule.forbids).collect();
        if !permits.is_empty() {
            let principals = principals(who);
            permits.retain(|rule| rule.concerns_principal(&principals));
        }
        let may = |class: &&Class| {
            let ids = Pair::class(class).ids();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            permits.iter().any(|rule| rule.concerns_resource(&ids))
        };
        let decide = |class: &Class| {
            let request = Request {
                principal: who.clone(),
                resource: resource.clone(),
                what: What::Reveal(class.clone()),
                context: context.clone(),
            };
            let decision = self.decide(&request);
            let rule = decision.rules.into_iter().next().filter(|_| decision.verdict == Verdict::Allow)?;
            Some((class.clone(), rule))
        };
        classes.iter().filter(may).filter_map(decide).collect()
    }

    /// Whether any rule that can concern `request` reads its context.
    pub fn depends_on_context(&self, request: &Request) -> bool {
        let pairs = pairs(request);
        if !pairs.iter().any(|pair| self.acts[&pair.act].reads_context) {
            return false;
        }
        let principals = principals(&request.principal);
        pairs.iter().any(|pair| {
            let ids = pair.ids();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let concerns = |rule: &Rule| rule.concerns_principal(&principals) && rule.concerns_resource(&ids);
            self.acts[&pair.act].by_id.values().any(|rule| rule.reads_context && concerns(rule))
        })
    }

    /// Whether any rule can concern what leaves `resource` for `who`: without one, every answer is released.
    pub fn decides_releases(&self, who: &Principal, resource: &ResourcePath) -> bool {
        let principals = principals(who);
        let mut rules = self.acts[&Act::Release].by_id.values();
        rules.any(|rule| rule.concerns_principal(&principals) && rule.concerns_tree(resource))
    }

    /// Whether no permit can concern any verb on `resource`, or below it, but those that read.
    /// A run may do what each run above it may: one of them without such a permit is enough.
    pub fn only_reads(&self, who: &Principal, resource: &ResourcePath) -> bool {
        let reads = [Verb::Connect, Verb::Read, Verb::Reveal, Verb::Probe];
        let writes: Vec<Verb> = Verb::ALL.into_iter().filter(|verb| !reads.contains(verb)).collect();
        chain(who).any(|(agent, run)| {
            let principal = [uid("Agent", agent), uid("Run", run)];
            !writes.iter().flat_map(|verb| self.acts[&Act::Verb(*verb)].by_id.values()).any(|rule| {
                !rule.forbids && rule.concerns_principal(&principal) && rule.concerns_tree(resource)
            })
        })
    }

    /// Whether no permit can concern `verb` on `resource`, or below it, or a rule forbids all of it without a condition.
    /// A run may do what each run above it may: one of them for which that holds is enough.
    pub fn never(&self, who: &Principal, verb: Verb, resource: &ResourcePath) -> bool {
        let rules = || self.acts[&Act::Verb(verb)].by_id.values();
        chain(who).any(|(agent, run)| {
            let principal = [uid("Agent", agent), uid("Run", run)];
            let permits = |rule: &Rule| {
                !rule.forbids && rule.concerns_principal(&principal) && rule.concerns_tree(resource)
            };
            !rules().any(permits) || rules().any(|rule| rule.forbids_tree(&principal, resource))
        })
    }

    /// The groups that would lift every failure, if approvals can.
    fn ask(&self, asked: &Asked<'_>, first: &Evaluation<'_>, approvals: &[Group]) -> Option<Vec<Group>> {
        let mut groups: Vec<Group> =
            first.forbids.iter().flat_map(|rule| rule.needs.iter().cloned()).collect();
        groups.sort();
        groups.dedup();
        groups.retain(|g| !approvals.contains(g));
        if groups.is_empty() {
            return None;
        }
        let all: Vec<Group> = approvals.iter().chain(&groups).cloned().collect();
        self.evaluate(asked, &all).allowed().then_some(groups)
    }

    /// Evaluates every pair for every principal of the chain.
    fn evaluate(&self, asked: &Asked<'_>, approvals: &[Group]) -> Evaluation<'_> {
        let mut evaluation = Evaluation::default();
        let entities = if self.names_column(&asked.pairs) { asked.full() } else { Some(&asked.lean) };
        let contexts = Contexts { asked, approvals, plain: context(asked.request, approvals, &[]), entities };
        for run in &asked.runs {
            for pair in &asked.pairs {
                self.evaluate_pair(run, pair, &contexts, &mut evaluation);
            }
        }
        evaluation
    }

    /// Whether any rule that is asked names a column that the request uses.
    fn names_column(&self, pairs: &[Pair]) -> bool {
        let columns = || pairs.iter().flat_map(|pair| &pair.columns);
        let mut rules =
            pairs.iter().map(|pair| &self.acts[&pair.act]).filter(|rules| !rules.named.is_empty());
        rules.any(|rules| columns().any(|column| rules.named.contains(&column.id)))
    }

    /// One (verb, resource) pair with the columns below it.
    fn evaluate_pair<'s>(
        &'s self,
        run: &EntityUid,
        pair: &Pair,
        contexts: &Contexts<'_>,
        out: &mut Evaluation<'s>,
    ) {
        let rules = &self.acts[&pair.act];
        let whole =
            rules.authorize(run, pair.act, pair.uid.clone(), contexts.plain.as_ref(), contexts.entities);
        // A permit on the whole covers each column; without one, each column needs its own. One that depends on where a column is
        // used says nothing of the whole of a resource whose columns are used.
        let covers = |rule: &&Rule| pair.columns.is_empty() || !rule.reads_at;
        let covered = whole.allowed() && whole.permits.iter().any(covers);
        let mut permitted = covered || pair.act == Act::Release && whole.nothing();
        let mut all_columns = !pair.columns.is_empty();
        let mut clear = whole.forbids.is_empty();
        out.add(whole);
        for column in &pair.columns {
            if covered && !rules.any_column && !rules.named.contains(&column.id) {
                continue;
            }
            let with_positions = context(contexts.asked.request, contexts.approvals, &column.at);
            let full = contexts.asked.full();
            let one = rules.authorize(run, pair.act, column.uid.clone(), with_positions.as_ref(), full);
            all_columns &= one.allowed();
            if !one.forbids.is_empty() {
                clear = false;
                out.failures.push((pair.act.as_str(), column.id.clone()));
            }
            out.add(one);
        }
        permitted |= all_columns;
        if !(permitted && clear) {
            out.failures.push((pair.act.as_str(), pair.id.clone()));
        }
    }
}

impl std::fmt::Debug for Slice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slice({:?})", self.hash)
    }
}

impl Rules {
    fn new<'a>(rules: impl Iterator<Item = &'a Rule>) -> Rules {
        let mut out = Rules::default();
        for rule in rules {
            out.any_column |= rule.reads_resource || rule.reads_at;
            out.reads_context |= rule.reads_context;
            out.named.extend(rule.named.iter().cloned());
            // Ids are positions in the policy, so that none is there already; were it, the rule must not be lost.
            if out.set.add(rule.cedar.clone()).is_err() {
                out.broken = true;
            }
            out.by_id.insert(rule.cedar.id().to_string(), rule.clone());
        }
        out
    }

    fn authorize(
        &self,
        run: &EntityUid,
        act: Act,
        on: EntityUid,
        context: Option<&CedarContext>,
        entities: Option<&Entities>,
    ) -> Answer<'_> {
        let action = uid("Action", act.as_str());
        let request = context
            .filter(|_| !self.broken)
            .and_then(|context| CedarRequest::new(run.clone(), action, on, context.clone(), None).ok());
        let Some((request, entities)) = request.zip(entities) else {
            return Answer { broken: true, ..Answer::default() };
        };
        let response = Authorizer::new().is_authorized(&request, &self.set, entities);
        let rule = |id: &PolicyId| self.by_id.get(&id.to_string());
        let reasons: Vec<&Rule> = response.diagnostics().reason().filter_map(rule).collect();
        let errors: Vec<&Rule> = response
            .diagnostics()
            .errors()
            .filter_map(|e| match e {
                AuthorizationError::PolicyEvaluationError(e) => rule(e.policy_id()),
            })
            .collect();
        let broken = response.diagnostics().errors().count() != errors.len();
        let (forbids, permits) = reasons.into_iter().partition(|rule| rule.forbids);
        Answer { allow: response.decision() == Allowed::Allow, permits, forbids, errors, broken }
    }
}

/// What Cedar said of one resource.
#[derive(Default)]
struct Answer<'s> {
    allow: bool,
    permits: Vec<&'s Rule>,
    forbids: Vec<&'s Rule>,
    errors: Vec<&'s Rule>,
    /// It could not be asked, or failed in a way that names no rule.
    broken: bool,
}

impl Answer<'_> {
    fn allowed(&self) -> bool {
        self.allow && self.forbids.is_empty() && self.errors.is_empty() && !self.broken
    }

    /// Neither permitted nor forbidden, without a fault.
    fn nothing(&self) -> bool {
        !self.allow && self.forbids.is_empty() && self.errors.is_empty() && !self.broken
    }
}

/// All answers for one request.
#[derive(Default)]
struct Evaluation<'s> {
    permits: Vec<&'s Rule>,
    forbids: Vec<&'s Rule>,
    errors: Vec<&'s Rule>,
    failures: Vec<(&'static str, String)>,
    broken: bool,
}

impl<'s> Evaluation<'s> {
    fn add(&mut self, answer: Answer<'s>) {
        self.permits.extend(answer.permits);
        self.forbids.extend(answer.forbids);
        self.errors.extend(answer.errors);
        self.broken |= answer.broken;
    }

    /// Whether any rule could not be evaluated.
    fn faulty(&self) -> bool {
        self.broken || !self.errors.is_empty()
    }

    fn allowed(&self) -> bool {
        !self.faulty() && self.failures.is_empty()
    }

    /// The decision where `verdict` is Refuse or Ask, and no rule was at fault.
    fn not_allowed(&self, verdict: Verdict) -> Decision {
        // What no approval lifts explains a refusal best.
        let hard = self.forbids.iter().filter(|rule| rule.needs.is_empty());
        let explains = match verdict {
            Verdict::Refuse => hard.chain(&self.forbids).find_map(|rule| rule.message.clone()),
            Verdict::Ask(_) | Verdict::Allow => self.forbids.iter().find_map(|rule| rule.message.clone()),
        };
        let failed = self.failures.first().cloned();
        let unpermitted = || match (&failed, self.forbids.is_empty()) {
            (Some((act, on)), true) => Some(format!("No rule permits `{act}` on `{on}`.")),
            _ => None,
        };
        Decision { verdict, rules: ids(&self.forbids), message: explains.or_else(unpermitted), failed }
    }
}

fn ids(rules: &[&Rule]) -> Vec<RuleId> {
    let mut ids: Vec<RuleId> = rules.iter().map(|rule| rule.id.clone()).collect();
    ids.sort();
    ids.dedup();
    ids
}

/// A request as Cedar sees it.
struct Asked<'r> {
    request: &'r Request,
    /// The run, and the runs that it was started in.
    runs: Vec<EntityUid>,
    pairs: Vec<Pair>,
    /// Without columns: most of a request's entities, and none that a rule sees unless it asks for a column or names one.
    lean: Entities,
    full: OnceCell<Option<Entities>>,
}

impl<'r> Asked<'r> {
    /// `None` if Cedar refuses an entity: it cannot, for these are well-formed.
    fn new(request: &'r Request) -> Option<Asked<'r>> {
        let who = &request.principal;
        let runs = chain(who).map(|(_, run)| uid("Run", run)).collect();
        let pairs = pairs(request);
        let lean = entities(who, &pairs, false)?;
        Some(Asked { request, runs, pairs, lean, full: OnceCell::new() })
    }

    /// All entities, columns among them.
    fn full(&self) -> Option<&Entities> {
        self.full.get_or_init(|| entities(&self.request.principal, &self.pairs, true)).as_ref()
    }
}

/// Who asks, the resources of `pairs` and what they are in; with the columns if `with_columns`.
fn entities(who: &Principal, pairs: &[Pair], with_columns: bool) -> Option<Entities> {
    let mut entities = HashMap::new();
    let groups: Vec<EntityUid> = who.human_groups.iter().map(|g| uid("Group", &g.0)).collect();
    for group in &groups {
        entities.insert(group.clone(), Entity::new_no_attrs(group.clone(), HashSet::new()));
    }
    let human = uid("Human", &who.human);
    entities.insert(human.clone(), Entity::new_no_attrs(human.clone(), groups.into_iter().collect()));
    for (agent, run) in chain(who) {
        let (agent, run) = (uid("Agent", agent), uid("Run", run));
        let attributes = HashMap::from([
            ("human".to_owned(), RestrictedExpression::new_entity_uid(human.clone())),
            ("agent".to_owned(), RestrictedExpression::new_entity_uid(agent.clone())),
            ("confined".to_owned(), RestrictedExpression::new_bool(who.confined)),
        ]);
        let entity = Entity::new(run.clone(), attributes, HashSet::from([agent.clone()])).ok()?;
        entities.insert(agent.clone(), Entity::new_no_attrs(agent, HashSet::new()));
        entities.insert(run, entity);
    }
    for pair in pairs {
        pair.add_entities(&mut entities, with_columns)?;
    }
    Entities::from_entities(entities.into_values(), None).ok()
}

/// What every authorization of one evaluation shares.
struct Contexts<'a> {
    asked: &'a Asked<'a>,
    approvals: &'a [Group],
    plain: Option<CedarContext>,
    /// For what is asked of a pair as a whole. `None` if they could not be made.
    entities: Option<&'a Entities>,
}

/// A verb, and the resource that it is done to.
struct Pair {
    act: Act,
    /// The type of `uid`.
    kind: &'static str,
    uid: EntityUid,
    id: String,
    columns: Vec<Column>,
}

/// A column, and where the request uses it.
struct Column {
    uid: EntityUid,
    id: String,
    at: Vec<&'static str>,
}

impl Pair {
    fn resource(act: Act, path: &ResourcePath) -> Pair {
        let id = path.as_str().to_owned();
        Pair { act, kind: "Resource", uid: uid("Resource", &id), id, columns: Vec::new() }
    }

    /// A class that is to be seen unmasked.
    fn class(class: &Class) -> Pair {
        Pair::other(Act::Verb(Verb::Reveal), "Class", class.as_str())
    }

    fn other(act: Act, kind: &'static str, id: &str) -> Pair {
        Pair { act, kind, uid: uid(kind, id), id: id.to_owned(), columns: Vec::new() }
    }

    fn access(access: &Access) -> Pair {
        let mut at: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
        for used in &access.columns {
            at.entry(&used.column).or_default().push(used.position.as_str());
        }
        let column = |(name, at)| {
            let id = access.on.join(name).as_str().to_owned();
            Column { uid: uid("Resource", &id), id, at }
        };
        Pair {
            columns: at.into_iter().map(column).collect(),
            ..Pair::resource(Act::Verb(access.verb), &access.on)
        }
    }

    /// The ids of the resource, of all that it is in, and of the columns.
    fn ids(&self) -> Vec<String> {
        let above = above(&self.id, self.separator()).map(str::to_owned);
        above.chain([self.id.clone()]).chain(self.columns.iter().map(|c| c.id.clone())).collect()
    }

    /// What joins the segments of the resource's id.
    fn separator(&self) -> Option<char> {
        match self.kind {
            "Resource" => Some('/'),
            "Class" => Some('.'),
            _ => None,
        }
    }

    fn add_entities(&self, entities: &mut HashMap<EntityUid, Entity>, with_columns: bool) -> Option<()> {
        let columns = self.columns.iter().map(|column| &*column.id).filter(|_| with_columns);
        for id in [&*self.id].into_iter().chain(columns) {
            let uid = uid(self.kind, id);
            if entities.contains_key(&uid) {
                continue;
            }
            // All that it is in, and none of that beside it: Cedar has no closure to make, which takes the square of its depth.
            let parents = above(id, self.separator()).map(|above| self::uid(self.kind, above));
            let attributes = if self.kind == "Resource" { resource_attributes(id) } else { HashMap::new() };
            let entity = Entity::new(uid.clone(), attributes, parents.collect()).ok()?;
            entities.insert(uid, entity);
        }
        Some(())
    }
}

/// The ids above one, nearest first.
fn above(id: &str, separator: Option<char>) -> impl Iterator<Item = &str> {
    let mut rest = Some(id);
    std::iter::from_fn(move || {
        rest = rest.zip(separator).and_then(|(id, s)| Some(&id[..id.rfind(s)?]));
        rest
    })
}

fn resource_attributes(id: &str) -> HashMap<String, RestrictedExpression> {
    let name = ResourcePath::parse(id).and_then(|path| path.segments().last()).unwrap_or_default();
    let depth = i64::try_from(id.matches('/').count()).unwrap_or(i64::MAX);
    HashMap::from([
        ("name".to_owned(), RestrictedExpression::new_string(name)),
        ("depth".to_owned(), RestrictedExpression::new_long(depth)),
    ])
}

/// Everything that must be allowed. Never empty: a request that touches nothing still uses the connection.
fn pairs(request: &Request) -> Vec<Pair> {
    let root = &request.resource;
    match &request.what {
        What::Action { accesses, opaque } => {
            let opaque = opaque.iter().map(|_| Pair::resource(Act::Verb(Verb::Opaque), root));
            let pairs: Vec<Pair> = accesses.iter().map(Pair::access).chain(opaque).collect();
            if pairs.is_empty() { vec![Pair::resource(Act::Verb(Verb::Connect), root)] } else { pairs }
        }
        What::Reveal(class) => vec![Pair::class(class)],
        What::Release(_) => vec![Pair::resource(Act::Release, root)],
        What::Delegate(human) => vec![Pair::other(Act::Delegate, "Human", human)],
        What::Spawn(agent) => vec![Pair::other(Act::Spawn, "Agent", agent)],
    }
}

/// The run, then the runs that it was started in: (agent, run).
fn chain(who: &Principal) -> impl Iterator<Item = (&str, &str)> {
    std::iter::once((&*who.agent, &*who.run)).chain(who.parents.iter().map(|p| (&*p.agent, &*p.run)))
}

/// What a rule's scope can name of `who`.
pub(crate) fn principals(who: &Principal) -> Vec<EntityUid> {
    chain(who).flat_map(|(agent, run)| [uid("Agent", agent), uid("Run", run)]).collect()
}

/// The context of the schema. `None` if Cedar refuses it: it cannot, for its keys are distinct.
fn context(request: &Request, approvals: &[Group], at: &[&str]) -> Option<CedarContext> {
    let c = &request.context;
    let text = |t: &str| RestrictedExpression::new_string(t.to_owned());
    let long = |n: u64| RestrictedExpression::new_long(i64::try_from(n).unwrap_or(i64::MAX));
    let unix = c.now.0 / 1_000_000_000;
    let mut pairs = vec![
        ("approvals", RestrictedExpression::new_set(approvals.iter().map(|g| text(&g.0)))),
        ("resource_kind", text(&c.resource_kind)),
        ("kind", text(&c.kind)),
        ("functions", RestrictedExpression::new_set(c.functions.iter().map(|f| text(f)))),
        ("arguments", RestrictedExpression::new_set(c.arguments.iter().map(|a| text(a)))),
        ("decided", RestrictedExpression::new_bool(matches!(c.decided.as_deref(), Some("same" | "part")))),
        ("decided_how", text(c.decided.as_deref().unwrap_or_default())),
        ("decided_by_result", RestrictedExpression::new_bool(c.decided_by_result)),
        ("in_transaction", RestrictedExpression::new_bool(c.in_transaction)),
        ("unix", long(unix)),
        ("hour", long(unix / 3_600 % 24)),
        // 1970 began on a Thursday.
        ("weekday", long((unix / 86_400 + 3) % 7 + 1)),
        ("classes", RestrictedExpression::new_set(c.classes.iter().map(|k| text(k.as_str())))),
        ("values", long(c.values)),
        ("largest_value", long(c.largest_value)),
        ("at", RestrictedExpression::new_set(at.iter().map(|t| text(t)))),
    ];
    pairs.extend(c.task.iter().map(|task| ("task", text(task))));
    if let What::Release(Release { rows, bytes, tripwires }) = request.what {
        pairs.extend([("rows", long(rows)), ("bytes", long(bytes)), ("tripwires", long(tripwires))]);
    }
    CedarContext::from_pairs(pairs.into_iter().map(|(k, v)| (k.to_owned(), v))).ok()
}

/// The uid of an entity. Types are parsed once.
fn uid(kind: &str, id: &str) -> EntityUid {
    static TYPES: LazyLock<HashMap<&str, EntityTypeName>> = LazyLock::new(|| {
        ["Action", "Agent", "Class", "Group", "Human", "Resource", "Run"]
            .into_iter()
            .filter_map(|name| Some((name, EntityTypeName::from_str(name).ok()?)))
            .collect()
    });
    EntityUid::from_type_name_and_id(TYPES[kind].clone(), EntityId::new(id))
}

#[cfg(test)]
mod tests;
