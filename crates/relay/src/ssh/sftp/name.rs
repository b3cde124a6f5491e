//! How a request is named and shown: the paths of a file as commands have them (`super::super::action`), and a line for people.
//!
//! What is below the home that the host told is below `~`; all else is from the root. A host whose SFTP begins in another directory
//! than its shells (`internal-sftp -d`) has that for `~`. One whose home is the root has none.

use std::collections::BTreeSet;

use proto_ssh::path::{Canonical, Path, shown};
use proto_ssh::sftp::action::{Role, Touch};
use proto_ssh::sftp::attrs::Attrs;
use proto_ssh::sftp::message::Request;
use proto_ssh::sftp::session::Asked;
use vocab::{Access, Action, Opaque, ResourcePath, Verb};

use crate::limits::SFTP_IDS_SHOWN_MAX;

const NOT_TEXT: &str = "a path that is not text in UTF-8";
const LIKE_A_HOME: &str = "which file is meant cannot be known";

/// What a request does. `of_user`: `NAME/USER`.
pub(super) fn action(of_user: &ResourcePath, home: Option<&Canonical>, asked: &Asked) -> Action {
    of_touches(of_user, home, &asked.action().touches, kind(asked.request()))
}

/// What is done to paths.
pub(super) fn of_touches(
    of_user: &ResourcePath,
    home: Option<&Canonical>,
    touches: &[Touch],
    kind: &'static str,
) -> Action {
    let (mut accesses, mut opaque) = (BTreeSet::new(), None);
    for touch in touches {
        let (on, unclear) = place(of_user, home, &touch.path);
        opaque = opaque.or(unclear);
        if touch.role == Role::From {
            // By its other name it can be read.
            accesses.insert(Access { verb: Verb::Read, on: on.clone(), columns: Vec::new() });
        }
        accesses.insert(Access { verb: touch.operation.verb(), on, columns: Vec::new() });
    }
    if opaque.is_some() {
        accesses.insert(Access { verb: Verb::Execute, on: of_user.clone(), columns: Vec::new() });
    }
    Action {
        accesses: accesses.into_iter().collect(),
        functions: Vec::new(),
        kind,
        opaque: opaque.map(Opaque),
    }
}

/// The resource of a path, and why it may be another's.
pub(super) fn place(
    of_user: &ResourcePath,
    home: Option<&Canonical>,
    path: &Path,
) -> (ResourcePath, Option<&'static str>) {
    let (files, path) = (of_user.join("file"), &path.canonical);
    let home = home.filter(|home| home.name().is_some() && path.is_within(home));
    let (mut on, skipped) = match home {
        Some(home) => (files.join("~"), home.names().count()),
        None => (files, 0),
    };
    let mut unclear = None;
    for (n, name) in path.names().enumerate().skip(skipped) {
        if home.is_none() && n == 0 && name.first() == Some(&b'~') {
            unclear = Some(LIKE_A_HOME);
        }
        match std::str::from_utf8(name) {
            Ok(name) => on = on.join(name),
            Err(_) => {
                unclear = Some(NOT_TEXT);
                on = on.join(&shown(name));
            }
        }
    }
    (on, unclear)
}

/// The line for records and people, not yet masked: the request's name, its paths as they are sent, what is done to them, and what is set.
pub(super) fn line(asked: &Asked) -> String {
    let mut paths: Vec<String> = Vec::new();
    let mut operations: Vec<&str> = Vec::new();
    for touch in &asked.action().touches {
        let path = touch.path.canonical.shown();
        if !paths.contains(&path) {
            paths.push(path);
        }
        if !operations.contains(&touch.operation.as_str()) {
            operations.push(touch.operation.as_str());
        }
    }
    let kind = kind(asked.request());
    let kind = kind.strip_prefix("SFTP ").unwrap_or(kind);
    let mut line = format!("{kind} {} ({})", paths.join(" -> "), operations.join(", "));
    if let Request::Symlink { first, second } = asked.upstream() {
        // What a link says is not what it leads to.
        line += &format!(" {} {}", shown(first.as_bytes()), shown(second.as_bytes()));
    }
    match asked.request() {
        Request::Open { attrs, .. }
        | Request::Mkdir { attrs, .. }
        | Request::Setstat { attrs, .. }
        | Request::Lsetstat { attrs, .. }
        | Request::Fsetstat { attrs, .. } => line += &set(attrs),
        _ => {}
    }
    line
}

/// What is asked about users: its name, and whose name or home is meant, of which the session knows that it is short. Of ids at most
/// [`SFTP_IDS_SHOWN_MAX`] of each kind, and how many there are besides.
pub(super) fn of_users(request: &Request) -> String {
    let kind = kind(request);
    let kind = kind.strip_prefix("SFTP ").unwrap_or(kind);
    let ids = |what: &str, ids: &[u32]| {
        let listed: Vec<String> = ids.iter().take(SFTP_IDS_SHOWN_MAX).map(u32::to_string).collect();
        let more = match ids.len().saturating_sub(SFTP_IDS_SHOWN_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!(" {what} {}{more}", listed.join(","))
    };
    match request {
        Request::ExpandPath { path } => format!("{kind} {}", shown(path.as_bytes())),
        Request::HomeDirectory { user } => format!("{kind} {}", shown(user.as_bytes())),
        Request::UsersGroupsById { users, groups } => {
            format!("{kind}{}{}", ids("users", users), ids("groups", groups))
        }
        _ => kind.to_owned(),
    }
}

fn set(attrs: &Attrs) -> String {
    let said = [
        attrs.size.map(|size| format!(" size {size}")),
        attrs.owner.map(|(user, group)| format!(" owner {user}:{group}")),
        attrs.permissions.map(|mode| format!(" mode {:04o}", mode & 0o7777)),
        attrs.times.map(|(read, written)| format!(" times {read} {written}")),
    ];
    said.into_iter().flatten().collect()
}

/// What a model may have said of it: its paths.
pub(super) fn said(asked: &Asked) -> Option<String> {
    let paths: Vec<&str> = asked
        .action()
        .touches
        .iter()
        .filter_map(|touch| std::str::from_utf8(touch.path.canonical.as_bytes()).ok())
        .collect();
    (!paths.is_empty()).then(|| paths.join(" "))
}

/// The kind of a request, as policy and records have it.
fn kind(request: &Request) -> &'static str {
    match request {
        Request::Open { .. } => "SFTP OPEN",
        Request::Close { .. } => "SFTP CLOSE",
        Request::Read { .. } => "SFTP READ",
        Request::Write { .. } => "SFTP WRITE",
        Request::Lstat { .. } => "SFTP LSTAT",
        Request::Fstat { .. } => "SFTP FSTAT",
        Request::Setstat { .. } => "SFTP SETSTAT",
        Request::Fsetstat { .. } => "SFTP FSETSTAT",
        Request::Opendir { .. } => "SFTP OPENDIR",
        Request::Readdir { .. } => "SFTP READDIR",
        Request::Remove { .. } => "SFTP REMOVE",
        Request::Mkdir { .. } => "SFTP MKDIR",
        Request::Rmdir { .. } => "SFTP RMDIR",
        Request::Realpath { .. } => "SFTP REALPATH",
        Request::Stat { .. } => "SFTP STAT",
        Request::Rename { .. } => "SFTP RENAME",
        Request::Readlink { .. } => "SFTP READLINK",
        Request::Symlink { .. } => "SFTP SYMLINK",
        Request::PosixRename { .. } => "SFTP POSIX-RENAME",
        Request::Statvfs { .. } => "SFTP STATVFS",
        Request::Fstatvfs { .. } => "SFTP FSTATVFS",
        Request::Hardlink { .. } => "SFTP HARDLINK",
        Request::Fsync { .. } => "SFTP FSYNC",
        Request::Lsetstat { .. } => "SFTP LSETSTAT",
        Request::Limits => "SFTP LIMITS",
        Request::ExpandPath { .. } => "SFTP EXPAND-PATH",
        Request::CopyData { .. } => "SFTP COPY-DATA",
        Request::HomeDirectory { .. } => "SFTP HOME-DIRECTORY",
        Request::UsersGroupsById { .. } => "SFTP USERS-GROUPS-BY-ID",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::RawField;

    #[track_caller]
    fn check(home: &str, written: &[u8], expect: &str, unclear: bool) {
        let home = Canonical::read(home.as_bytes()).unwrap();
        let path = Path::read(&RawField::copy_from(written), Some(&home)).unwrap();
        let (on, why) = place(&ResourcePath::root("build").join("deploy"), Some(&home), &path);
        assert_eq!((on.as_str(), why.is_some()), (format!("build/deploy/{expect}").as_str(), unclear));
    }

    #[test]
    fn a_file_has_the_name_that_commands_give_it() {
        check("/home/deploy", b"/etc/passwd", "file/etc/passwd", false);
        check("/home/deploy", b"notes", "file/~/notes", false);
        check("/home/deploy", b"/home/deploy/a/../notes", "file/~/notes", false);
        check("/home/deploy", b".", "file/~", false);
        check("/home/deploy", b"/home/deployed", "file/home/deployed", false);
        check("/home/deploy", b"/", "file", false);
        check("/home/deploy", b"/a%b", "file/a%25b", false);
        check("/", b"notes", "file/notes", false);
    }

    #[test]
    fn what_is_asked_about_users_is_a_short_line() {
        let path = RawField::from_static(b"~root");
        assert_eq!(of_users(&Request::ExpandPath { path }), "EXPAND-PATH ~root");
        let user = RawField::from_static(b"bo\n");
        assert_eq!(of_users(&Request::HomeDirectory { user }), "HOME-DIRECTORY bo\\u{a}");
        let few = Request::UsersGroupsById { users: vec![0, 1], groups: Vec::new() };
        assert_eq!(of_users(&few), "USERS-GROUPS-BY-ID users 0,1 groups ");
        let many = Request::UsersGroupsById { users: vec![7; 100], groups: vec![7; 4_096] };
        let line = of_users(&many);
        assert!(line.contains("7,7 and 36 more groups 7,7"), "{line}");
        assert!(line.ends_with(" and 4032 more") && line.len() < 512, "{line}");
    }

    #[test]
    fn what_could_be_another_is_opaque() {
        check("/home/deploy", b"/~/notes", "file/~/notes", true);
        check("/home/deploy", b"/srv/\xff", "file/srv/\\xff", true);
        check("/home/deploy", b"~/notes", "file/~/~/notes", false);
    }
}
