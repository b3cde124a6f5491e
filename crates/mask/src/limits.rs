//! Every bound of this crate, with its reason.

/// Longest rendering of a free text, in bytes, before it is cut and says so. A record holds 65,535 bytes; the longest,
/// an `intent`, has two statements, and other text beside them.
pub const TEXT_BYTES_MAX: usize = 8 << 10;

/// Longest rendering of a statement, in bytes. 2 x 16 KiB leaves half of a record for everything else.
pub const STATEMENT_BYTES_MAX: usize = 16 << 10;
const _: () = assert!(2 * STATEMENT_BYTES_MAX + TEXT_BYTES_MAX < 65_535);

/// Longest rendering of an identifier, in bytes. PostgreSQL's are at most 63 bytes, 4 for each after escaping.
pub const NAME_BYTES_MAX: usize = 256;

/// How far from its anchor a detector looks back, in bytes, and so what [`crate::Tail`] holds of the current line.
/// URL credentials look furthest: scheme, user and password.
pub const LOOK_BEHIND_BYTES: usize = 512;
const _: () = assert!(URL_USERINFO_BYTES_MAX + URL_SCHEME_BYTES_MAX + 8 < LOOK_BEHIND_BYTES);
const _: () = assert!(2 * NEAR_BYTES_MAX < LOOK_BEHIND_BYTES);

/// Longest `user:password` of a URL that is looked at, in bytes.
pub const URL_USERINFO_BYTES_MAX: usize = 256;
/// Longest scheme of a URL that is looked at, in bytes.
pub const URL_SCHEME_BYTES_MAX: usize = 24;

/// Longest local part of an e-mail address (RFC 5321, 4.5.3.1.1), in bytes.
pub const EMAIL_LOCAL_BYTES_MAX: usize = 64;
/// Longest domain of an e-mail address that is looked at, in bytes (RFC 5321 allows 255).
pub const EMAIL_DOMAIN_BYTES_MAX: usize = 255;

/// How far from an access key's id its secret is looked for, in bytes, in either direction.
pub const NEAR_BYTES_MAX: usize = 120;

/// Longest segment of a JWT, in base64 characters. Larger tokens are cut: what follows the first 8 KiB of a segment
/// keeps its bytes, and without the head it verifies nowhere.
pub const JWT_SEGMENT_BYTES_MAX: usize = 8 << 10;
/// Most segments of a JWT (a JWE has five).
pub const JWT_SEGMENTS_MAX: usize = 5;

/// Longest body of a PEM private key, in bytes. RSA-16384 takes 12.5 KiB.
pub const PEM_BODY_BYTES_MAX: usize = 16 << 10;
/// Longest label of a PEM block, in bytes.
pub const PEM_LABEL_BYTES_MAX: usize = 64;

/// Longest token of a provider (Slack, LLM keys), in bytes.
pub const TOKEN_BYTES_MAX: usize = 256;

/// How deep encodings are undone: base64 of hex of text is two.
pub const DECODE_DEPTH_MAX: u32 = 2;
/// Shortest run of base64 or hex characters that is decoded. Shorter ones hold fewer than 12 bytes.
pub const ENCODED_RUN_BYTES_MIN: usize = 16;

/// Shortest cell or token that enters a [`crate::Filter`], in bytes.
pub const FILTER_TOKEN_BYTES_MIN: usize = 6;
/// Longest token that enters a [`crate::Filter`], in bytes; longer ones enter as whole cells only.
pub const FILTER_TOKEN_BYTES_MAX: usize = 256;
/// Most entries of one [`crate::Filter`]. 64 KiB hold at most 9,362 tokens of six bytes with a separator, and as many
/// cells. 28,672 x 12 bits = 42 KiB, which fits a record.
pub const FILTER_ENTRIES_MAX: usize = 28 << 10;

/// Most values of each origin that [`crate::Known`] remembers; the oldest go first. 16,384 x 24 bytes x 3 = 1.2 MiB a run.
pub const KNOWN_VALUES_MAX: usize = 16 << 10;

/// Longest framing between two values, in bytes: the header of a frame (5), the count of its cells (2) and a length (4).
pub const FRAMING_BYTES_MAX: usize = 11;
