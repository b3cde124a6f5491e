//! What a client asks of a channel, read and not yet decided.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use gate::{Asking, Question, Subject, Tripped, Tx, Who};
use ledger::Print;
use mask::{Detectors, Known, MaskedText, Origin};
use proto_ssh::scp;
use vocab::{Action, Class};

use super::action;
use super::library::{Beside, Terminal};
use super::resource::Resource;
use crate::entropy;
use crate::limits::{PRINTS_MAX, SSH_COMMAND_BYTES_MAX};

/// What would be sent to the host.
#[derive(Clone, Debug, Default)]
pub(super) struct Sending {
    pub(super) env: Vec<(String, String)>,
    pub(super) terminal: Option<Terminal>,
    pub(super) starts: Starts,
}

/// What it starts there.
#[derive(Clone, Debug, Default)]
pub(super) enum Starts {
    /// The user's login shell, which takes its commands from its input.
    #[default]
    Shell,
    Command(Bytes),
    Subsystem(&'static str),
    /// No program: what opens another channel than a session, or is sent on one, by all that it says.
    Message(Bytes),
}

impl Sending {
    /// All of it in one piece, so that no two say the same: each variable ends with a NUL, which none has, and so does all but a command,
    /// which begins as no variable does; a NUL ends them.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (kind, bytes) = match &self.starts {
            Starts::Shell => ("=shell\0", &b""[..]),
            Starts::Command(line) => ("", &line[..]),
            Starts::Subsystem(name) => ("=subsystem\0", name.as_bytes()),
            Starts::Message(what) => ("=message\0", &what[..]),
        };
        let mut out = Vec::with_capacity(bytes.len() + 64);
        for (name, value) in &self.env {
            out.extend_from_slice(format!("{name}={value}\0").as_bytes());
        }
        if let Some(terminal) = &self.terminal {
            out.extend_from_slice(format!("=terminal {}\0", terminal.as_text()).as_bytes());
        }
        out.extend_from_slice(kind.as_bytes());
        out.push(0);
        out.extend_from_slice(bytes);
        out
    }
}

/// A request.
pub(super) struct Asked {
    pub(super) subject: Subject,
    pub(super) context: policy::Context,
    pub(super) sending: Sending,
    raw: Vec<u8>,
    prints: Vec<Print>,
    tripwires: Vec<Tripped>,
    said: Option<String>,
    via: &'static str,
    /// Its output is a protocol that says lengths and checksums of what it carries.
    pub(super) transfer: bool,
    /// That protocol is scp's own, and this is what is asked of it.
    pub(super) copies: Option<scp::Command>,
    /// Refused whatever policy says, and why.
    pub(super) refuse: Option<&'static str>,
}

const TOO_LONG: &str = "a command line that is longer than the gateway reads";
const NOT_TEXT: &str = "a command line that is not text in UTF-8, or has a NUL";

/// What is shown of a terminal: which it is does not change what can be typed there.
const AT_A_TERMINAL: &str = "[at a terminal] ";

impl Asked {
    /// A program: a command, or the login shell.
    pub(super) fn program(resource: &Resource, who: &Who, known: &mut Known, sending: Sending) -> Asked {
        match sending.starts.clone() {
            Starts::Command(command) => Asked::exec(resource, who, known, sending, command),
            Starts::Shell | Starts::Subsystem(_) | Starts::Message(_) => {
                Asked::shell(resource, who, known, sending)
            }
        }
    }

    /// The login shell.
    fn shell(resource: &Resource, who: &Who, known: &mut Known, sending: Sending) -> Asked {
        let detectors = resource.gate.detectors_of(who);
        let terminal = if sending.terminal.is_some() { AT_A_TERMINAL } else { "" };
        let shown = format!("{terminal}{}[the login shell]", before(&sending.env));
        hear(&detectors, known, shown.as_bytes());
        let action = action::shell(&resource.root, &resource.config.user);
        let context = policy::Context { values: 1, ..context(&action) };
        let statement = mask::text(&detectors, &shown).0;
        Asked {
            context,
            subject: Subject::new(&detectors, action, statement, None, &[]).exact(),
            raw: sending.bytes(),
            sending,
            prints: Vec::new(),
            tripwires: Vec::new(),
            said: None,
            via: "shell",
            transfer: false,
            copies: None,
            refuse: None,
        }
    }

    /// A command.
    fn exec(resource: &Resource, who: &Who, known: &mut Known, sending: Sending, command: Bytes) -> Asked {
        let detectors = resource.gate.detectors_of(who);
        let config = &resource.config;
        let mut findings = Vec::new();
        let text = std::str::from_utf8(&command).ok().filter(|text| !text.contains('\0'));
        let refuse = match text {
            _ if command.len() > SSH_COMMAND_BYTES_MAX => Some(TOO_LONG),
            None => Some(NOT_TEXT),
            Some(_) => None,
        };
        // Variables say what the command can use, and are looked at and shown with it.
        let terminal = if sending.terminal.is_some() { AT_A_TERMINAL } else { "" };
        let variables = format!("{terminal}{}", before(&sending.env));
        let looked_at = [variables.as_bytes(), &command[..command.len().min(SSH_COMMAND_BYTES_MAX)]].concat();
        detectors.scan_deep(&looked_at, &mut findings);
        let values: Vec<(&mask::Finding, &[u8])> =
            findings.iter().filter_map(|f| Some((f, looked_at.get(f.range.clone())?))).collect();
        // What the run said it may hear again.
        values.iter().for_each(|(_, value)| known.remember(Origin::Echo, value));
        let key = resource.gate.ledger().epoch_key();
        let prints: BTreeSet<Print> =
            values.iter().map(|(f, value)| key.print(&f.class, value)).take(PRINTS_MAX).collect();
        let hit = |f: &mask::Finding| Tripped {
            detector: f.detector,
            class: f.class.clone(),
            channel: "request",
            act: "reported",
        };
        let tripwires: BTreeSet<Tripped> = findings.iter().map(hit).collect();
        let classes: BTreeSet<Class> = findings.iter().map(|f| f.class.clone()).collect();
        let read = action::of(&resource.root, &config.user, config.login_shell, &command);
        let Shown { text: statement, says_all } = match text {
            Some(text) => shown(&detectors, &variables, text, read.line.as_ref()),
            None => {
                Shown { text: MaskedText::constant("[a command line that is not text]"), says_all: false }
            }
        };
        // What stands in it in pieces of quotes may come back in one.
        for literal in read.line.iter().flat_map(|line| &line.literals) {
            hear(&detectors, known, literal.value.as_bytes());
        }
        let transfer = read.line.as_ref().is_some_and(action::is_transfer);
        let copies = read.line.as_ref().filter(|_| sending.terminal.is_none()).and_then(action::copies);
        let copies = copies.filter(super::sftp::follows);
        let action = match sending.terminal {
            Some(_) => action::at_a_terminal(read.action, &resource.root, &config.user),
            None if copies.is_some() => action::of_copy(read.action),
            None => read.action,
        };
        let context = policy::Context {
            classes: classes.into_iter().collect(),
            values: 1,
            largest_value: command.len() as u64,
            ..context(&action)
        };
        let said = text.map(str::to_owned);
        // Nothing in it can be told from the rest: an approval of its shape is one of the very command.
        let subject = Subject::new(&detectors, action, statement, None, &[]).exact();
        Asked {
            subject: if says_all { subject } else { subject.hidden() },
            context,
            raw: sending.bytes(),
            sending,
            prints: prints.into_iter().collect(),
            tripwires: tripwires.into_iter().collect(),
            said,
            via: "exec",
            transfer,
            copies,
            refuse,
        }
    }

    /// A subsystem, with its variables.
    pub(super) fn subsystem(
        resource: &Resource,
        who: &Who,
        action: Action,
        sending: Sending,
        name: &'static str,
    ) -> Asked {
        let line = format!("{}subsystem {name}", before(&sending.env));
        let mut known = Known::new(entropy::random());
        let asked = Asked::request(resource, who, &mut known, action, &line, None, Bytes::new());
        Asked { raw: sending.bytes(), sending, ..asked }
    }

    /// The same of scp's own protocol.
    pub(super) fn by_scp(self) -> Asked {
        Asked { via: "scp", ..self }
    }

    /// A request of SFTP: what it does, a line that says all of it, and its bytes.
    pub(super) fn request(
        resource: &Resource,
        who: &Who,
        known: &mut Known,
        action: Action,
        line: &str,
        said: Option<String>,
        raw: Bytes,
    ) -> Asked {
        let detectors = resource.gate.detectors_of(who);
        let mut findings = Vec::new();
        detectors.scan_deep(line.as_bytes(), &mut findings);
        let values: Vec<(&mask::Finding, &[u8])> =
            findings.iter().filter_map(|f| Some((f, line.as_bytes().get(f.range.clone())?))).collect();
        values.iter().for_each(|(_, value)| known.remember(Origin::Echo, value));
        let key = resource.gate.ledger().epoch_key();
        let prints: BTreeSet<Print> =
            values.iter().map(|(f, value)| key.print(&f.class, value)).take(PRINTS_MAX).collect();
        let hit = |f: &mask::Finding| Tripped {
            detector: f.detector,
            class: f.class.clone(),
            channel: "request",
            act: "reported",
        };
        let tripwires: BTreeSet<Tripped> = findings.iter().map(hit).collect();
        let classes: BTreeSet<Class> = findings.iter().map(|f| f.class.clone()).collect();
        let context = policy::Context {
            classes: classes.into_iter().collect(),
            values: 1,
            largest_value: line.len() as u64,
            ..context(&action)
        };
        let statement = mask::text(&detectors, line).0;
        Asked {
            subject: Subject::new(&detectors, action, statement, None, &[]).exact(),
            context,
            sending: Sending::default(),
            raw: raw.into(),
            prints: prints.into_iter().collect(),
            tripwires: tripwires.into_iter().collect(),
            said,
            via: "sftp",
            transfer: false,
            copies: None,
            refuse: None,
        }
    }

    /// Something beside a command, that is not carried, and why.
    pub(super) fn beside(resource: &Resource, who: &Who, what: &Beside, why: &'static str) -> Asked {
        let detectors = resource.gate.detectors_of(who);
        let kind = kind(what.what);
        let action = action::beside(&resource.root, &resource.config.user, kind);
        let statement = mask::text(&detectors, format!("{} {}", what.what, what.name).trim_end()).0;
        Asked {
            context: context(&action),
            subject: Subject::new(&detectors, action, statement, None, &[]).hidden(),
            sending: Sending::default(),
            raw: format!("{}\0{}", what.what, what.name).into_bytes(),
            prints: Vec::new(),
            tripwires: Vec::new(),
            said: None,
            via: "channel",
            transfer: false,
            copies: None,
            refuse: Some(why),
        }
    }

    /// A channel to another place. All of it is shown, and what is sent to the host is all of it.
    pub(super) fn forward(
        resource: &Resource,
        who: &Who,
        action: Action,
        words: &str,
        sending: Bytes,
    ) -> Asked {
        let detectors = resource.gate.detectors_of(who);
        let statement = mask::text(&detectors, words).0;
        let sending = Sending { starts: Starts::Message(sending), ..Sending::default() };
        Asked {
            context: context(&action),
            subject: Subject::new(&detectors, action, statement, None, &[]).exact(),
            raw: sending.bytes(),
            sending,
            prints: Vec::new(),
            tripwires: Vec::new(),
            said: None,
            via: "channel",
            transfer: false,
            copies: None,
            refuse: None,
        }
    }

    pub(super) fn action(&self) -> &Action {
        self.subject.action()
    }

    pub(super) fn question<'a>(&'a self, who: &'a Who, sending: &'a [u8]) -> Question<'a> {
        Question {
            who,
            via: self.via,
            subject: &self.subject,
            params: Arc::default(),
            prints: self.prints.clone(),
            tripwires: &self.tripwires,
            tx: Tx::Idle,
            said: self.said.as_deref(),
            asking: Asking::Statement,
            shows: &[],
            whole: None,
            changes: None,
            body: None,
            asked: &self.raw,
            sending,
            again: None,
            pure_read: false,
        }
    }
}

/// Variables as a shell's line has them before a command, of characters that need no quotes.
fn before(env: &[(String, String)]) -> String {
    env.iter().map(|(name, value)| format!("{name}={value} ")).collect()
}

/// A line as it is recorded and shown.
struct Shown {
    text: MaskedText,
    /// Whoever reads it knows what runs: no placeholder stands where code could.
    says_all: bool,
}

/// The line as it is recorded and shown. Where the shell makes a value of quotes and escapes, what it makes of the word is shown, with a
/// placeholder for the value alone: the rest of the word may be a program's text.
fn shown(detectors: &Detectors, variables: &str, text: &str, line: Option<&shell::Line>) -> Shown {
    let (mut out, mut done, mut says_all) = (variables.to_owned(), 0, true);
    for literal in line.iter().flat_map(|line| &line.literals) {
        let (start, end) = (literal.at.start as usize, literal.at.end as usize);
        let mut found = Vec::new();
        detectors.scan_deep(literal.value.as_bytes(), &mut found);
        let (Some(before), Some(raw), false) =
            (text.get(done..start), text.get(start..end), found.is_empty())
        else {
            continue;
        };
        let masked = masked(&literal.value, &found);
        let again = written(literal, &masked, raw, (text.get(..start), text.get(end..)));
        says_all &= again.is_some() && !hide(&found, literal.value.as_bytes());
        out.push_str(before);
        out.push_str(&again.unwrap_or(masked));
        done = end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    let (shown, found) = mask::text(detectors, &out);
    Shown { text: shown, says_all: says_all && !hide(&found, out.as_bytes()) }
}

/// `value`, with a placeholder for each finding in it.
fn masked(value: &str, found: &[mask::Finding]) -> String {
    let (mut out, mut done) = (String::new(), 0);
    for finding in found {
        // A detector sees bytes: a character that it cuts goes whole.
        let start = value.floor_char_boundary(finding.range.start);
        if start >= done {
            out.push_str(value.get(done..start).unwrap_or_default());
            out.push_str(&format!("[{}]", finding.class));
        }
        done = done.max(value.ceil_char_boundary(finding.range.end));
    }
    out.push_str(value.get(done..).unwrap_or_default());
    out
}

/// What stands in the line for a literal whose value is `masked`: as it was written, if its value stands there in one piece, and else
/// quoted again. `None`: it is a part of something whose quotes are not its own. `around`: what stands before and behind it.
fn written(
    literal: &shell::Literal,
    masked: &str,
    raw: &str,
    around: (Option<&str>, Option<&str>),
) -> Option<String> {
    if let Some((front, back)) = raw.split_once(&literal.value) {
        return Some(format!("{front}{masked}{back}"));
    }
    let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_whitespace() || ";|&()<>=".contains(c));
    let alone = ends(around.0?.chars().next_back()) && ends(around.1?.chars().next());
    match literal.kind {
        // The shell drops tabs, and so does this.
        shell::LiteralKind::HereDocument => Some(masked.to_owned()),
        shell::LiteralKind::Word if alone => {
            // A name that is assigned to keeps its `=`.
            let name = raw.split_once('=').map(|(name, _)| name);
            let name = name.filter(|name| masked.split_once('=').is_some_and(|(same, _)| same == *name));
            let (front, rest) = masked.split_at(name.map_or(0, |name| name.len() + 1));
            Some(format!("{front}'{}'", rest.replace('\'', "'\\''")))
        }
        _ => None,
    }
}

/// Whether a placeholder for one of these could stand for more than a value: for what a shell or another language would run. What is
/// encoded is masked with all that is encoded beside it, and a key or a password has whatever stands between its marks.
fn hide(found: &[mask::Finding], text: &[u8]) -> bool {
    let runs = |value: &[u8]| {
        let words = value.iter().any(u8::is_ascii_lowercase);
        value.iter().any(|b| b";|&$`{}<>\n\r".contains(b) || words && b" \t()".contains(b))
    };
    found.iter().any(|finding| {
        matches!(finding.form, mask::Form::Base64 | mask::Form::Hex)
            || text.get(finding.range.clone()).is_none_or(runs)
    })
}

/// What the run said it may hear again.
fn hear(detectors: &Detectors, known: &mut Known, bytes: &[u8]) {
    let mut findings = Vec::new();
    detectors.scan_deep(bytes, &mut findings);
    let values = findings.iter().filter_map(|finding| bytes.get(finding.range.clone()));
    values.for_each(|value| known.remember(Origin::Echo, value));
}

fn context(action: &Action) -> policy::Context {
    policy::Context {
        resource_kind: "ssh".into(),
        kind: action.kind.into(),
        now: entropy::wall(),
        ..policy::Context::default()
    }
}

/// The kind of what is asked beside commands, a constant.
fn kind(what: &str) -> &'static str {
    match what {
        "subsystem" => "SUBSYSTEM",
        "sftp" => "SFTP",
        "pty" => "PTY",
        "env" => "ENV",
        "x11" => "X11",
        "agent" => "AGENT",
        "forward" => "FORWARD",
        "reverse-forward" => "REVERSE FORWARD",
        "signal" => "SIGNAL",
        _ => "CHANNEL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown of `line`, and whether an approver knows by it what runs.
    fn check(line: &str, expect: &str, says_all: bool) {
        let read = shell::line(line.as_bytes()).ok();
        let got = shown(&Detectors::new(), "", line, read.as_ref());
        assert_eq!((got.text.as_str(), got.says_all), (expect, says_all), "{line}");
    }

    #[test]
    fn a_value_is_masked_and_the_code_beside_it_is_shown() {
        for (line, expect) in [
            (
                "python3 -c \"import os; os.system('id') #a.b@example.com\"",
                "python3 -c \"import os; os.system('id') #[pii.email]\"",
            ),
            (
                "bash <<\"X\"\nrm -rf /srv # a.b@example.com\nX\n",
                "bash <<\"X\"\\nrm -rf /srv # [pii.email]\\nX\\n",
            ),
            ("bash <<-X\n\tid # a.b@example.com\n\tid\n\tX\n", "bash <<-X\\nid # [pii.email]\\nid\\n\\tX\\n"),
            ("sh -c 'id # a.b@exam''ple.com'", "sh -c 'id # [pii.email]'"),
            ("sh -c id\\ \\#\\ a.b@example.com\\'s", "sh -c 'id # [pii.email]'\\''s'"),
            ("echo 536-'22'-8391 # it is a.b@example.com", "echo '[pii.ssn]' # it is [pii.email]"),
            ("A=536-'22'-8391 id", "A='[pii.ssn]' id"),
            ("call '+1 (415) 555-0100' 4111 1111 1111 1111", "call '[pii.phone]' [pii.card]"),
            ("id; echo \"$x a.b@example.com\"", "id; echo \"$x [pii.email]\""),
        ] {
            check(line, expect, true);
        }
    }

    #[test]
    fn nobody_is_asked_where_a_placeholder_may_stand_for_code() {
        for (line, expect) in [
            ("curl postgres://u:a;id;@host/x", "curl postgres://u:[secret.url_password]@host/x"),
            (
                "sh <<X\n: -----BEGIN PRIVATE KEY-----\nreboot\n: -----END PRIVATE KEY-----\nX\n",
                "sh <<X\\n: [secret.private_key]\\nX\\n",
            ),
            (
                "echo cm0gLXJmIC8gIyBhLmJAZXhhbXBsZS5jb20= | base64 -d | sh",
                "echo [pii.email] | base64 -d | sh",
            ),
            ("echo \"$x a\\$b a.b@example.com\"", "echo \"$x a$b [pii.email]\""),
        ] {
            check(line, expect, false);
        }
    }
}
