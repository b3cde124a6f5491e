//! Names of files that a word brings: the shell lists a directory for a pattern, whatever takes the word, also for one that an
//! expansion without quotes brings.

use crate::syntax::{Item, List, Node, Piece, Simple, Word};

/// Variables that a word is made of without quotes, by their names; and whether something else in it may bring a pattern.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    pub variables: Vec<String>,
    pub anything: bool,
}

/// What a word may bring that is split and looked up as a pattern. What is a pattern as it is written is not said here.
pub(crate) fn brought(word: &Word) -> Brought {
    let mut found = Brought::default();
    let open = |piece: &Piece| matches!(piece, Piece::Text { value, quoted: false } if is_wild(value));
    let dynamic = |piece: &Piece| !matches!(piece, Piece::Text { .. });
    found.anything = word.pieces.iter().any(open) && word.pieces.iter().any(dynamic);
    word.pieces.iter().for_each(|piece| found.piece(piece, false));
    found
}

impl Brought {
    /// `inside`: of `${x:-...}`, where text is a pattern, too.
    fn piece(&mut self, piece: &Piece, inside: bool) {
        match piece {
            Piece::Text { value, .. } => self.anything |= inside && is_wild(value),
            Piece::Parameter { quoted: true, .. } | Piece::Command { quoted: true, .. } if !inside => {}
            Piece::Parameter { name, inner, .. } => {
                if !is_number_or_place(name) {
                    self.variables.push(name.clone());
                }
                inner.iter().flat_map(|word| &word.pieces).for_each(|piece| self.piece(piece, true));
            }
            Piece::Command { list, .. } => self.anything |= !writes_plainly(list),
            Piece::Arithmetic { .. } => {}
        }
    }
}

/// Whether a word's text, as a variable has it, may be a pattern.
pub(crate) fn may_hold_pattern(word: &Word) -> bool {
    word.pieces.iter().any(|piece| match piece {
        Piece::Text { value, .. } => is_wild(value),
        Piece::Parameter { name, plain, .. } => !(*plain && is_number_or_place(name)),
        Piece::Command { list, .. } => !writes_plainly(list),
        Piece::Arithmetic { .. } => false,
    })
}

/// Whether a variable that the line does not set may have what the line says: its arguments, its text.
pub(crate) fn is_of_line(name: &str) -> bool {
    let given = ["@", "*", "_", "REPLY", "MAPFILE", "OPTARG", ""];
    given.contains(&name)
        || name.bytes().all(|b| b.is_ascii_digit())
        || name.starts_with("BASH")
        || name.starts_with("SSH_")
}

/// Whoever sets the directories is opaque.
fn is_number_or_place(name: &str) -> bool {
    matches!(name, "?" | "#" | "$" | "!" | "-" | "HOME" | "PWD")
}

fn is_wild(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether a command writes numbers, names and times, and nothing out of a file.
fn writes_plainly(list: &List) -> bool {
    const PLAIN: &[&str] = &[
        "seq", "date", "hostname", "whoami", "id", "nproc", "uname", "arch", "wc", "pgrep", "mktemp",
        "which", "pwd", "logname", "tty", "getconf",
    ];
    let [Item { first, rest, .. }] = &*list.items else { return false };
    let (Some(Node::Simple(Simple { words, .. })), true) = (first.nodes.last(), rest.is_empty()) else {
        return false;
    };
    let texts: Option<Vec<String>> = words.iter().map(Word::literal).collect();
    texts.is_some_and(|texts| {
        let Some((program, args)) = texts.split_first() else { return false };
        // By these it writes the names and arguments of processes, which anybody chooses.
        let names = |arg: &String| arg.starts_with('-') && arg.contains(['a', 'l']);
        PLAIN.contains(&&**program)
            && !(program == "pgrep" && args.iter().any(names))
            && !texts.iter().any(|text| is_wild(text))
    })
}
