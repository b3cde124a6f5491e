//! PostgreSQL's values as text, so that whoever asks for one finds it whatever format it came in. Spec: the send functions of
//! PostgreSQL's types (`*send` in `src/backend/utils/adt`), which no chapter of the manual has.
//!
//! [`scan`] never guesses: what is not of a type's binary form is [`Scan::Malformed`], what is of a type that is not
//! known here (an extension's) is [`Scan::Unknown`] with its raw bytes, in which text still stands as text. Times are in
//! DateStyle ISO, intervals in IntervalStyle postgres, and what has a time zone in UTC.
//!
//! A crate of its own, since the gateway records by it and replay shows by it. It knows no message and no protocol.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt::Write as _;

/// Nesting of arrays, composites, ranges and multiranges in a binary value.
pub const VALUE_DEPTH_MAX: u32 = 8;

/// Text that one binary value is printed to, in bytes: that of the largest row. Fourteen bytes of numeric can mean 131,072
/// digits, so an array of them would be 9,000 times as large as its bytes; above this the value counts as malformed.
pub const VALUE_TEXT_BYTES_MAX: usize = 64 << 20;

/// How long the bytes of a `bytea` are whose digits may be asked for as one word.
pub const BYTEA_DIGITS_MAX: usize = 127;

/// Bytes as PostgreSQL prints them (`bytea_output = hex`).
pub fn bytea_digits(bytes: &[u8]) -> Vec<u8> {
    let hex = |nibble: u8| char::from_digit(u32::from(nibble), 16).map_or(b'0', |digit| digit as u8);
    let pairs = bytes.iter().flat_map(|byte| [hex(byte >> 4), hex(byte & 15)]);
    b"\\x".iter().copied().chain(pairs).collect()
}

/// A value as its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan<'a> {
    /// As PostgreSQL would print it, or for composed values their parts, each on a line.
    Text(Cow<'a, [u8]>),
    /// A bytea's bytes.
    Bytes(Cow<'a, [u8]>),
    /// Binary, in whole or in part of a type that is not known here, or whose text the server's settings decide: what can
    /// be read of it.
    Unknown(Cow<'a, [u8]>),
    /// Binary, and not of its type's form: a defect or an attack of upstream's.
    Malformed,
}

impl Scan<'_> {
    /// What to look at; for a malformed value there is nothing.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Scan::Text(bytes) | Scan::Bytes(bytes) | Scan::Unknown(bytes) => bytes,
            Scan::Malformed => &[],
        }
    }
}

/// What values of a type can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carries {
    /// Any text: text, varchar, json, xml, name, ...
    Text,
    Bytes,
    /// Digits: a card number fits into a bigint, a numeric or a double.
    Number,
    /// Dates and times.
    Time,
    Network,
    Uuid,
    /// Too short to be asked for (bool), or numbers of the system's own.
    Nothing,
    /// What the server prints by its catalog, or in a way that is not known here: `regclass`, geometry.
    Elsewhere,
    /// An array of the type with this OID.
    Array(u32),
    /// A range or multirange of the type with this OID.
    Range(u32),
    Multirange(u32),
    /// A row of anything.
    Composite,
    /// Not a built-in type: enums, domains over composites, extensions.
    Unknown,
}

/// What values of the type can carry.
pub fn carries(type_oid: u32) -> Carries {
    use oid::*;
    match type_oid {
        TEXT | VARCHAR | BPCHAR | NAME | CHAR | JSON | JSONB | JSONPATH | XML | CSTRING | UNKNOWN
        | REFCURSOR | TSVECTOR | TSQUERY => Carries::Text,
        BYTEA => Carries::Bytes,
        INT2 | INT4 | INT8 | FLOAT4 | FLOAT8 | NUMERIC | MONEY | BIT | VARBIT => Carries::Number,
        DATE | TIME | TIMETZ | TIMESTAMP | TIMESTAMPTZ | INTERVAL => Carries::Time,
        INET | CIDR | MACADDR | MACADDR8 => Carries::Network,
        UUID => Carries::Uuid,
        BOOL | OID | XID | XID8 | CID | TID | PG_LSN | VOID => Carries::Nothing,
        POINT | LSEG | PATH | BOX | POLYGON | LINE | CIRCLE | REGPROC | REGPROCEDURE | REGOPER
        | REGOPERATOR | REGCLASS | REGTYPE | REGROLE | REGNAMESPACE | REGCONFIG | REGDICTIONARY
        | REGCOLLATION => Carries::Elsewhere,
        RECORD => Carries::Composite,
        _ => composed(type_oid),
    }
}

/// What a type is that is not built in, by its OID: the built-in one whose values its own are written as, if there is one,
/// and what it carries. Of a domain that is the type below it, of an enum `text`.
pub type Own<'a> = &'a dyn Fn(u32) -> Option<(u32, Carries)>;

/// No type but the built-in ones is known.
pub fn built_in(_type_oid: u32) -> Option<(u32, Carries)> {
    None
}

/// The value, in text or binary format, as its text. `value` is not NULL.
pub fn scan<'a>(type_oid: u32, is_binary: bool, value: &'a [u8], own: Own<'_>) -> Scan<'a> {
    match is_binary {
        false if type_oid == oid::BYTEA => text_bytea(value),
        false => Scan::Text(Cow::Borrowed(value)),
        true => binary(type_oid, value, own, VALUE_TEXT_BYTES_MAX),
    }
}

/// The same of a value in binary format, where one whose text is much longer than itself is malformed: a number of 14 bytes may have
/// 131,072 digits, and no value of a class has so many.
pub fn scan_near<'a>(type_oid: u32, value: &'a [u8], own: Own<'_>) -> Scan<'a> {
    binary(type_oid, value, own, NEAR_TEXT_BYTES + NEAR_TEXT_TIMES * value.len())
}

/// How much longer than a value its text may be: dates take three bytes of text for one, intervals as they are mostly written four.
const NEAR_TEXT_TIMES: usize = 8;
const NEAR_TEXT_BYTES: usize = 4 << 10;

/// OIDs of built-in types that are named here.
pub mod oid {
    pub const BOOL: u32 = 16;
    pub const BYTEA: u32 = 17;
    pub const CHAR: u32 = 18;
    pub const NAME: u32 = 19;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const INT2VECTOR: u32 = 22;
    pub const INT4: u32 = 23;
    pub const REGPROC: u32 = 24;
    pub const TEXT: u32 = 25;
    pub const OID: u32 = 26;
    pub const TID: u32 = 27;
    pub const XID: u32 = 28;
    pub const CID: u32 = 29;
    pub const OIDVECTOR: u32 = 30;
    pub const JSON: u32 = 114;
    pub const XML: u32 = 142;
    pub const POINT: u32 = 600;
    pub const LSEG: u32 = 601;
    pub const PATH: u32 = 602;
    pub const BOX: u32 = 603;
    pub const POLYGON: u32 = 604;
    pub const LINE: u32 = 628;
    pub const CIDR: u32 = 650;
    pub const FLOAT4: u32 = 700;
    pub const FLOAT8: u32 = 701;
    pub const UNKNOWN: u32 = 705;
    pub const CIRCLE: u32 = 718;
    pub const MACADDR8: u32 = 774;
    pub const MONEY: u32 = 790;
    pub const MACADDR: u32 = 829;
    pub const INET: u32 = 869;
    pub const BPCHAR: u32 = 1042;
    pub const VARCHAR: u32 = 1043;
    pub const DATE: u32 = 1082;
    pub const TIME: u32 = 1083;
    pub const TIMESTAMP: u32 = 1114;
    pub const TIMESTAMPTZ: u32 = 1184;
    pub const INTERVAL: u32 = 1186;
    pub const TIMETZ: u32 = 1266;
    pub const BIT: u32 = 1560;
    pub const VARBIT: u32 = 1562;
    pub const NUMERIC: u32 = 1700;
    pub const REFCURSOR: u32 = 1790;
    pub const REGPROCEDURE: u32 = 2202;
    pub const REGOPER: u32 = 2203;
    pub const REGOPERATOR: u32 = 2204;
    pub const REGCLASS: u32 = 2205;
    pub const REGTYPE: u32 = 2206;
    pub const RECORD: u32 = 2249;
    pub const CSTRING: u32 = 2275;
    pub const VOID: u32 = 2278;
    pub const RECORD_ARRAY: u32 = 2287;
    pub const UUID: u32 = 2950;
    pub const PG_LSN: u32 = 3220;
    pub const TSVECTOR: u32 = 3614;
    pub const TSQUERY: u32 = 3615;
    pub const REGCONFIG: u32 = 3734;
    pub const REGDICTIONARY: u32 = 3769;
    pub const JSONB: u32 = 3802;
    pub const JSONPATH: u32 = 4072;
    pub const REGNAMESPACE: u32 = 4089;
    pub const REGROLE: u32 = 4096;
    pub const REGCOLLATION: u32 = 4191;
    pub const XID8: u32 = 5069;
}

/// Array type, element type. The built-in ones; an array of another type says its element's OID in every value, but
/// is not known as an array by its own.
const ARRAYS: &[(u32, u32)] = &[
    (143, oid::XML),
    (199, oid::JSON),
    (oid::INT2VECTOR, oid::INT2),
    (oid::OIDVECTOR, oid::OID),
    (271, oid::XID8),
    (629, oid::LINE),
    (651, oid::CIDR),
    (719, oid::CIRCLE),
    (775, oid::MACADDR8),
    (791, oid::MONEY),
    (1000, oid::BOOL),
    (1001, oid::BYTEA),
    (1002, oid::CHAR),
    (1003, oid::NAME),
    (1005, oid::INT2),
    (1006, oid::INT2VECTOR),
    (1007, oid::INT4),
    (1008, oid::REGPROC),
    (1009, oid::TEXT),
    (1010, oid::TID),
    (1011, oid::XID),
    (1012, oid::CID),
    (1013, oid::OIDVECTOR),
    (1014, oid::BPCHAR),
    (1015, oid::VARCHAR),
    (1016, oid::INT8),
    (1017, oid::POINT),
    (1018, oid::LSEG),
    (1019, oid::PATH),
    (1020, oid::BOX),
    (1021, oid::FLOAT4),
    (1022, oid::FLOAT8),
    (1027, oid::POLYGON),
    (1028, oid::OID),
    (1040, oid::MACADDR),
    (1041, oid::INET),
    (1115, oid::TIMESTAMP),
    (1182, oid::DATE),
    (1183, oid::TIME),
    (1185, oid::TIMESTAMPTZ),
    (1187, oid::INTERVAL),
    (1231, oid::NUMERIC),
    (1263, oid::CSTRING),
    (1270, oid::TIMETZ),
    (1561, oid::BIT),
    (1563, oid::VARBIT),
    (2201, oid::REFCURSOR),
    (2207, oid::REGPROCEDURE),
    (2208, oid::REGOPER),
    (2209, oid::REGOPERATOR),
    (2210, oid::REGCLASS),
    (2211, oid::REGTYPE),
    (oid::RECORD_ARRAY, oid::RECORD),
    (2951, oid::UUID),
    (3221, oid::PG_LSN),
    (3643, oid::TSVECTOR),
    (3645, oid::TSQUERY),
    (3735, oid::REGCONFIG),
    (3770, oid::REGDICTIONARY),
    (3807, oid::JSONB),
    (3905, 3904),
    (3907, 3906),
    (3909, 3908),
    (3911, 3910),
    (3913, 3912),
    (3927, 3926),
    (4073, oid::JSONPATH),
    (4090, oid::REGNAMESPACE),
    (4097, oid::REGROLE),
    (4192, oid::REGCOLLATION),
    (6150, 4451),
    (6151, 4532),
    (6152, 4533),
    (6153, 4534),
    (6155, 4535),
    (6157, 4536),
];

/// Range type, multirange type, type of the bounds.
const RANGES: &[(u32, u32, u32)] = &[
    (3904, 4451, oid::INT4),
    (3906, 4532, oid::NUMERIC),
    (3908, 4533, oid::TIMESTAMP),
    (3910, 4534, oid::TIMESTAMPTZ),
    (3912, 4535, oid::DATE),
    (3926, 4536, oid::INT8),
];

fn composed(type_oid: u32) -> Carries {
    if let Some((_, element)) = ARRAYS.iter().find(|(array, _)| *array == type_oid) {
        return Carries::Array(*element);
    }
    for (range, multirange, bound) in RANGES {
        if *range == type_oid {
            return Carries::Range(*bound);
        }
        if *multirange == type_oid {
            return Carries::Multirange(*bound);
        }
    }
    Carries::Unknown
}

/// `\x` and hexadecimal digits; in the old escape format the text is good enough.
fn text_bytea(value: &[u8]) -> Scan<'_> {
    let Some(hex) = value.strip_prefix(b"\\x") else { return Scan::Text(Cow::Borrowed(value)) };
    let digit = |b: &u8| char::from(*b).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    };
    match hex.chunks(2).map(byte).collect::<Option<Vec<u8>>>() {
        Some(bytes) => Scan::Bytes(Cow::Owned(bytes)),
        None => Scan::Malformed,
    }
}

fn binary<'a>(type_oid: u32, value: &'a [u8], own: Own<'_>, max: usize) -> Scan<'a> {
    let mut printer = Printer { own, out: Vec::new(), unknown: false, max };
    match printer.is(type_oid) {
        (_, Carries::Unknown) => return Scan::Unknown(Cow::Borrowed(value)),
        (_, Carries::Bytes) => return Scan::Bytes(Cow::Borrowed(value)),
        (type_oid, Carries::Text) if is_itself(type_oid) => return Scan::Text(Cow::Borrowed(value)),
        _ => {}
    }
    match printer.print(type_oid, value, 0).filter(|()| printer.out.len() <= max) {
        Some(()) if printer.unknown => Scan::Unknown(Cow::Owned(printer.out)),
        Some(()) => Scan::Text(Cow::Owned(printer.out)),
        None => Scan::Malformed,
    }
}

/// Of a type that carries text: whether its binary form is its text.
fn is_itself(type_oid: u32) -> bool {
    !matches!(type_oid, oid::JSONB | oid::JSONPATH | oid::TSVECTOR | oid::TSQUERY)
}

/// Appends binary values as text. Each method gives `None` where a value is not of its type's form.
struct Printer<'a> {
    own: Own<'a>,
    out: Vec<u8>,
    /// Something of it has a text that is not known here.
    unknown: bool,
    /// Longer is not printed: then the value counts as malformed.
    max: usize,
}

impl Printer<'_> {
    fn is(&self, type_oid: u32) -> (u32, Carries) {
        match carries(type_oid) {
            Carries::Unknown => (self.own)(type_oid).unwrap_or((type_oid, Carries::Unknown)),
            carries => (type_oid, carries),
        }
    }

    fn print(&mut self, type_oid: u32, value: &[u8], depth: u32) -> Option<()> {
        if depth > VALUE_DEPTH_MAX || self.out.len() > self.max {
            return None;
        }
        let (type_oid, carries) = self.is(type_oid);
        match carries {
            Carries::Array(element) => self.array(element, value, depth),
            Carries::Range(bound) => self.range(bound, value, depth),
            Carries::Multirange(bound) => self.multirange(bound, value, depth),
            Carries::Composite => self.composite(value, depth),
            Carries::Unknown | Carries::Elsewhere => {
                self.unknown = true;
                self.out.extend_from_slice(value);
                Some(())
            }
            Carries::Bytes => {
                self.out.extend_from_slice(value);
                // Both as they are and as they are printed; a line's end in them would be one between parts.
                self.unknown |= value.contains(&b'\n') || value.len() > BYTEA_DIGITS_MAX;
                if value.len() <= BYTEA_DIGITS_MAX {
                    self.out.push(b'\n');
                    self.out.extend(bytea_digits(value));
                }
                Some(())
            }
            Carries::Text => self.text(type_oid, value),
            Carries::Number | Carries::Time | Carries::Network | Carries::Uuid | Carries::Nothing => {
                // What money is called, and how many digits it has, is the server's locale's.
                self.unknown |= type_oid == oid::MONEY;
                self.out.extend_from_slice(scalar(type_oid, value)?.as_bytes());
                Some(())
            }
        }
    }

    fn text(&mut self, type_oid: u32, value: &[u8]) -> Option<()> {
        match type_oid {
            oid::JSONB | oid::JSONPATH => {
                let (version, json) = value.split_first()?;
                (*version == 1).then_some(())?;
                self.out.extend_from_slice(json);
            }
            oid::TSVECTOR | oid::TSQUERY => {
                self.unknown = true;
                self.out.extend(value.iter().map(|b| if *b == 0 { b'\n' } else { *b }));
            }
            _ => self.out.extend_from_slice(value),
        }
        Some(())
    }

    /// Dimensions, a flag, the element's OID, per dimension its size and lower bound, then the elements.
    fn array(&mut self, element: u32, value: &[u8], depth: u32) -> Option<()> {
        let mut rest = value;
        let dimensions = take_u32(&mut rest)?;
        let _has_nulls = take_u32(&mut rest)?;
        let sent_element = take_u32(&mut rest)?;
        // PostgreSQL's MAXDIM.
        if dimensions > 6 {
            return None;
        }
        let mut elements = u64::from(dimensions > 0);
        for _ in 0..dimensions {
            elements = elements.checked_mul(u64::from(take_u32(&mut rest)?))?;
            take_u32(&mut rest)?;
        }
        // What the value says of itself counts: a domain's array has the domain's OID.
        let element = if self.is(sent_element).1 == Carries::Unknown { element } else { sent_element };
        self.parts(elements, element, rest, depth)
    }

    /// The number of fields, then each one's OID and value.
    fn composite(&mut self, value: &[u8], depth: u32) -> Option<()> {
        let mut rest = value;
        let fields = take_u32(&mut rest)?;
        for _ in 0..fields {
            let type_oid = take_u32(&mut rest)?;
            self.part(type_oid, &mut rest, depth)?;
        }
        rest.is_empty().then_some(())
    }

    /// Flags, then the bounds that are there.
    fn range(&mut self, bound: u32, value: &[u8], depth: u32) -> Option<()> {
        const EMPTY: u8 = 0x01;
        const LOWER_INFINITE: u8 = 0x08;
        const UPPER_INFINITE: u8 = 0x10;
        let (&flags, rest) = value.split_first()?;
        let bounds = match flags {
            _ if flags & EMPTY != 0 => 0,
            _ => u64::from(flags & LOWER_INFINITE == 0) + u64::from(flags & UPPER_INFINITE == 0),
        };
        self.parts(bounds, bound, rest, depth)
    }

    fn multirange(&mut self, bound: u32, value: &[u8], depth: u32) -> Option<()> {
        let mut rest = value;
        let ranges = take_u32(&mut rest)?;
        for _ in 0..ranges {
            let length = usize::try_from(take_u32(&mut rest)?).ok()?;
            let (one, behind) = rest.split_at_checked(length)?;
            self.range(bound, one, depth + 1)?;
            rest = behind;
        }
        rest.is_empty().then_some(())
    }

    fn parts(&mut self, count: u64, type_oid: u32, mut rest: &[u8], depth: u32) -> Option<()> {
        for _ in 0..count {
            self.part(type_oid, &mut rest, depth)?;
        }
        rest.is_empty().then_some(())
    }

    /// A length, -1 for NULL, and a value; on a line of its own.
    fn part(&mut self, type_oid: u32, rest: &mut &[u8], depth: u32) -> Option<()> {
        let length = take_u32(rest)?;
        if length == u32::MAX {
            return Some(());
        }
        let (value, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        *rest = behind;
        if self.out.last().is_some_and(|last| *last != b'\n') {
            self.out.push(b'\n');
        }
        self.print(type_oid, value, depth + 1)
    }
}

/// The text of a value that has no parts.
fn scalar(type_oid: u32, value: &[u8]) -> Option<String> {
    let mut text = String::new();
    match type_oid {
        oid::INT2 => write!(text, "{}", i16::from_be_bytes(exactly(value)?)).ok()?,
        oid::INT4 => write!(text, "{}", i32::from_be_bytes(exactly(value)?)).ok()?,
        oid::INT8 => write!(text, "{}", i64::from_be_bytes(exactly(value)?)).ok()?,
        oid::OID | oid::XID | oid::CID => write!(text, "{}", u32::from_be_bytes(exactly(value)?)).ok()?,
        oid::XID8 => write!(text, "{}", u64::from_be_bytes(exactly(value)?)).ok()?,
        oid::FLOAT4 => {
            let number = f32::from_be_bytes(exactly(value)?);
            float(&format!("{number:e}"), &format!("{number}"), 6, &mut text)?;
        }
        oid::FLOAT8 => {
            let number = f64::from_be_bytes(exactly(value)?);
            float(&format!("{number:e}"), &format!("{number}"), 15, &mut text)?;
        }
        oid::NUMERIC => numeric(value, &mut text)?,
        oid::MONEY => money(i64::from_be_bytes(exactly(value)?), &mut text)?,
        oid::BIT | oid::VARBIT => bits(value, &mut text)?,
        oid::DATE => date(i32::from_be_bytes(exactly(value)?), &mut text)?,
        oid::TIME => time(i64::from_be_bytes(exactly(value)?), &mut text)?,
        oid::TIMETZ => timetz(value, &mut text)?,
        oid::TIMESTAMP => timestamp(i64::from_be_bytes(exactly(value)?), "", &mut text)?,
        oid::TIMESTAMPTZ => timestamp(i64::from_be_bytes(exactly(value)?), "+00", &mut text)?,
        oid::INTERVAL => interval(value, &mut text)?,
        oid::INET | oid::CIDR => inet(value, &mut text)?,
        oid::MACADDR => hex(&exactly::<6>(value)?, &[1, 2, 3, 4, 5], ':', &mut text)?,
        oid::MACADDR8 => hex(&exactly::<8>(value)?, &[1, 2, 3, 4, 5, 6, 7], ':', &mut text)?,
        oid::UUID => hex(&exactly::<16>(value)?, &[4, 6, 8, 10], '-', &mut text)?,
        oid::TID => {
            let (block, place) = value.split_first_chunk::<4>()?;
            let place = u16::from_be_bytes(exactly(place)?);
            write!(text, "({},{place})", u32::from_be_bytes(*block)).ok()?;
        }
        oid::PG_LSN => {
            let at = u64::from_be_bytes(exactly(value)?);
            write!(text, "{:X}/{:X}", at >> 32, at & 0xffff_ffff).ok()?;
        }
        oid::BOOL => text.push_str(if exactly::<1>(value)? == [0] { "f" } else { "t" }),
        _void => {}
    }
    Some(text)
}

/// As its shortest text that reads back as the same number, `scientific` below 1e-4 and from ten to `digits` on; there
/// `plain` follows on a line of its own.
fn float(scientific: &str, plain: &str, digits: i32, text: &mut String) -> Option<()> {
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return text.write_str(&plain.replace("inf", "Infinity")).ok();
    };
    let exponent: i32 = exponent.parse().ok()?;
    if (-4..digits).contains(&exponent) {
        return text.write_str(plain).ok();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(text, "{mantissa}e{sign}{:02}\n{plain}", exponent.abs()).ok()
}

/// Groups of four decimal digits, the weight of the first, the sign, and how many digits to show behind the point.
fn numeric(value: &[u8], text: &mut String) -> Option<()> {
    let mut words = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let (count, weight, sign, scale) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let weight = i32::from(weight.cast_signed());
    let groups: Vec<u16> = words.collect();
    if !value.len().is_multiple_of(2)
        || groups.len() != usize::from(count)
        || groups.iter().any(|g| *g > 9999)
    {
        return None;
    }
    match sign {
        0x0000 => {}
        0x4000 => text.push('-'),
        0xc000 => return text.write_str("NaN").ok(),
        0xd000 => return text.write_str("Infinity").ok(),
        0xf000 => return text.write_str("-Infinity").ok(),
        _ => return None,
    }
    // PostgreSQL's limits: 131,072 digits before the point, 16,383 behind it.
    if weight > 32_768 || scale > 16_383 {
        return None;
    }
    let group =
        |place: i32| usize::try_from(weight - place).ok().and_then(|i| groups.get(i)).copied().unwrap_or(0);
    write!(text, "{}", group(weight.max(0))).ok()?;
    for place in (0..weight.max(0)).rev() {
        write!(text, "{:04}", group(place)).ok()?;
    }
    if scale > 0 {
        let end = text.len() + 1 + usize::from(scale);
        text.push('.');
        for place in 1..=i32::from(scale.div_ceil(4)) {
            write!(text, "{:04}", group(-place)).ok()?;
        }
        text.truncate(end);
    }
    Some(())
}

/// In cents, as it is written in the locales C and en_US, and without dollars and commas on a line of its own.
fn money(cents: i64, text: &mut String) -> Option<()> {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    let (whole, cents) = ((cents / 100).to_string(), cents % 100);
    write!(text, "{sign}$").ok()?;
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    write!(text, ".{cents:02}\n{sign}{whole}.{cents:02}").ok()
}

/// The number of bits, then the bits, filled up with zeros to whole bytes.
fn bits(value: &[u8], text: &mut String) -> Option<()> {
    let mut rest = value;
    let count = usize::try_from(take_u32(&mut rest)?).ok()?;
    if count.div_ceil(8) != rest.len() || count > VALUE_TEXT_BYTES_MAX {
        return None;
    }
    let bit = |i: usize| rest.get(i / 8).is_some_and(|byte| byte & (0x80 >> (i % 8)) != 0);
    text.extend((0..count).map(|i| if bit(i) { '1' } else { '0' }));
    Some(())
}

/// Days since 2000-01-01.
fn date(days: i32, text: &mut String) -> Option<()> {
    match days {
        i32::MAX => return text.write_str("infinity").ok(),
        i32::MIN => return text.write_str("-infinity").ok(),
        _ => {}
    }
    let era = calendar(i64::from(days), text)?;
    text.write_str(era).ok()
}

/// Prints days since 2000-01-01 by the proleptic Gregorian calendar; returns what stands behind date and time.
fn calendar(days: i64, text: &mut String) -> Option<&'static str> {
    // Days since 0000-03-01, cut into eras of 400 years; a year begins in March, so that the leap day is its last.
    let days = days + 730_425;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (year + era * 400 + month / 10, (month + 2) % 12 + 1);
    // There is no year 0: it is 1 BC.
    let (year, behind) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    write!(text, "{year:04}-{month:02}-{day:02}").ok()?;
    Some(behind)
}

/// Microseconds since midnight.
fn time(micros: i64, text: &mut String) -> Option<()> {
    let micros = u64::try_from(micros).ok()?;
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    write!(text, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60).ok()?;
    if fraction > 0 {
        write!(text, ".{fraction:06}").ok()?;
        text.truncate(text.trim_end_matches('0').len());
    }
    Some(())
}

fn timetz(value: &[u8], text: &mut String) -> Option<()> {
    let (micros, zone) = value.split_first_chunk::<8>()?;
    time(i64::from_be_bytes(*micros), text)?;
    // Seconds west of UTC.
    let zone = i64::from(i32::from_be_bytes(exactly(zone)?));
    let sign = if zone > 0 { '-' } else { '+' };
    let (hours, minutes, seconds) = (zone.abs() / 3600, zone.abs() / 60 % 60, zone.abs() % 60);
    write!(text, "{sign}{hours:02}").ok()?;
    if minutes != 0 || seconds != 0 {
        write!(text, ":{minutes:02}").ok()?;
    }
    if seconds != 0 {
        write!(text, ":{seconds:02}").ok()?;
    }
    Some(())
}

/// Microseconds since 2000-01-01, in UTC where it has a `zone`.
fn timestamp(micros: i64, zone: &str, text: &mut String) -> Option<()> {
    const DAY: i64 = 86_400_000_000;
    match micros {
        i64::MAX => return text.write_str("infinity").ok(),
        i64::MIN => return text.write_str("-infinity").ok(),
        _ => {}
    }
    let era = calendar(micros.div_euclid(DAY), text)?;
    text.push(' ');
    time(micros.rem_euclid(DAY), text)?;
    text.push_str(zone);
    text.write_str(era).ok()
}

/// Microseconds, days, months. What follows something negative says its sign.
fn interval(value: &[u8], text: &mut String) -> Option<()> {
    let value: [u8; 16] = exactly(value)?;
    let (micros, rest) = value.split_first_chunk::<8>()?;
    let (days, months) = rest.split_first_chunk::<4>()?;
    let micros = i64::from_be_bytes(*micros);
    let (days, months) = (i32::from_be_bytes(*days), i32::from_be_bytes(exactly(months)?));
    match (micros, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => return text.write_str("infinity").ok(),
        (i64::MIN, i32::MIN, i32::MIN) => return text.write_str("-infinity").ok(),
        _ => {}
    }
    let mut negative = false;
    for (count, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if count == 0 {
            continue;
        }
        let space = if text.is_empty() { "" } else { " " };
        let sign = if negative && count > 0 { "+" } else { "" };
        let plural = if count == 1 { "" } else { "s" };
        write!(text, "{space}{sign}{count} {unit}{plural}").ok()?;
        negative = count < 0;
    }
    if text.is_empty() || micros != 0 {
        let space = if text.is_empty() { "" } else { " " };
        let sign = if micros < 0 {
            "-"
        } else if negative {
            "+"
        } else {
            ""
        };
        write!(text, "{space}{sign}").ok()?;
        time(i64::try_from(micros.unsigned_abs()).unwrap_or(i64::MAX), text)?;
    }
    Some(())
}

/// Family (2 or 3), bits of the mask, whether it is a cidr, the number of bytes, the bytes.
fn inet(value: &[u8], text: &mut String) -> Option<()> {
    let (&[family, bits, is_cidr, length], address) = value.split_first_chunk::<4>()?;
    if usize::from(length) != address.len() {
        return None;
    }
    let full = match family {
        2 => {
            write!(text, "{}", core::net::Ipv4Addr::from(exactly::<4>(address)?)).ok()?;
            32
        }
        3 => {
            let address: [u8; 16] = exactly(address)?;
            match address.split_first_chunk::<12>() {
                // As PostgreSQL, and nobody else any more.
                Some(([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], v4 @ [a, b, ..])) if (*a, *b) != (0, 0) => {
                    write!(text, "::{}", core::net::Ipv4Addr::from(exactly::<4>(v4)?)).ok()?;
                }
                _ => write!(text, "{}", core::net::Ipv6Addr::from(address)).ok()?,
            }
            128
        }
        _ => return None,
    };
    if bits == full && is_cidr == 0 {
        return Some(());
    }
    write!(text, "/{bits}").ok()
}

/// Hexadecimal digits, with `mark` before the bytes at these places.
fn hex(bytes: &[u8], marks: &[usize], mark: char, text: &mut String) -> Option<()> {
    for (place, byte) in bytes.iter().enumerate() {
        if marks.contains(&place) {
            text.push(mark);
        }
        write!(text, "{byte:02x}").ok()?;
    }
    Some(())
}

fn exactly<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (head, behind) = rest.split_first_chunk::<4>()?;
    *rest = behind;
    Some(u32::from_be_bytes(*head))
}
