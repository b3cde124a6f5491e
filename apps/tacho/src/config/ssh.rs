//! A host that is reached over SSH: its upstream URL, the keys that prove it, and how the gateway logs in there.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use relay::config::LoginShell;
use relay::ssh::{Pinned, read_pins};

use super::raw::RawResource;
use super::reader::At;
use super::resolve::Resolver;

/// `kind = "ssh"`.
#[derive(Clone, Debug)]
pub struct SshHost {
    /// `ssh://user@host:port`.
    pub host: String,
    pub port: u16,
    /// Whom the gateway logs in as, and so do clients.
    pub user: String,
    pub keys: HostKeys,
    /// The credential is a password; else a private key.
    pub password: bool,
    /// A certificate for that key.
    pub certificate: Option<PathBuf>,
    /// Who reads a command line there.
    pub login_shell: LoginShell,
}

/// Where the keys are of which the host has to prove one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKeys {
    /// Nowhere: `tacho check` shows what the host has, and nothing is connected to.
    None,
    Here(Pinned),
    /// In a file of OpenSSH's, read when the gateway starts.
    KnownHosts(PathBuf),
}

impl SshHost {
    /// As it was configured, for people and records.
    pub fn address(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("ssh://{}@{host}:{}", self.user, self.port)
    }
}

/// The parts of the URL. Errors: every sentence that is wrong with it; none repeats what could be a password.
fn parse(url: &str) -> Result<(String, String, u16), Vec<String>> {
    let Some(rest) = url.strip_prefix("ssh://") else {
        return Err(vec!["it has to be ssh://user@host:port".to_owned()]);
    };
    let mut wrong = Vec::new();
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (user, address) = rest.rsplit_once('@').unwrap_or(("", rest));
    if user.contains(':') {
        wrong.push(
            "it holds a password, which this file must not; put it into an environment variable or a file and write \
             credential = { env = \"NAME\", kind = \"password\" }"
                .to_owned(),
        );
    } else if !is_user(user) {
        wrong.push("it names no user to log in as; write ssh://user@host:port".to_owned());
    }
    let (host, port) = match address.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
        None => address.split_once(':').unwrap_or((address, "22")),
    };
    let port = if port.is_empty() { "22" } else { port };
    let number = port.parse().ok().filter(|port| *port != 0);
    if number.is_none() {
        wrong.push("its port is not a number from 1 to 65535".to_owned());
    }
    let name = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if host.is_empty() || host.starts_with('-') || !(name(host) || host.parse::<Ipv6Addr>().is_ok()) {
        wrong.push("its host is not a name or an address".to_owned());
    }
    match (wrong.is_empty(), number) {
        (true, Some(port)) => Ok((user.to_owned(), host.to_ascii_lowercase(), port)),
        (..) => Err(wrong),
    }
}

/// A login name that no program reads as more than that.
fn is_user(user: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    !user.is_empty() && user.len() <= 63 && !user.starts_with(['-', '.']) && user.bytes().all(plain)
}

impl Resolver<'_> {
    /// `password`: what the credential says that it is.
    pub(super) fn ssh(
        &mut self,
        place: &str,
        raw: RawResource<'_>,
        password: Option<&At<&str>>,
    ) -> Option<SshHost> {
        let upstream = raw.upstream.and_then(|url| match parse(url.value) {
            Ok(upstream) => Some(upstream),
            Err(wrong) => {
                wrong.iter().for_each(|w| {
                    self.problems.at(&url.span, format!("{place}: of the upstream's URL: {w}"));
                });
                None
            }
        });
        for mask in &raw.masks {
            let what =
                format!("{place}: what a command writes has no columns and no paths; detectors look at it");
            self.problems.at(&mask.span, what);
        }
        let certificate = raw.certificate.map(|file| self.path(file.value));
        let password = match password.map(|kind| kind.value) {
            None | Some("key") => false,
            Some("password") => true,
            Some(other) => {
                let span = password.map_or(0..0, |kind| kind.span.clone());
                let what = format!(
                    "{place}: kind = {other:?} is no kind of credential; it is key (the default) or password"
                );
                self.problems.at(&span, what);
                false
            }
        };
        let login_shell = match raw.login_shell.as_ref().map(|shell| shell.value) {
            None | Some("sh") => LoginShell::Sh,
            Some("bash") => LoginShell::Bash,
            Some("other") => LoginShell::Other,
            Some(other) => {
                let span = raw.login_shell.as_ref().map_or(0..0, |shell| shell.span.clone());
                let what = format!(
                    "{place}: login_shell = {other:?} is not known; it is sh (the default, dash too), bash or other"
                );
                self.problems.at(&span, what);
                LoginShell::Other
            }
        };
        let (user, host, port) = upstream?;
        let keys = match (&raw.host_key[..], raw.known_hosts) {
            ([], None) => HostKeys::None,
            ([], Some(file)) => HostKeys::KnownHosts(self.path(file.value)),
            ([first, ..], Some(_)) => {
                self.problems
                    .at(&first.span, format!("{place}: `host_key` and `known_hosts` say the same; keep one"));
                HostKeys::None
            }
            (keys @ [first, ..], None) => {
                let text: Vec<&str> = keys.iter().map(|key| key.value).collect();
                match read_pins(&text.join("\n"), &host, port) {
                    Ok(pinned) => HostKeys::Here(pinned),
                    Err(why) => {
                        self.problems.at(&first.span, format!("{place}: host_key: {why}"));
                        HostKeys::None
                    }
                }
            }
        };
        Some(SshHost { host, port, user, keys, password, certificate, login_shell })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_user_a_host_and_a_port() {
        let parts = |user: &str, host: &str, port| Ok((user.to_owned(), host.to_owned(), port));
        assert_eq!(parse("ssh://deploy@Build.internal"), parts("deploy", "build.internal", 22));
        assert_eq!(parse("ssh://a@10.0.0.7:2222/"), parts("a", "10.0.0.7", 2222));
        assert_eq!(parse("ssh://a@[::1]:2222"), parts("a", "::1", 2222));
    }

    #[test]
    fn every_error_of_a_url_is_reported_at_once_and_no_password() {
        let wrong = parse("ssh://a:hunter2@-x:0").unwrap_err().join("; ");
        for part in ["credential = ", "port", "host"] {
            assert!(wrong.contains(part), "{part} in {wrong}");
        }
        assert!(!wrong.contains("hunter2"), "{wrong}");
        for url in ["ssh://host", "https://a@host", "ssh://a@", "ssh://-oProxyCommand=x@h", "ssh://a@h/x"] {
            assert!(parse(url).is_err(), "{url}");
        }
    }
}
