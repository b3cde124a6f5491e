//! Words -> arguments: braces, tildes, `$HOME`, patterns. What needs a running shell stays unknown.

use crate::limits::{BRACES_MAX, USER_BYTES_MAX};
use crate::line::{Arg, Base, Value};
use crate::syntax::{Piece, Word};

/// A piece of a word between which braces may stand.
#[derive(Clone, Debug)]
enum Atom<'a> {
    Plain(char),
    Quoted(&'a str),
    Dynamic(&'a Piece),
}

/// What a word of a command becomes.
pub(crate) struct Expanded {
    pub args: Vec<Arg>,
    /// Whether braces changed it.
    pub braces: bool,
    /// Whether it looks like an assignment with a tilde in its value, which bash expands and dash does not.
    pub tilde: bool,
}

/// A word where braces are expanded: in commands, `for` and behind redirections. `bytes` is what braces may still make.
pub(crate) fn words(word: &Word, bytes: &mut usize) -> Expanded {
    let atoms = atoms(word);
    let open = atoms.iter().any(|atom| matches!(atom, Atom::Plain('{')));
    if !open {
        let tilde = assigns_tilde(&atoms);
        return Expanded { args: vec![arg(word, &atoms)], braces: false, tilde };
    }
    let Some(found) = braces(&atoms, bytes) else {
        let value = Value::Unknown { starts: String::new(), one: false };
        return Expanded { args: vec![Arg { at: word.span, value }], braces: true, tilde: false };
    };
    let changed = !matches!(&*found, [same] if same.len() == atoms.len());
    let tilde = found.iter().any(|atoms| assigns_tilde(atoms));
    let kept = found.iter().filter(|atoms| !atoms.is_empty());
    Expanded { args: kept.map(|atoms| arg(word, atoms)).collect(), braces: changed, tilde }
}

/// A word where they are not: of assignments, here-strings, `case` and `[[`.
pub(crate) fn value(word: &Word) -> Value {
    value_of(&atoms(word))
}

/// The same of an assignment, where a tilde may stand behind a colon too.
pub(crate) fn assigned(word: &Word) -> Value {
    let atoms = atoms(word);
    let inner = atoms.windows(2).any(|pair| matches!(pair, [Atom::Plain(':'), Atom::Plain('~')]));
    if inner { Value::unknown() } else { value_of(&atoms) }
}

fn arg(word: &Word, atoms: &[Atom<'_>]) -> Arg {
    let value = if assigns_tilde(atoms) {
        let plain = atoms.iter().map_while(|atom| if let Atom::Plain(c) = atom { Some(*c) } else { None });
        let starts = plain.take_while(|c| !matches!(c, '~' | '*' | '?' | '[')).collect();
        Value::Unknown { starts, one: atoms.iter().all(is_one) }
    } else {
        value_of(atoms)
    };
    Arg { at: word.span, value }
}

/// `name=~/x`, `name=a:~/x`, but not `--name=~/x`: bash expands tildes only where a name may stand before the `=`.
fn assigns_tilde(atoms: &[Atom<'_>]) -> bool {
    let Some(equals) = atoms.iter().position(|atom| matches!(atom, Atom::Plain('='))) else { return false };
    let named = !matches!(atoms.first(), Some(Atom::Plain(c)) if *c != '_' && !c.is_ascii_alphabetic());
    let tilde = |pair: &[Atom<'_>]| matches!(pair, [Atom::Plain('=' | ':'), Atom::Plain('~')]);
    named && atoms.get(equals..).unwrap_or(&[]).windows(2).any(tilde)
}

fn atoms(word: &Word) -> Vec<Atom<'_>> {
    let mut atoms = Vec::new();
    for piece in &word.pieces {
        match piece {
            Piece::Text { value, quoted: false } => atoms.extend(value.chars().map(Atom::Plain)),
            Piece::Text { value, quoted: true } => atoms.push(Atom::Quoted(value)),
            Piece::Parameter { .. } | Piece::Command { .. } | Piece::Arithmetic { .. } => {
                atoms.push(Atom::Dynamic(piece));
            }
        }
    }
    atoms
}

/// Takes what another word of these atoms costs. False where that is more than is left.
fn spend(atoms: &[Atom<'_>], times: usize, bytes: &mut usize) -> bool {
    let size = |atom: &Atom<'_>| match atom {
        Atom::Plain(_) | Atom::Dynamic(_) => 1,
        Atom::Quoted(text) => 1 + text.len(),
    };
    let all = atoms.iter().map(size).sum::<usize>().saturating_mul(times);
    let enough = all <= *bytes;
    *bytes = bytes.saturating_sub(all);
    enough
}

/// The words that braces make; none if that is not sure, or they are too many or too long. `bytes` are spent while they are built.
fn braces<'a>(atoms: &[Atom<'a>], bytes: &mut usize) -> Option<Vec<Vec<Atom<'a>>>> {
    if !atoms.iter().any(|a| matches!(a, Atom::Plain(',' | '.'))) {
        return Some(vec![atoms.to_vec()]);
    }
    let balanced = balance(atoms)?;
    if !balanced {
        // One side alone is text; both, out of order, are read in more than one way.
        let close = atoms.iter().any(|a| matches!(a, Atom::Plain('}')));
        return if close { None } else { Some(vec![atoms.to_vec()]) };
    }
    expand(atoms, 0, bytes)
}

fn balance(atoms: &[Atom<'_>]) -> Option<bool> {
    let (mut open, mut deepest) = (0usize, 0usize);
    for atom in atoms {
        match atom {
            Atom::Plain('{') => open += 1,
            Atom::Plain('}') => match open.checked_sub(1) {
                Some(less) => open = less,
                None => return Some(false),
            },
            _ => {}
        }
        deepest = deepest.max(open);
    }
    if deepest > 8 { None } else { Some(open == 0) }
}

fn expand<'a>(atoms: &[Atom<'a>], level: usize, bytes: &mut usize) -> Option<Vec<Vec<Atom<'a>>>> {
    let mut done: Vec<Vec<Atom<'a>>> = vec![Vec::new()];
    let mut at = 0;
    while let Some(atom) = atoms.get(at) {
        let close = if matches!(atom, Atom::Plain('{')) { closing(atoms, at) } else { None };
        let choices = match close {
            Some(end) => {
                let inner = atoms.get(at + 1..end)?;
                at = end + 1;
                group(inner, level, bytes)?
            }
            None => {
                at += 1;
                vec![vec![atom.clone()]]
            }
        };
        // Words that there are go on where they are; each of several is begun anew.
        if let [only] = &*choices {
            if done.len() > 1 && !spend(only, done.len(), bytes) {
                return None;
            }
            done.iter_mut().for_each(|word| word.extend_from_slice(only));
            continue;
        }
        let many = choices.len();
        if done.len() * many > BRACES_MAX {
            return None;
        }
        let front = done.iter().all(|word| spend(word, many, bytes));
        let back = choices.iter().all(|choice| spend(choice, done.len(), bytes));
        if !(front && back) {
            return None;
        }
        done = done.iter().flat_map(|front| choices.iter().map(|c| [&**front, c].concat())).collect();
    }
    Some(done)
}

fn closing(atoms: &[Atom<'_>], from: usize) -> Option<usize> {
    let mut open = 0usize;
    for (at, atom) in atoms.iter().enumerate().skip(from) {
        match atom {
            Atom::Plain('{') => open += 1,
            Atom::Plain('}') => {
                open -= 1;
                if open == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// What stands between one pair of braces.
fn group<'a>(inner: &[Atom<'a>], level: usize, bytes: &mut usize) -> Option<Vec<Vec<Atom<'a>>>> {
    let mut members: Vec<Vec<Atom<'a>>> = vec![Vec::new()];
    let mut open = 0usize;
    for atom in inner {
        match atom {
            Atom::Plain(',') if open == 0 => members.push(Vec::new()),
            other => {
                match other {
                    Atom::Plain('{') => open += 1,
                    Atom::Plain('}') => open -= 1,
                    _ => {}
                }
                members.last_mut()?.push(other.clone());
            }
        }
    }
    if members.len() > 1 {
        let expanded: Option<Vec<_>> =
            members.iter().map(|member| expand(member, level + 1, bytes)).collect();
        return Some(expanded?.into_iter().flatten().collect());
    }
    if let Some(sequence) = sequence(inner) {
        return sequence;
    }
    let plain = expand(inner, level + 1, bytes)?;
    let wrap = |word: Vec<Atom<'a>>| [&[Atom::Plain('{')], &*word, &[Atom::Plain('}')]].concat();
    Some(plain.into_iter().map(wrap).collect())
}

/// `1..3` or `a..c`; the inner none where it is one that is not followed here (steps, padding, mixed case).
fn sequence<'a>(inner: &[Atom<'a>]) -> Option<Option<Vec<Vec<Atom<'a>>>>> {
    let text: Option<String> =
        inner.iter().map(|atom| if let Atom::Plain(c) = atom { Some(*c) } else { None }).collect();
    let text = text?;
    let parts: Vec<&str> = text.split("..").collect();
    let number = |part: &str| {
        let digits = part.strip_prefix(['-', '+']).unwrap_or(part);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let letter = |part: &str| part.len() == 1 && part.bytes().all(|b| b.is_ascii_alphabetic());
    let (Some(first), Some(last)) = (parts.first(), parts.get(1)) else { return None };
    let numbers = number(first) && number(last);
    if !(numbers || letter(first) && letter(last)) || parts.len() > 3 {
        // A digit and a letter: versions differ.
        return if (number(first) || letter(first)) && (number(last) || letter(last)) {
            Some(None)
        } else {
            None
        };
    }
    if parts.len() == 3 {
        return if parts.get(2).is_some_and(|step| number(step)) { Some(None) } else { None };
    }
    Some(if numbers { numbers_between(first, last) } else { letters_between(first, last) })
}

fn numbers_between<'a>(first: &str, last: &str) -> Option<Vec<Vec<Atom<'a>>>> {
    let parse = |text: &str| {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let padded = digits.len() > 1 && digits.starts_with('0');
        if padded || digits.len() > 9 { None } else { text.parse::<i64>().ok() }
    };
    let (from, to) = (parse(first)?, parse(last)?);
    if from.abs_diff(to) >= BRACES_MAX as u64 {
        return None;
    }
    let word = |n: i64| n.to_string().chars().map(Atom::Plain).collect();
    Some(if from <= to { (from..=to).map(word).collect() } else { (to..=from).rev().map(word).collect() })
}

fn letters_between<'a>(first: &str, last: &str) -> Option<Vec<Vec<Atom<'a>>>> {
    let (from, to) = (first.chars().next()?, last.chars().next()?);
    if from.is_ascii_uppercase() != to.is_ascii_uppercase() {
        return None;
    }
    let word = |c: char| vec![Atom::Plain(c)];
    Some(if from <= to { (from..=to).map(word).collect() } else { (to..=from).rev().map(word).collect() })
}

/// Builds a value from atoms without braces.
fn value_of(atoms: &[Atom<'_>]) -> Value {
    let Some((base, rest)) = base_of(atoms) else { return Value::unknown() };
    // Inside a bracket that is never closed, `[` is text.
    let closes = rest.iter().rposition(|atom| matches!(atom, Atom::Plain(']')));
    let wild = |(at, atom): (usize, &Atom<'_>)| match atom {
        Atom::Plain('*' | '?') => true,
        Atom::Plain('[') => closes.is_some_and(|close| close > at),
        _ => false,
    };
    let pattern = rest.iter().enumerate().any(wild);
    let (mut text, mut escaped) = (String::new(), String::new());
    for atom in rest {
        match atom {
            Atom::Plain(c) => {
                text.push(*c);
                escaped.push(*c);
            }
            Atom::Quoted(quoted) => {
                text.push_str(quoted);
                for c in quoted.chars() {
                    if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                        escaped.push('\\');
                    }
                    escaped.push(c);
                }
            }
            Atom::Dynamic(_) => {
                let starts = if base == Base::Written && !pattern { text } else { String::new() };
                return Value::Unknown { starts, one: rest.iter().all(is_one) };
            }
        }
    }
    match (base, pattern) {
        (base, true) => Value::Pattern(base, escaped),
        (Base::Written, false) => Value::Literal(text),
        (base, false) => Value::Below(base, text),
    }
}

/// Whether a piece stays inside one word: quoted, and not `"$@"`.
fn is_one(atom: &Atom<'_>) -> bool {
    match atom {
        Atom::Plain(c) => !matches!(c, '*' | '?' | '['),
        Atom::Quoted(_) => true,
        Atom::Dynamic(Piece::Parameter { name, plain, quoted, .. }) => {
            // A number or nothing is no more than one word: `IFS` is nobody's to set.
            let number = matches!(&**name, "?" | "#" | "$" | "!");
            *plain && (*quoted && name != "@" || number)
        }
        Atom::Dynamic(Piece::Command { quoted, .. }) => *quoted,
        Atom::Dynamic(_) => true,
    }
}

/// What the word is below, and its rest. None where a tilde's name is not read here.
fn base_of<'a, 'b>(atoms: &'b [Atom<'a>]) -> Option<(Base, &'b [Atom<'a>])> {
    let variable = match atoms.first() {
        Some(Atom::Quoted("")) => atoms.get(1).map(|atom| (atom, 2)),
        Some(atom) => Some((atom, 1)),
        None => None,
    };
    if let Some((Atom::Dynamic(Piece::Parameter { name, plain: true, .. }), used)) = variable {
        let base = match &**name {
            "HOME" => Base::Home,
            "PWD" => Base::Working,
            _ => return Some((Base::Written, atoms)),
        };
        let rest = atoms.get(used..)?;
        let path = match rest.first() {
            None | Some(Atom::Plain('/')) => true,
            Some(Atom::Quoted(text)) => text.is_empty() || text.starts_with('/'),
            Some(_) => false,
        };
        return if path { Some((base, rest)) } else { None };
    }
    if !matches!(atoms.first(), Some(Atom::Plain('~'))) {
        return Some((Base::Written, atoms));
    }
    let ends = |atom: &Atom<'_>| matches!(atom, Atom::Plain('/' | ':'));
    let end = atoms.iter().position(ends).unwrap_or(atoms.len());
    // A colon ends the name for bash, and not for others.
    if matches!(atoms.get(end), Some(Atom::Plain(':'))) {
        return None;
    }
    let name: Option<String> = atoms
        .get(1..end)?
        .iter()
        .map(|atom| if let Atom::Plain(c) = atom { Some(*c) } else { None })
        .collect();
    let rest = atoms.get(end..)?;
    match name.as_deref() {
        // A quote in it makes the tilde text.
        None => Some((Base::Written, atoms)),
        Some("") => Some((Base::Home, rest)),
        Some("+") => Some((Base::Working, rest)),
        Some(user) if user.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')) => {
            let named = user.len() <= USER_BYTES_MAX
                && user.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            if named { Some((Base::HomeOf(user.to_owned()), rest)) } else { None }
        }
        Some(_) => None,
    }
}
