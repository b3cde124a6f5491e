use super::Tail;
use crate::detect::{Detectors, Finding};
use crate::field::replace;
use crate::limits::LOOK_BEHIND_BYTES;

fn shared() -> &'static Detectors {
    static SHARED: std::sync::LazyLock<Detectors> = std::sync::LazyLock::new(Detectors::new);
    &SHARED
}

/// The stream masked whole.
fn whole(bytes: &[u8]) -> (Vec<u8>, Vec<Finding>) {
    let mut findings = Vec::new();
    shared().scan(bytes, &mut findings);
    (replace(bytes, &findings), findings)
}

/// The stream masked in pieces that end at `cuts`.
fn split(bytes: &[u8], cuts: impl Iterator<Item = usize>) -> (Vec<u8>, Vec<Finding>) {
    let (mut tail, mut out, mut findings, mut done) = (Tail::new(), Vec::new(), Vec::new(), 0);
    for cut in cuts {
        out.extend_from_slice(tail.push(shared(), &bytes[done..cut], &mut findings).as_bytes());
        done = cut;
    }
    out.extend_from_slice(tail.push(shared(), &bytes[done..], &mut findings).as_bytes());
    out.extend_from_slice(tail.finish(shared(), &mut findings).as_bytes());
    (out, findings)
}

const JWT: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";

/// Every kind of value, next to and inside one another, with and without lines.
fn corpus() -> Vec<String> {
    let values = [
        "jo.doe@example.com",
        "4111 1111 1111 1111",
        "378282246310005",
        "DE89 3704 0044 0532 0130 00",
        "536-90-4399",
        "+1 (415) 555-0100",
        JWT,
        "-----BEGIN PRIVATE KEY-----\nMIIEow\n-----END PRIVATE KEY-----",
        "postgres://app:s3cr@t@db.example.com/x",
        "AKIAIOSFODNN7EXAMPLE\nwJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY,AKIAIOSFODNN7EXAMPLE",
        "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",
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "4111 1111 1111 1111 123",
        "1.536-90-4399.5",
        "x\n+536-90-4399",
        "x\n12-536-90-4399\n-eyJhbGciOiJub25lIn0.eyJzdWIiOiJqbyJ9.YWJj",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
    ];
    let mut out: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
    out.push(values.join("\n"));
    out.push(values.join(" "));
    out.push(values.join(""));
    out.push(values.map(|v| format!("{}{v}", "filler without end, ".repeat(40))).join(" "));
    out
}

#[test]
fn a_stream_in_two_pieces_is_masked_as_the_whole_wherever_it_is_cut() {
    for text in corpus() {
        let expect = whole(text.as_bytes());
        for cut in 0..=text.len().min(3_000) {
            assert_eq!(split(text.as_bytes(), std::iter::once(cut)), expect, "{text:?} cut at {cut}");
        }
    }
}

#[test]
fn a_stream_in_single_bytes_is_masked_as_the_whole() {
    for text in corpus() {
        assert_eq!(split(text.as_bytes(), 1..text.len()), whole(text.as_bytes()), "{text:?}");
    }
}

#[test]
fn random_streams_in_random_pieces_are_masked_as_the_whole() {
    let mut random = crate::detect::tests::Random(7);
    let pieces: Vec<String> = corpus();
    let fillers = [
        "",
        " ",
        "\n",
        "x",
        "-",
        "1",
        "@",
        "eyJ",
        "+",
        "://",
        "AKIA",
        ".",
        "=",
        "4111",
        "a long stretch of plain words ",
    ];
    for round in 0..150 {
        let mut text = String::new();
        for _ in 0..random.next() % 30 {
            let piece = &pieces[(random.next() % 17) as usize];
            // Whole values and pieces of them.
            let from = (random.next() as usize % piece.len()) * (random.next() % 2) as usize;
            text += &piece[from..];
            text += fillers[(random.next() % fillers.len() as u64) as usize];
            if random.next().is_multiple_of(9) {
                text += &"filler ".repeat((random.next() % 200) as usize);
            }
        }
        let expect = whole(text.as_bytes());
        let step = 1 + random.next() as usize % 700;
        let cuts = (1..).map(|i| i * step).take_while(|&cut| cut < text.len());
        assert_eq!(split(text.as_bytes(), cuts), expect, "round {round}: {text:?} by {step}");
    }
}

#[test]
fn what_is_held_is_bounded() {
    let mut findings = Vec::new();
    let mut tail = Tail::new();
    for _ in 0..200 {
        let _ =
            tail.push(shared(), &b"plain words without a line's end, and so on ".repeat(20), &mut findings);
        assert!(tail.held() <= LOOK_BEHIND_BYTES, "{}", tail.held());
    }
    let _ = tail.push(shared(), b"\n", &mut findings);
    assert_eq!(tail.held(), 0, "a line's end lets go");
    // The longest candidates are let go too, when they are too long to be one.
    for hostile in ["-----BEGIN PRIVATE KEY-----", "eyJhbGciOiJub25lIn0."] {
        let _ = tail.push(shared(), hostile.as_bytes(), &mut findings);
        for _ in 0..100 {
            let _ = tail.push(shared(), &[b'A'; 1000], &mut findings);
            assert!(tail.held() <= 42 << 10, "{}", tail.held());
        }
        let _ = tail.push(shared(), b"\n\n", &mut findings);
    }
}
