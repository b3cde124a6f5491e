//! Result rows: what may be released to a client.

use std::borrow::Cow;

use crate::detect::{Detectors, Finding, Form, groups, placeholder};
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
pub fn fields<'a>(
    detectors: &Detectors,
    cells: impl IntoIterator<Item = Option<&'a [u8]>>,
    shapes: &[Shape],
    findings: &mut Vec<CellFinding>,
) -> MaskedRow<'a> {
    let mut scratch = Vec::new();
    let mut changed = false;
    let cells = cells
        .into_iter()
        .enumerate()
        .map(|(i, cell)| {
            let shape = shapes.get(i).copied().unwrap_or(Shape::Rigid);
            let field = cell.and_then(|bytes| field(detectors, bytes, shape, &mut scratch));
            changed |= !scratch.is_empty();
            findings.extend(scratch.drain(..).map(|finding| CellFinding { cell: i, finding }));
            MaskedField(field)
        })
        .collect();
    MaskedRow { cells, changed }
}

/// The bytes to release in place of one cell; `findings` comes empty and leaves with what was found.
fn field<'a>(
    detectors: &Detectors,
    bytes: &'a [u8],
    shape: Shape,
    findings: &mut Vec<Finding>,
) -> Option<Cow<'a, [u8]>> {
    match shape {
        Shape::Settled => return Some(Cow::Borrowed(bytes)),
        Shape::Text | Shape::Json | Shape::Rigid => detectors.scan_deep(bytes, findings),
        Shape::Jsonb => {
            detectors.scan_deep(bytes.get(1..).unwrap_or_default(), findings);
            findings.iter_mut().for_each(|f| f.range = f.range.start + 1..f.range.end + 1);
        }
        Shape::Integer => number(detectors, integer_digits(bytes), bytes.len(), findings),
        Shape::Numeric => number(detectors, numeric_digits(bytes), bytes.len(), findings),
    }
    if findings.is_empty() {
        return Some(Cow::Borrowed(bytes));
    }
    match shape {
        Shape::Text => Some(Cow::Owned(replace(bytes, findings))),
        Shape::Json => crate::json::replace(bytes, findings).map(Cow::Owned),
        Shape::Jsonb => {
            let (version, json) = bytes.split_first()?;
            let inner: Vec<Finding> = findings
                .iter()
                .map(|f| Finding { range: f.range.start - 1..f.range.end - 1, ..f.clone() })
                .collect();
            crate::json::replace(json, &inner).map(|json| Cow::Owned([&[*version], &json[..]].concat()))
        }
        Shape::Rigid | Shape::Integer | Shape::Numeric | Shape::Settled => None,
    }
}

/// Looks at the decimal digits of a binary number; a finding covers the whole cell.
fn number(detectors: &Detectors, digits: Option<String>, len: usize, findings: &mut Vec<Finding>) {
    let Some(digits) = digits else { return };
    detectors.scan(digits.as_bytes(), findings);
    for finding in findings {
        finding.range = 0..len;
        finding.form = Form::Number;
    }
}

/// The digits of a positive 64-bit integer that is long enough for any number that is looked for.
fn integer_digits(bytes: &[u8]) -> Option<String> {
    let value = i64::from_be_bytes(bytes.try_into().ok()?);
    (value >= 10_000_000_000_000).then(|| value.to_string())
}

/// The integer digits of a `numeric`: counts of base-10000 digits, weight, sign, scale, then the digits, 16 bits each.
/// `None` if it is negative, has a fraction, is too short or long to be looked for, or malformed.
fn numeric_digits(bytes: &[u8]) -> Option<String> {
    let (head, digits) = bytes.split_at_checked(8)?;
    let word = |i: usize| u16::from_be_bytes([head[i], head[i + 1]]);
    let (count, weight, sign) = (usize::from(word(0)), usize::from(word(2)), word(4));
    if sign != 0 || !(3..=4).contains(&weight) || count > weight + 1 || digits.len() != 2 * count {
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
    let mut done = 0;
    for (first, range) in groups(findings) {
        out.extend_from_slice(&bytes[done..range.start]);
        out.extend_from_slice(placeholder(&first.class).as_bytes());
        done = range.end;
    }
    out.extend_from_slice(&bytes[done..]);
    out
}

#[cfg(test)]
mod tests;
