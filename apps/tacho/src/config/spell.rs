//! "Did you mean": the nearest of a few words.

/// The candidate within two edits (one for words under five letters) of `word`; the nearest, or none.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = if word.len() < 5 { 1 } else { 2 };
    candidates.map(|c| (distance(word, c), c)).filter(|(d, _)| *d <= most).min().map(|(_, c)| c)
}

/// Levenshtein's distance over bytes, with a swap of neighbours as one edit.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (above[j] + usize::from(x != y)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        let keys = ["listen", "upstream", "name", "kind"];
        assert_eq!(nearest("lisen", keys.into_iter()), Some("listen"));
        assert_eq!(nearest("upstraem", keys.into_iter()), Some("upstream"));
        assert_eq!(nearest("nmae", keys.into_iter()), Some("name"));
        assert_eq!(nearest("colour", keys.into_iter()), None);
    }
}
