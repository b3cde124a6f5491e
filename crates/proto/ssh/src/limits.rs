//! Limits of this crate, each with its reason. Nothing here reserves memory from a length that a peer declared:
//! a limit says how much a peer may *really send* before it is refused.

/// A packet of SFTP behind its length, in bytes. OpenSSH's SFTP_MAX_MSG_LENGTH; its client sends 32 KiB of data in one.
pub const FRAME_BYTES_MAX: usize = 256 << 10;

/// INIT and VERSION, in bytes: a version and some pairs of names. OpenSSH's has about 400.
pub const HELLO_BYTES_MAX: usize = 16 << 10;

/// How much room a decoder makes for a frame that has begun, in bytes.
pub const LOOKAHEAD_BYTES_MAX: usize = 64 << 10;

/// Pairs in INIT or VERSION. OpenSSH 10 has twelve.
pub const HELLO_PAIRS_MAX: usize = 64;

/// A path, in bytes: Linux's PATH_MAX without the terminating zero.
pub const PATH_BYTES_MAX: usize = 4_095;

/// A user's name in a request that asks for a home, in bytes: Linux's LOGIN_NAME_MAX.
pub const USER_BYTES_MAX: usize = 256;

/// A handle, in bytes. Draft, section 6.3: at most 256. OpenSSH's have 4.
pub const HANDLE_BYTES_MAX: usize = 256;

/// Extended attributes of one file. Nobody is known to send any.
pub const EXTENDED_ATTRIBUTES_MAX: usize = 16;

/// Ids in one `users-groups-by-id@openssh.com`, of users and of groups each.
pub const IDS_MAX: usize = 4_096;

/// Requests without an answer. OpenSSH's client has 64, asyncssh 128, sshfs some hundred. Each holds at most two paths:
/// 512 x 8 KiB = 4 MiB a session at worst.
pub const OUTSTANDING_MAX: usize = 512;

/// Open files and directories of a session, with those that are being opened. OpenSSH's server has as many as its
/// descriptors, 1,024 by default. 256 x 8 KiB = 2 MiB of paths a session at worst.
pub const HANDLES_MAX: usize = 256;

/// A line of scp's, in bytes, with its line feed: a letter, a mode, a length and a name. OpenSSH takes 16 KiB.
pub const LINE_BYTES_MAX: usize = 8 << 10;

/// A name in a line of scp's, in bytes. File systems have 255; OpenSSH writes an unprintable byte as four.
pub const NAME_BYTES_MAX: usize = 1_020;

/// What scp says of an error, in bytes, with its line feed. OpenSSH takes 2,048.
pub const SAID_BYTES_MAX: usize = 2_048;

/// Digits of a length or time in a line of scp's: those of 2^63-1.
pub const DIGITS_MAX: usize = 19;

/// Directories of one scp in one another. A path has at most 2,047 segments; trees have some twenty.
pub const DEPTH_MAX: usize = 128;

/// One piece of a file's content that scp hands out, in bytes: the size in which releases are recorded.
pub const PIECE_BYTES_MAX: usize = 64 << 10;

/// Words behind `scp` in a command line. OpenSSH's client writes one path; a longer line is a command like others.
pub const WORDS_MAX: usize = 1_024;

const _: () = {
    assert!(HELLO_BYTES_MAX < FRAME_BYTES_MAX);
    assert!(LOOKAHEAD_BYTES_MAX <= FRAME_BYTES_MAX);
    assert!(HANDLE_BYTES_MAX < PATH_BYTES_MAX);
    assert!(2 * (4 + PATH_BYTES_MAX) < FRAME_BYTES_MAX, "a rename with two long paths fits");
    assert!(2 * 4 * IDS_MAX < FRAME_BYTES_MAX);
    assert!(NAME_BYTES_MAX + DIGITS_MAX + 8 < LINE_BYTES_MAX);
    assert!(NAME_BYTES_MAX < PATH_BYTES_MAX);
};
