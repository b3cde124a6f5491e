//! Options as getopt reads them, by one line of text per program.

use super::At;
use crate::line::{Arg, FileAccess, Opaque, Value};
use crate::walk::Walk;

/// What follows a letter or a name in a list of options.
///
/// ```text
///   (nothing)  a flag            <  the value is a file that is read      |  its value, or itself, starts programs
///   :  a value                   >  a file that is written                @  the value names a file of more arguments
///   #  a value only if attached  +  a file that is appended to            !  a flag that starts programs
///   ^  a flag by which names come from a file or from input
/// ```
const KINDS: &str = ":#<>+|@!^";

/// What was found.
pub(crate) struct Found {
    pub operands: Vec<Arg>,
    /// Options in order: their letter or name, and the value.
    pub seen: Vec<(String, Option<Arg>)>,
    /// How many operands stand before each of them.
    pub before: Vec<usize>,
}

impl Found {
    pub fn has(&self, names: &[&str]) -> bool {
        self.seen.iter().any(|(name, _)| names.contains(&&**name))
    }

    pub fn value(&self, names: &[&str]) -> Option<&Arg> {
        self.seen
            .iter()
            .rev()
            .find(|(name, _)| names.contains(&&**name))
            .and_then(|(_, value)| value.as_ref())
    }

    pub fn values<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a Arg> {
        self.seen.iter().filter(|(name, _)| names.contains(&&**name)).filter_map(|(_, value)| value.as_ref())
    }
}

/// Where a program stops to look for options.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// They may stand behind operands (GNU).
    Mixed,
    /// The first operand ends them: what follows is another command.
    First,
}

/// Reads options; files that they name are named, and what is not in the lists makes the command opaque.
pub(crate) fn read(walk: &mut Walk, at: &At<'_>, short: &str, long: &str, order: Order) -> Found {
    let mut reader = Reader {
        walk,
        at,
        short,
        long,
        found: Found { operands: Vec::new(), seen: Vec::new(), before: Vec::new() },
    };
    let starts = short.contains(['|', '!', '@']) || long.contains(['|', '!', '@']) || order == Order::First;
    let mut args = at.args.iter();
    while let Some(arg) = args.next() {
        let text = arg.value.starts();
        let literal = arg.value.literal().is_some();
        if literal && text == "--" {
            reader.found.operands.extend(args.cloned());
            break;
        }
        if text.starts_with("--") {
            reader.long(arg, &mut args);
        } else if text.len() > 1 && text.starts_with('-') {
            reader.cluster(arg, &mut args);
        } else {
            // It may turn out to be an option, or to bring some; a file's name only where one starts a program.
            let may = match &arg.value {
                Value::Unknown { one, .. } => text.is_empty() || text == "-" || !one,
                // Of several names the second would be taken for the command.
                Value::Pattern(..) => order == Order::First || starts && text.starts_with(['*', '?', '[']),
                Value::Literal(_) | Value::Below(..) => false,
            };
            if may {
                reader.walk.opaque(Opaque::ArgumentUnknown, arg.at);
            }
            reader.found.operands.push(arg.clone());
            if order == Order::First {
                reader.found.operands.extend(args.cloned());
                break;
            }
        }
    }
    reader.found
}

struct Reader<'a, 'b> {
    walk: &'a mut Walk,
    at: &'a At<'b>,
    short: &'a str,
    long: &'a str,
    found: Found,
}

impl Reader<'_, '_> {
    fn long<'c>(&mut self, arg: &Arg, args: &mut impl Iterator<Item = &'c Arg>) {
        let text = arg.value.starts();
        let bare = text.get(2..).unwrap_or("");
        let (name, attached) = match bare.split_once('=') {
            Some((name, value)) => (name, Some(attached(arg, value))),
            None if arg.value.literal().is_none() => {
                return self.walk.opaque(Opaque::ArgumentUnknown, arg.at);
            }
            None => (bare, None),
        };
        let entry = self
            .long
            .split(' ')
            .filter(|entry| !entry.is_empty())
            .find(|entry| entry.trim_end_matches(|c| KINDS.contains(c)) == name);
        let Some(entry) = entry else { return self.walk.opaque(Opaque::OptionUnknown, arg.at) };
        let kind = entry.chars().last().filter(|c| KINDS.contains(*c));
        let takes = kind.is_some_and(|kind| ":<>+|@".contains(kind));
        // These two know no `=`; elsewhere a flag has no value.
        if attached.is_some() && (matches!(self.at.base, "curl" | "jq") || !takes && kind != Some('#')) {
            self.walk.opaque(Opaque::OptionUnknown, arg.at);
        }
        // All that `--include=*.c` finds begins so, too: each is the same option again.
        if kind == Some(':')
            && let Some(Arg { value: Value::Pattern(..), .. }) = &attached
        {
            self.found.seen.push((name.to_owned(), attached));
            self.found.before.push(self.found.operands.len());
            return;
        }
        let value = if takes && attached.is_none() { args.next().cloned() } else { attached };
        self.option(name, kind, value, arg);
    }

    fn cluster<'c>(&mut self, arg: &Arg, args: &mut impl Iterator<Item = &'c Arg>) {
        let text = arg.value.starts().to_owned();
        let mut rest = text.get(1..).unwrap_or("").chars();
        while let Some(letter) = rest.next() {
            let Some(kind) = self.short_kind(letter) else {
                return self.walk.opaque(Opaque::OptionUnknown, arg.at);
            };
            let name = letter.to_string();
            let tail = rest.as_str();
            match kind {
                None | Some('!' | '^') => self.option(&name, kind, None, arg),
                Some('#') => return self.option(&name, kind, Some(attached(arg, tail)), arg),
                Some(_) => {
                    let whole = arg.value.literal().is_some();
                    let value = if tail.is_empty() && whole {
                        args.next().cloned()
                    } else {
                        Some(attached(arg, tail))
                    };
                    return self.option(&name, kind, value, arg);
                }
            }
        }
        // Known letters, and then what cannot be known.
        if arg.value.literal().is_none() {
            self.walk.opaque(Opaque::ArgumentUnknown, arg.at);
        }
    }

    fn short_kind(&self, letter: char) -> Option<Option<char>> {
        let place = self.short.find(letter).filter(|_| !KINDS.contains(letter))?;
        let behind = self.short.get(place + letter.len_utf8()..)?.chars().next();
        Some(behind.filter(|c| KINDS.contains(*c)))
    }

    fn option(&mut self, name: &str, kind: Option<char>, value: Option<Arg>, arg: &Arg) {
        let access = match kind {
            Some('<') => Some(FileAccess::Read),
            Some('>') => Some(FileAccess::Write),
            Some('+') => Some(FileAccess::Append),
            Some('@') => {
                self.walk.opaque(Opaque::ArgumentsFromInput, arg.at);
                Some(FileAccess::Read)
            }
            Some('^') => {
                self.walk.opaque(Opaque::ArgumentsFromInput, arg.at);
                None
            }
            Some('|' | '!') => {
                self.walk.opaque(Opaque::StartsPrograms, arg.at);
                None
            }
            _ => None,
        };
        // A value that may be several words moves all that follows.
        if let Some(value) = &value
            && matches!(value.value, Value::Unknown { one: false, .. } | Value::Pattern(..))
        {
            self.walk.opaque(Opaque::ArgumentUnknown, value.at);
        }
        if let (Some(access), Some(value)) = (access, &value) {
            let both = matches!(self.at.base, "curl" | "wget");
            let standard = (access == FileAccess::Read || both) && value.value.literal() == Some("-");
            // Programs that make something else of a name: patterns, lists, homes, escapes.
            let odd: &[char] = match self.at.base {
                "curl" => &['%', '{', '}', '[', ']', '#', ',', ';', ':', '\\'],
                "ssh" | "slogin" | "scp" | "sftp" => &['%', '~', '$'],
                _ => &[],
            };
            if value.value.starts().contains(odd) {
                self.walk.opaque(Opaque::PathUnknown, value.at);
            }
            if !standard {
                self.walk.file(self.at.index, value.value.clone(), access, value.at);
            }
        }
        self.found.seen.push((name.to_owned(), value));
        self.found.before.push(self.found.operands.len());
    }
}

/// The part of an argument behind its option.
pub(crate) fn attached(arg: &Arg, text: &str) -> Arg {
    let value = match &arg.value {
        Value::Literal(_) => Value::Literal(text.to_owned()),
        Value::Pattern(base, _) => Value::Pattern(base.clone(), text.to_owned()),
        Value::Below(..) | Value::Unknown { .. } => Value::Unknown {
            starts: text.to_owned(),
            one: matches!(arg.value, Value::Unknown { one: true, .. }),
        },
    };
    Arg { at: arg.at, value }
}
