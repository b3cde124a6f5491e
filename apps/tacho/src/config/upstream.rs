//! The `upstream` URL of a PostgreSQL resource: `postgres://role@host:port/database?sslmode=verify-full`.
//!
//! A password in it is refused: the file is read by people and kept in repositories. What libpq would try
//! first and give up on (`sslmode=allow`, `prefer`) does not exist here: an upstream is proved, or the operator
//! spells out that it is not.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

/// Where the upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    Tcp(String),
    /// The directory of a Unix socket.
    Unix(PathBuf),
}

impl Host {
    /// True where bytes do not leave the machine.
    pub fn is_local(&self) -> bool {
        match self {
            Host::Unix(_) => true,
            Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        }
    }
}

/// How the upstream is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// No TLS. Only on the machine itself, or with `insecure = true`.
    Disable,
    /// A certificate of a known authority, whatever its name.
    VerifyCa,
    /// A certificate of a known authority with the upstream's name. The default.
    VerifyFull,
}

impl Tls {
    pub fn as_str(self) -> &'static str {
        match self {
            Tls::Disable => "disable",
            Tls::VerifyCa => "verify-ca",
            Tls::VerifyFull => "verify-full",
        }
    }
}

/// The parts of the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub host: Host,
    pub port: u16,
    pub role: String,
    pub database: String,
    pub tls: Tls,
    /// Authorities to trust instead of the system's.
    pub root_certificates: Option<PathBuf>,
}

impl Upstream {
    /// Reads a URL. Errors: every sentence that is wrong with it; none repeats what could be a password.
    pub fn parse(url: &str, insecure: bool) -> Result<Upstream, Vec<String>> {
        let Some(rest) = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")) else {
            return Err(vec!["it has to begin with postgres://".to_owned()]);
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (userinfo, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        let mut wrong = Vec::new();
        let role = role(userinfo, &mut wrong);
        let (host, port) = address_parts(address, &mut wrong);
        let database = decode(path)
            .filter(|name| !name.is_empty() && !name.contains(['/', '\0']))
            .unwrap_or_else(|| {
                wrong.push("it names no database; write postgres://role@host:port/DATABASE".to_owned());
                String::new()
            });
        let options = Options::parse(query, &mut wrong);
        let host = match (options.host, host) {
            (Some(directory), None) => Host::Unix(directory),
            (None, Some(host)) => host,
            (Some(_), Some(host)) => {
                wrong.push("it names a host before the database and another in ?host=; keep one".to_owned());
                host
            }
            (None, None) => {
                wrong.push("it names no host; write postgres://role@HOST:port/database".to_owned());
                Host::Tcp(String::new())
            }
        };
        let tls =
            options.tls.unwrap_or(if matches!(host, Host::Unix(_)) { Tls::Disable } else { Tls::VerifyFull });
        if tls == Tls::Disable && !host.is_local() && !insecure {
            wrong.push(
                "sslmode=disable would talk to another machine without proof of who it is; use sslmode=verify-full (with \
                 sslrootcert=FILE for your own authority), or add insecure = true to the resource to accept that"
                    .to_owned(),
            );
        }
        if tls == Tls::VerifyCa && options.root_certificates.is_none() {
            wrong.push(
                "sslmode=verify-ca needs sslrootcert=FILE: any public authority would do otherwise"
                    .to_owned(),
            );
        }
        if tls != Tls::Disable && matches!(host, Host::Unix(_)) {
            wrong.push("PostgreSQL has no TLS on a Unix socket; leave sslmode out".to_owned());
        }
        if wrong.is_empty() {
            Ok(Upstream { host, port, role, database, tls, root_certificates: options.root_certificates })
        } else {
            Err(wrong)
        }
    }

    /// `host:port`, or the socket's path; what `connect` records and `tacho check` show.
    pub fn address(&self) -> String {
        match &self.host {
            Host::Tcp(name) if name.contains(':') => format!("[{name}]:{}", self.port),
            Host::Tcp(name) => format!("{name}:{}", self.port),
            Host::Unix(directory) => directory.join(format!(".s.PGSQL.{}", self.port)).display().to_string(),
        }
    }
}

#[derive(Default)]
struct Options {
    host: Option<PathBuf>,
    tls: Option<Tls>,
    root_certificates: Option<PathBuf>,
}

impl Options {
    fn parse(query: &str, wrong: &mut Vec<String>) -> Options {
        let mut options = Options::default();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(value) = decode(value) else {
                wrong.push(format!("its option `{key}` is not percent-encoded UTF-8"));
                continue;
            };
            match key {
                "sslmode" => options.tls = sslmode(&value, wrong),
                "sslrootcert" => options.root_certificates = Some(value.into()),
                "host" if value.starts_with('/') => options.host = Some(value.into()),
                "host" => wrong.push("its option `host` has to be the directory of a Unix socket".to_owned()),
                "password" => wrong.push(PASSWORD.to_owned()),
                "sslcert" | "sslkey" => {
                    wrong.push("a client certificate goes into client_certificate = { cert = \"...\", key = \"...\" }".to_owned());
                }
                _ => wrong.push(format!(
                    "its option `{key}` is not known; the options are sslmode, sslrootcert and host"
                )),
            }
        }
        options
    }
}

const PASSWORD: &str = "it holds a password, which this file must not; put it into an environment variable or a file \
                        and write credential = { env = \"NAME\" } or { file = \"PATH\" }";

fn role(userinfo: &str, wrong: &mut Vec<String>) -> String {
    let (role, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    if !password.is_empty() {
        wrong.push(PASSWORD.to_owned());
    }
    match decode(role).filter(|r| !r.is_empty() && !r.contains('\0')) {
        Some(role) => role,
        None => {
            wrong.push("it names no role; write postgres://ROLE@host:port/database".to_owned());
            String::new()
        }
    }
}

fn address_parts(address: &str, wrong: &mut Vec<String>) -> (Option<Host>, u16) {
    let (host, port) = match address.strip_prefix('[') {
        Some(v6) => match v6.split_once(']') {
            Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
            None => (v6, ""),
        },
        None => address.split_once(':').unwrap_or((address, "")),
    };
    if address.starts_with('[') && host.parse::<Ipv6Addr>().is_err() {
        wrong.push("its host in brackets is not an IPv6 address".to_owned());
    }
    let port = match port {
        "" => 5432,
        digits => digits.parse().ok().filter(|p| *p != 0).unwrap_or_else(|| {
            wrong.push("its port is not a number from 1 to 65535".to_owned());
            0
        }),
    };
    if host.contains(',') {
        wrong.push("it names several hosts; a resource is one upstream".to_owned());
    }
    match decode(host) {
        Some(path) if path.starts_with('/') => (Some(Host::Unix(path.into())), port),
        Some(name) if name.is_empty() => (None, port),
        Some(name) if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b)) => {
            (Some(Host::Tcp(name.to_ascii_lowercase())), port)
        }
        Some(_) | None => {
            wrong.push("its host is not a name or an address".to_owned());
            (Some(Host::Tcp(String::new())), port)
        }
    }
}

fn sslmode(value: &str, wrong: &mut Vec<String>) -> Option<Tls> {
    match value {
        "disable" => Some(Tls::Disable),
        "require" => {
            wrong.push(
                "sslmode=require looks at nobody's certificate; use verify-full, or verify-ca with sslrootcert=FILE".to_owned(),
            );
            None
        }
        "verify-ca" => Some(Tls::VerifyCa),
        "verify-full" => Some(Tls::VerifyFull),
        "allow" | "prefer" => {
            wrong.push(format!("sslmode={value} falls back to plaintext when asked to; use verify-full"));
            None
        }
        _ => {
            wrong.push("its sslmode is not one of verify-full, verify-ca, disable".to_owned());
            None
        }
    }
}

/// Percent-decoding; `None` if it is malformed or not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (high, low) = (char::from(bytes.next()?).to_digit(16)?, char::from(bytes.next()?).to_digit(16)?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(url: &str) -> String {
        Upstream::parse(url, false).unwrap_err().join("; ")
    }

    #[test]
    fn a_remote_upstream_is_verified_in_full_unless_told_otherwise() {
        let url = Upstream::parse("postgres://app@db.internal/crm", false).unwrap();
        assert_eq!((url.tls, url.port, url.address().as_str()), (Tls::VerifyFull, 5432, "db.internal:5432"));
        assert!(wrong("postgres://app@db.internal/crm?sslmode=disable").contains("insecure = true"));
        assert!(wrong("postgres://app@db.internal/crm?sslmode=require").contains("verify-full"));
        assert!(wrong("postgres://app@db.internal/crm?sslmode=verify-ca").contains("sslrootcert"));
        assert!(wrong("postgres://app@db.internal/crm?sslmode=prefer").contains("verify-full"));
        assert_eq!(Upstream::parse("postgres://app@db/crm?sslmode=disable", true).unwrap().tls, Tls::Disable);
        assert_eq!(
            Upstream::parse("postgres://app@127.0.0.1:5433/crm?sslmode=disable", false).unwrap().port,
            5433
        );
        assert_eq!(
            Upstream::parse("postgres://app@[::1]:5433/crm?sslmode=disable", false).unwrap().address(),
            "[::1]:5433"
        );
    }

    #[test]
    fn a_unix_socket_is_a_directory_and_a_port() {
        for url in
            ["postgres://app@%2Fvar%2Frun%2Fpostgresql/crm", "postgres://app@/crm?host=/var/run/postgresql"]
        {
            let url = Upstream::parse(url, false).unwrap();
            assert_eq!(url.address(), "/var/run/postgresql/.s.PGSQL.5432");
            assert_eq!(url.tls, Tls::Disable);
        }
    }

    #[test]
    fn a_password_is_refused_and_never_repeated() {
        for url in ["postgres://app:hunter2@db/crm", "postgres://app@db/crm?password=hunter2"] {
            let message = wrong(url);
            assert!(message.contains("credential = "), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn every_error_of_a_url_is_reported_at_once() {
        let message = wrong("postgres://db:0?sslmode=maybe&x=1");
        for part in ["no role", "no database", "port", "sslmode", "`x`"] {
            assert!(message.contains(part), "{part} in {message}");
        }
        assert!(wrong("mysql://a@b/c").contains("postgres://"));
        assert!(wrong("postgres://a@b,c/d").contains("several hosts"));
        assert!(wrong("postgres://a@%zz/d").contains("host"));
    }
}
