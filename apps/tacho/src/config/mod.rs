//! `tacho.toml`: [`RawConfig`] is what was typed, [`Config`] cannot be wrong.
//!
//! Every error is reported at once, with its line, and says what would be right (exit 2). A key that is not
//! known is an error: a misspelt `read_only` must not mean "not read-only". No secret is ever in this file.

mod raw;
mod reader;
mod spell;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use ledger::AuditorKey;
use toml::de::DeTable;
use vocab::{Class, Durability, MaskKind};

use crate::fault::{Exit, Failure};
use crate::limits::{
    APPROVAL_TIMEOUT_MAX, CONFIG_BYTES_MAX, MASKS_PER_RESOURCE_MAX, RESOURCES_MAX, RUN_LIFETIME_MAX,
    SOCKET_PATH_BYTES_MAX,
};
use raw::{RawConfig, RawCredential, RawGateway, RawHuman, RawMask, RawPair, RawResource, UserRef};
use reader::{At, Problems};

pub use upstream::{Host, Tls, Upstream};

/// The name of the file where no other is given.
pub const FILE_NAME: &str = "tacho.toml";

/// A configuration that cannot be wrong by itself; `tacho check` says whether it fits the world.
#[derive(Clone, Debug)]
pub struct Config {
    pub file: PathBuf,
    /// SHA-256 of the file's bytes, which the `start` record keeps.
    pub digest: [u8; 32],
    pub gateway: Gateway,
    pub resources: Vec<Resource>,
    pub humans: Vec<Human>,
}

#[derive(Clone, Debug)]
pub struct Gateway {
    /// The ledger's name in its checkpoints; the ledger makes one up where none is given.
    pub origin: Option<String>,
    pub data: PathBuf,
    pub keys: PathBuf,
    pub console: SocketAddr,
    /// The Unix socket that `tacho run` and its kin talk to.
    pub control: PathBuf,
    pub policy: PathBuf,
    pub durability: Durability,
    pub auditors: Vec<AuditorKey>,
    pub approval_timeout: Duration,
    /// How long a run may last before its credentials die.
    pub run_lifetime: Duration,
    /// Whom runs are switched to when `tacho run` is root.
    pub agent_user: Option<AgentUser>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentUser {
    pub name: Option<String>,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Clone, Debug)]
pub struct Resource {
    pub name: String,
    pub listen: SocketAddr,
    pub upstream: Upstream,
    pub credential: Credential,
    pub client_certificate: Option<KeyPair>,
    /// The certificate shown to clients; without one the gateway mints its own.
    pub tls: Option<KeyPair>,
    pub reel: Reel,
    pub read_only: bool,
    pub statement_timeout: Option<Duration>,
    /// Functions that the operator vouches for: they read what their arguments say and nothing else.
    pub vouch: Vec<FunctionName>,
    pub tripwire: Tripwire,
    /// How long a question may wait while the transaction holds write locks.
    pub hold_in_transaction: Duration,
    pub masks: Vec<Mask>,
}

/// Where the upstream's password comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The upstream asks for none (`trust`, `peer`, a client certificate).
    None,
    Env(String),
    File(PathBuf),
    Command(Vec<String>),
}

impl Credential {
    pub fn describe(&self) -> String {
        match self {
            Credential::None => "none".to_owned(),
            Credential::Env(name) => format!("environment variable {name}"),
            Credential::File(path) => format!("file {}", path.display()),
            Credential::Command(words) => format!("command {}", words.first().map_or("", String::as_str)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// How much of the responses replay can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reel {
    Full,
    /// The first bytes of each response; then counts and digests.
    Head {
        bytes: u64,
    },
    None,
}

/// What becomes of a value that a detector finds although no mask governs its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tripwire {
    Mask,
    /// The connection is cut before the bytes leave.
    Cut,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionName {
    pub schema: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ColumnName {
    pub schema: String,
    pub table: String,
    pub column: String,
}

impl std::fmt::Display for ColumnName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.schema, self.table, self.column)
    }
}

#[derive(Clone, Debug)]
pub struct Mask {
    pub column: ColumnName,
    pub class: Class,
    pub kind: MaskKind,
}

/// A person whom the gateway knows by the uid of the caller.
#[derive(Clone, Debug)]
pub struct Human {
    pub name: String,
    pub uid: Option<u32>,
    pub groups: BTreeSet<String>,
    /// May end any run, and start runs for others where policy permits `delegate`.
    pub delegate: bool,
}

/// How much of a response is kept where the file does not say.
pub const REEL_DEFAULT: Reel = Reel::Head { bytes: 8 << 20 };

/// Write locks are held no longer than this for a human, unless the resource says otherwise.
pub const HOLD_IN_TRANSACTION_DEFAULT: Duration = Duration::from_secs(10);

impl Config {
    /// Reads and checks a file. Errors: all of them, exit 2; exit 3 if it cannot be read.
    pub fn load(file: &Path) -> Result<Config, Failure> {
        let bytes = std::fs::read(file).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Failure::could_not(format!(
                "there is no {}; write one with `tacho init`, or name another with --config",
                file.display()
            )),
            _ => Failure::file("read", file, &e),
        })?;
        Config::parse(file, &bytes)
    }

    /// Checks the bytes of a file; relative paths in it are taken from the file's directory.
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<Config, Failure> {
        let shown = file.display().to_string();
        if bytes.len() > CONFIG_BYTES_MAX {
            return Err(Failure::usage(format!("{shown}: the file is larger than {CONFIG_BYTES_MAX} bytes")));
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(Failure::usage(format!("{shown}: the file is not UTF-8 text")));
        };
        let mut problems = Problems::new(&shown, text);
        let (table, syntax) = DeTable::parse_recoverable(text);
        for error in &syntax {
            problems.at(&error.span().unwrap_or(0..0), error.message().replace('\n', "; "));
        }
        let raw = RawConfig::read(table.get_ref(), &mut problems);
        let base =
            std::path::absolute(file).ok().and_then(|f| f.parent().map(Path::to_owned)).unwrap_or_default();
        let config = Resolver { base, problems: &mut problems }.config(file, bytes, raw);
        match (config, problems.is_empty()) {
            (Some(config), true) => Ok(config),
            _ => Err(Failure { exit: Exit::Usage, lines: problems.into_lines() }),
        }
    }

    /// The human with this uid.
    pub fn human_by_uid(&self, uid: u32) -> Option<&Human> {
        self.humans.iter().find(|h| h.uid == Some(uid))
    }

    pub fn human(&self, name: &str) -> Option<&Human> {
        self.humans.iter().find(|h| h.name == name)
    }

    /// The file in which operators and the digests of their tokens are kept.
    pub fn operators_file(&self) -> PathBuf {
        self.gateway.keys.join("operators.toml")
    }
}

/// Turns what was typed into what is meant. Goes on after an error, to find the next.
struct Resolver<'p> {
    base: PathBuf,
    problems: &'p mut Problems,
}

impl Resolver<'_> {
    fn config(&mut self, file: &Path, bytes: &[u8], raw: RawConfig<'_>) -> Option<Config> {
        let humans = self.humans(raw.humans);
        let gateway = match raw.gateway {
            Some(gateway) => self.gateway(gateway, &humans),
            None => {
                self.problems
                    .at(&(0..0), "there is no [gateway] table; `tacho init` writes a file that has one");
                None
            }
        };
        let console = gateway.as_ref().map(|g| g.console);
        let resources = self.resources(raw.resources, console);
        let mut digest = [0; 32];
        digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
        Some(Config { file: file.to_owned(), digest, gateway: gateway?, resources, humans })
    }

    fn gateway(&mut self, raw: RawGateway<'_>, humans: &[Human]) -> Option<Gateway> {
        let data = self.path_or(raw.data.as_ref(), "tacho-data");
        let sibling = |name: &str| data.parent().unwrap_or(&data).join(name);
        let keys = raw.keys.as_ref().map_or_else(|| sibling("tacho-keys"), |k| self.path(k.value));
        let control =
            raw.control.as_ref().map_or_else(|| sibling("tacho-run/control.sock"), |c| self.path(c.value));
        let policy = self.path_or(raw.policy.as_ref(), "policy");
        self.apart(&data, "data", &keys, "keys", raw.keys.as_ref().or(raw.data.as_ref()));
        self.apart(&data, "data", &control, "control", raw.control.as_ref().or(raw.data.as_ref()));
        for (key, dir, at) in [
            ("data", &*data, raw.data.as_ref()),
            ("keys", &*keys, raw.keys.as_ref()),
            ("control", control.parent().unwrap_or(&control), raw.control.as_ref()),
        ] {
            self.own_directory(key, dir, &policy, at);
        }
        self.apart(&keys, "keys", &control, "control", raw.control.as_ref().or(raw.keys.as_ref()));
        if control.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            let span = raw.control.as_ref().map_or(0..0, |c| c.span.clone());
            let long = control.as_os_str().len();
            self.problems.at(
                &span,
                format!("[gateway]: the control socket's path has {long} bytes, and the system takes {SOCKET_PATH_BYTES_MAX}; set control = to a shorter one"),
            );
        }
        let agent_user = raw.agent_user.and_then(|user| self.agent_user(&user, humans));
        Some(Gateway {
            origin: self.origin(raw.origin.as_ref()),
            console: self.console(raw.console.as_ref())?,
            durability: self.durability(raw.durability.as_ref()),
            auditors: raw.auditors.iter().filter_map(|key| self.auditor(key)).collect(),
            approval_timeout: self.at_most(
                raw.approval_timeout,
                "approval_timeout",
                APPROVAL_TIMEOUT_MAX,
                120,
            ),
            run_lifetime: self.at_most(raw.run_lifetime, "run_lifetime", RUN_LIFETIME_MAX, 24 * 3600),
            agent_user,
            data,
            keys,
            control,
            policy,
        })
    }

    fn resources(&mut self, raw: Vec<RawResource<'_>>, console: Option<SocketAddr>) -> Vec<Resource> {
        if let Some(first_too_many) = raw.get(RESOURCES_MAX) {
            self.problems.at(
                &first_too_many.span,
                format!("there are more than {RESOURCES_MAX} resources; run a second gateway"),
            );
        }
        let mut names = BTreeMap::new();
        let mut listens: BTreeMap<SocketAddr, String> =
            console.map(|c| (c, "the console".to_owned())).into_iter().collect();
        let mut out = Vec::new();
        for raw in raw {
            if let Some(name) = &raw.name
                && names.insert(name.value.to_owned(), ()).is_some()
            {
                self.problems.at(
                    &name.span,
                    format!("{}: another resource has this name; names are unique", raw.place),
                );
            }
            let (place, listen_span) = (raw.place.clone(), raw.listen.as_ref().map(|l| l.span.clone()));
            let Some(resource) = self.resource(raw) else { continue };
            if let Some(taken) = listens.insert(resource.listen, place.clone()) {
                let span = listen_span.unwrap_or(0..0);
                self.problems.at(
                    &span,
                    format!("{place}: {taken} listens on {} already; choose another port", resource.listen),
                );
            }
            out.push(resource);
        }
        out
    }

    fn resource(&mut self, raw: RawResource<'_>) -> Option<Resource> {
        let place = raw.place.clone();
        let name = raw.name.and_then(|name| self.name(&place, &name));
        let kind = raw.kind.and_then(|kind| self.kind(&place, &kind));
        let listen = raw.listen.and_then(|listen| self.address(&format!("{place}: `listen`"), &listen));
        let upstream = raw.upstream.and_then(|url| match Upstream::parse(url.value, raw.insecure) {
            Ok(mut upstream) => {
                upstream.root_certificates = upstream.root_certificates.map(|p| self.path(&p));
                Some(upstream)
            }
            Err(wrong) => {
                wrong.iter().for_each(|w| {
                    self.problems.at(&url.span, format!("{place}: of the upstream's URL: {w}"))
                });
                None
            }
        });
        let masks = self.masks(&place, raw.masks);
        let credential = self.credential(&place, raw.credential);
        let client_certificate = raw.client_certificate.and_then(|pair| self.pair(pair));
        let tls = raw.tls.and_then(|pair| self.pair(pair));
        let reel = raw.reel.map_or(REEL_DEFAULT, |reel| self.reel(&place, &reel));
        let vouch = raw.vouch.iter().filter_map(|name| self.function(&place, name)).collect();
        let tripwire = raw.tripwire.map_or(Tripwire::Mask, |word| self.tripwire(&place, &word));
        let hold_in_transaction = raw.hold_in_transaction.map_or(HOLD_IN_TRANSACTION_DEFAULT, |hold| {
            if hold.value > APPROVAL_TIMEOUT_MAX {
                let most = APPROVAL_TIMEOUT_MAX.as_secs();
                self.problems.at(&hold.span, format!("{place}: `hold_in_transaction` is at most {most}s"));
            }
            hold.value
        });
        kind?;
        Some(Resource {
            name: name?,
            listen: listen?,
            upstream: upstream?,
            credential: credential?,
            client_certificate,
            tls,
            reel,
            read_only: raw.read_only,
            statement_timeout: raw.statement_timeout.map(|t| t.value),
            vouch,
            tripwire,
            hold_in_transaction,
            masks,
        })
    }

    fn humans(&mut self, raw: Vec<RawHuman<'_>>) -> Vec<Human> {
        let (mut names, mut uids) = (BTreeSet::new(), BTreeSet::new());
        let mut out = Vec::new();
        for raw in raw {
            let Some(name) = raw
                .name
                .and_then(|name| self.name("human", &name).map(|value| At { value, span: name.span }))
            else {
                continue;
            };
            let place = format!("human {:?}", name.value);
            if !names.insert(name.value.clone()) {
                self.problems
                    .at(&name.span, format!("{place}: another human has this name; names are unique"));
            }
            if let Some(uid) = &raw.uid
                && !uids.insert(uid.value)
            {
                self.problems.at(
                    &uid.span,
                    format!("{place}: another human has uid {}; a uid is one person", uid.value),
                );
            }
            let groups = raw.groups.iter().filter_map(|group| self.name(&place, group)).collect();
            let uid = raw.uid.and_then(|uid| u32::try_from(uid.value).ok());
            out.push(Human { name: name.value, uid, groups, delegate: raw.delegate });
        }
        out
    }

    fn masks(&mut self, place: &str, raw: Vec<RawMask<'_>>) -> Vec<Mask> {
        let mut seen = BTreeSet::new();
        let mut out = Vec::new();
        for (n, raw) in raw.into_iter().enumerate() {
            let (Some(column_text), Some(class_text)) = (raw.column, raw.class) else { continue };
            if n == MASKS_PER_RESOURCE_MAX {
                self.problems.at(
                    &column_text.span,
                    format!("{place}: there are more than {MASKS_PER_RESOURCE_MAX} masks"),
                );
            }
            let column = self.column(place, &column_text);
            let class = Class::new(class_text.value);
            if class.is_none() {
                self.problems.at(
                    &class_text.span,
                    format!("{place}: {:?} is not a class; a class is lower-case words joined by dots, as pii.ssn", class_text.value),
                );
            }
            let kind = match raw.kind {
                Some(kind) => self.mask_kind(place, &kind),
                None => Some(MaskKind::RowToken),
            };
            let (Some(column), Some(class), Some(kind)) = (column, class, kind) else { continue };
            if !seen.insert(column.clone()) {
                self.problems.at(&column_text.span, format!("{place}: {column} has two masks; keep one"));
            }
            out.push(Mask { column, class, kind });
        }
        out
    }

    fn mask_kind(&mut self, place: &str, text: &At<&str>) -> Option<MaskKind> {
        let (word, argument) = text.value.split_once(':').map_or((text.value, None), |(w, a)| (w, Some(a)));
        let kind = match (word, argument) {
            ("null", None) => Some(MaskKind::Null),
            ("redact", None) => Some(MaskKind::Redact),
            ("row-token", None) => Some(MaskKind::RowToken),
            ("token", None) => Some(MaskKind::Token),
            ("partial", Some(keep)) => {
                keep.parse().ok().filter(|k| (1..=8).contains(k)).map(|keep| MaskKind::Partial { keep })
            }
            ("bucket", Some(width)) => {
                width.parse().ok().filter(|w| *w > 0).map(|width| MaskKind::Bucket { width })
            }
            _ => None,
        };
        if kind.is_none() {
            self.problems.at(
                &text.span,
                format!(
                    "{place}: as = {:?} is not a kind of mask; it is null, redact, row-token, token, partial:N (N last \
                     characters stay, 1 to 8) or bucket:WIDTH",
                    text.value
                ),
            );
        }
        kind
    }

    fn credential(&mut self, place: &str, raw: Option<RawCredential<'_>>) -> Option<Credential> {
        let Some(raw) = raw else { return Some(Credential::None) };
        let command: Vec<String> = raw.command.iter().map(|w| w.value.to_owned()).collect();
        let found = match (&raw.env, &raw.file, command.is_empty()) {
            (Some(env), None, true) => Credential::Env(env.value.to_owned()),
            (None, Some(file), true) => Credential::File(self.path(file.value)),
            (None, None, false) => Credential::Command(command),
            _ => {
                self.problems.at(
                    &raw.span,
                    format!("{place}: `credential` is exactly one of {{ env = \"NAME\" }}, {{ file = \"PATH\" }}, {{ command = [\"PROGRAM\", \"ARGUMENT\"] }}"),
                );
                return None;
            }
        };
        if let (Credential::Env(name), Some(env)) = (&found, &raw.env)
            && (name.is_empty() || name.contains(['=', '\0']))
        {
            self.problems
                .at(&env.span, format!("{place}: {name:?} is not the name of an environment variable"));
        }
        Some(found)
    }

    fn pair(&mut self, raw: RawPair<'_>) -> Option<KeyPair> {
        Some(KeyPair { cert: self.path(raw.cert?.value), key: self.path(raw.key?.value) })
    }

    fn kind(&mut self, place: &str, kind: &At<&str>) -> Option<()> {
        match kind.value {
            "postgres" => return Some(()),
            "ssh" | "kubernetes" | "http" | "llm" | "mcp" | "mysql" | "redis" => {
                let what = format!(
                    "{place}: kind {:?} is planned, and not in this version; it has \"postgres\"",
                    kind.value
                );
                self.problems.at(&kind.span, what);
            }
            other => {
                self.problems.at(
                    &kind.span,
                    format!("{place}: kind {other:?} is not known; this version has \"postgres\""),
                );
            }
        }
        None
    }

    /// A name that stands in resource paths, records and environment variables.
    fn name(&mut self, place: &str, name: &At<&str>) -> Option<String> {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@');
        if name.value.is_empty() || name.value.len() > 63 || !name.value.bytes().all(good) {
            self.problems.at(
                &name.span,
                format!("{place}: {:?} is not a name; use 1 to 63 letters, digits and - _ . @", name.value),
            );
            return None;
        }
        Some(name.value.to_owned())
    }

    fn address(&mut self, what: &str, text: &At<&str>) -> Option<SocketAddr> {
        let address = text
            .value
            .strip_prefix("localhost:")
            .map_or(text.value.to_owned(), |port| format!("127.0.0.1:{port}"));
        match address.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                self.problems.at(
                    &text.span,
                    format!("{what} = {:?} is not an address; write IP:PORT, as 127.0.0.1:6432", text.value),
                );
                None
            }
        }
    }

    fn console(&mut self, text: Option<&At<&str>>) -> Option<SocketAddr> {
        let Some(text) = text else { return Some(SocketAddr::from(([127, 0, 0, 1], 7070))) };
        let address = self.address("[gateway]: `console`", text)?;
        if address.port() == 0 {
            self.problems.at(
                &text.span,
                "[gateway]: `console` needs a port of its own: agents and people are told it",
            );
            return None;
        }
        if !address.ip().is_loopback() {
            self.problems.at(
                &text.span,
                "[gateway]: `console` has no TLS of its own, so it listens on loopback only; put a TLS proxy in front of it",
            );
            return None;
        }
        Some(address)
    }

    fn durability(&mut self, text: Option<&At<&str>>) -> Durability {
        match text.map(|t| t.value) {
            None | Some("sync") => Durability::Sync,
            Some("os") => Durability::Os,
            Some(other) => {
                let span = text.map_or(0..0, |t| t.span.clone());
                let what = format!(
                    "[gateway]: durability = {other:?} is not known; it is \"sync\" (the default) or \"os\""
                );
                self.problems.at(&span, what);
                Durability::Sync
            }
        }
    }

    fn auditor(&mut self, key: &At<&str>) -> Option<AuditorKey> {
        let parsed = AuditorKey::parse(key.value).ok();
        if parsed.is_none() {
            self.problems.at(
                &key.span,
                "[gateway]: not an auditor's public key; `tacho init` prints one, and it begins with tacho-auditor-",
            );
        }
        parsed
    }

    fn origin(&mut self, text: Option<&At<&str>>) -> Option<String> {
        let text = text?;
        let good = |b: u8| b.is_ascii_graphic() && b != b'+';
        if text.value.is_empty() || text.value.len() > 128 || !text.value.bytes().all(good) {
            self.problems.at(
                &text.span,
                format!("[gateway]: origin = {:?} is not a name; use 1 to 128 printable characters without spaces and +", text.value),
            );
        }
        Some(text.value.to_owned())
    }

    fn at_most(
        &mut self,
        given: Option<At<Duration>>,
        key: &str,
        most: Duration,
        default_seconds: u64,
    ) -> Duration {
        let Some(given) = given else { return Duration::from_secs(default_seconds) };
        if given.value.is_zero() || given.value > most {
            let seconds = most.as_secs();
            self.problems
                .at(&given.span, format!("[gateway]: `{key}` is more than nothing and at most {seconds}s"));
        }
        given.value
    }

    fn agent_user(&mut self, user: &At<UserRef<'_>>, humans: &[Human]) -> Option<AgentUser> {
        let found = match user.value {
            UserRef::Uid(uid) => crate::users::by_uid(u32::try_from(uid).ok()?),
            UserRef::Name(name) => match crate::users::by_name(name) {
                Some(user) => user,
                None => {
                    self.problems.at(
                        &user.span,
                        format!("[gateway]: there is no user {name:?} on this machine; add one (`useradd -r {name}`) or give a uid"),
                    );
                    return None;
                }
            },
        };
        if found.uid == 0 {
            self.problems.at(
                &user.span,
                "[gateway]: agent_user is root, from which nothing can be kept; name another user",
            );
        }
        if let Some(human) = humans.iter().find(|h| h.uid == Some(found.uid)) {
            let name = &human.name;
            self.problems.at(
                &user.span,
                format!("[gateway]: agent_user has the uid of human {name:?}, so an agent could pass for that person; use a user of its own"),
            );
        }
        Some(found)
    }

    fn reel(&mut self, place: &str, text: &At<&str>) -> Reel {
        let reel = match text.value {
            "full" => Some(Reel::Full),
            "head" => Some(REEL_DEFAULT),
            "none" => Some(Reel::None),
            other => other.strip_prefix("head:").and_then(parse_size).map(|bytes| Reel::Head { bytes }),
        };
        reel.unwrap_or_else(|| {
            self.problems.at(
                &text.span,
                format!("{place}: reel = {:?} is not known; it is \"full\", \"head\" (8 MiB), \"head:SIZE\" as head:64KiB, or \"none\"", text.value),
            );
            Reel::None
        })
    }

    fn tripwire(&mut self, place: &str, word: &At<&str>) -> Tripwire {
        match word.value {
            "mask" => Tripwire::Mask,
            "cut" => Tripwire::Cut,
            other => {
                let what = format!(
                    "{place}: tripwire = {other:?} is not known; it is \"mask\" (the default) or \"cut\""
                );
                self.problems.at(&word.span, what);
                Tripwire::Cut
            }
        }
    }

    fn function(&mut self, place: &str, text: &At<&str>) -> Option<FunctionName> {
        match identifiers(text.value).as_deref() {
            Some([schema, name]) => Some(FunctionName { schema: schema.clone(), name: name.clone() }),
            _ => {
                self.problems.at(
                    &text.span,
                    format!(
                        "{place}: vouch = {:?} is not a function; write schema.function, as public.slugify",
                        text.value
                    ),
                );
                None
            }
        }
    }

    fn column(&mut self, place: &str, text: &At<&str>) -> Option<ColumnName> {
        match identifiers(text.value).as_deref() {
            Some([schema, table, column]) => {
                Some(ColumnName { schema: schema.clone(), table: table.clone(), column: column.clone() })
            }
            _ => {
                self.problems.at(
                    &text.span,
                    format!(
                        "{place}: {:?} is not a column; write schema.table.column, a name with capitals or signs in \
                         double quotes as in SQL",
                        text.value
                    ),
                );
                None
            }
        }
    }

    fn path_or(&self, given: Option<&At<&str>>, default: &str) -> PathBuf {
        self.path(given.map_or(default, |g| g.value))
    }

    /// An absolute path without `.` and `..`, so that "below" can be judged.
    fn path(&self, text: impl AsRef<Path>) -> PathBuf {
        let mut out = PathBuf::new();
        for part in self.base.join(text).components() {
            match part {
                Component::CurDir => {}
                Component::ParentDir => {
                    out.pop();
                }
                Component::Prefix(_) | Component::RootDir | Component::Normal(_) => out.push(part),
            }
        }
        out
    }

    /// What is hidden from agents is a directory of the gateway's own, and nothing that agents or people use is in it.
    fn own_directory(&mut self, key: &str, dir: &Path, policy: &Path, at: Option<&At<&str>>) {
        let shared = [
            "/", "/tmp", "/var/tmp", "/dev/shm", "/run", "/var/run", "/var", "/etc", "/home", "/root",
            "/usr", "/srv", "/opt",
        ];
        if shared.iter().any(|s| dir == Path::new(s)) || self.base.starts_with(dir) || policy.starts_with(dir)
        {
            let span = at.map_or(0..0, |a| a.span.clone());
            let what = format!(
                "[gateway]: `{key}` would take the directory {} for itself, and hide it from agents; give it one of its own",
                dir.display()
            );
            self.problems.at(&span, what);
        }
    }

    fn apart(&mut self, upper: &Path, upper_key: &str, lower: &Path, lower_key: &str, at: Option<&At<&str>>) {
        if lower.starts_with(upper) {
            let span = at.map_or(0..0, |a| a.span.clone());
            let what = format!(
                "[gateway]: `{lower_key}` ({}) is below `{upper_key}` ({}); a copy of one must not hold the other, so put it beside",
                lower.display(),
                upper.display()
            );
            self.problems.at(&span, what);
        }
    }
}

/// SQL identifiers joined by dots: `public.customers."SSN"`. Without quotes only what SQL would not fold.
fn identifiers(text: &str) -> Option<Vec<String>> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_identifier(quoted)?,
            None => {
                let (name, after) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
                (name.to_owned(), after)
            }
        };
        let plain =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'$' || !b.is_ascii();
        let starts_well = !name.starts_with(|c: char| c.is_ascii_digit() || c == '$');
        let fine = rest.starts_with('"') || (name.bytes().all(plain) && starts_well);
        if name.is_empty() || name.len() > 63 || name.contains('\0') || !fine {
            return None;
        }
        out.push(name);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Some(out),
            None => return None,
        }
    }
}

/// The identifier after an opening quote (`""` is one quote), and what follows the closing one.
fn quoted_identifier(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(next) => {
                name.push('"');
                rest = next;
            }
            None => return Some((name, after)),
        }
    }
}

/// `64KiB`, `8MiB`, `1GiB` or plain bytes.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim() {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale).filter(|n| *n > 0)
}

#[cfg(test)]
mod tests;
