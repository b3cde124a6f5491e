//! Result rows: what may be released to a client.

use std::borrow::Cow;

use crate::detect::{Detectors, Finding, Form, groups};
use crate::shape::Shape;

/// A cell whose value detectors have seen; NULL is `None` inside. Made by [`fields`] alone.
///
/// ```compile_fail,E0423
/// let forged = mask::MaskedField(None);
/// # drop(forged);
/// ```
///
/// The twin that compiles takes one from a row:
///
/// ```
/// let forged = mask::fields(&mask::Detectors::new(), [None], &[], &mut Vec::new());
/// # drop(forged);
/// ```
#[must_use]
#[derive(PartialEq, Eq)]
pub struct MaskedField<'a>(pub(crate) Option<Cow<'a, [u8]>>);

impl MaskedField<'_> {
    /// The bytes to release; `None` is NULL.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        self.0.as_deref()
    }
}

impl std::fmt::Debug for MaskedField<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            None => f.write_str("MaskedField(null)"),
            Some(bytes) => write!(f, "MaskedField({} bytes)", bytes.len()),
        }
    }
}

/// A row whose every cell detectors have seen. Made by [`fields`] alone; consumed where it is released.
///
/// ```compile_fail,E0451
/// let row = mask::fields(&mask::Detectors::new(), [None], &[], &mut Vec::new());
/// let forged = mask::MaskedRow { cells: Vec::new(), ..row };
/// # drop(forged);
/// ```
///
/// ```
/// let row = mask::fields(&mask::Detectors::new(), [None], &[], &mut Vec::new());
/// let forged = row;
/// # drop(forged);
/// ```
///
/// ```compile_fail,E0599
/// let row = mask::fields(&mask::Detectors::new(), [None], &[], &mut Vec::new());
/// let twice = row.clone();
/// # drop((row, twice));
/// ```
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub struct MaskedRow<'a> {
    cells: Vec<MaskedField<'a>>,
    changed: bool,
}

impl<'a> MaskedRow<'a> {
    pub fn cells(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        self.cells.iter().map(MaskedField::as_bytes)
    }

    pub fn into_cells(self) -> Vec<MaskedField<'a>> {
        self.cells
    }

    /// Whether any cell differs from what came.
    pub fn changed(&self) -> bool {
        self.changed
    }
}

/// A finding in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellFinding {
    /// Index of the cell.
    pub cell: usize,
    pub finding: Finding,
}

/// Looks into each cell, behind encodings too, and replaces what is found; a cell without a finding keeps its bytes
/// without a copy. `shapes` says how each is encoded; cells past its end are [`Shape::Rigid`]. Findings are appended.
///
/// The row is scanned in one piece, its cells kept apart by a byte that no value has: a row without a finding costs one
/// scan, and an access key's id in one cell gives away the secret in the next.
pub fn fields<'a>(
    detectors: &Detectors,
    cells: impl IntoIterator<Item = Option<&'a [u8]>>,
    shapes: &[Shape],
    findings: &mut Vec<CellFinding>,
) -> MaskedRow<'a> {
    let cells: Vec<Option<&[u8]>> = cells.into_iter().collect();
    let shape = |i: usize| shapes.get(i).copied().unwrap_or(Shape::Rigid);
    let mut row = Vec::with_capacity(cells.iter().flatten().map(|c| c.len() + 1).sum());
    let mut numbers = false;
    for (i, bytes) in cells.iter().enumerate().filter_map(|(i, cell)| Some((i, (*cell)?))) {
        numbers |= digits(shape(i), bytes).is_some();
        if shape(i).is_text() {
            row.extend_from_slice(bytes);
            row.push(SEPARATOR);
        }
    }
    let mut found = Vec::new();
    detectors.scan(&row, &mut found);
    let hidden = detectors.hidden(&row);
    if found.is_empty() && !numbers && hidden.is_nothing() {
        let cells = cells.into_iter().map(|cell| MaskedField(cell.map(Cow::Borrowed))).collect();
        return MaskedRow { cells, changed: false };
    }
    let (mut rest, mut start, mut changed) = (&found[..], 0, false);
    let mut release = |(i, cell): (usize, Option<&'a [u8]>)| {
        let bytes = cell?;
        let mut own = Vec::new();
        if shape(i).is_text() {
            let end = start + bytes.len();
            let (here, later) = rest.split_at(rest.partition_point(|f| f.range.start < end));
            own.extend(here.iter().map(|f| f.back(start)));
            hidden.add(detectors, start, bytes, &mut own);
            (rest, start) = (later, end + 1);
        } else if let Some(digits) = digits(shape(i), bytes) {
            number(detectors, &digits, bytes.len(), &mut own);
        }
        let field = replaced(bytes, shape(i), &own);
        changed |= !own.is_empty();
        findings.extend(own.into_iter().map(|finding| CellFinding { cell: i, finding }));
        field
    };
    let cells = cells.into_iter().enumerate().map(|cell| MaskedField(release(cell))).collect();
    MaskedRow { cells, changed }
}

/// Between cells: the unit separator, which is in the alphabet of no value and no encoding.
pub(crate) const SEPARATOR: u8 = 0x1f;

/// The bytes to release in place of a cell; `None` is NULL.
fn replaced<'a>(bytes: &'a [u8], shape: Shape, findings: &[Finding]) -> Option<Cow<'a, [u8]>> {
    if findings.is_empty() {
        return Some(Cow::Borrowed(bytes));
    }
    match shape {
        Shape::Text => Some(Cow::Owned(replace(bytes, findings))),
        Shape::Json => crate::json::replace(bytes, findings).map(Cow::Owned),
        Shape::Jsonb => {
            let (version, json) = bytes.split_first()?;
            let shift = |f: &Finding| {
                Some(Finding { range: f.range.start.checked_sub(1)?..f.range.end - 1, ..f.clone() })
            };
            let inner: Vec<Finding> = findings.iter().map(shift).collect::<Option<_>>()?;
            crate::json::replace(json, &inner).map(|json| Cow::Owned([&[*version], &json[..]].concat()))
        }
        Shape::Rigid | Shape::Integer | Shape::Double | Shape::Numeric | Shape::Settled => None,
    }
}

/// The decimal digits of a binary number that is long enough for any that is looked for.
fn digits(shape: Shape, bytes: &[u8]) -> Option<String> {
    match shape {
        Shape::Integer => integer_digits(bytes),
        Shape::Double => double_digits(bytes),
        Shape::Numeric => numeric_digits(bytes),
        Shape::Text | Shape::Json | Shape::Jsonb | Shape::Rigid | Shape::Settled => None,
    }
}

/// The digits of a number that the format of a cell hides, if it is long enough for any that is looked for.
pub fn hidden_number(shape: Shape, bytes: &[u8]) -> Option<String> {
    digits(shape, bytes)
}

/// Looks at the decimal digits of a binary number; a finding covers the whole cell.
fn number(detectors: &Detectors, digits: &str, len: usize, findings: &mut Vec<Finding>) {
    detectors.scan(digits.as_bytes(), findings);
    for finding in findings {
        finding.range = 0..len;
        finding.form = Form::Number;
    }
}

/// A number of so many digits is long enough for any that is looked for.
const NUMBER_MIN: u64 = 10_000_000_000_000;

/// The digits of a 64-bit integer that is long enough for any number that is looked for.
fn integer_digits(bytes: &[u8]) -> Option<String> {
    let value = i64::from_be_bytes(bytes.try_into().ok()?).unsigned_abs();
    (value >= NUMBER_MIN).then(|| value.to_string())
}

/// The same of a double, before its point. As text it may have an exponent, in which no number is found.
fn double_digits(bytes: &[u8]) -> Option<String> {
    let value = f64::from_be_bytes(bytes.try_into().ok()?).abs();
    // Above that a double holds no number to its last digit.
    (value >= NUMBER_MIN as f64 && value < 1e17).then(|| format!("{:.0}", value.trunc()))
}

/// The digits of a `numeric` before its point: counts of base-10000 digits, weight, sign, scale, then the digits, 16 bits each.
/// `None` if it is no number, too short or long to be looked for, or malformed.
fn numeric_digits(bytes: &[u8]) -> Option<String> {
    let (head, digits) = bytes.split_at_checked(8)?;
    let word = |i: usize| u16::from_be_bytes([head[i], head[i + 1]]);
    let (count, weight, sign) = (usize::from(word(0)), usize::from(word(2)), word(4));
    const NEGATIVE: u16 = 0x4000;
    if ![0, NEGATIVE].contains(&sign) || !(3..=4).contains(&weight) || digits.len() != 2 * count {
        return None;
    }
    let words = digits.chunks_exact(2).map(|d| u16::from_be_bytes([d[0], d[1]]));
    let mut text = String::with_capacity(20);
    for word in words.chain(std::iter::repeat(0)).take(weight + 1) {
        text += &if text.is_empty() { word.to_string() } else { format!("{word:04}") };
    }
    Some(text)
}

/// `bytes` with a placeholder for each group of findings.
pub(crate) fn replace(bytes: &[u8], findings: &[Finding]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    replace_onto(bytes, findings, &mut out);
    out
}

/// The same, appended.
pub(crate) fn replace_onto(bytes: &[u8], findings: &[Finding], out: &mut Vec<u8>) {
    let mut done = 0;
    for (first, range) in groups(findings) {
        let class = first.class.as_str().as_bytes();
        let pieces = [&bytes[done..range.start], b"[", class, b"]"];
        pieces.iter().for_each(|piece| out.extend_from_slice(piece));
        done = range.end;
    }
    out.extend_from_slice(&bytes[done..]);
}

#[cfg(test)]
mod tests;
