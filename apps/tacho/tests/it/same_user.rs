//! Runs whose agent has the caller's uid: what their mounts keep it from. Root makes a caller with a home for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::place::{Place, is_root, text};

const UID: u32 = 65_533;

/// A place of a user whose home, as `/etc/passwd` says, is `home` in it.
struct Caller {
    place: Place,
    passwd: PathBuf,
}

impl Caller {
    /// `None` where there is no root, who alone can make one.
    fn new(name: &str) -> Option<Caller> {
        if !is_root() {
            return None;
        }
        let place = Place::of_user(name, UID);
        place.init();
        let passwd = place.path("passwd");
        let home = place.path("home").display().to_string();
        let others = fs::read_to_string("/etc/passwd").unwrap();
        fs::write(&passwd, format!("{others}caller:x:{UID}:{UID}::{home}:/bin/sh\n")).unwrap();
        let caller = Caller { place, passwd };
        caller.own("home/.config/tacho/token", "tacho-op-0000\n");
        Some(caller)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    /// A file of the caller's, in directories of the caller's.
    fn own(&self, name: &str, body: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, body).unwrap();
        for path in path.ancestors().take_while(|path| *path != self.place.dir) {
            std::os::unix::fs::chown(path, Some(UID), Some(UID)).unwrap();
        }
    }

    /// A run of a shell command, started in a directory.
    fn command(&self, working: &Path, script: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "sh",
            "-c",
            "mount --bind \"$0\" /etc/passwd && cd \"$1\" && shift && exec \"$@\"",
        ]);
        command.args([self.passwd.as_path(), working]).args(["env", "-i", "PATH=/usr/bin:/bin"]);
        command.arg(format!("HOME={}", self.path("home").display()));
        command.args(["setpriv", &format!("--reuid={UID}"), &format!("--regid={UID}"), "--clear-groups"]);
        command.arg(self.path("tacho")).arg("--config").arg(self.path("tacho.toml"));
        command.args(["run", "--confined", "--agent", "a", "--", "sh", "-c", script]).stdin(Stdio::null());
        command
    }

    fn run(&self, working: &Path, script: &str) -> Output {
        self.command(working, script).output().unwrap()
    }

    /// What a run of a shell command prints.
    fn says(&self, working: &Path, script: &str) -> String {
        let output = self.run(working, script);
        assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }
}

#[test]
fn what_is_hidden_is_hidden_by_relative_paths_too_wherever_the_run_starts() {
    let Some(caller) = Caller::new("relative") else { return };
    caller.own("home/.bashrc", "true\n");
    caller.own("home/work/sub/file", "");
    std::os::unix::fs::symlink(caller.path("home"), caller.path("link")).unwrap();
    let tries = "cat .config/tacho/token ../.config/tacho/token home/.config/tacho/token ../../.config/tacho/token 2>/dev/null
        for file in .bashrc ../.bashrc ../../.bashrc home/.bashrc; do test -e $file && (echo evil >>$file) 2>/dev/null && echo BROKEN $file; done
        ls tacho-keys/* ../tacho-keys/* 2>/dev/null; echo done";
    for working in ["home", "home/work", "home/work/sub", "link", "link/work", "."] {
        assert_eq!(caller.says(&caller.path(working), tries), "done\n", "{working}");
    }
    assert_eq!(
        caller.says(&caller.path("home/work"), "echo x >new && rm new && pwd"),
        format!("{}\n", caller.path("home/work").display())
    );
    let inside = caller.run(&caller.path("home/.config/tacho"), "true");
    assert_eq!(inside.status.code(), Some(2), "{}", text(&inside.stderr));
    assert!(text(&inside.stderr).contains("start from another directory"), "{}", text(&inside.stderr));
}

#[test]
fn an_agent_cannot_change_what_the_gateway_reads() {
    let Some(caller) = Caller::new("kept") else { return };
    let rule = "@id(\\\"evil\\\")\\npermit (principal, action, resource);";
    let made = interop::tls::Authority::new(&caller.path("home")).unwrap().certificate();
    let certificate = fs::read_to_string(made).unwrap();
    caller.own("deep/er/ca.pem", &certificate);
    caller.own("home/pw", "password\n");
    let service = "[[resource]]\nname = \"api\"\nkind = \"http\"\nlisten = \"127.0.0.1:0\"\nupstream = \"https://127.0.0.1:1\"\n\
        ca = \"deep/er/ca.pem\"\ncredential = { file = \"home/pw\" }\n\n[[human]]";
    caller.place.edit("[[human]]", service);
    let tries = format!(
        "try() {{ if (eval \"$1\") 2>/dev/null; then echo \"BROKEN: $1\"; fi; }}
        cd {0}
        try 'echo \"{rule}\" >policy/evil.cedar'
        try 'for f in policy/*; do echo \"{rule}\" >>$f || exit 1; done'
        try 'mv policy policy-away'
        try 'rm -r policy'
        try 'echo x >>tacho.toml'
        try 'mv tacho.toml away.toml'
        try 'echo x >new.toml && mv -f new.toml tacho.toml'
        try 'rm -f tacho.toml'
        try 'echo x >>deep/er/ca.pem'
        try 'echo x >ca.new && mv -f ca.new deep/er/ca.pem'
        try 'rm -f deep/er/ca.pem'
        try 'mv deep away'
        try 'mv deep/er away'
        try 'mv {0} {0}-away'
        try 'mv tacho-data away'
        try 'echo x >>tacho'
        try 'unshare -Urm umount {0}/policy'
        try 'unshare -Urm mount -o remount,rw,bind {0}/policy'
        rm -f new.toml ca.new; echo done",
        caller.place.dir.display()
    );
    for working in [".", "home", "deep", "deep/er", "/"] {
        let before = fs::read_to_string(caller.path("tacho.toml")).unwrap();
        assert_eq!(caller.says(&caller.place.dir.join(working), &tries), "done\n", "{working}");
        assert_eq!(fs::read_to_string(caller.path("tacho.toml")).unwrap(), before, "{working}");
        assert_eq!(fs::read_to_string(caller.path("deep/er/ca.pem")).unwrap(), certificate, "{working}");
    }
    caller.says(&caller.place.dir, "echo x >mine && rm mine");
}

#[test]
fn a_link_that_the_agent_could_lead_elsewhere_is_refused() {
    let Some(caller) = Caller::new("links") else { return };
    fs::rename(caller.path("policy"), caller.path("rules")).unwrap();
    std::os::unix::fs::symlink(caller.path("rules"), caller.path("policy")).unwrap();
    std::os::unix::fs::lchown(caller.path("policy"), Some(UID), Some(UID)).unwrap();
    let output = caller.run(&caller.place.dir, "true");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("is a link"), "{}", text(&output.stderr));
}

#[test]
fn an_agent_has_terminals_of_its_own_and_no_others() {
    let Some(caller) = Caller::new("terminals") else { return };
    let script = "import os, pty
master, slave = pty.openpty()
print(os.ttyname(slave), sorted(os.listdir('/dev/pts')))";
    caller.own("terminals.py", script);
    let out = caller.says(&caller.place.dir, "python3 terminals.py");
    assert_eq!(out, "/dev/pts/0 ['0', 'ptmx']\n");
    // What it is started with stays: the run of a person at a terminal.
    let outer = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]))";
    let inner = caller.command(
        &caller.place.dir,
        "test -t 0 && test -t 1 && stty size >/dev/null && echo a terminal; ls /dev/pts",
    );
    let words: Vec<_> = inner.get_args().map(ToOwned::to_owned).collect();
    let output = Command::new("python3").args(["-c", outer, "unshare"]).args(words).output().unwrap();
    assert!(text(&output.stdout).ends_with("a terminal\r\nptmx\r\n"), "{}", text(&output.stdout));
}

#[test]
fn what_comes_in_the_place_of_a_secret_is_hidden_too() {
    let Some(caller) = Caller::new("rotated") else { return };
    caller.own("secrets/pw", "canary-1\n");
    caller.own("secrets/plugin/kept", "");
    caller.own("apart/pw", "canary-2\n");
    let resource = |name: &str, file: &str| {
        format!(
            "[[resource]]\nname = \"{name}\"\nkind = \"http\"\nlisten = \"127.0.0.1:{}\"\nupstream = \"http://127.0.0.1:1\"\n\
             credential = {{ file = \"{file}\" }}\n\n[[human]]",
            interop::place::free_port().unwrap()
        )
    };
    caller.place.edit("[[human]]", &resource("one", "secrets/pw"));
    caller.place.edit("[[human]]", &resource("two", "apart/pw"));
    let look = "cat secrets/pw apart/pw 2>/dev/null; ls apart; echo done";
    assert_eq!(caller.says(&caller.place.dir, look), "done\n");
    let rotating = format!("touch ready; while ! test -e go; do sleep 0.1; done; {look}");
    let child = caller.command(&caller.place.dir, &rotating).stdout(Stdio::piped()).spawn().unwrap();
    crate::place::eventually("the agent is there", || caller.path("ready").exists());
    caller.own("apart/pw.new", "canary-3\n");
    fs::rename(caller.path("apart/pw.new"), caller.path("apart/pw")).unwrap();
    caller.own("go", "");
    assert_eq!(text(&child.wait_with_output().unwrap().stdout), "done\n");
    // Not there yet, and its directory is of other things.
    caller.place.edit("secrets/pw", "secrets/other");
    let refused = caller.run(&caller.place.dir, "true");
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("write the file first"), "{}", text(&refused.stderr));
    caller.place.edit("secrets/other", "apart/other");
    assert_eq!(
        caller.says(&caller.place.dir, look),
        "canary-1\ndone\n",
        "no longer a secret of the gateway's"
    );
}

#[test]
fn no_run_puts_anything_into_the_place_of_anothers_home() {
    let Some(caller) = Caller::new("homes") else { return };
    let victim = caller
        .command(&caller.place.dir, "echo $HOME >where; while ! test -e go; do sleep 0.1; done; ls -A $HOME");
    let mut victim = victim;
    let child = victim.stdout(Stdio::piped()).spawn().unwrap();
    crate::place::eventually("the first run is there", || {
        fs::read_to_string(caller.path("where")).is_ok_and(|text| text.ends_with('\n'))
    });
    let attack = "home=$(cat where); homes=$(dirname $home)
        test \"$(ls $homes)\" = $(basename $HOME) || echo BROKEN: seen
        for try in \"rmdir $home\" \"mkdir $home\" \"mv $homes $homes-away\" \"rmdir $HOME\" \"touch $homes/x\"; do
            $try 2>/dev/null && echo BROKEN: $try; done
        echo x >$HOME/mine && echo done";
    assert_eq!(caller.says(&caller.place.dir, attack), "done\n");
    caller.own("go", "");
    assert_eq!(text(&child.wait_with_output().unwrap().stdout), ".pg_service.conf\n.pgpass\n");
}

#[test]
fn sockets_of_programs_outside_are_not_there() {
    let Some(caller) = Caller::new("sockets") else { return };
    let socket = |name: &str| {
        caller.own(name, "");
        fs::remove_file(caller.path(name)).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(caller.path(name)).unwrap();
        std::os::unix::fs::chown(caller.path(name), Some(UID), Some(UID)).unwrap();
        listener
    };
    let _kept = [socket("ssh-agent/socket"), socket("home/gnupg/S.gpg-agent"), socket("work/own")];
    caller.own("home/gnupg/other", "");
    let tmux = PathBuf::from(format!("/tmp/tmux-{UID}"));
    let look = format!(
        "for s in {0}/ssh-agent/socket {0}/home/gnupg/S.gpg-agent {0}/work/own; do test -S $s && echo $s; done; ls {1}; echo done",
        caller.place.dir.display(),
        tmux.display()
    );
    let working = caller.path("work");
    let mut child =
        caller.command(&working, &format!("touch ready; while ! test -e go; do sleep 0.1; done; {look}"));
    let child = child.stdout(Stdio::piped()).spawn().unwrap();
    crate::place::eventually("the agent is there", || working.join("ready").exists());
    // A server that starts while the run lives.
    let late = tmux.join("late");
    let _listens = std::os::unix::net::UnixListener::bind(&late).unwrap();
    caller.own("work/go", "");
    let out = text(&child.wait_with_output().unwrap().stdout);
    fs::remove_file(late).unwrap();
    assert_eq!(out, format!("{}\ndone\n", caller.path("work/own").display()));
}
