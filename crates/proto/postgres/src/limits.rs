//! Limits of this crate, each with its reason. Nothing here reserves memory from a length that a peer declared:
//! a limit says how much a peer may *really send* before it is refused.

/// Longest startup packet, its length field not counted. PostgreSQL's own limit (`MAX_STARTUP_PACKET_LENGTH`).
pub const STARTUP_BYTES_MAX: usize = 10_000;

/// Parameters of a startup message. PostgreSQL has about 370 settings in all.
pub const STARTUP_PARAMETERS_MAX: usize = 256;

/// Longest secret of a cancel request, as protocol 3.2 says.
pub const CANCEL_KEY_BYTES_MAX: usize = 256;

/// How far ahead of the bytes that have arrived a buffer may be grown. A length field of any value costs at most
/// this.
pub const LOOKAHEAD_BYTES_MAX: usize = 1 << 20;

/// A buffer with less room than this is grown before the next read.
pub const READ_BYTES_MIN: usize = 8 << 10;

/// Body of a `p` message. PostgreSQL's limit for authentication (`PG_MAX_AUTH_TOKEN_LENGTH`).
pub const PASSWORD_BYTES_MAX: usize = 65_535;

/// Body of a Query, Parse or FunctionCall: statements are held while they are decided. 1 MiB x 512 sessions =
/// 512 MiB at worst. PostgreSQL allows 1 GiB; we refuse more.
pub const HELD_FRAME_BYTES_MAX: usize = 1 << 20;

/// Body of a Bind. Values may be documents and images, so it is larger than a statement; a Bind is held while its
/// Execute is decided, and 16 MiB x 64 sessions that do this at once = 1 GiB. `relay` has a budget over all.
pub const BIND_FRAME_BYTES_MAX: usize = 16 << 20;

/// Body of a Query, Parse or Bind that is dropped as it comes and refused, while the connection goes on: as much as
/// PostgreSQL takes (`MaxAllocSize`). It is never held.
pub const SKIPPED_BYTES_MAX: usize = 0x3fff_ffff;

/// Body of one CopyData from the client. A client may cut a stream anywhere, and real ones cut at 8 KiB to 4 MiB
/// (libpq, JDBC, asyncpg, psycopg); only a client that sends one huge row as one message meets this.
pub const COPY_FRAME_BYTES_MAX: usize = 16 << 20;

/// Body of any other client message. PostgreSQL's own limit (`PQ_SMALL_MESSAGE_LIMIT`).
pub const SMALL_FRAME_BYTES_MAX: usize = 10_000;

/// Body of one DataRow or of one CopyData from upstream: one row. Rows are masked and scanned whole, so they are
/// not streamed in pieces; a larger row is refused with an error that says so. PostgreSQL allows 1 GiB.
pub const ROW_BYTES_MAX: usize = 64 << 20;

/// Body of any other upstream message: a RowDescription of 1,664 columns is 136 KB, a ParameterDescription of
/// 65,535 parameters is 262 KB; only an error or notice whose text is larger than this is refused.
pub const REPLY_BYTES_MAX: usize = 1 << 20;

/// Body of an upstream message before authentication is over. libpq refuses above 30,000.
pub const GREETING_BYTES_MAX: usize = 30_000;

/// Columns of a result. PostgreSQL's limit is 1,664 (`MaxTupleAttributeNumber`).
pub const COLUMNS_MAX: usize = 1_664;

/// Fields of an error or notice. PostgreSQL sends at most 18.
pub const ERROR_FIELDS_MAX: usize = 64;

/// SASL mechanisms that an upstream offers.
pub const SASL_MECHANISMS_MAX: usize = 16;

/// Options in a NegotiateProtocolVersion.
pub const NEGOTIATED_OPTIONS_MAX: usize = STARTUP_PARAMETERS_MAX;

/// Messages sent upstream whose answer has not come. 48 bytes each: 3 MiB for a session that does this.
pub const OUTSTANDING_MAX: usize = 65_536;

/// A row of a COPY stream that is being put together from pieces.
pub const COPY_ROW_BYTES_MAX: usize = ROW_BYTES_MAX;

// What a value is printed to is no larger than the largest row.
const _: () = assert!(values::VALUE_TEXT_BYTES_MAX <= ROW_BYTES_MAX);

/// Iterations of PBKDF2 that a stored secret may ask for; PostgreSQL's default is 4,096.
pub const SCRAM_ITERATIONS_MAX: u32 = 1_000_000;

/// A SCRAM message from a client. The longest honest one has a channel binding of 64 bytes and a nonce of 48.
pub const SCRAM_MESSAGE_BYTES_MAX: usize = 2_048;

/// How much of what a client said is searched for the words of an error: the largest statement and as much again in
/// values. It is copied once per error.
pub const SAID_BYTES_MAX: usize = 2 * HELD_FRAME_BYTES_MAX;

const _: () = {
    assert!(SMALL_FRAME_BYTES_MAX <= HELD_FRAME_BYTES_MAX);
    assert!(HELD_FRAME_BYTES_MAX <= BIND_FRAME_BYTES_MAX);
    assert!(GREETING_BYTES_MAX <= REPLY_BYTES_MAX);
    assert!(REPLY_BYTES_MAX <= ROW_BYTES_MAX);
    assert!(LOOKAHEAD_BYTES_MAX <= 1 << 20);
    // A length field is a signed 32-bit number and counts itself.
    assert!(ROW_BYTES_MAX + 4 <= i32::MAX as usize);
    assert!(COPY_FRAME_BYTES_MAX + 4 <= i32::MAX as usize);
};
