//! The names of the objects that are open, kept to see whether one comes twice in its own.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Unreadable;
use super::lex::Text;
use crate::limits::{BODY_KEY_BYTES_MAX, BODY_KEYS_MAX, BODY_TOKEN_BYTES_MOST};
use crate::sip::short;

pub(super) const TWICE: Unreadable = Unreadable("an object has a name twice");
pub(super) const TOO_MANY: Unreadable =
    Unreadable("the JSON has too many names to tell whether one comes twice");

/// From so many names on an object's are looked up in a set; fewer are compared by their tags, which costs no allocation.
const MANY: usize = 64;

/// All names one behind another: those of an object stand above those of the objects around it.
#[derive(Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    names: Vec<Name>,
    /// All names of an object that has many, and how many stand below its own.
    many: Vec<(usize, BTreeSet<Box<[u8]>>)>,
}

#[derive(Clone, Copy)]
struct Name {
    tag: u32,
    /// Where it ends.
    end: u32,
}

const _: () = assert!(BODY_KEY_BYTES_MAX + BODY_TOKEN_BYTES_MOST < u32::MAX as usize);

/// One object's.
pub(super) struct Members {
    /// How many names, and how many bytes, stand below its own.
    below: (usize, usize),
    /// Where the last one stands: the name of the member that is read.
    last: Range<usize>,
    last_tag: u32,
}

impl Names {
    /// An object begins.
    pub(super) fn open(&self) -> Members {
        let end = self.bytes.len();
        Members { below: (self.names.len(), end), last: end..end, last_tag: tag(b"") }
    }

    /// The innermost object ends.
    pub(super) fn close(&mut self, members: &Members) {
        self.names.truncate(members.below.0);
        self.bytes.truncate(members.below.1);
        self.many.pop_if(|(below, _)| *below == members.below.0);
    }

    /// Adds a name of the innermost object. Errors: it has one alike (of two readers, one takes the first value and one
    /// the last), or there are too many.
    #[inline(always)]
    pub(super) fn add(&mut self, members: &mut Members, name: Text<'_>) -> Result<(), Unreadable> {
        let tag = tag(name.bytes());
        if self.has(members, tag, name.bytes()) {
            return Err(TWICE);
        }
        let start = self.bytes.len();
        name.copy(&mut self.bytes);
        let end = self.bytes.len();
        self.names.push(Name { tag, end: end as u32 });
        (members.last, members.last_tag) = (start..end, tag);
        match self.names.len() > BODY_KEYS_MAX || end > BODY_KEY_BYTES_MAX {
            true => Err(TOO_MANY),
            false => Ok(()),
        }
    }

    /// Whether the innermost object has the name; of many, it has it from now on.
    #[inline(always)]
    fn has(&mut self, members: &Members, tag: u32, name: &[u8]) -> bool {
        let below = members.below.0;
        let names = &self.names[below..];
        if names.len() < MANY {
            let alike = names.iter().fold(false, |alike, other| alike | (other.tag == tag));
            return alike && self.of(members).any(|other| other == name);
        }
        self.has_among_many(members, name)
    }

    #[inline(never)]
    fn has_among_many(&mut self, members: &Members, name: &[u8]) -> bool {
        let below = members.below.0;
        // What is in it has more below.
        if self.many.last().is_none_or(|(last, _)| *last != below) {
            let all = self.of(members).map(Into::into).collect();
            self.many.push((below, all));
        }
        self.many.last_mut().is_none_or(|(_, all)| !all.insert(name.into()))
    }

    /// The name of the member that is read.
    #[inline]
    pub(super) fn last(&self, members: &Members) -> &[u8] {
        &self.bytes[members.last.clone()]
    }

    /// Those of the innermost object.
    fn of(&self, members: &Members) -> impl Iterator<Item = &[u8]> {
        let mut start = members.below.1;
        self.names[members.below.0..].iter().map(move |name| {
            let from = std::mem::replace(&mut start, name.end as usize);
            &self.bytes[from..start]
        })
    }
}

impl Members {
    /// The [`tag`] of the name of the member that is read.
    #[inline]
    pub(super) fn last_tag(&self) -> u32 {
        self.last_tag
    }
}

/// Names that differ have tags that mostly differ: of their length, their first eight bytes and their last. Who contrives names with
/// one tag gets them compared.
#[inline(always)]
pub(super) fn tag(name: &[u8]) -> u32 {
    let (head, tail) = match (name.first_chunk(), name.last_chunk()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => (short(name), 0),
    };
    let mixed = (head ^ (name.len() as u64) << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ tail;
    ((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_tag_are_told_apart() {
        // What is in the middle of a long one is not in its tag.
        let name = |n: usize| format!("a name, {n:04} and its end");
        let mut names = Names::default();
        let mut members = names.open();
        for n in 0..2 * MANY {
            assert_eq!(tag(name(n).as_bytes()), tag(name(0).as_bytes()));
            assert_eq!(names.add(&mut members, Text::alone(name(n).as_bytes())), Ok(()));
            assert_eq!(names.add(&mut members, Text::alone(name(n / 2).as_bytes())), Err(TWICE));
        }
    }

    #[test]
    fn a_name_comes_once_in_its_object_however_many_there_are_and_again_in_another() {
        for count in [1, MANY - 1, MANY, MANY + 1, 3 * MANY] {
            let mut names = Names::default();
            let mut outer = names.open();
            for n in 0..count {
                names.add(&mut outer, Text::alone(format!("n{n}").as_bytes())).unwrap();
                let mut inner = names.open();
                for m in 0..count {
                    names.add(&mut inner, Text::alone(format!("n{m}").as_bytes())).unwrap();
                }
                assert_eq!(names.add(&mut inner, Text::alone(b"n0")), Err(TWICE));
                names.close(&inner);
                assert_eq!(names.last(&outer), format!("n{n}").as_bytes());
            }
            for n in 0..count {
                assert_eq!(
                    names.add(&mut outer, Text::alone(format!("n{n}").as_bytes())),
                    Err(TWICE),
                    "{n} of {count}"
                );
            }
        }
    }
}
