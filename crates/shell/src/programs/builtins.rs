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
        "read" | "getopts" | "vared" => read(walk, at, "ersa:d:i:n:N:p:t:u:"),
        "mapfile" | "readarray" => read(walk, at, "d:n:O:s:tu:C|c:"),
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
        "wait" => wait(walk, at),
        "ulimit" => ulimit(walk, at),
        "exit" | "return" | "break" | "continue" | "shift" | "jobs" | "fg" | "bg" | "disown" | "umask"
        | "times" | "type" | "which" | "whereis" | "dirs" | "caller" | "logout" | "suspend" | "help" => {}
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
    match cd_operands(at.args) {
        Some([]) => walk.moves(Some(Value::Below(crate::line::Base::Home, String::new()))),
        Some([one]) => walk.moves(Some(one.value.clone())),
        Some(_) | None => walk.moves(None),
    }
}

/// What stands behind the options of `cd`, several of which may stand in one word. None where one is not known.
fn cd_operands(args: &[Arg]) -> Option<&[Arg]> {
    let mut rest = args;
    while let Some((first, behind)) = rest.split_first() {
        match first.value.starts() {
            "-" => break,
            "--" => return Some(behind),
            text if !text.starts_with('-') => break,
            text if first.value.literal().is_some() && text.chars().skip(1).all(|c| "PLe@".contains(c)) => {}
            _ => return None,
        }
        rest = behind;
    }
    Some(rest)
}

/// `name`, `name=value` and options. `-n` makes a name of another variable, `-i` makes arithmetic of its values, `-a` and
/// `-A` read a value as the words of an array, as they do where the name is one already.
fn declare(walk: &mut Walk, at: &At<'_>) {
    let lists = |arg: &Arg| is_option_with(arg, &['p']);
    if at.args.iter().any(lists) || at.args.iter().all(|arg| arg.value.starts().starts_with('-')) {
        walk.traced();
    }
    let exports = at.base == "export" || at.args.iter().any(|arg| is_option_with(arg, &['x']));
    for arg in at.args {
        let text = arg.value.starts();
        if text.starts_with(['-', '+']) {
            if text.contains(['n', 'i', 'f', 'F', 'a', 'A']) || arg.value.literal().is_none() {
                walk.opaque(Opaque::ShellSettings, arg.at);
            }
            // Small letters, capitals, a width: another form of what the variable is given.
            if text.contains(['l', 'u', 'c', 'L', 'R', 'Z']) {
                walk.opaque(Opaque::Recodes, arg.at);
            }
        } else {
            match text.split_once('=') {
                Some((name, value)) => {
                    if name.ends_with('+') {
                        walk.opaque(Opaque::Recodes, arg.at);
                    }
                    let name = name.strip_suffix('+').unwrap_or(name);
                    names(walk, name, arg);
                    if value.starts_with('(') || value.is_empty() && arg.value.literal().is_none() {
                        walk.opaque(Opaque::ShellSettings, arg.at);
                    }
                    if exports {
                        walk.variable_given(name, Some(&options::attached(arg, value).value), arg.at);
                    }
                }
                None if arg.value.literal().is_some() => {
                    names(walk, text, arg);
                    if exports {
                        walk.variable_given(text, None, arg.at);
                    }
                }
                None => walk.opaque(Opaque::ArgumentUnknown, arg.at),
            }
        }
    }
}

fn is_option_with(arg: &Arg, letters: &[char]) -> bool {
    arg.value.starts().starts_with('-') && arg.value.starts().contains(letters)
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

/// The first name ends the options, as of every builtin.
fn read(walk: &mut Walk, at: &At<'_>, short: &str) {
    walk.brings(at.span);
    let found = options::read(walk, at, short, "", Order::First);
    for arg in found.operands.iter().chain(found.values(&["a"])) {
        match arg.value.literal() {
            Some(name) => names(walk, name, arg),
            None => walk.opaque(Opaque::ArgumentUnknown, arg.at),
        }
    }
}

/// A limit on the size of files cuts what is written then; it is the one that is set where none is named.
fn ulimit(walk: &mut Walk, at: &At<'_>) {
    let option = |arg: &Arg| arg.value.starts().starts_with('-');
    let sets = at.args.iter().any(|arg| !option(arg));
    let harmless = |arg: &Arg| {
        let text = arg.value.literal().unwrap_or("-f");
        !option(arg) || text.len() > 1 && text.chars().skip(1).all(|c| "HSacdlmnstuv".contains(c))
    };
    let named = |arg: &Arg| option(arg) && arg.value.starts().contains(|c| "cdlmnstuv".contains(c));
    if sets && !(at.args.iter().all(harmless) && at.args.iter().any(named)) {
        walk.opaque(Opaque::Recodes, at.span);
    }
}

/// Whether what cannot be known may begin with a `-`.
fn may_be_option(arg: &Arg) -> bool {
    let text = arg.value.starts();
    match &arg.value {
        Value::Literal(_) => text.starts_with('-'),
        Value::Pattern(..) => text.is_empty() || text.starts_with(['-', '*', '?', '[']),
        Value::Below(..) | Value::Unknown { .. } => text.is_empty() || text.starts_with('-'),
    }
}

/// `-p name` sets a variable by its name.
fn wait(walk: &mut Walk, at: &At<'_>) {
    let plain = |arg: &Arg| matches!(arg.value.literal(), Some("-n" | "-f"));
    for arg in at.args.iter().filter(|arg| may_be_option(arg) && !plain(arg)) {
        walk.opaque(Opaque::ArgumentUnknown, arg.at);
    }
}

fn printf(walk: &mut Walk, at: &At<'_>) {
    match at.args {
        [first, name, ..] if first.value.literal() == Some("-v") => match name.value.literal() {
            Some(text) => names(walk, text, name),
            None => walk.opaque(Opaque::ArgumentUnknown, name.at),
        },
        [first, ..] if first.value.literal().is_none() && may_be_option(first) => {
            walk.opaque(Opaque::ArgumentUnknown, first.at);
        }
        [first, ..] if first.value.starts().starts_with("-v") => walk.opaque(Opaque::OptionUnknown, first.at),
        _ => {}
    }
    if sets_by_format(at.args) {
        walk.opaque(Opaque::Environment, at.span);
    }
}

/// `printf %n NAME` sets a variable; of a format that is not known, any word behind it may be a name.
fn sets_by_format(args: &[Arg]) -> bool {
    let rest = match args {
        [first, _, rest @ ..] if first.value.literal() == Some("-v") => rest,
        all => all,
    };
    let mut rest = rest.iter().skip_while(|arg| arg.value.literal() == Some("--"));
    let Some(format) = rest.next() else { return false };
    match format.value.literal() {
        Some(format) => counts_into_variable(format),
        None => !is_one(format) || rest.next().is_some(),
    }
}

/// Whether a format of `printf` has a `%n`, which sets the variable that the next word names.
fn counts_into_variable(format: &str) -> bool {
    let format = format.replace("%%", "");
    let mut parts = format.split('%');
    parts.next();
    parts.any(|part| {
        part.trim_start_matches(|c: char| "#-+ '.*hjlLqtz".contains(c) || c.is_ascii_digit()).starts_with('n')
    })
}

/// Settings that change how the shell reads are opaque; `-e`, `-u`, `-x`, `-f` and their like are not.
fn set(walk: &mut Walk, at: &At<'_>) {
    // It lists the variables.
    if at.args.is_empty() {
        walk.traced();
    }
    let mut args = at.args.iter();
    while let Some(arg) = args.next() {
        let Some(text) = arg.value.literal() else { return walk.opaque(Opaque::ArgumentUnknown, arg.at) };
        if text == "--" || !text.starts_with(['-', '+']) {
            return;
        }
        if text.contains('x') {
            walk.traced();
        }
        let mut letters = text.get(1..).unwrap_or("").chars();
        // Each `o` takes a word, and `-a` gives all variables to programs.
        if !letters.all(|c| "Cbefhmnuvxo".contains(c)) || text.matches('o').count() > 1 {
            return walk.opaque(Opaque::ShellSettings, arg.at);
        }
        if text.contains('o') {
            let value = args.next().and_then(|a| a.value.literal());
            let plain =
                ["pipefail", "errexit", "nounset", "xtrace", "noglob", "noclobber", "verbose", "errtrace"];
            if !value.is_some_and(|value| plain.contains(&value)) {
                return walk.opaque(Opaque::ShellSettings, arg.at);
            }
            if value == Some("xtrace") {
                walk.traced();
            }
        }
    }
}

/// Code that runs when the shell ends is read; the directory is the one of then. When other code runs, and whether between
/// two commands of the line, cannot be said.
fn trap(walk: &mut Walk, at: &At<'_>) {
    let args: Vec<&Arg> = at.args.iter().filter(|a| a.value.literal() != Some("--")).collect();
    match &*args {
        [] => {}
        [one] if one.value.literal().is_none() => walk.opaque(Opaque::Eval, one.at),
        [_] => {}
        [action, signals @ ..] => {
            // zsh runs it at the end of the function, if it stands in one.
            let function = at.scene.place.inside == crate::line::Inside::Function;
            let at_exit = !function
                && signals.iter().all(|signal| matches!(signal.value.literal(), Some("EXIT" | "0")));
            match action.value.literal() {
                Some("" | "-" | "-l" | "-p") => {}
                Some(text) if !text.starts_with('-') => {
                    if !at_exit {
                        walk.opaque(Opaque::Later, action.at);
                    }
                    let mut scene = at.scene.within(at.index, crate::line::Inside::Script);
                    scene.place.conditional = true;
                    walk.elsewhere(|walk| walk.script(text, action.at, &scene, By::This));
                }
                _ => walk.opaque(Opaque::Eval, action.at),
            }
        }
    }
}

/// `[ -v 'a[$(id)]' ]` evaluates the subscript.
fn test(walk: &mut Walk, at: &At<'_>) {
    for arg in at.args {
        if matches!(arg.value.literal(), Some("-v" | "-R")) {
            walk.opaque(Opaque::Arithmetic, arg.at);
        }
    }
    let words = match at.args.split_last() {
        Some((last, words)) if at.base == "[" && last.value.literal() == Some("]") => words,
        _ => at.args,
    };
    if !is_comparison(words) && may_evaluate(words) {
        walk.opaque(Opaque::Arithmetic, at.span);
    }
}

/// `a = b` or `! a = b`: with three words, the operator in the middle decides.
fn is_comparison(words: &[Arg]) -> bool {
    const OPERATORS: [&str; 13] =
        ["=", "==", "!=", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef", "=~"];
    let words = match words {
        [not, rest @ ..] if not.value.literal() == Some("!") => rest,
        _ => words,
    };
    let [left, operator, right] = words else { return false };
    operator.value.literal().is_some_and(|text| OPERATORS.contains(&text)) && is_one(left) && is_one(right)
}

fn is_one(arg: &Arg) -> bool {
    !matches!(arg.value, Value::Unknown { one: false, .. } | Value::Pattern(..))
}

/// Whether a word may turn out to be `-v`, and another one a subscript.
fn may_evaluate(words: &[Arg]) -> bool {
    let operator = |arg: &Arg| arg.value.literal().is_none() && may_be_option(arg);
    let subscript = |arg: &Arg| arg.value.literal().is_none_or(|text| text.contains('['));
    let pair = |(at, arg): (usize, &Arg)| {
        let other = || words.iter().enumerate().any(|(place, word)| place != at && subscript(word));
        operator(arg) && (!is_one(arg) || other())
    };
    words.iter().enumerate().any(pair)
}
