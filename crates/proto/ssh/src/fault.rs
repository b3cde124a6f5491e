//! Every reason for which this crate refuses bytes, in one list: the kind that records and metrics match on, the
//! sentence that the peer may read, and where to look. The side is added where the reason applies.

pub use wire::Reason;
use wire::kind::*;
use wire::reasons;

/// Kinds of fault beside those of [`wire::kind`].
pub mod kind {
    /// A version of a protocol that is not spoken here.
    pub const UNSUPPORTED_VERSION: &str = "unsupported-version";
    /// A name that would lead out of the directory that it is in, or that was not asked for.
    pub const BAD_NAME: &str = "bad-name";
    /// A replacement that would move what stands behind it.
    pub const CHANGED_LENGTH: &str = "changed-length";
}

use self::kind::*;

// SFTP: frames and messages.
reasons! {
    EMPTY_FRAME = BAD_LENGTH, "a packet of SFTP without a type", "sftp frame: length 0";
    FRAME_TOO_LARGE = TOO_LARGE, "a packet of SFTP above 256 KiB", "FRAME_BYTES_MAX";
    HELLO_TOO_LARGE = TOO_LARGE, "SSH_FXP_INIT or SSH_FXP_VERSION above 16 KiB", "HELLO_BYTES_MAX";
    NO_HELLO = OUT_OF_ORDER, "SFTP begins with SSH_FXP_INIT and SSH_FXP_VERSION", "sftp: before the version";
    UNKNOWN_REPLY = UNKNOWN_MESSAGE, "a packet of SFTP that no server sends", "sftp: type of a reply";
    LATE_HELLO = OUT_OF_ORDER, "SSH_FXP_INIT and SSH_FXP_VERSION come once", "sftp: a second version";
    VERSION = UNSUPPORTED_VERSION, "this gateway speaks version 3 of SFTP", "sftp: version";
}

// SFTP: the session.
reasons! {
    ID_IN_USE = BAD_VALUE, "an id of SFTP that is in use", "sftp: a request with the id of an open one";
    TOO_MANY_REQUESTS = TOO_MANY, "more than 512 open requests of SFTP", "OUTSTANDING_MAX";
    NO_REQUEST = OUT_OF_ORDER, "a reply of SFTP to no request", "sftp: id of a reply";
    WRONG_REPLY = OUT_OF_ORDER, "a reply of SFTP that its request cannot have", "sftp: type of a reply";
    MORE_THAN_ASKED = BAD_LENGTH, "more data than was asked for", "sftp: DATA is longer than its READ";
    HANDLE_AGAIN = BAD_VALUE, "a handle of SFTP that is in use", "sftp: HANDLE";
    NAME_WITH_SLASH = BAD_NAME, "a name in a directory that is none", "sftp: NAME of a READDIR";
    NOT_ONE_NAME = BAD_VALUE, "a path was asked for and one is not what came", "sftp: NAME of REALPATH or READLINK";
    NOT_THIS_LENGTH = CHANGED_LENGTH, "what stands at an offset keeps its length", "sftp: replaced data";
    NO_SUCH_FIELD = BAD_VALUE, "a field that the reply has not", "sftp: replaced field";
}

// scp.
reasons! {
    SCP_LINE = BAD_VALUE, "a line of scp that is none", "scp: line";
    SCP_LINE_TOO_LONG = TOO_LARGE, "a line of scp above 8 KiB", "LINE_BYTES_MAX";
    SCP_SAID_TOO_LONG = TOO_LARGE, "a message of scp above 2 KiB", "SAID_BYTES_MAX";
    SCP_NUMBER = BAD_LENGTH, "a length or time of scp that is none", "scp: number";
    SCP_NAME = BAD_NAME, "a name of scp that leads elsewhere", "scp: name with a slash, `.` or `..`";
    SCP_NOT_ASKED = BAD_NAME, "a file that was not asked for", "scp: name of a source (CVE-2019-6111)";
    SCP_NOT_RECURSIVE = OUT_OF_ORDER, "a directory without -r", "scp: D";
    SCP_NO_TIMES = OUT_OF_ORDER, "times without -p, or twice", "scp: T";
    SCP_NO_DIRECTORY = OUT_OF_ORDER, "the end of a directory that did not begin", "scp: E";
    SCP_TOO_DEEP = TOO_MANY, "more than 128 directories in one another", "DEPTH_MAX";
    SCP_PATH = BAD_VALUE, "a path of scp that is none", "scp: path with a zero, or too long";
    SCP_ACK = BAD_VALUE, "an answer of scp that is none", "scp: the sink's byte";
    SCP_UNFINISHED = TRUNCATED, "scp ended inside a file or line", "scp: end of the stream";
    SCP_AFTER_END = TRAILING_BYTES, "scp goes on after its end", "scp: bytes after a fatal error";
    SCP_UNASKED = OUT_OF_ORDER, "an answer of scp to nothing", "scp: ack";
}
