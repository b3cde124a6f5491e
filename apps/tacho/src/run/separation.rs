//! How the agent is kept from the gateway's belongings: another uid, or namespaces, or not at all.
//!
//! | caller | separation | what keeps the agent out |
//! |---|---|---|
//! | root | [`Separation::User`] | another uid without groups, and new mount and pid namespaces |
//! | anybody | [`Separation::Namespaces`] | new user, mount and pid namespaces: what is the gateway's is mounted over, other processes are not there |
//! | inside a run | [`Separation::Inherited`] | what the outer run has |
//! | a kernel without user namespaces | [`Separation::None`] | nothing; the run is recorded `unconfined` |
//!
//! No agent has capabilities, gains privileges by exec, or has a descriptor of the gateway's.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use relay::config::Pem;

use super::guard::Guard;
use crate::config::{
    ACCOUNT, AgentUser, ClusterLogin, Config, Credential, Database, Host, HostKeys, KeysFrom,
    KubeconfigLogin, Resource, What,
};
use crate::fault::Failure;
use crate::files;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Separation {
    User(AgentUser),
    Namespaces,
    Inherited,
    None,
}

impl Separation {
    /// The strongest that this caller and kernel have.
    pub fn choose(config: &Config) -> Result<Separation, Failure> {
        if rustix::process::geteuid().is_root() {
            return Ok(Separation::User(agent_user(config)?));
        }
        Ok(if namespaces_work() { Separation::Namespaces } else { Separation::None })
    }

    /// Whether P6 and P8 may be claimed for the run.
    pub fn confines(&self) -> bool {
        matches!(self, Separation::User(_) | Separation::Namespaces)
    }

    /// The uid that the agent runs as.
    pub fn uid(&self) -> u32 {
        match self {
            Separation::User(user) => user.uid,
            Separation::Namespaces | Separation::Inherited | Separation::None => {
                rustix::process::getuid().as_raw()
            }
        }
    }

    /// What to say of a command that ended with `code`, where the cause may be that the agent is another user than the caller.
    pub fn remark(&self, command: &[OsString], code: u8) -> Option<String> {
        let Separation::User(user) = self else { return None };
        let out_of_reach = || command.iter().map(Path::new).find(|word| !may_read(user, word));
        let why = match (code, out_of_reach()) {
            (0, _) => return None,
            (_, Some(path)) => format!("which may not read {}", path.display()),
            (126 | 127, None) => "which perhaps may not start the command".to_owned(),
            (_, None) => return None,
        };
        Some(format!(
            "the command ran as user {} (uid {}), {why}; set agent_user in [gateway] to a user who may, or let that one",
            crate::users::name_of(user.uid),
            user.uid
        ))
    }

    pub fn describe(&self) -> String {
        match self {
            Separation::User(user) => {
                format!(
                    "as user {} (uid {}), in its own mount and pid namespaces",
                    crate::users::name_of(user.uid),
                    user.uid
                )
            }
            Separation::Namespaces => "as you, in its own user, mount and pid namespaces".to_owned(),
            Separation::Inherited => "inside the outer run".to_owned(),
            Separation::None => "UNCONFINED: as you, and able to read what you can read".to_owned(),
        }
    }
}

/// The configured user; else `nobody`, whom every system has.
pub fn agent_user(config: &Config) -> Result<AgentUser, Failure> {
    if let Some(user) = &config.gateway.agent_user {
        return Ok(user.clone());
    }
    crate::users::by_name("nobody").filter(|user| user.uid != 0).ok_or_else(|| {
        Failure::could_not(
            "there is no user `nobody` to run agents as; add a user and set agent_user in [gateway]",
        )
    })
}

/// Whether the modes let the user read a file and pass the directories above it. What is no file is no question.
fn may_read(user: &AgentUser, file: &Path) -> bool {
    let Ok(path) = file.canonicalize() else { return true };
    let may = |path: &Path, bit: u32| {
        let Ok(meta) = std::fs::metadata(path) else { return false };
        let shift = match (meta.uid() == user.uid, meta.gid() == user.gid) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        meta.mode() >> shift & bit != 0
    };
    may(&path, 4) && path.ancestors().skip(1).all(|directory| may(directory, 1))
}

/// Whether this user may make the namespaces that [`Separation::Namespaces`] needs.
pub fn namespaces_work() -> bool {
    let Ok(unshare) = tool("unshare") else { return false };
    let probe = Command::new(unshare)
        .args(NAMESPACES)
        .args(["--", "/bin/true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success())
}

/// What `unshare` is asked for where the caller is not root.
pub const NAMESPACES: &[&str] = &[
    "--user",
    "--map-current-user",
    "--keep-caps",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child=KILL",
    "--mount-proc",
];
/// And where it is.
pub const NAMESPACES_AS_ROOT: &[&str] = &["--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];

/// And in addition for a jail: nothing to talk over but what is brought into it.
pub const NAMESPACES_OF_A_JAIL: &[&str] = &["--net", "--ipc"];

/// A program of util-linux, from where the system keeps it and never from the caller's `PATH`.
pub fn tool(name: &str) -> Result<PathBuf, Failure> {
    let places = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
    places.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file()).ok_or_else(|| {
        Failure::could_not(format!(
            "there is no `{name}` on this machine, which separates agents; install util-linux"
        ))
    })
}

/// What an agent must not see of the gateway's and its operators', and what it must not change.
pub fn guarded(config: &Config) -> Guard {
    let gateway = &config.gateway;
    let uid = rustix::process::getuid().as_raw();
    let mut hide = vec![gateway.data.clone(), gateway.keys.clone()];
    hide.extend(gateway.control.parent().map(Path::to_owned));
    hide.extend(files::config_home());
    hide.extend(WAYS_OUT.iter().map(PathBuf::from));
    hide.extend([format!("/run/user/{uid}"), multiplexer(uid)].map(PathBuf::from));
    if let Some(home) = crate::users::home_of(uid) {
        hide.extend([".config/tacho", ".Xauthority"].map(|name| home.join(name)));
    }
    let file = std::path::absolute(&config.file).unwrap_or_else(|_| config.file.clone());
    let mut guard = Guard { hide, secrets: Vec::new(), keep: vec![file, gateway.policy.clone()] };
    config.resources.iter().for_each(|resource| of_resource(resource, &mut guard));
    for issuer in &config.issuers {
        match &issuer.keys {
            KeysFrom::File(path) => guard.keep.push(path.clone()),
            KeysFrom::Url(url) | KeysFrom::Discovery(url) => guard.keep.extend(url.root_certificates.clone()),
        }
    }
    guard.keep.extend(config.witnesses.iter().filter_map(|witness| witness.url.root_certificates.clone()));
    guard
}

fn of_resource(resource: &Resource, guard: &mut Guard) {
    match &resource.credential {
        Credential::File(path) => guard.secrets.push(path.clone()),
        // A name without a slash is looked for where the gateway looks for programs.
        Credential::Command(words) => guard.keep.extend(words.first().and_then(|word| program(word))),
        Credential::None | Credential::Env(_) => {}
    }
    for pair in resource.client_certificate.iter().chain(&resource.tls) {
        guard.secrets.push(pair.key.clone());
        guard.keep.push(pair.cert.clone());
    }
    match &resource.what {
        What::Postgres(Database { upstream, .. }) => {
            if let Host::Unix(directory) = &upstream.host {
                guard.hide.push(directory.clone());
            }
            guard.keep.extend(upstream.root_certificates.clone());
        }
        What::Http(service) => {
            guard.keep.extend(service.upstream.root_certificates.clone());
            service.login.iter().for_each(|login| of_cluster(login, guard));
        }
        What::Ssh(host) => {
            guard.keep.extend(host.certificate.clone());
            if let HostKeys::KnownHosts(path) = &host.keys {
                guard.keep.push(path.clone());
            }
        }
    }
}

/// A kubeconfig, and what it names. Where it cannot be read, no gateway starts with it, and it is hidden alone.
fn of_cluster(login: &ClusterLogin, guard: &mut Guard) {
    match login {
        ClusterLogin::Kubeconfig { file, .. } => guard.secrets.push(file.clone()),
        ClusterLogin::InCluster => guard.hide.push(PathBuf::from(ACCOUNT)),
    }
    let Ok(cluster) = login.read() else { return };
    let is_of_pod = matches!(login, ClusterLogin::InCluster);
    let file = |pem: Pem| match pem {
        Pem::File(path) => Some(path).filter(|_| !is_of_pod),
        Pem::Held { .. } => None,
    };
    guard.keep.extend(cluster.authority.and_then(file));
    match cluster.login {
        KubeconfigLogin::TokenFile(path) => guard.secrets.extend(Some(path).filter(|_| !is_of_pod)),
        KubeconfigLogin::Certificate { cert, key } => {
            guard.keep.extend(file(cert));
            guard.secrets.extend(file(key));
        }
        KubeconfigLogin::Exec(exec) => guard.keep.extend(program(&exec.program())),
        KubeconfigLogin::Token(_) => {}
    }
}

fn program(word: &str) -> Option<PathBuf> {
    std::path::absolute(word).ok().filter(|_| word.contains('/'))
}

/// Where tmux has its sockets: whoever reaches one runs programs outside of the run.
fn multiplexer(uid: u32) -> String {
    format!("/tmp/tmux-{uid}")
}

/// Makes what programs of the caller make when they are first started, so that it is there to be hidden when a run begins.
pub fn make_ready(separation: &Separation) {
    if *separation != Separation::Namespaces {
        return;
    }
    let (uid, directory) = (rustix::process::getuid().as_raw(), |path: &Path| files::make_private_dir(path));
    let has_home = |path: &Path| path.ancestors().nth(2).is_some_and(Path::is_dir);
    let own = files::config_home().filter(|path| has_home(path));
    for path in own.into_iter().chain([PathBuf::from(multiplexer(uid))]) {
        // Where it cannot be made, neither can they.
        let _cannot_come_later = directory(&path);
    }
}

/// Sockets of daemons that run what they are told, as somebody else.
const WAYS_OUT: &[&str] = &[
    "/run/docker.sock",
    "/run/podman",
    "/run/containerd",
    "/run/dbus/system_bus_socket",
    "/run/systemd/private",
    "/run/screen",
    "/tmp/.X11-unix",
    "/tmp/.ICE-unix",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_its_user_may_not_read_is_said_with_that_user() {
        use std::os::unix::fs::PermissionsExt;
        let dir = crate::files::scratch("remark");
        let file = dir.join("agent.py");
        std::fs::write(&file, "").unwrap();
        let set =
            |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        let nobody = Separation::User(AgentUser { name: None, uid: 65_533, gid: 65_533 });
        let remark = |code| nobody.remark(&["python".into(), file.clone().into()], code);
        set(&file, 0o644);
        set(&dir, 0o755);
        assert_eq!(remark(2), None, "it could be read, and ended as it did for a reason of its own");
        assert!(remark(127).unwrap().contains("perhaps may not start"));
        set(&dir, 0o700);
        let said = remark(2).unwrap();
        assert!(
            said.contains("uid 65533") && said.contains("agent.py") && said.contains("agent_user"),
            "{said}"
        );
        assert_eq!(remark(0), None);
        assert_eq!(Separation::Namespaces.remark(&[file.into()], 2), None);
    }

    #[test]
    fn what_an_agent_must_not_see_or_change_is_complete() {
        let text = r#"
[gateway]
data = "d"
[[resource]]
name = "crm"
kind = "postgres"
listen = "127.0.0.1:1"
upstream = "postgres://a@%2Fvar%2Frun%2Fpostgresql/x"
credential = { file = "pw" }
client_certificate = { cert = "c.crt", key = "c.key" }
tls = { cert = "s.crt", key = "s.key" }

[[resource]]
name = "cluster"
kind = "kubernetes"
listen = "127.0.0.1:2"
upstream = "kubeconfig:KUBECONFIG"

[[resource]]
name = "build"
kind = "ssh"
listen = "127.0.0.1:3"
upstream = "ssh://deploy@build"
known_hosts = "hosts"
credential = { command = ["./fetch", "key"] }
"#;
        let dir = crate::files::scratch("guarded");
        let kubeconfig = dir.join("kubeconfig");
        let cluster = r#"{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c",
"user":"u"}}],"clusters":[{"name":"c","cluster":{"server":"https://k:6443","certificate-authority":"ca.crt"}}],
"users":[{"name":"u","user":{"client-certificate":"u.crt","client-key":"u.key"}}]}"#;
        std::fs::write(&kubeconfig, cluster).unwrap();
        std::fs::write(dir.join("ca.crt"), "").unwrap();
        let text = text.replace("KUBECONFIG", &kubeconfig.display().to_string());
        let config = Config::parse(Path::new("/srv/tacho.toml"), text.as_bytes()).unwrap();
        let guard = guarded(&config);
        for path in [
            "/srv/d",
            "/srv/tacho-keys",
            "/srv/tacho-run",
            "/srv/pw",
            "/srv/c.key",
            "/srv/s.key",
            "/var/run/postgresql",
            &kubeconfig.display().to_string(),
            &dir.join("u.key").display().to_string(),
        ] {
            let path = PathBuf::from(path);
            assert!(guard.hide.contains(&path) || guard.secrets.contains(&path), "{path:?} in {guard:?}");
        }
        for path in [
            "/srv/tacho.toml",
            "/srv/policy",
            "/srv/c.crt",
            "/srv/s.crt",
            "/srv/hosts",
            &dir.join("ca.crt").display().to_string(),
            &dir.join("u.crt").display().to_string(),
        ] {
            assert!(guard.keep.contains(&PathBuf::from(path)), "{path} in {guard:?}");
        }
        assert!(guard.keep.iter().any(|path| path.ends_with("fetch")), "{guard:?}");
    }
}
