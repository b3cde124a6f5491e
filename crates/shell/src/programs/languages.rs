//! Interpreters: shells, whose text is read here, and languages, whose text is not.

use super::At;
use super::awk;
use super::options::{self, Order};
use super::recode::sed_command_recodes;
use super::wrappers::shell_code;
use crate::line::{Arg, FileAccess, Inside, Opaque, Value};
use crate::walk::{By, Input, Walk};

pub(super) fn reach(walk: &mut Walk, at: &At<'_>) -> bool {
    match at.base {
        "sh" | "bash" | "dash" | "ash" | "zsh" | "rbash" => shell(walk, at),
        "ksh" | "ksh93" | "mksh" | "yash" | "fish" | "csh" | "tcsh" | "rc" | "es" | "nu" | "xonsh"
        | "pwsh" | "elvish" | "oil" | "osh" => walk.opaque(Opaque::InlineCode, at.span),
        "awk" | "gawk" | "mawk" | "nawk" | "original-awk" => awk(walk, at),
        "sed" | "gsed" => sed(walk, at),
        base if language(base).is_some() => interpreter(walk, at),
        _ => return false,
    }
    true
}

/// Letters that give code in an argument, by the name of the language without its version.
fn language(base: &str) -> Option<&'static str> {
    let name = base.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    Some(match name {
        "python" | "pypy" | "ipython" | "jython" | "micropython" => "c",
        "perl" => "eEnp",
        "ruby" | "jruby" => "enp",
        "node" | "nodejs" | "deno" | "bun" | "ts-node" => "ep",
        "php" => "rBRE",
        "lua" | "luajit" | "Rscript" | "R" | "julia" | "elixir" | "groovy" | "scala" | "swift" | "guile"
        | "racket" => "e",
        "tclsh" | "wish" | "osascript" | "ghci" | "runghc" | "runhaskell" | "erl" | "java" | "jshell"
        | "sbcl" | "m" => "e",
        _ => return None,
    })
}

/// Whether a language that is given this option alone says something of itself and ends. Others read code from their input then.
fn only_tells(base: &str, option: &str) -> bool {
    let name = base.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    match option {
        "-V" => matches!(name, "python" | "perl"),
        "--version" | "--help" => matches!(
            name,
            "python"
                | "pypy"
                | "perl"
                | "ruby"
                | "node"
                | "nodejs"
                | "deno"
                | "bun"
                | "php"
                | "java"
                | "R"
                | "Rscript"
                | "julia"
        ),
        _ => false,
    }
}

/// Code in an argument, in a file or from input: each is opaque, and a file is named.
fn interpreter(walk: &mut Walk, at: &At<'_>) {
    if let [only] = at.args
        && only.value.literal().is_some_and(|option| only_tells(at.base, option))
    {
        return;
    }
    let letters = language(at.base).unwrap_or("");
    let inline = at.args.iter().take_while(|a| a.value.starts().starts_with('-')).any(|arg| {
        let text = arg.value.starts();
        let long = matches!(text, "--eval" | "--print" | "--execute" | "eval");
        long || !text.starts_with("--") && text.contains(|c| letters.contains(c))
    });
    if inline {
        return walk.opaque(Opaque::InlineCode, at.span);
    }
    let file = at.args.iter().find(|a| !a.value.starts().starts_with('-'));
    match file {
        Some(file) => {
            walk.opaque(Opaque::ScriptFile, at.span);
            walk.file(at.index, file.value.clone(), FileAccess::Read, file.at);
        }
        None => walk.opaque(Opaque::CodeFromInput, at.span),
    }
}

/// Long options of bash, which it also knows behind a single dash, before all others.
const BASH_LONG: &[&str] = &[
    "debug",
    "debugger",
    "dump-po-strings",
    "dump-strings",
    "help",
    "init-file",
    "login",
    "noediting",
    "noprofile",
    "norc",
    "posix",
    "pretty-print",
    "protected",
    "rcfile",
    "restricted",
    "verbose",
    "version",
    "wordexp",
];

fn shell(walk: &mut Walk, at: &At<'_>) {
    let mut args = at.args.iter();
    let (mut code, mut input) = (false, false);
    let mut operand: Option<&Arg> = None;
    while let Some(arg) = args.next() {
        let text = arg.value.starts();
        match arg.value.literal() {
            Some("--" | "-") => {
                operand = args.next();
                break;
            }
            Some(
                "--norc" | "--noprofile" | "--posix" | "--login" | "--verbose" | "--restricted"
                | "--noediting",
            ) => {}
            Some("--version" | "--help") => return,
            Some(option) if option.starts_with("--") => {
                if matches!(option, "--rcfile" | "--init-file")
                    && let Some(file) = args.next()
                {
                    walk.file(at.index, file.value.clone(), FileAccess::Read, file.at);
                }
                walk.opaque(Opaque::ShellSettings, arg.at);
            }
            Some(option) if option.starts_with(['-', '+']) => {
                if option.starts_with('+') && option.contains(['c', 's']) {
                    walk.opaque(Opaque::ShellSettings, arg.at);
                }
                if option.contains('x') {
                    walk.traced();
                }
                code |= option.contains('c');
                input |= option.contains('s');
                // Each `o` takes a word, or what stands behind it; `-i` reads a file of commands, `-a` gives all variables to programs.
                let known = option.chars().skip(1).all(|c| "efhlmnpruvxcsoE".contains(c));
                let long = option.strip_prefix('-').is_some_and(|name| BASH_LONG.contains(&name));
                if !known || long || option.find('o').is_some_and(|o| o + 1 < option.len()) {
                    walk.opaque(Opaque::ShellSettings, arg.at);
                }
                if option.contains('o') {
                    match args.next().and_then(|setting| setting.value.literal()) {
                        Some("pipefail" | "errexit" | "nounset") => {}
                        Some("xtrace") => walk.traced(),
                        _ => walk.opaque(Opaque::ShellSettings, arg.at),
                    }
                }
            }
            None if text.starts_with(['-', '+'])
                || text.is_empty() && !matches!(arg.value, Value::Below(..)) =>
            {
                walk.opaque(Opaque::ArgumentUnknown, arg.at);
                operand = Some(arg);
                break;
            }
            _ => {
                operand = Some(arg);
                break;
            }
        }
    }
    // dash runs the text, and goes on with what it reads.
    if code && input {
        walk.opaque(Opaque::CodeFromInput, at.span);
    }
    match (code, operand) {
        (true, Some(text)) => shell_code(walk, at, text, Inside::Script, at.scene),
        (true, None) => walk.opaque(Opaque::InlineCode, at.span),
        (false, Some(file)) if !input => {
            walk.opaque(Opaque::ScriptFile, at.span);
            walk.file(at.index, file.value.clone(), FileAccess::Read, file.at);
        }
        (false, _) => from_input(walk, at),
    }
}

fn from_input(walk: &mut Walk, at: &At<'_>) {
    match &at.scene.input {
        Input::Text(text) => {
            let text = text.clone();
            let by = if at.base == "bash" { By::Bash } else { By::Another };
            walk.script_of_input(&text, at.span, &at.scene.within(at.index, Inside::Script), by);
        }
        Input::Inherited | Input::Script | Input::Other => walk.opaque(Opaque::CodeFromInput, at.span),
    }
}

fn awk(walk: &mut Walk, at: &At<'_>) {
    let found =
        options::read(walk, at, "F:v:f<W:", "field-separator: assign: file< version help", Order::First);
    let given = found.has(&["f", "file"]);
    if given || found.has(&["W"]) {
        walk.opaque(Opaque::AwkProgram, at.span);
    }
    let (program, files) = if given { (None, &*found.operands) } else { split(&found.operands) };
    if let Some(program) = program {
        match program.value.literal() {
            Some(text) if awk_is_plain(text) => {
                let separators: Vec<&Arg> = found.values(&["F", "field-separator"]).collect();
                if !awk::shows(text, &separators) || found.has(&["v", "assign"]) {
                    walk.opaque(Opaque::Recodes, program.at);
                }
            }
            _ => walk.opaque(Opaque::AwkProgram, program.at),
        }
    }
    for file in files {
        // `name=value` sets a variable of the program's.
        let assigns =
            file.value.starts().split_once('=').is_some_and(|(name, _)| crate::read::is_variable(name));
        if assigns {
            // Its separators are variables, too.
            walk.opaque(Opaque::Recodes, file.at);
        } else if file.value.literal() != Some("-") {
            walk.file(at.index, file.value.clone(), FileAccess::Read, file.at);
        }
    }
}

fn split(words: &[Arg]) -> (Option<&Arg>, &[Arg]) {
    match words.split_first() {
        Some((first, rest)) => (Some(first), rest),
        None => (None, words),
    }
}

/// Whether a program surely runs nothing and reaches no file: it has no word and no operator that could.
fn awk_is_plain(program: &str) -> bool {
    let compared = program.replace(">=", "").replace("||", "");
    let prints_to = compared.contains("print") && awk_may_print_to(&compared);
    let words = ["system", "getline", "close", "fflush", "ARGV", "ARGC", "extension", "INPLACE", "inplace"];
    let reaches = prints_to || compared.contains(['|', '@']) || compared.contains("\\\n");
    !reaches && !words.iter().any(|word| compared.contains(word))
}

/// Whether a `>` may be behind a `print`. A brace or a `;` between the two ends what is printed, unless it may stand in a text, a pattern
/// or a comment.
fn awk_may_print_to(program: &str) -> bool {
    let sure = !program.contains(['"', '/', '#', '\\']);
    let mut parts = program.split(|c| sure && matches!(c, '{' | '}' | ';'));
    parts.any(|part| {
        let before = part.rfind('>').map_or("", |at| part.get(..at).unwrap_or(""));
        before.contains("print") || !sure && part.contains('>')
    })
}

fn sed(walk: &mut Walk, at: &At<'_>) {
    let found = options::read(
        walk,
        at,
        "nEre:f<i#l:suzb",
        "quiet silent regexp-extended expression: file< in-place# line-length: separate unbuffered null-data posix debug sandbox follow-symlinks version help",
        Order::Mixed,
    );
    let scripts: Vec<Arg> = found.values(&["e", "expression"]).cloned().collect();
    let given = !scripts.is_empty() || found.has(&["f", "file"]);
    if found.has(&["f", "file"]) {
        walk.opaque(Opaque::SedScript, at.span);
    }
    let (script, files) = if given { (None, &*found.operands) } else { split(&found.operands) };
    let texts: Option<Vec<&str>> = scripts.iter().chain(script).map(|arg| arg.value.literal()).collect();
    match texts.and_then(|texts| sed_commands(&texts.join("\n"))) {
        Some(commands) if commands.chars().any(sed_command_recodes) => walk.opaque(Opaque::Recodes, at.span),
        Some(_) => {}
        None => walk.opaque(Opaque::SedScript, at.span),
    }
    let in_place = found.has(&["i", "in-place"]);
    // The name of the copy: a directory and `*` in it are sed's own.
    let backups: Vec<&Arg> = found.values(&["i", "in-place"]).collect();
    if backups.iter().any(|arg| arg.value.literal().is_none_or(|text| text.contains(['/', '*']))) {
        walk.opaque(Opaque::SedScript, at.span);
    }
    for file in files.iter().filter(|a| a.value.literal() != Some("-")) {
        walk.file(at.index, file.value.clone(), FileAccess::Read, file.at);
        if in_place {
            walk.file(at.index, file.value.clone(), FileAccess::Write, file.at);
            let suffix = backups.last().and_then(|arg| arg.value.literal()).unwrap_or("");
            if !suffix.is_empty() {
                walk.file(at.index, with_suffix(&file.value, suffix), FileAccess::Write, file.at);
            }
        }
    }
}

pub(super) fn with_suffix(path: &Value, suffix: &str) -> Value {
    match path {
        Value::Literal(text) => Value::Literal(format!("{text}{suffix}")),
        Value::Below(base, text) => Value::Below(base.clone(), format!("{text}{suffix}")),
        Value::Pattern(..) | Value::Unknown { .. } => Value::unknown(),
    }
}

/// The letters of a script's commands, where none runs something or reaches a file (`e`, `r`, `R`, `w`, `W`, `s///e`, `s///w`).
fn sed_commands(script: &str) -> Option<String> {
    let (mut rest, mut commands) = (script, String::new());
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', ';', '}']);
        if rest.is_empty() {
            return Some(commands);
        }
        let command = sed_address(rest)?;
        commands.extend(command.chars().next());
        rest = sed_command(command)?;
    }
}

/// The text behind the addresses, `!` and blanks.
fn sed_address(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || "$+~, \t!".contains(c));
        let delimiter = match rest.chars().next()? {
            '/' => '/',
            '\\' => {
                rest = rest.get(1..)?;
                rest.chars().next().filter(|c| !matches!(c, '\n' | '\\'))?
            }
            _ => return Some(rest),
        };
        rest = sed_part(rest.get(delimiter.len_utf8()..)?, delimiter)?;
        rest = rest.trim_start_matches(['I', 'M']);
    }
}

/// The text behind the next delimiter. A bracket that is not closed before it is read in more than one way.
fn sed_part(text: &str, delimiter: char) -> Option<&str> {
    let mut chars = text.char_indices().peekable();
    let mut bracket = false;
    while let Some((at, c)) = chars.next() {
        match c {
            '\n' => return None,
            '\\' => {
                chars.next();
            }
            c if c == delimiter => return if bracket { None } else { text.get(at + c.len_utf8()..) },
            // A `]` in the first place is one of the characters.
            '[' if !bracket => {
                bracket = true;
                chars.next_if(|(_, c)| *c == '^');
                chars.next_if(|(_, c)| *c == ']');
            }
            // `[:alpha:]`
            '[' => {
                if let Some((_, kind)) = chars.next_if(|(_, c)| matches!(c, ':' | '.' | '=')) {
                    chars.find(|(_, c)| *c == kind || *c == delimiter).filter(|(_, c)| *c == kind)?;
                    chars.next_if(|(_, c)| *c == ']')?;
                }
            }
            ']' => bracket = false,
            _ => {}
        }
    }
    None
}

/// The text behind one command that is known to be plain.
fn sed_command(text: &str) -> Option<&str> {
    let command = text.chars().next()?;
    let rest = text.get(command.len_utf8()..)?;
    match command {
        '{' => Some(rest),
        'p' | 'P' | 'd' | 'D' | 'h' | 'H' | 'g' | 'G' | 'x' | 'n' | 'N' | '=' | 'z' | 'F' | 'q' | 'Q'
        | 'l' => sed_end(rest.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit())),
        's' | 'y' => {
            let delimiter = rest.chars().next().filter(|c| !c.is_whitespace() && *c != '\\' && *c != ';')?;
            let pattern = rest.get(delimiter.len_utf8()..)?;
            let replacement = sed_part(pattern, delimiter)?;
            let flags = sed_part_of_replacement(replacement, delimiter)?;
            sed_end(flags.trim_start_matches(|c: char| "gpiI".contains(c) || c.is_ascii_digit()))
        }
        'a' | 'i' | 'c' => sed_text(rest.trim_start_matches([' ', '\t'])),
        // Nothing continues a comment.
        '#' => rest.get(rest.find('\n').unwrap_or(rest.len())..),
        ':' | 'b' | 't' | 'T' => {
            let label = rest.trim_start_matches([' ', '\t']);
            let behind = label.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
            sed_end(behind)
        }
        _ => None,
    }
}

/// The line of text that is added, behind `\` and a newline or not. One that goes on over several lines is not followed.
fn sed_text(text: &str) -> Option<&str> {
    let text = text.strip_prefix("\\\n").unwrap_or(text);
    let end = text.find('\n').unwrap_or(text.len());
    let line = text.get(..end)?;
    if line.is_empty() || line.ends_with('\\') { None } else { text.get(end..) }
}

/// A replacement has no brackets, and may have escaped newlines.
fn sed_part_of_replacement(text: &str, delimiter: char) -> Option<&str> {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '\n' => return None,
            c if c == delimiter => return text.get(at + c.len_utf8()..),
            _ => {}
        }
    }
    None
}

fn sed_end(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches([' ', '\t']);
    (rest.is_empty() || rest.starts_with([';', '\n', '}', '#'])).then_some(rest)
}
