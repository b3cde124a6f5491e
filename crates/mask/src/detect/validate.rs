//! What makes a candidate a value: checksums, issuers, lengths.

/// Luhn's check (ISO/IEC 7812-1, annex B) over ASCII digits.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| match (i % 2, u32::from(d - b'0')) {
            (0, d) => d,
            (_, d) if d > 4 => 2 * d - 9,
            (_, d) => 2 * d,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether an issuer gives out numbers with this beginning and length. `digits` are 14 to 19 ASCII digits.
pub(super) fn issued(digits: &[u8]) -> bool {
    let head = |n: usize| digits[..n].iter().fold(0u32, |v, d| v * 10 + u32::from(d - b'0'));
    let (one, two, three, four) = (head(1), head(2), head(3), head(4));
    match digits.len() {
        14 => matches!(three, 300..=305) || two == 36 || matches!(two, 38 | 39),
        15 => matches!(two, 34 | 37),
        16 => {
            one == 4
                || matches!(two, 51..=55)
                || matches!(four, 2221..=2720)
                || four == 6011
                || matches!(three, 644..=649)
                || two == 65
                || matches!(four, 3528..=3589)
                || two == 62
                || matches!(four, 2200..=2204)
        }
        17 | 18 => two == 62,
        19 => two == 62 || one == 4 && four != 4000,
        _ => false,
    }
}

/// Whether a dashed number can be an SSN: area not 000, 666 or 9xx, group not 00, serial not 0000, and not the one that a
/// wallet maker printed.
pub(super) fn ssn(area: &[u8], group: &[u8], serial: &[u8]) -> bool {
    area != b"000"
        && area != b"666"
        && area.first() != Some(&b'9')
        && group != b"00"
        && serial != b"0000"
        && (area, group, serial) != (b"078", b"05", b"1120")
}

/// Length of a country's IBAN (SWIFT's registry, release 99).
pub(super) fn iban_length(country: &[u8]) -> Option<usize> {
    Some(match country {
        b"NO" => 15,
        b"BE" => 16,
        b"DK" | b"FI" | b"FO" | b"GL" | b"NL" | b"SD" => 18,
        b"FK" => 18,
        b"MK" | b"SI" => 19,
        b"AT" | b"BA" | b"EE" | b"KZ" | b"LT" | b"LU" | b"MN" | b"XK" => 20,
        b"CH" | b"CR" | b"HR" | b"LI" | b"LV" => 21,
        b"BG" | b"BH" | b"DE" | b"GB" | b"GE" | b"IE" | b"ME" | b"RS" | b"VA" => 22,
        b"AE" | b"GI" | b"IL" | b"IQ" | b"OM" | b"SO" | b"TL" => 23,
        b"AD" | b"CZ" | b"ES" | b"MD" | b"PK" | b"RO" | b"SA" | b"SE" | b"SK" | b"TN" | b"VG" => 24,
        b"LY" | b"PT" | b"ST" => 25,
        b"IS" | b"TR" => 26,
        b"BI" | b"DJ" | b"FR" | b"GR" | b"IT" | b"MC" | b"MR" | b"SM" => 27,
        b"AL" | b"AZ" | b"BY" | b"CY" | b"DO" | b"GT" | b"HN" | b"HU" | b"LB" | b"NI" | b"PL" | b"SV" => 28,
        b"BR" | b"EG" | b"PS" | b"QA" | b"UA" => 29,
        b"JO" | b"KW" | b"MU" | b"YE" => 30,
        b"MT" | b"SC" => 31,
        b"LC" => 32,
        b"RU" => 33,
        _ => return None,
    })
}

/// ISO 13616: the number without spaces, its first four characters last, letters as two digits, is 1 modulo 97.
pub(super) fn iban(compact: &[u8]) -> bool {
    let Some((head, rest)) = compact.split_at_checked(4) else { return false };
    let remainder = rest.iter().chain(head).try_fold(0u32, |r, &b| match b {
        b'0'..=b'9' => Some((r * 10 + u32::from(b - b'0')) % 97),
        b'A'..=b'Z' => Some((r * 100 + u32::from(b - b'A') + 10) % 97),
        _ => None,
    });
    remainder == Some(1)
}

/// Whether a country code of the ITU's E.164 begins these digits (without the `+`), and the rest has a plausible
/// length.
pub(super) fn e164(digits: &[u8]) -> bool {
    let head = |n: usize| digits[..n].iter().fold(0u32, |v, d| v * 10 + u32::from(d - b'0'));
    if !(8..=15).contains(&digits.len()) {
        return false;
    }
    match head(2) {
        // North America: eleven digits, area and exchange begin with 2 to 9.
        10..=19 => digits.len() == 11 && digits[1] >= b'2' && digits[4] >= b'2',
        // Russia and Kazakhstan.
        70..=79 => digits.len() == 11 && digits[1] >= b'3',
        20 | 27 | 28 | 30..=34 | 36 | 39 | 40 | 41 | 43..=49 | 51..=58 | 60..=66 => true,
        81 | 82 | 84 | 86 | 90..=95 | 98 => true,
        21 => matches!(head(3), 211..=213 | 216 | 218),
        22..=26 => head(3) != 259,
        29 => matches!(head(3), 290 | 291 | 297..=299),
        35 | 37 | 38 | 42 => {
            matches!(head(3), 350..=359 | 370..=378 | 380..=383 | 385..=387 | 389 | 420 | 421 | 423)
        }
        50 | 59 => true,
        67..=69 => !matches!(head(3), 671 | 684 | 693..=699),
        80 | 85 | 87 | 88 => {
            matches!(head(3), 800 | 808 | 850 | 852 | 853 | 855 | 856 | 870 | 878 | 880..=883 | 886 | 888)
        }
        96 => !matches!(head(3), 969),
        97 | 99 => matches!(head(3), 970..=977 | 979 | 992..=996 | 998),
        _ => false,
    }
}

/// CRC-32 (IEEE 802.3), bit by bit: it runs over 30 bytes of a candidate that has everything else right.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xEDB8_8320 } else { c >> 1 })
    })
}

/// Whether the last six characters of a GitHub token's 36 are the base62 CRC-32 of the 30 before.
pub(super) fn github(token: &[u8]) -> bool {
    let Some((entropy, check)) = token.split_at_checked(30) else { return false };
    let value = check.iter().try_fold(0u64, |v, &b| {
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            b'A'..=b'Z' => b - b'A' + 10,
            b'a'..=b'z' => b - b'a' + 36,
            _ => return None,
        };
        Some(v * 62 + u64::from(digit))
    });
    check.len() == 6 && value == Some(u64::from(crc32(entropy)))
}

/// Shannon entropy of a token, in bits a byte.
pub(super) fn entropy(token: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    token.iter().for_each(|&b| counts[usize::from(b)] += 1);
    let n = token.len() as f64;
    counts.iter().filter(|&&c| c > 0).map(|&c| f64::from(c) / n).map(|p| -p * p.log2()).sum()
}

/// Whether a token looks drawn, not spelled: it has digits and letters.
pub(super) fn mixed(token: &[u8]) -> bool {
    token.iter().any(u8::is_ascii_digit) && token.iter().any(u8::is_ascii_alphabetic)
}

/// Whether a token of sixteen or more looks drawn from letters and digits: a word, and words that are joined, change between
/// capitals, small letters and digits less often.
pub(super) fn drawn(token: &[u8]) -> bool {
    let kind = |b: &u8| (b.is_ascii_uppercase(), b.is_ascii_digit());
    let count = |wanted: fn(&u8) -> bool| token.iter().filter(|b| wanted(b)).count();
    let changes = token.windows(2).filter(|pair| kind(&pair[0]) != kind(&pair[1])).count();
    let all = [u8::is_ascii_uppercase, u8::is_ascii_lowercase, u8::is_ascii_digit];
    token.len() >= 16 && all.into_iter().all(|wanted| count(wanted) >= 2) && 5 * changes >= 2 * token.len()
}

/// Whether a base64url segment is a JSON object that names its algorithm: the header of a JWT.
pub(super) fn jwt_header(segment: &[u8]) -> bool {
    let mut json = Vec::with_capacity(segment.len());
    super::deep::base64(segment, &mut json)
        && std::str::from_utf8(&json).is_ok_and(|t| {
            let t = t.trim();
            t.starts_with('{') && t.ends_with('}') && t.contains("\"alg\"")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_told_from_words() {
        for token in ["9fQ2vTzLm4RkWb7HsXeY", "4eC39HqLyjWDarjtT1zdp7dc", "zQWBuTSOoRi4A9spHcVY"] {
            assert!(drawn(token.as_bytes()), "{token}");
        }
        for word in [
            "HttpResponseMessage200OkHandler",
            "9fQ2vTzLm4RkWb7",
            "0123456789abcdef0123",
            "SOMEWORDSINCAPITALS1",
        ] {
            assert!(!drawn(word.as_bytes()), "{word}");
        }
    }

    #[test]
    fn crc_of_the_check_string_is_the_published_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_published_github_token_checks() {
        assert!(github(b"zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17"));
        assert!(!github(b"zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq18"));
    }
}
