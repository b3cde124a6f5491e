//! What a request does to which paths.
//!
//! A handle stands for the path and flags that it was opened with: what is done by it within them was decided with its OPEN
//! ([`Basis::Handle`]); attributes set by it are an action of their own, on that path.
//!
//! # Links
//! After a HARDLINK the file has another name, and after a SYMLINK another way to it: a rule about paths is only as good as
//! what may link. So both ends are touched: `from` what becomes reachable, `to` where. A link that says `..` leads elsewhere once it,
//! or the directory that it is in, is renamed, and behind the name of another link at once: none is made.

use super::attrs::Attrs;
use super::message::{OpenFlags, Request};
use crate::limits::USER_BYTES_MAX;
use crate::path::{BadPath, Canonical, Path};
use vocab::Verb;
use wire::RawField;

/// What is done to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// A file's content leaves.
    Read,
    /// A file's content is written, at an offset or at the end.
    Write,
    /// A file is made where none is.
    Create,
    /// A file is cut off, or filled up with zeros.
    Truncate,
    Delete,
    Rename,
    /// The names in a directory.
    List,
    /// Attributes of a file.
    Stat,
    /// Permissions are set.
    Chmod,
    /// User and group are set.
    Chown,
    /// Times are set.
    Utime,
    Symlink,
    Hardlink,
    Mkdir,
    Rmdir,
    /// What a symbolic link says.
    Readlink,
    /// Where a path leads.
    Realpath,
    /// The file system that a path is on.
    Statvfs,
    /// What was written goes to the disk.
    Fsync,
}

impl Operation {
    pub const ALL: [Operation; 19] = [
        Operation::Read,
        Operation::Write,
        Operation::Create,
        Operation::Truncate,
        Operation::Delete,
        Operation::Rename,
        Operation::List,
        Operation::Stat,
        Operation::Chmod,
        Operation::Chown,
        Operation::Utime,
        Operation::Symlink,
        Operation::Hardlink,
        Operation::Mkdir,
        Operation::Rmdir,
        Operation::Readlink,
        Operation::Realpath,
        Operation::Statvfs,
        Operation::Fsync,
    ];

    /// The word used in policy and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::Create => "create",
            Operation::Truncate => "truncate",
            Operation::Delete => "delete",
            Operation::Rename => "rename",
            Operation::List => "list",
            Operation::Stat => "stat",
            Operation::Chmod => "chmod",
            Operation::Chown => "chown",
            Operation::Utime => "utime",
            Operation::Symlink => "symlink",
            Operation::Hardlink => "hardlink",
            Operation::Mkdir => "mkdir",
            Operation::Rmdir => "rmdir",
            Operation::Readlink => "readlink",
            Operation::Realpath => "realpath",
            Operation::Statvfs => "statvfs",
            Operation::Fsync => "fsync",
        }
    }

    /// The verb that all protocols share.
    pub fn verb(self) -> Verb {
        match self {
            Operation::Read
            | Operation::List
            | Operation::Stat
            | Operation::Readlink
            | Operation::Realpath
            | Operation::Statvfs => Verb::Read,
            Operation::Write
            | Operation::Create
            | Operation::Truncate
            | Operation::Delete
            | Operation::Rename
            | Operation::Utime
            | Operation::Symlink
            | Operation::Hardlink
            | Operation::Mkdir
            | Operation::Rmdir
            | Operation::Fsync => Verb::Write,
            // Who may do what with a file from now on.
            Operation::Chmod | Operation::Chown => Verb::Administer,
        }
    }
}

/// Which of an operation's paths this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It has one.
    Only,
    /// The one that was there before: the old name, or what a link leads to.
    From,
    /// The one that is made; what was there may be gone then.
    To,
}

/// One operation on one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    pub operation: Operation,
    pub role: Role,
    pub path: Path,
    /// Whether the server follows a symbolic link that stands at the path itself. Those on the way it always follows.
    pub follows: bool,
}

/// On what ground an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// It is decided by itself.
    Itself,
    /// It is within what the handle was opened for, and was decided then.
    Handle,
}

/// What one request does. It is allowed only if **every** touch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The name of the request, a constant: [`Request::kind`].
    pub kind: &'static str,
    /// Empty for `limits@openssh.com`, for what asks for names and homes of users (expand-path of `~` and `~NAME` among it), and for
    /// CLOSE.
    pub touches: Vec<Touch>,
    pub basis: Basis,
}

/// Which way upstream takes the arguments of a SYMLINK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LinkOrder {
    /// What the link says, then the link. OpenSSH, and servers that follow it.
    OpenSsh,
    /// The link, then what it says.
    Draft,
    /// Not known: a SYMLINK needs two absolute paths, and touches them both ways.
    #[default]
    Unknown,
}

/// Why an action cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclear {
    Path(BadPath),
    /// Flags of an OPEN: [`OpenFlags::are_clear`].
    Flags,
    /// Extended attributes are to be set; nobody knows what they do.
    ExtendedAttributes,
    /// A relative path in a SYMLINK whose order is not known.
    Link,
    /// A SYMLINK that says `..`.
    Climbs,
    /// What stands where a user's name should: with a slash, a zero byte, or above [`USER_BYTES_MAX`].
    User,
}

impl From<BadPath> for Unclear {
    fn from(bad: BadPath) -> Unclear {
        Unclear::Path(bad)
    }
}

/// What a request by paths does, and the request as it goes upstream: with canonical paths. `None` for one by handles.
pub(crate) fn by_path(
    request: &Request,
    home: Option<&Canonical>,
    order: LinkOrder,
) -> Result<Option<(Action, Request)>, Unclear> {
    let read = |path: &RawField| Path::read(path, home);
    let (touches, sent) = match request {
        Request::Open { path, flags, attrs } => {
            let at = read(path)?;
            let sent =
                Request::Open { path: at.canonical.as_raw().clone(), flags: *flags, attrs: attrs.clone() };
            (open(at, *flags, attrs)?, sent)
        }
        Request::Mkdir { path, attrs } => {
            let at = read(path)?;
            let sent = Request::Mkdir { path: at.canonical.as_raw().clone(), attrs: attrs.clone() };
            let mut touches = vec![touch(Operation::Mkdir, &at, false)];
            touches.extend(set_at_birth(&at, false, attrs)?);
            (touches, sent)
        }
        Request::Setstat { path, attrs } => {
            let at = read(path)?;
            let sent = Request::Setstat { path: at.canonical.as_raw().clone(), attrs: attrs.clone() };
            (set(&at, true, attrs)?, sent)
        }
        Request::Lsetstat { path, attrs } => {
            let at = read(path)?;
            let sent = Request::Lsetstat { path: at.canonical.as_raw().clone(), attrs: attrs.clone() };
            (set(&at, false, attrs)?, sent)
        }
        Request::Rename { from, to } => {
            let (touches, from, to) = two(Operation::Rename, read(from)?, read(to)?, false);
            (touches, Request::Rename { from, to })
        }
        Request::PosixRename { from, to } => {
            let (touches, from, to) = two(Operation::Rename, read(from)?, read(to)?, false);
            (touches, Request::PosixRename { from, to })
        }
        Request::Hardlink { from, to } => {
            // POSIX leaves it open whether link(2) follows.
            let (touches, from, to) = two(Operation::Hardlink, read(from)?, read(to)?, true);
            (touches, Request::Hardlink { from, to })
        }
        Request::Symlink { first, second } => symlink(first, second, home, order)?,
        Request::ExpandPath { path } if path.as_bytes().first() == Some(&b'~') => expand(path, home)?,
        Request::HomeDirectory { user } => {
            user_name(user.as_bytes())?;
            (Vec::new(), request.clone())
        }
        _ => match one(request) {
            Some((operation, follows, path, again)) => {
                let at = read(path)?;
                let sent = again(at.canonical.as_raw().clone());
                (vec![touch(operation, &at, follows)], sent)
            }
            None if is_pathless(request) => (Vec::new(), request.clone()),
            None => return Ok(None),
        },
    };
    Ok(Some((Action { kind: request.kind(), touches, basis: Basis::Itself }, sent)))
}

/// What a request does by a handle of `at` (and of `to`, for copy-data) that was opened for it.
pub(crate) fn by_handle(request: &Request, at: &Path, to: Option<&Path>) -> Result<Action, Unclear> {
    let decided = |operation| (vec![touch(operation, at, true)], Basis::Handle);
    let (touches, basis) = match request {
        Request::Read { .. } => decided(Operation::Read),
        Request::Write { .. } => decided(Operation::Write),
        Request::Readdir { .. } => decided(Operation::List),
        Request::Fsync { .. } => decided(Operation::Fsync),
        Request::Fsetstat { attrs, .. } => (set(at, true, attrs)?, Basis::Itself),
        Request::Fstat { .. } => (vec![touch(Operation::Stat, at, true)], Basis::Handle),
        Request::Fstatvfs { .. } => (vec![touch(Operation::Statvfs, at, true)], Basis::Itself),
        Request::CopyData { .. } => {
            let mut touches = vec![touch(Operation::Read, at, true)];
            touches.extend(to.map(|to| touch(Operation::Write, to, true)));
            (touches, Basis::Handle)
        }
        // CLOSE; all others have no handle.
        _ => (Vec::new(), Basis::Handle),
    };
    Ok(Action { kind: request.kind(), touches, basis })
}

/// Requests that are about no path.
fn is_pathless(request: &Request) -> bool {
    matches!(request, Request::Limits | Request::UsersGroupsById { .. })
}

/// `~` and `~NAME` ask for a home, and for no file. What is below the own home is a path as any other, and sent as that; below another
/// user's nobody here knows where that is.
fn expand(written: &RawField, home: Option<&Canonical>) -> Result<(Vec<Touch>, Request), Unclear> {
    let name = written.as_bytes().strip_prefix(b"~").unwrap_or_default();
    let Some(rest) = name.strip_prefix(b"/") else {
        user_name(name)?;
        return Ok((Vec::new(), Request::ExpandPath { path: written.clone() }));
    };
    let below = rest.iter().position(|byte| *byte != b'/').and_then(|at| rest.get(at..)).unwrap_or_default();
    let at = Path::read(&RawField::copy_from(below), home)?;
    let sent = Request::ExpandPath { path: at.canonical.as_raw().clone() };
    Ok((vec![touch(Operation::Realpath, &at, true)], sent))
}

fn user_name(name: &[u8]) -> Result<(), Unclear> {
    let is_one = name.len() <= USER_BYTES_MAX && !name.iter().any(|byte| matches!(byte, b'/' | 0));
    if is_one { Ok(()) } else { Err(Unclear::User) }
}

type Again = fn(RawField) -> Request;

/// Requests with one path and nothing else: operation, whether a link at the path is followed, and how it is made again.
fn one(request: &Request) -> Option<(Operation, bool, &RawField, Again)> {
    let found: (Operation, bool, &RawField, Again) = match request {
        Request::Lstat { path } => (Operation::Stat, false, path, |path| Request::Lstat { path }),
        Request::Stat { path } => (Operation::Stat, true, path, |path| Request::Stat { path }),
        Request::Opendir { path } => (Operation::List, true, path, |path| Request::Opendir { path }),
        Request::Remove { path } => (Operation::Delete, false, path, |path| Request::Remove { path }),
        Request::Rmdir { path } => (Operation::Rmdir, false, path, |path| Request::Rmdir { path }),
        Request::Realpath { path } => (Operation::Realpath, true, path, |path| Request::Realpath { path }),
        Request::ExpandPath { path } => {
            (Operation::Realpath, true, path, |path| Request::ExpandPath { path })
        }
        Request::Readlink { path } => (Operation::Readlink, false, path, |path| Request::Readlink { path }),
        Request::Statvfs { path } => (Operation::Statvfs, true, path, |path| Request::Statvfs { path }),
        _ => return None,
    };
    Some(found)
}

fn touch(operation: Operation, path: &Path, follows: bool) -> Touch {
    Touch { operation, role: Role::Only, path: path.clone(), follows }
}

/// An operation on two paths, and both as they are sent.
fn two(operation: Operation, from: Path, to: Path, follows: bool) -> (Vec<Touch>, RawField, RawField) {
    let sent = (from.canonical.as_raw().clone(), to.canonical.as_raw().clone());
    let from = Touch { operation, role: Role::From, path: from, follows };
    let to = Touch { operation, role: Role::To, path: to, follows: false };
    (vec![from, to], sent.0, sent.1)
}

fn open(at: Path, flags: OpenFlags, attrs: &Attrs) -> Result<Vec<Touch>, Unclear> {
    if !flags.are_clear() {
        return Err(Unclear::Flags);
    }
    // With both flags open(2) does not follow a link.
    let follows = !(flags.creates() && flags.is_exclusive());
    let writes = flags.writes() || flags.creates() || flags.truncates();
    let operations = [
        (flags.reads(), Operation::Read),
        (writes, Operation::Write),
        (flags.creates(), Operation::Create),
        (flags.truncates(), Operation::Truncate),
    ];
    let mut touches: Vec<Touch> = operations
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, operation)| touch(*operation, &at, follows))
        .collect();
    touches.extend(set_at_birth(&at, follows, attrs)?);
    Ok(touches)
}

/// What SETSTAT and its like do; one that sets nothing looks whether the file is there.
fn set(at: &Path, follows: bool, attrs: &Attrs) -> Result<Vec<Touch>, Unclear> {
    let touches = set_each(at, follows, attrs, attrs.permissions.is_some())?;
    Ok(if touches.is_empty() { vec![touch(Operation::Stat, at, follows)] } else { touches })
}

/// Attributes of what is made. Its permissions are part of that, but for the bits that let it run as somebody else.
fn set_at_birth(at: &Path, follows: bool, attrs: &Attrs) -> Result<Vec<Touch>, Unclear> {
    set_each(at, follows, attrs, attrs.permissions.is_some_and(|mode| mode & 0o7000 != 0))
}

fn set_each(at: &Path, follows: bool, attrs: &Attrs, chmod: bool) -> Result<Vec<Touch>, Unclear> {
    if attrs.extended.as_ref().is_some_and(|extended| !extended.is_empty()) {
        return Err(Unclear::ExtendedAttributes);
    }
    let operations = [
        (attrs.size.is_some(), Operation::Truncate),
        (chmod, Operation::Chmod),
        (attrs.owner.is_some(), Operation::Chown),
        (attrs.times.is_some(), Operation::Utime),
    ];
    let set = operations.iter().filter(|(is, _)| *is);
    Ok(set.map(|(_, operation)| touch(*operation, at, follows)).collect())
}

fn symlink(
    first: &RawField,
    second: &RawField,
    home: Option<&Canonical>,
    order: LinkOrder,
) -> Result<(Vec<Touch>, Request), Unclear> {
    match order {
        LinkOrder::OpenSsh => {
            let (touches, link) = link(first, second, home)?;
            Ok((touches, Request::Symlink { first: first.clone(), second: link }))
        }
        LinkOrder::Draft => {
            let (touches, link) = link(second, first, home)?;
            Ok((touches, Request::Symlink { first: link, second: second.clone() }))
        }
        LinkOrder::Unknown => {
            let absolute = |path: &RawField| path.as_bytes().first() == Some(&b'/');
            if !absolute(first) || !absolute(second) {
                return Err(Unclear::Link);
            }
            let (mut touches, second_sent) = link(first, second, None)?;
            let (more, first_sent) = link(second, first, None)?;
            touches.extend(more);
            Ok((touches, Request::Symlink { first: first_sent, second: second_sent }))
        }
    }
}

/// A link that says `says`, which is read from the directory that the link is in. What it says is sent as it is, so that the host reads
/// it by its own links: `..` in it leads up from where those lead, and not from where the letters do.
fn link(
    says: &RawField,
    link: &RawField,
    home: Option<&Canonical>,
) -> Result<(Vec<Touch>, RawField), Unclear> {
    if says.as_bytes().split(|byte| *byte == b'/').any(|segment| segment == b"..") {
        return Err(Unclear::Climbs);
    }
    let link = Path::read(link, home)?;
    let from = Path::read(says, Some(&link.canonical.parent()))?;
    let (touches, _, sent) = two(Operation::Symlink, from, link, true);
    Ok((touches, sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &'static str) -> RawField {
        RawField::from_static(text.as_bytes())
    }

    fn line(touches: &[Touch]) -> String {
        let words: Vec<String> = touches
            .iter()
            .map(|t| {
                let role = match t.role {
                    Role::Only => "",
                    Role::From => "<",
                    Role::To => ">",
                };
                let follows = if t.follows { "" } else { "!" };
                format!("{}{role}{follows} {}", t.operation.as_str(), t.path.canonical.shown())
            })
            .collect();
        words.join(", ")
    }

    /// What `request` touches, and the paths as they are sent.
    fn check(request: Request, order: LinkOrder, expect: Result<&str, Unclear>) {
        let home = Canonical::read(b"/h").unwrap();
        let got = by_path(&request, Some(&home), order).map(|found| line(&found.unwrap().0.touches));
        assert_eq!(got, expect.map(str::to_owned), "{}", request.kind());
    }

    fn open(flags: u32, attrs: Attrs) -> Request {
        Request::Open { path: raw("f"), flags: OpenFlags(flags), attrs }
    }

    #[test]
    fn flags_of_open_are_operations() {
        let mode = |mode| Attrs { permissions: Some(mode), ..Attrs::default() };
        for (flags, attrs, expect) in [
            (0x01, Attrs::default(), Ok("read /h/f")),
            (0x02, Attrs::default(), Ok("write /h/f")),
            (0x03, Attrs::default(), Ok("read /h/f, write /h/f")),
            (0x04, Attrs::default(), Ok("write /h/f")),
            (0x1a, mode(0o644), Ok("write /h/f, create /h/f, truncate /h/f")),
            (0x2a, mode(0o644), Ok("write! /h/f, create! /h/f")),
            (0x1a, mode(0o4755), Ok("write /h/f, create /h/f, truncate /h/f, chmod /h/f")),
            (0x11, Attrs::default(), Ok("read /h/f, write /h/f, truncate /h/f")),
            (0x09, Attrs::default(), Ok("read /h/f, write /h/f, create /h/f")),
            (0x00, Attrs::default(), Err(Unclear::Flags)),
            (0x08, Attrs::default(), Err(Unclear::Flags)),
            (0x21, Attrs::default(), Err(Unclear::Flags)),
            (0x41, Attrs::default(), Err(Unclear::Flags)),
            (0x8000_0001, Attrs::default(), Err(Unclear::Flags)),
        ] {
            check(open(flags, attrs), LinkOrder::OpenSsh, expect);
        }
    }

    #[test]
    fn attributes_are_operations() {
        let all = Attrs {
            size: Some(1),
            owner: Some((0, 0)),
            permissions: Some(0o600),
            times: Some((1, 2)),
            extended: None,
        };
        let setstat = |attrs| Request::Setstat { path: raw("f"), attrs };
        let order = LinkOrder::OpenSsh;
        check(setstat(all), order, Ok("truncate /h/f, chmod /h/f, chown /h/f, utime /h/f"));
        check(setstat(Attrs::default()), order, Ok("stat /h/f"));
        let extended = |pairs| Attrs { extended: Some(pairs), ..Attrs::default() };
        check(setstat(extended(vec![(raw("acl"), raw("x"))])), order, Err(Unclear::ExtendedAttributes));
        check(setstat(extended(Vec::new())), order, Ok("stat /h/f"));
        let attrs = Attrs { times: Some((1, 2)), ..Attrs::default() };
        check(Request::Lsetstat { path: raw("f"), attrs }, order, Ok("utime! /h/f"));
        let attrs = Attrs { permissions: Some(0o2755), ..Attrs::default() };
        check(Request::Mkdir { path: raw("d"), attrs }, order, Ok("mkdir! /h/d, chmod! /h/d"));
    }

    #[test]
    fn each_request_by_path_is_its_operation() {
        let order = LinkOrder::OpenSsh;
        let path = || raw("../h/./x/");
        for (request, expect) in [
            (Request::Lstat { path: path() }, "stat! /h/x"),
            (Request::Stat { path: path() }, "stat /h/x"),
            (Request::Opendir { path: path() }, "list /h/x"),
            (Request::Remove { path: path() }, "delete! /h/x"),
            (Request::Rmdir { path: path() }, "rmdir! /h/x"),
            (Request::Realpath { path: path() }, "realpath /h/x"),
            (Request::ExpandPath { path: path() }, "realpath /h/x"),
            (Request::ExpandPath { path: raw("~") }, ""),
            (Request::ExpandPath { path: raw("~root") }, ""),
            (Request::ExpandPath { path: raw("~/") }, "realpath /h"),
            (Request::ExpandPath { path: raw("~/../etc/shadow") }, "realpath /etc/shadow"),
            (Request::ExpandPath { path: raw("~//etc") }, "realpath /h/etc"),
            (Request::Readlink { path: path() }, "readlink! /h/x"),
            (Request::Statvfs { path: path() }, "statvfs /h/x"),
            (Request::Rename { from: path(), to: raw("/y") }, "rename<! /h/x, rename>! /y"),
            (Request::PosixRename { from: path(), to: raw("/y") }, "rename<! /h/x, rename>! /y"),
            (Request::Hardlink { from: path(), to: raw("/y") }, "hardlink< /h/x, hardlink>! /y"),
            (Request::Limits, ""),
            (Request::HomeDirectory { user: raw("root") }, ""),
            (Request::UsersGroupsById { users: vec![0], groups: vec![] }, ""),
        ] {
            check(request, order, Ok(expect));
        }
    }

    #[test]
    fn below_a_home_is_a_path_and_below_anothers_nothing_is_said() {
        let order = LinkOrder::OpenSsh;
        for path in ["~root/x", "~root/", "~root/../etc/shadow", "~a\0b"] {
            check(Request::ExpandPath { path: raw(path) }, order, Err(Unclear::User));
        }
        check(Request::ExpandPath { path: raw("~/a\0b") }, order, Err(Unclear::Path(BadPath::Nul)));
        let named = |length: usize| RawField::copy_from(&[&b"~"[..], &vec![b'a'; length]].concat());
        check(Request::ExpandPath { path: named(USER_BYTES_MAX) }, order, Ok(""));
        check(Request::ExpandPath { path: named(USER_BYTES_MAX + 1) }, order, Err(Unclear::User));
        for user in ["a/b", "a\0b"] {
            check(Request::HomeDirectory { user: raw(user) }, order, Err(Unclear::User));
        }
        let user = RawField::copy_from(&[b'a'; USER_BYTES_MAX + 1]);
        check(Request::HomeDirectory { user }, order, Err(Unclear::User));
        let home = Canonical::read(b"/h").unwrap();
        let sent = by_path(&Request::ExpandPath { path: raw("~/x/../y") }, Some(&home), order);
        assert_eq!(sent.unwrap().unwrap().1, Request::ExpandPath { path: raw("/h/y") });
    }

    #[test]
    fn a_link_touches_what_it_leads_to() {
        let link = |first, second| Request::Symlink { first: raw(first), second: raw(second) };
        check(link("etc", "d/l"), LinkOrder::OpenSsh, Ok("symlink< /h/d/etc, symlink>! /h/d/l"));
        check(link("d/l", "etc"), LinkOrder::Draft, Ok("symlink< /h/d/etc, symlink>! /h/d/l"));
        check(link("/etc", "../l"), LinkOrder::OpenSsh, Ok("symlink< /etc, symlink>! /l"));
        check(link("../etc", "/d/l"), LinkOrder::Unknown, Err(Unclear::Link));
        let both = "symlink< /a, symlink>! /b/c, symlink< /b/c, symlink>! /a";
        check(link("/a", "/b/c"), LinkOrder::Unknown, Ok(both));
    }

    #[test]
    fn a_link_that_would_lead_elsewhere_once_it_is_renamed_is_not_made() {
        let link = |first, second| Request::Symlink { first: raw(first), second: raw(second) };
        for says in ["..", "../etc", "a/../b", "a/.."] {
            check(link(says, "d/l"), LinkOrder::OpenSsh, Err(Unclear::Climbs));
            check(link("d/l", says), LinkOrder::Draft, Err(Unclear::Climbs));
        }
        check(link("..a/b..", "l"), LinkOrder::OpenSsh, Ok("symlink< /h/..a/b.., symlink>! /h/l"));
    }

    #[test]
    fn a_link_that_goes_up_from_a_name_which_may_be_another_links_is_not_made() {
        let link = |first, second| Request::Symlink { first: raw(first), second: raw(second) };
        for says in ["/h/d/l/../../secret", "/h/d/l/..", "/..", "//h//../x", "/h/./../x"] {
            check(link(says, "/h/d/x"), LinkOrder::OpenSsh, Err(Unclear::Climbs));
            check(link("/h/d/x", says), LinkOrder::Draft, Err(Unclear::Climbs));
            check(link(says, "/h/d/x"), LinkOrder::Unknown, Err(Unclear::Climbs));
            check(link("/h/d/x", says), LinkOrder::Unknown, Err(Unclear::Climbs));
        }
    }

    #[test]
    fn what_is_sent_has_canonical_paths_and_a_link_says_what_it_says() {
        let home = Canonical::read(b"/h").unwrap();
        let sent = |request| by_path(&request, Some(&home), LinkOrder::OpenSsh).unwrap().unwrap().1;
        assert_eq!(sent(Request::Stat { path: raw("a/../b/") }), Request::Stat { path: raw("/h/b") });
        assert_eq!(
            sent(Request::Symlink { first: raw("a/./b"), second: raw("c/../d") }),
            Request::Symlink { first: raw("a/./b"), second: raw("/h/d") }
        );
        assert_eq!(
            sent(Request::Rename { from: raw("a"), to: raw("/b/.") }),
            Request::Rename { from: raw("/h/a"), to: raw("/b") }
        );
    }

    #[test]
    fn a_path_that_cannot_be_read_is_no_action() {
        let request = Request::Stat { path: raw("a\0b") };
        check(request, LinkOrder::OpenSsh, Err(Unclear::Path(BadPath::Nul)));
        let request = Request::Stat { path: raw("a") };
        let got = by_path(&request, None, LinkOrder::OpenSsh);
        assert_eq!(got, Err(Unclear::Path(BadPath::NoHome)));
    }

    #[test]
    fn the_words_are_distinct() {
        let mut words: Vec<&str> = Operation::ALL.iter().map(|o| o.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Operation::ALL.len());
    }
}
