//! How a cell is encoded, as far as masking must know.

/// What a cell's bytes are, and so how a value in it can be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Text, in either format: a placeholder takes the value's place.
    Text,
    /// JSON text: as [`Shape::Text`] inside strings; a bare number becomes a string.
    Json,
    /// `jsonb` in binary format: one version byte, then JSON text.
    Jsonb,
    /// Looked into, but not to be written into (arrays, composites, `bytea`, numbers as text): a cell with a finding becomes NULL.
    Rigid,
    /// A big-endian integer: its decimal digits are looked at.
    Integer,
    /// A big-endian double: the digits before its point are looked at.
    Double,
    /// PostgreSQL's `numeric` in binary format: its decimal digits are looked at.
    Numeric,
    /// Cannot hold a value of any class: booleans, dates, UUIDs, floats, 32-bit integers.
    Settled,
}

impl Shape {
    /// Whether detectors look at the bytes as they are.
    pub(crate) fn is_text(self) -> bool {
        match self {
            Shape::Text | Shape::Json | Shape::Jsonb | Shape::Rigid => true,
            Shape::Integer | Shape::Double | Shape::Numeric | Shape::Settled => false,
        }
    }

    /// The shape of a PostgreSQL type (by OID) in text or binary format. A type that is not known is looked into and
    /// never written into.
    pub fn of_postgres(type_oid: u32, binary: bool) -> Shape {
        match (type_oid, binary) {
            // text, varchar, bpchar, name, "char", xml, unknown, citext has no fixed OID
            (25 | 1043 | 1042 | 19 | 18 | 142 | 705, _) => Shape::Text,
            (114, _) | (3802, false) => Shape::Json,
            (3802, true) => Shape::Jsonb,
            (701, true) => Shape::Double,
            // bool, int2, int4, oid, float4, float8, date, time, timetz, timestamp, timestamptz, interval, uuid, xid, cid, tid, macaddr
            (
                16 | 21 | 23 | 26 | 700 | 701 | 1082 | 1083 | 1266 | 1114 | 1184 | 1186 | 2950 | 28 | 29 | 27
                | 829,
                _,
            ) => Shape::Settled,
            (20, true) => Shape::Integer,
            (1700, true) => Shape::Numeric,
            _ => Shape::Rigid,
        }
    }
}
