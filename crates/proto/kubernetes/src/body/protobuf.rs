//! Bodies in protobuf, written as JSON. Spec: protobuf's wire format; k8s.io/apimachinery's `runtime.Unknown` around an object;
//! the messages of `schema.txt`.
//!
//! What comes out goes upstream in place of what came, so that what is decided is what the server reads. A field that the
//! table does not have, one that stands twice, a map's name that does, another type on the wire and a kind that is not in the
//! table are refused: nothing is left out.
//!
//! Values that protobuf writes although they say nothing (an empty text, 0, `false`) are written in JSON, too, where the server
//! makes the same of them.

use crate::fault::{self as why, Reason};
use crate::limits::BODY_BYTES_MAX;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

/// Writes a body as one JSON object, with its `kind` and `apiVersion`.
///
/// Errors (side: client): no envelope, a kind or a field that is not known, twice, of another type, text that is not UTF-8,
/// embedded JSON that is none, nested deeper than JSON may be, more than [`BODY_BYTES_MAX`] bytes before or behind.
pub fn json(body: &[u8]) -> Result<Vec<u8>, Reason> {
    if body.len() > BODY_BYTES_MAX {
        return Err(why::BODY_TOO_LARGE);
    }
    let envelope = Fields::read(body.strip_prefix(b"k8s\0").ok_or(why::NO_PROTOBUF)?)?;
    envelope.only(&[1, 2, 3, 4])?;
    let types = Fields::read(envelope.bytes(1)?.unwrap_or_default())?;
    types.only(&[1, 2])?;
    // Nothing is encoded in it once more.
    if envelope.text(3)?.is_some_and(|t| !t.is_empty()) || envelope.text(4)?.is_some_and(|t| !t.is_empty()) {
        return Err(why::NO_PROTOBUF);
    }
    let (version, kind) = (types.text(1)?.unwrap_or_default(), types.text(2)?.unwrap_or_default());
    let message = SCHEMA.kinds.get(&(version, kind)).ok_or(why::PROTOBUF_KIND)?;
    let mut out = Json { text: String::from("{\"kind\":"), first: false };
    json::string(&mut out.text, kind);
    out.text.push_str(",\"apiVersion\":");
    json::string(&mut out.text, version);
    out.members(message, envelope.bytes(2)?.ok_or(why::NO_PROTOBUF)?, 1)?;
    out.text.push('}');
    out.checked()?;
    Ok(out.text.into_bytes())
}

/// The table.
struct Schema {
    kinds: HashMap<(&'static str, &'static str), &'static str>,
    messages: HashMap<&'static str, Vec<Field>>,
}

/// One field of a message.
struct Field {
    number: u64,
    /// `-`: its members stand in the message around it.
    name: &'static str,
    many: Many,
    kind: Type,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Many {
    One,
    List,
    Map,
}

#[derive(Clone, Copy)]
enum Type {
    Text,
    Bytes,
    Integer,
    Boolean,
    /// One whose JSON is no object.
    Special(Special),
    Message(&'static str),
}

#[derive(Clone, Copy)]
enum Special {
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    RawExtension,
    Items,
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::parse(include_str!("schema.txt")));

impl Schema {
    /// Reads our own table; what it is is held by a test.
    fn parse(text: &'static str) -> Schema {
        let mut schema = Schema { kinds: HashMap::new(), messages: HashMap::new() };
        let mut fields: Option<&mut Vec<Field>> = None;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&'static str> = line.split(' ').collect();
            match *words.as_slice() {
                ["kind", version, kind, message] => {
                    schema.kinds.insert((version, kind), message);
                }
                ["message", name] => fields = Some(schema.messages.entry(name).or_default()),
                [number, name, kind] => {
                    if let (Some(fields), Ok(number)) = (&mut fields, number.parse()) {
                        fields.push(Field::new(number, name, kind));
                    }
                }
                _ => {}
            }
        }
        schema
    }
}

impl Field {
    fn new(number: u64, name: &'static str, kind: &'static str) -> Field {
        let (many, kind) = match (kind.strip_prefix('*'), kind.strip_prefix('{')) {
            (Some(kind), _) => (Many::List, kind),
            (_, Some(kind)) => (Many::Map, kind),
            (None, None) => (Many::One, kind),
        };
        let kind = match kind {
            "s" => Type::Text,
            "b" => Type::Bytes,
            "i" => Type::Integer,
            "t" => Type::Boolean,
            "Time" => Type::Special(Special::Time),
            "MicroTime" => Type::Special(Special::MicroTime),
            "Quantity" => Type::Special(Special::Quantity),
            "IntOrString" => Type::Special(Special::IntOrString),
            "RawExtension" => Type::Special(Special::RawExtension),
            "Items" => Type::Special(Special::Items),
            message => Type::Message(message),
        };
        Field { number, name, many, kind }
    }
}

/// A value on the wire. Kubernetes has no others: floating-point numbers stand in no kind of the table.
#[derive(Clone, Copy)]
enum Raw<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

/// The fields of one message, by their numbers.
struct Fields<'a>(BTreeMap<u64, Vec<Raw<'a>>>);

impl<'a> Fields<'a> {
    fn read(mut bytes: &'a [u8]) -> Result<Fields<'a>, Reason> {
        let mut fields: BTreeMap<u64, Vec<Raw<'a>>> = BTreeMap::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            let raw = match tag & 7 {
                0 => Raw::Varint(varint(&mut bytes)?),
                2 => {
                    let len = usize::try_from(varint(&mut bytes)?).map_err(|_| why::NO_PROTOBUF)?;
                    let (value, rest) = bytes.split_at_checked(len).ok_or(why::NO_PROTOBUF)?;
                    bytes = rest;
                    Raw::Bytes(value)
                }
                _ => return Err(why::NO_PROTOBUF),
            };
            fields.entry(tag >> 3).or_default().push(raw);
        }
        Ok(Fields(fields))
    }

    /// Errors: a field that is none of `numbers`.
    fn only(&self, numbers: &[u64]) -> Result<(), Reason> {
        match self.0.keys().all(|number| numbers.contains(number)) {
            true => Ok(()),
            false => Err(why::PROTOBUF_FIELD),
        }
    }

    fn one(&self, number: u64) -> Result<Option<Raw<'a>>, Reason> {
        match self.0.get(&number).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([one]) => Ok(Some(*one)),
            Some(_) => Err(why::PROTOBUF_TWICE),
        }
    }

    fn bytes(&self, number: u64) -> Result<Option<&'a [u8]>, Reason> {
        self.one(number)?.map(Raw::bytes).transpose()
    }

    fn text(&self, number: u64) -> Result<Option<&'a str>, Reason> {
        self.bytes(number)?.map(utf8).transpose()
    }

    fn integer(&self, number: u64) -> Result<i64, Reason> {
        self.one(number)?.map_or(Ok(0), Raw::integer)
    }
}

impl<'a> Raw<'a> {
    fn bytes(self) -> Result<&'a [u8], Reason> {
        match self {
            Raw::Bytes(bytes) => Ok(bytes),
            Raw::Varint(_) => Err(why::NO_PROTOBUF),
        }
    }

    /// Of 32 bits or 64: both are written with the sign of 64.
    fn integer(self) -> Result<i64, Reason> {
        match self {
            Raw::Varint(value) => Ok(value.cast_signed()),
            Raw::Bytes(_) => Err(why::NO_PROTOBUF),
        }
    }
}

/// At most ten bytes, of which the last has one bit.
fn varint(bytes: &mut &[u8]) -> Result<u64, Reason> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(why::NO_PROTOBUF)?;
        *bytes = rest;
        if shift == 63 && *byte > 1 {
            return Err(why::NO_PROTOBUF);
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(why::NO_PROTOBUF)
}

fn utf8(bytes: &[u8]) -> Result<&str, Reason> {
    std::str::from_utf8(bytes).map_err(|_| why::NO_PROTOBUF)
}

/// The text that is written.
struct Json {
    text: String,
    /// Nothing stands yet in the innermost object or array.
    first: bool,
}

impl Json {
    /// The members of a message, in the order of the table. `depth`: of the objects around them.
    fn members(&mut self, message: &str, bytes: &[u8], depth: usize) -> Result<(), Reason> {
        if depth > json::JSON_DEPTH_MAX {
            return Err(why::NO_PROTOBUF);
        }
        self.checked()?;
        let known = SCHEMA.messages.get(message).ok_or(why::PROTOBUF_KIND)?;
        let fields = Fields::read(bytes)?;
        if fields.0.keys().any(|number| known.iter().all(|field| field.number != *number)) {
            return Err(why::PROTOBUF_FIELD);
        }
        for field in known {
            let Some(values) = fields.0.get(&field.number) else { continue };
            match (field.many, values.as_slice()) {
                (Many::One, [value]) => self.member(field, *value, depth)?,
                (Many::One, _) => return Err(why::PROTOBUF_TWICE),
                (Many::List, values) => self.list(field, values, depth)?,
                (Many::Map, values) => self.map(field, values, depth)?,
            }
        }
        Ok(())
    }

    fn member(&mut self, field: &Field, value: Raw<'_>, depth: usize) -> Result<(), Reason> {
        match field.kind {
            Type::Message(message) if field.name == "-" => self.members(message, value.bytes()?, depth),
            kind => {
                self.name(field.name);
                self.value(kind, value, depth)
            }
        }
    }

    fn list(&mut self, field: &Field, values: &[Raw<'_>], depth: usize) -> Result<(), Reason> {
        self.name(field.name);
        self.open('[');
        for value in values {
            self.next();
            self.value(field.kind, *value, depth + 1)?;
        }
        self.close(']');
        Ok(())
    }

    fn map(&mut self, field: &Field, values: &[Raw<'_>], depth: usize) -> Result<(), Reason> {
        self.name(field.name);
        self.open('{');
        let mut names = BTreeSet::new();
        for value in values {
            let entry = Fields::read(value.bytes()?)?;
            entry.only(&[1, 2])?;
            let name = entry.text(1)?.ok_or(why::NO_PROTOBUF)?;
            if !names.insert(name) {
                return Err(why::PROTOBUF_TWICE);
            }
            self.name(name);
            self.value(field.kind, entry.one(2)?.ok_or(why::NO_PROTOBUF)?, depth + 1)?;
        }
        self.close('}');
        Ok(())
    }

    fn value(&mut self, kind: Type, value: Raw<'_>, depth: usize) -> Result<(), Reason> {
        match kind {
            Type::Text => json::string(&mut self.text, utf8(value.bytes()?)?),
            Type::Bytes => json::string(&mut self.text, &STANDARD.encode(value.bytes()?)),
            Type::Integer => self.text.push_str(&value.integer()?.to_string()),
            Type::Boolean => match value.integer()? {
                0 => self.text.push_str("false"),
                1 => self.text.push_str("true"),
                _ => return Err(why::NO_PROTOBUF),
            },
            Type::Special(special) => self.special(special, value.bytes()?)?,
            Type::Message(message) => {
                self.open('{');
                self.members(message, value.bytes()?, depth + 1)?;
                self.close('}');
            }
        }
        Ok(())
    }

    fn special(&mut self, special: Special, bytes: &[u8]) -> Result<(), Reason> {
        let fields = Fields::read(bytes)?;
        match special {
            Special::Time | Special::MicroTime if bytes.is_empty() => self.text.push_str("null"),
            Special::Time => self.time(&fields, false)?,
            Special::MicroTime => self.time(&fields, true)?,
            Special::Quantity => {
                fields.only(&[1])?;
                json::string(&mut self.text, fields.text(1)?.unwrap_or("0"));
            }
            Special::IntOrString => self.int_or_string(&fields)?,
            Special::RawExtension => {
                fields.only(&[1])?;
                let raw = fields.bytes(1)?.filter(|raw| !raw.is_empty()).unwrap_or(b"null");
                self.text.push_str(json::parse(raw)?.raw);
            }
            Special::Items => {
                fields.only(&[1])?;
                let items = fields.0.get(&1).map(Vec::as_slice).unwrap_or_default();
                self.open('[');
                for item in items {
                    self.next();
                    json::string(&mut self.text, utf8(item.bytes()?)?);
                }
                self.close(']');
            }
        }
        Ok(())
    }

    /// 0: a number; 1: a text. What is not said is empty.
    fn int_or_string(&mut self, fields: &Fields<'_>) -> Result<(), Reason> {
        fields.only(&[1, 2, 3])?;
        let (number, text) = (fields.integer(2)?, fields.text(3)?.unwrap_or_default());
        match (fields.integer(1)?, number, text) {
            (0, number, "") => self.text.push_str(&number.to_string()),
            (1, 0, text) => json::string(&mut self.text, text),
            _ => return Err(why::NO_PROTOBUF),
        }
        Ok(())
    }

    /// RFC 3339 in UTC: with microseconds, or whole seconds, as Go's JSON of these types is.
    fn time(&mut self, fields: &Fields<'_>, micro: bool) -> Result<(), Reason> {
        fields.only(&[1, 2])?;
        let (seconds, nanos) = (fields.integer(1)?, fields.integer(2)?);
        let (year, month, day) = date(seconds.div_euclid(86_400)).ok_or(why::NO_PROTOBUF)?;
        let of_day = seconds.rem_euclid(86_400);
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        if !(0..1_000_000_000).contains(&nanos) {
            return Err(why::NO_PROTOBUF);
        }
        let fraction = if micro { format!(".{:06}", nanos / 1_000) } else { String::new() };
        self.text.push_str(&format!(
            "\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z\""
        ));
        Ok(())
    }

    fn name(&mut self, name: &str) {
        self.next();
        json::string(&mut self.text, name);
        self.text.push(':');
    }

    fn next(&mut self) {
        if !std::mem::replace(&mut self.first, false) {
            self.text.push(',');
        }
    }

    fn open(&mut self, bracket: char) {
        self.text.push(bracket);
        self.first = true;
    }

    fn close(&mut self, bracket: char) {
        self.text.push(bracket);
        self.first = false;
    }

    fn checked(&self) -> Result<(), Reason> {
        if self.text.len() > BODY_BYTES_MAX { Err(why::BODY_TOO_LARGE) } else { Ok(()) }
    }
}

/// The date of a day since 1970, in the years 1 to 9999 (Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: i64) -> Option<(i64, i64, i64)> {
    const FROM: i64 = -719_162;
    const TO: i64 = 2_932_896;
    if !(FROM..=TO).contains(&days) {
        return None;
    }
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Some((year, month, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let lines = include_str!("schema.txt").lines().filter(|line| !line.starts_with('#')).count();
        let fields: usize = SCHEMA.messages.values().map(Vec::len).sum();
        assert_eq!(SCHEMA.kinds.len() + SCHEMA.messages.len() + fields, lines);
        let known = |name: &str| assert!(SCHEMA.messages.contains_key(name), "{name}");
        SCHEMA.kinds.values().for_each(|message| known(message));
        for field in SCHEMA.messages.values().flatten() {
            if let Type::Message(message) = field.kind {
                known(message);
            }
            assert!(field.name != "-" || matches!((field.kind, field.many), (Type::Message(_), Many::One)));
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_784, (2026, 11, 27)),
            (-719_162, (1, 1, 1)),
            (2_932_896, (9999, 12, 31)),
        ];
        for (days, expected) in cases {
            assert_eq!(date(days), Some(expected), "{days}");
        }
        assert_eq!((date(-719_163), date(2_932_897), date(i64::MAX)), (None, None, None));
    }
}
