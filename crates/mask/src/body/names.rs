//! The names of the objects that are open, kept to see whether one comes twice in its own.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Unreadable;
use crate::limits::{BODY_KEY_BYTES_MAX, BODY_KEYS_MAX};

pub(super) const TWICE: Unreadable = Unreadable("an object has a name twice");
pub(super) const TOO_MANY: Unreadable =
    Unreadable("the JSON has too many names to tell whether one comes twice");

/// From so many names on an object's are looked up in a set; fewer are compared one by one, which costs no allocation.
const MANY: usize = 16;

/// All names one behind another: those of an object stand above those of the objects around it.
#[derive(Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

/// One object's.
pub(super) struct Members {
    /// How many names, and how many bytes, stand below its own.
    below: (usize, usize),
    /// Where the last one stands: the name of the member that is read.
    last: Range<usize>,
    /// All of them, if they are many.
    many: BTreeSet<Box<[u8]>>,
}

impl Names {
    /// An object begins.
    pub(super) fn open(&self) -> Members {
        let end = self.bytes.len();
        Members { below: (self.ends.len(), end), last: end..end, many: BTreeSet::new() }
    }

    /// The innermost object ends.
    pub(super) fn close(&mut self, members: &Members) {
        self.ends.truncate(members.below.0);
        self.bytes.truncate(members.below.1);
    }

    /// Adds a name of the innermost object. Errors: it has one alike (of two readers, one takes the first value and one
    /// the last), or there are too many.
    pub(super) fn add(&mut self, members: &mut Members, name: &[u8]) -> Result<(), Unreadable> {
        let count = self.ends.len() - members.below.0;
        if count == MANY {
            members.many = self.of(members).map(Into::into).collect();
        }
        let fresh = match count < MANY {
            true => self.of(members).all(|other| other != name),
            false => members.many.insert(name.into()),
        };
        if !fresh {
            return Err(TWICE);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
        members.last = start..self.bytes.len();
        match self.ends.len() > BODY_KEYS_MAX || self.bytes.len() > BODY_KEY_BYTES_MAX {
            true => Err(TOO_MANY),
            false => Ok(()),
        }
    }

    /// The name of the member that is read.
    pub(super) fn last(&self, members: &Members) -> &[u8] {
        &self.bytes[members.last.clone()]
    }

    /// Those of the innermost object.
    fn of(&self, members: &Members) -> impl Iterator<Item = &[u8]> {
        let mut start = members.below.1;
        self.ends[members.below.0..].iter().map(move |&end| {
            let name = &self.bytes[start..end];
            start = end;
            name
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_once_in_its_object_however_many_there_are_and_again_in_another() {
        for count in [1, MANY - 1, MANY, MANY + 1, 3 * MANY] {
            let mut names = Names::default();
            let mut outer = names.open();
            for n in 0..count {
                names.add(&mut outer, format!("n{n}").as_bytes()).unwrap();
                let mut inner = names.open();
                for m in 0..count {
                    names.add(&mut inner, format!("n{m}").as_bytes()).unwrap();
                }
                assert_eq!(names.add(&mut inner, b"n0"), Err(TWICE));
                names.close(&inner);
                assert_eq!(names.last(&outer), format!("n{n}").as_bytes());
            }
            for n in 0..count {
                assert_eq!(names.add(&mut outer, format!("n{n}").as_bytes()), Err(TWICE), "{n} of {count}");
            }
        }
    }
}
