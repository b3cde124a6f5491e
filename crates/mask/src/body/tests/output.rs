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
