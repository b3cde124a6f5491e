//! What the console needs from the rest of the gateway, as traits that the composition root implements.
//!
//! All of them are synchronous: the console calls them on threads that may block, at most
//! [`QUESTIONS_MAX`](crate::limits::QUESTIONS_MAX) at once for evidence. None of them answers "allowed" by default.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use answers::text::Text;
use answers::{Answer, Cannot, Desk, Watch};
use serde::{Deserialize, Serialize};
use vocab::{AskId, RunId};

/// What an operator may do here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sees what waits for approval, with masked statements, and decides it.
    Approver,
    /// Reads the evidence.
    Auditor,
    /// Revokes runs and mints them for others.
    Admin,
}

impl Role {
    pub const ALL: [Role; 3] = [Role::Approver, Role::Auditor, Role::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Approver => "approver",
            Role::Auditor => "auditor",
            Role::Admin => "admin",
        }
    }

    pub fn parse(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// A person, authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    pub name: String,
    pub roles: Vec<Role>,
    pub groups: Vec<String>,
}

impl Operator {
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    Operator(Operator),
    /// A process inside a run, by the run's own credential. It may mint a child run and do nothing else here.
    Run {
        run: RunId,
        human: String,
    },
    /// Whoever shows a token of an issuer that the operator trusts. It may mint runs, close those that it minted, and do
    /// nothing else here.
    Workload(Box<Workload>),
}

/// What a token of somebody else's issuer says, after it was verified. Texts are the issuer's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Who calls, by our name: a person of the configuration, or `ISSUER:SUBJECT` of who shows the token.
    pub name: String,
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// Whom its runs are for: the person that the token names, or who answers for the issuer's workloads.
    pub human: String,
    /// `iss`, `sub` and `jti`.
    pub iss: String,
    pub subject: String,
    pub id: Option<String>,
    /// Who acted for the subject, in order; the last one shows the token.
    pub actors: Vec<Actor>,
    /// SHA-256 of the token, and what it is known by when it is shown again.
    pub digest: [u8; 32],
    pub ticket: [u8; 32],
    /// Seconds since 1970.
    pub expires: u64,
    /// The agent that its runs are of, if that is not the caller's to say.
    pub agent: Option<String>,
    pub agent_version: Option<String>,
    /// Groups of policy, each after the issuer's name: `ISSUER:GROUP`. They are no operator's.
    pub groups: Vec<String>,
    /// The claims that decided.
    pub claims: Vec<(String, String)>,
    /// Every name in the chain, by the token and by the configuration: none of them approves what its runs ask for.
    pub involved: Vec<String>,
}

/// Somebody who acts for the subject of a token (RFC 8693).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub subject: String,
    pub iss: Option<String>,
}

/// What a caller shows.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// An operator's token, a run's, or one of an issuer's.
    Token(&'a str),
    /// The peer of a Unix socket, as the kernel names it.
    Peer { uid: u32, process: Option<Process> },
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::Token(token) => write!(f, "Token({} bytes)", token.len()),
            Credential::Peer { uid, process } => write!(f, "Peer(uid {uid}, {process:?})"),
        }
    }
}

/// Who is on the other end of a connection, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Both ends of the connection: the caller's address, and the console's own.
    Tcp { client: SocketAddr, console: SocketAddr },
    Unix {
        uid: u32,
        /// As it was when its connection was taken. `None`: it was gone by then, or cannot be seen from here.
        process: Option<Process>,
    },
}

/// A process by what no two have: its id, which the kernel gives again, and when it started, in clock ticks since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub started: u64,
}

/// Says who a caller is.
pub trait Auth: Send + Sync {
    /// `None`: nobody that is known. A peer whose process is inside a run is never an operator, whatever its uid.
    fn authenticate(&self, credential: Credential<'_>) -> Option<Caller>;

    /// Whether whoever calls from `peer` may be the operator `name` (or act by a token of `issuer NAME`), whose token or login
    /// it shows. Never, if the process
    /// is inside a run or cannot be told from one that is: a token that an agent got hold of is worth nothing to it.
    /// The error is a sentence for the caller; the attempt is in the record.
    fn admits(&self, name: &str, peer: Peer) -> Result<(), String>;

    /// The process of this id as it is now: asked as soon as a connection over a Unix socket is taken. `None`: it is
    /// gone, or cannot be seen from here.
    fn process(&self, pid: i32) -> Option<Process>;

    /// The operator `name` as of now, for a browser login made earlier with the token of this SHA-256. `None`: no longer an operator, or
    /// one with another token.
    fn current(&self, name: &str, token: &[u8; 32]) -> Option<Operator>;
}

/// What waits for a human.
pub trait Approvals: Send + Sync {
    /// What waits and what this operator may see of it, oldest first.
    fn list(&self, by: &Operator) -> Result<Vec<Asked>, Failed>;

    /// Grants an ask. The implementation checks that `by` is in one of its groups and is not the requester (P8).
    fn approve(&self, by: &Operator, ask: AskId, grant: &Grant) -> Result<Decided, Failed>;

    fn deny(&self, by: &Operator, ask: AskId, reason: &str) -> Result<Decided, Failed>;
}

/// Runs that are alive, and what is kept of those that are over.
pub trait Runs: Send + Sync {
    fn list_live(&self) -> Result<Vec<LiveRun>, Failed>;

    /// Mints a run. The console has checked that only an admin mints for others; the implementation checks the rest
    /// (`delegate`, `spawn`).
    fn mint(&self, by: &Caller, request: &Mint) -> Result<Minted, Failed>;

    /// Ends a run that `by` minted, when its command has ended.
    fn close(&self, by: &Caller, run: RunId, status: Option<i64>) -> Result<(), Failed>;

    /// Ends a run and cuts its live connections at once.
    fn revoke(&self, by: &Operator, run: RunId, reason: &str) -> Result<(), Failed>;

    /// Destroys the payload key of a run that has ended: nobody reads its results any more, and its record stays.
    fn erase(&self, by: &Operator, run: RunId, reason: &str) -> Result<(), Failed>;
}

/// What servers of MCP say of their tools, as the gateway remembers it.
pub trait Tools: Send + Sync {
    /// By resource and name.
    fn list(&self) -> Result<Vec<Tool>, Failed>;

    /// Takes what the server says of a tool for what it is to say, if it is what was listed with this digest. It is
    /// recorded before it counts.
    fn accept(&self, by: &Operator, resource: &str, tool: &str, digest: &str) -> Result<(), Failed>;
}

/// The record, and the writing of who looked at it.
pub trait Evidence: Watch + Send + Sync {
    /// Brings the index up to date and seats `who` at it. `ask` is called once, or not at all on `Err`.
    fn with_desk(&self, who: &str, ask: &mut dyn FnMut(&Desk<'_>)) -> Result<(), Cannot>;

    fn status(&self) -> Result<Status, Failed>;
}

/// One thing that waits for a human.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// 32 hexadecimal digits.
    pub ask: String,
    /// The record that holds it.
    pub record: u64,
    pub at: String,
    pub expires: String,
    pub expires_in_ms: u64,
    pub run: String,
    pub human: String,
    pub agent: String,
    pub task: Option<String>,
    pub resource: String,
    /// Any one of them may decide it.
    pub groups: Vec<String>,
    pub rules: Vec<String>,
    /// What the operator wrote into the rule that asks.
    pub message: Option<String>,
    pub verbs: Vec<String>,
    /// `verb path (columns)`.
    pub touches: Vec<String>,
    /// Literals are masked.
    pub statement: String,
    /// What would be sent instead, if it differs; literals are masked.
    pub sent: Option<String>,
    /// The statement with its values, those of a class masked. Null: they are not shown, or the statement shows them.
    pub says: Option<String>,
    /// What it would change, as far as that could be told when it was asked: lines.
    pub changes: Option<String>,
    /// Masks of the parameters.
    pub params: Vec<String>,
    /// Where `says` is there, the values themselves, those of a class masked. Null: NULL, too long, or without a text.
    pub param_values: Vec<Option<String>>,
    pub in_transaction: bool,
    /// The decisions of the run's models that it carries out; empty: none. Null: no model has decided anything in the run.
    pub because: Option<Vec<BecauseLine>>,
    /// What else an approver signs (`docs/RECORDS.md`).
    pub signs: Signs,
    /// Forms that may be granted: `once`, `shape`.
    pub forms: Vec<String>,
}

/// Of what an approver signs, what nobody reads: commitments and digests in hexadecimal, and when the request expires, in
/// nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signs {
    pub asked: String,
    pub sending: String,
    pub request: String,
    pub policy: String,
    pub values: Option<String>,
    pub expires: u64,
}

/// A decision of a model's that a request carries out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BecauseLine {
    /// The decision's record, and that of the request to the model.
    pub decision: u64,
    pub asked: u64,
    pub tool: String,
    /// The step of the plan that it belongs to.
    pub step: Option<String>,
    /// A tool's result said so, before anybody asked for it.
    pub told: bool,
}

impl BecauseLine {
    fn words(&self) -> String {
        let step = self.step.as_ref().map(|step| format!(", for the step \"{step}\"")).unwrap_or_default();
        let told = if self.told { "; a tool's result told it so, and no person" } else { "" };
        format!("{} in #{} (asked in #{}){step}{told}", self.tool, self.decision, self.asked)
    }
}

impl Asked {
    /// The masks of the parameters, each behind its place and before its value where that is shown: `$2 int4(2 bytes) = "17"`.
    pub fn numbered_params(&self) -> Vec<String> {
        let value = |n: usize| match self.param_values.get(n) {
            Some(Some(value)) => format!(" = \"{}\"", value.replace('"', "\\\"")),
            Some(None) | None => String::new(),
        };
        self.params.iter().enumerate().map(|(n, mask)| format!("${} {mask}{}", n + 1, value(n))).collect()
    }

    /// What the run's models have to do with it, a line each.
    pub fn decided(&self) -> Vec<String> {
        match self.because.as_deref() {
            None => Vec::new(),
            Some([]) => vec!["no model of this run decided it".to_owned()],
            Some(because) => because.iter().map(BecauseLine::words).collect(),
        }
    }
}

/// What is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub form: GrantForm,
    /// An SSH signature, armored, over the ask.
    pub signature: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantForm {
    Once,
    /// This statement's shape, in this run, for so many minutes.
    Shape {
        minutes: u32,
    },
}

/// What a decision did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    pub ask: String,
    /// `granted` or `denied`.
    pub verdict: String,
    pub by: String,
    /// The record of the question. The answer's own comes behind it, written by whoever holds the request.
    pub record: u64,
}

/// A run to be minted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mint {
    /// May be left out where the caller's token says it.
    #[serde(default)]
    pub agent: String,
    #[serde(default)]
    pub agent_version: Option<String>,
    /// Whom it is for, if not the caller.
    #[serde(default, rename = "for")]
    pub for_: Option<String>,
    #[serde(default)]
    pub task: Option<String>,
    #[serde(default)]
    pub argv: Vec<String>,
    /// The caller has put the agent where it cannot reach what the gateway keeps.
    #[serde(default)]
    pub confined: bool,
    /// The caller has put the agent where the gateway's listeners are all that it reaches. Inside a run: whether the
    /// outer one must be there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub jailed: bool,
}

/// A run and how its agent reaches each resource. Shown once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minted {
    pub run: String,
    pub human: String,
    /// Mints child runs and nothing else.
    pub token: String,
    pub resources: Vec<MintedResource>,
    /// The forward proxy, if there is one.
    #[serde(default)]
    pub proxy: Option<MintedProxy>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MintedProxy {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    /// Of the authority that its certificates are signed by, PEM.
    pub certificate: String,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MintedResource {
    pub name: String,
    /// `postgres`, ...
    pub kind: String,
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub database: Option<String>,
    /// The gateway's certificate, PEM, where the agent should verify it.
    pub certificate: Option<String>,
    /// Further settings by name.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Minted(run {}, {} resources)", self.run, self.resources.len())
    }
}

impl fmt::Debug for MintedResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MintedResource({})", self.name)
    }
}

impl fmt::Debug for MintedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MintedProxy({}:{})", self.host, self.port)
    }
}

/// A run that is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRun {
    pub run: String,
    pub human: String,
    pub by: String,
    pub agent: String,
    pub task: Option<String>,
    pub since: String,
    pub sessions: u64,
    pub waiting: u64,
}

/// The gateway's health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub origin: String,
    pub since: String,
    pub durability: String,
    pub policy: String,
    pub records: u64,
    /// Records that no checkpoint covers yet.
    pub open_records: u64,
    pub runs: u64,
    pub sessions: u64,
    pub waiting: u64,
    pub free_bytes: u64,
    pub resources: Vec<ResourceStatus>,
    /// The forward proxy, if there is one.
    #[serde(default)]
    pub proxy: Option<ProxyStatus>,
    pub witnesses: Vec<WitnessStatus>,
    /// What is wrong, and what to do, in sentences.
    pub alarms: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceStatus {
    pub name: String,
    pub kind: String,
    pub listen: String,
    pub upstream: String,
    pub sessions: u64,
    /// The upstream answered last time.
    pub up: bool,
    pub detail: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyStatus {
    pub listen: String,
    /// The file with the certificate of its authority, on the gateway's machine.
    pub certificate: String,
}

/// How far somebody elsewhere has cosigned the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessStatus {
    pub name: String,
    pub url: String,
    /// Records under the newest checkpoint that it cosigned, and when it did.
    pub size: u64,
    pub at: Option<String>,
    /// Records after that.
    pub behind: u64,
    /// Since when there is something that it has not cosigned.
    pub behind_since: Option<String>,
    pub detail: Option<String>,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    pub kind: FailedKind,
    /// A sentence: what, where, what to do. Never a secret.
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedKind {
    /// The caller may not.
    Forbidden,
    NotFound,
    /// It was decided, expired or ended already.
    Gone,
    /// The request makes no sense.
    Wrong,
    /// The gateway cannot now: no ledger, no policy.
    Unavailable,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Failed {}

/// What waits for a human, as an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbox {
    pub approvals: Vec<Asked>,
}

/// Live runs, as an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    pub runs: Vec<LiveRun>,
}

/// A tool whose description is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    pub resource: String,
    pub tool: String,
    /// What the server last said of it is not what it said first, or what was accepted.
    pub changed: bool,
    /// If so, the digest by which what it says now is accepted, and that, masked. `None` also where no client has listed it
    /// since the gateway started.
    pub digest: Option<String>,
    pub says: Option<String>,
}

/// Tools, as an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolList {
    pub tools: Vec<Tool>,
}

impl Answer for ToolList {
    const SHAPE: &'static str = "tacho.tools/1";

    fn render(&self, text: &mut Text) {
        let state = |tool: &Tool| if tool.changed { "CHANGED" } else { "as it was" };
        let row = |t: &Tool| {
            vec![
                t.resource.clone(),
                t.tool.clone(),
                state(t).to_owned(),
                t.digest.clone().unwrap_or_default(),
            ]
        };
        let rows: Vec<Vec<String>> = self.tools.iter().map(row).collect();
        text.table(&["RESOURCE", "TOOL", "DESCRIPTION", "DIGEST"], &rows);
        for tool in self.tools.iter().filter(|tool| tool.changed) {
            text.blank();
            match (&tool.digest, &tool.says) {
                (Some(digest), Some(says)) => {
                    text.line(&format!("{}/{}, {digest}, is said to be now:", tool.resource, tool.tool));
                    text.line(says);
                }
                _ => text.line(&format!(
                    "{}/{}: what it is said to be now is shown once a client has listed it again.",
                    tool.resource, tool.tool
                )),
            }
        }
    }
}

impl Answer for Inbox {
    const SHAPE: &'static str = "tacho.approvals/1";

    fn render(&self, text: &mut Text) {
        if self.approvals.is_empty() {
            text.line("Nothing waits for approval.");
        }
        for ask in &self.approvals {
            ask.whose(text);
            let short = answers::text::statement_line;
            let said = ask.says.as_ref().unwrap_or(&ask.statement);
            text.pair("  statement", &short(said));
            let changes = ask.changes.iter().flat_map(|changes| changes.lines());
            changes.for_each(|line| text.pair("  changes", &short(line)));
            if ask.sent.is_some() || short(said) != *said {
                text.pair("  shortened", &format!("whole: tacho approvals {}", ask.ask));
            }
            ask.circumstances(text);
            text.blank();
        }
    }
}

/// One request, whole: what is approved is what stands here, line for line.
impl Answer for Asked {
    const SHAPE: &'static str = "tacho.approval/1";

    fn render(&self, text: &mut Text) {
        self.whose(text);
        let mut block = |label: &str, body: &str| {
            text.line(&format!("  {label}"));
            // A line that a terminal breaks is told from the next one by the bar.
            body.split('\n').for_each(|line| text.line(&format!("    | {line}")));
        };
        block("statement", &self.statement);
        self.says.iter().for_each(|says| block("with its values", says));
        self.sent.iter().for_each(|sent| block("is sent as", sent));
        self.changes.iter().for_each(|changes| block("changes", changes));
        self.circumstances(text);
    }
}

impl Asked {
    fn whose(&self, text: &mut Text) {
        text.line(&format!("{}  {} for {}, run {}", self.ask, self.agent, self.human, self.run));
        self.task.iter().for_each(|task| text.pair("  task", task));
        text.pair("  asks for", &self.touches.join("; "));
    }

    fn circumstances(&self, text: &mut Text) {
        self.numbered_params().iter().for_each(|p| text.pair("  parameter", p));
        self.decided().iter().for_each(|line| text.pair("  decided", line));
        text.pair("  groups", &self.groups.join(", "));
        text.pair("  rules", &self.rules.join(", "));
        self.message.iter().for_each(|message| text.pair("  because", message));
        if self.in_transaction {
            text.line("  It is inside an open transaction, which waits too.");
        }
        text.pair("  expires", &format!("{} (in {} s)", self.expires, self.expires_in_ms / 1000));
    }
}

impl Answer for Live {
    const SHAPE: &'static str = "tacho.live/1";

    fn render(&self, text: &mut Text) {
        let row = |r: &LiveRun| {
            let counts = [r.sessions.to_string(), r.waiting.to_string()];
            [r.run.clone(), r.since.clone(), r.human.clone(), r.agent.clone()]
                .into_iter()
                .chain(counts)
                .collect()
        };
        let headers = ["RUN", "SINCE", "HUMAN", "AGENT", "SESSIONS", "WAITING"];
        text.table(&headers, &self.runs.iter().map(row).collect::<Vec<Vec<String>>>());
    }
}

impl Answer for Decided {
    const SHAPE: &'static str = "tacho.decided/1";

    fn render(&self, text: &mut Text) {
        text.line(&format!("{} {} by {} (asked in record {})", self.ask, self.verdict, self.by, self.record));
    }
}

impl Answer for Minted {
    const SHAPE: &'static str = "tacho.minted/1";

    /// Names no credential: those go to the agent's environment, never to a terminal.
    fn render(&self, text: &mut Text) {
        text.line(&format!("run {} for {}, {} resources", self.run, self.human, self.resources.len()));
    }
}

impl Answer for Status {
    const SHAPE: &'static str = "tacho.status/1";

    fn render(&self, text: &mut Text) {
        text.pair("gateway", &format!("{} {} since {}", self.origin, self.version, self.since));
        text.pair("durability", &self.durability);
        text.pair("policy", &self.policy);
        text.pair("records", &format!("{} ({} not under a checkpoint yet)", self.records, self.open_records));
        text.pair(
            "runs",
            &format!("{} live, {} sessions, {} waiting", self.runs, self.sessions, self.waiting),
        );
        text.pair("disk", &format!("{} MiB free", self.free_bytes >> 20));
        let row = |r: &ResourceStatus| {
            let up = if r.up { "up" } else { "DOWN" };
            let detail = r.detail.clone().unwrap_or_default();
            vec![
                r.name.clone(),
                r.kind.clone(),
                r.listen.clone(),
                r.upstream.clone(),
                up.to_owned(),
                r.sessions.to_string(),
                detail,
            ]
        };
        let headers = ["RESOURCE", "KIND", "LISTEN", "UPSTREAM", "", "SESSIONS", ""];
        text.table(&headers, &self.resources.iter().map(row).collect::<Vec<_>>());
        if let Some(proxy) = &self.proxy {
            text.pair("proxy", &format!("{}; its authority: {}", proxy.listen, proxy.certificate));
        }
        if self.witnesses.is_empty() {
            text.pair("witness", "none: see [[witness]]");
        } else {
            let row = |w: &WitnessStatus| {
                let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
                let detail = w.detail.clone().unwrap_or_default();
                let counts = [w.size.to_string(), or_dash(&w.at), w.behind.to_string()];
                [vec![w.name.clone(), w.url.clone()], counts.to_vec(), vec![or_dash(&w.behind_since), detail]]
                    .concat()
            };
            let headers = ["WITNESS", "URL", "UP TO", "AT", "BEHIND", "SINCE", ""];
            text.table(&headers, &self.witnesses.iter().map(row).collect::<Vec<_>>());
        }
        self.alarms.iter().for_each(|alarm| text.line(&format!("! {alarm}")));
    }

    /// 1 if something is wrong.
    fn exit_code(&self) -> u8 {
        u8::from(!self.alarms.is_empty() || self.resources.iter().any(|r| !r.up))
    }
}
