//! `tacho check` and `tacho doctor`: what is configured, what of it holds in the world, and how to mend the rest.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use answers::Answer;
use answers::text::Text;
use console::seat::Status;
use ledger::Ledger;
use ledger::sim::{SimClock, SimDisk, SimRandom};
use mask::Detectors;
use relay::postgres::{Powers, probe};
use relay::runs::Registry;
use serde::{Deserialize, Serialize};
use vocab::MaskKind;

use crate::approvals::shaped;
use crate::cli;
use crate::config::{Config, Credential, Database, Mask, PathMask, Resource, Service, SshHost, Tls, What};
use crate::fault::{Failure, Outcome};
use crate::http::{Address, Client, NoReply};
use crate::issuers;
use crate::operators::Operators;
use crate::run::separation::{self, Separation};
use crate::{files, operators, out, policies, wired};

/// What stands in `sslmode` where a host's own key is the proof.
const HOST_KEY: &str = "host-key";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    Good,
    /// It works, and something is weaker than it could be.
    Weak,
    /// It does not work, or a promise does not hold.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub grade: Grade,
    pub what: String,
    /// What to do, where something is to do.
    pub mend: Option<String>,
}

impl Finding {
    pub fn good(what: impl Into<String>) -> Finding {
        Finding { grade: Grade::Good, what: what.into(), mend: None }
    }

    fn weak(what: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding { grade: Grade::Weak, what: what.into(), mend: Some(mend.into()) }
    }

    pub fn wrong(what: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding { grade: Grade::Wrong, what: what.into(), mend: Some(mend.into()) }
    }

    /// A failure whose own sentence says what to do.
    fn stated(failure: Failure) -> Finding {
        Finding { grade: Grade::Wrong, what: failure.to_string(), mend: None }
    }

    fn render(&self, text: &mut Text) {
        let mark = match self.grade {
            Grade::Good => "ok   ",
            Grade::Weak => "weak ",
            Grade::Wrong => "WRONG",
        };
        let mut lines = self.what.lines();
        text.line(&format!("{mark}  {}", lines.next().unwrap_or_default()));
        lines.for_each(|line| text.line(&format!("       {line}")));
        self.mend.iter().for_each(|mend| text.line(&format!("       {mend}")));
    }
}

/// A resource as resolved, and what its upstream says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceChecked {
    pub name: String,
    pub kind: String,
    pub listen: String,
    pub upstream: String,
    /// Of a database.
    pub role: Option<String>,
    pub database: Option<String>,
    pub sslmode: String,
    pub credential: String,
    pub read_only: bool,
    /// `column  class  kind`, or `path  class  kind`
    pub masks: Vec<String>,
    /// Of an HTTP service.
    #[serde(default)]
    pub routes: Vec<String>,
    pub findings: Vec<Finding>,
}

/// What `tacho check` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckAnswer {
    pub config: String,
    pub policy: String,
    pub rules: Vec<String>,
    pub findings: Vec<Finding>,
    pub resources: Vec<ResourceChecked>,
}

impl Answer for CheckAnswer {
    const SHAPE: &'static str = "tacho.check/1";

    fn render(&self, text: &mut Text) {
        text.pair("config", &self.config);
        text.pair("policy", &format!("{} ({} rules)", self.policy, self.rules.len()));
        self.rules.iter().for_each(|rule| text.line(&format!("  {rule}")));
        self.findings.iter().for_each(|finding| finding.render(text));
        for resource in &self.resources {
            text.blank();
            text.line(&format!("resource {}", resource.name));
            text.pair("  listens on", &resource.listen);
            let role = resource.role.iter().map(|role| format!(" as {role}"));
            let database = resource.database.iter().map(|database| format!(", database {database}"));
            let whom: String = role.chain(database).collect();
            text.pair("  upstream", &format!("{}{whom}", resource.upstream));
            text.pair("  proved by", &format!("{}; credential: {}", resource.proof(), resource.credential));
            resource.routes.iter().for_each(|route| text.line(&format!("  route {route}")));
            resource.masks.iter().for_each(|mask| text.line(&format!("  mask  {mask}")));
            resource.findings.iter().for_each(|finding| finding.render(text));
        }
    }

    /// 1 if anything is wrong; what is weak is said, and is no failure.
    fn exit_code(&self) -> u8 {
        let all = self.findings.iter().chain(self.resources.iter().flat_map(|r| &r.findings));
        u8::from(all.into_iter().any(|f| f.grade == Grade::Wrong))
    }
}

impl ResourceChecked {
    /// What proves the upstream, in the words of its kind.
    fn proof(&self) -> String {
        match (&*self.kind, &*self.sslmode) {
            (_, HOST_KEY) => "its pinned host key".to_owned(),
            ("postgres", mode) => format!("sslmode={mode}"),
            (_, "disable") if self.upstream.starts_with("stdio:") => {
                "nothing: its client starts it".to_owned()
            }
            (_, "disable") => "nothing: it is reached in plain HTTP".to_owned(),
            _ => "its TLS certificate".to_owned(),
        }
    }
}

pub fn check(config_file: &Path, args: &cli::Check, json: bool) -> Outcome {
    let config = Config::load(config_file)?;
    let policy = policies::load(&config.gateway.policy)?;
    let mut answer = CheckAnswer {
        config: config.file.display().to_string(),
        policy: crate::hex::encode(&policy.hash().0),
        rules: policy.rules().map(|rule| rule.0.to_string()).collect(),
        findings: vec![auditors(&config), separation_of(&config), durability(&config), witnessed(&config)],
        resources: config.resources.iter().map(resolved).collect(),
    };
    answer.findings.extend(proxied(&config));
    answer.findings.extend(doubtful(&config, &policy));
    if config.resources.is_empty() {
        answer
            .findings
            .push(Finding::weak("no resource is configured", "add a [[resource]]; the file has an example"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::could_not(format!("cannot start: {e}")))?;
    if !args.offline {
        for (resource, checked) in config.resources.iter().zip(&mut answer.resources) {
            checked.findings.extend(runtime.block_on(reach(&config, resource)));
        }
    }
    for issuer in &config.issuers {
        answer.findings.push(runtime.block_on(issuers::check::trusted(issuer, args.offline)));
    }
    out::answer(&answer, json)
}

/// What of the policy can hardly be meant.
fn doubtful(config: &Config, policy: &policy::Policy) -> Vec<Finding> {
    // That they cannot be read is said elsewhere.
    let Ok(operators) = Operators::load(&config.operators_file()) else { return Vec::new() };
    policies::doubts(config, policy, &operators)
        .into_iter()
        .map(|(what, mend)| Finding::weak(what, mend))
        .collect()
}

fn resolved(resource: &Resource) -> ResourceChecked {
    let mut findings = Vec::new();
    if let Some(listen) = resource.listen.filter(|listen| !listen.ip().is_loopback()) {
        findings.push(Finding::weak(
            format!("{listen} is reachable from other machines"),
            "listen on 127.0.0.1 unless agents run elsewhere",
        ));
    }
    let masks: Vec<String> = match &resource.what {
        What::Postgres(database) => {
            let line = |m: &Mask| format!("{}  {}  {}", m.column, m.class, as_written(&m.kind));
            database.masks.iter().map(line).collect()
        }
        What::Http(service) => {
            let line = |m: &PathMask| format!("{}  {}  {}", m.path, m.rule.class, as_written(&m.rule.kind));
            let own = service.masks.iter().map(line);
            let of_cluster = service.cluster.iter().flat_map(|cluster| {
                let always = ["secret.kubernetes", "secret.kubernetes_token"].map(str::to_owned);
                let also = cluster.also.iter().map(ToString::to_string);
                always.into_iter().chain(also).map(|class| format!("wherever the API has it  {class}"))
            });
            of_cluster.chain(own).collect()
        }
        // What a command writes has no place that a rule could name.
        What::Ssh(_) => Vec::new(),
    };
    if masks.is_empty() && !matches!(resource.what, What::Ssh(_)) {
        findings.push(Finding::weak(
            "nothing is masked by rule; only detectors look at what comes back",
            "declare sensitive columns or paths with [[resource.mask]]",
        ));
    }
    if let Credential::File(path) = &resource.credential {
        findings.push(private_file("credential file", path));
    }
    let (role, database, proof, read_only, routes) = match &resource.what {
        What::Postgres(of) => {
            let upstream = &of.upstream;
            let (role, database) = (Some(upstream.role.clone()), Some(upstream.database.clone()));
            (role, database, upstream.tls.as_str(), of.read_only, Vec::new())
        }
        What::Http(of) => {
            let tls = if of.upstream.https { Tls::VerifyFull } else { Tls::Disable };
            (None, None, tls.as_str(), false, of.routes.iter().map(ToString::to_string).collect())
        }
        What::Ssh(of) => (Some(of.user.clone()), None, HOST_KEY, false, Vec::new()),
    };
    ResourceChecked {
        name: resource.name.clone(),
        kind: resource.what.kind().to_owned(),
        listen: resource.listen.map_or_else(|| "proxy".to_owned(), |listen| listen.to_string()),
        upstream: resource.what.address(),
        role,
        database,
        sslmode: proof.to_owned(),
        credential: resource.credential.describe(),
        read_only,
        masks,
        routes,
        findings,
    }
}

/// Dials the upstream as a session would, reads its catalog, and binds every mask to its column.
///
/// The gate behind it has its ledger in memory: nothing that `check` does is an effect of a run.
async fn reach(config: &Config, resource: &Resource) -> Vec<Finding> {
    let reached = match &resource.what {
        What::Postgres(database) => try_reach(config, resource, database).await.map(|(found, powers)| {
            let mut all = found;
            all.extend(role(database, powers));
            all
        }),
        What::Http(service) => try_service(config, resource, service).await,
        What::Ssh(host) => try_host(config, resource, host).await.map(|found| vec![found]),
    };
    match reached {
        Ok(found) => found,
        Err(why) => vec![unreached(config, resource, why)],
    }
}

/// Why an upstream was not reached, with what helps against that reason. Of a reason that is not known here, it says no more
/// than the reason does.
fn unreached(config: &Config, resource: &Resource, why: String) -> Finding {
    let says = |words: &[&str]| words.iter().any(|word| why.contains(word));
    let mend = if let Some(line) = mask_at(config, resource, &why) {
        format!("line {line} of {}: correct the column's name", config.file.display())
    } else if says(&["UnknownIssuer"]) {
        match resource.what {
            What::Postgres(_) => "its certificate is of an authority that is not trusted here: add &sslrootcert=FILE (PEM) to upstream",
            What::Http(_) | What::Ssh(_) => "its certificate is of an authority that is not trusted here: set ca = \"FILE\" (PEM)",
        }
        .to_owned()
    } else if says(&["28P01", "28000", "SASL", "password"]) {
        "see that the role and the credential are right".to_owned()
    } else if says(&["refused", "timed out", "resolve", "unreachable", "os error 111"]) {
        "see that the upstream is up, and that its host and port are right".to_owned()
    } else {
        return Finding { grade: Grade::Wrong, what: why, mend: None };
    };
    Finding::wrong(why, mend)
}

/// The line of the configuration in which the masked column stands that `why` names.
fn mask_at(config: &Config, resource: &Resource, why: &str) -> Option<usize> {
    let What::Postgres(database) = &resource.what else { return None };
    let named = |mask: &&Mask| why.contains(&format!("{}:", mask.column));
    let column = format!("\"{}\"", database.masks.iter().find(named)?.column);
    let text = std::fs::read_to_string(&config.file).ok()?;
    Some(text.lines().position(|line| line.contains(&column))? + 1)
}

/// A mask as the configuration spells it.
fn as_written(kind: &MaskKind) -> String {
    match kind {
        MaskKind::Partial { keep } => format!("partial:{keep}"),
        MaskKind::Bucket { width } => format!("bucket:{width}"),
        MaskKind::Null | MaskKind::Redact | MaskKind::RowToken | MaskKind::Token => kind.as_str().to_owned(),
    }
}

/// What the upstream login may do besides what agents need (layer L0 of masking). A login that gets past the masks is a
/// no to what is asked here; one that may do more than it needs is said.
fn role(database: &Database, powers: Result<Powers, String>) -> Vec<Finding> {
    const MEND: &str = "see `\\du` in psql, and give agents a role with no more than they need";
    let role = &database.upstream.role;
    let powers = match powers {
        Err(why) => return vec![Finding::weak(format!("what {role} may do could not be read: {why}"), MEND)],
        Ok(powers) => powers,
    };
    let mut found = Vec::new();
    if !powers.never.is_empty() {
        let what = format!("{role} {}: with that there are ways past the masks", powers.never.join(", "));
        let mend = match &powers.never[..] {
            [owns] if owns.starts_with("owns") => owned(&database.masks),
            _ => MEND.to_owned(),
        };
        found.push(Finding::wrong(what, mend));
    }
    if !powers.more.is_empty() {
        found.push(Finding::weak(format!("{role} {}", powers.more.join(", ")), MEND));
    }
    if found.is_empty() {
        found.push(Finding::good(format!(
            "{role} is no superuser or owner, and cannot replicate, bypass row security or read files"
        )));
    }
    found
}

/// Where to look for what the login owns.
fn owned(masks: &[Mask]) -> String {
    let table = |mask: &Mask| format!("{}.{}", mask.column.schema, mask.column.table);
    let tables: BTreeSet<String> = masks.iter().map(table).collect();
    let tables: Vec<String> = tables.into_iter().collect();
    format!(
        "`\\dt` and `\\dv` in psql show the owners: give {} and the views over them to a role that agents do not log in as",
        tables.join(", ")
    )
}

/// What was found, and what the login may do.
type Reached = (Vec<Finding>, Result<Powers, String>);

async fn try_reach(config: &Config, resource: &Resource, database: &Database) -> Result<Reached, String> {
    let policy = policies::load(&config.gateway.policy).map_err(|e| e.to_string())?;
    let settings = ledger::Config::new("/ledger", "/keys", env!("CARGO_PKG_VERSION"));
    let (ledger, _) = Ledger::open(settings, SimDisk::new(0), SimClock::new(), SimRandom::new(0))
        .map_err(|e| e.to_string())?;
    let detectors = Arc::new(Detectors::new());
    let gate = gate::Gate::new(ledger.clone(), detectors.clone(), policy).map_err(|e| e.to_string())?;
    let postgres = wired::postgres(resource, database, config).map_err(|e| e.to_string())?;
    let scratch = Scratch::new().map_err(|e| e.to_string())?;
    let (certificate, key) = relay::tls::own_certificate(&scratch.0)?;
    let ready = relay::postgres::Resource::new(
        postgres,
        gate,
        Registry::new(ledger, detectors),
        (&certificate, &key),
    )?;
    let catalog = probe(&ready).await?;
    let found = format!(
        "reached as {}, PostgreSQL {}, {} relations, search_path {}; {} masked columns found",
        catalog.role,
        catalog.snapshot.server_major(),
        catalog.snapshot.relation_count(),
        catalog.search_path.join(", "),
        catalog.governed.columns().count()
    );
    let mut all = vec![Finding::good(found)];
    let (governed, snapshot) = (&catalog.governed, &catalog.snapshot);
    let strange = database.vouch.iter().filter(|f| !snapshot.has_function(&f.schema, &f.name));
    all.extend(strange.map(|f| {
        Finding::weak(
            format!("vouch names {}.{}, and there is no such function", f.schema, f.name),
            "correct its name; nothing is permitted by it now",
        )
    }));
    all.extend(tells_order(&governed.indexes_that_order(snapshot), &governed.parted(snapshot)));
    Ok((all, relay::postgres::powers(&ready, &catalog.governed).await))
}

/// What of a database tells how masked values compare.
fn tells_order(indexes: &[String], parted: &[String]) -> Vec<Finding> {
    let mut found = Vec::new();
    if !indexes.is_empty() {
        found.push(Finding::weak(
            format!("indexes that begin with a masked column: {}", indexes.join(", ")),
            "rows without ORDER BY can come in such an index's order, which is that of raw values: let it begin with \
             another column, or drop it",
        ));
    }
    if !parted.is_empty() {
        found.push(Finding::weak(
            format!("tables that are partitioned by a masked column: {}", parted.join(", ")),
            "the partition that a row is in tells of its value: partition by another column, or grant no partition by itself",
        ));
    }
    found
}

/// Connects as a session would and sends nothing: what a request does there, only the service knows.
async fn try_service(
    config: &Config,
    resource: &Resource,
    service: &Service,
) -> Result<Vec<Finding>, String> {
    let http = wired::http(resource, service, config).map_err(|e| e.to_string())?;
    if resource.what.stdio().is_some() {
        return Ok(vec![Finding::good(
            "its client starts it, by `tacho mcp`, with the agent's own rights: what it may do itself is not decided here",
        )]);
    }
    relay::http::probe(&http).await?;
    let proof = if service.upstream.https { ", and proved its certificate" } else { ", in plain HTTP" };
    let address = format!("{}:{}", http.upstream.host, http.upstream.port);
    let shown = if service.login.is_some() { address } else { service.upstream.address() };
    let mut found = vec![Finding::good(format!("{shown} takes connections{proof}"))];
    if service.cluster.is_some() {
        found.push(match relay::http::may_everything(&http).await? {
            false => Finding::good("the gateway's login there may not do everything"),
            true => Finding::weak(
                "the gateway's login there may do everything: what policy permits by mistake, the cluster permits, too",
                "give agents a role with no more than they need, and name it with impersonate = { user = \"...\", groups = [\"...\"] }",
            ),
        });
    }
    Ok(found)
}

/// Connects, proves the host and logs in; where no key is pinned, says which one the host shows, and what to write.
async fn try_host(config: &Config, resource: &Resource, host: &SshHost) -> Result<Finding, String> {
    let ssh = wired::ssh(resource, host, config).map_err(|e| e.to_string())?;
    let probed = relay::ssh::probe(&ssh).await?;
    let key = &probed.key;
    Ok(match probed.pinned {
        true => Finding::good(format!(
            "{} let {} in, and proved {} {}",
            host.address(),
            host.user,
            key.algorithm,
            key.fingerprint
        )),
        false => Finding::wrong(
            format!("no host key is pinned; {} shows {} {}", host.address(), key.algorithm, key.fingerprint),
            format!(
                "ask whoever runs the host whether that is its key, and write host_key = \"{}\"",
                key.line
            ),
        ),
    })
}

/// A private directory that goes when this does.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, Failure> {
        let name = crate::hex::encode(&crate::operators::random::<8>()?);
        let path = std::env::temp_dir().join(format!("tacho-check-{name}"));
        files::make_private_dir(&path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left_for_the_next_boot = std::fs::remove_dir_all(&self.0);
    }
}

fn auditors(config: &Config) -> Finding {
    match config.gateway.auditors.len() {
        0 => Finding::weak(
            "no auditor: nobody will be able to ask whether a value was exposed, and only this gateway can open reels",
            "`tacho init` makes a key; put it into auditors in [gateway]",
        ),
        1 => Finding::good("1 auditor"),
        n => Finding::good(format!("{n} auditors")),
    }
}

fn durability(config: &Config) -> Finding {
    match config.gateway.durability {
        vocab::Durability::Sync => Finding::good("every intent is durable before its effect (P1)"),
        vocab::Durability::Os => Finding::weak(
            "durability = \"os\": a power failure can lose the evidence of effects; P1 is not claimed",
            "set durability = \"sync\"",
        ),
    }
}

/// What is reached through the proxy, by its URLs.
fn proxied(config: &Config) -> Option<Finding> {
    let proxy = config.gateway.proxy?;
    let url = |resource: &Resource| match &resource.what {
        What::Http(_) if resource.what.stdio().is_some() => None,
        What::Http(service) => Some(format!("{} ({})", service.upstream.address(), resource.name)),
        What::Postgres(_) | What::Ssh(_) => None,
    };
    let urls: Vec<String> = config.resources.iter().filter_map(url).collect();
    Some(match urls.is_empty() {
        true => Finding::weak(
            format!("the proxy on {proxy} reaches nothing"),
            "add a [[resource]] of kind http, llm or mcp, or leave out proxy",
        ),
        false => {
            Finding::good(format!("the proxy on {proxy} reaches {}, and no other host", urls.join(", ")))
        }
    })
}

fn witnessed(config: &Config) -> Finding {
    if config.witnesses.is_empty() {
        return Finding::weak(
            "no witness: whoever has root here can cut off or rewrite the record's end, and nobody else remembers it",
            "run `tacho witness` on somebody else's machine, and name it in [[witness]]",
        );
    }
    let names: Vec<&str> = config.witnesses.iter().map(|witness| witness.key.name()).collect();
    Finding::good(format!("each checkpoint is cosigned by {}", names.join(", ")))
}

fn separation_of(config: &Config) -> Finding {
    match Separation::choose(config) {
        Ok(Separation::User(user)) if config.gateway.agent_user.is_none() => Finding::weak(
            format!(
                "agents run as {} (uid {}), whom other services may use as well",
                crate::users::name_of(user.uid),
                user.uid
            ),
            "add a user of their own and set agent_user in [gateway]",
        ),
        Ok(separation) if separation.confines() => {
            Finding::good(format!("agents run {}", separation.describe()))
        }
        Ok(separation) => Finding::wrong(
            format!("agents run {}; P6 and P8 are not claimed for their runs", separation.describe()),
            "let root start them, or allow user namespaces (sysctl user.max_user_namespaces)",
        ),
        Err(failure) => Finding::wrong(failure.to_string(), "install util-linux, or set agent_user"),
    }
}

/// What `tacho doctor` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorAnswer {
    pub findings: Vec<Finding>,
}

impl Answer for DoctorAnswer {
    const SHAPE: &'static str = "tacho.doctor/1";

    fn render(&self, text: &mut Text) {
        self.findings.iter().for_each(|finding| finding.render(text));
    }

    fn exit_code(&self) -> u8 {
        u8::from(self.findings.iter().any(|f| f.grade == Grade::Wrong))
    }
}

/// Looks at everything that can be looked at without a gateway, and at the gateway if one is up.
pub fn doctor(config_file: &Path, json: bool) -> Outcome {
    let config = match Config::load(config_file) {
        Ok(config) => config,
        Err(failure) => {
            let wrong = |line: &String| Finding::wrong(line.clone(), "correct the file");
            return out::answer(&DoctorAnswer { findings: failure.lines.iter().map(wrong).collect() }, json);
        }
    };
    let mut findings = vec![Finding::good(format!("{} is right", config_file.display()))];
    findings.push(match policies::load(&config.gateway.policy) {
        Ok(policy) => Finding::good(format!("the policy is valid: {} rules", policy.rules().len())),
        Err(failure) => Finding::wrong(failure.to_string(), "correct the policy; `tacho policy check`"),
    });
    findings.extend([auditors(&config), separation_of(&config), durability(&config), witnessed(&config)]);
    for tool in ["setpriv", "setsid", "unshare"] {
        if let Err(failure) = separation::tool(tool) {
            findings.push(Finding::wrong(failure.to_string(), "install util-linux"));
        }
    }
    for (what, dir) in [("data", &config.gateway.data), ("keys", &config.gateway.keys)] {
        findings.push(private_dir(what, dir));
    }
    findings.push(match Operators::load(&config.operators_file()) {
        Ok(operators) if operators.list.is_empty() => Finding::weak(
            "no operator: nobody can approve",
            "tacho operator add NAME --role approver --group GROUP",
        ),
        Ok(operators) => Finding::good(format!("{} operators", operators.list.len())),
        Err(failure) => Finding::stated(failure),
    });
    findings.extend(match policies::load(&config.gateway.policy) {
        Ok(policy) => doubtful(&config, &policy),
        Err(failure) => vec![Finding::stated(failure)],
    });
    findings.extend(replaceable(&config));
    findings.push(space(&config));
    findings.extend(gateway(&config));
    out::answer(&DoctorAnswer { findings }, json)
}

/// Whether a gateway is up, and what it says is wrong.
fn gateway(config: &Config) -> Vec<Finding> {
    let socket = &config.gateway.control;
    let token = operators::find_token(None).ok().flatten();
    let client = Client { address: Address::Unix(socket.clone()), token };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return vec![Finding::wrong("no runtime can be made", "is the machine out of memory?")];
    };
    let reply = match runtime.block_on(client.get("/v1/status")) {
        Ok(reply) => reply,
        Err(NoReply::NobodyThere) => {
            let mend = "`tacho up`; or let `tacho run` start one for its life";
            return vec![Finding::weak("no gateway is up", mend)];
        }
        Err(other) => return vec![Finding::stated(other.into_failure(&client.address))],
    };
    let mut found = vec![Finding::good(format!("a gateway answers on {}", socket.display()))];
    match shaped::<Status>(&reply) {
        Ok(status) => found.extend(status.alarms.into_iter().map(alarm)),
        Err(failure) => found.push(Finding::weak(
            format!("it does not say how it is: {failure}"),
            "run this as somebody with a [[human]], or with an operator's token",
        )),
    }
    found
}

fn alarm(alarm: String) -> Finding {
    Finding::wrong(alarm, "`tacho check` says more of upstreams, `tacho status` of the rest")
}

fn space(config: &Config) -> Finding {
    let existing = config.gateway.data.ancestors().find(|dir| dir.exists());
    let free = existing
        .and_then(|dir| rustix::fs::statvfs(dir).ok())
        .map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize) >> 20);
    match free {
        Some(mib) if mib < 256 => Finding::wrong(
            format!("{mib} MiB are free for the ledger; below two segments nothing new is admitted"),
            "free some space, or move data",
        ),
        Some(mib) => Finding::good(format!("{mib} MiB are free for the ledger")),
        None => Finding::weak(
            "the free space of the ledger's disk cannot be told",
            "check that data is on a mounted disk",
        ),
    }
}

/// Secrets that a run sees once another file has come in their place.
fn replaceable(config: &Config) -> Vec<Finding> {
    let guard = separation::guarded(config);
    let directory = |path: &Path| path.parent().and_then(|parent| std::fs::canonicalize(parent).ok());
    let shares = |path: &&PathBuf| directory(path).is_some_and(|directory| !guard.has_alone(&directory));
    let weak = |path: &PathBuf| {
        Finding::weak(
            format!("{} is among other files, so that runs see it once it is replaced", path.display()),
            "move it into a directory of its own, or replace it while no run lives",
        )
    };
    guard.secrets.iter().filter(shares).map(weak).collect()
}

fn private_dir(what: &str, dir: &Path) -> Finding {
    let mend = format!("chmod 700 {}", dir.display());
    match std::fs::metadata(dir) {
        Ok(meta) if meta.mode() & 0o077 == 0 => {
            Finding::good(format!("{what} ({}) is private", dir.display()))
        }
        Ok(meta) => {
            Finding::wrong(format!("{what} ({}) has mode {:o}", dir.display(), meta.mode() & 0o777), mend)
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Finding::good(format!("{what} ({}) is made when a gateway starts", dir.display()))
        }
        Err(e) => Finding::wrong(
            format!("{what} ({}) cannot be looked at: {e}", dir.display()),
            "run as the gateway's user",
        ),
    }
}

fn private_file(what: &str, path: &Path) -> Finding {
    let mend = format!("chmod 600 {}", path.display());
    match std::fs::metadata(path) {
        Ok(meta) if meta.mode() & 0o077 == 0 => {
            Finding::good(format!("{what} {} is private", path.display()))
        }
        Ok(meta) => Finding::wrong(
            format!("{what} {} has mode {:o}: an agent could read it", path.display(), meta.mode() & 0o777),
            mend,
        ),
        Err(e) => Finding::wrong(format!("{what} {}: {e}", path.display()), "check the path"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
[gateway]
data = "./data"
[[resource]]
name = "crm"
kind = "postgres"
listen = "127.0.0.1:6432"
upstream = "postgres://app@db.internal/crm"
[[resource.mask]]
column = "public.customers.snn"
class = "pii.ssn"
as = "partial:4"
"#;

    #[test]
    fn what_helps_is_said_of_the_reason_and_of_no_other() {
        let file = crate::files::scratch("unreached").join("tacho.toml");
        std::fs::write(&file, CONFIG).unwrap();
        let config = Config::parse(&file, CONFIG.as_bytes()).unwrap();
        let mend = |why: &str| unreached(&config, &config.resources[0], why.to_owned()).mend;
        let says =
            |why: &str, words: &str| assert!(mend(why).unwrap().contains(words), "{why}: {:?}", mend(why));
        says("public.customers.snn: there is no such column", "line 10 of ");
        says("invalid peer certificate: UnknownIssuer", "sslrootcert=FILE");
        says("it refused the gateway's login: 28P01", "credential");
        says("db.internal:5432: Connection refused (os error 111)", "is up");
        assert_eq!(mend("the environment variable CRM_PASSWORD is not set; set it for the gateway"), None);
        assert_eq!(resolved(&config.resources[0]).masks, ["public.customers.snn  pii.ssn  partial:4"]);
    }

    #[test]
    fn names_of_rules_that_nothing_has_are_said() {
        let file = crate::files::scratch("doubts").join("tacho.toml");
        std::fs::write(&file, CONFIG).unwrap();
        let config = Config::parse(&file, CONFIG.as_bytes()).unwrap();
        let text = r#"
@id("a") permit (principal, action == Action::"read", resource in Resource::"crn/crm");
@id("b") permit (principal, action == Action::"read", resource in Resource::"crm/crm") when { principal.human in Group::"nobody" };
@id("c") @needs("leads") forbid (principal, action == Action::"write", resource) unless { context.approvals.contains("leads") };
"#;
        let source = policy::Source { path: "a.cedar".to_owned(), text: text.to_owned() };
        let policy = policies::parse(&[source]).ok().unwrap();
        let doubts = policies::doubts(&config, &policy, &Operators::default());
        let said: Vec<&str> = doubts.iter().map(|(what, _)| what.as_str()).collect();
        let expect =
            ["no operator approves for the group `leads`", "rule `a` names Resource", "rule `b` names Group"];
        assert_eq!(said.len(), expect.len(), "{said:?}");
        said.iter().zip(expect).for_each(|(said, expect)| assert!(said.starts_with(expect), "{said}"));
    }

    #[test]
    fn a_finding_of_several_lines_is_several_lines() {
        let mut text = Text::new();
        Finding::wrong("one\ntwo", "three").render(&mut text);
        assert_eq!(text.finish(), "WRONG  one\n       two\n       three\n");
    }
}
