//! Command lines that are file transfers: scp, rsync, git and the SFTP server, as their clients start them.
//!
//! The caller has read the command line as a shell would and gives its words: quotes undone, `~` and variables expanded. A
//! word that could not be expanded makes the command opaque before it comes here. Everything that is not recognised is a
//! command like others.
//!
//! Of scp the stream is read too ([`crate::scp`]). **The streams of rsync and git are opaque bytes**: what of the path is
//! read or written cannot be known, so that the touch is the whole of it, and what is below.

use crate::limits::WORDS_MAX;
use crate::path::{BadPath, Canonical, Path};
use crate::scp;
use crate::sftp::action::{Operation, Role, Touch};
use wire::RawField;

/// A word of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: RawField,
    /// It has `*`, `?` or `[` outside of quotes, which the host's shell expands; what was quoted of it is escaped with `\`.
    pub pattern: bool,
}

impl Word {
    pub fn literal(text: &[u8]) -> Word {
        Word { text: RawField::copy_from(text), pattern: false }
    }

    pub fn pattern(text: &[u8]) -> Word {
        Word { text: RawField::copy_from(text), pattern: true }
    }

    /// Whether its directory is known: a pattern may stand in the last name only.
    pub(crate) fn is_plain_but_for_its_name(&self) -> bool {
        let text = self.text.as_bytes();
        let directory =
            text.iter().rposition(|b| *b == b'/').and_then(|slash| text.get(..slash)).unwrap_or_default();
        let ends_in_slash = text.last() == Some(&b'/');
        !self.pattern || !(ends_in_slash || directory.iter().any(|b| matches!(b, b'*' | b'?' | b'[' | b'\\')))
    }
}

/// A transfer of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// The stream is the protocol of scp.
    Scp(scp::Command),
    /// The stream is SFTP, as in the subsystem.
    Sftp,
    /// The stream is opaque.
    Rsync(Rsync),
    /// The stream is opaque.
    Git(Git),
}

/// `rsync --server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rsync {
    /// `--sender`: files are read from the host.
    pub sends: bool,
    /// A receiver deletes what the other side has not, a sender what it has sent.
    pub deletes: bool,
    /// Empty where the paths are in the stream (`-s`, `--files-from`): anything may be touched.
    pub paths: Vec<Word>,
    /// Paths of options, such as a backup's directory, that are written (or, of `--link-dest` and its like, read).
    pub beside: Vec<(Operation, RawField)>,
}

/// `git-upload-pack` and its like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Git {
    pub service: Service,
    /// As git reads it: it may add `.git`, `/.git` and the like. One with `~` is in somebody's home: opaque.
    pub repository: RawField,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// A fetch reads.
    UploadPack,
    /// An archive reads.
    UploadArchive,
    /// A push writes, and runs the hooks that are there.
    ReceivePack,
}

impl Transfer {
    /// Reads the words of one simple command without assignments and redirections. `None`: it is none of these, or does
    /// more than its name says.
    pub fn recognise(words: &[Word]) -> Option<Transfer> {
        let (program, rest) = words.split_first().filter(|_| words.len() <= WORDS_MAX)?;
        if program.pattern {
            return None;
        }
        match (name_of(program.text.as_bytes())?, rest) {
            (b"scp", rest) => scp::Command::read(rest).map(Transfer::Scp),
            (b"sftp-server", []) => Some(Transfer::Sftp),
            (b"rsync", rest) => Rsync::read(rest).map(Transfer::Rsync),
            (b"git-upload-pack", rest) => git(Service::UploadPack, rest),
            (b"git-upload-archive", rest) => git(Service::UploadArchive, rest),
            (b"git-receive-pack", rest) => git(Service::ReceivePack, rest),
            (b"git", [service, rest @ ..]) if !service.pattern => match service.text.as_bytes() {
                b"upload-pack" => git(Service::UploadPack, rest),
                b"upload-archive" => git(Service::UploadArchive, rest),
                b"receive-pack" => git(Service::ReceivePack, rest),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether what goes over the channel can be read here.
    pub fn is_opaque(&self) -> bool {
        match self {
            Transfer::Scp(_) | Transfer::Sftp => false,
            Transfer::Rsync(_) | Transfer::Git(_) => true,
        }
    }

    /// What the command line itself says is touched, each with all that is below it; `None` where it does not say. Empty for
    /// scp and SFTP, whose streams say it. Errors: [`BadPath`].
    pub fn touches(&self, home: Option<&Canonical>) -> Result<Option<Vec<Touch>>, BadPath> {
        match self {
            Transfer::Scp(_) | Transfer::Sftp => Ok(Some(Vec::new())),
            Transfer::Rsync(rsync) => rsync.touches(home),
            Transfer::Git(git) => git.touches(home),
        }
    }
}

impl Rsync {
    fn read(words: &[Word]) -> Option<Rsync> {
        let (first, rest) = words.split_first()?;
        if first.text.as_bytes() != b"--server" || rest.iter().any(|word| word.text.is_empty()) {
            return None;
        }
        let mut rsync = Rsync { sends: false, deletes: false, paths: Vec::new(), beside: Vec::new() };
        let mut in_stream = false;
        let mut left = rest.iter();
        let mut any = false;
        while let Some(word) = left.next() {
            match word.text.as_bytes() {
                // It stands first, so that all options are read with it.
                b"--sender" if !rsync.sends && !any => rsync.sends = true,
                [b'-', b'-', option @ ..] if !word.pattern => {
                    in_stream |= rsync.long(option, || left.next().map(|word| word.text.clone()))?;
                }
                [b'-', flags @ ..] if !flags.is_empty() && !word.pattern => in_stream |= short(flags)?,
                // "." stands where a server's paths begin.
                b"." => {
                    rsync.paths = left.by_ref().cloned().collect();
                }
                _ => return None,
            }
            any = true;
        }
        if in_stream {
            rsync.paths.clear();
        }
        (in_stream || !rsync.paths.is_empty()).then_some(rsync)
    }

    /// Takes an option; gives whether it puts paths into the stream, and `None` if nobody here knows it.
    fn long(&mut self, option: &[u8], next: impl FnOnce() -> Option<RawField>) -> Option<bool> {
        let equals = option.iter().position(|b| *b == b'=');
        let (name, value) = match equals.and_then(|at| option.split_at_checked(at)) {
            Some((name, value)) => (name, value.get(1..).map(RawField::copy_from)),
            None => (option, None),
        };
        let name = std::str::from_utf8(name).ok()?;
        if matches!(name, "files-from" | "secluded-args" | "protect-args") {
            return Some(true);
        }
        if let Some(operation) = of_path_option(name) {
            let path = value.or_else(next)?;
            // A sender writes nothing else, whatever it is told.
            if !self.sends || name == "log-file" {
                self.beside.push((operation, path));
            }
            return Some(false);
        }
        self.deletes |= if self.sends { name.starts_with("remove-s") } else { name.starts_with("delete") };
        HARMLESS.contains(&name).then_some(false)
    }

    fn touches(&self, home: Option<&Canonical>) -> Result<Option<Vec<Touch>>, BadPath> {
        if self.paths.is_empty() {
            return Ok(None);
        }
        let mut touches = Vec::new();
        for word in &self.paths {
            let path = Path::read(&before_pattern(word), home)?;
            let operations: &[Operation] = match (self.sends, self.deletes) {
                (true, false) => &[Operation::Read, Operation::List],
                (true, true) => &[Operation::Read, Operation::List, Operation::Delete],
                (false, false) => &[Operation::Write, Operation::Create, Operation::Mkdir],
                (false, true) => &[Operation::Write, Operation::Create, Operation::Mkdir, Operation::Delete],
            };
            touches.extend(operations.iter().map(|operation| touch(*operation, &path)));
        }
        // Options' paths are read from the target, which is where rsync goes to.
        let target = touches.last().map(|touch| touch.path.canonical.clone());
        for (operation, path) in &self.beside {
            touches.push(touch(*operation, &Path::read(path, target.as_ref().or(home))?));
        }
        Ok(Some(touches))
    }
}

impl Git {
    fn touches(&self, home: Option<&Canonical>) -> Result<Option<Vec<Touch>>, BadPath> {
        if self.repository.as_bytes().first() == Some(&b'~') {
            return Ok(None);
        }
        let path = Path::read(&self.repository, home)?;
        let operation = match self.service {
            Service::UploadPack | Service::UploadArchive => Operation::Read,
            Service::ReceivePack => Operation::Write,
        };
        Ok(Some(vec![touch(operation, &path)]))
    }
}

/// The name of a program that is found where systems have theirs. A program of the same name elsewhere is another one.
fn name_of(program: &[u8]) -> Option<&[u8]> {
    const PLACES: [&[u8]; 8] = [
        b"/usr/bin/",
        b"/bin/",
        b"/usr/local/bin/",
        b"/usr/lib/openssh/",
        b"/usr/libexec/openssh/",
        b"/usr/libexec/",
        b"/usr/lib/ssh/",
        b"/usr/lib/git-core/",
    ];
    let name = PLACES.iter().find_map(|place| program.strip_prefix(*place)).unwrap_or(program);
    (!name.contains(&b'/')).then_some(name)
}

fn git(service: Service, words: &[Word]) -> Option<Transfer> {
    let mut repository = None;
    for word in words {
        let text = word.text.as_bytes();
        let option = repository.is_none() && text.first() == Some(&b'-');
        match (option, text) {
            // What follows a `--` here is the path all the same.
            (true, b"--strict" | b"--no-strict" | b"--stateless-rpc" | b"--") => {}
            (true, b"--advertise-refs" | b"--http-backend-info-refs") => {}
            (true, text) if text.starts_with(b"--timeout=") => {}
            (false, _) if repository.is_none() && !word.pattern && !text.is_empty() => {
                repository = Some(word.text.clone());
            }
            _ => return None,
        }
    }
    Some(Transfer::Git(Git { service, repository: repository? }))
}

/// rsync's options with one letter, up to `e`, behind which stands what the client can do. Gives whether paths are in the
/// stream. Every letter that OpenBSD's or Samba's rsync sends and that has no path is here.
fn short(flags: &[u8]) -> Option<bool> {
    let end = flags.iter().position(|b| *b == b'e').unwrap_or(flags.len());
    let (flags, capabilities) = flags.split_at_checked(end)?;
    // `e` is followed by `.` and letters.
    let plain = capabilities.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'.');
    // A block's length.
    let flags = match flags {
        [b'B', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => &[],
        flags => flags,
    };
    let known = flags.iter().all(|b| b"vqnlLkKHAXogDtUNprxSzWycdIubmhOJsCRgE0ia".contains(b));
    (plain && known).then(|| flags.contains(&b's'))
}

/// Options of rsync with a path on the host, and what is done there.
fn of_path_option(name: &str) -> Option<Operation> {
    match name {
        "backup-dir" | "temp-dir" | "partial-dir" | "log-file" => Some(Operation::Write),
        "compare-dest" | "copy-dest" => Some(Operation::Read),
        // Files there get another name.
        "link-dest" => Some(Operation::Hardlink),
        _ => None,
    }
}

/// Options of rsync that touch nothing but its paths.
const HARMLESS: &[&str] = &[
    "append",
    "append-verify",
    "block-size",
    "bwlimit",
    "checksum-choice",
    "checksum-seed",
    "compress-choice",
    "compress-level",
    "copy-devices",
    "copy-unsafe-links",
    "debug",
    "delay-updates",
    "delete",
    "delete-after",
    "delete-before",
    "delete-delay",
    "delete-during",
    "delete-excluded",
    "delete-missing-args",
    "devices",
    "existing",
    "force",
    "from0",
    "fuzzy",
    "groupmap",
    "iconv",
    "ignore-errors",
    "ignore-existing",
    "ignore-missing-args",
    "info",
    "inplace",
    "list-only",
    "log-format",
    "max-alloc",
    "max-delete",
    "max-size",
    "min-size",
    "mkpath",
    "modify-window",
    "msgs2stderr",
    "munge-links",
    "new-compress",
    "no-W",
    "no-devices",
    "no-implied-dirs",
    "no-r",
    "no-relative",
    "no-specials",
    "numeric-ids",
    "old-compress",
    "one-file-system",
    "open-noatime",
    "partial",
    "preallocate",
    "remove-sent-files",
    "remove-source-files",
    "safe-links",
    "size-only",
    "skip-compress",
    "specials",
    "stats",
    "stop-after",
    "stop-at",
    "suffix",
    "super",
    "timeout",
    "trust-sender",
    "use-qsort",
    "usermap",
];

/// A word up to the directory in which its pattern begins.
fn before_pattern(word: &Word) -> RawField {
    let text = word.text.as_bytes();
    let special = text.iter().position(|b| word.pattern && matches!(b, b'*' | b'?' | b'[' | b'\\'));
    let Some(front) = special.and_then(|at| text.get(..at)) else { return word.text.clone() };
    let end = front.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
    RawField::copy_from(front.get(..end).unwrap_or_default())
}

fn touch(operation: Operation, path: &Path) -> Touch {
    Touch { operation, role: Role::Only, path: path.clone(), follows: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scp::Host;

    /// Words apart by spaces; one with a star is a pattern.
    fn words(line: &str) -> Vec<Word> {
        let word = |text: &str| Word {
            text: RawField::copy_from(text.as_bytes()),
            pattern: text.contains(['*', '?']),
        };
        line.split(' ').map(word).collect()
    }

    fn recognise(line: &str) -> Option<Transfer> {
        Transfer::recognise(&words(line))
    }

    fn touches(line: &str) -> Option<String> {
        let home = Canonical::read(b"/h").unwrap();
        let touches = recognise(line).unwrap().touches(Some(&home)).unwrap()?;
        let text = touches.iter().map(|t| format!("{} {}", t.operation.as_str(), t.path.canonical.shown()));
        Some(text.collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn the_host_side_of_scp_is_recognised() {
        let scp = |line: &str| match recognise(line) {
            Some(Transfer::Scp(command)) => {
                let paths: Vec<&str> = command.paths.iter().map(|word| word.text.to_str().unwrap()).collect();
                let flag = |is: bool, flag: char| is.then_some(flag);
                let flags: String =
                    [flag(command.recursive, 'r'), flag(command.preserve, 'p'), flag(command.directory, 'd')]
                        .into_iter()
                        .flatten()
                        .collect();
                let host = if command.host == Host::Sink { "to" } else { "from" };
                Some(format!("{host} {flags}: {}", paths.join(" ")))
            }
            other => {
                assert_eq!(other, None);
                None
            }
        };
        for (line, expect) in [
            ("scp -t -- path", Some("to : path")),
            ("scp -t path", Some("to : path")),
            ("scp -v -r -p -d -t -- /a/b", Some("to rpd: /a/b")),
            ("/usr/bin/scp -prt .", Some("to rp: .")),
            ("scp -f -- -a b", Some("from : -a b")),
            ("scp -f a*.txt", Some("from : a*.txt")),
            ("scp -rf /var/log/*", Some("from r: /var/log/*")),
            ("scp -f /var/*/x", None),
            ("scp -f /var/*/", None),
            ("scp -t a b", None),
            ("scp -t a*", None),
            ("scp -t", None),
            ("scp -f", None),
            ("scp -t -f a", None),
            ("scp a b", None),
            ("scp -S evil -t a", None),
            ("scp -o X=y -t a", None),
            ("./scp -t a", None),
            ("/tmp/scp -t a", None),
        ] {
            assert_eq!(scp(line).as_deref(), expect, "{line}");
        }
    }

    #[test]
    fn rsync_says_what_it_touches() {
        for (line, expect) in [
            ("rsync --server --sender -logDtpre.iLsfxCIvu . /data", Some("read /data, list /data")),
            ("rsync --server -logDtpre.iLsfxCIvu . dir/", Some("write /h/dir, create /h/dir, mkdir /h/dir")),
            (
                "rsync --server -vlogDtpre.iLsfxC --delete --partial . /d",
                Some("write /d, create /d, mkdir /d, delete /d"),
            ),
            (
                "rsync --server --sender -re.iLsfxC --remove-source-files . /d",
                Some("read /d, list /d, delete /d"),
            ),
            ("rsync --server --sender -e.LsfxC . /d/x*/y", Some("read /d, list /d")),
            ("rsync --server --sender -e.LsfxC . x*", Some("read /h, list /h")),
            (
                "rsync --server -re.LsfxC --backup-dir ../old --link-dest=/prev . /d",
                Some("write /d, create /d, mkdir /d, write /old, hardlink /prev"),
            ),
            ("rsync --server --sender -sre.LsfxC . x", None),
            ("rsync --server --sender -re.LsfxC --files-from=/list . x", None),
        ] {
            assert_eq!(touches(line).as_deref(), expect, "{line}");
            assert!(recognise(line).unwrap().is_opaque());
        }
        for line in [
            "rsync --server -re.LsfxC --sender . y",
            "rsync --server --sender -rfmerge./x . y",
            "rsync --server --daemon .",
            "rsync --server --sender -re.LsfxC --config=/x . y",
            "rsync --server --sender -re.LsfxC --rsh=evil . y",
            "rsync --server --sender -Me.LsfxC . y",
            "rsync --server --sender -re.L;x . y",
            "rsync --server -re.LsfxC .",
            "rsync -a a b",
        ] {
            assert_eq!(recognise(line), None, "{line}");
        }
    }

    #[test]
    fn what_rsync_sends_is_recognised() {
        // Of rsync 3.5, each option for both directions.
        let options = [
            "-logDtpre.iLsfxCIvu",
            "-vlogDtprze.iLsfxCIvu --delete",
            "-ltpre.iLsfxCIvu --inplace",
            "-blogDtpre.iLsfxCIvu --backup-dir old --suffix=.b",
            "-lHogDtpAXrSe.iLsfxCIvu --numeric-ids",
            "-logDtpre.iLsfxCIvu --link-dest ../prev",
            "-logDtpRe.LsfxCIvu --files-from=- --from0",
            "-uWce.LsfxCIvu",
            "-logDtpre.iLsfxCIvu --timeout=9 --bwlimit=10 --max-delete=3",
            "-logDtpre.iLsfxCIvu --log-format=X --partial",
            "-logDtpre.iLsfxCIvu --log-file=/x",
            "-logDtpre.iLsfxCIvu --iconv=utf8",
            "-de.LsfxCIvu --list-only",
            "-logDtre.iLsfxCIvu --mkpath",
        ];
        for options in options {
            for sender in ["", "--sender "] {
                let line = format!("rsync --server {sender}{options} . dst/x");
                assert!(matches!(recognise(&line), Some(Transfer::Rsync(_))), "{line}");
            }
        }
        assert!(matches!(
            recognise("rsync --server --sender -slogDtpre.iLsfxCIvu"),
            Some(Transfer::Rsync(_))
        ));
        let pull = "rsync --server --sender -blogDtpre.iLsfxCIvu --backup-dir old . d";
        assert_eq!(touches(pull).as_deref(), Some("read /h/d, list /h/d"), "a sender makes no backups");
        let push = "rsync --server -logDtpre.iLsfxCIvu --remove-source-files . d";
        assert_eq!(
            touches(push).as_deref(),
            Some("write /h/d, create /h/d, mkdir /h/d"),
            "a receiver sends none"
        );
        let log = "rsync --server --sender -logDtpre.iLsfxCIvu --log-file=/x . d";
        assert_eq!(touches(log).as_deref(), Some("read /h/d, list /h/d, write /x"));
    }

    #[test]
    fn git_says_which_repository() {
        for (line, expect) in [
            ("git-upload-pack repo.git", Some("read /h/repo.git")),
            ("git upload-pack --strict --timeout=0 /srv/repo.git", Some("read /srv/repo.git")),
            ("git-receive-pack /srv/repo.git", Some("write /srv/repo.git")),
            ("/usr/bin/git-upload-archive repo", Some("read /h/repo")),
            ("git-upload-pack ~other/repo", None),
        ] {
            assert_eq!(touches(line).as_deref(), expect, "{line}");
        }
        for line in [
            "git-upload-pack",
            "git-upload-pack a b",
            "git-upload-pack --exec=evil a",
            "git-receive-pack r*",
            "git -c core.x=y upload-pack a",
            "git push a",
        ] {
            assert_eq!(recognise(line), None, "{line}");
        }
    }

    #[test]
    fn the_sftp_server_is_the_subsystem() {
        assert_eq!(recognise("/usr/lib/openssh/sftp-server"), Some(Transfer::Sftp));
        assert_eq!(recognise("/usr/lib/openssh/sftp-server -d /"), None);
        assert_eq!(recognise("sftp-server-2"), None);
    }
}
