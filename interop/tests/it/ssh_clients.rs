//! Foreign clients of SSH in a run, as their manuals use them: paramiko, asyncssh, Ansible, rsync, git, Dropbear's, and OpenSSH's with
//! several programs on one connection. They find the host, its key and their own where `tacho run` puts them.

use crate::ssh::Scene;
use crate::world::{client, drivers};
use interop::process::{Finished, finish};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

/// Ansible starts Python a dozen times on either side.
const ANSIBLE_SECONDS_MAX: Duration = Duration::from_secs(300);

/// Agents `runner*` may do what cannot be known (`crate::ssh::RULES`): each of these clients starts a shell's text or a program of its own.
fn scene() -> &'static Scene {
    static SHARED: OnceLock<Scene> = OnceLock::new();
    SHARED.get_or_init(|| Scene::start(|_| {}))
}

#[track_caller]
fn says(done: &Finished, last: &str) {
    let said = done.out();
    assert!(done.status.success() && said.trim_end().ends_with(last), "{}", scene().gateway.explain(done));
}

fn python(agent: &str, script: &str) -> Finished {
    let (python, script) = (drivers().python(), client(script));
    scene().gateway.run_to_end(agent, &[&python, &script], "").unwrap()
}

#[test]
fn paramiko_finds_the_host_and_its_key() {
    says(&python("runner-paramiko", "paramiko_client.py"), "paramiko: done");
    let shown = scene().show("runner-paramiko").to_string();
    for part in ["LC_TIME=C echo $LC_TIME", "forward 127.0.0.1:1", "exit 7"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn asyncssh_is_told_nothing_but_the_hosts_name() {
    says(&python("runner-asyncssh", "asyncssh_client.py"), "asyncssh: done");
    assert!(scene().show("runner-asyncssh").to_string().contains("forward 127.0.0.1:1"));
}

/// An Ansible that runs in the run's home, with an inventory of one host.
fn ansible(agent: &str, settings: &str, words: &str) -> Finished {
    let script = format!(
        "cd \"$HOME\" && cp {0}/play.yml {0}/greeting.j2 . && export ANSIBLE_LOCALHOST_WARNING=False {settings}; \
         exec {1} -m ansible {words} -i build, -e ansible_python_interpreter=/usr/bin/python3",
        drivers().dir().display(),
        drivers().python().display(),
    );
    let mut run = scene().gateway.run(agent, &["/bin/sh", "-c", &script].map(Path::new));
    finish(&mut run, b"", ANSIBLE_SECONDS_MAX).unwrap()
}

const PLAY: &str = r#"
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.setup: { gather_subset: ["!all", "!min", "distribution"] }
    - ansible.builtin.command: "printf '%s' from-ansible"
      register: said
      changed_when: false
    - ansible.builtin.assert: { that: said.stdout == "from-ansible" }
    - ansible.builtin.copy: { content: "copied\n", dest: "PLACE/copied" }
    - ansible.builtin.template: { src: greeting.j2, dest: "PLACE/greeting" }
    - ansible.builtin.slurp: { src: "PLACE/greeting" }
      register: back
    - ansible.builtin.assert: { that: "back.content | b64decode == 'hello build, from-ansible\n'" }
"#;

/// Writes the play for a place on the host.
fn play(place: &Path) {
    std::fs::create_dir_all(place).unwrap();
    drivers().file("play.yml", &PLAY.replace("PLACE", &place.display().to_string())).unwrap();
    drivers().file("greeting.j2", "hello {{ inventory_hostname }}, {{ said.stdout }}\n").unwrap();
}

#[test]
fn ansible_runs_a_command_and_a_play_without_sftp() {
    let place = scene().sshd.dir().join("ansible");
    play(&place);
    let raw = ansible(
        "runner-ansible",
        "ANSIBLE_SSH_USETTY=False",
        "adhoc all -m ansible.builtin.raw -a 'echo raw-$((6 * 7))'",
    );
    assert!(raw.status.success() && raw.out().contains("raw-42"), "{}", scene().gateway.explain(&raw));
    // What is copied goes through the standard input of `dd`; modules, too, or through that of Python (pipelining).
    for pipelining in ["True", "False"] {
        let _none_yet = std::fs::remove_file(place.join("copied"));
        let settings = format!(
            "ANSIBLE_SSH_TRANSFER_METHOD=piped ANSIBLE_SSH_USETTY=False ANSIBLE_PIPELINING={pipelining}"
        );
        let done = ansible("runner-ansible", &settings, "playbook play.yml");
        assert!(done.status.success(), "pipelining {pipelining}: {}", scene().gateway.explain(&done));
        assert_eq!(std::fs::read_to_string(place.join("copied")).unwrap(), "copied\n");
    }
    assert!(scene().show("runner-ansible").to_string().contains("dd of="));
}

#[test]
fn rsync_sends_and_fetches_a_tree() {
    let far = scene().sshd.dir().join("tree");
    let far = far.display();
    let script = format!(
        "set -e; cd \"$HOME\"; mkdir -p here/deep; seq 30000 > here/numbers; seq 10 > here/deep/few; ln -s numbers here/link; \
         rsync -a here/ build:{far}/; seq 30010 > here/numbers; rsync -a --checksum here/ build:{far}/; \
         rsync -a build:{far}/ back/; diff -r here back; rsync -az build:{far}/ small/; diff -r here small; \
         rsync -a --delete -e \"ssh -F $HOME/.ssh/config\" --exclude deep here/ build:{far}/; echo 'rsync: done'"
    );
    says(&scene().sh("runner-rsync", &script), "rsync: done");
}

#[test]
fn git_clones_fetches_and_pushes() {
    let bare = scene().sshd.dir().join("git-bare");
    let far = bare.display();
    let script = format!(
        "set -e; cd \"$HOME\"; ssh build 'git init -q --bare -b main {far}'; git init -q -b main w; cd w; \
         git config user.email a@b.example; git config user.name x; seq 5000 > f; git add f; git commit -qm one; \
         git remote add origin build:{far}; git push -q origin main; cd ..; git clone -q build:{far} x; cmp w/f x/f; \
         cd w; seq 6000 > f; git commit -qam two; git push -q origin main; cd ../x; git pull -q --ff-only; cmp f ../w/f; \
         git clone -q ssh://build{far} ../y; cmp f ../y/f; echo 'git: done'"
    );
    says(&scene().sh("runner-git", &script), "git: done");
}

#[test]
fn dropbears_client_comes_by_a_password_and_by_a_key() {
    // It knows no ports in its list of hosts, and takes the first key it is shown: who it speaks to, the run knows.
    let script = "set -e; cd \"$HOME\"; at=\"-p $BUILD_SSH_PORT $BUILD_SSH_USER@$BUILD_SSH_HOST\"; \
        DROPBEAR_PASSWORD=$BUILD_SSH_PASSWORD dbclient -y $at 'echo by a password; exit 3' 2>/dev/null || test $? = 3; \
        dropbearconvert openssh dropbear .ssh/id_ed25519 dropbear.key 2>/dev/null; \
        echo input | dbclient -y -i dropbear.key $at 'cat; a=536-22; echo $a-8391; echo err >&2' 2>err; \
        grep -q '^err' err; DROPBEAR_PASSWORD=wrong dbclient -y $at 'echo let in' 2>/dev/null; echo 'dbclient: done'";
    let done = scene().sh("runner-dropbear", script);
    says(&done, "dbclient: done");
    assert_eq!(done.out(), "by a password\ninput\n[pii.ssn]\ndbclient: done\n");
}

#[test]
fn openssh_shares_a_connection_among_programs_by_itself() {
    let script = "cd \"$HOME\"; shared='-o ControlMaster=auto -o ControlPersist=20 -o ControlPath=c-%C'; \
        for n in 1 2 3 4; do ssh $shared build \"echo $n; exit $n\"; test $? = $n || echo wrong; done; \
        ssh $shared -O check build 2>&1 | grep -q 'Master running' && echo shared; ssh $shared -O exit build 2>/dev/null; \
        ssh build 'echo alone'";
    let done = scene().sh("runner-shared", script);
    assert_eq!(done.out(), "1\n2\n3\n4\nshared\nalone\n", "{}", scene().gateway.explain(&done));
    let connects = scene().show("runner-shared")["sessions"].as_array().map(Vec::len);
    assert!(connects.is_none_or(|connects| connects == 2), "{connects:?}");
}

#[test]
fn openssh_comes_by_the_runs_password() {
    let script = "SSHPASS=$BUILD_SSH_PASSWORD sshpass -e ssh -o PreferredAuthentications=password -o PubkeyAuthentication=no build 'echo in'; \
        printf '#!/bin/sh\\necho \"$BUILD_SSH_PASSWORD\"\\n' > \"$HOME/ask\"; chmod +x \"$HOME/ask\"; \
        SSH_ASKPASS=$HOME/ask SSH_ASKPASS_REQUIRE=force ssh -o PreferredAuthentications=password -o PubkeyAuthentication=no build 'echo asked'; \
        SSHPASS=${BUILD_SSH_PASSWORD}x sshpass -e ssh -o PreferredAuthentications=password -o PubkeyAuthentication=no build true; echo $?";
    let done = scene().sh("runner-password", script);
    // sshpass says 5 of a password that is not taken.
    assert_eq!(done.out(), "in\nasked\n5\n", "{}", scene().gateway.explain(&done));
    let records = scene().show("runner-password").to_string();
    assert!(records.contains("echo asked"), "{records}");
}
