//! The file as typed: each value with its place, nothing judged but its type.

use toml::de::DeTable;

use super::CONNECTIONS_PER_RUN_MAX;
use super::issuer::RawIssuer;
use super::reader::{At, Problems, Section};

/// `tacho.toml`, typed but not yet believed.
pub struct RawConfig<'t> {
    pub gateway: Option<RawGateway<'t>>,
    pub resources: Vec<RawResource<'t>>,
    pub humans: Vec<RawHuman<'t>>,
    pub witnesses: Vec<RawWitness<'t>>,
    pub issuers: Vec<RawIssuer<'t>>,
}

pub struct RawGateway<'t> {
    pub data: Option<At<&'t str>>,
    pub keys: Option<At<&'t str>>,
    pub console: Option<At<&'t str>>,
    pub control: Option<At<&'t str>>,
    pub policy: Option<At<&'t str>>,
    pub durability: Option<At<&'t str>>,
    pub auditors: Vec<At<&'t str>>,
    pub approval_timeout: Option<At<std::time::Duration>>,
    pub run_lifetime: Option<At<std::time::Duration>>,
    /// A user's name, or a uid.
    pub agent_user: Option<At<UserRef<'t>>>,
    pub origin: Option<At<&'t str>>,
    pub proxy: Option<At<&'t str>>,
}

/// A user of the operating system as typed.
#[derive(Clone, Copy, Debug)]
pub enum UserRef<'t> {
    Name(&'t str),
    Uid(u64),
}

pub struct RawResource<'t> {
    /// How messages call it.
    pub place: String,
    pub span: std::ops::Range<usize>,
    pub name: Option<At<&'t str>>,
    pub kind: Option<At<&'t str>>,
    pub listen: Option<At<&'t str>>,
    pub upstream: Option<At<&'t str>>,
    pub insecure: bool,
    pub credential: Option<RawCredential<'t>>,
    pub client_certificate: Option<RawPair<'t>>,
    pub tls: Option<RawPair<'t>>,
    pub reel: Option<At<&'t str>>,
    pub read_only: bool,
    pub connections_per_run: Option<At<u64>>,
    pub statement_timeout: Option<At<std::time::Duration>>,
    pub lock_timeout: Option<At<std::time::Duration>>,
    pub idle_in_transaction_timeout: Option<At<std::time::Duration>>,
    pub vouch: Vec<At<&'t str>>,
    pub tripwire: Option<At<&'t str>>,
    pub hold_in_transaction: Option<At<std::time::Duration>>,
    pub inject: Option<At<&'t str>>,
    pub region: Option<At<&'t str>>,
    pub service: Option<At<&'t str>>,
    pub routes: Vec<At<&'t str>>,
    pub ca: Option<At<&'t str>>,
    pub dialect: Option<At<&'t str>>,
    pub prompts: Option<At<&'t str>>,
    pub text: Option<At<&'t str>>,
    pub http: Option<At<&'t str>>,
    pub tools: Vec<At<&'t str>>,
    pub open_arguments: Vec<At<&'t str>>,
    pub changed_tools: Option<At<&'t str>>,
    pub shims: Vec<At<&'t str>>,
    pub host_key: Vec<At<&'t str>>,
    pub known_hosts: Option<At<&'t str>>,
    pub certificate: Option<At<&'t str>>,
    pub login_shell: Option<At<&'t str>>,
    pub impersonate: Option<RawImpersonate<'t>>,
    pub context: Option<At<&'t str>>,
    pub masks: Vec<RawMask<'t>>,
    /// The keys that only one kind of resource has, as far as they are there, and where.
    pub of_one_kind: Vec<(&'static str, &'static str, std::ops::Range<usize>)>,
}

/// Keys that not every kind of resource has, and which have them.
const OF_ONE_KIND: &[(&str, &str)] = &[
    ("postgres", "read_only"),
    ("postgres", "connections_per_run"),
    ("postgres", "statement_timeout"),
    ("postgres", "lock_timeout"),
    ("postgres", "idle_in_transaction_timeout"),
    ("postgres", "vouch"),
    ("postgres", "hold_in_transaction"),
    ("http, llm, mcp", "inject"),
    ("http", "routes"),
    ("http", "region"),
    ("http", "service"),
    ("http, llm, mcp, kubernetes", "ca"),
    ("http, llm, mcp", "text"),
    ("http, llm, mcp, kubernetes", "http"),
    ("llm", "dialect"),
    ("llm", "prompts"),
    ("mcp", "tools"),
    ("mcp", "open_arguments"),
    ("mcp", "changed_tools"),
    ("mcp", "shims"),
    ("ssh", "host_key"),
    ("ssh", "known_hosts"),
    ("ssh", "certificate"),
    ("ssh", "login_shell"),
    ("kubernetes", "impersonate"),
    ("kubernetes", "context"),
    ("postgres, http, llm, mcp, kubernetes", "tls"),
    ("postgres, http, llm, mcp, kubernetes", "client_certificate"),
    ("postgres, http, llm, mcp", "insecure"),
];

/// Exactly one of the three; [`super::Config`] checks that.
pub struct RawCredential<'t> {
    pub span: std::ops::Range<usize>,
    pub env: Option<At<&'t str>>,
    pub file: Option<At<&'t str>>,
    pub command: Vec<At<&'t str>>,
    /// What it is, where it may be one thing or another.
    pub kind: Option<At<&'t str>>,
}

/// A certificate and its key.
pub struct RawPair<'t> {
    pub cert: Option<At<&'t str>>,
    pub key: Option<At<&'t str>>,
}

/// Whom a cluster takes the requests for.
pub struct RawImpersonate<'t> {
    pub user: Option<At<&'t str>>,
    pub groups: Vec<At<&'t str>>,
}

pub struct RawMask<'t> {
    pub span: std::ops::Range<usize>,
    pub column: Option<At<&'t str>>,
    pub path: Option<At<&'t str>>,
    pub class: Option<At<&'t str>>,
    pub kind: Option<At<&'t str>>,
}

pub struct RawHuman<'t> {
    pub name: Option<At<&'t str>>,
    pub uid: Option<At<u64>>,
    pub groups: Vec<At<&'t str>>,
    /// Whether this person may start runs for others.
    pub delegate: bool,
}

/// Who cosigns the ledger's checkpoints.
pub struct RawWitness<'t> {
    pub span: std::ops::Range<usize>,
    pub url: Option<At<&'t str>>,
    pub key: Option<At<&'t str>>,
    pub ca: Option<At<&'t str>>,
}

impl<'t> RawConfig<'t> {
    pub fn read(table: &'t DeTable<'t>, problems: &mut Problems) -> RawConfig<'t> {
        let mut file = Section::new("", 0..0, table);
        let gateway = file.section("gateway", problems).map(|mut section| {
            section.place = "[gateway]".to_owned();
            RawGateway::read(section, problems)
        });
        let resources = file.sections("resource", problems);
        let humans = file.sections("human", problems);
        let witnesses = file.sections("witness", problems);
        let issuers = file.sections("issuer", problems);
        let raw = RawConfig {
            gateway,
            resources: resources.into_iter().map(|s| RawResource::read(s, problems)).collect(),
            humans: humans.into_iter().map(|s| RawHuman::read(s, problems)).collect(),
            witnesses: witnesses.into_iter().map(|s| RawWitness::read(s, problems)).collect(),
            issuers: issuers.into_iter().map(|s| RawIssuer::read(s, problems)).collect(),
        };
        file.finish(problems);
        raw
    }
}

impl<'t> RawGateway<'t> {
    fn read(mut section: Section<'t>, problems: &mut Problems) -> RawGateway<'t> {
        let raw = RawGateway {
            data: section.text("data", problems),
            keys: section.text("keys", problems),
            console: section.text("console", problems),
            control: section.text("control", problems),
            policy: section.text("policy", problems),
            durability: section.text("durability", problems),
            auditors: section.texts("auditors", problems),
            approval_timeout: section.duration("approval_timeout", problems),
            run_lifetime: section.duration("run_lifetime", problems),
            agent_user: user_ref(&mut section, problems),
            origin: section.text("origin", problems),
            proxy: section.text("proxy", problems),
        };
        section.finish(problems);
        raw
    }
}

impl<'t> RawResource<'t> {
    fn read(mut section: Section<'t>, problems: &mut Problems) -> RawResource<'t> {
        section.place = match section.value("name").and_then(|v| v.as_ref().as_str()) {
            Some(name) => format!("resource {name:?}"),
            None => "resource".to_owned(),
        };
        let mut there = |&(kind, key): &(&'static str, &'static str)| {
            section.value(key).map(|value| (kind, key, value.span()))
        };
        let of_one_kind = OF_ONE_KIND.iter().filter_map(&mut there).collect();
        let raw = RawResource {
            of_one_kind,
            place: section.place.clone(),
            span: section.span.clone(),
            name: section.required("name", "\"crm\"", problems),
            kind: section.required("kind", "\"postgres\", \"http\", \"llm\", \"mcp\", \"ssh\" or \"kubernetes\"", problems),
            listen: section.text("listen", problems),
            upstream: section.required(
                "upstream",
                "\"postgres://role@host:5432/database\", \"https://host/path\", \"ssh://user@host:22\", \"kubeconfig:FILE\", \"in-cluster:\" or \"stdio:\"",
                problems,
            ),
            insecure: section.flag("insecure", problems).is_some_and(|f| f.value),
            credential: section.section("credential", problems).map(|s| RawCredential::read(s, problems)),
            client_certificate: section
                .section("client_certificate", problems)
                .map(|s| RawPair::read(s, problems)),
            tls: section.section("tls", problems).map(|s| RawPair::read(s, problems)),
            reel: section.text("reel", problems),
            read_only: section.flag("read_only", problems).is_some_and(|f| f.value),
            connections_per_run: section.number(
                "connections_per_run",
                1..CONNECTIONS_PER_RUN_MAX + 1,
                problems,
            ),
            statement_timeout: section.duration("statement_timeout", problems),
            lock_timeout: section.duration("lock_timeout", problems),
            idle_in_transaction_timeout: section.duration("idle_in_transaction_timeout", problems),
            vouch: section.texts("vouch", problems),
            tripwire: section.text("tripwire", problems),
            hold_in_transaction: section.duration("hold_in_transaction", problems),
            inject: section.text("inject", problems),
            region: section.text("region", problems),
            service: section.text("service", problems),
            routes: section.texts("routes", problems),
            ca: section.text("ca", problems),
            dialect: section.text("dialect", problems),
            prompts: section.text("prompts", problems),
            text: section.text("text", problems),
            http: section.text("http", problems),
            tools: section.texts("tools", problems),
            open_arguments: section.texts("open_arguments", problems),
            changed_tools: section.text("changed_tools", problems),
            shims: section.texts("shims", problems),
            host_key: one_or_more(&mut section, "host_key", problems),
            known_hosts: section.text("known_hosts", problems),
            certificate: section.text("certificate", problems),
            login_shell: section.text("login_shell", problems),
            context: section.text("context", problems),
            impersonate: section.section("impersonate", problems).map(|s| RawImpersonate::read(s, problems)),
            masks: masks(&mut section, problems),
        };
        section.finish(problems);
        raw
    }
}

impl<'t> RawCredential<'t> {
    fn read(mut section: Section<'t>, problems: &mut Problems) -> RawCredential<'t> {
        if let Some(password) = section.value("password") {
            problems.at(
                &password.span(),
                format!("{}: a password does not belong into this file; write {{ env = \"NAME\" }} or {{ file = \"PATH\" }}", section.place),
            );
        }
        let raw = RawCredential {
            span: section.span.clone(),
            env: section.text("env", problems),
            file: section.text("file", problems),
            command: section.texts("command", problems),
            kind: section.text("kind", problems),
        };
        section.finish(problems);
        raw
    }
}

impl<'t> RawPair<'t> {
    fn read(mut section: Section<'t>, problems: &mut Problems) -> RawPair<'t> {
        let raw = RawPair {
            cert: section.required("cert", "\"client.crt\"", problems),
            key: section.required("key", "\"client.key\"", problems),
        };
        section.finish(problems);
        raw
    }
}

impl<'t> RawImpersonate<'t> {
    fn read(mut section: Section<'t>, problems: &mut Problems) -> RawImpersonate<'t> {
        let raw = RawImpersonate {
            user: section.required("user", "\"agents\"", problems),
            groups: section.texts("groups", problems),
        };
        section.finish(problems);
        raw
    }
}

impl<'t> RawHuman<'t> {
    fn read(mut section: Section<'t>, problems: &mut Problems) -> RawHuman<'t> {
        let raw = RawHuman {
            name: section.required("name", "\"ada\"", problems),
            uid: section.number("uid", 0..u64::from(u32::MAX), problems),
            groups: section.texts("groups", problems),
            delegate: section.flag("delegate", problems).is_some_and(|f| f.value),
        };
        section.finish(problems);
        raw
    }
}

impl<'t> RawWitness<'t> {
    fn read(mut section: Section<'t>, problems: &mut Problems) -> RawWitness<'t> {
        let raw = RawWitness {
            span: section.span.clone(),
            url: section.required("url", "\"http://witness.internal:7080\"", problems),
            key: section.required("key", "what `tacho witness keygen` printed", problems),
            ca: section.text("ca", problems),
        };
        section.finish(problems);
        raw
    }
}

fn masks<'t>(resource: &mut Section<'t>, problems: &mut Problems) -> Vec<RawMask<'t>> {
    let place = resource.place.clone();
    let sections = resource.sections("mask", problems);
    let read = |mut section: Section<'t>| {
        section.place = format!("a mask of {place}");
        let raw = RawMask {
            span: section.span.clone(),
            column: section.text("column", problems),
            path: section.text("path", problems),
            class: section.required("class", "\"pii.ssn\"", problems),
            kind: section.text("as", problems),
        };
        section.finish(problems);
        raw
    };
    sections.into_iter().map(read).collect()
}

/// A text, or a list of them.
fn one_or_more<'t>(
    section: &mut Section<'t>,
    key: &'static str,
    problems: &mut Problems,
) -> Vec<At<&'t str>> {
    match section.value(key).is_some_and(|value| value.as_ref().is_str()) {
        true => section.text(key, problems).into_iter().collect(),
        false => section.texts(key, problems),
    }
}

fn user_ref<'t>(section: &mut Section<'t>, problems: &mut Problems) -> Option<At<UserRef<'t>>> {
    let found = section.value("agent_user")?;
    if found.as_ref().is_str() {
        return section.text("agent_user", problems).map(|at| at.map(UserRef::Name));
    }
    section.number("agent_user", 1..u64::from(u32::MAX), problems).map(|at| at.map(UserRef::Uid))
}
