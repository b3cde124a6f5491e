//! The agent's environment: an allow-list, what the run brings, and what the user names. Nothing is inherited.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;

use console::seat::{MintedProxy, MintedResource};

use crate::fault::Failure;
use crate::mcp::shims;
use crate::run::home::{CA, KUBECONFIG, ROOTS};

/// Variables that say how a terminal and a locale look, and where programs are. None holds a secret.
const ALLOWED: &[&str] = &["PATH", "TERM", "COLORTERM", "NO_COLOR", "LANG", "LANGUAGE", "TZ", "SHELL"];

/// A program search path for callers that have none.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// What the run itself brings to the agent.
pub struct Brings<'a> {
    pub run: &'a str,
    pub token: &'a str,
    /// The API that nested runs are minted with.
    pub url: &'a str,
    pub resources: &'a [MintedResource],
    pub proxy: Option<&'a MintedProxy>,
    pub home: &'a Path,
    /// The login name of the user that the agent runs as.
    pub login: &'a str,
}

/// Builds the environment. `inherited` is the caller's; `named` is what `--env` asked for; `secret` are the names
/// that hold upstream credentials.
pub fn build(
    inherited: impl Iterator<Item = (OsString, OsString)>,
    named: &[String],
    secret: &[String],
    brings: &Brings<'_>,
) -> Result<BTreeMap<OsString, OsString>, Failure> {
    let inherited: BTreeMap<OsString, OsString> = inherited.collect();
    let mut out: BTreeMap<OsString, OsString> =
        inherited.iter().filter(|(name, _)| is_allowed(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
    out.entry("PATH".into()).or_insert_with(|| PATH_DEFAULT.into());
    let ours = ours(brings);
    for text in named {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (text.as_str(), inherited.get(OsStr::new(text)).cloned()),
        };
        may_be_named(name, secret, &ours)?;
        let Some(value) = value else {
            return Err(Failure::usage(format!(
                "--env {name}: there is no such variable in your environment; write --env {name}=VALUE"
            )));
        };
        out.insert(name.into(), value);
    }
    out.extend(ours);
    let shimmed = |r: &MintedResource| {
        r.kind == "ssh" || r.settings.get("stdio").is_some_and(|shims| !shims.is_empty())
    };
    if brings.resources.iter().any(shimmed) {
        let rest = out.get(OsStr::new("PATH")).cloned().unwrap_or_default();
        let folders = std::iter::once(brings.home.join(shims::FOLDER)).chain(std::env::split_paths(&rest));
        let path = std::env::join_paths(folders).map_err(|e| {
            Failure::could_not(format!("the run's home cannot stand in PATH ({e}); see TMPDIR and HOME"))
        })?;
        out.insert("PATH".into(), path);
    }
    Ok(out)
}

fn is_allowed(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| ALLOWED.contains(&name) || name.starts_with("LC_"))
}

/// Refuses names whose values belong to the gateway or its operator, and those that the run sets.
fn may_be_named(name: &str, secret: &[String], ours: &BTreeMap<OsString, OsString>) -> Result<(), Failure> {
    if name.is_empty() || name.contains('\0') {
        return Err(Failure::usage("--env takes NAME or NAME=VALUE"));
    }
    if secret.iter().any(|s| s == name) {
        return Err(Failure::usage(format!(
            "--env {name}: that is an upstream credential, which no agent gets; leave it out"
        )));
    }
    if name.starts_with("TACHO_") || ours.contains_key(OsStr::new(name)) {
        return Err(Failure::usage(format!(
            "--env {name}: the run sets it itself, or it is the gateway's; leave it out"
        )));
    }
    Ok(())
}

fn ours(brings: &Brings<'_>) -> BTreeMap<OsString, OsString> {
    let mut out = BTreeMap::new();
    let mut put = |name: &str, value: &str| out.insert(OsString::from(name), OsString::from(value));
    put("TACHO_RUN", brings.run);
    put("TACHO_RUN_TOKEN", brings.token);
    put("TACHO_URL", brings.url);
    put("USER", brings.login);
    put("LOGNAME", brings.login);
    if let Some(first) = brings.resources.iter().find(|r| r.kind == "postgres") {
        put("PGHOST", &first.host);
        put("PGPORT", &first.port.to_string());
        put("PGDATABASE", first.database.as_deref().unwrap_or_default());
        put("PGUSER", &first.user);
        put("PGPASSWORD", &first.password);
        put("PGSSLMODE", SSLMODE);
        put("DATABASE_URL", &database_url(first));
    }
    for resource in brings.resources.iter().filter(|r| r.kind == "postgres") {
        put(&format!("{}_DATABASE_URL", variable(&resource.name)), &database_url(resource));
    }
    // Of several models of one dialect its clients find the first.
    let services = brings.resources.iter().rev().filter(|r| !matches!(r.kind.as_str(), "postgres" | "ssh"));
    for resource in services {
        let dialect = resource.settings.get("dialect").map(String::as_str);
        for name in [Some(variable(&resource.name)), dialect.map(variable)].into_iter().flatten() {
            put(&format!("{name}_BASE_URL"), &base_url(resource));
            put(&format!("{name}_API_KEY"), &api_key(resource));
            put(&format!("{name}_URL"), &url(resource));
        }
    }
    for resource in brings.resources.iter().filter(|r| r.kind == "ssh") {
        let name = variable(&resource.name);
        put(&format!("{name}_SSH_HOST"), &resource.host);
        put(&format!("{name}_SSH_PORT"), &resource.port.to_string());
        put(&format!("{name}_SSH_USER"), resource.settings.get("login").map_or("", String::as_str));
        // For clients that know no keys.
        put(&format!("{name}_SSH_PASSWORD"), &api_key(resource));
    }
    if brings.resources.iter().any(|r| r.kind == "kubernetes") {
        put("KUBECONFIG", &brings.home.join(KUBECONFIG).display().to_string());
    }
    if brings.resources.iter().any(|r| r.kind == "ssh") {
        // Programs that start ssh by themselves, and may be started without the shims.
        let config = brings.home.join(".ssh/config");
        let command = format!("ssh -F '{}'", config.display().to_string().replace('\'', r"'\''"));
        put("GIT_SSH_COMMAND", &command);
        put("RSYNC_RSH", &command);
    }
    for (name, file) in [("PGPASSFILE", ".pgpass"), ("PGSERVICEFILE", ".pg_service.conf")] {
        out.insert(name.into(), brings.home.join(file).into_os_string());
    }
    out.insert("HOME".into(), brings.home.as_os_str().to_owned());
    out.extend(brings.proxy.into_iter().flat_map(|proxy| to_proxy(brings, proxy)));
    out
}

/// The proxy, what needs none, and whom to trust.
fn to_proxy(brings: &Brings<'_>, proxy: &MintedProxy) -> Vec<(OsString, OsString)> {
    let MintedProxy { host, port, user, password, .. } = proxy;
    let url = format!("http://{}:{}@{}:{port}", encode(user), encode(password), bracketed(host));
    let own = without_proxy(brings);
    let file = |name: &str| brings.home.join(name).into_os_string();
    [(PROXY, url.into()), (NO_PROXY, own.into()), (TRUSTS_ONE_FILE, file(ROOTS)), (TRUSTS_ALSO, file(CA))]
        .into_iter()
        .flat_map(|(names, value)| names.iter().map(move |name| (OsString::from(name), value.clone())))
        .collect()
}

/// The client's leg is this machine's loopback, and the password goes over it as SCRAM.
pub const SSLMODE: &str = "disable";

fn database_url(resource: &MintedResource) -> String {
    let host = bracketed(&resource.host);
    format!(
        "postgresql://{}:{}@{host}:{}/{}?sslmode={SSLMODE}",
        encode(&resource.user),
        encode(&resource.password),
        resource.port,
        encode(resource.database.as_deref().unwrap_or_default())
    )
}

/// Whether a resource is reached through the proxy alone.
pub fn is_proxied(resource: &MintedResource) -> bool {
    resource.settings.contains_key(PROXIED)
}

/// The setting that says so: the URL of such a resource.
const PROXIED: &str = "proxied";

/// Where clients look for a proxy.
const PROXY: &[&str] = &["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
const NO_PROXY: &[&str] = &["NO_PROXY", "no_proxy"];
/// Where clients look for all that they trust: the system's certificates have to be among it.
const TRUSTS_ONE_FILE: &[&str] = &[
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
];
/// And for what they trust beside that.
const TRUSTS_ALSO: &[&str] = &["NODE_EXTRA_CA_CERTS"];

/// What a key is where the gateway puts another in its place, whatever it is: clients start with none.
const ANY_KEY: &str = "replaced-by-the-gateway";

/// The addresses of the gateway's own listeners, which no proxy stands before. `localhost` is not among them, since an upstream
/// on this machine is called so.
fn without_proxy(brings: &Brings<'_>) -> String {
    let console = brings.url.strip_prefix("http://").and_then(|url| url.rsplit_once(':'));
    let listeners = brings.resources.iter().filter(|resource| !is_proxied(resource));
    let all = listeners.map(|resource| resource.host.as_str()).chain(console.map(|(host, _)| host));
    let hosts: BTreeSet<&str> = all.collect();
    hosts.into_iter().collect::<Vec<_>>().join(",")
}

/// Where an HTTP resource's listener is, or, behind the proxy, the resource itself.
pub fn base_url(resource: &MintedResource) -> String {
    if let Some(url) = resource.settings.get(PROXIED) {
        return url.clone();
    }
    format!("{}://{}:{}", scheme(resource), bracketed(&resource.host), resource.port)
}

/// The same with the run's credential in it, for clients that take one.
fn url(resource: &MintedResource) -> String {
    if is_proxied(resource) {
        return base_url(resource);
    }
    let (scheme, host) = (scheme(resource), bracketed(&resource.host));
    format!("{scheme}://{}:{}@{host}:{}", encode(&resource.user), encode(&resource.password), resource.port)
}

pub fn scheme(resource: &MintedResource) -> &str {
    resource.settings.get("scheme").map_or("http", String::as_str)
}

/// The run's credential as one word, for clients that send a bearer token or a key.
pub fn api_key(resource: &MintedResource) -> String {
    if is_proxied(resource) {
        return ANY_KEY.to_owned();
    }
    format!("{}.{}", resource.user, resource.password)
}

pub fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// A resource's name as the beginning of a variable's: `crm-eu` is `CRM_EU`.
fn variable(name: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let out: String = name.chars().map(upper).collect();
    if out.starts_with(|c: char| c.is_ascii_digit()) { format!("_{out}") } else { out }
}

fn encode(text: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources() -> Vec<MintedResource> {
        let body = |name: &str, port, database: &str| MintedResource {
            name: name.to_owned(),
            kind: "postgres".to_owned(),
            host: "127.0.0.1".to_owned(),
            port,
            user: "run_1".to_owned(),
            password: "pw".to_owned(),
            database: Some(database.to_owned()),
            certificate: None,
            settings: BTreeMap::new(),
        };
        let mut billing = body("billing", 6434, "");
        (billing.kind, billing.database) = ("http".to_owned(), None);
        vec![body("crm", 6432, "c r/m"), body("9-lives", 6433, "cats"), billing]
    }

    fn with(inherited: &[(&str, &str)], named: &[&str]) -> Result<BTreeMap<String, String>, Failure> {
        brought(&resources(), None, inherited, named)
    }

    fn brought(
        resources: &[MintedResource],
        proxy: Option<&MintedProxy>,
        inherited: &[(&str, &str)],
        named: &[&str],
    ) -> Result<BTreeMap<String, String>, Failure> {
        let brings = Brings {
            run: "0123",
            token: "tok",
            url: "http://127.0.0.1:7070",
            resources,
            proxy,
            home: Path::new("/home/x"),
            login: "agent",
        };
        let inherited = inherited.iter().map(|(n, v)| (OsString::from(n), OsString::from(v)));
        let named: Vec<String> = named.iter().map(|n| (*n).to_owned()).collect();
        let built = build(inherited, &named, &["CRM_PASSWORD".to_owned()], &brings)?;
        Ok(built.into_iter().map(|(n, v)| (n.into_string().unwrap(), v.into_string().unwrap())).collect())
    }

    const CALLER: &[(&str, &str)] = &[
        ("PATH", "/bin"),
        ("LC_ALL", "C.UTF-8"),
        ("CRM_PASSWORD", "s3cret"),
        ("TACHO_OPERATOR_TOKEN", "tacho-op-1"),
        ("AWS_SECRET_ACCESS_KEY", "s3cret"),
        ("SSH_AUTH_SOCK", "/tmp/agent"),
        ("LD_PRELOAD", "/tmp/x.so"),
        ("PGPASSWORD", "s3cret"),
        ("DATABASE_URL", "postgres://root:s3cret@prod/crm"),
        ("HOME", "/root"),
        ("MODEL", "gpt"),
    ];

    #[test]
    fn only_what_is_listed_or_brought_or_named_reaches_the_agent() {
        let env = with(CALLER, &["MODEL", "EXTRA=1"]).unwrap();
        let names: Vec<&str> = env.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "BILLING_API_KEY",
                "BILLING_BASE_URL",
                "BILLING_URL",
                "CRM_DATABASE_URL",
                "DATABASE_URL",
                "EXTRA",
                "HOME",
                "LC_ALL",
                "LOGNAME",
                "MODEL",
                "PATH",
                "PGDATABASE",
                "PGHOST",
                "PGPASSFILE",
                "PGPASSWORD",
                "PGPORT",
                "PGSERVICEFILE",
                "PGSSLMODE",
                "PGUSER",
                "TACHO_RUN",
                "TACHO_RUN_TOKEN",
                "TACHO_URL",
                "USER",
                "_9_LIVES_DATABASE_URL",
            ]
        );
        assert!(env.values().all(|v| !v.contains("s3cret") && !v.contains("tacho-op-")), "{env:?}");
        assert_eq!(env["DATABASE_URL"], "postgresql://run_1:pw@127.0.0.1:6432/c%20r%2Fm?sslmode=disable");
        assert_eq!(env["DATABASE_URL"], env["CRM_DATABASE_URL"]);
        assert_eq!(env["BILLING_BASE_URL"], "http://127.0.0.1:6434");
        assert_eq!(env["BILLING_API_KEY"], "run_1.pw");
        assert_eq!(env["BILLING_URL"], "http://run_1:pw@127.0.0.1:6434");
        assert_eq!(env["HOME"], "/home/x");
    }

    #[test]
    fn what_is_behind_the_proxy_is_found_by_its_own_url_and_the_listeners_without_one() {
        let mut all = resources();
        let mut model = all[2].clone();
        (model.name, model.kind, model.host, model.port) =
            ("gpt".to_owned(), "llm".to_owned(), "api.openai.com".to_owned(), 443);
        for (name, value) in [("dialect", "openai"), (PROXIED, "https://api.openai.com/v1")] {
            model.settings.insert(name.to_owned(), value.to_owned());
        }
        all.push(model);
        let proxy = MintedProxy {
            host: "127.0.0.1".to_owned(),
            port: 3128,
            user: "run_1".to_owned(),
            password: "p:w".to_owned(),
            certificate: String::new(),
        };
        let env = brought(&all, Some(&proxy), CALLER, &[]).unwrap();
        for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"] {
            assert_eq!(env[name], "http://run_1:p%3Aw@127.0.0.1:3128", "{name}");
        }
        assert_eq!((&*env["NO_PROXY"], &*env["no_proxy"]), ("127.0.0.1", "127.0.0.1"));
        assert_eq!(env["SSL_CERT_FILE"], "/home/x/.tacho-roots.pem");
        assert_eq!(env["NODE_EXTRA_CA_CERTS"], "/home/x/.tacho-ca.pem");
        for prefix in ["GPT", "OPENAI"] {
            assert_eq!(env[&format!("{prefix}_BASE_URL")], "https://api.openai.com/v1");
            assert_eq!(env[&format!("{prefix}_URL")], "https://api.openai.com/v1");
            // A client that knows no proxy would show it to somebody else.
            assert_eq!(env[&format!("{prefix}_API_KEY")], ANY_KEY);
        }
        assert_eq!(env["BILLING_BASE_URL"], "http://127.0.0.1:6434");
        assert!(brought(&all, Some(&proxy), CALLER, &["HTTPS_PROXY=http://other"]).is_err());
        assert!(with(CALLER, &["HTTPS_PROXY=http://other"]).is_ok(), "without a proxy it is anybody's");
    }

    #[test]
    fn a_credential_or_a_variable_of_the_run_cannot_be_named() {
        for name in
            ["CRM_PASSWORD", "CRM_PASSWORD=x", "TACHO_OPERATOR_TOKEN", "HOME", "PGPASSWORD=x", "DATABASE_URL"]
        {
            assert!(with(CALLER, &[name]).is_err(), "{name}");
        }
        assert!(with(CALLER, &["NOT_THERE"]).unwrap_err().lines[0].contains("NOT_THERE=VALUE"));
        assert!(with(CALLER, &["=x"]).is_err());
    }

    #[test]
    fn a_caller_without_a_path_gets_one() {
        assert_eq!(with(&[], &[]).unwrap()["PATH"], PATH_DEFAULT);
    }
}
