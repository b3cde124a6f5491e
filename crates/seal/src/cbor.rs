//! Deterministic CBOR (RFC 8949, section 4.2.1): one spelling per value, both ways.
//!
//! Known are unsigned and negative integers of 64 bits, byte strings, text strings, arrays, maps with text keys,
//! true, false and null. Tags, floats, indefinite lengths and everything else are refused.

use crate::limits::CBOR_DEPTH_MAX;
use std::fmt;

/// A decoded item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Uint(u64),
    /// A negative integer, as its value.
    Neg(i64),
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Value>),
    /// Entries as they were read, which is in canonical order; [`Encoder::value`] sorts them in any case.
    Map(Vec<(String, Value)>),
    Bool(bool),
    Null,
}

impl Value {
    /// The value under `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Uint(n) => Some(*n),
            _ => None,
        }
    }

    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Uint(n) => i64::try_from(*n).ok(),
            Value::Neg(n) => Some(*n),
            _ => None,
        }
    }

    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The bytes, if there are exactly `N` of them.
    pub fn as_bytes_of<const N: usize>(&self) -> Option<[u8; N]> {
        self.as_bytes()?.try_into().ok()
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    pub fn as_map(&self) -> Option<&[(String, Value)]> {
        match self {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        Encoder::new(&mut out).value(self);
        out
    }
}

/// Decodes exactly one item, with nothing after it. Arrays and maps nest at most [`CBOR_DEPTH_MAX`] levels.
pub fn decode(bytes: &[u8]) -> Result<Value, CborError> {
    let mut reader = Reader::new(bytes);
    let value = reader.value(0)?;
    reader.finish()?;
    Ok(value)
}

/// Checks what [`decode`] checks, without building anything.
pub fn validate(bytes: &[u8]) -> Result<(), CborError> {
    let mut reader = Reader::new(bytes);
    reader.skip()?;
    reader.finish()
}

/// What is wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CborError {
    pub offset: usize,
    pub fault: CborFault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CborFault {
    Truncated,
    TrailingBytes,
    NotShortest,
    IndefiniteLength,
    /// A tag, a float, a simple value or a reserved form.
    Unsupported,
    BelowInt64,
    NotUtf8,
    KeyNotText,
    /// A key that does not come after the one before it: out of order, or twice.
    KeyOrder,
    TooDeep,
    /// A well-formed item of another type than the reader asked for.
    WrongType,
}

impl fmt::Display for CborError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            CborFault::Truncated => "ends in the middle of an item",
            CborFault::TrailingBytes => "has bytes after the item",
            CborFault::NotShortest => "has an integer or length that is not in its shortest form",
            CborFault::IndefiniteLength => "has an indefinite length",
            CborFault::Unsupported => "has a tag, float or simple value",
            CborFault::BelowInt64 => "has a negative integer below -2^63",
            CborFault::NotUtf8 => "has text that is not UTF-8",
            CborFault::KeyNotText => "has a map key that is not text",
            CborFault::KeyOrder => "has map keys out of order or twice",
            CborFault::TooDeep => "is nested too deeply",
            CborFault::WrongType => "has an item of an unexpected type",
        };
        write!(f, "CBOR {what} (byte {})", self.offset)
    }
}

impl std::error::Error for CborError {}

const UINT: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const SIMPLE: u8 = 7;
const FALSE: u64 = 20;
const TRUE: u64 = 21;
const NULL: u64 = 22;

/// Reads canonical items one by one, borrowing from the input.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> usize {
        self.at
    }

    pub fn uint(&mut self) -> Result<u64, CborError> {
        self.expect(UINT)
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let n = self.expect(BYTES)?;
        self.take(n)
    }

    pub fn text(&mut self) -> Result<&'a str, CborError> {
        let n = self.expect(TEXT)?;
        self.utf8(n)
    }

    /// The number of items that follow.
    pub fn array(&mut self) -> Result<u64, CborError> {
        self.expect(ARRAY)
    }

    /// The number of entries that follow. The caller reads the keys and is responsible for their order; see [`KeyOrder`].
    pub fn map(&mut self) -> Result<u64, CborError> {
        self.expect(MAP)
    }

    /// Reads one item of any kind, checks all of it, and gives its bytes. `level` is the number of arrays and maps
    /// around it.
    pub fn item(&mut self, level: usize) -> Result<&'a [u8], CborError> {
        let start = self.at;
        self.skip_at(level)?;
        Ok(&self.bytes[start..self.at])
    }

    /// Reads a map key in canonical order.
    pub fn key(&mut self, order: &mut KeyOrder<'a>) -> Result<&'a str, CborError> {
        let start = self.at;
        let key = self.key_bytes(order)?;
        std::str::from_utf8(key).map_err(|_| CborError { offset: start, fault: CborFault::NotUtf8 })
    }

    /// As [`Reader::key`], for callers that compare bytes: checked to be UTF-8, not converted.
    #[inline(always)]
    pub fn key_bytes(&mut self, order: &mut KeyOrder<'a>) -> Result<&'a [u8], CborError> {
        let start = self.at;
        let (major, n) = self.head()?;
        if major != TEXT {
            return Err(CborError { offset: start, fault: CborFault::KeyNotText });
        }
        let key = self.checked_text(n)?;
        if !order.admits(key) {
            return Err(CborError { offset: start, fault: CborFault::KeyOrder });
        }
        order.0 = Some(key);
        Ok(key)
    }

    /// Checks and passes over one item.
    pub fn skip(&mut self) -> Result<(), CborError> {
        self.skip_at(0)
    }

    /// Errors: `TrailingBytes` unless everything has been read.
    pub fn finish(&self) -> Result<(), CborError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.fault(CborFault::TrailingBytes)) }
    }

    fn skip_at(&mut self, level: usize) -> Result<(), CborError> {
        let start = self.at;
        let (major, n) = self.head()?;
        match major {
            UINT => {}
            NEGATIVE => {
                negative(n, start)?;
            }
            BYTES => {
                self.take(n)?;
            }
            TEXT => {
                self.checked_text(n)?;
            }
            ARRAY => {
                self.enter(level, start)?;
                for _ in 0..n {
                    self.skip_at(level + 1)?;
                }
            }
            MAP => {
                self.enter(level, start)?;
                let mut order = KeyOrder::default();
                for _ in 0..n {
                    self.key_bytes(&mut order)?;
                    self.skip_at(level + 1)?;
                }
            }
            _ => {
                simple(major, n, start)?;
            }
        }
        Ok(())
    }

    fn value(&mut self, level: usize) -> Result<Value, CborError> {
        let start = self.at;
        let (major, n) = self.head()?;
        Ok(match major {
            UINT => Value::Uint(n),
            NEGATIVE => Value::Neg(negative(n, start)?),
            BYTES => Value::Bytes(self.take(n)?.to_vec()),
            TEXT => Value::Text(self.utf8(n)?.to_owned()),
            ARRAY => {
                self.enter(level, start)?;
                let mut items = Vec::new(); // grows with what is there, never by the declared count
                for _ in 0..n {
                    items.push(self.value(level + 1)?);
                }
                Value::Array(items)
            }
            MAP => {
                self.enter(level, start)?;
                let (mut entries, mut order) = (Vec::new(), KeyOrder::default());
                for _ in 0..n {
                    let key = self.key(&mut order)?.to_owned();
                    entries.push((key, self.value(level + 1)?));
                }
                Value::Map(entries)
            }
            _ => match simple(major, n, start)? {
                Some(b) => Value::Bool(b),
                None => Value::Null,
            },
        })
    }

    fn enter(&self, level: usize, offset: usize) -> Result<(), CborError> {
        if level < CBOR_DEPTH_MAX { Ok(()) } else { Err(CborError { offset, fault: CborFault::TooDeep }) }
    }

    fn expect(&mut self, wanted: u8) -> Result<u64, CborError> {
        let start = self.at;
        let (major, n) = self.head()?;
        if major == wanted { Ok(n) } else { Err(CborError { offset: start, fault: CborFault::WrongType }) }
    }

    /// The major type and the argument, in its shortest form. Most are of one byte or two: these are read in their place.
    #[inline(always)]
    fn head(&mut self) -> Result<(u8, u64), CborError> {
        match self.bytes[self.at..] {
            [first, ..] if first & 31 < 24 => {
                self.at += 1;
                Ok((first >> 5, u64::from(first & 31)))
            }
            [first, n, ..] if first & 31 == 24 && n >= 24 && first >> 5 < SIMPLE => {
                self.at += 2;
                Ok((first >> 5, u64::from(n)))
            }
            _ => self.long_head(),
        }
    }

    fn long_head(&mut self) -> Result<(u8, u64), CborError> {
        let start = self.at;
        let at = |fault| CborError { offset: start, fault };
        let first = *self.bytes.get(start).ok_or(at(CborFault::Truncated))?;
        self.at += 1;
        let (major, info) = (first >> 5, first & 31);
        let (n, least) = match info {
            0..=23 => return Ok((major, u64::from(info))),
            24 => (self.big_endian::<1>()?, 24),
            25 => (self.big_endian::<2>()?, 1 << 8),
            26 => (self.big_endian::<4>()?, 1 << 16),
            27 => (self.big_endian::<8>()?, 1 << 32),
            31 if (BYTES..=MAP).contains(&major) => return Err(at(CborFault::IndefiniteLength)),
            _ => return Err(at(CborFault::Unsupported)),
        };
        if major >= SIMPLE {
            return Err(at(CborFault::Unsupported)); // floats, and simple values of two bytes
        }
        if n < least { Err(at(CborFault::NotShortest)) } else { Ok((major, n)) }
    }

    fn big_endian<const N: usize>(&mut self) -> Result<u64, CborError> {
        Ok(self.take(N as u64)?.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    fn utf8(&mut self, n: u64) -> Result<&'a str, CborError> {
        let start = self.at;
        let bytes = self.take(n)?;
        std::str::from_utf8(bytes).map_err(|_| CborError { offset: start, fault: CborFault::NotUtf8 })
    }

    /// Most text is ASCII, and short: that is cheaper to see than UTF-8 is to decode.
    #[inline(always)]
    fn checked_text(&mut self, n: u64) -> Result<&'a [u8], CborError> {
        let start = self.at;
        let bytes = self.take(n)?;
        if bytes.is_ascii() || std::str::from_utf8(bytes).is_ok() {
            Ok(bytes)
        } else {
            Err(CborError { offset: start, fault: CborFault::NotUtf8 })
        }
    }

    #[inline(always)]
    fn take(&mut self, n: u64) -> Result<&'a [u8], CborError> {
        let rest = &self.bytes[self.at..];
        match usize::try_from(n) {
            Ok(n) if n <= rest.len() => {
                self.at += n;
                Ok(&rest[..n])
            }
            _ => Err(self.fault(CborFault::Truncated)),
        }
    }

    fn fault(&self, fault: CborFault) -> CborError {
        CborError { offset: self.at, fault }
    }
}

/// The last key read of one map, so that the next one can be held against it.
#[derive(Clone, Debug, Default)]
pub struct KeyOrder<'a>(Option<&'a [u8]>);

impl KeyOrder<'_> {
    /// Whether `key` comes after the last one by their encoded bytes. These begin with the length, so the shorter
    /// key comes first, and only keys of one length are compared.
    #[inline(always)]
    fn admits(&self, key: &[u8]) -> bool {
        let Some(last) = self.0 else { return true };
        if last.len() != key.len() {
            return last.len() < key.len();
        }
        // The first bytes decide most of the time, without a call to compare the rest.
        match (last.first(), key.first()) {
            (Some(a), Some(b)) if a != b => a < b,
            _ => last < key,
        }
    }
}

fn negative(n: u64, offset: usize) -> Result<i64, CborError> {
    i64::try_from(n).map(|n| -1 - n).map_err(|_| CborError { offset, fault: CborFault::BelowInt64 })
}

fn simple(major: u8, n: u64, offset: usize) -> Result<Option<bool>, CborError> {
    match (major, n) {
        (SIMPLE, FALSE) => Ok(Some(false)),
        (SIMPLE, TRUE) => Ok(Some(true)),
        (SIMPLE, NULL) => Ok(None),
        _ => Err(CborError { offset, fault: CborFault::Unsupported }),
    }
}

/// Writes canonical items straight into a buffer.
///
/// ```
/// let mut out = Vec::new();
/// seal::cbor::Encoder::new(&mut out).map_of(|map| {
///     map.entry("rows").uint(3);
///     map.entry("ok").bool(true);
/// });
/// assert_eq!(seal::cbor::decode(&out).unwrap().get("rows").unwrap().as_u64(), Some(3));
/// ```
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Encoder<'a> {
        Encoder { out }
    }

    pub fn uint(&mut self, n: u64) {
        self.head(UINT, n);
    }

    pub fn int(&mut self, n: i64) {
        match u64::try_from(n) {
            Ok(n) => self.head(UINT, n),
            Err(_) => self.head(NEGATIVE, !(n as u64)), // -1 - n, in two's complement
        }
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.head(BYTES, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.head(TEXT, text.len() as u64);
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Begins an array; `len` items must follow.
    pub fn array(&mut self, len: usize) {
        self.head(ARRAY, len as u64);
    }

    /// Begins a map; `len` entries must follow, keys in canonical order (shorter first, then by bytes). Where the
    /// order is not plain to see, use [`Encoder::map_of`].
    pub fn map(&mut self, len: usize) {
        self.head(MAP, len as u64);
    }

    pub fn bool(&mut self, b: bool) {
        self.head(SIMPLE, if b { TRUE } else { FALSE });
    }

    pub fn null(&mut self) {
        self.head(SIMPLE, NULL);
    }

    /// Appends one item that is canonical already.
    pub fn raw(&mut self, item: &[u8]) {
        debug_assert_eq!(validate(item), Ok(()));
        self.out.extend_from_slice(item);
    }

    /// Writes a whole map; entries come in any order and are sorted by their encoded keys. A key given twice keeps
    /// its last value.
    pub fn map_of(&mut self, fill: impl FnOnce(&mut MapEntries)) {
        let mut entries = MapEntries::default();
        fill(&mut entries);
        let sorted = entries.sorted();
        self.map(sorted.len());
        sorted.into_iter().for_each(|entry| self.out.extend_from_slice(entry));
    }

    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Uint(n) => self.uint(*n),
            Value::Neg(n) => self.int(*n),
            Value::Bytes(bytes) => self.bytes(bytes),
            Value::Text(text) => self.text(text),
            Value::Array(items) => {
                self.array(items.len());
                items.iter().for_each(|item| self.value(item));
            }
            Value::Map(pairs) => {
                self.map_of(|map| pairs.iter().for_each(|(key, value)| map.entry(key).value(value)));
            }
            Value::Bool(b) => self.bool(*b),
            Value::Null => self.null(),
        }
    }

    fn head(&mut self, major: u8, n: u64) {
        let major = major << 5;
        match n {
            0..=23 => self.out.push(major | n as u8),
            24..=0xff => self.out.extend_from_slice(&[major | 24, n as u8]),
            0x100..=0xffff => {
                self.out.push(major | 25);
                self.out.extend_from_slice(&(n as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.out.push(major | 26);
                self.out.extend_from_slice(&(n as u32).to_be_bytes());
            }
            _ => {
                self.out.push(major | 27);
                self.out.extend_from_slice(&n.to_be_bytes());
            }
        }
    }
}

/// The entries of a map under construction, in any order.
#[derive(Debug, Default)]
pub struct MapEntries {
    buffer: Vec<u8>,
    /// Where each entry starts, and where its key ends.
    starts: Vec<(usize, usize)>,
}

impl MapEntries {
    /// Begins an entry; exactly one item must be written to the encoder.
    pub fn entry(&mut self, key: &str) -> Encoder<'_> {
        let start = self.buffer.len();
        Encoder::new(&mut self.buffer).text(key);
        self.starts.push((start, self.buffer.len()));
        Encoder::new(&mut self.buffer)
    }

    fn sorted(&self) -> Vec<&[u8]> {
        let ends = self.starts.iter().skip(1).map(|(start, _)| *start).chain([self.buffer.len()]);
        let mut entries: Vec<(&[u8], &[u8])> = self
            .starts
            .iter()
            .zip(ends)
            .map(|((start, key_end), end)| (&self.buffer[*start..*key_end], &self.buffer[*start..end]))
            .collect();
        entries.reverse(); // so that of equal keys the last one comes first, and stays
        entries.sort_by_key(|(key, _)| *key);
        entries.dedup_by_key(|(key, _)| *key);
        entries.into_iter().map(|(_, entry)| entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hex: &str, expect: Result<Value, CborFault>) {
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
        assert_eq!(decode(&bytes).map_err(|e| e.fault), expect, "{hex}");
        assert_eq!(validate(&bytes), decode(&bytes).map(drop), "{hex}");
        if let Ok(value) = expect {
            assert_eq!(value.to_bytes(), bytes);
        }
    }

    #[test]
    fn vectors_of_rfc_8949() {
        check("00", Ok(Value::Uint(0)));
        check("17", Ok(Value::Uint(23)));
        check("1818", Ok(Value::Uint(24)));
        check("1903e8", Ok(Value::Uint(1000)));
        check("1a000f4240", Ok(Value::Uint(1_000_000)));
        check("1bffffffffffffffff", Ok(Value::Uint(u64::MAX)));
        check("20", Ok(Value::Neg(-1)));
        check("3903e7", Ok(Value::Neg(-1000)));
        check("3b7fffffffffffffff", Ok(Value::Neg(i64::MIN)));
        check("f4", Ok(Value::Bool(false)));
        check("f5", Ok(Value::Bool(true)));
        check("f6", Ok(Value::Null));
        check("4401020304", Ok(Value::Bytes(vec![1, 2, 3, 4])));
        check("62c3bc61", Err(CborFault::TrailingBytes));
        check("62c3bc", Ok(Value::Text("ü".into())));
        check("80", Ok(Value::Array(vec![])));
        check("a26161016162820203", {
            let inner = Value::Array(vec![Value::Uint(2), Value::Uint(3)]);
            Ok(Value::Map(vec![("a".into(), Value::Uint(1)), ("b".into(), inner)]))
        });
    }

    #[test]
    fn every_other_spelling_is_refused() {
        for (hex, fault) in [
            ("", CborFault::Truncated),
            ("18", CborFault::Truncated),
            ("4401", CborFault::Truncated),
            ("9bffffffffffffffff", CborFault::Truncated),
            ("bbffffffffffffffff", CborFault::Truncated),
            ("5bffffffffffffffff", CborFault::Truncated),
            ("1817", CborFault::NotShortest),
            ("190018", CborFault::NotShortest),
            ("1a0000ffff", CborFault::NotShortest),
            ("1b00000000ffffffff", CborFault::NotShortest),
            ("580101", CborFault::NotShortest),
            ("5f41014102ff", CborFault::IndefiniteLength),
            ("9f01ff", CborFault::IndefiniteLength),
            ("bf616101ff", CborFault::IndefiniteLength),
            ("3b8000000000000000", CborFault::BelowInt64),
            ("c11a514b67b0", CborFault::Unsupported),
            ("f93c00", CborFault::Unsupported),
            ("fb3ff199999999999a", CborFault::Unsupported),
            ("f7", CborFault::Unsupported),
            ("f814", CborFault::Unsupported),
            ("ff", CborFault::Unsupported),
            ("1c", CborFault::Unsupported),
            ("1f", CborFault::Unsupported),
            ("61ff", CborFault::NotUtf8),
            ("a10101", CborFault::KeyNotText),
            ("a2616101616102", CborFault::KeyOrder),
            ("a2616201616102", CborFault::KeyOrder),
            ("a262616101616202", CborFault::KeyOrder),
        ] {
            check(hex, Err(fault));
        }
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        let nested = |depth: usize| [vec![0x81; depth - 1], vec![0x80]].concat();
        assert!(decode(&nested(CBOR_DEPTH_MAX)).is_ok());
        assert_eq!(decode(&nested(CBOR_DEPTH_MAX + 1)).unwrap_err().fault, CborFault::TooDeep);
        assert_eq!(validate(&nested(CBOR_DEPTH_MAX + 1)).unwrap_err().fault, CborFault::TooDeep);
    }

    #[test]
    fn a_map_is_sorted_and_a_key_given_twice_keeps_its_last_value() {
        let mut out = Vec::new();
        Encoder::new(&mut out).map_of(|map| {
            map.entry("bb").uint(1);
            map.entry("a").text("x");
            map.entry("bb").int(-2);
            map.entry("aa").null();
        });
        let expect = [("a", Value::Text("x".into())), ("aa", Value::Null), ("bb", Value::Neg(-2))];
        assert_eq!(decode(&out).unwrap(), Value::Map(expect.map(|(k, v)| (k.to_owned(), v)).to_vec()));
    }
}
