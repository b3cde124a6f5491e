//! Every reason for which this crate refuses bytes, in one list: the kind that records and metrics match on, the
//! sentence that the peer may read, and where to look. The side is added where the reason applies.

pub use wire::Reason;
use wire::reasons;

/// Kinds of fault beside those of [`wire::kind`].
pub mod kind {
    /// Two readers could cut the message at different places.
    pub const AMBIGUOUS_FRAMING: &str = "ambiguous-framing";
    /// Two readers could take the target for different resources.
    pub const AMBIGUOUS_TARGET: &str = "ambiguous-target";
    /// A version of HTTP that is not spoken here.
    pub const UNSUPPORTED_VERSION: &str = "unsupported-version";
    /// A transfer coding other than `chunked`.
    pub const UNSUPPORTED_CODING: &str = "unsupported-coding";
    /// A form of request that this listener does not serve: a proxy's.
    pub const UNSUPPORTED_FORM: &str = "unsupported-form";
    /// An expectation other than `100-continue`.
    pub const EXPECTATION: &str = "expectation-failed";
    /// Text that is not UTF-8.
    pub const NO_TEXT: &str = "not-utf8";
}

use kind::*;
use wire::kind::*;

// Lines and sizes.
reasons! {
    BARE_CR = BAD_VALUE, "a line must end with CRLF; a CR stands alone", "line: bare CR";
    BARE_LF = BAD_VALUE, "a line must end with CRLF; a LF stands alone", "line: bare LF";
    CONTROL = BAD_VALUE, "a NUL or control byte is not allowed here", "line: control byte";
    HEAD_TOO_LARGE = TOO_LARGE, "the head is larger than 64 KiB", "HEAD_BYTES_MAX";
    TOO_MANY_HEADERS = TOO_MANY, "the head has more than 128 fields", "HEADERS_MAX";
    EMPTY_LINE = BAD_VALUE, "an empty line stands where a message should begin", "head: empty line";
    UNFINISHED = TRUNCATED, "the connection was closed inside a message", "closed inside a message";
    UNANSWERED = TRUNCATED, "the connection was closed before the answer", "closed before a response";
    UNASKED = OUT_OF_ORDER, "a response came without a request", "bytes of upstream with nothing outstanding";
    ANSWERS_EARLY = OUT_OF_ORDER, "the gateway lost its place in a response", "answers() inside a response";
    SWITCHED = OUT_OF_ORDER, "the protocol was switched, which was not asked for", "101 from upstream";
}

// The first line.
reasons! {
    REQUEST_LINE = BAD_VALUE, "the request line is not `method target version`", "request line";
    METHOD = BAD_VALUE, "the method is not a token of at most 32 characters", "request line: method";
    TARGET = BAD_VALUE, "the request target has a character that URIs do not have", "request line: target";
    VERSION = UNSUPPORTED_VERSION, "only HTTP/1.1 and HTTP/1.0 are spoken here", "version";
    PREFACE = UNSUPPORTED_VERSION, "HTTP/2 is not spoken here; use HTTP/1.1, or HTTP/2 from the first byte on", "an HTTP/2 preface";
    STATUS_LINE = BAD_VALUE, "the status line is not `version status reason`", "status line";
    STATUS = BAD_VALUE, "the status is not three digits from 100 to 599", "status line: status";
}

// Fields.
reasons! {
    LEADING_SPACE = BAD_VALUE, "white space stands before the first header", "header: leading space";
    FOLD = BAD_VALUE, "a header is folded over lines", "header: obs-fold";
    SPACE_BEFORE_COLON = BAD_VALUE, "white space stands before a header's colon", "header: space before colon";
    NO_COLON = BAD_VALUE, "a header has no colon", "header: no colon";
    NAME = BAD_VALUE, "a header's name is not a token", "header: name";
    EMPTY_NAME = BAD_VALUE, "a header has no name", "header: empty name";
    HOST_MISSING = BAD_VALUE, "an HTTP/1.1 request must have a Host", "Host: missing";
    HOST_TWICE = BAD_VALUE, "a request must have one Host", "Host: several";
    HOST = BAD_VALUE, "Host is not `name` or `name:port`", "Host: value";
    LOOKALIKE = BAD_VALUE, "a header's name has another sign where a known one has `-`", "header: underscore";
    CONNECTION = BAD_VALUE, "Connection is not a list of tokens", "Connection: value";
    CONNECTION_NAMES = BAD_VALUE, "Connection names a header that is not the connection's",
        "Connection: names an end-to-end field";
}

// Framing of bodies.
reasons! {
    BOTH_LENGTHS = AMBIGUOUS_FRAMING, "Content-Length and Transfer-Encoding exclude each other",
        "Content-Length with Transfer-Encoding";
    LENGTHS = AMBIGUOUS_FRAMING, "there must be one Content-Length with one number", "Content-Length: several";
    LENGTH = BAD_LENGTH, "Content-Length is not a decimal number below 2^63", "Content-Length: value";
    LENGTH_FORBIDDEN = AMBIGUOUS_FRAMING, "this status has no body, and the response declares one",
        "1xx or 204 with a body";
    CODINGS = AMBIGUOUS_FRAMING, "there must be one Transfer-Encoding", "Transfer-Encoding: several";
    CODING = UNSUPPORTED_CODING, "the only transfer coding is `chunked`", "Transfer-Encoding: value";
    CODING_OLD = AMBIGUOUS_FRAMING, "HTTP/1.0 has no Transfer-Encoding", "Transfer-Encoding in HTTP/1.0";
    CHUNK_SIZE = BAD_LENGTH, "a chunk's size is not 1 to 16 hexadecimal digits below 2^63", "chunk: size";
    CHUNK_EXTENSION = BAD_VALUE, "chunk extensions are not allowed", "chunk: extension";
    CHUNK_LINE = TOO_LARGE, "the line before a chunk is too long", "CHUNK_LINE_BYTES_MAX";
    CHUNK_END = BAD_VALUE, "a chunk's data must be followed by CRLF", "chunk: end of data";
    TRAILER_TOO_LARGE = TOO_LARGE, "the trailer section is larger than 8 KiB", "TRAILER_BYTES_MAX";
    TOO_MANY_TRAILERS = TOO_MANY, "there are more than 32 trailers", "TRAILERS_MAX";
    TRAILER_NAME = BAD_VALUE, "a trailer has a name that only a head may have", "trailer: name";
}

// Messages of HTTP/2.
reasons! {
    NO_STREAM_FORM = UNSUPPORTED_FORM, "a stream must have a method other than CONNECT, and a path",
        "HTTP/2: CONNECT, or no path";
    SCHEME = BAD_VALUE, "the scheme is not the connection's", "HTTP/2: :scheme";
    FIELD = BAD_VALUE, "a field's value has a control byte, or white space at an end", "HTTP/2: field value";
    OF_CONNECTION = AMBIGUOUS_FRAMING, "a field of a connection does not belong into a stream",
        "HTTP/2: connection-specific field";
    LENGTH_MISMATCH = AMBIGUOUS_FRAMING, "the body is not as long as Content-Length says",
        "HTTP/2: Content-Length and DATA";
}

// What a request means.
reasons! {
    PROXY_FORM = UNSUPPORTED_FORM, "the target must be a path; this listener is not a forward proxy",
        "absolute-form or authority-form";
    NO_PROXY_FORM = UNSUPPORTED_FORM,
        "the target must be an http:// URL or CONNECT's host:port; this is a forward proxy",
        "neither a URL nor CONNECT";
    HTTPS_URL = UNSUPPORTED_FORM, "https is reached through CONNECT", "https by a whole URL";
    AUTHORITY = BAD_VALUE, "whom it is for is not `host:port`, without a user", "CONNECT: authority";
    TUNNEL_BODY = BAD_VALUE, "CONNECT has no body", "CONNECT: a body";
    HOST_DISAGREES = AMBIGUOUS_TARGET, "Host is not whom the target or the tunnel is for", "Host: not the target's";
    SPELT_OTHERWISE = AMBIGUOUS_TARGET, "the path spells the beginning of a resource's in another way",
        "path: another spelling of a resource's";
    ASTERISK = UNSUPPORTED_FORM, "the target `*` is for OPTIONS only", "asterisk-form";
    EXPECT = EXPECTATION, "the only expectation is 100-continue", "Expect";
    CONTENT_TYPES = BAD_VALUE, "there must be one Content-Type", "Content-Type: several";
    ENCODINGS = BAD_VALUE, "Content-Encoding is not a list of tokens", "Content-Encoding: value";
    TOO_MANY_ENCODINGS = TOO_MANY, "a body has more than 4 content codings", "ENCODINGS_MAX";
    OVERRIDE = AMBIGUOUS_TARGET, "a header that some servers read in place of the method or the path is not allowed",
        "X-HTTP-Method-Override, Script-Name and the like";
    ELSEWHERE = AMBIGUOUS_TARGET, "a header that names another object for the service to read is not allowed",
        "X-Amz-Copy-Source and the like";
    DOT_SEGMENT = AMBIGUOUS_TARGET, "the path has a `.` or `..` segment", "path: dot segment";
    EMPTY_SEGMENT = AMBIGUOUS_TARGET, "the path has an empty segment", "path: empty segment";
    BACKSLASH = AMBIGUOUS_TARGET, "the path has a backslash", "path: backslash";
    ENCODED_SEPARATOR = AMBIGUOUS_TARGET, "the path has an encoded slash or backslash", "path: %2F or %5C";
    ENCODED_CONTROL = AMBIGUOUS_TARGET, "the target has an encoded control character", "target: %00-%1F or %7F";
    ENCODED_TWICE = AMBIGUOUS_TARGET, "the path is percent-encoded twice", "path: %25 before two digits";
    ESCAPE = AMBIGUOUS_TARGET, "the target has a percent sign without two hexadecimal digits", "target: escape";
    NOT_UTF8 = AMBIGUOUS_TARGET, "the path is not UTF-8", "path: UTF-8";
    FRAGMENT = AMBIGUOUS_TARGET, "the target has a fragment", "target: #";
    TOO_MANY_SEGMENTS = TOO_MANY, "the path has more than 128 segments", "SEGMENTS_MAX";
    TOO_MANY_PAIRS = TOO_MANY, "the query has more than 256 pairs", "QUERY_PAIRS_MAX";
}

// Order of messages.
reasons! {
    REQUEST_OVERLAPS = OUT_OF_ORDER, "a request was begun before the one before it was answered",
        "session: request inside an exchange";
    NO_EXCHANGE = OUT_OF_ORDER, "a response came without a request", "session: response without a request";
    RESPONSE_TWICE = OUT_OF_ORDER, "a second response came to one request", "session: response after a response";
    INTERIM_TOO_MANY = TOO_MANY, "too many interim responses", "INTERIM_RESPONSES_MAX";
    UNFINISHED_REQUEST = OUT_OF_ORDER, "the gateway lost its place in a request", "session: no request is open";
    UNFINISHED_RESPONSE = OUT_OF_ORDER, "the gateway lost its place in a response", "session: no response is open";
}

// WebSocket.
reasons! {
    HANDSHAKE = UNSUPPORTED_FORM, "a WebSocket begins with a GET of HTTP/1.1", "handshake: method or version of HTTP";
    HANDSHAKE_BODY = BAD_VALUE, "the request that begins a WebSocket has no body", "handshake: a body";
    HANDSHAKE_UPGRADE = BAD_VALUE, "Upgrade must name `websocket` alone, and Connection `upgrade`",
        "handshake: Upgrade or Connection";
    VERSION_13 = UNSUPPORTED_VERSION, "the only version of WebSocket is 13", "Sec-WebSocket-Version";
    KEY = BAD_VALUE, "there must be one Sec-WebSocket-Key of 16 bytes in Base64", "Sec-WebSocket-Key";
    PROTOCOLS = BAD_VALUE, "Sec-WebSocket-Protocol is not a list of at most 32 different tokens",
        "Sec-WebSocket-Protocol: offered";
    NOT_SWITCHED = BAD_VALUE, "the service switched to another protocol than WebSocket", "101: Upgrade or Connection";
    ACCEPT = BAD_VALUE, "the service's answer does not accept the WebSocket that was offered", "Sec-WebSocket-Accept";
    EXTENSION = BAD_VALUE, "the service chose an extension that was not offered", "Sec-WebSocket-Extensions";
    PROTOCOL = BAD_VALUE, "the service chose a subprotocol that was not offered", "Sec-WebSocket-Protocol: chosen";
    RESERVED = BAD_VALUE, "a frame has reserved bits, and no extension gives them a meaning", "frame: RSV";
    OPCODE = BAD_VALUE, "a frame has a reserved opcode", "frame: opcode";
    UNMASKED = BAD_VALUE, "a client's frame is not masked", "frame: MASK";
    MASKED = BAD_VALUE, "the service's frame is masked", "frame: MASK of upstream";
    FRAME_LENGTH = BAD_LENGTH, "a frame's length is not written in the shortest way, or above 2^63",
        "frame: length";
    CONTROL_IN_PIECES = BAD_VALUE, "a control frame is fragmented", "frame: control, FIN";
    CONTROL_TOO_LARGE = BAD_LENGTH, "a control frame is larger than 125 bytes", "CONTROL_BYTES_MAX";
    NOT_BEGUN = OUT_OF_ORDER, "a frame continues a message that was not begun", "frame: continuation";
    NOT_ENDED = OUT_OF_ORDER, "a message was begun inside another", "frame: data inside a message";
    TOO_MANY_FRAGMENTS = TOO_MANY, "a message has more than 1024 frames", "MESSAGE_FRAGMENTS_MAX";
    MESSAGE_TOO_LARGE = TOO_LARGE, "a message is larger than 1 MiB", "MESSAGE_BYTES_MAX";
    TEXT = NO_TEXT, "a text is not UTF-8", "message or reason: UTF-8";
    CLOSE_CODE = BAD_VALUE, "a Close has a code that no endpoint may send", "Close: code";
}
