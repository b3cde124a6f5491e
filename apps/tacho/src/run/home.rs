//! The files of a run's own home: what clients read that are started without an environment.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use console::seat::{MintedProxy, MintedResource};

use crate::mcp::{shims, ticket};
use crate::run::environment::{SSLMODE, api_key, base_url};

/// A file of the home, by its name in it, perhaps in a folder of its own. Only the run's user may read it.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct HomeFile {
    pub name: String,
    pub text: String,
    /// It may be started, too.
    #[serde(default)]
    pub program: bool,
    /// The system's own certificates stand before it.
    #[serde(default)]
    pub after_system_roots: bool,
}

impl HomeFile {
    fn new(name: &str, text: String) -> HomeFile {
        HomeFile { name: name.to_owned(), text, program: false, after_system_roots: false }
    }
}

/// The certificate of the proxy's authority, for clients that trust it beside what they trust already.
pub const CA: &str = ".tacho-ca.pem";
/// The system's certificates with that one, for clients that trust what one file says.
pub const ROOTS: &str = ".tacho-roots.pem";

/// `.pgpass` and `.pg_service.conf` for PostgreSQL, what `tacho mcp` reads, and what the proxy's clients trust; `tacho` is this
/// program's own file; `again`: a run is carried out again. No `.netrc` for HTTP: it names hosts without ports, so that clients would show the run's credential to
/// whoever listens on this machine.
pub fn files(
    resources: &[MintedResource],
    proxy: Option<&MintedProxy>,
    tacho: &Path,
    home: &Path,
    again: bool,
) -> Vec<HomeFile> {
    let postgres: Vec<&MintedResource> = resources.iter().filter(|r| r.kind == "postgres").collect();
    let pgpass: String = postgres
        .iter()
        .map(|r| format!("{}:{}:*:{}:{}\n", escape(&r.host), r.port, escape(&r.user), escape(&r.password)))
        .collect();
    let services: String = postgres
        .iter()
        .map(|r| {
            format!(
                "[{}]\nhost={}\nport={}\ndbname={}\nuser={}\nsslmode={SSLMODE}\n",
                r.name,
                r.host,
                r.port,
                r.database.as_deref().unwrap_or_default(),
                r.user
            )
        })
        .collect();
    let mut files = vec![HomeFile::new(".pgpass", pgpass), HomeFile::new(".pg_service.conf", services)];
    if let Some(proxy) = proxy {
        files.push(HomeFile::new(CA, proxy.certificate.clone()));
        let roots = HomeFile::new(ROOTS, proxy.certificate.clone());
        files.push(HomeFile { after_system_roots: true, ..roots });
    }
    if resources.iter().any(|r| r.kind == "mcp") {
        files.push(HomeFile::new(ticket::FILE, ticket::text(resources, again)));
    }
    files.extend(over_ssh(resources, home));
    files.extend(kubeconfig(resources));
    let shims = shims::programs(resources, tacho).into_iter();
    files.extend(shims.map(|(program, text)| HomeFile {
        program: true,
        ..HomeFile::new(&format!("{}/{program}", shims::FOLDER), text)
    }));
    files
}

/// Where clients of Kubernetes find their clusters.
pub const KUBECONFIG: &str = ".kube/config";

/// A cluster, a user and a context for each: all of a resource's name; the first is the current one. JSON is YAML.
fn kubeconfig(resources: &[MintedResource]) -> Option<HomeFile> {
    use serde_json::json;
    let clusters: Vec<&MintedResource> = resources.iter().filter(|r| r.kind == "kubernetes").collect();
    let first = clusters.first()?;
    let cluster = |r: &&MintedResource| {
        let authority = STANDARD.encode(r.certificate.as_deref().unwrap_or_default());
        json!({ "name": r.name, "cluster": { "server": base_url(r), "certificate-authority-data": authority } })
    };
    let user = |r: &&MintedResource| json!({ "name": r.name, "user": { "token": api_key(r) } });
    let context = |r: &&MintedResource| {
        let mut context = json!({ "cluster": r.name, "user": r.name });
        if let Some(namespace) = r.settings.get("namespace") {
            context["namespace"] = json!(namespace);
        }
        json!({ "name": r.name, "context": context })
    };
    let all = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": first.name,
        "clusters": clusters.iter().map(cluster).collect::<Vec<_>>(),
        "users": clusters.iter().map(user).collect::<Vec<_>>(),
        "contexts": clusters.iter().map(context).collect::<Vec<_>>(),
    });
    Some(HomeFile::new(KUBECONFIG, format!("{all:#}\n")))
}

/// Where a run's own key for SSH is: by the name that clients look for without being told.
const SSH_KEY: &str = ".ssh/id_ed25519";

/// What clients of SSH read: the run's key, the gateway's, and which listener stands for which host. Scripts find it by the name of the
/// resource, and by that of the host itself.
fn over_ssh(resources: &[MintedResource], home: &Path) -> Vec<HomeFile> {
    let hosts: Vec<&MintedResource> = resources.iter().filter(|r| r.kind == "ssh").collect();
    let Some(first) = hosts.first() else { return Vec::new() };
    let said =
        |resource: &MintedResource, name: &str| resource.settings.get(name).cloned().unwrap_or_default();
    let file = |name: &str| format!("\"{}\"", home.join(name).display());
    let mut names = std::collections::BTreeSet::new();
    let config: String = hosts
        .iter()
        .map(|r| {
            let upstream = said(r, "upstream_host");
            // Of two resources of one host, the first is found by its name.
            let other = Some(upstream).filter(|name| *name != r.name && names.insert(name.clone()));
            let own: Vec<String> = std::iter::once(r.name.clone()).chain(other).collect();
            format!(
                "Host {}\n  HostName {}\n  Port {}\n  User {}\n  IdentityFile {}\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
                 UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n  CheckHostIP no\n  \
                 UpdateHostKeys no\n  PreferredAuthentications publickey\n  ForwardAgent no\n  ForwardX11 no\n\n",
                own.join(" "),
                r.host,
                r.port,
                said(r, "login"),
                file(SSH_KEY),
                file(".ssh/known_hosts"),
            )
        })
        .collect();
    let known: String =
        hosts.iter().map(|r| format!("[{}]:{} {}\n", r.host, r.port, said(r, "host_key"))).collect();
    vec![
        HomeFile::new(".ssh/config", config),
        HomeFile::new(".ssh/known_hosts", known),
        HomeFile::new(SSH_KEY, said(first, "key")),
    ]
}

/// `.pgpass` escapes `:` and `\` with a backslash.
fn escape(field: &str) -> String {
    field.replace('\\', "\\\\").replace(':', "\\:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_in_a_field_of_pgpass_is_escaped() {
        let resource = MintedResource {
            name: "crm".to_owned(),
            kind: "postgres".to_owned(),
            host: "::1".to_owned(),
            port: 6432,
            user: "run_1".to_owned(),
            password: "pw".to_owned(),
            database: Some("crm".to_owned()),
            certificate: None,
            settings: std::collections::BTreeMap::new(),
        };
        let files = files(&[resource], None, Path::new("/bin/tacho"), Path::new("/home/x"), false);
        assert_eq!(files[0].text, "\\:\\:1:6432:*:run_1:pw\n");
        assert!(files[1].text.starts_with("[crm]\nhost=::1\nport=6432\ndbname=crm\nuser=run_1\n"));
        assert!(!files[1].text.contains("pw"));
    }

    #[test]
    fn a_host_is_found_by_its_own_name_and_the_resources() {
        let host = |name: &str, port, upstream: &str| MintedResource {
            name: name.to_owned(),
            kind: "ssh".to_owned(),
            host: "127.0.0.1".to_owned(),
            port,
            user: "run_1".to_owned(),
            password: "pw".to_owned(),
            database: None,
            certificate: None,
            settings: [
                ("login", "deploy"),
                ("key", "the key"),
                ("host_key", "ssh-ed25519 AAAA"),
                ("upstream_host", upstream),
                ("upstream_port", "22"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        };
        let hosts = [host("build", 6022, "build.internal"), host("again", 6023, "build.internal")];
        let files = over_ssh(&hosts, Path::new("/home/x"));
        let text =
            |name: &str| files.iter().find(|file| file.name == name).map(|file| file.text.as_str()).unwrap();
        let config = text(".ssh/config");
        assert!(
            config.contains("Host build build.internal\n  HostName 127.0.0.1\n  Port 6022\n  User deploy\n")
        );
        assert!(
            config.contains("Host again\n  HostName 127.0.0.1\n  Port 6023\n"),
            "the first has the host's name"
        );
        assert!(
            config.contains("IdentityFile \"/home/x/.ssh/id_ed25519\"")
                && config.contains("StrictHostKeyChecking yes")
        );
        assert!(!config.contains("the key"));
        assert_eq!(
            text(".ssh/known_hosts"),
            "[127.0.0.1]:6022 ssh-ed25519 AAAA\n[127.0.0.1]:6023 ssh-ed25519 AAAA\n"
        );
        assert_eq!(text(".ssh/id_ed25519"), "the key");
        assert!(over_ssh(&[], Path::new("/home/x")).is_empty());
    }
}
