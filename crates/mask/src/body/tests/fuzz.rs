//! Random JSON with values planted in it, and a reader of its own to look at what came out.

use super::*;
use crate::detect::tests::Random;

const PLANTED: [&str; 5] = [EMAIL, SSN, CARD, KEY_ID, "DE89370400440532013000"];

/// Writes random JSON.
struct Writer {
    random: Random,
    out: String,
    /// Whether values are planted.
    plants: bool,
    /// Texts that must not come out, in any string.
    planted: Vec<String>,
    names: u32,
    /// Whether there are members of the name `secret`.
    secrets: bool,
}

impl Writer {
    fn new(seed: u64, plants: bool) -> Writer {
        let (random, out, planted) = (Random(seed), String::new(), Vec::new());
        Writer { random, out, plants, planted, names: 0, secrets: false }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.random.next() % n
    }

    fn space(&mut self) {
        let space = ["", "", "", " ", "\n", "\t \r\n"][self.below(6) as usize];
        self.out += space;
    }

    fn value(&mut self, depth: u32) {
        self.space();
        match self.below(if depth < 6 { 9 } else { 6 }) {
            0 => self.out += ["true", "false", "null"][self.random.next() as usize % 3],
            1 => self.number(),
            2..=5 => self.string(""),
            6 => self.list(depth, "[", "]"),
            _ => self.list(depth, "{", "}"),
        }
        self.space();
    }

    fn list(&mut self, depth: u32, open: &str, close: &str) {
        self.out += open;
        for i in 0..self.below(6) {
            if i > 0 {
                self.out += ",";
            }
            if open == "{" {
                self.names += 1;
                self.space();
                match self.secrets && i == 0 && self.below(3) == 0 {
                    true => self.quoted("secret"),
                    false => self.string(&format!("n{} ", self.names)),
                }
                self.space();
                self.out += ":";
            }
            self.value(depth + 1);
        }
        self.space();
        self.out += close;
    }

    fn number(&mut self) {
        if self.plants && self.below(4) == 0 {
            self.planted.push(CARD.to_owned());
            self.out += [CARD, "4111111111111111.00"][self.random.next() as usize % 2];
            return;
        }
        let n = self.below(100_000);
        self.out += &[format!("{n}"), format!("-{n}.5"), format!("{n}e-3"), "0".to_owned()][n as usize % 4];
    }

    /// A string that begins with `first`, its characters escaped at random.
    fn string(&mut self, first: &str) {
        let mut text = first.to_owned();
        for _ in 0..self.below(8) {
            let words =
                ["some ", "words \u{e9} ", "\u{1f600} ", "\" ", "\\ ", "/ ", "\n", "x1 ", "[pii] ", "\u{1} "];
            text += words[self.below(10) as usize];
        }
        if self.plants && self.below(3) == 0 {
            text += &self.plant();
            text += ["", " ", ", and"][self.below(3) as usize];
        }
        self.quoted(&text);
    }

    fn quoted(&mut self, text: &str) {
        self.out.push('"');
        let escapes = self.below(4);
        for c in text.chars() {
            if c < ' ' || c == '"' || c == '\\' || self.below(8) < escapes {
                let upper = self.below(2) == 0;
                for unit in c.encode_utf16(&mut [0; 2]) {
                    self.out += &if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
                }
            } else {
                self.out.push(c);
            }
        }
        self.out.push('"');
    }

    fn plant(&mut self) -> String {
        let value = PLANTED[self.below(5) as usize].to_owned();
        // Alone, a social security number is shorter in base64 than what is decoded.
        let encoded = base64(format!("is {value}").as_bytes());
        let planted = match self.below(4) {
            0 => encoded,
            1 => base64(encoded.as_bytes()),
            _ => value,
        };
        self.planted.push(planted.clone());
        planted
    }
}

/// Every string and number of a JSON text, decoded; `None` if it is none. Recursive and lenient towards duplicates: it
/// shares nothing with the reader that is tested.
struct Reader<'a> {
    rest: &'a str,
    texts: Vec<String>,
}

impl Reader<'_> {
    fn texts(json: &str) -> Option<Vec<String>> {
        let mut reader = Reader { rest: json, texts: Vec::new() };
        reader.value()?;
        reader.rest.is_empty().then_some(reader.texts)
    }

    fn takes(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self) -> Option<()> {
        if self.takes("[") {
            self.list("]", false)?;
        } else if self.takes("{") {
            self.list("}", true)?;
        } else if self.takes("\"") {
            self.string()?;
        } else if !["true", "false", "null"].iter().any(|word| self.takes(word)) {
            let end = self.rest.find(|c: char| !c.is_ascii_digit() && !"+-.eE".contains(c));
            let (number, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
            number.parse::<f64>().ok()?;
            self.texts.push(number.to_owned());
            self.rest = rest;
        }
        self.takes("");
        Some(())
    }

    fn list(&mut self, close: &str, named: bool) -> Option<()> {
        if self.takes(close) {
            return Some(());
        }
        loop {
            if named {
                self.takes("\"").then_some(())?;
                self.string()?;
                self.takes(":").then_some(())?;
            }
            self.value()?;
            if self.takes(close) {
                return Some(());
            }
            self.takes(",").then_some(())?;
        }
    }

    fn string(&mut self) -> Option<()> {
        let mut units = Vec::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => match chars.next()? {
                    'u' => {
                        let digits: String = chars.by_ref().take(4).collect();
                        units.push(u16::from_str_radix(&digits, 16).ok()?);
                    }
                    'n' => units.push(10),
                    'r' => units.push(13),
                    't' => units.push(9),
                    c => units
                        .extend(Some(c).filter(|c| "\"\\/".contains(*c))?.encode_utf16(&mut [0; 2]).iter()),
                },
                c if c < ' ' => return None,
                c => units.extend(c.encode_utf16(&mut [0; 2]).iter()),
            }
        }
        self.rest = chars.as_str();
        self.texts.push(String::from_utf16(&units).ok()?);
        Some(())
    }
}

/// JSON with each value of a member `secret` replaced: read by recursion, and copied piece by piece.
struct Redacted<'a> {
    reader: Reader<'a>,
    out: String,
}

impl<'a> Redacted<'a> {
    fn of(json: &'a str) -> Option<String> {
        let mut redacted = Redacted { reader: Reader { rest: json, texts: Vec::new() }, out: String::new() };
        redacted.value(false)?;
        Some(redacted.out)
    }

    /// Copies what a step of the reader takes.
    fn copy<T>(&mut self, step: impl FnOnce(&mut Reader<'a>) -> T) -> T {
        let before = self.reader.rest;
        let taken = step(&mut self.reader);
        self.out += &before[..before.len() - self.reader.rest.len()];
        taken
    }

    fn value(&mut self, secret: bool) -> Option<()> {
        self.copy(|reader| reader.takes(""));
        let before = self.reader.rest;
        match before.as_bytes().first()? {
            b'{' if !secret => self.list("{", "}")?,
            b'[' if !secret => self.list("[", "]")?,
            _ if !secret => self.copy(Reader::value)?,
            first => {
                self.reader.value()?;
                self.out += match first {
                    b'"' => "\"[pii.x]\"",
                    b't' | b'f' => "false",
                    b'n' | b'{' | b'[' => "null",
                    _ => "0",
                };
                let taken = &before[..before.len() - self.reader.rest.len()];
                self.out += &taken[taken.trim_end().len()..];
            }
        }
        self.copy(|reader| reader.takes(""));
        Some(())
    }

    fn list(&mut self, open: &str, close: &str) -> Option<()> {
        self.copy(|reader| reader.takes(open));
        if self.copy(|reader| reader.takes(close)) {
            return Some(());
        }
        loop {
            let mut secret = false;
            if open == "{" {
                self.copy(|reader| reader.takes("\""));
                self.copy(Reader::string)?;
                secret = self.reader.texts.last()? == "secret";
                self.copy(|reader| reader.takes(":"));
            }
            self.value(secret)?;
            if self.copy(|reader| reader.takes(close)) {
                return Some(());
            }
            self.copy(|reader| reader.takes(",").then_some(()))?;
        }
    }
}

/// The body in random pieces.
fn random_cuts(random: &mut Random, length: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> =
        (0..random.next() % 12).map(|_| random.next() as usize % (length + 1)).collect();
    cuts.sort_unstable();
    cuts
}

#[test]
fn no_planted_value_comes_out_of_random_json() {
    let setup = Setup::new(Media::Json);
    let mut planted = 0;
    for seed in 0..3_000 {
        let mut writer = Writer::new(seed, true);
        writer.value(0);
        let (out, found) = setup.whole(writer.out.as_bytes()).unwrap();
        let text = String::from_utf8(out.clone()).unwrap();
        let Some(texts) = Reader::texts(&text) else { panic!("seed {seed}: {text:?} of {:?}", writer.out) };
        for value in &writer.planted {
            let left = texts.iter().find(|t| t.contains(value.as_str()));
            assert!(left.is_none(), "seed {seed}: {value} in {left:?} of {:?}", writer.out);
        }
        assert_eq!(found.tripped.is_empty(), writer.planted.is_empty(), "seed {seed}: {:?}", writer.out);
        planted += writer.planted.len();
        let cuts = random_cuts(&mut writer.random, writer.out.len());
        assert_eq!(setup.split(writer.out.as_bytes(), cuts), Ok((out, found)), "seed {seed}");
    }
    assert!(planted > 3_000, "{planted}");
}

#[test]
fn random_json_without_a_value_comes_out_as_it_was() {
    let setup = Setup::new(Media::Json).rules([rule("$..none", "pii.x", MaskKind::Null)]);
    let mut bytes = 0;
    for seed in 0..3_000 {
        let mut writer = Writer::new(seed, false);
        writer.value(0);
        assert!(Reader::texts(&writer.out).is_some(), "seed {seed}: {:?}", writer.out);
        let cuts = random_cuts(&mut writer.random, writer.out.len());
        let (out, found) = setup.split(writer.out.as_bytes(), cuts).unwrap();
        assert_eq!(
            (String::from_utf8(out).unwrap(), found),
            (writer.out.clone(), Found::default()),
            "seed {seed}"
        );
        bytes += writer.out.len();
    }
    assert!(bytes > 100_000, "{bytes}");
}

#[test]
fn random_json_with_a_byte_changed_is_read_as_any_reader_reads_it() {
    let setup = Setup::new(Media::Json);
    let (mut read, mut refused) = (0, 0);
    for seed in 0..6_000 {
        let mut writer = Writer::new(seed, false);
        writer.value(0);
        let mut bytes = writer.out.into_bytes();
        let at = writer.random.next() as usize % bytes.len();
        bytes[at] = b"{}[]\",:0-.eE \\tnu\n\x01x"[writer.random.next() as usize % 20];
        let result = setup.whole(&bytes);
        let texts = std::str::from_utf8(&bytes).ok().and_then(Reader::texts);
        // The reader of this test is lenient: what it refuses nobody reads.
        assert!(result.is_err() || texts.is_some(), "seed {seed}: {:?}", String::from_utf8_lossy(&bytes));
        let cuts = random_cuts(&mut writer.random, bytes.len());
        assert_eq!(setup.split(&bytes, cuts), result, "seed {seed}");
        *(if result.is_ok() { &mut read } else { &mut refused }) += 1;
    }
    assert!(read > 500 && refused > 500, "{read} {refused}");
}

#[test]
fn random_json_is_masked_as_a_plain_reader_masks_it_over_many_windows_and_pieces() {
    let setup = Setup::new(Media::Json).rules([rule("$..secret", "pii.x", MaskKind::Redact)]);
    let (mut bytes, mut secrets) = (0, 0);
    for seed in 0..600 {
        let mut writer = Writer { secrets: true, ..Writer::new(seed, false) };
        let least = [0, 0, 0, 1 << 10, 40 << 10, 150 << 10][seed as usize % 6];
        writer.out.push('[');
        writer.value(0);
        while writer.out.len() < least {
            writer.out.push(',');
            match writer.below(200) {
                0 => writer.out += &" \n".repeat(3_000),
                1 => writer.string(&"long and longer ".repeat(3_000)),
                _ => {}
            }
            if writer.out.ends_with('"') {
                writer.out.push(',');
            }
            writer.value(0);
        }
        writer.out.push(']');
        let expect = Redacted::of(&writer.out).unwrap();
        let input = writer.out.as_bytes();
        let (single, small) = (1..input.len(), input.len() < 4 << 10);
        let mut all = vec![random_cuts(&mut writer.random, input.len())];
        all.extend(small.then(|| single.collect()));
        all.push((1..input.len()).step_by(1 + writer.random.next() as usize % 200).collect());
        for cuts in all {
            let (out, found) = setup.split(input, cuts).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expect, "seed {seed}");
            let cells = found.governed.iter().map(|governed| governed.cells).sum::<u64>();
            assert!(cells > 0 || expect == writer.out, "seed {seed}");
            secrets += cells;
        }
        bytes += input.len();
    }
    assert!(bytes > 10 << 20 && secrets > 10_000, "{bytes} {secrets}");
}

/// Pieces of every kind of body, of values, and of what could pass for either.
const SOUP: [&str; 40] = [
    EMAIL,
    SSN,
    CARD,
    KEY_ID,
    SECRET,
    "am8uZG9lQGV4YW1wbGUuY29t",
    "jo.doe%40example.com",
    "jo.doe\\u0040example.com",
    "-----BEGIN PRIVATE KEY-----\n",
    "eyJhbGciOiJIUzI1NiJ9.eyJlbWFpbCI6ImpvLmRvZUBleGFtcGxlLmNvbSJ9.",
    "postgres://a:b@c.d/",
    "data: ",
    "data",
    ":",
    "id: ",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "{\"n\":",
    "}",
    "[",
    "]",
    ",",
    "\"",
    "1",
    "=",
    "&",
    "+",
    "%20",
    "--b1",
    "--b1\r\n\r\n",
    "--",
    "\r\n--b1\r\n",
    "Content-Type: application/json\r\n\r\n",
    " ",
    "word ",
    "\u{e9}",
    "\u{1f600}",
    "\\",
];

#[test]
fn whatever_comes_is_masked_or_refused_alike_however_it_is_split() {
    let media = [Media::Json, Media::JsonLines, Media::EventStream, Media::Form, Media::Text];
    let media = media.into_iter().chain([Media::Multipart { boundary: "b1".into() }]);
    for media in media {
        let rules = [rule("$..n", "pii.x", MaskKind::Redact)];
        let setup = Setup::new(media.clone()).rules(rules).knows(Origin::Echo, KEY_ID);
        let mut read = 0;
        for seed in 0..2_000 {
            let mut random = Random(seed);
            let mut soup = match media {
                Media::Multipart { .. } => "--b1\r\n\r\n".to_owned(),
                _ => String::new(),
            };
            for _ in 0..random.next() % 24 {
                soup += SOUP[random.next() as usize % SOUP.len()];
                // What is replaced may be what made its neighbour no value: only what stands apart is looked for.
                soup += if seed % 2 == 0 { " " } else { ["", "", " "][random.next() as usize % 3] };
            }
            if random.next().is_multiple_of(2) && matches!(media, Media::Multipart { .. }) {
                soup += "\r\n--b1--";
            }
            let result = setup.whole(soup.as_bytes());
            let cuts = random_cuts(&mut random, soup.len());
            assert_eq!(setup.split(soup.as_bytes(), cuts), result, "{media:?} seed {seed}: {soup:?}");
            assert_eq!(
                setup.split(soup.as_bytes(), 1..soup.len()),
                result,
                "{media:?} seed {seed}: {soup:?}"
            );
            if let Some((out, _)) = result.ok().filter(|_| seed % 2 == 0) {
                read += 1;
                let mut left = Vec::new();
                shared().scan(&out, &mut left);
                // Placeholders are short: an id can come nearer to what is then its secret.
                left.retain(|f| f.detector != "aws-secret");
                left.retain(|f| setup.known.origin(&out[f.range.clone()]).is_none());
                assert!(left.is_empty(), "{media:?} seed {seed}: {left:?} of {soup:?}");
            }
        }
        assert!(read > 20, "{media:?}: {read}");
    }
}
