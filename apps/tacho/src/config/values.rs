//! One value at a time: what it says, or what would be right.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use ledger::AuditorKey;
use seal::note::{Algorithm, VerifierKey};
use vocab::{Class, Durability, MaskKind};

use super::raw::{RawCredential, RawPair, UserRef};
use super::reader::At;
use super::resolve::Resolver;
use super::{AgentUser, ColumnName, Credential, FunctionName, Human, KeyPair, REEL_DEFAULT, Reel, Tripwire};

impl Resolver<'_> {
    pub(super) fn mask_kind(&mut self, place: &str, text: &At<&str>) -> Option<MaskKind> {
        let (word, argument) = text.value.split_once(':').map_or((text.value, None), |(w, a)| (w, Some(a)));
        let kind = match (word, argument) {
            ("null", None) => Some(MaskKind::Null),
            ("redact", None) => Some(MaskKind::Redact),
            ("row-token", None) => Some(MaskKind::RowToken),
            ("partial", Some(keep)) => {
                keep.parse().ok().filter(|k| (1..=8).contains(k)).map(|keep| MaskKind::Partial { keep })
            }
            ("bucket", Some(width)) => {
                width.parse().ok().filter(|w| *w > 0).map(|width| MaskKind::Bucket { width })
            }
            _ => None,
        };
        if kind.is_none() {
            let what = match text.value {
                "token" => "is planned, and not in this version",
                _ => "is not a kind of mask",
            };
            self.problems.at(
                &text.span,
                format!(
                    "{place}: as = {:?} {what}; it is null, redact, row-token, partial:N (N last characters stay, 1 to 8) \
                     or bucket:WIDTH",
                    text.value
                ),
            );
        }
        kind
    }

    pub(super) fn credential(&mut self, place: &str, raw: Option<RawCredential<'_>>) -> Option<Credential> {
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

    pub(super) fn pair(&mut self, raw: RawPair<'_>) -> Option<KeyPair> {
        Some(KeyPair { cert: self.path(raw.cert?.value), key: self.path(raw.key?.value) })
    }

    pub(super) fn kind(&mut self, place: &str, kind: &At<&str>) -> Option<&'static str> {
        let what = match kind.value {
            "postgres" => return Some("postgres"),
            "http" => return Some("http"),
            "llm" => return Some("llm"),
            "mcp" => return Some("mcp"),
            "ssh" => return Some("ssh"),
            "kubernetes" => return Some("kubernetes"),
            "mysql" | "redis" => "is planned, and not in this version",
            _ => "is not known",
        };
        let all = "this version has \"postgres\", \"http\", \"llm\", \"mcp\", \"ssh\" and \"kubernetes\"";
        self.problems.at(&kind.span, format!("{place}: kind {:?} {what}; {all}", kind.value));
        None
    }

    pub(super) fn class(&mut self, place: &str, text: &At<&str>) -> Option<Class> {
        let class = Class::new(text.value);
        if class.is_none() {
            self.problems.at(
                &text.span,
                format!(
                    "{place}: {:?} is not a class; a class is lower-case words joined by dots, as pii.ssn",
                    text.value
                ),
            );
        }
        class
    }

    /// A name that stands in resource paths, records and environment variables.
    pub(super) fn name(&mut self, place: &str, name: &At<&str>) -> Option<String> {
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

    pub(super) fn address(&mut self, what: &str, text: &At<&str>) -> Option<SocketAddr> {
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

    pub(super) fn console(&mut self, text: Option<&At<&str>>) -> Option<SocketAddr> {
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

    pub(super) fn durability(&mut self, text: Option<&At<&str>>) -> Durability {
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

    pub(super) fn auditor(&mut self, key: &At<&str>) -> Option<AuditorKey> {
        let parsed = AuditorKey::parse(key.value).ok();
        if parsed.is_none() {
            self.problems.at(
                &key.span,
                "[gateway]: not an auditor's public key; `tacho init` prints one, and it begins with tacho-auditor-",
            );
        }
        parsed
    }

    pub(super) fn witness_key(&mut self, key: &At<&str>) -> Option<VerifierKey> {
        let parsed =
            VerifierKey::parse(key.value).ok().filter(|key| key.algorithm() == Algorithm::Cosignature);
        if parsed.is_none() {
            self.problems.at(
                &key.span,
                "witness: not a witness's verifier key, NAME+HASH+BASE64; `tacho witness keygen` prints one",
            );
        }
        parsed
    }

    pub(super) fn origin(&mut self, text: Option<&At<&str>>) -> Option<String> {
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

    pub(super) fn at_most(
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

    pub(super) fn agent_user(&mut self, user: &At<UserRef<'_>>, humans: &[Human]) -> Option<AgentUser> {
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

    pub(super) fn reel(&mut self, place: &str, text: &At<&str>) -> Reel {
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

    pub(super) fn tripwire(&mut self, place: &str, word: &At<&str>) -> Tripwire {
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

    pub(super) fn function(&mut self, place: &str, text: &At<&str>) -> Option<FunctionName> {
        match identifiers(text.value).as_deref() {
            Some([schema, name]) => Some(FunctionName { schema: schema.clone(), name: name.clone() }),
            _ => {
                self.problems.at(
                    &text.span,
                    format!(
                        "{place}: vouch = {:?} is not a function; write schema.function, as public.slugify, or extension:NAME",
                        text.value
                    ),
                );
                None
            }
        }
    }

    pub(super) fn column(&mut self, place: &str, text: &At<&str>) -> Option<ColumnName> {
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

    pub(super) fn path_or(&self, given: Option<&At<&str>>, default: &str) -> PathBuf {
        self.path(given.map_or(default, |g| g.value))
    }

    /// An absolute path without `.` and `..`, so that "below" can be judged.
    pub(super) fn path(&self, text: impl AsRef<Path>) -> PathBuf {
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
    pub(super) fn own_directory(&mut self, key: &str, dir: &Path, policy: &Path, at: Option<&At<&str>>) {
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

    pub(super) fn apart(
        &mut self,
        upper: &Path,
        upper_key: &str,
        lower: &Path,
        lower_key: &str,
        at: Option<&At<&str>>,
    ) {
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
pub(super) fn identifiers(text: &str) -> Option<Vec<String>> {
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
