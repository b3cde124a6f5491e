//! Fingerprints of values: equal values have equal prints, and without the key a print says nothing.

use std::fmt;
use std::ops::RangeInclusive;

use ring::hmac;
use vocab::Class;

/// HMAC-SHA-256 of a normalised value and its class, cut to 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Print(pub [u8; 16]);

impl fmt::Debug for Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// Makes prints under the key of one epoch.
pub struct Prints {
    key: hmac::Key,
}

impl Prints {
    pub fn new(key: &[u8; 32]) -> Prints {
        Prints { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// The print of `value` as a value of `class`: of its [`normal`] form.
    pub fn of(&self, class: &Class, value: &[u8]) -> Print {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"tacho print v1\0");
        context.update(class.as_str().as_bytes());
        context.update(b"\0");
        context.update(&normal(class, value));
        let mut print = [0; 16];
        print.copy_from_slice(&context.sign().as_ref()[..16]);
        Print(print)
    }
}

impl fmt::Debug for Prints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prints(key withheld)")
    }
}

/// The form in which values of a class are compared: cards and SSNs by their digits, IBANs without spaces in upper case,
/// phones by `+` and digits, if there are as many as the kind has; e-mail in lower case. What is no such value is compared as it is;
/// everything trimmed of ASCII white space.
pub(crate) fn normal(class: &Class, value: &[u8]) -> Vec<u8> {
    let value = value.trim_ascii();
    let digits = || value.iter().copied().filter(u8::is_ascii_digit).collect::<Vec<u8>>();
    let alphanumeric = |b: &&u8| b.is_ascii_alphanumeric();
    let (form, length, lengths) = match class.as_str() {
        "pii.card" => (digits(), digits().len(), CARD_DIGITS),
        "pii.ssn" => (digits(), digits().len(), SSN_DIGITS),
        "pii.phone" => {
            let number = value.iter().copied().filter(|&b| b.is_ascii_digit() || b == b'+').collect();
            (number, digits().len(), PHONE_DIGITS)
        }
        "pii.iban" => {
            let all: Vec<u8> = value.iter().filter(alphanumeric).map(u8::to_ascii_uppercase).collect();
            (all.clone(), all.len(), IBAN_CHARACTERS)
        }
        "pii.email" => return value.to_ascii_lowercase(),
        _ => return value.to_vec(),
    };
    if lengths.contains(&length) { form } else { value.to_vec() }
}

/// Digits of a card's number (ISO/IEC 7812).
const CARD_DIGITS: RangeInclusive<usize> = 12..=19;
const SSN_DIGITS: RangeInclusive<usize> = 9..=9;
/// Digits of a phone's number, from those of a town to the longest of E.164.
const PHONE_DIGITS: RangeInclusive<usize> = 6..=15;
/// Characters of an IBAN (ISO 13616): Norway's has fewest.
const IBAN_CHARACTERS: RangeInclusive<usize> = 15..=34;

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> Class {
        Class::new(text).unwrap()
    }

    #[test]
    fn one_value_written_differently_has_one_print() {
        let prints = Prints::new(&[7; 32]);
        let same = [
            ("pii.ssn", "123-45-6789", " 123456789\n"),
            ("pii.card", "4111 1111 1111 1111", "4111-1111-1111-1111"),
            ("pii.email", "Jo@Example.COM", "jo@example.com"),
            ("pii.iban", "DE89 3704 0044 0532 0130 00", "de89370400440532013000"),
            ("pii.phone", "+1 (415) 555-0100", "+14155550100"),
            ("secret.other", " tok ", "tok"),
        ];
        for (name, a, b) in same {
            assert_eq!(
                prints.of(&class(name), a.as_bytes()),
                prints.of(&class(name), b.as_bytes()),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_no_value_of_its_kind_is_compared_as_it_is() {
        for name in ["pii.ssn", "pii.card", "pii.phone", "pii.iban"] {
            let class = class(name);
            let all: Vec<Vec<u8>> = ["n/a", "none", "\u{2014}", "flat 12", "12 cats", "12", "NA", "1-2"]
                .into_iter()
                .map(|value| normal(&class, value.as_bytes()))
                .collect();
            let some: std::collections::BTreeSet<&[u8]> = all.iter().map(Vec::as_slice).collect();
            assert_eq!(some.len(), all.len(), "{name}");
            assert!(!some.contains(&b""[..]), "{name}");
        }
        assert_eq!(normal(&class("pii.ssn"), b" n/a "), b"n/a");
        assert_eq!(normal(&class("pii.ssn"), b"12345678"), b"12345678");
        assert_eq!(normal(&class("pii.card"), b"SSN 123-45-6789"), b"SSN 123-45-6789");
    }

    #[test]
    fn the_class_the_key_and_the_case_of_a_secret_matter() {
        let (one, two) = (Prints::new(&[1; 32]), Prints::new(&[2; 32]));
        let (ssn, card) = (class("pii.ssn"), class("pii.card"));
        assert_ne!(one.of(&ssn, b"123456789"), one.of(&card, b"123456789"));
        assert_ne!(one.of(&ssn, b"123456789"), two.of(&ssn, b"123456789"));
        assert_ne!(one.of(&class("secret.x"), b"Abc"), one.of(&class("secret.x"), b"abc"));
    }

    #[test]
    fn a_print_is_the_hmac_that_a_third_party_computes() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        let whole = hmac::sign(&key, b"tacho print v1\0pii.ssn\x00123456789");
        assert_eq!(Prints::new(&[7; 32]).of(&class("pii.ssn"), b"123-45-6789").0, whole.as_ref()[..16]);
    }
}
