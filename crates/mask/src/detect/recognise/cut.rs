//! What a text ends with that was cut off in the middle of a value.
//!
//! Who chooses where a program's output ends gets all of a value but its last character, and no detector knows that. What is said here
//! to be one has **surely begun**: what honest programs end with (counts, dates, a host with its port, `user@host`) is not. So the rules
//! are narrower than those of whole values: an address is none before its domain is one, nor a number in groups of four before the last of
//! them has begun.

use super::*;

/// Digits of a card in one piece, with nothing right before them. With fewer, counts, sizes and the ends of UUIDs look alike.
const CARD_DIGITS_MIN: usize = 13;
/// The same in groups with dashes between them: the third has begun.
const DASHED_DIGITS_MIN: usize = 9;
/// With spaces: the fourth has. Numbers in a line look alike before.
const SPACED_DIGITS_MIN: usize = 13;
/// Characters of an IBAN. What taxes are paid by begins like one, and has fourteen at most.
const IBAN_BYTES_MIN: usize = 15;
/// Digits of a phone number of a country where it has eleven.
const PHONE_DIGITS_MIN: usize = 8;
/// Characters of a token behind what says whose it is, and of a password.
const SECRET_BYTES_MIN: usize = 8;

/// Whose value it is, and where it begins. Whole ones are none: findings know of those.
pub(in super::super) fn cut(view: &View<'_>) -> Option<(Detector, usize)> {
    let end = view.bytes.len();
    [
        card(end, view),
        ssn(end, view),
        iban(end, view),
        phone(end, view),
        token(end, view),
        password(end, view),
    ]
    .into_iter()
    .flatten()
    .min_by_key(|(_, start)| *start)
}

fn card(end: usize, view: &View<'_>) -> Option<(Detector, usize)> {
    let last = view.run_back(end, 20, |b| b.is_ascii_digit());
    let decimals = |start: usize| {
        view.before(start) == Some(b'.') && start >= 2 && view.bytes[start - 2].is_ascii_digit()
    };
    let clear = |start: usize| !view.before(start).is_some_and(word) || view.named_before(start);
    let alone = |start: usize| !view.before(start).is_some_and(|b| word(b) || b"-./+%".contains(&b));
    let start = match end - last {
        0 => None,
        CARD_DIGITS_MIN.. => Some(last).filter(|&start| alone(start) && is_begun(&view.bytes[start..end])),
        _ => groups(end, last, view)
            .into_iter()
            .rev()
            .find(|&start| !decimals(start) && clear(start) && is_begun(&view.bytes[start..end])),
    }?;
    Some((Detector::Card, start))
}

/// Where numbers begin that end with the group at `last` as cards have it: nearest first.
fn groups(end: usize, last: usize, view: &View<'_>) -> Vec<usize> {
    let Some(separator @ (b' ' | b'-')) = view.before(last) else { return Vec::new() };
    let (mut lengths, mut start, mut starts) = (vec![end - last], last, Vec::new());
    while lengths.len() < 4 && view.before(start) == Some(separator) {
        let group = view.run_back(start - 1, 7, |b| b.is_ascii_digit());
        lengths.push(start - 1 - group);
        start = group;
        let digits: usize = lengths.iter().sum();
        let as_printed = match lengths[..] {
            [1..=4, 4, 4] | [1..=3, 4, 4, 4] => {
                digits >= if separator == b'-' { DASHED_DIGITS_MIN } else { SPACED_DIGITS_MIN }
            }
            [1..=4, 6, 4] => true,
            _ => false,
        };
        if as_printed {
            starts.push(start);
        }
    }
    starts
}

/// Whether an issuer gives out numbers that begin so and are longer.
fn is_begun(number: &[u8]) -> bool {
    let mut digits = [b'0'; 19];
    let mut n = 0;
    for &b in number.iter().filter(|b| b.is_ascii_digit()).take(digits.len()) {
        digits[n] = b;
        n += 1;
    }
    (n + 1..=19).any(|length| validate::issued(&digits[..length]))
}

/// With dashes: three numbers in a line look like one with spaces.
fn ssn(end: usize, view: &View<'_>) -> Option<(Detector, usize)> {
    let last = view.run_back(end, 4, |b| b.is_ascii_digit());
    let start = last.checked_sub(7).filter(|_| (1..=3).contains(&(end - last)))?;
    let [a, b, c, b'-', d, e, b'-'] = view.bytes[start..last] else { return None };
    let digits = [a, b, c, d, e].iter().all(u8::is_ascii_digit);
    let joined = view.joined(start, |b| word(b) || matches!(b, b'-' | b'.' | b'+'));
    let clear = !joined || view.named_before(start);
    (digits && clear && validate::ssn(&[a, b, c], &[d, e], b"1111")).then_some((Detector::Ssn, start))
}

fn iban(end: usize, view: &View<'_>) -> Option<(Detector, usize)> {
    // 34 characters, and a separator behind every fourth.
    let from = end.saturating_sub(34 + 8);
    let begins = |start: usize| {
        let [a, b, c, d] = *view.bytes.get(start..start + 4)? else { return None };
        let length = validate::iban_length(&[a, b])?;
        let checked = c.is_ascii_digit() && d.is_ascii_digit();
        let clear = !view.before(start).is_some_and(alphanumeric);
        let mut n = 0;
        for &byte in &view.bytes[start..end] {
            match byte {
                b'0'..=b'9' | b'A'..=b'Z' => n += 1,
                b' ' | b'-' if n > 0 && n % 4 == 0 => {}
                _ => return None,
            }
        }
        (checked && clear && (IBAN_BYTES_MIN..length).contains(&n)).then_some((Detector::Iban, start))
    };
    (from..end).find_map(begins)
}

/// Where numbers may have several lengths, a shorter one is whole.
fn phone(end: usize, view: &View<'_>) -> Option<(Detector, usize)> {
    let of_number = |b: u8| b.is_ascii_digit() || b" -.()/".contains(&b);
    let start = view.run_back(end, 24, of_number).checked_sub(1).filter(|&plus| view.bytes[plus] == b'+')?;
    let mut digits = [b'5'; 11];
    let mut n = 0;
    for &b in view.bytes[start..end].iter().filter(|b| b.is_ascii_digit()).take(digits.len()) {
        digits[n] = b;
        n += 1;
    }
    let joined = view.joined(start, |b| alphanumeric(b) || b")]+_".contains(&b));
    let begun = (PHONE_DIGITS_MIN..digits.len()).contains(&n) && validate::e164(&digits);
    (begun && !joined && view.bytes.last().is_some_and(u8::is_ascii_digit))
        .then_some((Detector::Phone, start))
}

/// What tokens begin with, and how many characters are behind that: fewer are there.
const TOKENS: [(&[u8], Detector, usize); 18] = [
    (b"ghp_", Detector::Github, 36),
    (b"gho_", Detector::Github, 36),
    (b"ghu_", Detector::Github, 36),
    (b"ghs_", Detector::Github, 36),
    (b"ghr_", Detector::Github, 36),
    (b"github_pat_", Detector::Github, 82),
    (b"whsec_", Detector::Stripe, 24),
    (b"AIza", Detector::Google, 35),
    (b"gsk_", Detector::OtherLlm, 52),
    (b"hf_", Detector::HuggingFace, 34),
    (b"r8_", Detector::OtherLlm, 37),
    (b"xai-", Detector::OtherLlm, 80),
    (b"sk-ant-", Detector::Anthropic, 40),
    (b"sk-proj-", Detector::OpenAi, 40),
    (b"sk-svcacct-", Detector::OpenAi, 40),
    (b"sk-or-v1-", Detector::OtherLlm, 40),
    (b"AKIA", Detector::AwsKeyId, 16),
    (b"ASIA", Detector::AwsKeyId, 16),
];

fn token(end: usize, view: &View<'_>) -> Option<(Detector, usize)> {
    let from = view.run_back(end, 96, wordish);
    let begins = |(prefix, detector, length): &(&[u8], Detector, usize)| {
        let text = &view.bytes[from..end];
        let start = from + text.windows(prefix.len()).position(|window| window == *prefix)?;
        let rest = &view.bytes[start + prefix.len()..end];
        let drawn = match detector {
            Detector::AwsKeyId => rest.iter().all(|b| b.is_ascii_uppercase() || matches!(b, b'2'..=b'7')),
            _ => validate::mixed(rest),
        };
        let some = (SECRET_BYTES_MIN..*length).contains(&rest.len());
        (drawn && some && !view.before(start).is_some_and(word)).then_some((*detector, start))
    };
    TOKENS.iter().filter_map(begins).min_by_key(|(_, start)| *start)
}

/// Schemes of URLs in which a colon stands before a port or a password, and before nothing else.
const SCHEMES: [&[u8]; 20] = [
    b"postgres",
    b"postgresql",
    b"mysql",
    b"mariadb",
    b"mssql",
    b"mongodb",
    b"mongodb+srv",
    b"redis",
    b"rediss",
    b"clickhouse",
    b"amqp",
    b"amqps",
    b"nats",
    b"http",
    b"https",
    b"ftp",
    b"ftps",
    b"sftp",
    b"smtp",
    b"smtps",
];

fn password(end: usize, view: &View<'_>) -> Option<(Detector, usize)> {
    let info =
        view.run_back(end, URL_USERINFO_BYTES_MAX, |b| b > b' ' && b != 0x7f && !b"/\"'<>`\\@".contains(&b));
    let colon = info + view.bytes[info..end].iter().position(|&b| b == b':')?;
    let scheme_end = info.checked_sub(3).filter(|&at| &view.bytes[at..info] == b"://")?;
    let scheme = view.run_back(scheme_end, URL_SCHEME_BYTES_MAX, |b| alphanumeric(b) || b"+.-".contains(&b));
    let password = &view.bytes[colon + 1..end];
    let known = SCHEMES.iter().any(|known| view.bytes[scheme..scheme_end].eq_ignore_ascii_case(known));
    // A port, and what stands behind one; a variable, stars.
    let port = password.iter().take_while(|b| b.is_ascii_digit()).count();
    let no_port = port == 0 || password.get(port).is_some_and(u8::is_ascii_alphanumeric);
    let drawn =
        password.iter().any(u8::is_ascii_alphanumeric) && !matches!(password.first(), Some(b'$' | b'['));
    (known && no_port && drawn && password.len() >= SECRET_BYTES_MIN)
        .then_some((Detector::UrlPassword, colon + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `text` ends with, and what is left before it.
    fn check(text: &str, expect: Option<&str>) {
        let found = cut(&View::whole(text.as_bytes()));
        assert_eq!(found.map(|(_, start)| &text[start..]), expect, "{text:?}");
    }

    #[test]
    fn what_has_surely_begun_is_known() {
        for (text, begun) in [
            ("card 411111111111111", "411111111111111"),
            ("4111111111111", "4111111111111"),
            ("Visa4111-1111-1", "4111-1111-1"),
            ("4111 1111 1111 1", "4111 1111 1111 1"),
            ("1\n3782 822463 1", "3782 822463 1"),
            ("ssn 536-22-839", "536-22-839"),
            ("ssn:536-22-8", "536-22-8"),
            ("DE893704004405320", "DE893704004405320"),
            ("to DE89 3704 0044 0532 01", "DE89 3704 0044 0532 01"),
            ("+1 (415) 555-010", "+1 (415) 555-010"),
            ("T=ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq1", "ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq1"),
            ("AKIAIOSFODNN7EXAMPL", "AKIAIOSFODNN7EXAMPL"),
            ("sk-ant-api03-Ab3d", "sk-ant-api03-Ab3d"),
            ("postgres://app:s3cret-passwor", "s3cret-passwor"),
        ] {
            check(text, Some(begun));
        }
    }

    #[test]
    fn what_honest_programs_end_with_has_not() {
        for text in [
            "",
            "12345678",
            "41234567",
            "411111111111",
            "550e8400-e29b-41d4-a716-446655440000",
            "img_4111111111111",
            "1700000000000",
            "1700000000000000000",
            "4096 2048 1024",
            "4096 2048 1024 512 ",
            "255 12 128",
            "2026-03-01",
            "2026-11-28T14",
            "1.411111111111",
            "x86411111111111111",
            "192-168-10",
            "536-22-",
            "000-12-3",
            "root@host",
            "user@host.example:~$ ",
            "FR12345678901",
            "NL123456789B01",
            "+0200",
            "+12345",
            "ghp_",
            "hf_tokenizer_of_words",
            "http://127.0.0.1:8080",
            "http://localhost:8080?q=1234567",
            "docker://alpine:3.18-slim-bookworm",
            "https://host/path:12345678abc",
            "d41d8cd98f00b204e9800998ecf8427e",
            "{\"id\":41111111111111}",
            "4111 1111 1111 ",
        ] {
            check(text, None);
        }
    }
}
