//! A line's reading as text that a table can hold.

use shell::{Arg, Base, Command, FileAccess, Line, Program, RedirectionKind, User, Value};

/// Commands, then `!` reasons why it is opaque, then `~` differences; or `refused: ...`.
pub fn shown(text: &str) -> String {
    match shell::line(text.as_bytes()) {
        Ok(line) => whole(&line),
        Err(refused) => format!("refused: {:?}", refused.kind),
    }
}

/// What words are that no shell reads, in one line.
pub fn shown_words(words: &[&str]) -> String {
    match shell::argv(words) {
        Ok(line) => whole(&line),
        Err(refused) => format!("refused: {:?}", refused.kind),
    }
}

fn whole(line: &Line) -> String {
    let mut parts: Vec<String> = line.commands.iter().map(command).collect();
    let mut reasons: Vec<String> = line.opaque.iter().map(|(why, _)| format!("!{why:?}")).collect();
    let mut differences: Vec<String> =
        line.differences.iter().map(|(what, _)| format!("~{what:?}")).collect();
    reasons.sort();
    reasons.dedup();
    differences.sort();
    differences.dedup();
    parts.extend(reasons);
    parts.extend(differences);
    parts.join(" ")
}

fn command(command: &Command) -> String {
    let mut out = String::new();
    for assignment in &command.assignments {
        out.push_str(&format!("{}={} ", assignment.name, value(&assignment.value.value)));
    }
    out.push_str(match &command.program {
        Program::Named { base, .. } => base,
        Program::Unknown => "?",
        Program::None => "-",
    });
    out.push_str(&format!("({})", command.args.iter().map(arg).collect::<Vec<_>>().join(" ")));
    if let Some(user) = &command.user {
        out.push_str(&format!("/{}", if let User::Named(name) = user { name } else { "?" }));
    }
    for redirection in &command.redirections {
        match &redirection.kind {
            RedirectionKind::HereDocument(body) => out.push_str(&format!(" <<{body:?}")),
            RedirectionKind::HereString(text) => out.push_str(&format!(" <<<{}", value(text))),
            _ => {}
        }
    }
    for file in &command.files {
        let letter = match file.access {
            FileAccess::Read => "r",
            FileAccess::Write => "w",
            FileAccess::Append => "a",
            FileAccess::Delete => "d",
            FileAccess::Attributes => "m",
            FileAccess::List => "l",
        };
        let directory = file.directory.as_ref().map(|d| format!("{}>", value(d))).unwrap_or_default();
        out.push_str(&format!(" {letter}={directory}{}", value(&file.path)));
    }
    for host in &command.hosts {
        let user = host.user.as_ref().map(|u| format!("{u}@")).unwrap_or_default();
        let port = host.port.as_ref().map(|p| format!(":{p}")).unwrap_or_default();
        out.push_str(&format!(" h={user}{}{port}", value(&host.host)));
    }
    out
}

fn arg(arg: &Arg) -> String {
    value(&arg.value)
}

pub fn value(value: &Value) -> String {
    let base = |base: &Base| match base {
        Base::Written => String::new(),
        Base::Home => "HOME:".to_owned(),
        Base::HomeOf(user) => format!("HOME({user}):"),
        Base::Working => "PWD:".to_owned(),
    };
    match value {
        Value::Literal(text) => format!("<{text}>"),
        Value::Below(below, text) => format!("<{}{text}>", base(below)),
        Value::Pattern(below, text) => format!("<*{}{text}>", base(below)),
        Value::Unknown { starts, one } => format!("<?{starts}{}>", if *one { "" } else { "..." }),
    }
}
