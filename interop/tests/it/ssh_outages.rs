//! P2 and P6 where a host is reached over SSH: what cannot be recorded does not leave, and what the gateway logs in by stays with it.

use crate::outages::Small;
use crate::scan::{Net, files_below, holds};
use crate::ssh::{Scene, exits, tables, user};
use crate::world::{POLICY, eventually, json, run_of, upstream};
use interop::gateway::{Gateway, Plan, Site};
use interop::place::free_port;
use interop::sshd::Sshd;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const RULES: &str = r#"
@id("ssh-all")
permit (principal, action, resource in Resource::"build");
"#;

/// A gateway before a host, with its data on the small disk.
fn on(disk: &Small, sshd: &Sshd) -> Gateway {
    let pin = format!("host_key = \"{}\"", sshd.host_key().unwrap());
    let plan = Plan {
        policy: format!("{POLICY}{RULES}"),
        tables: tables(sshd, sshd.port, free_port().unwrap(), &pin, "reel = \"full\""),
        gateway_lines: format!("data = \"{}\"", disk.at().join("data").display()),
        ..crate::world::plan()
    };
    let site = Site::new(&plan, upstream()).unwrap();
    // Keys and sockets stay where they were.
    site.edit("durability", "keys = \"./tacho-keys\"\ncontrol = \"./tacho-run/control.sock\"\ndurability")
        .unwrap();
    site.up().unwrap()
}

/// A run whose output is read as it comes.
struct Running {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    told: thread::JoinHandle<String>,
}

impl Running {
    fn start(gateway: &Gateway, agent: &str, script: &str) -> Running {
        let mut run = gateway.run(agent, &["/bin/sh", "-c", script].map(Path::new));
        let run = run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = run.spawn().unwrap();
        let (out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let to = lines.clone();
        thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).for_each(|line| to.lock().unwrap().push(line));
        });
        let told = thread::spawn(move || {
            let mut told = String::new();
            err.read_to_string(&mut told).map(|_| told).unwrap_or_default()
        });
        Running { child, lines, told }
    }

    fn lines(&self) -> usize {
        self.lines.lock().unwrap().len()
    }

    /// Its exit status, and what it was told.
    fn end(mut self) -> (Option<i32>, String) {
        (self.child.wait().unwrap().code(), self.told.join().unwrap())
    }
}

const COUNTING: &str = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.05; done";

#[test]
fn a_disk_that_stalls_lets_nothing_more_of_a_command_out_and_says_so() {
    let Some(disk) = Small::new(170) else { return };
    let sshd = Sshd::start("").unwrap();
    let gateway = on(&disk, &sshd);
    // The run's own end needs a record too: the script outlasts what it looks at.
    let mark = sshd.dir().join("made-without-a-record");
    let script = format!(
        "ssh build '{COUNTING}'; echo ended with $?; ssh build 'touch {}'; echo then $?",
        mark.display()
    );
    let running = Running::start(&gateway, "ssh-stalled", &script);
    eventually("output", || (running.lines() > 5).then_some(()));
    let frozen = disk.freeze();
    // What was durable before it stalled may be on its way.
    thread::sleep(Duration::from_millis(500));
    let (before, begun) = (running.lines(), Instant::now());
    eventually("the command's end", || {
        running.lines.lock().unwrap().iter().any(|line| line.starts_with("then ")).then_some(())
    });
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let lines = running.lines.lock().unwrap().clone();
    assert_eq!(lines[before..], ["ended with 255", "then 255"], "nothing left without its record: {lines:?}");
    drop(frozen);
    let (_status, told) = running.end();
    assert!(told.contains("whether the command took effect is unknown"), "{told}");
    let run = run_of(gateway.site(), "ssh-stalled");
    // What was cut is told as soon as there is a record again, and nobody claims to know how the command ended.
    eventually("the gap", || {
        let exposed = json(gateway.site(), &["exposed", &run, "--json"]).to_string();
        exposed.contains("\"gap\"").then_some(())
    });
    let shown = json(gateway.site(), &["show", &run, "--json"]);
    assert_eq!(shown["actions"][0]["effect"], "indeterminate", "{shown}");
    assert!(shown["actions"].as_array().is_some_and(|all| all.len() == 1), "{shown}");
    assert!(!mark.exists(), "a command was started without its record");
    let site = gateway.stop();
    assert!(site.ask(&["verify"], "").unwrap().status.success());
}

#[test]
fn a_full_disk_starts_no_command() {
    let Some(disk) = Small::new(270) else { return };
    let sshd = Sshd::start("").unwrap();
    let gateway = on(&disk, &sshd);
    let mark = sshd.dir().join("made-without-a-record");
    // It goes on until nothing is admitted, and then tries to have an effect.
    let script = format!(
        "ssh build true && echo ready; while ssh build 'head -c 3000000 /dev/zero' >/dev/null 2>\"$HOME/told\"; do :; done; \
         ssh build 'touch {}'; echo ended with $?",
        mark.display()
    );
    let running = Running::start(&gateway, "ssh-full", &script);
    eventually("the first command", || (running.lines() > 0).then_some(()));
    let spare = disk.at().join("data/ledger/segment/next.spare");
    eventually("a spare segment", || spare.exists().then_some(()));
    let full = crate::outages::Full::new(&disk);
    let lines = running.lines.clone();
    let last = || lines.lock().unwrap().iter().find(|line| line.starts_with("ended")).cloned();
    let begun = Instant::now();
    while last().is_none() && begun.elapsed() < Duration::from_secs(120) {
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(last().as_deref(), Some("ended with 255"));
    assert!(!mark.exists(), "a command was started without its record");
    drop(full);
    let (_status, told) = running.end();
    assert!(told.contains("no record is possible"), "{told}");
    let site = gateway.stop();
    assert!(site.ask(&["verify"], "").unwrap().status.success());
}

#[test]
fn what_the_gateway_logs_in_by_is_nowhere_in_the_agents_sight() {
    let scene = Scene::start(|_| {});
    // A line of the private key, whose beginning all keys of the kind share.
    let key = std::fs::read_to_string(scene.sshd.key()).unwrap();
    let own: Vec<String> =
        key.lines().filter(|line| !line.starts_with('-')).skip(1).map(str::to_owned).collect();
    let net = Net::new(own.iter().map(String::as_str));
    let script = "env; cat /proc/self/environ /proc/*/environ /proc/*/cmdline 2>/dev/null; \
                  find \"$HOME\" -type f -exec cat {} + 2>/dev/null; ls -A \"$HOME/.ssh\"; \
                  ssh -v build 'echo in' 2>&1; ssh -i /nowhere -o PasswordAuthentication=yes somebody@build true 2>&1; \
                  ssh build \"cat $HOME/.ssh/id_ed25519\" 2>&1; echo end";
    let done = scene.sh("runner-30", script);
    assert!(done.out().contains("in\n") && done.out().ends_with("end\n"), "{}", scene.gateway.explain(&done));
    assert_eq!(net.search(done.all().as_bytes()), Vec::<&str>::new());
    // What a run's clients of SSH read holds its own key, and the gateway's.
    let script = "cd \"$HOME/.ssh\"; ls -A; ssh-keygen -y -f id_ed25519; cut -d' ' -f2,3 known_hosts";
    let done = scene.sh("runner-30", script);
    exits(&scene, &done, 0);
    let lines: Vec<String> = done.out().lines().map(str::to_owned).collect();
    assert_eq!(lines[..3], ["config", "id_ed25519", "known_hosts"], "{}", done.all());
    let (run, gateway) = (&lines[3], &lines[4]);
    let login = std::fs::read_to_string(scene.sshd.key().with_extension("pub")).unwrap();
    let host = scene.sshd.host_key().unwrap();
    let blob = |line: &str| line.split(' ').nth(1).unwrap_or_default().to_owned();
    for (line, what) in [(run, "the run's"), (gateway, "the gateway's")] {
        assert!(blob(line) != blob(&login) && blob(line) != blob(&host), "{what}: {line}");
    }
    assert_ne!(blob(run), blob(gateway));
    let again = scene.sh("runner-30", "ssh-keygen -y -f \"$HOME/.ssh/id_ed25519\"").out();
    assert_ne!(blob(again.trim()), blob(run), "each run has its own");
    let site = scene.gateway.stop();
    assert_eq!(net.search_files(&site.data()), Vec::<String>::new());
}

#[test]
fn a_password_of_the_gateways_is_nowhere_where_its_host_does_not_take_it() {
    const CANARY: &str = "host-password-5c1e77";
    let sshd = Sshd::start("PasswordAuthentication yes").unwrap();
    let pin = format!("host_key = \"{}\"", sshd.host_key().unwrap());
    let file = sshd.dir().join("password");
    std::fs::write(&file, CANARY).unwrap();
    let credential = format!("credential = {{ file = \"{}\" }}", sshd.key().display());
    let password = format!("credential = {{ file = \"{}\", kind = \"password\" }}", file.display());
    let scene = Scene::of(sshd, &pin, "", |plan| plan.tables = plan.tables.replace(&credential, &password));
    let script = "env; find \"$HOME\" -type f -exec cat {} + 2>/dev/null; ssh -v build true 2>&1; echo end";
    let done = scene.sh("runner-31", script);
    assert!(done.out().contains("cannot be reached"), "it was not let in: {}", scene.gateway.explain(&done));
    assert!(scene.sshd.log().contains(&format!("Failed password for {}", user())), "{}", scene.sshd.log());
    assert!(!done.all().contains(CANARY));
    let site = scene.gateway.stop();
    for file in files_below(&site.data()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!holds(&bytes, CANARY.as_bytes()), "{}", file.display());
    }
}
