//! `git`: its subcommands, and the services that git starts over SSH.

use super::At;
use super::network;
use crate::line::{Arg, FileAccess, Opaque, Value};
use crate::walk::Walk;

pub(super) fn reach(walk: &mut Walk, at: &At<'_>) -> bool {
    match at.base {
        "git" => git(walk, at),
        "git-upload-pack" | "git-upload-archive" => service(walk, at, FileAccess::Read),
        // What is received runs hooks of the repository.
        "git-receive-pack" => {
            service(walk, at, FileAccess::Write);
            walk.opaque(Opaque::StartsPrograms, at.span);
        }
        _ => return false,
    }
    true
}

fn service(walk: &mut Walk, at: &At<'_>, access: FileAccess) {
    for arg in at.args.iter().filter(|a| !a.value.starts().starts_with("--")) {
        walk.file(at.index, arg.value.clone(), access, arg.at);
    }
}

fn git(walk: &mut Walk, at: &At<'_>) {
    for arg in at.args {
        if let Value::Unknown { starts, one } = &arg.value
            && (!one || starts.is_empty() || starts.starts_with('-'))
        {
            walk.opaque(Opaque::ArgumentUnknown, arg.at);
        }
    }
    let mut args = at.args.iter();
    let subcommand = loop {
        let Some(arg) = args.next() else { return };
        match arg.value.literal() {
            Some("-C") => {
                if let Some(directory) = args.next() {
                    walk.file(at.index, directory.value.clone(), FileAccess::List, directory.at);
                }
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
    subcommand_of(walk, at, subcommand.0, subcommand.1, &rest);
}

fn subcommand_of(walk: &mut Walk, at: &At<'_>, name: &str, word: &Arg, rest: &[Arg]) {
    let words: Vec<&Arg> = rest.iter().filter(|a| !a.value.starts().starts_with('-')).collect();
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
            if name == "diff" || name == "grep" {
                for arg in words {
                    walk.file(at.index, arg.value.clone(), FileAccess::Read, arg.at);
                }
            }
        }
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
                walk.opaque(Opaque::StartsPrograms, word.at);
            }
            remote(walk, at, word, rest, words.first().copied());
        }
        "commit" | "merge" | "rebase" | "cherry-pick" | "revert" | "am" | "apply" | "bisect"
        | "submodule" | "gc" | "worktree" | "filter-branch" | "difftool" | "mergetool" | "send-email"
        | "archive" | "bundle" | "clean" => {
            walk.opaque(Opaque::StartsPrograms, word.at);
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
    // Values of options count as words: only plain forms are taken apart.
    let valued = rest.iter().any(|a| {
        matches!(
            a.value.literal(),
            Some(
                "-b" | "--branch"
                    | "--depth"
                    | "-o"
                    | "--origin"
                    | "-j"
                    | "--jobs"
                    | "--reference"
                    | "--filter"
            )
        )
    });
    let plain: Vec<&Arg> =
        if valued { words.iter().skip_while(|a| !is_remote(a)).copied().collect() } else { words.to_vec() };
    let Some(from) = plain.first() else { return walk.opaque(Opaque::HostUnknown, word.at) };
    remote(walk, at, word, &[], Some(from));
    let into = match plain.get(1) {
        Some(into) => into.value.clone(),
        None => match from.value.literal() {
            Some(url) => {
                let name = url.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or(url);
                Value::Literal(name.trim_end_matches(".git").to_owned())
            }
            None => Value::unknown(),
        },
    };
    walk.file(at.index, into, FileAccess::Write, word.at);
}

fn is_remote(arg: &Arg) -> bool {
    let text = arg.value.starts();
    text.contains("://") || text.contains(':') || text.contains('/')
}

fn remote(walk: &mut Walk, at: &At<'_>, word: &Arg, rest: &[Arg], from: Option<&Arg>) {
    upload_pack(walk, rest);
    let Some(from) = from else { return walk.opaque(Opaque::HostUnknown, word.at) };
    let text = from.value.starts();
    if text.contains("::") {
        // `ext::sh -c ...`: a helper that is a program.
        walk.opaque(Opaque::StartsPrograms, from.at);
    } else if text.starts_with("file://") || text.starts_with(['/', '.', '~']) {
        let path = text.strip_prefix("file://").unwrap_or(text).to_owned();
        walk.file(at.index, super::options::attached(from, &path).value, FileAccess::Read, from.at);
    } else if text.contains("://") {
        network::url(walk, at, from, FileAccess::Read);
    } else if !network::remote_path(walk, at, from) {
        walk.opaque(Opaque::HostUnknown, from.at);
    }
}
