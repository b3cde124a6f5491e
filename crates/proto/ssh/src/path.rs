//! One reading of a path. Paths are bytes; a server's kernel knows no encoding.
//!
//! What policy decides about is the **canonical** form: absolute, `.`, `..`, `//` and a trailing slash resolved by the
//! letters alone, relative paths below the home that the server told. What is sent upstream is the canonical form too, so
//! that both read the same letters. What the letters cannot say is where a symbolic link leads: any
//! path may go through one until the server was asked ([`crate::sftp::resolve`]), and even then only as of that moment.

use crate::limits::PATH_BYTES_MAX;
use std::fmt;
use wire::RawField;

/// A path as it was written, and what it means.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    pub written: RawField,
    pub canonical: Canonical,
    /// It goes up again from a name (`a/../b`): where `a` is a symbolic link, a kernel would have gone elsewhere.
    pub climbs: bool,
}

impl Path {
    /// Reads `written`; `home` is for relative ones. It is copied, so that a path that is kept keeps no packet. Errors:
    /// [`BadPath`].
    pub fn read(written: &RawField, home: Option<&Canonical>) -> Result<Path, BadPath> {
        let mut segments = Segments::start(written.as_bytes(), home)?;
        segments.walk(written.as_bytes());
        let canonical = segments.join();
        if canonical.as_bytes().len() > PATH_BYTES_MAX {
            return Err(BadPath::TooLong);
        }
        let written = RawField::copy_from(written.as_bytes());
        Ok(Path { written, canonical, climbs: segments.climbs })
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({} bytes)", self.canonical.as_bytes().len())
    }
}

/// Why a path cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BadPath {
    /// A zero byte, at which a server's C would end it.
    Nul,
    /// Above [`PATH_BYTES_MAX`], as written or in its canonical form.
    TooLong,
    /// Relative, and the server told no home.
    NoHome,
}

impl BadPath {
    pub fn as_str(self) -> &'static str {
        match self {
            BadPath::Nul => "a path with a zero byte",
            BadPath::TooLong => "a path above 4095 bytes",
            BadPath::NoHome => "a relative path, and the server told no home",
        }
    }
}

/// An absolute path without `.`, `..`, empty segments or a trailing slash. At most [`PATH_BYTES_MAX`] bytes, no zero.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Canonical(RawField);

impl Canonical {
    pub fn root() -> Canonical {
        Canonical(RawField::from_static(b"/"))
    }

    /// Of an absolute path. Errors: [`BadPath`], `NoHome` for a relative one.
    pub fn read(absolute: &[u8]) -> Result<Canonical, BadPath> {
        Path::read(&RawField::copy_from(absolute), None).map(|path| path.canonical)
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub fn as_raw(&self) -> &RawField {
        &self.0
    }

    /// The names from the root on; none for the root.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.as_bytes().split(|b| *b == b'/').filter(|name| !name.is_empty())
    }

    /// The directory that this stands in; the root stands in itself.
    pub fn parent(&self) -> Canonical {
        let bytes = self.as_bytes();
        match bytes.iter().rposition(|b| *b == b'/') {
            Some(slash) if slash > 0 => Canonical(self.0.to_bytes().slice(..slash).into()),
            _ => Canonical::root(),
        }
    }

    /// The last name; `None` for the root.
    pub fn name(&self) -> Option<&[u8]> {
        self.names().last()
    }

    /// `name` in this directory. Errors: [`BadPath`]; a name with a slash, `.` and `..` are read as a path is.
    pub fn join(&self, name: &[u8]) -> Result<Canonical, BadPath> {
        if name.first() == Some(&b'/') {
            return Canonical::read(name);
        }
        Path::read(&RawField::copy_from(name), Some(self)).map(|path| path.canonical)
    }

    /// Whether this is `directory` or below it.
    pub fn is_within(&self, directory: &Canonical) -> bool {
        let mut own = self.names();
        directory.names().all(|name| own.next() == Some(name))
    }

    /// The path as text, see [`shown`].
    pub fn shown(&self) -> String {
        shown(self.as_bytes())
    }
}

impl fmt::Debug for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Canonical({} bytes)", self.as_bytes().len())
    }
}

/// A path or name as text, without loss: two that differ are shown differently. UTF-8 stands as it is, but for a
/// backslash (`\\`), control characters and what is invisible or turns the direction of writing (`\u{202e}`); a byte that
/// is no UTF-8 is `\xNN`.
pub fn shown(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // Writing to a String cannot fail.
            let _ = match c {
                '\\' => text.write_str("\\\\"),
                c if is_plain(c) => text.write_char(c),
                c => write!(text, "\\u{{{:x}}}", u32::from(c)),
            };
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The segments that a path has come to.
struct Segments<'a> {
    names: Vec<&'a [u8]>,
    climbs: bool,
}

impl<'a> Segments<'a> {
    fn start(written: &[u8], home: Option<&'a Canonical>) -> Result<Segments<'a>, BadPath> {
        if written.contains(&0) {
            return Err(BadPath::Nul);
        }
        if written.len() > PATH_BYTES_MAX {
            return Err(BadPath::TooLong);
        }
        let names = match written.first() {
            Some(b'/') => Vec::new(),
            _ => home.ok_or(BadPath::NoHome)?.names().collect(),
        };
        Ok(Segments { names, climbs: false })
    }

    fn walk(&mut self, written: &'a [u8]) {
        let mut named = false;
        for segment in written.split(|b| *b == b'/') {
            match segment {
                b"" | b"." => {}
                b".." => {
                    self.climbs |= named;
                    self.names.pop();
                }
                name => {
                    named = true;
                    self.names.push(name);
                }
            }
        }
    }

    fn join(&self) -> Canonical {
        if self.names.is_empty() {
            return Canonical::root();
        }
        let mut path = Vec::new();
        for name in &self.names {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        Canonical(bytes::Bytes::from(path).into())
    }
}

/// Whether a character is shown as itself: it is visible, or a space, and says nothing of direction.
fn is_plain(c: char) -> bool {
    let hidden = matches!(u32::from(c),
        0xa0 | 0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x1680 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
        | 0x2000..=0x200f | 0x2028..=0x202f | 0x205f..=0x206f | 0x3000 | 0x3164 | 0xfe00..=0xfe0f | 0xfeff
        | 0xffa0 | 0xfff0..=0xfffb | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff);
    !c.is_control() && !hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &str, home: Option<&str>, expect: Result<&str, BadPath>) {
        let home = home.map(|home| Canonical::read(home.as_bytes()).unwrap());
        let got = Path::read(&RawField::copy_from(written.as_bytes()), home.as_ref());
        assert_eq!(got.map(|p| p.canonical.shown()), expect.map(str::to_owned), "{written:?}");
    }

    #[test]
    fn the_letters_are_resolved() {
        for (written, canonical) in [
            ("/", "/"),
            ("//", "/"),
            ("/..", "/"),
            ("/../../a", "/a"),
            ("/a/./b//c/", "/a/b/c"),
            ("/a/b/../../c", "/c"),
            ("/a/...", "/a/..."),
            ("", "/home/u"),
            (".", "/home/u"),
            ("./", "/home/u"),
            ("a", "/home/u/a"),
            ("..", "/home"),
            ("../../..", "/"),
            ("~", "/home/u/~"),
            ("/a b/é", "/a b/é"),
        ] {
            check(written, Some("/home/u"), Ok(canonical));
        }
        check("a", Some("/"), Ok("/a"));
        check("/a", None, Ok("/a"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        check("a", None, Err(BadPath::NoHome));
        check("", None, Err(BadPath::NoHome));
        check("/a\0b", None, Err(BadPath::Nul));
        check("a\0", None, Err(BadPath::Nul));
        let long = format!("/{}", "a".repeat(PATH_BYTES_MAX - 1));
        check(&long, None, Ok(&long));
        check(&format!("{long}a"), None, Err(BadPath::TooLong));
        check(&long[1..], Some("/h"), Err(BadPath::TooLong));
    }

    #[test]
    fn going_up_from_a_name_is_told() {
        let home = Canonical::read(b"/h").unwrap();
        let climbs = |written: &'static str| {
            Path::read(&RawField::from_static(written.as_bytes()), Some(&home)).unwrap().climbs
        };
        assert!(climbs("a/../b") && climbs("/a/.."));
        assert!(!climbs("../b") && !climbs("/../b") && !climbs("a/./b"));
    }

    #[test]
    fn parents_names_and_descent() {
        let path = Canonical::read(b"/a/b").unwrap();
        assert_eq!((path.parent().as_bytes(), path.name()), (&b"/a"[..], Some(&b"b"[..])));
        assert_eq!(path.parent().parent(), Canonical::root());
        assert_eq!((Canonical::root().parent(), Canonical::root().name()), (Canonical::root(), None));
        assert_eq!(path.join(b"c").unwrap().as_bytes(), b"/a/b/c");
        assert_eq!(path.join(b"../../../x").unwrap().as_bytes(), b"/x");
        assert_eq!(path.join(b"/x").unwrap().as_bytes(), b"/x");
        let within = |path: &str, dir: &str| {
            Canonical::read(path.as_bytes()).unwrap().is_within(&Canonical::read(dir.as_bytes()).unwrap())
        };
        assert!(within("/a/b", "/a") && within("/a", "/a") && within("/a", "/"));
        assert!(!within("/ab", "/a") && !within("/a", "/a/b"));
    }

    #[test]
    fn text_is_shown_without_loss() {
        for (bytes, text) in [
            (&b"/caf\xc3\xa9"[..], "/café"),
            (b"/caf\xe9", "/caf\\xe9"),
            (b"/caf\\xe9", "/caf\\\\xe9"),
            (b"a\nb\x1b[2J\x7f", "a\\u{a}b\\u{1b}[2J\\u{7f}"),
            ("a\u{202e}txt.exe\u{200b}".as_bytes(), "a\\u{202e}txt.exe\\u{200b}"),
            (b"\xff\xfe", "\\xff\\xfe"),
        ] {
            assert_eq!(shown(bytes), text);
        }
    }

    #[test]
    fn a_path_that_is_kept_keeps_no_packet() {
        let packet = bytes::Bytes::from(b"/a/b".repeat(100));
        let written: RawField = packet.slice(..4).into();
        let path = Path::read(&written, None).unwrap();
        drop(written);
        assert!(packet.is_unique(), "{path:?}");
    }

    #[test]
    fn no_debug_shows_a_path() {
        let path = Path::read(&RawField::from_static(b"/secret"), None).unwrap();
        assert!(!format!("{path:?} {:?}", path.canonical).contains("secret"));
    }
}
