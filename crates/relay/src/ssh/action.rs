//! What a command line does: verbs on programs, files and hosts, below the host and the user that it runs as.
//!
//! | resource | verb | what |
//! |---|---|---|
//! | `NAME` | `connect` | the host |
//! | `NAME/USER` | `execute` | what is not told apart there; beside `opaque` |
//! | `NAME/USER` | `shell` | a login shell, or a command at a terminal; beside `execute` and `opaque` |
//! | `NAME/USER/program/ls` | `execute` | a program found by its name, or in one of the system's directories |
//! | `NAME/USER/program/%2Fopt%2Fx` | `execute` | one by its path, in one segment |
//! | `NAME/USER/file/etc/passwd` | `read`, `write` | a file or directory; deleting one and changing its mode are writes, listing reads |
//! | `NAME/USER/file/~/x` | the same | below the user's home; `~ada` below another's |
//! | `NAME/USER/host/db.internal` | `call` | another host that a program reaches; below it the ports of forwards (`forward.rs`) |
//!
//! `USER` is another than the login's where `sudo` and its like say so. Paths are made plain by their text alone: what a link on the
//! host leads to, it does not say, so that one with `..` behind a name is opaque. A pattern of file names is access to the directory that
//! it surely lies in, and opaque. What a program that is not known here does with its words, and any program by its configuration, is
//! not said.

use std::borrow::Cow;
use std::collections::BTreeSet;

use proto_ssh::scp::{self, Word};
use shell::limits::PATH_BYTES_MAX;
use shell::{Base, Command, FileAccess, FileUse, Inside, Line, Program, User, Value};
use vocab::{Access, Action, Opaque, ResourcePath, Verb};

use crate::config::LoginShell;
use crate::limits::SSH_ACCESSES_MAX;

/// The kind of a command, as policy and records have it.
pub(super) const EXEC: &str = "EXEC";

const SHELLS_DIFFER: &str = "shells read the command line in different ways";
const NO_SHELL: &str = "the user's login shell is none whose lines are read";
const PATTERN: &str = "a pattern of file names may mean any number of them";
const ELSEWHERE: &str = "a command runs on another host";
const NOBODY: &str = "as whom a command runs cannot be known";
const TOO_MUCH: &str = "the command line does more than is told apart";
const UNREADABLE: &str = "the command line cannot be read as the shell reads it";

/// A command line, as far as it is understood.
pub(crate) struct Read {
    pub(crate) action: Action,
    /// `None`: it could not be read.
    pub(super) line: Option<Line>,
}

/// What the login shell of `user` does with `command`.
pub(crate) fn of(root: &ResourcePath, user: &str, login_shell: LoginShell, command: &[u8]) -> Read {
    let read = match login_shell {
        LoginShell::Other => Err(NO_SHELL),
        LoginShell::Sh | LoginShell::Bash => shell::line(command).map_err(|_refused| UNREADABLE),
    };
    let mut found = Found { root, user, accesses: BTreeSet::new(), looked: 0, opaque: None };
    let line = match read {
        Ok(line) => {
            found.line(&line, login_shell);
            Some(line)
        }
        Err(why) => {
            found.unknown(why);
            None
        }
    };
    let action = Action {
        accesses: found.accesses.into_iter().collect(),
        functions: Vec::new(),
        kind: EXEC,
        opaque: found.opaque.map(Opaque),
    };
    Read { action, line }
}

/// The kind of a login shell.
const SHELL: &str = "SHELL";

const INTERACTIVE: &str = "a shell does what it is given, line by line";
const TERMINAL: &str = "a program at a terminal does what is typed there";

/// The login shell of `user`.
pub(super) fn shell(root: &ResourcePath, user: &str) -> Action {
    Action {
        accesses: [Verb::Execute, Verb::Shell].map(|verb| on_user(root, user, verb)).into(),
        functions: Vec::new(),
        kind: SHELL,
        opaque: Some(Opaque(INTERACTIVE)),
    }
}

/// The same command with a terminal: a pager, an editor or a shell that it starts can be told there to do anything.
pub(crate) fn at_a_terminal(command: Action, root: &ResourcePath, user: &str) -> Action {
    let mut accesses: BTreeSet<Access> = command.accesses.into_iter().collect();
    accesses.extend([Verb::Execute, Verb::Shell].map(|verb| on_user(root, user, verb)));
    let opaque = command.opaque.or(Some(Opaque(TERMINAL)));
    Action { accesses: accesses.into_iter().collect(), opaque, ..command }
}

fn on_user(root: &ResourcePath, user: &str, verb: Verb) -> Access {
    Access { verb, on: root.join(user), columns: Vec::new() }
}

/// Whether a line starts the other end of a transfer: what it says is no text, and has lengths and checksums.
pub(super) fn is_transfer(line: &Line) -> bool {
    line.commands.iter().any(|command| match &command.program {
        Program::Named { base, .. } => TRANSFERS.contains(&base.as_str()),
        Program::Unknown | Program::None => false,
    })
}

const TRANSFERS: &[&str] =
    &["scp", "rsync", "sftp-server", "git-upload-pack", "git-upload-archive", "git-receive-pack"];

/// What the host's side of scp is asked for, where the line is that and nothing else. Paths that only the host can tell are not
/// read here: such a line is a command like others.
pub(super) fn copies(line: &Line) -> Option<scp::Command> {
    let [command] = &line.commands[..] else { return None };
    let plain = line.opaque.is_empty()
        && line.differences.is_empty()
        && command.place == shell::Place::ALONE
        && command.assignments.is_empty()
        && command.redirections.is_empty()
        && command.user.is_none();
    match &command.program {
        Program::Named { written, .. } if plain && SCPS.contains(&written.as_str()) => {}
        _ => return None,
    }
    let words: Option<Vec<Word>> = command
        .args
        .iter()
        .map(|arg| match &arg.value {
            Value::Literal(text) => Some(Word::literal(text.as_bytes())),
            Value::Pattern(Base::Written, text) => Some(Word::pattern(text.as_bytes())),
            Value::Below(..) | Value::Pattern(..) | Value::Unknown { .. } => None,
        })
        .collect();
    scp::Command::read(&words?)
}

/// What of such a line is decided before it begins: the program, and where it reads, since its host says which files there are, and
/// their times, before it sends one. What it writes is decided file by file.
pub(super) fn of_copy(command: Action) -> Action {
    let program = |access: &Access| access.on.as_str().split('/').nth(2) == Some("program");
    let kept = |access: &Access| access.verb == Verb::Read || program(access);
    let accesses = command.accesses.into_iter().filter(kept).collect();
    Action { accesses, opaque: None, ..command }
}

const SCPS: &[&str] = &["scp", "/usr/bin/scp", "/bin/scp"];

/// What is asked for that is neither a command nor carried: `kind` names it.
pub(super) fn beside(root: &ResourcePath, user: &str, kind: &'static str) -> Action {
    Action {
        accesses: vec![on_user(root, user, Verb::Execute)],
        functions: Vec::new(),
        kind,
        opaque: Some(Opaque("it is not carried")),
    }
}

struct Found<'a> {
    root: &'a ResourcePath,
    user: &'a str,
    accesses: BTreeSet<Access>,
    /// How many files and hosts were looked at, the same ones again among them.
    looked: usize,
    opaque: Option<&'static str>,
}

impl Found<'_> {
    fn line(&mut self, line: &Line, login_shell: LoginShell) {
        if !line.differences.is_empty() && login_shell != LoginShell::Bash {
            self.unknown(SHELLS_DIFFER);
        }
        for (why, _) in &line.opaque {
            self.unknown(why.as_str());
        }
        line.commands.iter().for_each(|command| self.command(command));
        if self.accesses.is_empty() {
            // It does nothing, and is a command all the same.
            self.add(Verb::Execute, self.root.join(self.user));
        }
    }

    fn command(&mut self, command: &Command) {
        match command.place.inside {
            Inside::Remote => self.unknown(ELSEWHERE),
            Inside::Line
            | Inside::Substitution
            | Inside::Function
            | Inside::Wrapped
            | Inside::Script
            | Inside::Container => {}
        }
        let user = match &command.user {
            None => self.user.to_owned(),
            Some(User::Named(user)) if !user.is_empty() => user.clone(),
            // Of nobody's name.
            Some(User::Named(_)) => {
                self.unknown(NOBODY);
                self.user.to_owned()
            }
            Some(User::Unknown) => {
                self.unknown(NOBODY);
                self.user.to_owned()
            }
        };
        let of_user = self.root.join(&user);
        match &command.program {
            Program::Named { written, base } => match program_of(command, written, base) {
                Some(program) => self.add(Verb::Execute, of_user.join("program").join(&program)),
                None => {
                    self.unknown(PROGRAM_UNKNOWN);
                    self.add(Verb::Execute, of_user.clone());
                }
            },
            Program::Unknown => self.add(Verb::Execute, of_user.clone()),
            Program::None => {}
        }
        let own = user == self.user;
        command.files.iter().for_each(|file| self.file(&of_user, own, file));
        for host in &command.hosts {
            if self.looks()
                && let Some(name) = host.host.literal()
            {
                self.add(Verb::Call, of_user.join("host").join(&name.to_ascii_lowercase()));
            }
        }
    }

    /// `own`: the login's user does it. Of another, what is neither from the root nor of a named home may be in either's.
    fn file(&mut self, of_user: &ResourcePath, own: bool, file: &FileUse) {
        if !self.looks() {
            return;
        }
        let verb = match file.access {
            FileAccess::Read | FileAccess::List => Verb::Read,
            FileAccess::Write | FileAccess::Append | FileAccess::Delete | FileAccess::Attributes => {
                Verb::Write
            }
        };
        let mut place = Place::home();
        if let Some(directory) = &file.directory {
            place.enter(directory);
        }
        place.enter(&file.path);
        if !own && place.segments.first().is_some_and(|first| first == "~") {
            place.unknown = Some(PATH_UNKNOWN);
        }
        if let Some(why) = place.unknown {
            self.unknown(why);
        }
        match place.below(of_user.join("file")) {
            Some(path) => self.add(verb, path),
            None => self.unknown(PATH_UNKNOWN),
        }
    }

    /// Whether another one may be looked at: what is not told apart is not built.
    fn looks(&mut self) -> bool {
        self.looked += 1;
        if self.looked > SSH_ACCESSES_MAX {
            self.unknown(TOO_MUCH);
        }
        self.looked <= SSH_ACCESSES_MAX
    }

    fn add(&mut self, verb: Verb, on: ResourcePath) {
        match self.accesses.len() < SSH_ACCESSES_MAX {
            true => _ = self.accesses.insert(Access { verb, on, columns: Vec::new() }),
            false => self.unknown(TOO_MUCH),
        }
    }

    /// The first reason stands in the record. `execute` on the user as a whole goes with it.
    fn unknown(&mut self, why: &'static str) {
        self.opaque.get_or_insert(why);
        self.accesses.insert(on_user(self.root, self.user, Verb::Execute));
    }
}

/// The system's own directories of programs: a name there is the program that the name alone would find, but for who put another one
/// before it.
const SYSTEM: &[&str] = &["/bin", "/sbin", "/usr/bin", "/usr/sbin"];

const PROGRAM_UNKNOWN: &str = "which program runs cannot be known";

/// How a command's program is named: one by a relative path is in the directory that a `cd` before it went to.
fn program_of(command: &Command, written: &str, base: &str) -> Option<String> {
    let relative = written.contains('/') && !written.starts_with('/');
    let Some(directory) = command.directory.as_ref().filter(|_| relative) else {
        return program(written, base);
    };
    let written = Value::Literal(written.to_owned());
    let mut place = Place::home();
    place.enter(directory);
    place.enter(&written);
    if place.unknown.is_some() || base.is_empty() {
        return None;
    }
    let written = match place.segments.split_first() {
        // Where the line began.
        Some((first, rest)) if first == "~" => format!("./{}", rest.join("/")),
        // Another's home has no path that is known.
        Some((first, _)) if first.starts_with('~') => return Some(place.segments.join("/")),
        _ => format!("/{}", place.segments.join("/")),
    };
    program(&written, base)
}

/// How a program is named. `None`: its path says less than which file it is.
fn program(written: &str, base: &str) -> Option<String> {
    if !written.contains('/') {
        return Some(base.to_owned()).filter(|base| !base.is_empty());
    }
    let segments = || written.split('/').filter(|segment| !matches!(*segment, "" | "."));
    if base.is_empty() || segments().any(|segment| segment == "..") {
        return None;
    }
    let plain = segments().collect::<Vec<_>>().join("/");
    let root = if written.starts_with('/') { "/" } else { "./" };
    let plain = format!("{root}{plain}");
    match plain.rsplit_once('/') {
        Some((directory, base)) if SYSTEM.contains(&directory) => Some(base.to_owned()),
        Some(_) | None => Some(plain),
    }
}

/// Where in the host's files a path leads, by its text.
struct Place<'a> {
    /// From the root, or from a home (`~`).
    segments: Vec<Cow<'a, str>>,
    unknown: Option<&'static str>,
}

const PATH_UNKNOWN: &str = "which file is meant cannot be known";
const CLIMBS: &str = "a path with `..` behind a name leads above what that name links to";

impl<'a> Place<'a> {
    /// Where a command begins.
    fn home() -> Place<'a> {
        Place { segments: vec!["~".into()], unknown: None }
    }

    /// The resource, in one piece. Segments are escaped as [`ResourcePath::join`] does it; none is empty or has a `/`.
    fn below(&self, root: ResourcePath) -> Option<ResourcePath> {
        let mut text = root.as_str().to_owned();
        for segment in &self.segments {
            text.push('/');
            text.push_str(&segment.replace('%', "%25"));
        }
        ResourcePath::parse(&text)
    }

    fn enter(&mut self, path: &'a Value) {
        let (base, text) = match path {
            Value::Literal(text) => (&Base::Written, text.as_str()),
            Value::Below(base, text) => (base, text.as_str()),
            Value::Pattern(base, text) => {
                self.unknown = Some(PATTERN);
                (base, before_pattern(text))
            }
            Value::Unknown { starts, .. } => {
                self.unknown = Some(PATH_UNKNOWN);
                (&Base::Written, starts.rfind('/').map_or("", |at| &starts[..at]))
            }
        };
        if text.len() > PATH_BYTES_MAX {
            self.unknown = Some(PATH_UNKNOWN);
            return;
        }
        match base {
            Base::Home => self.segments = vec!["~".into()],
            Base::HomeOf(user) => self.segments = vec![format!("~{user}").into()],
            Base::Written if text.starts_with('/') => self.segments.clear(),
            Base::Written | Base::Working => {}
        }
        for segment in text.split('/') {
            match segment {
                "" | "." => {}
                ".." if self.segments.last().is_some_and(|last| last.starts_with('~')) => {
                    // What a home lies in is not in the line.
                    self.unknown = Some(PATH_UNKNOWN);
                }
                ".." => {
                    // Above what is there: the name may be a link's, and the agent's own.
                    if self.segments.pop().is_some() {
                        self.unknown = Some(CLIMBS);
                    }
                }
                name => {
                    if self.segments.is_empty() && name.starts_with('~') {
                        // Below the root, and would be named as a home is.
                        self.unknown = Some(PATH_UNKNOWN);
                    }
                    self.segments.push(name.into());
                }
            }
        }
    }
}

/// The directory that all that a pattern means surely lies in.
fn before_pattern(text: &str) -> &str {
    let first = text.find(['*', '?', '[', '\\']).unwrap_or(text.len());
    text[..first].rfind('/').map_or("", |at| &text[..at.max(usize::from(text.starts_with('/')))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expect: &[&str]) {
        checked(LoginShell::Sh, line, expect);
    }

    /// Accesses without `build/deploy/`, and `opaque`.
    #[track_caller]
    fn checked(login_shell: LoginShell, line: &str, expect: &[&str]) {
        let read = of(&ResourcePath::root("build"), "deploy", login_shell, line.as_bytes());
        let place = |path: &str| path.strip_prefix("build/").unwrap_or(path).to_owned();
        let said =
            read.action.accesses.iter().map(|a| format!("{} {}", a.verb.as_str(), place(a.on.as_str())));
        let mut said: Vec<String> = said.map(|said| said.replace("deploy/", "")).collect();
        said.extend(read.action.opaque.map(|_| "opaque".to_owned()));
        said.sort();
        let mut expect = expect.to_vec();
        expect.sort_unstable();
        assert_eq!(said, expect, "{line}");
    }

    #[test]
    fn scps_own_protocol_is_a_line_of_its_own_or_a_command_like_others() {
        let is = |line: &str| shell::line(line.as_bytes()).ok().as_ref().and_then(copies).is_some();
        for line in [
            "scp -t a",
            "scp -qrp -f -- /a /b",
            "/usr/bin/scp -f '/a b'",
            "scp -f /srv/*.txt",
            "scp -r -p -t -- \"a\"",
        ] {
            assert!(is(line), "{line}");
            let read = of(&ResourcePath::root("build"), "deploy", LoginShell::Sh, line.as_bytes());
            let action = of_copy(read.action);
            let writes = action.accesses.iter().any(|access| access.verb == Verb::Write);
            let reads = action.accesses.iter().any(|access| access.verb == Verb::Read);
            let runs = action.accesses.iter().any(|access| access.on.as_str() == "build/deploy/program/scp");
            assert!(runs && !writes && action.opaque.is_none(), "{line}: {:?}", action.accesses);
            assert_eq!(reads, line.contains("-f"), "{line}: {:?}", action.accesses);
        }
        for line in [
            "./scp -t a",
            "/tmp/scp -t a",
            "sudo scp -t a",
            "sudo -u bob scp -t a",
            "X=1 scp -t a",
            "scp -t a >b",
            "scp -t a; id",
            "scp -t a | cat",
            "id | scp -t a",
            "scp -t a &",
            "(scp -t a)",
            "true && scp -t a",
            "for n in 1 2; do scp -t a; done",
            "f() { scp -t a; }; f",
            "scp -t $X",
            "scp -t `id`",
            "scp -t ~/a",
            "sh -c 'scp -t a'",
            "scp a build:b",
            "scp -S sh -t a",
            "scp -t -f a",
            "scp -t a b",
            "\\scp -t a $(id)",
            "eval scp -t a",
        ] {
            assert!(!is(line), "{line}");
        }
    }

    #[test]
    fn a_line_is_its_programs_files_and_hosts() {
        check("true", &["execute program/true"]);
        check("cat /etc/passwd", &["execute program/cat", "read file/etc/passwd"]);
        check("/usr/bin/cat notes", &["execute program/cat", "read file/~/notes"]);
        check("/tmp/cat notes", &["execute program/%2Ftmp%2Fcat", "read file/~/notes"]);
        check("echo x > /srv/./log", &["execute program/echo", "write file/srv/log"]);
        check("rm -f ~/x", &["execute program/rm", "write file/~/x"]);
        check(
            "sudo -u app rm /srv/x",
            &["execute app/program/rm", "execute program/sudo", "write app/file/srv/x"],
        );
        check("ls /srv/*.log", &["execute program/ls", "read file/srv"]);
        check("curl http://h/", &["call host/h", "execute program/curl"]);
        check("curl -L http://h/", &["call host/*", "call host/h", "execute program/curl"]);
        check("//usr/./bin/cat notes", &["execute program/cat", "read file/~/notes"]);
        check("./cat notes", &["execute program/.%2Fcat", "read file/~/notes"]);
    }

    #[test]
    fn a_program_by_a_relative_path_is_the_one_of_the_directory() {
        check("./deploy.sh", &["execute program/.%2Fdeploy.sh"]);
        check(
            "cd /srv/evil && ./deploy.sh",
            &["execute program/%2Fsrv%2Fevil%2Fdeploy.sh", "execute program/cd"],
        );
        check(
            "cd /srv/evil; ./deploy.sh",
            &["execute deploy", "execute program/.%2Fdeploy.sh", "execute program/cd", "opaque"],
        );
        check("cd evil && ../x", &["execute deploy", "execute program/cd", "opaque"]);
        check("cd evil && bin/x", &["execute program/.%2Fevil%2Fbin%2Fx", "execute program/cd"]);
        check("cd ~/evil && ./x", &["execute program/.%2Fevil%2Fx", "execute program/cd"]);
        check("cd ~ada/evil && ./x", &["execute program/cd", "execute program/~ada%2Fevil%2Fx"]);
        check("cd /usr && bin/cat", &["execute program/cat", "execute program/cd"]);
        check("cd .. && ./x", &["execute deploy", "execute program/cd", "opaque"]);
        check(
            "cd /srv && sudo -u app ./x",
            &["execute app/program/%2Fsrv%2Fx", "execute program/cd", "execute program/sudo"],
        );
    }

    #[test]
    fn what_is_not_in_the_line_is_opaque() {
        for line in [
            "eval \"$X\"",
            "$X",
            "python3 -c 'import os'",
            "curl https://x/ | sh",
            "cat \"$F\"",
            "cat /etc/*",
            "cat /~/notes",
            "cat ~/../ada/notes",
            "cat /srv/app/../log",
            "cd /srv/app && cat ../log",
            "cd /srv/app/.. && cat log",
            "sudo -u app cat ~/notes",
            "sudo -u app cat notes",
            "sudo -u '' true",
            "/usr/bin/",
            "/bin/../tmp/cat notes",
            "((",
            "a\u{0}b",
        ] {
            let read = of(&ResourcePath::root("build"), "deploy", LoginShell::Sh, line.as_bytes());
            assert!(read.action.opaque.is_some(), "{line}");
            let whole = read.action.accesses.iter().any(|access| access.on.as_str() == "build/deploy");
            assert!(whole, "{line}");
        }
    }

    #[test]
    fn files_are_looked_at_up_to_a_limit_and_paths_up_to_their_longest() {
        let opaque = |line: &str| {
            let read = of(&ResourcePath::root("build"), "deploy", LoginShell::Sh, line.as_bytes());
            (read.action.opaque.map(|why| why.0), read.action.accesses.len())
        };
        let files = |n: usize| format!("cat {}", "x ".repeat(n));
        assert_eq!(opaque(&files(SSH_ACCESSES_MAX)), (None, 2));
        assert_eq!(opaque(&files(SSH_ACCESSES_MAX + 1)), (Some(TOO_MUCH), 3));
        let path = |n: usize| format!("cat /{}", "a/".repeat(n));
        assert_eq!(opaque(&path(PATH_BYTES_MAX / 2 - 1)).0, None);
        assert!(opaque(&path(PATH_BYTES_MAX / 2)).0.is_some());
        // Each file is below 2,000 directories: the same path again and again, or another each time.
        let long = "a/".repeat(2_000);
        let many: String = (0..9_000).map(|n| format!("{n} ")).collect();
        for line in [format!("cd {long} && {}", files(9_000)), format!("cd {long} && cat {many}")] {
            assert_eq!(opaque(&line).0, Some(TOO_MUCH));
        }
    }

    #[test]
    fn what_shells_read_differently_needs_to_know_the_shell() {
        let opaque = |shell, line: &str| {
            of(&ResourcePath::root("build"), "deploy", shell, line.as_bytes()).action.opaque.is_some()
        };
        for line in ["echo {a,b}", "echo x &> y"] {
            assert!(opaque(LoginShell::Sh, line) && !opaque(LoginShell::Bash, line), "{line}");
        }
        assert!(opaque(LoginShell::Other, "true"));
    }
}
