//! A node: Debian's containerd and runc, and the kubelet that was built with the API server. Pods run on the machine's own
//! network, in containers of [`IMAGE`].
//!
//! All of it is in namespaces of its own. In that of mounts, `/run`, `/var/lib` and `/var/log` are folders of the node's
//! directory, so that fixed places (`/var/log/pods`, `/run/containerd`) are no other node's and are gone with it; the mounts of
//! containers are seen by nobody else. In that of processes, the end of the first one is the end of all, whatever became of
//! their parents. What is left to remove are its cgroups, below one name; the shell that started it all does so,
//! when it is told to stop and when the process that started it dies.
//!
//! It takes root, and a kernel that lets root make namespaces and cgroups; else [`Trouble::Missing`] says what it refused.
//! Measured on cgroup v1; on v2 nobody has tried it.

use super::image::{self, IMAGE};
use super::{ADMIN, KUBELET, Kubernetes, NODE, config, kubectl};
use crate::limits::{CLIENT_SECONDS_MAX, START_SECONDS_MAX};
use crate::place::{Scratch, free_port};
use crate::process::{Daemon, Finished, Trouble, describe, finish, tail};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Its name in the cluster. The API server reaches the kubelet by it.
pub const NAME: &str = "localhost";

/// Between two looks at whether it is ready, each of which starts a client.
const LOOK: Duration = Duration::from_millis(200);
/// A pod of an image that is there runs within two seconds.
const POD_SECONDS_MAX: Duration = Duration::from_secs(90);
const _: () = assert!(POD_SECONDS_MAX.as_secs() < CLIENT_SECONDS_MAX.as_secs());

/// What the kubelet wants the kernel to be set to, and would set for the whole machine: it finds it set.
const SETTINGS: [(&str, &str); 6] = [
    ("vm.overcommit_memory", "1"),
    ("vm.panic_on_oom", "0"),
    ("kernel.panic", "10"),
    ("kernel.panic_on_oops", "1"),
    ("kernel.keys.root_maxkeys", "1000000"),
    ("kernel.keys.root_maxbytes", "25000000"),
];

/// A running node. Stopped and removed when dropped, with all that ran on it; the cluster still lists it.
#[must_use]
#[derive(Debug)]
pub struct Node {
    // Dropped first: it removes the cgroups.
    daemon: Daemon,
    scratch: Scratch,
    /// The cluster's directory, in which its clients find what they need.
    cluster: PathBuf,
}

impl Node {
    /// Starts it, and waits until the cluster calls it ready: some seconds.
    pub fn start(cluster: &Kubernetes) -> Result<Node, Trouble> {
        let wrap = |why| Trouble::Start { what: "a node of Kubernetes".to_owned(), why };
        let scratch = Scratch::new("node").map_err(wrap)?;
        let dir = scratch.path();
        let group = dir.file_name().unwrap_or_default().to_os_string();
        let mut command = Command::new("/bin/sh");
        command.arg(dir.join("node.sh")).arg(dir).arg(&group).arg(cluster.programs.join(KUBELET));
        command.args(may_start(Path::new(&group))?);
        // The kubelet would log in to clouds with what a person has in the environment, or with what a machine of theirs is given.
        command.env_clear().env("PATH", path()).env("AWS_EC2_METADATA_DISABLED", "true");
        prepare(dir, &group.to_string_lossy(), cluster)?;
        let image = image::write(&dir.join("image"))?;
        let mut daemon = Daemon::start(&mut command, &dir.join("log"), "TERM")?;
        daemon.wait_ready(START_SECONDS_MAX, || ctr(dir, &["version"]).is_ok())?;
        ctr(dir, &["--namespace", "k8s.io", "images", "import", &image.to_string_lossy()])?;
        let node = Node { daemon, cluster: cluster.scratch.path().to_path_buf(), scratch };
        node.until_ready()
    }

    /// Runs a pod, and waits until all of its containers do. Its namespace has to be there.
    pub fn run(&self, pod: &Pod) -> Result<(), Trouble> {
        self.ask(&["create", "-f", "-"], &pod.manifest())?;
        let (name, limit) =
            (format!("pod/{}", pod.name), format!("--timeout={}s", POD_SECONDS_MAX.as_secs()));
        self.ask(&["--namespace", &pod.namespace, "wait", "--for=condition=Ready", &name, &limit], "")?;
        Ok(())
    }

    /// The kubelet's own account of what it did.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir().join("kubelet.log")).unwrap_or_default()
    }

    /// What is its own: its name is that of its cgroups, and all of its processes and mounts are named after it.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    fn until_ready(mut self) -> Result<Node, Trouble> {
        let cluster = self.cluster.clone();
        let ready = || {
            thread::sleep(LOOK);
            is_ready(&cluster)
        };
        match self.daemon.wait_ready(START_SECONDS_MAX, ready) {
            Ok(()) => Ok(self),
            Err(Trouble::Late { what, limit, .. }) => {
                Err(Trouble::Late { what, limit, said: tail(&self.log()) })
            }
            Err(other) => Err(other),
        }
    }

    /// As who may do everything. [`Trouble::Died`], with the kubelet's last words, if the client fails.
    fn ask(&self, words: &[&str], input: &str) -> Result<Finished, Trouble> {
        let mut command = kubectl(&self.cluster, ADMIN, words);
        let done = finish(&mut command, input.as_bytes(), CLIENT_SECONDS_MAX)?;
        if done.status.success() {
            return Ok(done);
        }
        let said = format!("{}\n--- kubelet\n{}", done.all(), tail(&self.log()));
        Err(Trouble::Died { what: describe(&command), said })
    }
}

/// A pod to run: on the machine's own network, never started again, and killed at once when it is deleted.
#[derive(Debug, Clone)]
pub struct Pod {
    name: String,
    namespace: String,
    /// Name and command.
    containers: Vec<(String, Vec<String>)>,
    stdin: bool,
}

impl Pod {
    /// Of one container, named `box`, in the namespace `default`.
    pub fn new(name: &str, command: &[&str]) -> Pod {
        let pod = Pod {
            name: name.to_owned(),
            namespace: "default".to_owned(),
            containers: Vec::new(),
            stdin: false,
        };
        pod.beside("box", command)
    }

    /// With another container.
    pub fn beside(mut self, name: &str, command: &[&str]) -> Pod {
        self.containers.push((name.to_owned(), command.iter().map(|&word| word.to_owned()).collect()));
        self
    }

    pub fn namespace(mut self, name: &str) -> Pod {
        name.clone_into(&mut self.namespace);
        self
    }

    /// Its containers keep an input open, which `kubectl attach -i` is given.
    pub fn with_stdin(mut self) -> Pod {
        self.stdin = true;
        self
    }

    fn manifest(&self) -> String {
        let container = |(name, command): &(String, Vec<String>)| {
            let command: Vec<String> = command.iter().map(|word| quoted(word)).collect();
            format!(
                r#"{{"name":{},"image":"{IMAGE}","imagePullPolicy":"Never","command":[{}],"stdin":{}}}"#,
                quoted(name),
                command.join(","),
                self.stdin
            )
        };
        let containers: Vec<String> = self.containers.iter().map(container).collect();
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":{},"namespace":{}}},"spec":{{"nodeName":"{NAME}","hostNetwork":true,"restartPolicy":"Never","terminationGracePeriodSeconds":0,"enableServiceLinks":false,"containers":[{}]}}}}"#,
            quoted(&self.name),
            quoted(&self.namespace),
            containers.join(",")
        )
    }
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\0'..='\x1f' => out.push_str(&format!("\\u{:04x}", u32::from(char))),
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}

fn is_ready(cluster: &Path) -> bool {
    let status = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
    let mut command = kubectl(cluster, ADMIN, &["get", "node", NAME, "-o", status]);
    finish(&mut command, b"", CLIENT_SECONDS_MAX).is_ok_and(|done| done.stdout == b"True")
}

/// containerd's own client.
fn ctr(dir: &Path, words: &[&str]) -> Result<Finished, Trouble> {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(dir.join("run/containerd/containerd.sock")).args(words);
    let done = finish(&mut command, b"", CLIENT_SECONDS_MAX)?;
    match done.status.success() {
        true => Ok(done),
        false => Err(Trouble::Died { what: describe(&command), said: done.all() }),
    }
}

/// Whether a node can be started here; else what is not installed, or what the kernel refuses.
pub fn allowed() -> Result<(), Trouble> {
    may_start(Path::new(&format!("tacho-node-{}", std::process::id()))).map(drop)
}

/// The hierarchies in which cgroups of that name can be made, which are all that there are. [`Trouble::Missing`] if something
/// is not installed, or is refused.
fn may_start(group: &Path) -> Result<Vec<PathBuf>, Trouble> {
    for program in ["containerd", "ctr", "runc"] {
        if !std::env::split_paths(&path()).any(|folder| folder.join(program).is_file()) {
            return Err(Trouble::Missing {
                what: program.to_owned(),
                remedy: "run `cargo xtask setup kubernetes`".to_owned(),
            });
        }
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--pid", "--fork", "--mount-proc", "true"]);
    let tried = finish(&mut unshare, b"", CLIENT_SECONDS_MAX)?;
    if !tried.status.success() {
        return Err(refused("namespaces of mounts and processes", &tried.err()));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    can_make(hierarchies(&mounts), group)
}

/// Debian keeps runc in a folder that is not on everybody's path.
fn path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

/// Where cgroups are mounted (proc(5): the fifth word is the place, the one behind the dash the type).
fn hierarchies(mountinfo: &str) -> Vec<PathBuf> {
    let place = |line: &str| {
        let (mount, system) = line.split_once(" - ")?;
        let is_one = matches!(system.split(' ').next(), Some("cgroup" | "cgroup2"));
        is_one.then(|| mount.split(' ').nth(4).map(PathBuf::from)).flatten()
    };
    mountinfo.lines().filter_map(place).collect()
}

fn can_make(hierarchies: Vec<PathBuf>, group: &Path) -> Result<Vec<PathBuf>, Trouble> {
    if hierarchies.is_empty() {
        return Err(refused("cgroups", "no hierarchy of them is mounted"));
    }
    for hierarchy in &hierarchies {
        let folder = hierarchy.join(group);
        fs::create_dir(&folder)
            .and_then(|()| fs::remove_dir(&folder))
            .map_err(|why| refused("cgroups", &format!("{}: {why}", folder.display())))?;
    }
    Ok(hierarchies)
}

fn refused(what: &str, why: &str) -> Trouble {
    Trouble::Missing {
        what: format!("the kernel's leave to make {what}, which a node of Kubernetes needs ({})", why.trim()),
        remedy:
            "run as root, on a machine or in a container that may do as much as one (Docker: --privileged)"
                .to_owned(),
    }
}

/// The node's directory. Everything in it is named as it is in the node's own namespace, where that directory is `/mnt`.
fn prepare(dir: &Path, group: &str, cluster: &Kubernetes) -> Result<(), Trouble> {
    let wrap = |why| Trouble::Start { what: "a node of Kubernetes".to_owned(), why };
    let port = free_port().map_err(wrap)?;
    let config = config(cluster.port, Path::new("/mnt/ca.crt"), &[NODE]);
    let files = [
        ("node.sh", OUTSIDE),
        ("inside.sh", INSIDE),
        // The kubelet itself is mounted here.
        ("kubelet", ""),
        ("kubeconfig", &config),
        ("kubelet.yaml", &kubelet_yaml(port, group)),
        ("containerd.toml", CONTAINERD_TOML),
        // A node without a network for pods is not ready. Pods on the machine's own never ask for this one; it has no program.
        ("cni/none.conflist", r#"{"cniVersion":"0.4.0","name":"none","plugins":[{"type":"none"}]}"#),
    ];
    let fill = || -> io::Result<()> {
        for folder in ["run", "var/lib", "var/log", "cni", "settings", "image"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        for (name, text) in files {
            fs::write(dir.join(name), text)?;
        }
        for (name, value) in SETTINGS {
            fs::write(dir.join("settings").join(name), format!("{value}\n"))?;
        }
        for name in ["ca.crt", "server.crt", "server.key"] {
            fs::copy(cluster.scratch.path().join(name), dir.join(name))?;
        }
        Ok(())
    };
    fill().map_err(wrap)
}

/// Starts the node in its namespaces, in cgroups that it makes and removes. All of it is one group of processes but what is in
/// containers; SIGTERM goes to the group, and `unshare` ends when everything in the namespaces has.
const OUTSIDE: &str = r#"
dir=$1 group=$2 kubelet=$3
shift 3
made=1
for hierarchy; do mkdir "$hierarchy/$group" || made=; done
trap 'trap "" TERM; kill -TERM 0' TERM
if [ "$made" ]; then
    unshare --mount --pid --fork --kill-child --mount-proc /bin/sh "$dir/inside.sh" "$dir" "$kubelet" &
    wait $!
    # A signal has ended the first wait.
    wait $!
fi
turn=0
while [ $turn -lt 40 ]; do
    left=
    for hierarchy; do
        find "$hierarchy/$group" -depth -type d -exec rmdir {} + 2>/dev/null
        if [ -d "$hierarchy/$group" ]; then left=1; fi
    done
    if [ -z "$left" ]; then break; fi
    sleep 0.1
    turn=$((turn + 1))
done
exit 1
"#;

/// The first process in the namespaces. The end of either program ends it, and with it all.
const INSIDE: &str = r#"
mount --bind "$2" "$1/kubelet" && mount --rbind "$1" /mnt || exit 1
cd /mnt || exit 1
for place in run var/lib var/log; do
    mount --bind "/mnt/$place" "/$place" || exit 1
done
for setting in settings/*; do
    mount --bind "$setting" "/proc/sys/$(basename "$setting" | tr . /)" || exit 1
done
trap 'exit 1' TERM
ends() {
    name=$1
    shift
    "$@" >"$name.log" 2>&1
    echo "$name ended with status $?" >&2
    tail -n 20 "$name.log" >&2
    kill -TERM $$
}
ends containerd containerd --config /mnt/containerd.toml &
ends kubelet /mnt/kubelet --config=/mnt/kubelet.yaml --kubeconfig=/mnt/kubeconfig --hostname-override=localhost \
    --container-runtime=remote --container-runtime-endpoint=unix:///run/containerd/containerd.sock &
wait
"#;

/// No `/opt/containerd`, no profile of AppArmor's, which would be loaded for the whole machine; snapshots are copies, since not
/// every kernel lays one file system over another.
const CONTAINERD_TOML: &str = r#"
version = 2
disabled_plugins = ["io.containerd.internal.v1.opt"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/local/box:1"
  disable_tcp_service = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  # Root is not everywhere allowed to spare a process from the kernel's killer.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/mnt/cni"
    conf_dir = "/mnt/cni"
"#;

/// Whoever the cluster's authority signed may ask the kubelet for everything: that is the API server, which has asked who its
/// own client is. The machine's memory and disk may be nearly full.
fn kubelet_yaml(port: u16, group: &str) -> String {
    format!(
        r#"
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: {port}
healthzPort: 0
cgroupDriver: cgroupfs
cgroupRoot: "/{group}"
enforceNodeAllocatable: []
failSwapOn: false
makeIPTablesUtilChains: false
nodeStatusUpdateFrequency: 3s
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: false}}, x509: {{clientCAFile: /mnt/ca.crt}}}}
authorization: {{mode: AlwaysAllow}}
tlsCertFile: /mnt/server.crt
tlsPrivateKeyFile: /mnt/server.key
evictionHard: {{nodefs.available: "1%", imagefs.available: "1%", memory.available: "50Mi"}}
imageGCHighThresholdPercent: 100
resolvConf: /dev/null
volumePluginDir: /var/lib/kubelet/volumeplugins
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hierarchy_of_cgroups_is_found_and_nothing_else() {
        let mounts = "\
26 1 254:0 / / rw - ext4 /dev/vda rw
31 26 0:27 / /sys/fs/cgroup rw,relatime shared:4 - tmpfs tmpfs rw,mode=755
32 31 0:28 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:29 / /sys/fs/cgroup/unified rw,relatime shared:5 master:1 - cgroup2 cgroup2 rw
";
        let found = hierarchies(mounts);
        assert_eq!(found, ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"].map(PathBuf::from));
    }

    #[test]
    fn a_kernel_that_gives_no_cgroups_is_named_as_the_reason() {
        let refuses = |hierarchies: &[&str]| {
            let hierarchies = hierarchies.iter().map(PathBuf::from).collect();
            can_make(hierarchies, Path::new("tacho-none")).unwrap_err().to_string()
        };
        assert!(refuses(&[]).contains("no hierarchy of them is mounted"));
        // Not even root makes a folder there.
        let said = refuses(&["/proc/self"]);
        assert!(said.contains("leave to make cgroups") && said.contains("/proc/self/tacho-none"), "{said}");
        assert!(said.contains("--privileged"), "{said}");
    }

    #[test]
    fn a_command_is_quoted_as_json_has_it() {
        assert_eq!(quoted("a\"b\\c\n\u{e9}"), "\"a\\\"b\\\\c\\u000a\u{e9}\"");
        let manifest = Pod::new("p", &["echo", "a\"b"]).beside("side", &["cat"]).with_stdin().manifest();
        assert!(manifest.contains(r#""command":["echo","a\"b"],"stdin":true"#), "{manifest}");
        assert!(manifest.contains(r#"{"name":"side","image":"docker.io/local/box:1""#), "{manifest}");
    }
}
