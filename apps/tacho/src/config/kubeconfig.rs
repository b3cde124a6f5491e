//! A kubeconfig: where a cluster is, how it is proved, and what the gateway logs in with.
//!
//! Spec: `Config` of kubeconfig v1 (kubernetes.io, "kubeconfig (v1)"), as client-go resolves it: paths are relative to the file's
//! folder, an exec plugin's with a slash too. It is YAML, read strictly ([`json::yaml`]). Of the chosen context, its cluster and its user
//! each field is known or refused; other contexts may hold what they will.
//!
//! **Refused**: a cluster that is not proved (`insecure-skip-tls-verify`, plain HTTP to another machine), a proxy (`proxy-url`),
//! `auth-provider`, user and password, impersonation (`as`), a login that is none or more than one, and several files in one
//! `KUBECONFIG`, which kubectl merges.
//!
//! What a secret is ends in a [`Secret`]; the file's bytes and the JSON that is made of them are wiped, and what the reader of YAML
//! copied on its way is not.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use json::{Kind, Object, Unreadable, Value};
use relay::config::{Pem, UpstreamTls};
use relay::vault::{Edition, Exec, Plugin, Secret, Vault};
use rustls::pki_types::ServerName;
use zeroize::Zeroizing;

use super::service::HttpUpstream;
use super::spell;

/// A kubeconfig, in bytes. A cluster with its certificates has about 6 KiB.
const KUBECONFIG_BYTES_MAX: u64 = 1 << 20;
/// Where a pod finds its service account.
pub const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The extension of a cluster that its plugin is given (client.authentication.k8s.io/v1, `Cluster`).
const PLUGIN_EXTENSION: &str = "client.authentication.k8s.io/exec";

/// A cluster and the gateway's login there.
#[derive(Debug)]
pub struct Cluster {
    pub server: HttpUpstream,
    /// What its certificate has to name, where that is not the host.
    pub tls_server_name: Option<String>,
    /// Who signs its certificates. `None`: whom the system trusts.
    pub authority: Option<Pem>,
    pub login: Login,
    /// Where the context works if nothing else is said.
    pub namespace: Option<String>,
}

#[derive(Debug)]
pub enum Login {
    Token(Secret),
    /// Read anew for each connection.
    TokenFile(PathBuf),
    Certificate {
        cert: Pem,
        key: Pem,
    },
    Exec(Exec),
}

impl Cluster {
    /// How it is proved.
    pub fn tls(&self) -> UpstreamTls {
        match self.server.https {
            true => {
                UpstreamTls::VerifyFull { roots: self.authority.clone(), name: self.tls_server_name.clone() }
            }
            false => UpstreamTls::Disable,
        }
    }
}

impl Login {
    /// What is shown in each request, and what in TLS.
    pub fn into_vault(self) -> (Vault, Option<(Pem, Pem)>) {
        match self {
            Login::Token(token) => (Vault::Held(token), None),
            Login::TokenFile(path) => (Vault::File(path), None),
            Login::Exec(exec) => (Vault::Exec(exec), None),
            Login::Certificate { cert, key } => (Vault::None, Some((cert, key))),
        }
    }
}

/// Reads one kubeconfig. `context`: instead of the current one. Errors: every sentence that is wrong with it; none repeats a secret.
pub fn read(path: &Path, context: Option<&str>) -> Result<Cluster, Vec<String>> {
    let shown = path.display();
    let text = text(path).map_err(|why| vec![why])?;
    let json =
        json::yaml::json_at(&text).map_err(|(why, line)| vec![format!("{shown}:{line}: {}", why.0)])?;
    let json = Zeroizing::new(json);
    let value = json::parse(&json).map_err(|why| vec![format!("{shown}: {}", why.0)])?;
    let mut reading = Reading { file: path, wrong: Vec::new() };
    let cluster = reading.config(&value, context);
    match (cluster, reading.wrong.is_empty()) {
        (Some(cluster), true) => Ok(cluster),
        _ => Err(reading.wrong),
    }
}

/// Of the pod that the gateway runs in: its service account. Errors: as [`read`].
pub fn in_cluster() -> Result<Cluster, Vec<String>> {
    let [host, port] = ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"].map(std::env::var_os);
    pod(host, port, Path::new(ACCOUNT))
}

fn pod(host: Option<OsString>, port: Option<OsString>, account: &Path) -> Result<Cluster, Vec<String>> {
    let mut wrong = Vec::new();
    let [host, port] =
        [host, port].map(|text| text.and_then(|text| text.into_string().ok()).unwrap_or_default());
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let server = HttpUpstream::parse(&format!("https://{host}:{port}"), false);
    if host.is_empty() || port.is_empty() || server.is_err() {
        wrong.push(
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT do not say where the API server is; run the gateway in a pod, \
             or name a kubeconfig"
                .to_owned(),
        );
    }
    let [token, authority] = ["token", "ca.crt"].map(|name| account.join(name));
    for file in [&token, &authority] {
        if !file.is_file() {
            wrong.push(format!(
                "{} is not there; let the pod have its service account (automountServiceAccountToken), or name a kubeconfig",
                file.display()
            ));
        }
    }
    let namespace =
        std::fs::read_to_string(account.join("namespace")).ok().map(|text| text.trim().to_owned());
    match server {
        Ok(server) if wrong.is_empty() => Ok(Cluster {
            server,
            tls_server_name: None,
            authority: Some(Pem::File(authority)),
            login: Login::TokenFile(token),
            namespace: namespace.filter(|namespace| is_label(namespace)),
        }),
        _ => Err(wrong),
    }
}

/// The file's bytes, which hold secrets.
fn text(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let shown = path.display();
    let cannot = |e: std::io::Error| match shown.to_string().contains(':') {
        true => format!(
            "{shown} names several files, which kubectl merges and this gateway does not: name one (`kubectl config view \
             --flatten` writes it)"
        ),
        false => format!("cannot read the kubeconfig {shown}: {e}"),
    };
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(KUBECONFIG_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    match bytes.len() as u64 > KUBECONFIG_BYTES_MAX {
        true => Err(format!("the kubeconfig {shown} is larger than {KUBECONFIG_BYTES_MAX} bytes")),
        false => Ok(bytes),
    }
}

/// A file that is read, and all that is wrong with it.
struct Reading<'f> {
    file: &'f Path,
    wrong: Vec<String>,
}

/// Fields that are refused where they say something, and why.
type Refused = &'static [(&'static str, &'static str)];

const OF_CLUSTER: Refused = &[
    (
        "insecure-skip-tls-verify",
        "would talk to whoever answers; take it away and name the cluster's authority in certificate-authority",
    ),
    ("proxy-url", "is a way that this gateway does not take; name a server that it reaches"),
];
const OF_USER: Refused = &[
    ("username", "is a login that API servers no longer have; use a token, a certificate or an exec plugin"),
    ("password", "is a login that API servers no longer have; use a token, a certificate or an exec plugin"),
    ("auth-provider", "is gone from client-go; use the exec plugin of the same provider"),
    ("as", IMPERSONATES),
    ("as-uid", IMPERSONATES),
    ("as-groups", IMPERSONATES),
    ("as-user-extra", IMPERSONATES),
];
const IMPERSONATES: &str =
    "is not taken: whom the gateway stands for is said where its resource is; take it out of the kubeconfig";

impl Reading<'_> {
    fn config(&mut self, value: &Value<'_>, context: Option<&str>) -> Option<Cluster> {
        let top = self.take("the file", value.object())?;
        const KNOWN: &[&str] = &[
            "apiVersion",
            "kind",
            "clusters",
            "users",
            "contexts",
            "current-context",
            "preferences",
            "extensions",
        ];
        self.known("the file", top, KNOWN, &[]);
        for (name, expected) in [("kind", "Config"), ("apiVersion", "v1")] {
            if self.text("the file", top, name).is_some_and(|text| text != expected) {
                self.problem(format!("its {name} is not {expected}; name a kubeconfig"));
            }
        }
        let current = self.text("the file", top, "current-context");
        let Some(name) = context.map(str::to_owned).or(current) else {
            self.problem("it has no current-context; name the context that is meant");
            return None;
        };
        let context = self.named(top, "contexts", "context", &name)?;
        let place = format!("context {name:?}");
        self.known(&place, context, &["cluster", "user", "namespace", "extensions"], &[]);
        let namespace = self.text(&place, context, "namespace");
        if namespace.as_ref().is_some_and(|namespace| !is_label(namespace)) {
            self.problem(format!("{place}: its namespace is none; write the name of one, or nothing"));
        }
        let [cluster, user] = ["cluster", "user"].map(|name| self.need(&place, context, name));
        let user = user.and_then(|user| self.named(top, "users", "user", &user).map(|object| (user, object)));
        let cluster = cluster.and_then(|name| {
            let object = self.named(top, "clusters", "cluster", &name)?;
            self.cluster(&format!("cluster {name:?}"), object)
        });
        let wants = cluster.as_ref().map(|(_, wants)| wants.clone());
        let login = user.and_then(|(user, object)| self.login(&format!("user {user:?}"), object, wants));
        let (Endpoint { server, tls_server_name, authority }, _) = cluster?;
        Some(Cluster { server, tls_server_name, authority, login: login?, namespace })
    }

    /// Where it is and how it is proved, and what a plugin is told of it, if it asks.
    fn cluster(&mut self, place: &str, object: Object<'_, '_>) -> Option<(Endpoint, Result<String, String>)> {
        const KNOWN: &[&str] = &[
            "server",
            "tls-server-name",
            "certificate-authority",
            "certificate-authority-data",
            // Of answers, and the gateway reads them either way.
            "disable-compression",
            "extensions",
        ];
        self.known(place, object, KNOWN, OF_CLUSTER);
        let url = self.need(place, object, "server");
        let server = url.as_ref().and_then(|url| match HttpUpstream::parse(url, false) {
            Ok(server) => Some(server),
            Err(wrong) => {
                wrong.iter().for_each(|why| self.problem(format!("{place}: of its server's URL: {why}")));
                None
            }
        });
        let tls_server_name = self.text(place, object, "tls-server-name");
        if tls_server_name.as_ref().is_some_and(|name| ServerName::try_from(name.as_str()).is_err()) {
            self.problem(format!(
                "{place}: its tls-server-name is no name that a certificate can have; write a host's"
            ));
        }
        let authority = self.pem(place, object, "certificate-authority");
        let told = self.told(place, object, url?.as_str(), tls_server_name.as_deref(), authority.as_ref());
        Some((Endpoint { server: server?, tls_server_name, authority: authority.map(|(pem, _)| pem) }, told))
    }

    /// `spec.cluster` of an `ExecCredential`. Errors: its authority cannot be read.
    fn told(
        &mut self,
        place: &str,
        object: Object<'_, '_>,
        url: &str,
        name: Option<&str>,
        authority: Option<&(Pem, Option<String>)>,
    ) -> Result<String, String> {
        let mut told = String::from("{\"server\":");
        json::string(&mut told, url);
        if let Some(name) = name {
            told.push_str(",\"tls-server-name\":");
            json::string(&mut told, name);
        }
        let data = match authority {
            None => None,
            Some((_, Some(data))) => Some(data.clone()),
            Some((Pem::File(path), None)) => {
                let bytes =
                    std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
                Some(STANDARD.encode(bytes))
            }
            Some((Pem::Held { .. }, None)) => None,
        };
        if let Some(data) = data {
            told.push_str(",\"certificate-authority-data\":");
            json::string(&mut told, &data);
        }
        if let Some(own) = self.extension(place, object) {
            told.push_str(",\"config\":");
            told.push_str(&own);
        }
        told.push('}');
        Ok(told)
    }

    /// What a cluster says to its plugin.
    fn extension(&mut self, place: &str, object: Object<'_, '_>) -> Option<String> {
        for item in self.take(place, object.items("extensions"))? {
            let item = self.take(place, item.object())?;
            if self.text(place, item, "name").as_deref() == Some(PLUGIN_EXTENSION) {
                return self.take(place, item.get("extension"))?.map(|value| value.raw.to_owned());
            }
        }
        None
    }

    fn login(
        &mut self,
        place: &str,
        user: Object<'_, '_>,
        cluster: Option<Result<String, String>>,
    ) -> Option<Login> {
        const KNOWN: &[&str] = &[
            "token",
            "tokenFile",
            "client-certificate",
            "client-certificate-data",
            "client-key",
            "client-key-data",
            "exec",
            "extensions",
        ];
        let before = self.wrong.len();
        self.known(place, user, KNOWN, OF_USER);
        let token = self.secret(place, user, "token").map(Login::Token);
        let file = self.text(place, user, "tokenFile").map(|path| Login::TokenFile(self.path(&path)));
        let certificate = self.certificate(place, user);
        let exec = self.take(place, user.object("exec")).flatten();
        let mut found: Vec<(&str, Option<Login>)> = Vec::new();
        found.extend(token.map(|token| ("token", Some(token))));
        found.extend(file.map(|file| ("tokenFile", Some(file))));
        found.extend(certificate.map(|certificate| ("client-certificate", certificate)));
        found.extend(exec.map(|exec| ("exec", self.exec(place, exec, cluster))));
        match (found.len(), found.pop()) {
            (1, Some((_, login))) => login,
            (0, _) | (_, None) => {
                if self.wrong.len() == before {
                    let how = "write token, tokenFile, client-certificate with client-key, or exec";
                    self.problem(format!("{place}: it has no login; {how}"));
                }
                None
            }
            (_, Some((last, _))) => {
                let names: Vec<&str> = found.iter().map(|(name, _)| *name).chain([last]).collect();
                self.problem(format!("{place}: it has several logins ({}); keep one", names.join(", ")));
                None
            }
        }
    }

    /// `None`: it has neither certificate nor key. Half of it, or one that is wrong, is a problem.
    fn certificate(&mut self, place: &str, user: Object<'_, '_>) -> Option<Option<Login>> {
        let wrong = self.wrong.len();
        let [cert, key] = ["client-certificate", "client-key"].map(|name| self.pem(place, user, name));
        match (cert, key) {
            (Some((cert, _)), Some((key, _))) => Some(Some(Login::Certificate { cert, key })),
            (None, None) if self.wrong.len() == wrong => None,
            _ if self.wrong.len() > wrong => Some(None),
            _ => {
                self.problem(format!("{place}: client-certificate and client-key go together; write both"));
                Some(None)
            }
        }
    }

    fn exec(
        &mut self,
        user: &str,
        exec: Object<'_, '_>,
        cluster: Option<Result<String, String>>,
    ) -> Option<Login> {
        let place = format!("{user}: exec");
        const KNOWN: &[&str] =
            &["command", "args", "env", "apiVersion", "installHint", "provideClusterInfo", "interactiveMode"];
        self.known(&place, exec, KNOWN, &[]);
        let version = self.need(&place, exec, "apiVersion");
        let edition = version.as_deref().and_then(Edition::parse);
        if version.is_some() && edition.is_none() {
            self.problem(format!(
                "{place}: its apiVersion is neither {} nor v1beta1; let the plugin speak one of them",
                Edition::V1.as_str()
            ));
        }
        match self.text(&place, exec, "interactiveMode").as_deref() {
            None | Some("Never" | "IfAvailable") => {}
            Some("Always") => self.problem(format!(
                "{place}: interactiveMode is Always, and the gateway has nobody at a terminal; use a login without one"
            )),
            Some(_) => self.problem(format!("{place}: interactiveMode is not one of Never, IfAvailable, Always")),
        }
        let cluster = match self.take(&place, exec.flag("provideClusterInfo"))? {
            false => None,
            true => cluster.and_then(|told| told.map_err(|why| self.problem(format!("{place}: {why}"))).ok()),
        };
        let program = self.need(&place, exec, "command").map(|command| match command.contains('/') {
            true => self.path(&command),
            false => PathBuf::from(command),
        });
        let arguments = self.take(&place, exec.items("args"))?;
        let arguments = arguments.iter().map(|word| Ok(word.text()?.to_owned())).collect();
        let arguments = self.take(&place, arguments);
        let environment = self.environment(&place, exec);
        let plugin = Plugin {
            program: program?,
            arguments: arguments?,
            environment: environment?,
            edition: edition?,
            cluster,
        };
        Some(Login::Exec(Exec::new(plugin)))
    }

    fn environment(&mut self, place: &str, exec: Object<'_, '_>) -> Option<Vec<(String, String)>> {
        let mut pairs = Vec::new();
        for item in self.take(place, exec.items("env"))? {
            let item = self.take(place, item.object())?;
            self.known(&format!("{place}: env"), item, &["name", "value"], &[]);
            let name = self.take(place, item.text_or_empty("name"))?;
            let value = self.take(place, item.text_or_empty("value"))?;
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                self.problem(format!("{place}: a name or value of its env is none that a program can have"));
                return None;
            }
            pairs.push((name.to_owned(), value.to_owned()));
        }
        Some(pairs)
    }

    /// A file, or what `NAME-data` holds, with its base64 where that may be told.
    fn pem(&mut self, place: &str, object: Object<'_, '_>, name: &str) -> Option<(Pem, Option<String>)> {
        let inline = format!("{name}-data");
        let data = self.take(place, object.text(&inline)).flatten().filter(|data| !data.is_empty());
        match (self.text(place, object, name), data) {
            (None, None) => None,
            (Some(file), None) => Some((Pem::File(self.path(&file)), None)),
            (None, Some(data)) => {
                let told = (name == "certificate-authority").then(|| data.replace(['\n', '\r'], ""));
                let of = format!("{inline} of {place} in {}", self.file.display());
                let held = |bytes| Pem::Held { of, bytes: Arc::new(Secret::new(bytes)) };
                let read = decoded(data).map(|bytes| (held(bytes), told));
                if read.is_none() {
                    self.problem(format!(
                        "{place}: its {inline} is no PEM in base64; write it anew, or name a file"
                    ));
                }
                read
            }
            (Some(_), Some(_)) => {
                self.problem(format!("{place}: it has {name} and {inline}; keep one"));
                None
            }
        }
    }

    /// A token, which has to fit into a header.
    fn secret(&mut self, place: &str, object: Object<'_, '_>, name: &str) -> Option<Secret> {
        let text = self.take(place, object.text(name)).flatten().filter(|text| !text.is_empty())?;
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.problem(format!("{place}: its {name} is none that a header can hold; write it anew"));
            return None;
        }
        Some(Secret::new(text.as_bytes().to_vec()))
    }

    /// The entry of a list that has this name, and what stands in it under `member`.
    fn named<'v, 'a>(
        &mut self,
        top: Object<'v, 'a>,
        list: &str,
        member: &str,
        name: &str,
    ) -> Option<Object<'v, 'a>> {
        let (mut names, mut found) = (Vec::new(), Vec::new());
        for item in self.take(list, top.items(list))? {
            let item = self.take(list, item.object())?;
            let own = self.take(list, item.text_or_empty("name"))?;
            names.push(format!("{own:?}"));
            if own == name {
                found.push(item);
            }
        }
        let [entry] = found[..] else {
            self.problem(match found.len() {
                0 if names.is_empty() => format!("it has no {list}"),
                0 => format!("it has no {member} {name:?}; its {list} are {}", names.join(", ")),
                _ => format!("it has {member} {name:?} twice; keep one"),
            });
            return None;
        };
        let place = format!("{member} {name:?}");
        self.known(&place, entry, &["name", member], &[]);
        let inside = self.take(&place, entry.object(member))?;
        if inside.is_none() {
            self.problem(format!("{place} is empty; write what it is, or name another context"));
        }
        inside
    }

    /// Fields that are none, and fields that are refused.
    fn known(&mut self, place: &str, object: Object<'_, '_>, known: &[&str], refused: Refused) {
        for (name, value) in object.members() {
            if let Some((_, why)) = refused.iter().find(|(refused, _)| refused == name) {
                if says_something(value) {
                    self.problem(format!("{place}: {name} {why}"));
                }
            } else if !known.contains(&name.as_ref()) {
                let meant = spell::nearest(name, known.iter().copied());
                let hint =
                    meant.map_or_else(|| "take it away".to_owned(), |meant| format!("did you mean {meant}?"));
                self.problem(format!("{place}: {name:?} is no field that is known here; {hint}"));
            }
        }
    }

    /// A text that says something. Not for secrets: it is copied.
    fn text(&mut self, place: &str, object: Object<'_, '_>, name: &str) -> Option<String> {
        let text =
            object.text(name).map_err(|why| self.problem(format!("{place}: {name}: {}", why.0))).ok()??;
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn need(&mut self, place: &str, object: Object<'_, '_>, name: &str) -> Option<String> {
        let before = self.wrong.len();
        let text = self.text(place, object, name);
        if text.is_none() && self.wrong.len() == before {
            self.problem(format!("{place}: it has no {name}; write one"));
        }
        text
    }

    fn take<T>(&mut self, place: &str, read: Result<T, Unreadable>) -> Option<T> {
        read.map_err(|why| self.problem(format!("{place}: {}", why.0))).ok()
    }

    /// Relative to the folder of the kubeconfig.
    fn path(&self, text: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(text)
    }

    fn problem(&mut self, what: impl std::fmt::Display) {
        self.wrong.push(format!("{}: {what}", self.file.display()));
    }
}

/// Where a cluster is, and how it is proved.
struct Endpoint {
    server: HttpUpstream,
    tls_server_name: Option<String>,
    authority: Option<Pem>,
}

/// Not the value that is there if nothing is said.
fn says_something(value: &Value<'_>) -> bool {
    match &value.kind {
        Kind::Null | Kind::Bool(false) => false,
        Kind::Text(text) => !text.is_empty(),
        Kind::Array(items) => !items.is_empty(),
        Kind::Object(members) => !members.is_empty(),
        Kind::Bool(true) | Kind::Number => true,
    }
}

/// A DNS label (RFC 1123), as namespaces are.
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// PEM out of base64, whose lines may be broken. `None`: it is neither.
fn decoded(data: &str) -> Option<Vec<u8>> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let data = Zeroizing::new(data.replace(['\n', '\r'], ""));
    let bytes = STANDARD.decode(data.as_bytes()).ok()?;
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN).then_some(bytes)
}

#[cfg(test)]
mod tests;
