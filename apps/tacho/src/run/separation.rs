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

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::config::{AgentUser, Config, Credential, Database, Host, Upstream, What};
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

/// Everything of the gateway's and its operators' that an agent must not see. Directories and files, there or not.
pub fn hidden(config: &Config) -> Vec<PathBuf> {
    let gateway = &config.gateway;
    let mut out = vec![gateway.data.clone(), gateway.keys.clone()];
    out.extend(gateway.control.parent().map(Path::to_owned));
    out.extend(files::config_home());
    for resource in &config.resources {
        if let Credential::File(path) = &resource.credential {
            out.push(path.clone());
        }
        out.extend(resource.client_certificate.iter().map(|pair| pair.key.clone()));
        out.extend(resource.tls.iter().map(|pair| pair.key.clone()));
        if let What::Postgres(Database { upstream: Upstream { host: Host::Unix(directory), .. }, .. }) =
            &resource.what
        {
            out.push(directory.clone());
        }
    }
    out.extend(WAYS_OUT.iter().map(PathBuf::from));
    out.push(PathBuf::from(format!("/run/user/{}", rustix::process::getuid().as_raw())));
    out
}

/// Sockets of daemons that run what they are told, as somebody else.
const WAYS_OUT: &[&str] = &[
    "/run/docker.sock",
    "/run/podman",
    "/run/containerd",
    "/run/dbus/system_bus_socket",
    "/run/systemd/private",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_must_not_see_is_complete() {
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
"#;
        let config = Config::parse(Path::new("/srv/tacho.toml"), text.as_bytes()).unwrap();
        let hidden = hidden(&config);
        for path in [
            "/srv/d",
            "/srv/tacho-keys",
            "/srv/tacho-run",
            "/srv/pw",
            "/srv/c.key",
            "/srv/s.key",
            "/var/run/postgresql",
        ] {
            assert!(hidden.contains(&PathBuf::from(path)), "{path} in {hidden:?}");
        }
    }
}
