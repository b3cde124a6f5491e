//! Limits of this crate, each with its reason. Nothing here reserves memory from a length that a peer declared:
//! a limit says how much a peer may *really send* before it is refused.

/// A request or response head, from its first byte to the empty line, in bytes. Held while it is collected: 64 KiB x
/// 512 sessions x 2 legs = 64 MiB at worst. Common servers allow 8 to 32 KiB; tokens in cookies ask for room.
pub const HEAD_BYTES_MAX: usize = 64 << 10;

/// Fields of a head. Common servers allow 100; browsers and SDKs send about 20.
pub const HEADERS_MAX: usize = 128;

/// One piece of a body as it is handed out, in bytes: the size in which releases are recorded.
pub const BODY_PIECE_BYTES_MAX: usize = 64 << 10;

/// A method. The longest registered one is UPDATEREDIRECTREF, 17.
pub const METHOD_BYTES_MAX: usize = 32;

/// Largest Content-Length or chunk: lengths of 2^63 and above are negative to somebody.
pub const BODY_LENGTH_MAX: u64 = i64::MAX as u64;

/// Digits of a Content-Length: those of 2^63-1. More, even zeros, is a length that somebody cuts off.
pub const LENGTH_DIGITS_MAX: usize = 19;

/// Digits of a chunk size: those of 2^64-1.
pub const CHUNK_SIZE_DIGITS_MAX: usize = 16;

/// Extensions of one chunk, in bytes. Hardly any sender has any; they are dropped.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 256;

/// The line before a chunk, without its CRLF.
pub const CHUNK_LINE_BYTES_MAX: usize = CHUNK_SIZE_DIGITS_MAX + CHUNK_EXTENSION_BYTES_MAX;

/// Fields behind the last chunk. gRPC-like APIs send three or four.
pub const TRAILERS_MAX: usize = 32;

/// The trailer section with its empty line, in bytes.
pub const TRAILER_BYTES_MAX: usize = 8 << 10;

/// A host name in `Host`, in bytes, without the port. The limit of DNS.
pub const HOST_BYTES_MAX: usize = 255;

/// Segments of a path. A policy walks them for each decision.
pub const SEGMENTS_MAX: usize = 128;

/// Pairs of a query.
pub const QUERY_PAIRS_MAX: usize = 256;

/// Content codings that a head may name. One is usual.
pub const ENCODINGS_MAX: usize = 4;

/// Codings that are undone, one inside the other. Each has a window; nobody means to have three.
pub const CODINGS_MAX: usize = 2;

/// One piece of a body behind its codings, in bytes: what is decoded before somebody takes it.
pub const DECODED_PIECE_BYTES_MAX: usize = BODY_PIECE_BYTES_MAX;

/// How many bytes of a body may come of one that was sent. Deflate can make 1,032 of one, br and zstd a million; bodies of
/// JSON that say something come to 5 or 20, tables of one value to 200.
pub const DECODED_RATIO_MAX: u64 = 256;

/// So many bytes may come of whatever was sent: what is small is no bomb.
pub const DECODED_FREE_BYTES: u64 = 1 << 20;

/// How many bytes may be sent for each that comes of them, beyond [`PADDING_FREE_BYTES`]: empty blocks, members and frames
/// cost work and say nothing. A stream whose every few bytes are flushed has about two.
pub const PADDING_RATIO_MAX: u64 = 4;

/// So many bytes may be sent of which nothing comes.
pub const PADDING_FREE_BYTES: u64 = 64 << 10;

/// The window of br and zstd, as a power of two: 8 MiB, which RFC 9659 asks of zstd. A decoder keeps as much of what it
/// has decoded: with [`CODINGS_MAX`], 2 x 8 MiB on each leg of a session at worst. Libraries write br with 4 MiB.
pub const WINDOW_BITS_MAX: u32 = 23;

/// A gzip member's header with name and comment, in bytes.
pub const GZIP_HEADER_BYTES_MAX: usize = 4 << 10;

/// A multipart boundary. RFC 2046, 5.1.1.
pub const BOUNDARY_BYTES_MAX: usize = 70;

/// Segments of a route's template.
pub const ROUTE_SEGMENTS_MAX: usize = 32;

/// Routes of a site. They are tried in order, and compared in pairs when they are read.
pub const ROUTES_MAX: usize = 1_024;

/// Interim (1xx) responses to one request. A server sends 100, and perhaps a few 103.
pub const INTERIM_RESPONSES_MAX: u32 = 8;

/// A request to a language model, its answer, one event of it, and the text of a streamed answer that is put together,
/// each in bytes. Contexts of a million tokens are about 4 MiB of text.
pub const LLM_BODY_BYTES_MAX: usize = 8 << 20;

/// Arguments of one call, in bytes. They hold what a tool writes: a large source file is 100 KiB.
pub const CALL_ARGUMENTS_BYTES_MAX: usize = 1 << 20;

/// Calls of one answer, and of one message of a request. Models are asked for a few in parallel.
pub const CALLS_MAX: usize = 128;

/// Tools that a request offers. Providers allow 128 to a few hundred.
pub const TOOLS_MAX: usize = 1_024;

/// Choices, content blocks or output items of a streamed answer. A long one with searches has some hundred.
pub const BLOCKS_MAX: usize = 4_096;

/// Strings of one call that are looked for in what it causes. A call has a few; each is compared with each action.
pub const CALL_STRINGS_MAX: usize = 64;

/// Texts and numbers of one call, and names of its arguments, that are compared word by word.
pub const CALL_SCALARS_MAX: usize = 64;

/// The longest of them, in bytes: a statement is the longest thing that is compared so.
pub const CALL_SCALAR_BYTES_MAX: usize = 8 << 10;

/// Values of one call, or of a body that is held against calls, each with its names. A call with more is held against what is
/// asked by its words alone.
pub const MEMBERS_MAX: usize = 256;

/// Bytes of them, with all their names: a name may lead to many. Half of what the gate remembers of a run's decisions.
pub const MEMBERS_BYTES_MAX: usize = 128 << 10;

/// Texts of JSON in texts of JSON that are read on: a body in an argument, and a text in that.
pub const TEXTS_IN_TEXTS_MAX: u32 = 2;

/// Those strings together, in bytes.
pub const CALL_STRINGS_BYTES_MAX: usize = 64 << 10;

/// The shortest of those strings, in bytes: shorter ones are in everything.
pub const CALL_STRING_BYTES_MIN: usize = 6;

/// Steps of one plan that are kept. Plans of people and models have under twenty.
pub const PLAN_STEPS_MAX: usize = 64;

/// Bytes of one step's text: 64 of them are 32 KiB of a record's 64.
pub const PLAN_STEP_BYTES_MAX: usize = 512;

/// A message of WebSocket, in bytes, put together from its frames. It is held whole while it is decided and masked: with the
/// frame that waits behind it 2 MiB on each side of a session. RFC 6455 allows 2^63; servers allow 1 MiB by default
/// (Python's `websockets`) to 100 MiB (Node's `ws`).
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Frames of one message. Libraries send one, or one for each 4 to 64 KiB; empty ones cost work and say nothing.
pub const MESSAGE_FRAGMENTS_MAX: u32 = 1_024;

/// What a control frame says, in bytes. RFC 6455, 5.5.
pub const CONTROL_BYTES_MAX: usize = 125;

/// Subprotocols that one handshake offers. Clients offer one to three.
pub const PROTOCOLS_MAX: usize = 32;

const _: () = {
    assert!(CONTROL_BYTES_MAX < 126 && CONTROL_BYTES_MAX < MESSAGE_BYTES_MAX);
    assert!(PLAN_STEPS_MAX * PLAN_STEP_BYTES_MAX <= 32 << 10);
    assert!(CODINGS_MAX <= ENCODINGS_MAX);
    assert!(GZIP_HEADER_BYTES_MAX < PADDING_FREE_BYTES as usize);
    assert!(DECODED_PIECE_BYTES_MAX as u64 <= DECODED_FREE_BYTES);
    assert!(CALL_ARGUMENTS_BYTES_MAX <= LLM_BODY_BYTES_MAX);
    assert!(CALL_STRINGS_BYTES_MAX <= CALL_ARGUMENTS_BYTES_MAX);
    assert!(CALL_STRING_BYTES_MIN * CALL_STRINGS_MAX <= CALL_STRINGS_BYTES_MAX);
    assert!(CALLS_MAX <= BLOCKS_MAX);
    assert!(TRAILER_BYTES_MAX <= HEAD_BYTES_MAX);
    assert!(TRAILERS_MAX <= HEADERS_MAX);
    assert!(METHOD_BYTES_MAX < HEAD_BYTES_MAX);
    assert!(ROUTE_SEGMENTS_MAX <= SEGMENTS_MAX);
    assert!(HOST_BYTES_MAX < HEAD_BYTES_MAX);
};
