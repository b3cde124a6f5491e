//! The reading held against dash and bash themselves.
//!
//! The shells run in an empty directory with an empty `PATH`: the lines can start no program, only say which one they
//! would have started.

use super::seed::Seed;
use shell::{Line, Opaque, Program, RefusedKind, Value};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};

struct Room(PathBuf);

impl Room {
    fn new(name: &str) -> Room {
        let path = std::env::temp_dir().join(format!("tacho-shell-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Room(path)
    }

    /// What the shell makes of the line: its output, its errors, whether it went well.
    fn run(&self, shell: &str, line: &str) -> (Vec<u8>, String, bool) {
        let path = format!("/bin/{shell}");
        let mut command = Command::new(path);
        command.env_clear().env("PATH", "/nonexistent").env("LC_ALL", "C.UTF-8").current_dir(&self.0);
        let done = command.arg("-c").arg(line).stdin(Stdio::null()).output().unwrap();
        (done.stdout, String::from_utf8(done.stderr).unwrap_or_default(), done.status.success())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The shells whose reading this line's is.
fn judges(line: &Line) -> &'static [&'static str] {
    if line.differences.is_empty() { &["dash", "bash"] } else { &["bash"] }
}

/// What `printf '<%s>'` would print.
fn printed(line: &Line) -> Option<String> {
    let [command] = &*line.commands else { return None };
    let (_, rest) = command.args.split_first()?;
    let words: Option<Vec<&str>> = rest.iter().map(|arg| arg.value.literal()).collect();
    let words = words?;
    if words.is_empty() {
        Some("<>".to_owned())
    } else {
        Some(words.iter().map(|w| format!("<{w}>")).collect())
    }
}

#[test]
fn words_are_those_of_the_shells() {
    let parts = [
        "a", "b", "c", " ", " ", "'", "\"", "\\", "$'", "\\'", "\\\"", "{", "}", ",", "..", "1", "3", "#",
        "\\n", "\\x41", "\\101", "\\\n", "$\"", "''", "\"\"", "=", ":", "\u{e9}", "~", "%", "@", "$ ", "\\$",
        "\\\\", "\t", "!", "-", "\\u",
    ];
    let room = Room::new("words");
    let mut seed = Seed::new(1);
    let mut compared = 0;
    for _ in 0..1_500 {
        let words: String = (0..1 + seed.below(12)).map(|_| *seed.one(&parts)).collect();
        let text = format!("printf '<%s>' {words}");
        let found = match shell::line(text.as_bytes()) {
            Ok(line) => line,
            Err(refused) => {
                // A backslash at the very end is text for shells, and no word here.
                if refused.kind == RefusedKind::Unterminated && !text.ends_with('\\') {
                    assert!(!room.run("bash", &text).2, "{text:?}: bash reads it");
                }
                continue;
            }
        };
        let Some(expect) = printed(&found) else { continue };
        compared += 1;
        for shell in judges(&found) {
            let (out, errors, _) = room.run(shell, &text);
            assert_eq!(out, expect.as_bytes(), "{shell}: {text:?} {errors}");
        }
    }
    assert!(compared > 500, "only {compared} lines were compared");
}

/// Lines of programs that are not there, nested as the grammar allows.
struct Lines {
    seed: Seed,
    programs: usize,
    bodies: Vec<String>,
}

impl Lines {
    fn program(&mut self) -> String {
        self.programs += 1;
        format!("c{}x", self.programs)
    }

    fn list(&mut self, depth: usize) -> String {
        let first = self.command(depth);
        let joint = *self.seed.one(&[";", " && ", " || ", " | ", "\n", " & ", "; # c0x\n"]);
        let joint = if joint.contains('\n') { self.newline(joint) } else { joint.to_owned() };
        if self.seed.below(2) == 0 { first } else { format!("{first}{joint}{}", self.command(depth)) }
    }

    fn newline(&mut self, joint: &str) -> String {
        let bodies: String = self.bodies.drain(..).collect();
        format!("{joint}{bodies}")
    }

    fn command(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.program();
        }
        match self.seed.below(9) {
            0 => format!("({})", self.list(depth - 1)),
            1 => format!("{{ {}; }}", self.command(depth - 1)),
            2 => format!("if {}; then {}; fi", self.command(depth - 1), self.command(depth - 1)),
            3 => format!("! {}", self.program()),
            4 => format!("case a in a) {};; b) {};; esac", self.command(depth - 1), self.command(depth - 1)),
            _ => {
                let mut line = self.program();
                for _ in 0..self.seed.below(4) {
                    line.push(' ');
                    line.push_str(&self.word(depth - 1));
                }
                line
            }
        }
    }

    fn word(&mut self, depth: usize) -> String {
        match self.seed.below(16) {
            0 => format!("'{}; c0x'", self.program()),
            1 => format!("\"{}; c0x $({})\"", self.program(), self.list(depth)),
            2 => format!("$({})", self.list(depth)),
            3 => format!("`{}`", self.program()),
            4 => format!("\"`{}`\"", self.program()),
            5 => "\\$'a\\'".to_owned(),
            6 => "$'a\\'b'".to_owned(),
            7 => format!("${{x:-$({})}}", self.list(depth)),
            8 => format!("\"${{x:-`{}`}}\"", self.program()),
            9 => {
                self.bodies.push("c0x\n$(c1x)\nE\n".to_owned());
                "<<E".to_owned()
            }
            10 => {
                self.bodies.push("$(c0x)\nF\n".to_owned());
                "<<'F'".to_owned()
            }
            11 => format!(">o{}", self.seed.below(3)),
            12 => "2>&1".to_owned(),
            13 => format!("$(( 1 + $({} ) ))", self.program()),
            14 => format!("a\\\n{}", self.program()),
            _ => "\\; c\\&c".to_owned(),
        }
    }

    fn line(&mut self) -> String {
        self.programs = 1;
        self.bodies.clear();
        let list = self.list(3);
        let end = self.newline("\n");
        let mut chars: Vec<char> = format!("{list}{end}").chars().collect();
        for _ in 0..self.seed.below(3) {
            let at = self.seed.below(chars.len());
            match self.seed.below(3) {
                0 => chars.insert(
                    at,
                    *self
                        .seed
                        .one(&['\'', '"', '\\', '`', '$', ';', '#', '\n', ' ', '!', '{', '}', ')', '(']),
                ),
                1 => {
                    chars.remove(at);
                }
                _ => {
                    let c = chars[at];
                    chars.insert(at, c);
                }
            }
        }
        chars.into_iter().collect()
    }
}

/// The programs that a shell looked for, by its complaints that they are not there: `c`, a number, `x`. Two complaints at
/// once may cut one another, so that only the names count.
fn looked_for(errors: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in errors.match_indices('c') {
        let part = &errors[at + 1..];
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        let behind = &part[digits.len()..];
        let missing = behind.starts_with("x: not found") || behind.starts_with("x: command not found");
        if !digits.is_empty() && missing {
            found.insert(format!("c{digits}x"));
        }
    }
    found
}

#[test]
fn a_shell_looks_for_no_program_that_the_reading_does_not_name() {
    let room = Room::new("programs");
    let mut lines = Lines { seed: Seed::new(20), programs: 0, bodies: Vec::new() };
    let (mut compared, mut names) = (0, 0);
    for _ in 0..1_200 {
        let text = lines.line();
        let Ok(found) = shell::line(text.as_bytes()) else { continue };
        let unknown = |(why, _): &(Opaque, shell::Span)| *why == Opaque::ProgramUnknown;
        if found.opaque.iter().any(unknown) {
            continue;
        }
        compared += 1;
        let named: BTreeSet<String> = found
            .commands
            .iter()
            .filter_map(|command| match &command.program {
                Program::Named { written, .. } => Some(written.clone()),
                Program::Unknown | Program::None => None,
            })
            .collect();
        for shell in judges(&found) {
            let (_, errors, _) = room.run(shell, &text);
            let looked = looked_for(&errors);
            names += looked.len();
            // A name that was changed holds the one that it was made of.
            let missed: Vec<&String> =
                looked.iter().filter(|name| !named.iter().any(|n| n.contains(&***name))).collect();
            assert!(
                missed.is_empty(),
                "{shell}: {text:?} looked for {missed:?}, named are {named:?}\n{errors}"
            );
            // An error of arithmetic while it runs is none of the grammar.
            let grammar = ["syntax error near", "unexpected end of file", "unexpected EOF", "Syntax error:"];
            assert!(!grammar.iter().any(|g| errors.contains(g)), "{shell}: {text:?}\n{errors}");
        }
    }
    assert!(compared > 300 && names > 500, "{compared} lines, {names} names");
}

/// What begins like an assignment, or ends like a body, with something right behind it.
#[test]
fn what_is_glued_together_hides_no_program() {
    let fronts = ["", "", "x=1 ", "! ", "true; ", "{ ", "if "];
    let begun = [
        "a=()",
        "a+=(b)",
        "a=(",
        "a[",
        "a[1]",
        "a",
        "a+",
        "a=",
        "(",
        "((1))",
        "$(",
        "[[ a ]]",
        "{ true; }",
        "f()",
    ];
    let glue = [
        "#", "# ]", " ", "=", "=x ", "true ", ";", ")", "]", "(", "\\\n", "\\\n", "\n", "}", "{ ", "<(true)",
        "'",
    ];
    let heads = ["c4x <<EF\n", "c4x <<-EF\n", "c4x <<'EF'\n", "c4x $(c4x <<EF\n", "c4x <<F; c5x\n"];
    let bodies = [
        "E\\\nF\n",
        "E\\\n",
        "\\\n",
        "F\n",
        "\tEF\n",
        "EF c1x)\n",
        "EF;",
        "c2x\n",
        "c2x\n",
        "c2x\n",
        "\\\\\n",
        "b\\\n",
        "`c3x`\n",
    ];
    let room = Room::new("glued");
    let mut seed = Seed::new(7);
    let (mut compared, mut names) = (0, 0);
    for turn in 0..3_000 {
        let text: String = if turn % 2 == 0 {
            let glued: String = (0..1 + seed.below(3)).map(|_| *seed.one(&glue)).collect();
            format!("{}{}{glued}c1x", seed.one(&fronts), seed.one(&begun))
        } else {
            let body: String = (0..1 + seed.below(4)).map(|_| *seed.one(&bodies)).collect();
            format!("{}{body}{}", seed.one(&heads), seed.one(&["EF\n", "F\n", "", "EF\nc6x\n", "EF\n)"]))
        };
        let Ok(found) = shell::line(text.as_bytes()) else { continue };
        if found.opaque.iter().any(|(why, _)| *why == Opaque::ProgramUnknown) {
            continue;
        }
        compared += 1;
        let named = |name: &String| {
            found.commands.iter().any(|command| {
                matches!(&command.program, Program::Named { written, .. } if written.contains(&**name))
            })
        };
        for shell in judges(&found) {
            let looked = looked_for(&room.run(shell, &text).1);
            names += looked.len();
            let missed: Vec<&String> = looked.iter().filter(|name| !named(name)).collect();
            assert!(missed.is_empty(), "{shell}: {text:?} looked for {missed:?}");
        }
    }
    assert!(compared > 300 && names > 500, "{compared} lines, {names} names");
}

#[test]
fn a_line_that_hides_a_command_from_other_readers_does_not_hide_it_here() {
    let room = Room::new("hidden");
    for text in [
        "echo \\$'a\\'; c1x; ''",
        "echo ${x:-`c1x`}",
        "echo \"${x:-`c1x`}\"",
        "cat <<E\n`c1x`\nE",
        "echo $(case a in a) c1x;; esac)",
        "echo \"$(echo \")\" ; c1x)\"",
        "echo a#; c1x",
        "echo $(: # )\nc1x)",
        ": <<E; c1x\nE",
        ": <<'E F'\n; c0x\nE F\nc1x",
        "echo \"a'\"; c1x; echo \"'\"",
        "i\\\nf true; then c1x; fi",
        "true &&\\\nc1x",
        "x=$(c1x) true",
        "echo $((1 + $(c1x)))",
        "true;c1x&true",
        "{ c1x; } 2>&1 >/dev/null",
    ] {
        let line = shell::line(text.as_bytes()).unwrap_or_else(|refused| panic!("{text:?}: {refused}"));
        let named = |program: &Program| matches!(program, Program::Named { base, .. } if base == "c1x");
        assert!(line.commands.iter().any(|c| named(&c.program)), "{text:?}");
        let (out, errors, _) = room.run("bash", text);
        let out = String::from_utf8(out).unwrap();
        assert!(
            errors.contains("c1x") || out.contains("c1x"),
            "{text:?}: bash does not run it: {errors} {out}"
        );
    }
}

#[test]
fn here_documents_are_what_the_shells_make_of_them() {
    let room = Room::new("here");
    let mut seed = Seed::new(3);
    let parts = ["a", "\\", "\"", "'", "\\\\", "\\$", "\t", "\n", " ", "E", "b", "\\\"", "$", "#", "%"];
    let mut compared = 0;
    for _ in 0..500 {
        let body: String = (0..seed.below(14)).map(|_| *seed.one(&parts)).collect();
        let mark = *seed.one(&["<<E", "<<'E'", "<<-E", "<<\\E"]);
        // Builtins alone: what the body's lines are, one for one.
        let text = format!("while IFS= read -r l; do printf '%s|' \"$l\"; done {mark}\n{body}\nE\n");
        let Ok(found) = shell::line(text.as_bytes()) else { continue };
        let body = found.commands.iter().flat_map(|c| &c.redirections).find_map(|r| match &r.kind {
            shell::RedirectionKind::HereDocument(body) => body.clone(),
            _ => None,
        });
        let Some(body) = body else { continue };
        compared += 1;
        let expect: String = body.lines().map(|line| format!("{line}|")).collect();
        for shell in ["dash", "bash"] {
            let (out, errors, _) = room.run(shell, &text);
            let out = String::from_utf8(out).unwrap();
            // What stands behind the first `E` line is commands; those print nothing that ends in a bar.
            assert!(out.starts_with(&expect), "{shell}: {text:?} printed {out:?}, not {expect:?} {errors}");
        }
    }
    assert!(compared > 200, "only {compared} bodies were compared");
}

#[test]
fn values_that_are_not_literal_are_not_compared() {
    let line = shell::line(b"printf '<%s>' $x").unwrap();
    assert!(printed(&line).is_none());
    assert!(matches!(line.commands[0].args[1].value, Value::Unknown { .. }));
}
