//! A place of its own for each test: a home, a working directory with a configuration, perhaps a gateway.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Removed when dropped; its gateway ends with it.
pub struct Place {
    pub dir: PathBuf,
    /// The user that commands run as, if not the test's own.
    pub uid: Option<u32>,
    gateway: Option<Child>,
    /// What the gateway has said.
    said: Arc<Mutex<String>>,
}

impl Place {
    pub fn new(name: &str) -> Place {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = PathBuf::from(format!("/tmp/tacho-it-{name}-{}-{n}", std::process::id()));
        fs::create_dir_all(dir.join("home")).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        Place { dir, uid: None, gateway: None, said: Arc::default() }
    }

    /// A place for another user, with the binary where that user can run it.
    pub fn of_user(name: &str, uid: u32) -> Place {
        let mut place = Place::new(name);
        fs::copy(env!("CARGO_BIN_EXE_tacho"), place.dir.join("tacho")).unwrap();
        for path in [place.dir.clone(), place.dir.join("home")] {
            std::os::unix::fs::chown(path, Some(uid), Some(uid)).unwrap();
        }
        place.uid = Some(uid);
        place
    }

    /// The binary where any user can run it.
    pub fn public_binary(&self) -> String {
        let path = self.path("tacho");
        fs::copy(env!("CARGO_BIN_EXE_tacho"), &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn tacho(&self, words: &[&str]) -> Command {
        let mut command = match self.uid {
            None => Command::new(env!("CARGO_BIN_EXE_tacho")),
            Some(uid) => {
                let mut command = Command::new("setpriv");
                command.args([
                    format!("--reuid={uid}"),
                    format!("--regid={uid}"),
                    "--clear-groups".to_owned(),
                ]);
                command.arg(self.dir.join("tacho"));
                command
            }
        };
        command.args(words).current_dir(&self.dir).env_clear();
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", self.dir.join("home"));
        command.env("CANARY", "canary-of-the-callers-environment").stdin(Stdio::null());
        command
    }

    pub fn run(&self, words: &[&str]) -> Output {
        self.tacho(words).output().unwrap()
    }

    /// Runs, and expects an exit code; gives standard output.
    pub fn expect(&self, code: i32, words: &[&str]) -> String {
        let output = self.run(words);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "tacho {words:?}\n--- stdout\n{out}--- stderr\n{err}");
        out
    }

    /// The same, giving standard error.
    pub fn expect_err(&self, code: i32, words: &[&str]) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(code), "tacho {words:?}: {}", text(&output.stderr));
        text(&output.stderr)
    }

    /// A configuration without resources, whose console has a port of its own.
    pub fn init(&self) -> &Place {
        self.expect(0, &["init", "--no-passphrase"]);
        let port = interop::place::free_port().unwrap();
        self.edit("127.0.0.1:7070", &format!("127.0.0.1:{port}"));
        self
    }

    pub fn edit(&self, from: &str, to: &str) {
        let path = self.path("tacho.toml");
        let config = fs::read_to_string(&path).unwrap();
        assert!(config.contains(from), "{from} in {config}");
        fs::write(&path, config.replacen(from, to, 1)).unwrap();
    }

    /// Starts `tacho up` and waits until it is ready.
    pub fn up(&mut self) {
        let mut child = self.tacho(&["up", "--quiet"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = String::new();
        for line in lines.by_ref() {
            let line = line.unwrap();
            if line == "tacho: ready" {
                // What it says later must not stop it.
                let said = self.said.clone();
                std::thread::spawn(move || {
                    lines.map_while(Result::ok).for_each(|line| {
                        eprintln!("gateway: {line}");
                        *said.lock().unwrap() += &format!("{line}\n");
                    })
                });
                self.gateway = Some(child);
                return;
            }
            seen.push_str(&line);
        }
        child.wait().unwrap();
        panic!("the gateway did not start: {seen}");
    }

    /// Stops the gateway as a service manager does, and expects that it ends well.
    pub fn down(&mut self) {
        let mut child = self.gateway.take().unwrap();
        signal(child.id(), "TERM");
        assert!(child.wait().unwrap().success());
    }

    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub fn gateway_pid(&self) -> u32 {
        self.gateway.as_ref().unwrap().id()
    }

    /// An executable script that any user can read.
    pub fn script(&self, name: &str, body: &str) -> String {
        let path = self.path(name);
        let mut file = fs::File::create(&path).unwrap();
        writeln!(file, "#!/bin/sh\n{body}").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut child) = self.gateway.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap().success());
}

/// Waits until `done`, at most ten seconds.
pub fn eventually(what: &str, done: impl Fn() -> bool) {
    for _ in 0..100 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("not within ten seconds: {what}");
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e} in {text}"))
}

pub fn list(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
