//! Where a path leads: a question to upstream before a decision, and its answer.
//!
//! The letters of a path do not say which symbolic links are on it. Whoever decides by paths may ask first:
//! [`Question::of`] a touch, its [`request`](Question::request) by [`Session::ask`](super::session::Session::ask), and the
//! reply to [`Question::answer`]. The answer is true of the moment in which upstream gave it: somebody with another way into
//! that machine may put a link there in between, and no gateway can see that.

use super::action::Touch;
use super::message::{Code, Reply, Request};
use crate::fault as why;
use crate::path::Canonical;
use wire::{Fault, RawField, Side};

/// What is asked about one touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    asked: Canonical,
    /// The name behind it, which the server does not follow.
    last: Option<RawField>,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    At(Canonical),
    /// Upstream does not say: nothing is there, or it may not be seen.
    Unknown(Code),
}

impl Question {
    /// Where a link at the path itself is not followed, its directory is asked for.
    pub fn of(touch: &Touch) -> Question {
        let path = &touch.path.canonical;
        match path.name().filter(|_| !touch.follows) {
            Some(name) => Question { asked: path.parent(), last: Some(RawField::copy_from(name)) },
            None => Question { asked: path.clone(), last: None },
        }
    }

    /// The request that asks it.
    pub fn request(&self) -> Request {
        Request::Realpath { path: self.asked.as_raw().clone() }
    }

    /// Takes upstream's reply. Errors (side: upstream): a name that is no absolute path.
    pub fn answer(&self, reply: &Reply) -> Result<Resolved, Fault> {
        let no = why::NOT_ONE_NAME.on(Side::Upstream);
        let name = match reply {
            Reply::Status(status) => return Ok(Resolved::Unknown(status.code)),
            Reply::Name(entries) => match entries.as_slice() {
                [entry] => &entry.filename,
                _ => return Err(no),
            },
            _ => return Err(no),
        };
        let directory = Canonical::read(name.as_bytes()).map_err(|_| no)?;
        match &self.last {
            None => Ok(Resolved::At(directory)),
            Some(last) => directory.join(last.as_bytes()).map(Resolved::At).map_err(|_| no),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::action::{Operation, Role};
    use super::super::attrs::Attrs;
    use super::super::message::Entry;
    use super::*;
    use crate::path::Path;

    fn touch(path: &'static str, follows: bool) -> Touch {
        let path = Path::read(&RawField::from_static(path.as_bytes()), None).unwrap();
        Touch { operation: Operation::Read, role: Role::Only, path, follows }
    }

    fn name(path: &'static str) -> Reply {
        let name = RawField::from_static(path.as_bytes());
        Reply::Name(vec![Entry { filename: name.clone(), longname: name, attrs: Attrs::default() }])
    }

    fn check(at: &'static str, follows: bool, asked: &'static str, says: &'static str, leads: &str) {
        let question = Question::of(&touch(at, follows));
        assert_eq!(question.request(), Request::Realpath { path: RawField::from_static(asked.as_bytes()) });
        let resolved = question.answer(&name(says)).unwrap();
        assert_eq!(resolved, Resolved::At(Canonical::read(leads.as_bytes()).unwrap()));
    }

    #[test]
    fn a_link_that_is_not_followed_stays_the_last_name() {
        check("/a/l", true, "/a/l", "/secret/f", "/secret/f");
        check("/a/l", false, "/a", "/secret", "/secret/l");
        check("/l", false, "/", "/", "/l");
        check("/", false, "/", "/", "/");
    }

    #[test]
    fn what_is_no_path_is_upstreams_fault() {
        let question = Question::of(&touch("/a", true));
        for reply in [name("a"), name("/a\0"), Reply::Name(Vec::new()), Reply::Data(RawField::default())] {
            assert_eq!(question.answer(&reply).unwrap_err().side, Side::Upstream);
        }
        let gone = Reply::refusal(Code::NO_SUCH_FILE, "");
        assert_eq!(question.answer(&gone), Ok(Resolved::Unknown(Code::NO_SUCH_FILE)));
    }
}
