//! A node, as the client finds it without a gateway: what runs in a pod is reached in each way that kubectl has.

use super::{answered, kubectl};
use crate::world::eventually;
use interop::kubernetes::node::NAME;
use interop::kubernetes::{ADMIN, AGENT, Kubernetes, Node, Pod, programs};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::place::{Scratch, free_port, is_open};
use interop::process::{Daemon, Finished, describe, finish, readable};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A command that does nothing, for pods into which somebody comes.
pub(super) const SLEEPS: [&str; 2] = ["sleep", "1000"];

pub(super) struct Scene {
    pub(super) cluster: Kubernetes,
    pub(super) node: Node,
    /// As the machine's kernel was before there was a node.
    kernel: Vec<String>,
}

pub(super) fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| {
        let kernel = kernel();
        let cluster = Kubernetes::start(&programs().unwrap()).unwrap();
        let node = cluster.node().unwrap();
        Scene { cluster, node, kernel }
    })
}

/// What a kubelet sets if nobody keeps it from that.
fn kernel() -> Vec<String> {
    let settings = ["vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"];
    settings.map(|name| fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap()).into()
}

#[track_caller]
pub(super) fn run(pod: &Pod) {
    let Scene { cluster, node, .. } = scene();
    node.run(pod).unwrap_or_else(|why| panic!("{why}\n{}", cluster.log()));
}

/// kubectl as who may do everything, with an input that ends.
pub(super) fn fed(words: &[&str], input: &[u8]) -> Finished {
    finish(&mut scene().cluster.kubectl(ADMIN, words), input, CLIENT_SECONDS_MAX).unwrap()
}

#[track_caller]
fn out(words: &[&str]) -> String {
    let done = fed(words, b"");
    assert!(done.status.success(), "{}", done.all());
    done.out()
}

/// kubectl that goes on beside the test.
fn beside(scratch: &Scratch, words: &[&str]) -> Daemon {
    let log = scratch.path().join("log");
    Daemon::start(&mut scene().cluster.kubectl(ADMIN, words), &log, "TERM").unwrap()
}

/// Every byte there is, some thousand times, so that nothing can be taken for text and no buffer holds it all.
pub(super) fn bytes() -> Vec<u8> {
    (0..=u8::MAX).cycle().take(300_007).collect()
}

#[test]
fn a_command_runs_with_its_words_its_streams_and_its_status() {
    run(&Pod::new("exec", &SLEEPS));
    let script = "echo to-out; echo to-err >&2; printf '<%s>' \"$@\"; exit 7";
    let done = fed(&["exec", "exec", "--", "sh", "-c", script, "sh", "a b", "\u{e9}"], b"not read");
    assert_eq!(done.status.code(), Some(7), "{}", done.all());
    assert_eq!(done.out(), "to-out\n<a b><\u{e9}>");
    assert!(done.err().starts_with("to-err\n"), "{}", done.all());
    // The API server has seen the words too.
    eventually("the command in the audit log", || {
        let seen = |event: &Value| {
            event["requestURI"].as_str().unwrap().contains("exec/exec?command=sh&command=-c&")
        };
        answered(&scene().cluster, ADMIN).iter().find(|event| seen(event)).map(|_event| ())
    });

    // Nobody has granted anything to the agent.
    let refused = kubectl(&scene().cluster, AGENT, &["exec", "exec", "--", "touch", "/tmp/agent"]);
    assert!(!refused.status.success() && refused.err().contains("Forbidden"), "{}", refused.all());
    assert_eq!(out(&["exec", "exec", "--", "ls", "/tmp"]), "");
}

#[test]
fn what_is_typed_reaches_a_command_whole_and_ends_where_it_ends() {
    run(&Pod::new("input", &SLEEPS));
    let done = fed(&["exec", "-i", "input", "--", "cat"], &bytes());
    assert!(done.status.success() && done.stdout == bytes(), "{} of {}", done.stdout.len(), bytes().len());
    let done = fed(&["exec", "-i", "input", "--", "wc", "-c"], &bytes());
    assert_eq!(done.out().trim(), "300007", "{}", done.all());
}

#[test]
fn a_container_is_chosen_by_its_name() {
    run(&Pod::new("two", &SLEEPS).beside("side", &SLEEPS));
    out(&["exec", "two", "-c", "side", "--", "touch", "/tmp/mark"]);
    assert_eq!(out(&["exec", "two", "-c", "side", "--", "ls", "/tmp"]), "mark\n");
    assert_eq!(out(&["exec", "two", "-c", "box", "--", "ls", "/tmp"]), "");
}

#[test]
fn a_terminal_has_a_size_an_echo_and_a_status() {
    run(&Pod::new("tty", &SLEEPS));
    let words = describe(&scene().cluster.kubectl(ADMIN, &["exec", "-it", "tty", "--", "sh"]));
    // A terminal for kubectl, of a size that no default has. The size follows the command: it is waited for.
    let mut script = Command::new("script");
    script.args(["-qec", &format!("stty rows 33 cols 101; {words}"), "/dev/null"]);
    let typed = "n=0; until [ \"$(stty size)\" = '33 101' ] || [ $n = 100 ]; do sleep 0.1; n=$((n+1)); done\n\
                 echo size-$(stty size)\necho typed-$((40 + 2))\ntty\nexit 5\n";
    let done = finish(&mut script, typed.as_bytes(), CLIENT_SECONDS_MAX).unwrap();
    assert_eq!(done.status.code(), Some(5), "{}", done.all());
    for wanted in ["size-33 101\r\n", "typed-42\r\n", "/dev/pts/", "echo typed-$((40 + 2))"] {
        assert!(done.out().contains(wanted), "{wanted:?}: {}", done.all());
    }
}

#[test]
fn an_attached_client_speaks_with_the_command_that_runs() {
    let script = "while read line; do [ \"$line\" = bye ] && exit 0; echo got-$line; done; exit 1";
    run(&Pod::new("attach", &["sh", "-c", script]).with_stdin());
    // What the command says after the client's input has ended is shown to nobody: each answer is waited for.
    let (scratch, words) = (
        Scratch::new("attach").unwrap(),
        describe(&scene().cluster.kubectl(ADMIN, &["attach", "-i", "attach"])),
    );
    let log = scratch.path().join("log").display().to_string();
    let client = format!(
        "says() {{ echo $1; n=0; until grep -qx got-$1 {log} || [ $n = 200 ]; do sleep 0.1; n=$((n+1)); done; }}\n\
         {{ says one; says two; echo bye; }} | {words} >{log}"
    );
    let done = finish(Command::new("/bin/sh").args(["-c", &client]), b"", CLIENT_SECONDS_MAX).unwrap();
    assert!(done.status.success(), "{}", done.all());
    assert_eq!(fs::read_to_string(log).unwrap(), "got-one\ngot-two\n", "{}", done.all());
    eventually("the end of the pod", || {
        (out(&["get", "pod", "attach", "-o", "jsonpath={.status.phase}"]) == "Succeeded").then_some(())
    });
}

#[test]
fn logs_are_whole_or_their_end_and_are_followed_until_the_command_ends() {
    let script = "echo first; echo second; until [ -e /tmp/go ]; do sleep 0.1; done; echo third";
    run(&Pod::new("logs", &["sh", "-c", script]));
    eventually("both lines", || (out(&["logs", "logs"]) == "first\nsecond\n").then_some(()));
    assert_eq!(out(&["logs", "logs", "--tail", "1"]), "second\n");

    let scratch = Scratch::new("logs").unwrap();
    let mut follower = beside(&scratch, &["logs", "-f", "logs"]);
    eventually("what was there", || (follower.log() == "first\nsecond\n").then_some(()));
    assert!(!follower.has_ended());
    out(&["exec", "logs", "--", "touch", "/tmp/go"]);
    eventually("what came", || (follower.log() == "first\nsecond\nthird\n").then_some(()));
    eventually("the end", || follower.has_ended().then_some(()));
}

#[test]
fn files_are_copied_in_and_out() {
    run(&Pod::new("files", &SLEEPS));
    let scratch = Scratch::new("cp").unwrap();
    let [there, back] = ["there", "back"].map(|name| scratch.path().join(name));
    fs::write(&there, bytes()).unwrap();
    out(&["cp", &there.display().to_string(), "files:/tmp/data"]);
    let sum = |text: String| text.split_whitespace().next().unwrap().to_owned();
    let here = finish(Command::new("sha256sum").arg(&there), b"", CLIENT_SECONDS_MAX).unwrap();
    assert_eq!(sum(out(&["exec", "files", "--", "sha256sum", "/tmp/data"])), sum(here.out()));
    out(&["cp", "files:/tmp/data", &back.display().to_string()]);
    assert_eq!(fs::read(&back).unwrap(), bytes());
}

#[test]
fn a_port_is_forwarded_as_long_as_the_client_runs() {
    let [port, local] = [(); 2].map(|()| free_port().unwrap());
    let script = format!(
        "mkdir /tmp/www; echo said-by-the-pod >/tmp/www/page; exec httpd -f -p 127.0.0.1:{port} -h /tmp/www"
    );
    run(&Pod::new("ports", &["sh", "-c", &script]));
    eventually("the service", || is_open(port).then_some(()));
    let scratch = Scratch::new("forward").unwrap();
    let client = beside(&scratch, &["port-forward", "ports", &format!("{local}:{port}")]);
    eventually("the port here", || is_open(local).then_some(()));
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, local)).unwrap();
    stream.write_all(b"GET /page HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\nsaid-by-the-pod\n"), "{answer}");
    drop(client);
    assert!(!is_open(local) && is_open(port));
}

/// Every process: the namespace of processes that it is in, and its command line.
fn processes() -> Vec<(PathBuf, String)> {
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let of = |path: PathBuf| {
        let line = fs::read(path.join("cmdline")).ok()?;
        Some((fs::read_link(path.join("ns/pid")).ok()?, readable(&line).replace('\0', " ")))
    };
    all.filter_map(of).collect()
}

/// Processes in the cgroups of a node, and those cgroups.
fn cgroups(dir: &Path) -> (usize, Vec<PathBuf>) {
    let mut found = Command::new("find");
    found.arg("/sys/fs/cgroup").args(["-type", "d", "-path"]);
    found.arg(format!("*/{}*", dir.file_name().unwrap().to_str().unwrap()));
    let found = finish(&mut found, b"", CLIENT_SECONDS_MAX).unwrap();
    let folders: Vec<PathBuf> = found.out().lines().map(PathBuf::from).collect();
    let held = |folder: &PathBuf| fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    (folders.iter().map(|folder| held(folder).lines().count()).sum(), folders)
}

#[test]
fn two_nodes_stand_beside_each_other_and_nothing_of_one_outlives_it() {
    let Scene { cluster: first, node: ours, kernel: before } = scene();
    let second = Kubernetes::start(&programs().unwrap()).unwrap();
    let node = second.node().unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    // The same name in both, told apart by what they print.
    ours.run(&Pod::new("twin", &["sh", "-c", "echo of-the-first; sleep 1000"])).unwrap();
    node.run(&Pod::new("twin", &["sh", "-c", "echo of-the-second; sleep 1000"])).unwrap();
    let says = |cluster: &Kubernetes| kubectl(cluster, ADMIN, &["logs", "twin"]).out();
    eventually("both", || {
        ((says(first), says(&second)) == ("of-the-first\n".to_owned(), "of-the-second\n".to_owned()))
            .then_some(())
    });
    let nodes = kubectl(&second, ADMIN, &["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"]);
    assert_eq!(nodes.out(), NAME, "{}", nodes.all());

    let dir = node.dir().to_path_buf();
    let (held, folders) = cgroups(&dir);
    assert!(held >= 2 && !folders.is_empty(), "{held} processes in {folders:?}");
    let name = dir.display().to_string();
    let inside = format!("{name}/inside.sh");
    let began = |line: &str| line.starts_with("/bin/sh") && line.contains(&inside);
    let (space, _) = processes().into_iter().find(|(_, line)| began(line)).unwrap();
    let lines = || processes().into_iter().filter(|(of, _)| *of == space).map(|(_, line)| line);
    for program in ["containerd ", "/mnt/kubelet ", "/usr/bin/containerd-shim-runc-v2 "] {
        assert!(
            lines().any(|line| line.starts_with(program)),
            "{program}: {:?}",
            lines().collect::<Vec<_>>()
        );
    }
    drop(node);
    assert_eq!(lines().collect::<Vec<_>>(), Vec::<String>::new());
    // But for the shells that have yet to see that there is nothing left to do for them.
    let left = |line: &String| line.contains(&name) && !line.contains("rm -rf");
    assert_eq!(processes().into_iter().map(|(_, line)| line).find(left), None);
    assert_eq!(cgroups(&dir), (0, Vec::new()));
    assert!(!dir.exists());
    // Nothing was ever mounted where others see it.
    assert!(!mounts.contains(dir.to_str().unwrap()), "{mounts}");
    assert_eq!(&kernel(), before);
    // The other one goes on.
    let done = fed(&["exec", "twin", "--", "echo", "here"], b"");
    assert_eq!(done.out(), "here\n", "{}", done.all());
}
