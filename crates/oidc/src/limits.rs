//! Limits of tokens and keys that others made. Unit last in the name.

/// Longest token that is looked at. Tokens of Kubernetes have some 1,200 bytes, those with many groups a few thousand.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;
/// Largest JWKS. A key of RSA with 4,096 bits and a certificate chain beside it is about 8 KiB.
pub const KEYS_BYTES_MAX: usize = 256 << 10;
/// Keys of one set. Issuers publish the one of today, the one of yesterday and the one of tomorrow; some have one per cluster.
pub const KEYS_MAX: usize = 64;
/// Smallest modulus of RSA, in bits (RFC 7518, 3.3).
pub const RSA_BITS_MIN: usize = 2_048;
/// Largest, in bits: what `ring` takes.
pub const RSA_BITS_MAX: usize = 8_192;
/// `act` claims inside one another. Token exchange adds one per service; nobody delegates nine times for good.
pub const ACTORS_MAX: usize = 8;
/// Longest text of a claim that goes into a record: a subject, an actor, an id, what is required. 2 x (8 + 32) of them fit
/// into a record of 64 KiB.
pub const CLAIM_BYTES_MAX: usize = 512;
/// Audiences that one token names.
pub const AUDIENCES_MAX: usize = 16;
/// Groups that one token names. Past that, some issuers send a link instead of a list.
pub const GROUPS_MAX: usize = 64;
/// How far the issuer's clock and ours may be apart, in seconds, if nothing else is configured, and at most.
pub const LEEWAY_SECONDS: u64 = 60;
pub const LEEWAY_SECONDS_MAX: u64 = 300;
/// Longest life of a token, from `iat` (or now) to `exp`, in seconds: a day. What lives longer is a password.
pub const TOKEN_LIFE_SECONDS_MAX: u64 = 24 * 3600;
/// Largest date, in seconds since 1970: the largest whole number that every reader of JSON reads the same.
pub const DATE_SECONDS_MAX: u64 = 1 << 53;

const _: () = assert!(LEEWAY_SECONDS <= LEEWAY_SECONDS_MAX);
const _: () = assert!(LEEWAY_SECONDS_MAX < TOKEN_LIFE_SECONDS_MAX);
const _: () = assert!((ACTORS_MAX * 2 + 40) * CLAIM_BYTES_MAX < 64 << 10);
