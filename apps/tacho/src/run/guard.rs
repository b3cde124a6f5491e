//! What the first process of a run mounts over what it sees: the gateway's belongings are hidden, what the gateway reads is read-only,
//! and ways to processes outside are closed.
//!
//! | of | the agent sees |
//! |---|---|
//! | a directory of the gateway's | an empty one |
//! | a file with a secret | an empty directory where it is, if nothing else is there; else an empty file |
//! | what the gateway reads or starts, and the agent may change | the same, read-only |
//! | the caller's home | the same, read-only but for the working directory |
//! | terminals | those that the agent opens itself |
//! | Unix sockets that somebody listens on | an empty directory or file |
//!
//! A mount is on a file or directory, not on its name. Inside, the kernel keeps a name that something is mounted on; so each directory
//! on the way whose name the agent may give to another is mounted on itself. Outside, whoever puts another file into the place
//! of a covered one takes the cover away: a file is covered by its directory where that can be.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::StatVfsMountFlags;
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_bind_recursive, mount_change, mount_remount,
};
use serde::{Deserialize, Serialize};

use crate::fault::Failure;
use crate::limits::LINKS_MAX;

/// What a run is kept from. Each path may be there or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// Not seen.
    pub hide: Vec<PathBuf>,
    /// Files that are not seen and that others come in the place of while the run lives.
    pub secrets: Vec<PathBuf>,
    /// What the gateway reads or starts: the agent cannot change it.
    pub keep: Vec<PathBuf>,
}

impl Guard {
    pub fn extend(&mut self, other: Guard) {
        self.hide.extend(other.hide);
        self.secrets.extend(other.secrets);
        self.keep.extend(other.keep);
    }

    /// Whether nothing is in a directory but what agents do not see, and what the gateway reads of what is no program.
    pub fn has_alone(&self, directory: &Path) -> bool {
        let names = |path: &PathBuf| {
            let parent = path.parent().and_then(|parent| fs::canonicalize(parent).ok());
            path.file_name().filter(|_| parent.as_deref() == Some(directory)).map(OsStr::to_owned)
        };
        let all =
            self.hide.iter().chain(&self.secrets).chain(self.keep.iter().filter(|path| !is_program(path)));
        let known: Vec<OsString> = all.filter_map(names).collect();
        let is_known = |name: &OsStr| {
            let name = name.as_encoded_bytes();
            // `pw.new`, `pw~`; and `..data`, by which mounted secrets are replaced.
            name.starts_with(b"..") || known.iter().any(|known| name.starts_with(known.as_encoded_bytes()))
        };
        let Ok(mut entries) = fs::read_dir(directory) else { return false };
        directory.parent().is_some()
            && !is_shared(directory)
            && entries.all(|entry| entry.is_ok_and(|entry| is_known(&entry.file_name())))
    }
}

/// For whom it is mounted, and where they work.
pub struct Agent {
    pub uid: u32,
    /// Files of others may be theirs to change by a group or a list.
    pub in_groups: bool,
    /// The caller's home is the agent's to write into.
    pub is_caller: bool,
    pub working: PathBuf,
}

/// Mounts everything. The working directory has to be entered anew afterwards: it is still the one beneath.
pub fn mount_all(guard: &Guard, agent: &Agent) -> Result<(), Failure> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(|e| cannot("separate mounts at", Path::new("/"), e))?;
    let home = agent.home();
    if let Some(home) = &home {
        read_only(home, &agent.working)?;
    }
    let mut ways = Ways { agent, pinned: BTreeSet::new() };
    for path in &guard.keep {
        ways.keep(path)?;
    }
    let own = [crate::run::launch::own_program()?];
    own.iter().try_for_each(|program| ways.keep(program))?;
    for path in &guard.hide {
        ways.hide(path)?;
    }
    for path in &guard.secrets {
        ways.hide_file(guard, path)?;
    }
    terminals(agent)?;
    sockets(agent, home.as_deref())
}

impl Agent {
    /// What `/etc/passwd` calls the home of who is inside and outside.
    fn home(&self) -> Option<PathBuf> {
        let home = crate::users::home_of(self.uid).filter(|_| self.is_caller)?;
        fs::canonicalize(home).ok().filter(|home| home != Path::new("/"))
    }

    /// Whether the agent may write into it, as its owner and mode say. Lists of access show in the group's bits.
    fn may_write(&self, meta: &Metadata) -> bool {
        let others = if self.in_groups { 0o022 } else { 0o002 };
        meta.uid() == self.uid || meta.mode() & others != 0
    }

    /// Whether the agent may give the name of what is in a directory to something else.
    fn may_replace(&self, directory: &Path, entry: &Metadata) -> bool {
        let Ok(meta) = fs::metadata(directory) else { return false };
        let sticky = meta.mode() & 0o1000 != 0 && meta.uid() != self.uid;
        !is_read_only(directory) && self.may_write(&meta) && (!sticky || entry.uid() == self.uid)
    }
}

/// Where paths lead.
struct Ways<'a> {
    agent: &'a Agent,
    pinned: BTreeSet<PathBuf>,
}

/// What a path leads to.
enum End {
    There {
        at: PathBuf,
        /// Directories of links on the way to it.
        links: Vec<PathBuf>,
    },
    /// It is not there, in a directory that is.
    Missing { directory: PathBuf },
    /// Not to be reached from here, so by no agent.
    Shut,
}

impl Ways<'_> {
    /// Makes sure that the agent cannot change what the gateway reads.
    fn keep(&mut self, path: &Path) -> Result<(), Failure> {
        let at = match self.to(path)? {
            End::There { at, .. } => at,
            End::Missing { directory } => return self.none_can_come(path, &directory),
            End::Shut => return Ok(()),
        };
        let failed = |e: std::io::Error| Failure::file("look at", &at, &e);
        let meta = fs::metadata(&at).map_err(failed)?;
        if meta.is_dir() {
            return if is_read_only(&at) { Ok(()) } else { read_only(&at, &at) };
        }
        let directory = at.parent().unwrap_or(Path::new("/"));
        let loose = !is_read_only(&at) && self.agent.may_write(&meta);
        if !loose && !self.agent.may_replace(directory, &meta) {
            return Ok(());
        }
        // The directory, so that it does not matter whether another file takes this one's place.
        let needed = directory == self.agent.working || is_shared(directory) || directory.parent().is_none();
        read_only(if needed { &at } else { directory }, &self.agent.working)
    }

    /// Nothing is there for the gateway to read, and the agent must not be who writes it.
    fn none_can_come(&self, path: &Path, directory: &Path) -> Result<(), Failure> {
        let may = fs::metadata(directory).is_ok_and(|meta| self.agent.may_write(&meta));
        match may && !is_read_only(directory) {
            true => Err(Failure::usage(format!(
                "there is no {}, which the configuration names, and the agent could write it; take it out of there, or write it",
                path.display()
            ))),
            false => Ok(()),
        }
    }

    fn hide(&mut self, path: &Path) -> Result<(), Failure> {
        match self.to(path)? {
            End::There { at, .. } => self.cover(&at),
            // What is never there, or under what is covered already.
            End::Missing { .. } | End::Shut => Ok(()),
        }
    }

    /// Hides a file by its directory, and by the directories of links to it, where nothing else is in them; else itself.
    fn hide_file(&mut self, guard: &Guard, path: &Path) -> Result<(), Failure> {
        let alone =
            |directory: &Path| !self.agent.working.starts_with(directory) && guard.has_alone(directory);
        match self.to(path)? {
            End::There { at, links } => {
                for directory in links.iter().filter(|directory| alone(directory)) {
                    cover(directory)?;
                }
                match at.parent().filter(|directory| alone(directory)) {
                    Some(directory) => cover(directory),
                    // Under a directory that has just been covered it is gone.
                    None if at.exists() => self.cover(&at),
                    None => Ok(()),
                }
            }
            End::Missing { directory } if alone(&directory) => cover(&directory),
            End::Missing { directory } if self.agent.is_caller && !is_covered(&directory) => {
                Err(Failure::usage(format!(
                    "there is no {}; what comes there while the agent runs would not be hidden from it: write the file first, \
                     or give it a directory of its own",
                    path.display()
                )))
            }
            End::Missing { .. } | End::Shut => Ok(()),
        }
    }

    fn cover(&self, path: &Path) -> Result<(), Failure> {
        if self.agent.working.starts_with(path) {
            return Err(Failure::usage(format!(
                "the working directory is in {}, which agents may not see; start from another directory",
                path.display()
            )));
        }
        cover(path)
    }

    /// Follows a path name by name, and holds each directory on the way that the agent could put another in the place of.
    fn to(&mut self, path: &Path) -> Result<End, Failure> {
        let (mut at, mut left, mut links) = (PathBuf::from("/"), VecDeque::new(), Vec::new());
        lead(&mut at, &mut left, path);
        while let Some(name) = left.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            let meta = match fs::symlink_metadata(&next) {
                Ok(meta) => meta,
                Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    return Ok(End::Missing { directory: at });
                }
                Err(e) if e.kind() == ErrorKind::PermissionDenied => return Ok(End::Shut),
                Err(e) => return Err(Failure::file("look at", &next, &e)),
            };
            let loose = self.agent.may_replace(&at, &meta);
            if meta.is_symlink() {
                if loose || links.len() >= LINKS_MAX {
                    return Err(Failure::usage(format!(
                        "{} is a link, and the agent could let it lead elsewhere; name what it leads to, or start from another directory",
                        next.display()
                    )));
                }
                let target = fs::read_link(&next).map_err(|e| Failure::file("follow", &next, &e))?;
                links.push(at.clone());
                lead(&mut at, &mut left, &target);
                continue;
            }
            if loose && meta.is_dir() && self.pinned.insert(next.clone()) {
                mount_bind_recursive(next.as_path(), next.as_path()).map_err(|e| cannot("hold", &next, e))?;
            }
            at = next;
        }
        Ok(End::There { at, links })
    }
}

/// What is left to go, with the way of a link before it.
fn lead(at: &mut PathBuf, left: &mut VecDeque<OsString>, path: &Path) {
    if path.is_absolute() {
        *at = PathBuf::from("/");
    }
    for part in path.components().rev() {
        match part {
            Component::Normal(name) => left.push_front(name.to_owned()),
            Component::ParentDir => left.push_front("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

/// Puts an empty, read-only directory over a directory and an empty file over anything else.
pub fn cover(path: &Path) -> Result<(), Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    let covered = if path.is_dir() {
        mount("tmpfs", path, "tmpfs", flags, Some(c"mode=0555,size=4k,nr_inodes=2"))
    } else {
        mount_bind("/dev/null", path)
    };
    covered.map_err(|e| cannot("hide", path, e))
}

/// Makes a file or directory read-only, but for the working directory, if that is further down.
fn read_only(path: &Path, working: &Path) -> Result<(), Failure> {
    let flags = mount_flags(path);
    mount_bind_recursive(path, path).map_err(|e| cannot("protect", path, e))?;
    if working.starts_with(path) && working != path {
        mount_bind_recursive(working, working).map_err(|e| cannot("keep writable", working, e))?;
    }
    mount_remount(path, MountFlags::BIND | MountFlags::RDONLY | flags, "")
        .map_err(|e| cannot("protect", path, e))
}

/// Terminals of the agent's own, which it opens, in the place of those that the caller has. What it was started with stays open.
fn terminals(agent: &Agent) -> Result<(), Failure> {
    let (all, maker) = (Path::new("/dev/pts"), Path::new("/dev/ptmx"));
    if all.is_dir() {
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
        mount("devpts", all, "devpts", flags, Some(c"newinstance,ptmxmode=0666,mode=0620"))
            .map_err(|e| cannot("give terminals of its own at", all, e))?;
        if fs::symlink_metadata(maker).is_ok_and(|meta| !meta.is_symlink()) {
            mount_bind("/dev/pts/ptmx", maker)
                .map_err(|e| cannot("give terminals of its own at", maker, e))?;
        }
    }
    for console in fs::read_dir("/dev").into_iter().flatten().flatten() {
        let is_own = |meta: Metadata| meta.file_type().is_char_device() && meta.uid() == agent.uid;
        let name = console.file_name();
        let is_terminal =
            ["tty", "console", "hvc"].iter().any(|kind| name.as_encoded_bytes().starts_with(kind.as_bytes()));
        if is_terminal && name != "tty" && console.metadata().is_ok_and(is_own) {
            cover(&console.path())?;
        }
    }
    Ok(())
}

/// Names that services answer on who only look something up.
const LOOK_UPS: &[&str] =
    &["/run/nscd", "/run/systemd/resolve", "/run/systemd/userdb", "/var/lib/sss", "/run/systemd/journal"];

/// Covers every Unix socket that has a name now: whoever listens there does not know that a run is calling.
fn sockets(agent: &Agent, home: Option<&Path>) -> Result<(), Failure> {
    let all =
        fs::read("/proc/net/unix").map_err(|e| Failure::file("read", Path::new("/proc/net/unix"), &e))?;
    let text = String::from_utf8_lossy(&all);
    let named =
        text.lines().filter_map(|line| line.split_once(" /")).map(|(_, path)| Path::new("/").join(path));
    let found: BTreeSet<PathBuf> = named.filter_map(|path| fs::canonicalize(path).ok()).collect();
    // A service of the project that the agent works on.
    let of_the_work = |path: &Path| {
        path.starts_with(&agent.working) && !home.is_some_and(|home| home.starts_with(&agent.working))
    };
    for path in found {
        let is_socket = fs::symlink_metadata(&path).is_ok_and(|meta| meta.file_type().is_socket());
        if !is_socket || of_the_work(&path) || LOOK_UPS.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        let directory = path.parent().filter(|dir| has_only_sockets(dir) && !agent.working.starts_with(dir));
        match cover(directory.unwrap_or(&path)) {
            // Whoever listened there has gone in the meantime.
            Err(_) if fs::symlink_metadata(&path).is_err() => {}
            covered => covered?,
        }
    }
    Ok(())
}

fn has_only_sockets(directory: &Path) -> bool {
    let Ok(mut entries) = fs::read_dir(directory) else { return false };
    let is_of_sockets = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let beside = [".lock", ".pid"].iter().any(|end| name.as_encoded_bytes().ends_with(end.as_bytes()));
        beside || entry.file_type().is_ok_and(|kind| kind.is_socket())
    };
    !is_shared(directory)
        && directory.components().count() > 2
        && entries.all(|entry| entry.is_ok_and(is_of_sockets))
}

/// A directory into which everybody may write, such as `/tmp`.
fn is_shared(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|meta| meta.mode() & 0o1000 != 0)
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0)
}

fn is_read_only(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Whether it is the empty directory of [`cover`].
fn is_covered(directory: &Path) -> bool {
    is_read_only(directory) && fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

/// The flags of the mount that `path` is on: a namespace may not drop them.
pub fn mount_flags(path: &Path) -> MountFlags {
    let Ok(found) = rustix::fs::statvfs(path) else { return MountFlags::empty() };
    let pairs = [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    pairs
        .into_iter()
        .filter(|(has, _)| found.f_flag.contains(*has))
        .fold(MountFlags::empty(), |all, (_, flag)| all | flag)
}

pub fn cannot(what: &str, path: &Path, error: rustix::io::Errno) -> Failure {
    Failure::could_not(format!("cannot {what} {}: {error}; the agent was not started", path.display()))
}
