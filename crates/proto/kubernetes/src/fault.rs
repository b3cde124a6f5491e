//! Every reason for which this crate refuses bytes, in one list: the kind that records and metrics match on, the
//! sentence that the peer may read, and where to look. The side is added where the reason applies.

use wire::kind::*;
use wire::{Fault, Side};

/// Kinds of fault beside those of [`wire::kind`].
pub mod kind {
    /// Two readers could take the request for two different ones.
    pub const AMBIGUOUS: &str = "ambiguous";
    /// What the API server may understand, and this gateway does not.
    pub const UNKNOWN: &str = "unknown";
}

/// A reason without a side: as `wire::Reason`, and a type of this crate, since what the reader of JSON says becomes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    pub kind: &'static str,
    pub outward: &'static str,
    pub inward: &'static str,
}

impl Reason {
    const fn new(kind: &'static str, outward: &'static str, inward: &'static str) -> Reason {
        Reason { kind, outward, inward }
    }

    /// The fault of `side` for this reason.
    pub const fn on(self, side: Side) -> Fault {
        Fault::new(side, self.kind, self.outward, self.inward)
    }
}

/// `NAME = kind, outward, inward;`
macro_rules! reasons {
    ($($name:ident = $kind:expr, $outward:literal, $inward:literal;)*) => {
        $(pub const $name: Reason = Reason::new($kind, $outward, $inward);)*
    };
}

use self::kind::*;

// The target of a request.
reasons! {
    TARGET_TOO_LONG = TOO_LARGE, "a request target above 64 KiB", "TARGET_BYTES_MAX";
    NO_PATH = BAD_VALUE, "a request target without a path", "target: does not begin with a slash";
    BAD_BYTE = AMBIGUOUS, "a request target with a byte that must be escaped", "target: control, space, #, backslash, or above ASCII";
    BAD_ESCAPE = AMBIGUOUS, "an escape in a request target that is none, or that some servers undo twice", "target: %";
    BAD_TEXT = AMBIGUOUS, "a request target whose escapes are not UTF-8, or are control characters", "target: decoded";
    HIDDEN_SEPARATOR = AMBIGUOUS, "an escaped slash, backslash or percent sign in a path", "target: %2F, %5C, %25";
    DOT_SEGMENT = AMBIGUOUS, "a path with a segment `.` or `..`", "target: dot segment";
    EMPTY_SEGMENT = AMBIGUOUS, "a path with an empty segment", "target: // or a slash at the end";
    TOO_MANY_SEGMENTS = TOO_MANY, "a path with more than 64 segments", "SEGMENTS_MAX";
    QUERY_SEMICOLON = AMBIGUOUS, "a query with a semicolon: some servers take it for `&`", "target: query";
    QUERY_EMPTY_PAIR = AMBIGUOUS, "a query with an empty pair", "target: query";
    TOO_MANY_PAIRS = TOO_MANY, "a query with more than 1024 pairs", "PAIRS_MAX";
}

// What a request is.
reasons! {
    UNKNOWN_METHOD = UNKNOWN, "a method that is not GET, HEAD, POST, PUT, PATCH or DELETE", "request: method";
    UNKNOWN_PATH = UNKNOWN, "a path that this gateway does not know to be the API server's", "request: no resource";
    WRONG_METHOD = BAD_VALUE, "a method that this path does not have", "request: method and shape";
    BAD_GROUP = BAD_VALUE, "an API group that is none", "request: group";
    BAD_VERSION = BAD_VALUE, "an API version that is none", "request: version";
    BAD_NAMESPACE = BAD_VALUE, "a namespace that is none", "request: namespace";
    BAD_RESOURCE = BAD_VALUE, "a resource or subresource that is none", "request: resource";
    BAD_NAME = BAD_VALUE, "a name that no object has", "request: name";
    TOO_DEEP = UNKNOWN, "a path that goes on behind a subresource", "request: only `proxy` has a path behind it";
    PREFIX_PROXY = UNKNOWN, "the form /proxy/ before a resource, which API servers no longer have", "request: /proxy/";
    NAMESPACE_TWICE = AMBIGUOUS, "namespaces inside of a namespace", "request: namespaces";
    PATH_TWICE = AMBIGUOUS, "a proxied path that is given twice", "request: `path` in the query";
}

// What a query asks for.
reasons! {
    UNKNOWN_PARAMETER = UNKNOWN, "a parameter of the query that this gateway does not know here", "query: name";
    PARAMETER_TWICE = AMBIGUOUS, "a parameter of the query that stands twice", "query: name";
    NOT_A_BOOLEAN = AMBIGUOUS, "a parameter that is neither true nor false", "query: the API server takes all else for true";
    NOT_A_NUMBER = BAD_VALUE, "a parameter that is no whole number", "query: number";
    NOT_A_DRY_RUN = BAD_VALUE, "`dryRun` is `All` or is not there", "query: dryRun";
    WATCH_ON_NAME = AMBIGUOUS, "`watch` where one object is asked for: name it by its field selector", "query: watch";
    BAD_SELECTOR = BAD_VALUE, "a selector that is none, or names one field twice", "query: fieldSelector, labelSelector";
    NO_COMMAND = BAD_VALUE, "an exec without a command", "query: command";
    TOO_MANY_WORDS = TOO_MANY, "a command with more than 1024 words", "WORDS_MAX";
    NO_STREAM = BAD_VALUE, "an exec or attach without a stream", "query: stdin, stdout, stderr";
    BAD_PORT = BAD_VALUE, "a port that is none", "query: ports";
    BAD_OPTION = BAD_VALUE, "a value that this parameter does not have", "query: value";
}

// What a body says.
reasons! {
    BODY_TOO_LARGE = TOO_LARGE, "a body above 3 MiB", "BODY_BYTES_MAX";
    BODY_OF_A_READ = BAD_VALUE, "a body of a request that reads", "body: verb";
    NO_PATCH_TYPE = BAD_VALUE, "a patch without a Content-Type", "body: Content-Type";
    UNKNOWN_MEDIA = UNKNOWN, "a body of a type that this gateway does not read", "body: Content-Type";
    WRONG_MEDIA = BAD_VALUE, "a body of a type that this request does not have", "body: Content-Type";
    STILL_YAML = OUT_OF_ORDER, "YAML that is not written as JSON", "body: body::json comes first";
    STILL_PROTOBUF = OUT_OF_ORDER, "protobuf that is not written as JSON", "body: body::json comes first";
    NO_PROTOBUF = BAD_VALUE, "a body in protobuf that is none", "body: protobuf";
    PROTOBUF_TWICE = AMBIGUOUS, "a field of protobuf that stands twice", "body: protobuf";
    PROTOBUF_KIND = UNKNOWN, "this gateway does not read this kind in protobuf: use application/json", "body: schema.txt, kind";
    PROTOBUF_FIELD = UNKNOWN, "this gateway does not know a field of this body in protobuf: use application/json", "body: schema.txt, field";
    CBOR = UNKNOWN, "this gateway does not read CBOR: use application/json", "body: CBOR";
    NO_OBJECT = BAD_VALUE, "a body that is no object", "body: root";
    A_LIST = UNKNOWN, "a list where one object is expected", "body: kind";
    ANOTHER_OBJECT = AMBIGUOUS, "a body with another name or namespace than the path", "body: metadata";
    NO_DELETE_OPTIONS = BAD_VALUE, "a body of a delete that is no DeleteOptions", "body: delete";
    DELETE_TWICE = AMBIGUOUS, "options of a delete in the query that its body does not say", "body: delete";
    NO_PATCH = BAD_VALUE, "a JSON patch that is none", "body: RFC 6902";
    TOO_MANY_OPERATIONS = TOO_MANY, "a JSON patch with more than 10000 operations", "OPERATIONS_MAX";
    DIRECTIVE = UNKNOWN, "a strategic patch with a directive (`$...`) that this gateway does not know, or that has not its form", "body: directives";
    TOO_DEEP_POINTER = TOO_MANY, "a JSON patch with a path deeper than 64", "JSON_DEPTH_MAX";
    ANOTHER_CASE = AMBIGUOUS, "a name that differs from a known one only in the case of its letters", "body: name";
    WRONG_TYPE = BAD_VALUE, "a member that is not what its name says", "body: type";
    TOO_MANY_FACTS = TOO_MANY, "a body that touches more than 4096 things, or in more than 256 KiB", "FACTS_MAX, FACTS_BYTES_MAX";
    BAD_FACT = BAD_VALUE, "a body that names something in more than 4096 bytes or with a control character", "FACT_BYTES_MAX";
}

// What an answer may be.
reasons! {
    ACCEPT_TOO_LONG = TOO_LARGE, "an Accept header that is too long", "ACCEPT_BYTES_MAX, ACCEPT_RANGES_MAX";
    BAD_ACCEPT = UNKNOWN, "an Accept header with a parameter that this gateway does not know", "answer: Accept";
    NO_TABLE = UNKNOWN, "a Table of such objects may show what a rule masks by its path: ask for the objects", "answer: Accept";
    NO_JSON = UNKNOWN, "this gateway answers in JSON, and Accept takes none", "answer: Accept";
}

// Connections: protocols and channels.
reasons! {
    NO_PROTOCOL = UNKNOWN, "no protocol that this gateway carries: v4.channel.k8s.io, v5.channel.k8s.io or portforward.k8s.io", "channel: names";
    TOO_MANY_PROTOCOLS = TOO_MANY, "more than 16 protocols", "PROTOCOLS_MAX";
    PROTOCOL_TWICE = AMBIGUOUS, "a protocol that is offered twice", "channel: names";
    NOT_OFFERED = BAD_VALUE, "a protocol that was not offered", "channel: chosen";
    NO_CHANNEL = BAD_LENGTH, "a message without a channel", "channel: empty message";
    FAILED_TWICE = BAD_VALUE, "more than one message that a port failed", "channel: of what fails";
    OTHER_PORT = BAD_VALUE, "a channel that does not begin with its port", "channel: first message";
    UNKNOWN_CHANNEL = UNKNOWN_MESSAGE, "a channel that this side does not have", "channel: number";
    NOT_ASKED_FOR = OUT_OF_ORDER, "a stream that the request did not ask for", "channel: streams of the query";
    INPUT_ENDED = OUT_OF_ORDER, "input behind its end", "channel: closed";
    BAD_SIZE = BAD_VALUE, "a size of a terminal that is none", "channel: resize";
    ENDED_TOO_LONG = TOO_LARGE, "an end of a program that is told in more than 64 KiB", "ENDED_BYTES_MAX";
    NO_STATUS = BAD_VALUE, "an end of a program that is none", "channel: Status";
}

// SPDY: frames.
reasons! {
    CONTROL_TOO_LARGE = TOO_LARGE, "a control frame of SPDY above 16 KiB", "CONTROL_BYTES_MAX";
    SPDY_VERSION = BAD_VALUE, "this gateway speaks SPDY/3.1", "spdy: version";
    UNKNOWN_FRAME = UNKNOWN_MESSAGE, "a frame of SPDY that streams of Kubernetes do not have", "spdy: type";
    BAD_FLAGS = BAD_VALUE, "a flag of SPDY that streams of Kubernetes do not have", "spdy: flags";
    STREAM_ZERO = BAD_VALUE, "a stream of SPDY without a number", "spdy: stream 0";
    ASSOCIATED = UNKNOWN, "a stream of SPDY that belongs to another", "spdy: associated stream";
    BAD_STATUS = BAD_VALUE, "a reset of SPDY without a status", "spdy: RST_STREAM";
    TOO_MANY_SETTINGS = TOO_MANY, "more than 64 settings of SPDY", "SETTINGS_MAX";
    BAD_COMPRESSION = BAD_VALUE, "headers of SPDY that are not compressed as they must be", "spdy: zlib";
    HEADERS_TOO_LARGE = TOO_LARGE, "headers of SPDY above 16 KiB", "HEADER_BLOCK_BYTES_MAX";
    TOO_MANY_HEADERS = TOO_MANY, "more than 32 headers of SPDY", "HEADERS_MAX";
    HEADER_TOO_LONG = TOO_LARGE, "a header of SPDY that is too long", "HEADER_NAME_BYTES_MAX, HEADER_VALUE_BYTES_MAX";
    BAD_HEADER = BAD_VALUE, "a header of SPDY that is none, or stands twice", "spdy: header";
}

// SPDY: the session.
reasons! {
    NOT_ITS_FRAME = OUT_OF_ORDER, "a frame of SPDY that the other side sends", "spdy: side";
    GOING_AWAY = OUT_OF_ORDER, "a stream of SPDY behind GOAWAY", "spdy: GOAWAY";
    BAD_STREAM = BAD_VALUE, "a stream of SPDY whose number is not the next, or that never was", "spdy: stream";
    TOO_MANY_STREAMS = TOO_MANY, "more than 512 open streams of SPDY", "STREAMS_MAX";
    NO_STREAM_TYPE = UNKNOWN, "a stream without a type that is known", "spdy: streamtype";
    BAD_HEADERS = BAD_VALUE, "headers that such a stream does not have", "spdy: headers of a stream";
    ROLE_TWICE = OUT_OF_ORDER, "a second stream of one kind", "spdy: streamtype";
    ANOTHER_PORT = AMBIGUOUS, "two streams of one connection with two ports", "spdy: requestid and port";
    REPLIED_TWICE = OUT_OF_ORDER, "a second reply to a stream", "spdy: SYN_REPLY";
    NOT_REPLIED = OUT_OF_ORDER, "data of a stream before its reply", "spdy: DATA";
    STREAM_ENDED = OUT_OF_ORDER, "data of a stream behind its end", "spdy: DATA";
    NOT_ITS_STREAM = OUT_OF_ORDER, "data on a stream that the other side speaks on", "spdy: DATA";
    BAD_PING = BAD_VALUE, "a ping that is an answer, or has the other side's number", "spdy: PING";
}
