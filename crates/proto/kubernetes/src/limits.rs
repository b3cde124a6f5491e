//! Limits of this crate, each with its reason. Nothing here reserves memory from a length that a peer declared:
//! a limit says how much a peer may *really send* before it is refused.

/// A request target, in bytes. Go's server takes 1 MiB of head; the longest target is an exec's with a script in it, and
/// what proxies on the way take is 8 to 64 KiB.
pub const TARGET_BYTES_MAX: usize = 64 << 10;

/// Segments of a path. A resource has at most nine; what is behind `proxy` is an application's.
pub const SEGMENTS_MAX: usize = 64;

/// Pairs of a query: each word of a command is one.
pub const PAIRS_MAX: usize = 1_024;

/// A name of an object or a part of a path, in bytes. DNS names have 253; those of RBAC may be any, and etcd has 1.5 KiB.
pub const NAME_BYTES_MAX: usize = 1_024;

/// A DNS subdomain (RFC 1123), in bytes: groups and resources.
pub const DOMAIN_BYTES_MAX: usize = 253;

/// A DNS label (RFC 1123), in bytes: namespaces and versions.
pub const LABEL_BYTES_MAX: usize = 63;

/// Terms of a field selector. Kinds offer some ten fields.
pub const TERMS_MAX: usize = 32;

/// Words of an exec's command.
pub const WORDS_MAX: usize = 1_024;

/// Ports of one port-forward.
pub const PORTS_MAX: usize = 64;

/// A body, in bytes: what the API server itself takes (`MaxRequestBodyBytes`).
pub const BODY_BYTES_MAX: usize = 3 << 20;

/// Operations of a JSON patch: what the API server takes.
pub const OPERATIONS_MAX: usize = 10_000;

/// Facts of a body. The role `cluster-admin` has one, `admin` some thousand, a pod ten.
pub const FACTS_MAX: usize = 4_096;

/// A text of a fact, in bytes: a path of Linux has 4,095, a reference of an image some 400. It stands in records.
pub const FACT_BYTES_MAX: usize = 4_096;

/// Texts of all facts of a body together, in bytes. Those of the role `admin` have about 20 KiB.
pub const FACTS_BYTES_MAX: usize = 256 << 10;

/// `Accept`, in bytes. That of kubectl for aggregated discovery has about 250.
pub const ACCEPT_BYTES_MAX: usize = 4 << 10;

/// Ranges of `Accept`. kubectl sends at most four.
pub const ACCEPT_RANGES_MAX: usize = 32;

/// Protocols that a client offers. kubectl offers at most five.
pub const PROTOCOLS_MAX: usize = 16;

/// A size of a terminal, in bytes: `{"Width":65535,"Height":65535}` has 30.
pub const SIZE_BYTES_MAX: usize = 128;

/// What is said of a program's end, in bytes. A `Status` quotes the command where that does not start.
pub const ENDED_BYTES_MAX: usize = 64 << 10;

/// A control frame of SPDY without its head, in bytes. Those of Kubernetes have less than 100.
pub const CONTROL_BYTES_MAX: usize = 16 << 10;

/// A block of headers when it is no longer compressed, in bytes. So much is made for each.
pub const HEADER_BLOCK_BYTES_MAX: usize = 16 << 10;

/// Headers of a stream. Those of Kubernetes have three.
pub const HEADERS_MAX: u32 = 32;

/// The name of a header, in bytes.
pub const HEADER_NAME_BYTES_MAX: usize = 64;

/// The value of a header, in bytes.
pub const HEADER_VALUE_BYTES_MAX: usize = 256;

/// Settings of one SETTINGS. There are eight.
pub const SETTINGS_MAX: u32 = 64;

/// Open streams of a connection: a port-forward has two for each connection through it. 512 x 24 bytes.
pub const STREAMS_MAX: usize = 512;

const _: () = {
    assert!(
        4 + HEADERS_MAX as usize * (8 + HEADER_NAME_BYTES_MAX + HEADER_VALUE_BYTES_MAX)
            < HEADER_BLOCK_BYTES_MAX
    );
    assert!(4 + 8 * SETTINGS_MAX as usize <= CONTROL_BYTES_MAX);
    assert!(WORDS_MAX <= PAIRS_MAX);
    assert!(FACT_BYTES_MAX <= FACTS_BYTES_MAX && FACTS_BYTES_MAX <= BODY_BYTES_MAX);
    assert!(LABEL_BYTES_MAX < DOMAIN_BYTES_MAX && DOMAIN_BYTES_MAX < NAME_BYTES_MAX);
    assert!(NAME_BYTES_MAX < TARGET_BYTES_MAX);
};
