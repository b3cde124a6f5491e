//! `git`: its subcommands, and the services that git starts over SSH.

use super::At;
use super::languages::with_suffix;
use super::network;
use super::options::{self, Found, Order, attached};
use crate::line::{Arg, FileAccess, Opaque, Value};
use crate::walk::Walk;

pub(super) fn reach(walk: &mut Walk, at: &At<'_>) -> bool {
    match at.base {
        "git" => git(walk, at),
        "git-upload-pack" | "git-upload-archive" => service(walk, at, FileAccess::Read),
        // What is received runs hooks of the repository.
        "git-receive-pack" => {
            service(walk, at, FileAccess::Write);
            walk.opaque(Opaque::RunsOthers, at.span);
        }
        _ => return false,
    }
    true
}

/// A path without `.git` may be that of the same name with it; `~` is a home for these programs themselves.
fn service(walk: &mut Walk, at: &At<'_>, access: FileAccess) {
    let long = "strict no-strict stateless-rpc advertise-refs http-backend-info-refs";
    for arg in &options::read(walk, at, "", long, Order::Mixed).operands {
        if arg.value.starts().starts_with('~') {
            walk.opaque(Opaque::PathUnknown, arg.at);
        }
        walk.file(at.index, arg.value.clone(), access, arg.at);
        if let Some(path) = arg.value.literal().map(|path| path.trim_end_matches('/'))
            && !path.ends_with(".git")
        {
            walk.file(at.index, Value::Literal(format!("{path}.git")), access, arg.at);
        }
    }
}

/// Subcommands, their short and their long options. What is not here is opaque: it may start a program, or name a file.
const OPTIONS: &[(&str, &str, &str)] = &[
    (
        "status",
        "sbvzu#",
        "short branch porcelain# long verbose show-stash untracked-files# ignored# column# no-column ahead-behind no-ahead-behind",
    ),
    (
        "log show diff whatchanged shortlog rev-list reflog",
        "psn:U#qrtcmMwbzaie0123456789",
        "oneline stat# graph all decorate# no-decorate patch no-patch name-only name-status cached staged color# no-color numstat shortstat summary raw format: pretty# since: until: after: before: author: committer: grep: max-count: skip: date: abbrev# abbrev-commit merges no-merges first-parent follow reverse count branches# tags# remotes# no-index check word-diff# ignore-all-space ignore-space-change diff-filter: find-renames# no-renames exit-code quiet unified# numbered email left-right cherry-pick topo-order date-order no-walk objects no-ext-diff no-textconv",
    ),
    (
        "branch",
        "avrqlfdDmM",
        "all remotes list verbose show-current merged# no-merged# contains# sort: format: delete move force column# no-column quiet abbrev# no-abbrev",
    ),
    (
        "tag",
        "lndf",
        "list delete force sort: format: contains# merged# no-merged# points-at: column# no-column",
    ),
    (
        "rev-parse",
        "q",
        "short# verify quiet abbrev-ref# show-toplevel git-dir git-common-dir absolute-git-dir is-inside-work-tree is-bare-repository is-inside-git-dir show-prefix show-cdup symbolic-full-name all branches# tags# remotes#",
    ),
    (
        "ls-files",
        "cdmostuvkiz",
        "cached deleted modified others stage exclude-standard full-name error-unmatch directory ignored unmerged",
    ),
    ("ls-tree", "rdtlz", "name-only name-status full-name full-tree long abbrev# object-only"),
    ("cat-file", "tspe", ""),
    ("describe", "", "all tags always dirty# long abbrev# exact-match match: exclude: first-parent"),
    ("blame", "L:lstnfwe", "porcelain line-porcelain show-email show-name root date: abbrev#"),
    (
        "grep",
        "nilLcwvEFPhHqe:A:B:C:pWI0",
        "line-number ignore-case files-with-matches name-only count word-regexp invert-match extended-regexp fixed-strings perl-regexp quiet cached untracked no-index color# no-color",
    ),
    (
        "name-rev merge-base for-each-ref show-ref count-objects check-ignore symbolic-ref version",
        "aqvnsd",
        "format: sort: heads tags verify hash# all is-ancestor fork-point points-at: short# name-only always human-readable quiet verbose",
    ),
    ("add", "AnvufN", "all no-all dry-run verbose update force intent-to-add ignore-errors"),
    ("restore", "s:SWq", "source: staged worktree quiet ours theirs"),
    ("reset", "q", "soft mixed quiet"),
    ("rm", "rfnq", "cached force dry-run quiet ignore-unmatch"),
    ("mv", "fnkv", "force dry-run verbose"),
    ("init", "qb:", "bare quiet initial-branch:"),
    ("fetch", "qvpatfnj:46", "depth: deepen: prune tags no-tags all quiet verbose force unshallow jobs:"),
    ("ls-remote", "thq46", "heads tags refs quiet exit-code sort: symref"),
    (
        "clone",
        "qvnj:b:o:46",
        "branch: depth: origin: jobs: single-branch no-single-branch quiet verbose no-checkout no-tags progress filter:",
    ),
];

fn git(walk: &mut Walk, at: &At<'_>) {
    for arg in at.args {
        if let Value::Unknown { starts, one } = &arg.value
            && (!one || starts.is_empty() || starts.starts_with('-'))
        {
            walk.opaque(Opaque::ArgumentUnknown, arg.at);
        }
    }
    // A file's name may be an option, too.
    for arg in at.args.iter().filter(|a| matches!(a.value, Value::Pattern(..))) {
        if arg.value.starts().is_empty() || arg.value.starts().starts_with(['*', '?', '[']) {
            walk.opaque(Opaque::ArgumentUnknown, arg.at);
        }
    }
    let mut place: Option<Arg> = None;
    let mut links = true;
    let mut args = at.args.iter();
    let (name, word) = loop {
        let Some(arg) = args.next() else { return };
        match arg.value.literal() {
            Some("-C") => {
                let Some(directory) = args.next() else {
                    return walk.opaque(Opaque::ArgumentUnknown, arg.at);
                };
                // Each is below the one before it.
                if place.is_some() && !directory.value.starts().starts_with('/') {
                    walk.opaque(Opaque::Directory, directory.at);
                }
                place = Some(directory.clone());
            }
            Some("-c") if args.as_slice().first().is_some_and(|a| a.value.literal() == Some(NO_LINKS)) => {
                args.next();
                links = false;
            }
            Some("-c") if args.as_slice().first().is_some_and(is_harmless) => {
                args.next();
            }
            Some(
                "--no-pager"
                | "-P"
                | "--bare"
                | "--no-optional-locks"
                | "--literal-pathspecs"
                | "--version"
                | "--help"
                | "-v"
                | "-h"
                | "--no-replace-objects",
            ) => {}
            // `-c core.pager=...`, `--exec-path`, `--git-dir`: settings that name programs, or a place that does.
            Some(option) if option.starts_with('-') => {
                walk.opaque(Opaque::Configuration, arg.at);
                if option == "-c" {
                    args.next();
                }
            }
            Some(word) => break (word, arg),
            None => return walk.opaque(Opaque::ArgumentUnknown, arg.at),
        }
    };
    let rest: Vec<Arg> = args.cloned().collect();
    let row = OPTIONS.iter().find(|row| row.0.split(' ').any(|n| n == name));
    let found = row
        .map(|(_, short, long)| options::read(walk, &At { args: &rest, ..*at }, short, long, Order::Mixed));
    let operands: Vec<Arg> = match &found {
        Some(found) => found.operands.clone(),
        None => rest.iter().filter(|a| !a.value.starts().starts_with('-')).cloned().collect(),
    };
    let words: Vec<&Arg> = operands.iter().collect();
    if links && found.as_ref().is_some_and(|found| makes_links(name, found)) {
        walk.opaque(Opaque::MakesLinks, word.at);
    }
    let access = if !tells(name, &rest) && writes(name, found.as_ref(), &words) {
        FileAccess::Write
    } else {
        FileAccess::Read
    };
    match &place {
        Some(place) => {
            walk.file(at.index, place.value.clone(), access, place.at);
            walk.inside(&place.value, |walk| subcommand_of(walk, at, (name, word), &rest, words));
        }
        None => {
            // A repository that is made elsewhere is named by where it is made.
            let here = !matches!((name, words.is_empty()), ("clone" | "version", _) | ("init", false));
            if here {
                walk.file(at.index, Value::Literal(".".to_owned()), access, word.at);
            }
            subcommand_of(walk, at, (name, word), &rest, words);
        }
    }
}

/// The setting with which a link is checked out as a file of its text.
const NO_LINKS: &str = "core.symlinks=false";

/// Whether a subcommand checks out what a repository has. Others that do are opaque for more than this.
fn makes_links(name: &str, found: &Found) -> bool {
    match name {
        "clone" => !found.has(&["n", "no-checkout"]),
        "restore" => !found.has(&["S", "staged"]) || found.has(&["W", "worktree"]),
        _ => false,
    }
}

/// Whether a subcommand changes the repository that it runs in.
fn writes(name: &str, found: Option<&Found>, words: &[&Arg]) -> bool {
    let has = |names: &[&str]| found.is_some_and(|found| found.has(names));
    match name {
        "status" | "log" | "diff" | "show" | "rev-parse" | "rev-list" | "ls-files" | "ls-tree"
        | "cat-file" | "describe" | "blame" | "shortlog" | "grep" | "name-rev" | "merge-base"
        | "for-each-ref" | "show-ref" | "whatchanged" | "count-objects" | "check-ignore" | "version"
        | "ls-remote" => false,
        // Older versions take `branch -l` for something else.
        "branch" => {
            has(&["d", "D", "m", "M", "f", "delete", "move", "force"]) || !words.is_empty() && !has(&["list"])
        }
        "tag" => has(&["d", "f", "delete", "force"]) || !words.is_empty() && !has(&["l", "list"]),
        "symbolic-ref" => has(&["d"]) || words.len() != 1,
        "reflog" => words.first().is_some_and(|word| word.value.literal() != Some("show")),
        _ => true,
    }
}

/// Settings of colours and of names in lists that nothing is started by.
fn is_harmless(setting: &Arg) -> bool {
    let Some((name, value)) = setting.value.literal().and_then(|text| text.split_once('=')) else {
        return false;
    };
    match name {
        "color.ui" | "color.status" | "color.branch" | "color.diff" => {
            matches!(value, "never" | "false" | "auto")
        }
        "core.quotepath" | "core.quotePath" => matches!(value, "off" | "false"),
        "core.pager" => value == "cat",
        _ => false,
    }
}

/// `git remote -v`, `git config --get user.email`, `git stash list`, `git clean -nd`: what the repository or its configuration says, and
/// no host is asked.
fn tells(name: &str, rest: &[Arg]) -> bool {
    let words: Option<Vec<&str>> = rest.iter().map(|arg| arg.value.literal()).collect();
    let Some(words) = words else { return false };
    match (name, &*words) {
        ("remote", [] | ["-v" | "--verbose"]) | ("stash", ["list"]) | ("config", ["--list" | "-l"]) => true,
        ("remote", ["get-url", key]) | ("config", ["--get" | "--get-all", key]) => !key.starts_with('-'),
        ("clean", words) => {
            let dry = |word: &&str| *word == "--dry-run" || word.contains('n');
            let flag = |word: &&str| {
                let letters = word.strip_prefix('-').unwrap_or("");
                *word == "--dry-run" || !letters.is_empty() && letters.chars().all(|c| "ndxX".contains(c))
            };
            words.iter().any(dry) && words.iter().all(flag)
        }
        _ => false,
    }
}

fn subcommand_of(walk: &mut Walk, at: &At<'_>, (name, word): (&str, &Arg), rest: &[Arg], words: Vec<&Arg>) {
    match name {
        "status" | "log" | "diff" | "show" | "branch" | "tag" | "rev-parse" | "rev-list" | "ls-files"
        | "ls-tree" | "cat-file" | "describe" | "blame" | "shortlog" | "reflog" | "grep" | "name-rev"
        | "merge-base" | "for-each-ref" | "show-ref" | "whatchanged" | "count-objects" | "check-ignore"
        | "symbolic-ref" | "version" => {
            let starts = ["--ext-diff", "--textconv", "-O", "--open-files-in-pager", "--output", "--exec"];
            for arg in rest.iter().filter(|a| starts.iter().any(|s| a.value.starts().starts_with(s))) {
                walk.opaque(Opaque::StartsPrograms, arg.at);
            }
            // Outside of a repository these two read any file: revisions are taken for files, too.
            if name == "diff" || name == "grep" || name == "blame" {
                for arg in words {
                    walk.file(at.index, arg.value.clone(), FileAccess::Read, arg.at);
                }
            }
        }
        "remote" | "config" | "stash" | "clean" if tells(name, rest) => {}
        // Files of the work tree.
        "add" | "restore" | "checkout" | "switch" | "reset" | "stash" | "rm" | "mv" | "init" | "config" => {
            if name == "config" || name == "checkout" || name == "switch" || name == "stash" {
                // Hooks, filters and settings that name programs.
                walk.opaque(Opaque::Configuration, word.at);
            }
            let access = if name == "rm" { FileAccess::Delete } else { FileAccess::Write };
            for arg in words {
                walk.file(at.index, arg.value.clone(), access, arg.at);
            }
        }
        "clone" => clone(walk, at, word, rest, &words),
        "ls-remote" | "fetch" | "pull" | "push" | "remote" => {
            // Hooks run, and a name of a remote stands for a URL of the configuration.
            if name == "pull" || name == "push" {
                walk.opaque(Opaque::RunsOthers, word.at);
            }
            remote(walk, at, word, rest, words.first().copied());
        }
        "commit" | "merge" | "rebase" | "cherry-pick" | "revert" | "am" | "apply" | "bisect"
        | "submodule" | "gc" | "worktree" | "filter-branch" | "difftool" | "mergetool" | "send-email"
        | "archive" | "bundle" | "clean" => {
            walk.opaque(Opaque::RunsOthers, word.at);
        }
        // An alias of the configuration, or a program `git-NAME`.
        _ => walk.opaque(Opaque::Configuration, word.at),
    }
}

fn upload_pack(walk: &mut Walk, rest: &[Arg]) {
    for arg in rest {
        let text = arg.value.starts();
        let starts = ["--upload-pack", "--receive-pack", "--exec", "-u", "-c", "--config", "--template"];
        if starts.iter().any(|s| text.starts_with(s)) || arg.value.literal().is_none() && text.is_empty() {
            walk.opaque(Opaque::StartsPrograms, arg.at);
        }
    }
}

fn clone(walk: &mut Walk, at: &At<'_>, word: &Arg, rest: &[Arg], words: &[&Arg]) {
    upload_pack(walk, rest);
    let Some(from) = words.first() else { return walk.opaque(Opaque::HostUnknown, word.at) };
    remote(walk, at, word, &[], Some(from));
    local_first(walk, at, from);
    let into = match words.get(1) {
        Some(into) => into.value.clone(),
        None => from.value.literal().and_then(cloned_as).map_or_else(Value::unknown, Value::Literal),
    };
    walk.file(at.index, into, FileAccess::Write, word.at);
}

/// A path that is there is cloned before a host that is written the same: `h:x` may be a directory; and so is a bundle of that name.
fn local_first(walk: &mut Walk, at: &At<'_>, from: &Arg) {
    let text = from.value.starts();
    if text.contains("://") {
        return;
    }
    if !text.starts_with(['/', '.', '~']) {
        walk.file(at.index, from.value.clone(), FileAccess::Read, from.at);
        if !text.ends_with(".git") {
            walk.file(at.index, with_suffix(&from.value, ".git"), FileAccess::Read, from.at);
        }
    }
    walk.file(at.index, with_suffix(&from.value, ".bundle"), FileAccess::Read, from.at);
}

/// The directory that `git clone` makes where none is named: the last part between `/` and `:`, without one `.git`. None where that is
/// not sure, as of a bundle.
fn cloned_as(url: &str) -> Option<String> {
    let start = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = start.split('/').next().unwrap_or("");
    let start = start.get(authority.rfind('@').map_or(0, |sign| sign + 1)..)?;
    let mut whole = start.trim_end_matches('/');
    if let Some(front) = whole.strip_suffix("/.git").filter(|front| !front.is_empty()) {
        whole = front.trim_end_matches('/');
    }
    // A port stands behind a host alone.
    if !whole.contains('/')
        && let Some((host, port)) = whole.rsplit_once(':')
        && port.bytes().all(|b| b.is_ascii_digit())
    {
        whole = host;
    }
    let name = whole.rsplit(['/', ':']).next()?;
    let name = name.strip_suffix(".git").unwrap_or(name);
    let odd = name.is_empty() || name.ends_with(".bundle") || name.contains(char::is_whitespace);
    (!odd).then(|| name.to_owned())
}

fn remote(walk: &mut Walk, at: &At<'_>, word: &Arg, rest: &[Arg], from: Option<&Arg>) {
    upload_pack(walk, rest);
    let Some(from) = from else { return walk.opaque(Opaque::HostUnknown, word.at) };
    let text = from.value.starts();
    if text.contains("::") {
        // `ext::sh -c ...`: a helper that is a program.
        walk.opaque(Opaque::StartsPrograms, from.at);
    } else if text.starts_with("file:///") || text.starts_with(['/', '.', '~']) {
        if text.starts_with("file:") && text.contains('%') || text.starts_with('~') {
            walk.opaque(Opaque::PathUnknown, from.at);
        }
        let path = text.strip_prefix("file://").unwrap_or(text).trim_end_matches('/');
        let value = attached(from, if path.is_empty() { "/" } else { path }).value;
        // The same name with `.git` is looked for, too.
        if !path.ends_with(".git") {
            walk.file(at.index, with_suffix(&value, ".git"), FileAccess::Read, from.at);
        }
        walk.file(at.index, value, FileAccess::Read, from.at);
    } else if text.contains("://") {
        // Another scheme is the name of a program.
        let known =
            ["http://", "https://", "ssh://", "git://", "ftp://", "ftps://", "git+ssh://", "ssh+git://"];
        if !known.iter().any(|scheme| text.starts_with(scheme)) {
            walk.opaque(Opaque::StartsPrograms, from.at);
        }
        network::url(walk, at, from, FileAccess::Read);
    } else if !network::remote_path(walk, at, from) {
        walk.opaque(Opaque::HostUnknown, from.at);
    }
}
