//! Builtins of the shells: XCU 2.15, and bash's own.

use super::At;
use super::options::{self, Order};
use crate::line::{Arg, FileAccess, Opaque, Value};
use crate::walk::{By, Walk};

pub(super) fn reach(walk: &mut Walk, at: &At<'_>) -> bool {
    match at.base {
        "eval" => walk.opaque(Opaque::Eval, at.span),
        "." | "source" => source(walk, at),
        "cd" | "chdir" => cd(walk, at),
        "pushd" | "popd" => walk.moved(),
        "export" | "readonly" | "declare" | "typeset" | "local" | "integer" | "float" => declare(walk, at),
        "unset" => unset(walk, at),
        "read" | "mapfile" | "readarray" | "getopts" | "vared" => read(walk, at),
        "printf" => printf(walk, at),
        "alias" => {
            if at.args.iter().any(|a| a.value.literal().is_none_or(|text| text.contains('='))) {
                walk.opaque(Opaque::Alias, at.span);
            }
        }
        "unalias" | "shopt" | "enable" | "setopt" | "unsetopt" | "emulate" | "autoload" | "zmodload"
        | "zle" | "hash" | "rehash" | "bind" | "complete" | "compopt" | "compgen" | "bindkey" | "disable" => {
            walk.opaque(Opaque::ShellSettings, at.span);
        }
        "set" => set(walk, at),
        "trap" => trap(walk, at),
        "let" => walk.opaque(Opaque::Arithmetic, at.span),
        "test" | "[" => test(walk, at),
        "fc" | "history" | "coproc" | "noglob" | "nocorrect" | "-" => {
            walk.opaque(Opaque::ShellSettings, at.span);
        }
        // bash's `jobs -x` runs a command.
        "jobs" if !at.args.is_empty() => walk.opaque(Opaque::StartsPrograms, at.span),
        "exit" | "return" | "break" | "continue" | "shift" | "wait" | "jobs" | "fg" | "bg" | "disown"
        | "umask" | "ulimit" | "times" | "type" | "which" | "whereis" | "dirs" | "caller" | "logout"
        | "suspend" | "help" => {}
        _ => return false,
    }
    true
}

fn source(walk: &mut Walk, at: &At<'_>) {
    walk.opaque(Opaque::Source, at.span);
    if let Some(file) = at.args.iter().find(|a| a.value.literal() != Some("--")) {
        walk.file(at.index, file.value.clone(), FileAccess::Read, file.at);
    }
}

fn cd(walk: &mut Walk, at: &At<'_>) {
    // `sudo cd` and `env cd` run a program that moves nobody; `command cd` does.
    if at.scene.place.inside == crate::line::Inside::Wrapped {
        return walk.moved();
    }
    let operands: Vec<&Arg> =
        at.args.iter().filter(|a| !matches!(a.value.literal(), Some("-P" | "-L" | "-e" | "--"))).collect();
    match &*operands {
        [] => walk.moves(Some(Value::Below(crate::line::Base::Home, String::new()))),
        [one] => walk.moves(Some(one.value.clone())),
        _ => walk.moves(None),
    }
}

/// `name`, `name=value` and options. `-n` makes a name of another variable, `-i` makes arithmetic of its values.
fn declare(walk: &mut Walk, at: &At<'_>) {
    for arg in at.args {
        let text = arg.value.starts();
        if text.starts_with(['-', '+']) {
            if text.contains(['n', 'i', 'f', 'F']) || arg.value.literal().is_none() {
                walk.opaque(Opaque::ShellSettings, arg.at);
            }
        } else {
            match text.split_once('=') {
                Some((name, _)) => names(walk, name.trim_end_matches('+'), arg),
                None if arg.value.literal().is_some() => names(walk, text, arg),
                None => walk.opaque(Opaque::ArgumentUnknown, arg.at),
            }
        }
    }
}

/// A variable that is set by its name: a subscript in it is evaluated.
fn names(walk: &mut Walk, name: &str, arg: &Arg) {
    if !crate::read::is_variable(name) {
        walk.opaque(Opaque::Arithmetic, arg.at);
    }
    walk.variable_set(name, arg.at);
}

fn unset(walk: &mut Walk, at: &At<'_>) {
    for arg in at.args {
        match arg.value.literal() {
            Some(text) if text.starts_with('-') => {}
            Some(text) => names(walk, text, arg),
            None => walk.opaque(Opaque::ArgumentUnknown, arg.at),
        }
    }
}

fn read(walk: &mut Walk, at: &At<'_>) {
    let found = options::read(walk, at, "ersa:d:i:n:N:p:t:u:O:s:c:C|", "", Order::Mixed);
    for arg in found.operands.iter().chain(found.values(&["a"])) {
        match arg.value.literal() {
            Some(name) => names(walk, name, arg),
            None => walk.opaque(Opaque::ArgumentUnknown, arg.at),
        }
    }
}

fn printf(walk: &mut Walk, at: &At<'_>) {
    match at.args {
        [first, name, ..] if first.value.literal() == Some("-v") => match name.value.literal() {
            Some(text) => names(walk, text, name),
            None => walk.opaque(Opaque::ArgumentUnknown, name.at),
        },
        [first, ..] if first.value.literal().is_none() && first.value.starts().is_empty() => {
            walk.opaque(Opaque::ArgumentUnknown, first.at);
        }
        [first, ..] if first.value.starts().starts_with("-v") => walk.opaque(Opaque::OptionUnknown, first.at),
        _ => {}
    }
}

/// Settings that change how the shell reads are opaque; `-e`, `-u`, `-x`, `-f` and their like are not.
fn set(walk: &mut Walk, at: &At<'_>) {
    let mut args = at.args.iter();
    while let Some(arg) = args.next() {
        let Some(text) = arg.value.literal() else { return walk.opaque(Opaque::ArgumentUnknown, arg.at) };
        if text == "--" || !text.starts_with(['-', '+']) {
            return;
        }
        let mut letters = text.get(1..).unwrap_or("").chars();
        if !letters.all(|c| "aCbefhmnuvxo".contains(c)) {
            return walk.opaque(Opaque::ShellSettings, arg.at);
        }
        if text.contains('o') {
            let value = args.next().and_then(|a| a.value.literal());
            let plain =
                ["pipefail", "errexit", "nounset", "xtrace", "noglob", "noclobber", "verbose", "errtrace"];
            if !value.is_some_and(|value| plain.contains(&value)) {
                return walk.opaque(Opaque::ShellSettings, arg.at);
            }
        }
    }
}

fn trap(walk: &mut Walk, at: &At<'_>) {
    let args: Vec<&Arg> = at.args.iter().filter(|a| a.value.literal() != Some("--")).collect();
    match &*args {
        [] => {}
        [one] if matches!(one.value.literal(), Some("-l" | "-p")) => {}
        [action, _, ..] => match action.value.literal() {
            Some("" | "-") => {}
            Some(text) => {
                let scene = at.scene.within(at.index, crate::line::Inside::Script);
                let mut scene = scene;
                scene.place.conditional = true;
                walk.script(text, action.at, &scene, By::This);
            }
            None => walk.opaque(Opaque::Eval, action.at),
        },
        _ => {}
    }
}

/// `[ -v 'a[$(id)]' ]` evaluates the subscript.
fn test(walk: &mut Walk, at: &At<'_>) {
    for arg in at.args {
        if matches!(arg.value.literal(), Some("-v" | "-R")) {
            walk.opaque(Opaque::Arithmetic, arg.at);
        }
    }
}
