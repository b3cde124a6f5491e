//! Programs that run the command which their arguments are.

use super::At;
use super::options::{self, Found, Order};
use super::recode::names_shown;
use crate::limits::USER_BYTES_MAX;
use crate::line::{Arg, FileAccess, Inside, Opaque, User, Value};
use crate::walk::{By, Scene, Walk};

/// Name, short options, long options, how many operands stand before the command.
const WRAPPERS: &[(&str, &str, &str, usize)] = &[
    ("nohup", "", "help version", 0),
    ("setsid", "cfwhV", "ctty fork wait help version", 0),
    ("stdbuf", "i:o:e:", "input: output: error: help version", 0),
    ("nice", "n:0123456789", "adjustment: help version", 0),
    ("ionice", "c:n:t", "class: classdata: ignore", 0),
    ("timeout", "k:s:v", "kill-after: signal: preserve-status foreground verbose help version", 1),
    ("time", "pvaf:o>qV", "portability verbose append format: output> quiet help version", 0),
    ("chrt", "abdfioriprmT:P:D:v", "all-tasks batch deadline fifo idle other rr pid reset-on-fork", 1),
    ("taskset", "ac", "all-tasks cpu-list help version", 1),
    ("builtin", "", "", 0),
    ("exec", "cla:", "", 0),
    ("busybox", "", "help list", 0),
    ("toybox", "", "help", 0),
    ("caffeinate", "disumt:w:", "", 0),
];

pub(super) fn reach(walk: &mut Walk, at: &At<'_>) -> bool {
    match at.base {
        "env" => env(walk, at),
        "command" => command(walk, at),
        "sudo" => sudo(walk, at),
        "doas" => doas(walk, at),
        "su" | "runuser" => su(walk, at),
        "xargs" => xargs(walk, at),
        "watch" => watch(walk, at),
        "script" => script(walk, at),
        "flock" => flock(walk, at),
        "chroot" => chroot(walk, at),
        base => {
            let Some((_, short, long, operands)) = WRAPPERS.iter().find(|row| row.0 == base) else {
                return false;
            };
            let found = options::read(walk, at, short, long, Order::First);
            // It shows the command's words by `%C`.
            let shown = |format: &Arg| names_shown(format, "C", "\n");
            if base == "time" && !found.values(&["f", "format"]).all(shown) {
                walk.opaque(Opaque::Recodes, at.span);
            }
            wrapped(walk, at, found.operands.get(*operands..).unwrap_or(&[]), Inside::Wrapped, at.scene);
        }
    }
    true
}

/// The command that `words` are. What cannot be known before it may hide where it starts.
fn wrapped(walk: &mut Walk, at: &At<'_>, words: &[Arg], inside: Inside, scene: &Scene) {
    walk.inner_call(at.index, words, inside, scene);
}

fn variables<'a>(walk: &mut Walk, words: &'a [Arg]) -> &'a [Arg] {
    let mut rest = words;
    while let Some((first, behind)) = rest.split_first() {
        let Some((name, value)) = first.value.starts().split_once('=') else { break };
        walk.variable_set(name, first.at);
        walk.variable_given(name, Some(&options::attached(first, value).value), first.at);
        rest = behind;
    }
    rest
}

fn env(walk: &mut Walk, at: &At<'_>) {
    let found = options::read(
        walk,
        at,
        "i0u:C:S|v",
        "ignore-environment null unset: chdir: split-string| debug block-signal# default-signal# ignore-signal# help version",
        Order::First,
    );
    for name in
        found.values(&["u", "unset"]).filter_map(|a| a.value.literal()).map(str::to_owned).collect::<Vec<_>>()
    {
        walk.variable_set(&name, at.span);
    }
    let mut words = &*found.operands;
    if words.first().is_some_and(|a| a.value.literal() == Some("-")) {
        words = words.get(1..).unwrap_or(&[]);
    }
    let words = variables(walk, words);
    // It changes into a directory before: relative paths of the command are below that.
    if found.has(&["C", "chdir"]) {
        walk.opaque(Opaque::Directory, at.span);
    }
    wrapped(walk, at, words, Inside::Wrapped, at.scene);
}

fn command(walk: &mut Walk, at: &At<'_>) {
    let found = options::read(walk, at, "pvV", "", Order::First);
    if !found.has(&["v", "V"]) {
        wrapped(walk, at, &found.operands, Inside::Wrapped, at.scene);
    }
}

fn as_user(at: &At<'_>, user: Option<&Arg>) -> Scene {
    let user = match user {
        None => User::Named("root".to_owned()),
        Some(arg) => arg.value.literal().map_or(User::Unknown, user_named),
    };
    Scene { user: Some(user), ..at.scene.clone() }
}

/// `#0` and `0` are root's number; which user another number is, the host knows.
fn user_named(name: &str) -> User {
    match name {
        "0" | "#0" => User::Named("root".to_owned()),
        _ if name.len() > USER_BYTES_MAX => User::Unknown,
        _ if name.starts_with('#') || name.bytes().all(|b| b.is_ascii_digit()) => User::Unknown,
        _ => User::Named(name.to_owned()),
    }
}

fn sudo(walk: &mut Walk, at: &At<'_>) {
    let found = options::read(
        walk,
        at,
        "ABbC:D:Eeg:Hh:iKklNnPp:R:r:Sst:T:U:u:Vv",
        "askpass background bell close-from: chdir: preserve-env# edit group: set-home host: login remove-timestamp reset-timestamp list non-interactive preserve-groups prompt: chroot: role: stdin shell type: command-timeout: other-user: user: version validate help",
        Order::First,
    );
    let mut scene = as_user(at, found.value(&["u", "user"]));
    // It takes the password from there.
    if found.has(&["S", "stdin"]) {
        scene.input = crate::walk::Input::Other;
    }
    if found.has(&["e", "edit"]) {
        walk.opaque(Opaque::Interactive, at.span);
        for file in &found.operands {
            walk.file(at.index, file.value.clone(), FileAccess::Write, file.at);
        }
        return;
    }
    if found.has(&["D", "chdir", "R", "chroot"]) {
        walk.opaque(Opaque::Directory, at.span);
    }
    let words = variables(walk, &found.operands);
    let shell = found.has(&["s", "shell", "i", "login"]);
    if found.has(&["i", "login"]) {
        walk.elsewhere(|walk| shell_or_command(walk, at, shell, words, &scene));
    } else {
        shell_or_command(walk, at, shell, words, &scene);
    }
}

/// `-s` and `-i` start a shell: of nothing else, it reads commands; else what follows is one. sudo puts a backslash before all but
/// letters, digits, `_`, `-` and `$`: the shell expands what has a `$`, and joins what an end of a line parts.
fn shell_or_command(walk: &mut Walk, at: &At<'_>, shell: bool, words: &[Arg], scene: &Scene) {
    if shell && words.is_empty() {
        walk.opaque(Opaque::CodeFromInput, at.span);
    }
    let plain = |arg: &Arg| match &arg.value {
        Value::Literal(text) | Value::Below(_, text) => text.is_ascii() && !text.contains(['$', '\n']),
        Value::Pattern(..) | Value::Unknown { .. } => false,
    };
    if shell && !words.iter().all(plain) {
        walk.opaque(Opaque::InlineCode, at.span);
    }
    wrapped(walk, at, words, Inside::Wrapped, scene);
}

fn doas(walk: &mut Walk, at: &At<'_>) {
    let found = options::read(walk, at, "u:C<a:nsL", "", Order::First);
    let scene = as_user(at, found.value(&["u"]));
    shell_or_command(walk, at, found.has(&["s"]), &found.operands, &scene);
}

/// Its options may stand behind the user's name.
fn su(walk: &mut Walk, at: &At<'_>) {
    let found = options::read(
        walk,
        at,
        "c:lmps:g:G:fu:Pw:",
        "command: login preserve-environment shell: group: supp-group: user: session-command: pty fast help version",
        Order::Mixed,
    );
    if found.has(&["s", "shell"]) {
        walk.opaque(Opaque::StartsPrograms, at.span);
    }
    // On a terminal lines end where the column does.
    if found.has(&["P", "pty"]) {
        walk.opaque(Opaque::Recodes, at.span);
    }
    let dash = found.operands.first().is_some_and(|a| a.value.literal() == Some("-"));
    let operands = found.operands.get(usize::from(dash)..).unwrap_or(&[]);
    let named = found.value(&["u", "user"]);
    let scene = as_user(at, named.or(operands.first()));
    let login = dash || found.has(&["l", "login"]);
    let code = found.value(&["c", "command", "session-command"]).cloned();
    if named.is_some() && code.is_none() {
        return wrapped(walk, at, operands, Inside::Wrapped, &scene);
    }
    if let Some(words) = operands.get(1..).filter(|words| !words.is_empty()) {
        return walk.elsewhere(|walk| words_of_shell(walk, at, code.is_some(), words));
    }
    match code {
        Some(code) if login => walk.elsewhere(|walk| shell_code(walk, at, &code, Inside::Script, &scene)),
        Some(code) => shell_code(walk, at, &code, Inside::Script, &scene),
        None => match &scene.input {
            crate::walk::Input::Text(text) => {
                let text = text.clone();
                walk.script_of_input(&text, at.span, &scene.within(at.index, Inside::Script), By::Another);
            }
            _ => walk.opaque(Opaque::CodeFromInput, at.span),
        },
    }
}

/// What stands behind the user's name goes to the user's shell: options, code, or a file of code.
fn words_of_shell(walk: &mut Walk, at: &At<'_>, code: bool, words: &[Arg]) {
    let option = |arg: &&Arg| arg.value.starts().starts_with(['-', '+']);
    if code || words.iter().any(|arg| option(&arg)) {
        walk.opaque(Opaque::InlineCode, at.span);
    } else {
        walk.opaque(Opaque::ScriptFile, at.span);
    }
    for file in words.iter().filter(|arg| !option(arg)) {
        walk.file(at.index, file.value.clone(), FileAccess::Read, file.at);
    }
}

/// Text that a shell is given: read, if it is literal. What begins as an option does would be one.
pub(super) fn shell_code(walk: &mut Walk, at: &At<'_>, code: &Arg, inside: Inside, scene: &Scene) {
    match code.value.literal().filter(|text| !text.starts_with(['-', '+'])) {
        Some(text) => {
            let text = text.to_owned();
            let by = if at.base == "bash" { By::Bash } else { By::Another };
            walk.script(&text, code.at, &scene.within(at.index, inside), by);
        }
        None => walk.opaque(Opaque::InlineCode, code.at),
    }
}

/// Words that are put together with blanks and given to a shell.
pub(super) fn joined_code(walk: &mut Walk, at: &At<'_>, words: &[Arg], inside: Inside, scene: &Scene) {
    let Some(first) = words.first() else { return };
    let texts: Option<Vec<&str>> = words.iter().map(|a| a.value.literal()).collect();
    match texts {
        Some(texts) => {
            let code = Arg { at: first.at, value: Value::Literal(texts.join(" ")) };
            shell_code(walk, at, &code, inside, scene);
        }
        None => walk.opaque(Opaque::InlineCode, first.at),
    }
}

/// Arguments of the command come from input, too, and may be options of it.
fn xargs(walk: &mut Walk, at: &At<'_>) {
    let found = options::read(
        walk,
        at,
        "0a<d:E:e#I:i#L:l#n:oP:prs:tx",
        "null arg-file< delimiter: eof# replace# max-lines# max-args: max-procs: interactive no-run-if-empty max-chars: verbose exit open-tty help version",
        Order::First,
    );
    walk.opaque(Opaque::ArgumentsFromInput, at.span);
    let replace = found.value(&["I"]).and_then(|a| a.value.literal()).map(str::to_owned);
    let replace = replace.or_else(|| found.has(&["i", "replace"]).then(|| "{}".to_owned()));
    let mut words: Vec<Arg> = found.operands.clone();
    match replace {
        Some(mark) if !mark.is_empty() => {
            for word in &mut words {
                let text = word.value.starts();
                if let Some((starts, _)) = text.split_once(&*mark) {
                    word.value = Value::Unknown { starts: starts.to_owned(), one: true };
                }
            }
        }
        _ => words.push(Arg { at: at.span, value: Value::Unknown { starts: String::new(), one: false } }),
    }
    if !found.operands.is_empty() {
        let mut scene = at.scene.clone();
        scene.input = crate::walk::Input::Other;
        wrapped(walk, at, &words, Inside::Wrapped, &scene);
    }
}

fn watch(walk: &mut Walk, at: &At<'_>) {
    let found = options::read(
        walk,
        at,
        "bcCd#egn:pq:rtwxvh",
        "beep color no-color differences# errexit chgexit interval: precise equexit: no-rerun no-title no-wrap exec help version",
        Order::First,
    );
    if found.has(&["x", "exec"]) {
        wrapped(walk, at, &found.operands, Inside::Wrapped, at.scene);
    } else {
        joined_code(walk, at, &found.operands, Inside::Script, at.scene);
    }
}

fn script(walk: &mut Walk, at: &At<'_>) {
    let found = options::read(
        walk,
        at,
        "ac:eE:fI>B>O>T>m:o:qVh",
        "append command: return echo: flush log-in> log-io> log-out> log-timing> output-limit: quiet help version",
        Order::Mixed,
    );
    for file in &found.operands {
        walk.file(at.index, file.value.clone(), FileAccess::Write, file.at);
    }
    if found.operands.is_empty() {
        walk.file(at.index, Value::Literal("typescript".to_owned()), FileAccess::Write, at.span);
    }
    match found.value(&["c", "command"]).cloned() {
        Some(code) => shell_code(walk, at, &code, Inside::Script, at.scene),
        None => walk.opaque(Opaque::Interactive, at.span),
    }
}

fn flock(walk: &mut Walk, at: &At<'_>) {
    let found: Found = options::read(
        walk,
        at,
        "sexnw:uoE:Fc:vh",
        "shared exclusive nonblock wait: timeout: unlock close conflict-exit-code: no-fork command: verbose help version",
        Order::First,
    );
    let Some((file, words)) = found.operands.split_first() else { return };
    let descriptor = file.value.literal().is_some_and(|t| t.bytes().all(|b| b.is_ascii_digit()));
    if !descriptor {
        walk.file(at.index, file.value.clone(), FileAccess::Write, file.at);
    }
    match words.split_first() {
        Some((option, code)) if matches!(option.value.literal(), Some("-c" | "--command")) => {
            joined_code(walk, at, code, Inside::Script, at.scene);
        }
        _ => wrapped(walk, at, words, Inside::Wrapped, at.scene),
    }
}

fn chroot(walk: &mut Walk, at: &At<'_>) {
    let found = options::read(walk, at, "", "groups: userspec: skip-chdir help version", Order::First);
    walk.opaque(Opaque::Container, at.span);
    wrapped(walk, at, found.operands.get(1..).unwrap_or(&[]), Inside::Container, at.scene);
}
