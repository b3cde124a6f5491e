//! What a program writes, in pieces: held against each line read plainly, and the whole searched at once.

use super::*;
use crate::detect::tests::Random;
use crate::detect::tests::alike::{Texts, all_detectors, lines_plainly};
use crate::detect::{Detectors, Finding};
use crate::field::replace;

/// What comes out of it, and how many values there are.
fn plainly(detectors: &Detectors, text: &[u8]) -> (Vec<u8>, usize) {
    let mut findings = Vec::new();
    detectors.scan(text, &mut findings);
    findings.extend(lines_plainly(detectors, text));
    let cut = detectors.cut(text, true);
    findings.extend(cut.filter(|cut| findings.iter().all(|f| f.range.end <= cut.range.start)));
    findings.sort_by_key(|f: &Finding| (f.range.start, std::cmp::Reverse(f.range.end)));
    (replace(text, &findings), findings.len())
}

fn in_pieces(detectors: &Detectors, text: &[u8], cuts: impl IntoIterator<Item = usize>) -> (Vec<u8>, usize) {
    let known = Known::new([5; 16]);
    let mut body = Body::new(Media::Output, [].into(), BTreeSet::new());
    let (mut out, mut done) = (Vec::new(), 0);
    for cut in cuts.into_iter().chain([text.len()]) {
        out.extend(body.push(detectors, &known, &text[done..cut]).unwrap().into_vec());
        done = cut;
    }
    let (rest, found) = body.finish(detectors, &known).unwrap();
    out.extend(rest.into_vec());
    (out, found.tripped.iter().map(|hit| hit.count as usize).sum())
}

#[test]
fn output_is_masked_as_it_is_read_plainly_wherever_it_is_cut() {
    let (all, mut texts) = (all_detectors(), Texts(Random(47)));
    let mut seen = 0;
    for round in 0..80 {
        let mut text = texts.text();
        text.truncate(1_500);
        let detectors = &all[round % all.len()];
        let (expect, values) = plainly(detectors, &text);
        seen += values;
        for cut in 0..=text.len() {
            let (out, count) = in_pieces(detectors, &text, [cut]);
            assert_eq!(
                out.escape_ascii().to_string(),
                expect.escape_ascii().to_string(),
                "round {round}, cut at {cut}: {}",
                text.escape_ascii()
            );
            assert_eq!(count, values, "round {round}, cut at {cut}: {}", text.escape_ascii());
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn output_in_many_pieces_is_masked_as_it_is_read_plainly() {
    let (all, mut texts, mut random) = (all_detectors(), Texts(Random(53)), Random(59));
    for round in 0..200 {
        let text: Vec<u8> = (0..1 + random.next() % 40).flat_map(|_| texts.text()).collect();
        let detectors = &all[round % all.len()];
        let step = [1, 7, 100, 999, 4_096, 33_000][(random.next() % 6) as usize];
        let cuts = (1..).map(|n| n * step).take_while(|&cut| cut < text.len());
        assert!(in_pieces(detectors, &text, cuts) == plainly(detectors, &text), "round {round} by {step}");
    }
}

/// What comes out of it where the program stops for a moment behind each of these pieces, and then ends.
fn paused(pieces: &[&str]) -> Vec<String> {
    let (detectors, known) = (Detectors::new(), Known::new([5; 16]));
    let mut body = Body::new(Media::Output, [].into(), BTreeSet::new());
    let mut all = Vec::new();
    for piece in pieces {
        let out = body.push(&detectors, &known, piece.as_bytes()).unwrap();
        all.push(out.then(body.let_go(&detectors, &known)));
    }
    all.push(body.finish(&detectors, &known).unwrap().0);
    all.into_iter().map(|bytes| String::from_utf8(bytes.into_vec()).unwrap()).collect()
}

#[test]
fn a_value_that_the_end_cuts_is_covered() {
    for (text, expect) in [
        ("20687 ssn 536-22-839", "20687 ssn [pii.ssn]"),
        ("a\ncard 411111111111111", "a\ncard [pii.card]"),
        ("k=ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq1", "k=[secret.github]"),
    ] {
        for cut in 0..=text.len() {
            let (out, count) = in_pieces(&Detectors::new(), text.as_bytes(), [cut]);
            assert_eq!((String::from_utf8(out).unwrap().as_str(), count), (expect, 1), "cut at {cut}");
        }
        // With a line's end behind it, it is what it is.
        let whole = format!("{text}\n");
        let (out, count) = in_pieces(&Detectors::new(), whole.as_bytes(), []);
        assert_eq!((String::from_utf8(out).unwrap(), count), (whole, 0));
    }
}

#[test]
fn a_value_that_has_surely_begun_is_not_let_go_in_a_pause() {
    assert_eq!(paused(&["ssn 536-22-839"]), ["ssn ", "[pii.ssn]"]);
    assert_eq!(paused(&["ssn 536-22-839", "1\n"]), ["ssn ", "[pii.ssn]\n", ""]);
    assert_eq!(paused(&["ssn 536-22-839", " and more", "\n"]), ["ssn ", "536-22-839 and more", "\n", ""]);
    // Of what was let go before it had, the rest.
    assert_eq!(paused(&["ssn 536-2", "2-83"]), ["ssn 536-2", "", "[pii.ssn]"]);
    assert_eq!(paused(&["536-2", "2-83", "91\n"]), ["536-2", "", "[pii.ssn]\n", ""]);
    assert_eq!(paused(&["name: ", "root@host"]), ["name: ", "root@host", ""]);
}
