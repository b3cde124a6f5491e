//! From an anchor to a value: a bounded window, then the checks.

pub(super) mod cut;

use std::cell::Cell;

use vocab::Class;

use super::anchor::Anchor;
use super::{Spots, validate};
use crate::field::SEPARATOR;
use crate::letter;
use crate::limits::{
    EMAIL_DOMAIN_BYTES_MAX, EMAIL_LOCAL_BYTES_MAX, JWT_SEGMENT_BYTES_MAX, JWT_SEGMENTS_MAX,
    KEY_PREFIX_BYTES_MAX, NEAR_BYTES_MAX, PEM_BODY_BYTES_MAX, PEM_LABEL_BYTES_MAX, TOKEN_BYTES_MAX,
    URL_SCHEME_BYTES_MAX, URL_USERINFO_BYTES_MAX,
};

macro_rules! detectors {
    ($($variant:ident $name:literal $class:literal,)*) => {
        /// What finds values of a class.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Detector { $($variant,)* }

        impl Detector {
            pub(super) const ALL: [Detector; Detector::COUNT] = [$(Detector::$variant,)*];
            pub(super) const COUNT: usize = [$($name,)*].len();

            pub(super) fn name(self) -> &'static str {
                match self { $(Detector::$variant => $name,)* }
            }

            /// Panics only if a constant above is no class: a test makes them all.
            pub(super) fn class(self) -> Class {
                Class::new(match self { $(Detector::$variant => $class,)* }).expect("a constant class")
            }
        }
    };
}

detectors! {
    Email "email" "pii.email",
    Card "card" "pii.card",
    Iban "iban" "pii.iban",
    Ssn "us-ssn" "pii.ssn",
    Phone "phone" "pii.phone",
    Jwt "jwt" "secret.jwt",
    PrivateKey "pem-private-key" "secret.private_key",
    AwsKeyId "aws-key-id" "secret.aws_key",
    AwsSecret "aws-secret" "secret.aws_key",
    Github "github" "secret.github",
    Slack "slack" "secret.slack",
    Stripe "stripe" "secret.stripe",
    Google "google-api-key" "secret.google",
    Anthropic "anthropic" "secret.llm",
    OpenAi "openai" "secret.llm",
    HuggingFace "hugging-face" "secret.llm",
    OtherLlm "llm-provider" "secret.llm",
    UrlPassword "url-credentials" "secret.url_password",
    Key "prefixed-key" "secret.api_key",
}

#[cfg(test)]
thread_local! {
    /// How many bytes views were asked for: what recognising costs, without a clock.
    pub(super) static STEPS: Cell<usize> = const { Cell::new(0) };
}

/// Bytes to look at. A whole view ends where its bytes end; behind an open one more may come, and whoever asks for
/// a byte there is noted.
pub(super) struct View<'a> {
    bytes: &'a [u8],
    open: bool,
    /// Whether they begin a line: what stands before them is a line's end, or nothing.
    line: bool,
    asked: Cell<bool>,
}

impl<'a> View<'a> {
    pub(super) fn whole(bytes: &'a [u8]) -> View<'a> {
        View::whole_at(bytes, true)
    }

    /// Bytes that end where they end; whether they begin a `line`.
    pub(super) fn whole_at(bytes: &'a [u8], line: bool) -> View<'a> {
        View { bytes, open: false, line, asked: Cell::new(false) }
    }

    pub(super) fn open(bytes: &'a [u8], line: bool) -> View<'a> {
        View { bytes, open: true, line, asked: Cell::new(false) }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    fn at(&self, i: usize) -> Option<u8> {
        #[cfg(test)]
        STEPS.set(STEPS.get() + 1);
        let byte = self.bytes.get(i).copied();
        if byte.is_none() && self.open {
            self.asked.set(true);
        }
        byte
    }

    fn before(&self, i: usize) -> Option<u8> {
        i.checked_sub(1).and_then(|i| self.bytes.get(i).copied())
    }

    /// Whether what stands before `start` is of the same word, as `is` says of a byte. A mark of a line is not.
    fn joined(&self, start: usize, is: impl Fn(u8) -> bool) -> bool {
        self.before(start).is_some_and(|b| is(b) && !(matches!(b, b'+' | b'-') && self.marks(start - 1)))
    }

    /// Whether what stands at `end` is of the same word; the mark behind a changed word is not.
    fn goes_on(&self, end: usize, is: impl Fn(u8) -> bool) -> bool {
        self.at(end).is_some_and(|b| is(b) && !(b == b'-' && self.at(end + 1) == Some(b']')))
    }

    /// Whether the `+` or `-` at `i` is what a tool puts before a line (`diff`, of one file or of two, and `grep -n -A`, with the
    /// line's number), or before changed words (`[-old-]{+new+}`).
    fn marks(&self, i: usize) -> bool {
        let begins =
            |i: usize| self.before(i).map_or(i == 0 && self.line, |b| matches!(b, b'\n' | b'\r' | SEPARATOR));
        let number = (i.saturating_sub(LINE_NUMBER_DIGITS_MAX)..i)
            .rev()
            .take_while(|&i| self.bytes[i].is_ascii_digit())
            .count();
        let word = match self.bytes[i] {
            b'-' => b'[',
            _ => b'{',
        };
        let before = self.before(i);
        begins(i - number)
            || before == Some(word)
            || before.is_some_and(|b| matches!(b, b'+' | b'-' | b' ')) && begins(i - 1)
    }

    /// The end of the run of bytes from `from` that satisfy `wanted`, at most `max` of them.
    fn run(&self, from: usize, max: usize, wanted: impl Fn(u8) -> bool) -> usize {
        (from..from + max).find(|&i| !self.at(i).is_some_and(&wanted)).unwrap_or(from + max)
    }

    /// The start of the run of bytes before `to` that satisfy `wanted`, at most `max` of them.
    fn run_back(&self, to: usize, max: usize, mut wanted: impl FnMut(u8) -> bool) -> usize {
        let floor = to.saturating_sub(max);
        let start = (floor..to).rev().find(|&i| !wanted(self.bytes[i])).map_or(floor, |i| i + 1);
        #[cfg(test)]
        STEPS.set(STEPS.get() + 1 + to - start);
        start
    }

    /// Whether a number's name stands right before it (`Visa4111...`, `card_4111...`), and not a code's other characters.
    fn named_before(&self, start: usize) -> bool {
        let from = self.run_back(start, NAME_BYTES_MAX, |b| b.is_ascii_alphabetic());
        self.before(start) == Some(b'_') || is_name(&self.bytes[from..start])
    }

    /// The same of what stands right behind it.
    fn named_behind(&self, end: usize) -> bool {
        let to = self.run(end, NAME_BYTES_MAX, |b| b.is_ascii_alphabetic());
        self.at(end) == Some(b'_') || is_name(&self.bytes[end..to])
    }

    fn starts_with(&self, at: usize, text: &[u8]) -> bool {
        text.iter().enumerate().all(|(i, &b)| self.at(at + i) == Some(b))
    }
}

/// So much of a word beside a number is looked at: it is a name or not by then.
const NAME_BYTES_MAX: usize = 16;

/// Whether letters are a name. A letter or two begin a code as often, and letters that hexadecimal has may be of that.
fn is_name(letters: &[u8]) -> bool {
    letters.len() > 2 && !letters.iter().all(u8::is_ascii_hexdigit)
}

/// Most digits of a line's number.
const LINE_NUMBER_DIGITS_MAX: usize = 10;

/// Looks around the anchor that ends at `end`.
pub(super) fn at(anchor: Anchor, end: usize, view: &View<'_>, spots: &mut Spots) {
    view.asked.set(false);
    let from = match anchor {
        Anchor::At => address(end - 1, view, spots),
        Anchor::Phone => phone(end - 2, view, spots),
        Anchor::Ssn => ssn(end, view, spots),
        Anchor::Card => card(end, view, spots),
        Anchor::Iban => iban(end - 4, view, spots),
        Anchor::Jwt => jwt(end - 3, view, spots),
        Anchor::Pem => pem(end - 11, view, spots),
        Anchor::AwsKeyId => aws_key(end - 4, view, spots),
        Anchor::AwsSecretName => aws_secret_after(end, 24, view, spots),
        Anchor::Github => token(end - 4, end, Detector::Github, view, spots, alphanumeric, |t| {
            t.len() == 36 && validate::github(t)
        }),
        Anchor::GithubFine => token(end - 11, end, Detector::Github, view, spots, word, |t| t.len() == 82),
        Anchor::Slack => token(end - 5, end, Detector::Slack, view, spots, wordish, |t| {
            t.len() >= 10 && t.iter().any(u8::is_ascii_digit)
        }),
        Anchor::SlackHook => slack_hook(end, view, spots),
        Anchor::Stripe => token(end - 8, end, Detector::Stripe, view, spots, alphanumeric, |t| {
            (10..=TOKEN_BYTES_MAX).contains(&t.len()) && t.iter().any(u8::is_ascii_digit)
        }),
        Anchor::StripeHook => token(end - 6, end, Detector::Stripe, view, spots, base64_char, |t| {
            (24..=64).contains(&t.len()) && validate::mixed(t)
        }),
        Anchor::Google => token(end - 4, end, Detector::Google, view, spots, wordish, |t| t.len() == 35),
        Anchor::OpenAi => llm(end - 3, view, spots),
        Anchor::Groq => token(end - 4, end, Detector::OtherLlm, view, spots, alphanumeric, |t| t.len() == 52),
        Anchor::HuggingFace => {
            token(end - 3, end, Detector::HuggingFace, view, spots, alphanumeric, |t| t.len() == 34)
        }
        Anchor::Replicate => token(end - 3, end, Detector::OtherLlm, view, spots, alphanumeric, |t| {
            t.len() == 37 && validate::mixed(t) && view.bytes[end - 2] == b'8'
        }),
        Anchor::Xai => token(end - 4, end, Detector::OtherLlm, view, spots, alphanumeric, |t| t.len() == 80),
    };
    if view.asked.get() {
        spots.undecided(from);
    }
}

// Each recogniser below returns the earliest start that a finding of its anchor can have: what an open view must hold
// if the window was cut.

/// `local@domain`, or `scheme://user:password@host`, whose password alone is the value.
fn address(at: usize, view: &View<'_>, spots: &mut Spots) -> usize {
    if let Some(password) = url_password(at, view) {
        if view.at(at + 1).is_some_and(|b| !b.is_ascii_whitespace()) {
            spots.push(Detector::UrlPassword, password..at);
        }
        return password;
    }
    let local = view.run_back(at, EMAIL_LOCAL_BYTES_MAX, |b| {
        alphanumeric(b) || b"._%+-'&=/!#$*?^`{|}~".contains(&b) || b >= 0x80
    });
    let mut start = local;
    while start < at
        && !(alphanumeric(view.bytes[start]) || view.bytes[start] == b'_' || view.bytes[start] >= 0x80)
    {
        start += 1;
    }
    // What stands before a separator that nobody has in an address is context (`to=a@b.example`, `x/a@b.example`).
    if let Some(cut) = view.bytes[start..at].iter().rposition(|b| b"=/!#$*?^`{|}&".contains(b)) {
        start += cut + 1;
    }
    // So is what stands before a sign beyond ASCII, or bytes of no text.
    start += letter::behind_last_other(&view.bytes[start..at]);
    let Some(end) = domain(at + 1, view) else { return start };
    let local = &view.bytes[start..at];
    if local.is_empty() || local == b"git" {
        return start;
    }
    spots.push(Detector::Email, start..end);
    start
}

/// The end of the longest domain name at `from` whose last label can be a top-level domain, or begins with what can be one.
fn domain(from: usize, view: &View<'_>) -> Option<usize> {
    let run =
        view.run(from, EMAIL_DOMAIN_BYTES_MAX, |b| alphanumeric(b) || b == b'.' || b == b'-' || b >= 0x80);
    let mut end = from + letter::plain(view.bytes.get(from..run)?);
    loop {
        let text = view.bytes.get(from..end)?;
        let dot = text.iter().rposition(|&b| b == b'.')?;
        let (host, label) = (&text[..dot], &text[dot + 1..]);
        let punycode = label.len() > 4 && label[..4].eq_ignore_ascii_case(b"xn--");
        let top = if punycode { label } else { &label[..top(label)] };
        // Behind a version everything may stand.
        let plausible = (2..=24).contains(&top.len())
            && !FILE_SUFFIXES.iter().any(|s| top.eq_ignore_ascii_case(s))
            && (top.len() == label.len() || !is_version(host));
        if (plausible || punycode)
            && host.first().is_some_and(|&b| alphanumeric(b) || b >= 0x80)
            && !host.ends_with(b".")
        {
            return Some(from + dot + 1 + top.len());
        }
        end = from + dot;
    }
}

/// Endings of files that are written after `@2x` and the like, and are no top-level domains.
const FILE_SUFFIXES: [&[u8]; 10] =
    [b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"css", b"js", b"ts", b"json"];

/// How much of a label its first letters of one script are: what follows them without a space, as text or a date does, is none of it.
fn top(label: &[u8]) -> usize {
    let latin = letter::first(label).is_some_and(letter::is_latin);
    let mut at = 0;
    while let Some(next) = letter::first(&label[at..]) {
        let of_it = match next.is_ascii() {
            true => latin && next.is_ascii_alphabetic(),
            false => letter::is_letter(next) && letter::is_latin(next) == latin,
        };
        if !of_it {
            break;
        }
        at += next.len_utf8();
    }
    at
}

/// `1.2`, or what goes on so: two numbers begin no host's name.
fn is_version(host: &[u8]) -> bool {
    let mut labels = host.split(|&b| b == b'.');
    let mut number = || labels.next().is_some_and(|l| l.first().is_some_and(u8::is_ascii_digit));
    number() && number()
}

/// The start of the password that ends at `at`, if `scheme://user:` stands before it.
fn url_password(at: usize, view: &View<'_>) -> Option<usize> {
    let mut ats = 0;
    let info = view.run_back(at, URL_USERINFO_BYTES_MAX, |b| {
        ats += usize::from(b == b'@');
        b > b' ' && b != 0x7f && !b"/\"'<>`\\".contains(&b) && ats <= 2
    });
    let colon = info + view.bytes[info..at].iter().position(|&b| b == b':')?;
    let scheme_end = info.checked_sub(3).filter(|&s| &view.bytes[s..info] == b"://")?;
    let scheme = view.run_back(scheme_end, URL_SCHEME_BYTES_MAX, |b| alphanumeric(b) || b"+.-".contains(&b));
    let password = &view.bytes[colon + 1..at];
    let stands_for_one = password.iter().all(|&b| b == b'*')
        || password.starts_with(b"${") && password.ends_with(b"}")
        || password.starts_with(b"[") && password.ends_with(b"]") && !password.contains(&b':');
    (scheme < scheme_end && !password.is_empty() && !stands_for_one).then_some(colon + 1)
}

fn phone(plus: usize, view: &View<'_>, spots: &mut Spots) -> usize {
    if view.joined(plus, |b| alphanumeric(b) || b")]+_".contains(&b)) {
        return plus;
    }
    let mut digits = [0u8; 16];
    let (mut n, mut i, mut end) = (0, plus + 1, plus + 1);
    // Digits with at most two separators between them: `+1 (415) 555-0100`.
    while n < digits.len() {
        let next = view.run(i, 2, |b| b" -.()/".contains(&b));
        match view.at(next) {
            Some(b) if b.is_ascii_digit() => {
                digits[n] = b;
                (n, i, end) = (n + 1, next + 1, next + 1);
            }
            _ => break,
        }
    }
    if validate::e164(&digits[..n]) && !view.at(end).is_some_and(word) {
        spots.push(Detector::Phone, plus..end);
    }
    plus
}

fn ssn(end: usize, view: &View<'_>, spots: &mut Spots) -> usize {
    let area =
        end.checked_sub(11).filter(|&start| view.bytes[start..start + 3].iter().all(u8::is_ascii_digit));
    let Some(start) = area else { return end };
    let b = &view.bytes[start..start + 11];
    let joined = view.joined(start, |b| word(b) || b == b'-' || b == b'.' || b == b'+');
    let clear_before = !joined || view.named_before(start);
    let after = view.at(start + 11);
    let decimals = after == Some(b'.') && view.at(start + 12).is_some_and(|b| b.is_ascii_digit());
    let goes_on = view.goes_on(start + 11, wordish) && !view.named_behind(start + 11);
    let clear_after = !decimals && !goes_on;
    if clear_before && clear_after && validate::ssn(&b[..3], &b[4..6], &b[7..]) {
        spots.push(Detector::Ssn, start..start + 11);
    }
    start
}

/// A card's number ends with a group of digits before `anchor_end`: contiguous, or in the groups that are printed.
fn card(anchor_end: usize, view: &View<'_>, spots: &mut Spots) -> usize {
    let digit = |b: u8| b.is_ascii_digit();
    let end = if view.bytes[anchor_end - 1].is_ascii_digit() { anchor_end } else { anchor_end - 1 };
    let last = view.run_back(end, 20, digit);
    let start = if end - last >= 14 { Some(last) } else { printed_groups(end, last, view) };
    let Some(start) = start else { return end };
    let after = view.at(end);
    let continues = after.is_some_and(word) && !view.named_behind(end)
        || after == Some(b'.') && view.at(end + 1).is_some_and(|b| b.is_ascii_digit());
    let decimals = view.before(start) == Some(b'.') && start >= 2 && view.bytes[start - 2].is_ascii_digit();
    if continues || decimals || view.before(start).is_some_and(word) && !view.named_before(start) {
        return start;
    }
    let mut digits = [0u8; 24];
    let mut n = 0;
    for &b in view.bytes[start..end].iter().filter(|b| b.is_ascii_digit()).take(digits.len()) {
        digits[n] = b;
        n += 1;
    }
    if (14..=19).contains(&n) && validate::issued(&digits[..n]) && validate::luhn(&digits[..n]) {
        spots.push(Detector::Card, start..end);
    }
    start
}

/// The start of a number printed as 4-4-4-4, 4-4-4-4-3, 4-6-5 or 4-6-4 with one kind of separator.
fn printed_groups(end: usize, last: usize, view: &View<'_>) -> Option<usize> {
    let separator = view.before(last)?;
    let mut lengths = vec![end - last];
    let mut start = last;
    while lengths.len() < 5 && view.before(start) == Some(separator) {
        let group = view.run_back(start - 1, 7, |b| b.is_ascii_digit());
        if group == start - 1 {
            break;
        }
        lengths.push(start - 1 - group);
        start = group;
        if matches!(lengths[..], [4, 4, 4, 4] | [3, 4, 4, 4, 4] | [5, 6, 4] | [4, 6, 4]) {
            return Some(start);
        }
    }
    None
}

fn iban(start: usize, view: &View<'_>, spots: &mut Spots) -> usize {
    let Some(length) = validate::iban_length(&view.bytes[start..start + 2]) else { return start };
    if view.before(start).is_some_and(alphanumeric) {
        return start;
    }
    let mut compact = [0u8; 34];
    let (mut n, mut i) = (0, start);
    while n < length {
        match view.at(i) {
            Some(b) if b.is_ascii_digit() || b.is_ascii_uppercase() => {
                compact[n] = b;
                n += 1;
            }
            Some(b' ' | b'-') if n > 0 && n.is_multiple_of(4) && view.before(i).is_some_and(alphanumeric) => {
            }
            _ => return start,
        }
        i += 1;
    }
    if !view.at(i).is_some_and(alphanumeric) && validate::iban(&compact[..n]) {
        spots.push(Detector::Iban, start..i);
    }
    start
}

fn jwt(start: usize, view: &View<'_>, spots: &mut Spots) -> usize {
    if view.joined(start, |b| wordish(b) || b == b'.') {
        return start;
    }
    let header = view.run(start, JWT_SEGMENT_BYTES_MAX, wordish);
    if header - start < 12 || view.at(header) != Some(b'.') {
        return start;
    }
    let mut end = header;
    let mut segments = 1;
    while segments < JWT_SEGMENTS_MAX && view.at(end) == Some(b'.') {
        end = view.run(end + 1, JWT_SEGMENT_BYTES_MAX, wordish);
        segments += 1;
    }
    // Three segments, or two of which the second has something in it (a dot may be the sentence's).
    let enough = segments >= 3 || end > header + 1;
    if enough && validate::jwt_header(&view.bytes[start..header]) {
        spots.push(Detector::Jwt, start..end);
    }
    start
}

/// A private key's block, whole or cut off: the header is enough.
fn pem(start: usize, view: &View<'_>, spots: &mut Spots) -> usize {
    let label = start + 11;
    let label_end =
        view.run(label, PEM_LABEL_BYTES_MAX, |b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ');
    let private = view
        .bytes
        .get(label..label_end)
        .is_some_and(|l| l.ends_with(b"PRIVATE KEY") || l.ends_with(b"PRIVATE KEY BLOCK"));
    if !private || !view.starts_with(label_end, b"-----") {
        return start;
    }
    let body = label_end + 5;
    // Base64, white space, also escaped, and the headers of encrypted keys (`Proc-Type: 4,ENCRYPTED`).
    let mut end = view.run(body, PEM_BODY_BYTES_MAX, |b| {
        base64_char(b) || b.is_ascii_whitespace() || b"\\:,.()".contains(&b)
    });
    while view.at(end) == Some(b'-') && !view.starts_with(end, b"-----") && end - body < PEM_BODY_BYTES_MAX {
        end = view.run(end + 1, PEM_BODY_BYTES_MAX, |b| {
            base64_char(b) || b.is_ascii_whitespace() || b"\\:,.()".contains(&b)
        });
    }
    if view.starts_with(end, b"-----END ") {
        let foot = view
            .run(end + 9, PEM_LABEL_BYTES_MAX, |b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ');
        end = if view.starts_with(foot, b"-----") { foot + 5 } else { foot };
    }
    spots.push(Detector::PrivateKey, start..end);
    start
}

fn aws_key(start: usize, view: &View<'_>, spots: &mut Spots) -> usize {
    let base32 = |b: u8| b.is_ascii_uppercase() || matches!(b, b'2'..=b'7');
    if view.before(start).is_some_and(alphanumeric)
        || view.bytes[start + 2] == b'T' && view.bytes[start + 1] != b'3'
    {
        return start;
    }
    let end = view.run(start + 4, 17, base32);
    // Before the id: in its own line only, which is what an open view holds.
    let line = view.run_back(start, NEAR_BYTES_MAX, |b| b != b'\n');
    if end != start + 20 || view.at(end).is_some_and(alphanumeric) {
        return line;
    }
    spots.push(Detector::AwsKeyId, start..end);
    aws_secret_after(end, NEAR_BYTES_MAX, view, spots);
    let mut i = line;
    while i < start {
        i = aws_secret_at(i, start, view, spots).max(i + 1);
    }
    line
}

/// Looks for a secret that begins at most `near` bytes after `from`.
fn aws_secret_after(from: usize, near: usize, view: &View<'_>, spots: &mut Spots) -> usize {
    let mut i = from;
    while i < from + near && view.at(i).is_some() {
        i = aws_secret_at(i, from + near + 41, view, spots).max(i + 1);
    }
    from
}

/// A run of exactly forty characters of base64 from `i`, drawn and not spelled. Returns the end of the run.
fn aws_secret_at(i: usize, limit: usize, view: &View<'_>, spots: &mut Spots) -> usize {
    let secret = |b: u8| alphanumeric(b) || b == b'/' || b == b'+';
    let i = if view.at(i) == Some(b'+') && view.marks(i) { i + 1 } else { i };
    let end = view.run(i, limit.saturating_sub(i).min(64), secret);
    let clear = !view.joined(i, secret) && !view.at(end).is_some_and(|b| secret(b) || b == b'=');
    if end - i == 40
        && clear
        && validate::mixed(&view.bytes[i..end])
        && validate::entropy(&view.bytes[i..end]) >= 4.0
    {
        spots.push(Detector::AwsSecret, i..end);
    }
    end
}

fn slack_hook(anchor_end: usize, view: &View<'_>, spots: &mut Spots) -> usize {
    let window = anchor_end.saturating_sub(40);
    let Some(start) =
        view.bytes[window..anchor_end].windows(6).rposition(|w| w == b"hooks.").map(|i| window + i)
    else {
        return anchor_end;
    };
    let end = view.run(anchor_end, TOKEN_BYTES_MAX, |b| wordish(b) || b == b'/');
    if view.bytes[anchor_end..end].iter().filter(|&&b| b == b'/').count() >= 2 {
        spots.push(Detector::Slack, start..end);
    }
    start
}

fn llm(start: usize, view: &View<'_>, spots: &mut Spots) -> usize {
    let body = start + 3;
    if view.joined(start, wordish) {
        return start;
    }
    let end = view.run(body, TOKEN_BYTES_MAX, wordish);
    let key = &view.bytes[body..end];
    let long = |prefix: &[u8], n: usize| {
        key.starts_with(prefix) && key.len() >= prefix.len() + n && validate::mixed(key)
    };
    if long(b"ant-", 40) {
        spots.push(Detector::Anthropic, start..end);
    } else if long(b"proj-", 40) || long(b"svcacct-", 40) || long(b"admin-", 40) || long(b"None-", 40) {
        spots.push(Detector::OpenAi, start..end);
    } else if long(b"or-v1-", 40) {
        spots.push(Detector::OtherLlm, start..end);
    } else if key.len() >= 32 && key.iter().all(u8::is_ascii_alphanumeric) && validate::mixed(key) {
        spots.push(Detector::OpenAi, start..end);
    }
    start
}

/// Keys as many services write them: words in small letters, `_`, and a drawn rest (`ck_live_9fQ2...`). Identifiers look alike,
/// and a client of an API has to hear those: for [`super::Detectors::of_programs`] alone.
pub(super) fn keys(view: &View<'_>, spots: &mut Spots) {
    for underscore in memchr::memchr_iter(b'_', view.bytes) {
        view.asked.set(false);
        let from = key(underscore, view, spots);
        if view.asked.get() {
            spots.undecided(from);
        }
    }
}

fn key(underscore: usize, view: &View<'_>, spots: &mut Spots) -> usize {
    let small = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let start = view.run_back(underscore, KEY_PREFIX_BYTES_MAX, small);
    // In the middle of base64url, or of a path, it says nothing.
    let clear = !view.joined(start, |b| wordish(b) || base64_char(b) && b != b'=');
    // A colour before it ends with digits and a letter.
    let letter = view.bytes[start..underscore].iter().position(u8::is_ascii_lowercase);
    let Some(start) = letter.map(|skipped| start + skipped).filter(|from| clear && underscore - from >= 2)
    else {
        return start;
    };
    let end = view.run(underscore + 1, TOKEN_BYTES_MAX, alphanumeric);
    if !view.goes_on(end, wordish) && validate::drawn(&view.bytes[underscore + 1..end]) {
        spots.push(Detector::Key, start..end);
    }
    start
}

/// A token with a prefix `start..body`, and behind it a run of `wanted` that satisfies `check`.
fn token(
    start: usize,
    body: usize,
    detector: Detector,
    view: &View<'_>,
    spots: &mut Spots,
    wanted: impl Fn(u8) -> bool,
    check: impl Fn(&[u8]) -> bool,
) -> usize {
    if view.before(start).is_some_and(word) {
        return start;
    }
    let end = view.run(body, TOKEN_BYTES_MAX, wanted);
    if !view.at(end).is_some_and(word) && check(&view.bytes[body..end]) {
        spots.push(detector, start..end);
    }
    start
}

fn alphanumeric(b: u8) -> bool {
    b.is_ascii_alphanumeric()
}

fn word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

/// The alphabet of base64url, and of most tokens.
fn wordish(b: u8) -> bool {
    word(b) || b == b'-'
}

fn base64_char(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'+' || b == b'/' || b == b'='
}
