//! Limits of the command line and its files. Unit last in the name.

use std::time::Duration;

/// `tacho.toml`. One of 256 resources with 64 masks each is about 1 MiB.
pub const CONFIG_BYTES_MAX: usize = 4 << 20;
/// Resources of one gateway; each is a listener.
pub const RESOURCES_MAX: usize = 256;
/// Masks of one resource.
pub const MASKS_PER_RESOURCE_MAX: usize = 4_096;
/// Routes of one HTTP resource. Each request is held against them one by one.
pub const ROUTES_PER_RESOURCE_MAX: usize = 512;
/// Longest path of a Unix socket: `sun_path` has 108 bytes, one of them the NUL.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Longest wait for a human. A held request keeps a session, and perhaps locks, for as long.
pub const APPROVAL_TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// Longest life of a run's credentials.
pub const RUN_LIFETIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Deepest descent of a process that is looked at. Shells in shells are tens deep; deeper is refused.
pub const ANCESTORS_MAX: usize = 1_024;
/// How often a descent is looked at: a parent that ends meanwhile makes a hole in one look.
pub const ANCESTRY_LOOKS: usize = 3;
/// How often an unconfined run takes the ends of what its agent left behind. Who waits for its own is done long before.
pub const ORPHANS_INTERVAL: Duration = Duration::from_secs(5);
/// A response of the gateway's own HTTP API. `find` pages, so 64 MiB is far above any answer.
pub const HTTP_BODY_BYTES_MAX: usize = 64 << 20;
/// From request to whole response of that API.
pub const HTTP_DEADLINE: Duration = Duration::from_secs(30);
/// `operators.toml`. An operator is about 250 bytes.
pub const OPERATORS_FILE_BYTES_MAX: usize = 1 << 20;
/// Operators of one gateway.
pub const OPERATORS_MAX: usize = 1_000;
/// Witnesses of one ledger: a note has 16 signature lines, and one is the ledger's.
pub const WITNESSES_MAX: usize = 8;
/// How often it is looked whether there is a new checkpoint to show.
pub const WITNESS_PACE: Duration = Duration::from_millis(500);
/// Longest pause after a witness failed; the first is twice [`WITNESS_PACE`].
pub const WITNESS_PAUSE_MAX: Duration = Duration::from_secs(30);
/// From dialling a witness to its whole answer.
pub const WITNESS_DEADLINE: Duration = Duration::from_secs(10);
/// For the last checkpoint, when the gateway stops.
pub const WITNESS_STOP_WAIT: Duration = Duration::from_secs(2);
/// A witness's answer: a few signature lines.
pub const WITNESS_ANSWER_BYTES_MAX: usize = 64 << 10;
/// A witness that has not cosigned for so long is an alarm.
pub const WITNESS_LAG_MAX: Duration = Duration::from_secs(15);
/// Text of an approval's or a revocation's reason.
pub const REASON_BYTES_MAX: usize = 1_024;

/// A signed checkpoint with its cosignatures.
pub const NOTE_BYTES_MAX: usize = 64 << 10;

/// How often it is recorded how many connections were turned away: one record for any number of them.
pub const STRANGERS_INTERVAL: Duration = Duration::from_secs(10);
/// How often `tacho up` looks whether an upstream went down or came back: soon for whoever reads its log.
pub const UPSTREAMS_INTERVAL: Duration = Duration::from_secs(1);

/// Connections that one jail carries at once, those to its resolver among them. Each has two buffers of 8 KiB in `tacho run`.
pub const JAIL_CONNECTIONS_MAX: usize = 512;
/// Sockets of one jail: a listener for each resource, the console and the proxy, three of the resolver's, two that see packets.
pub const JAIL_SOCKETS_MAX: usize = RESOURCES_MAX + 7;
/// The system's certificates that a run's clients trust beside the proxy's authority. Debian's are 220 KiB.
pub const SYSTEM_ROOTS_BYTES_MAX: u64 = 4 << 20;
/// How long each step of making a jail may take; on an idle machine all of them take a few milliseconds.
pub const JAIL_HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the first process of a jail that was not made may take to say why.
pub const JAIL_LAST_WORDS: Duration = Duration::from_secs(1);
/// What is kept of a packet that is looked at: the longest header of IPv4 (60), an ICMP header, and in it the beginning of
/// another packet with its ports (68), with room to spare.
pub const JAIL_PACKET_BYTES: usize = 256;
/// Packets that are looked at before others have their turn; a few hundred microseconds.
pub const JAIL_PACKETS_AT_ONCE: usize = 256;
/// Packets that wait to be looked at. The kernel counts some 800 bytes for each, so about 10,000.
pub const JAIL_SINK_BYTES: usize = 8 << 20;
/// Attempts that stand in the record one by one: different addresses with their ports. The rest is counted.
pub const JAIL_ADDRESSES_LISTED_MAX: usize = 64;
/// The same of names; with their escapes they have at most 1,016 bytes each.
pub const JAIL_NAMES_LISTED_MAX: usize = 64;
/// Attempts in one line to the gateway. A name's backslashes are doubled there: 6 x 2,048 bytes fit into its 16 KiB.
pub const JAIL_BATCH_MAX: usize = 6;
/// How long an attempt waits until it is recorded, so that several go together.
pub const JAIL_REPORT_INTERVAL: Duration = Duration::from_millis(200);
/// A query to the jail's resolver: a name of 255 bytes and what stands around it, with EDNS, is below 400.
pub const JAIL_QUERY_BYTES_MAX: usize = 1_500;
/// How long a client of the resolver may stay connected.
pub const JAIL_QUERY: Duration = Duration::from_secs(5);
const _: () = assert!(JAIL_BATCH_MAX * 2_048 < crate::desk::LINE_BYTES_MAX);

/// A message of MCP over standard input or output. The gateway reads no longer one (`relay`, 8 MiB).
pub const MCP_LINE_BYTES_MAX: usize = 8 << 20;
/// An answer of the gateway's to one: the message, and what stands around it.
pub const MCP_ANSWER_BYTES_MAX: usize = MCP_LINE_BYTES_MAX + (64 << 10);
/// Requests of one client of MCP that are under way at once; the next line is not read before. Each is a connection to the
/// gateway and one that is lent to it: 2 x 16 of the 128 that a run may have.
pub const MCP_IN_FLIGHT_MAX: usize = 16;
/// Connections that one `tacho mcp` lends at once: one for each request, one for what nobody asked for, and some that end.
pub const MCP_LENT_MAX: usize = MCP_IN_FLIGHT_MAX + 8;
/// Messages that wait to be taken on, on each way. 16 x 8 MiB at worst.
pub const MCP_QUEUE_MAX: usize = 16;
/// How often a stream on which nothing is said says so. The gateway ends one that is silent for ten minutes.
pub const MCP_PING: Duration = Duration::from_secs(300);
/// How long an answer may take: as long as a person may, and a silent server after that.
pub const MCP_ANSWER: Duration = Duration::from_secs(3600 + 600 + 60);
/// To connect to the gateway, and until it says yes or no to a connection that is lent.
pub const MCP_CONNECT: Duration = Duration::from_secs(10);
/// How long a server may take none of what is written to it.
pub const MCP_WRITE: Duration = Duration::from_secs(30);
/// A connection that was idle for so long is not used again; the gateway closes those that are for five minutes.
pub const MCP_IDLE: Duration = Duration::from_secs(60);
/// How long the next line waits until a request is with the server, so that both come in their order. A request that waits for
/// a person holds nobody up for longer.
pub const MCP_ORDER: Duration = Duration::from_millis(300);
/// The same of the request by which a client begins: nothing else has a meaning before its answer.
pub const MCP_BEGIN: Duration = Duration::from_secs(10);
/// After its client has closed its input, how long what is under way may take. Clients wait two seconds for the end.
pub const MCP_DRAIN: Duration = Duration::from_millis(1_200);
/// How long a server may take to end after its input was closed, and again after SIGTERM.
pub const MCP_STOP: Duration = Duration::from_secs(2);
/// Between two tries to reach the gateway, at first and at most.
pub const MCP_PAUSE: Duration = Duration::from_millis(100);
pub const MCP_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Lines of a server that are no messages, and are told one by one.
pub const MCP_NOISE_TOLD_MAX: u32 = 16;
/// The head of the gateway's yes or no to a connection that is lent, with its reason.
pub const MCP_HEAD_BYTES_MAX: u64 = 16 << 10;
/// `.tacho-mcp.json` of a run's home: some 200 bytes for each of [`RESOURCES_MAX`].
pub const TICKETS_BYTES_MAX: u64 = 1 << 20;
const _: () = assert!(2 * MCP_LENT_MAX < 128);
const _: () = assert!(MCP_ANSWER.as_secs() > APPROVAL_TIMEOUT_MAX.as_secs());

/// Issuers of tokens that one gateway knows.
pub const ISSUERS_MAX: usize = 16;
/// Required claims, and people, of one issuer.
pub const ISSUER_RULES_MAX: usize = 256;
/// An agent's name, where an issuer's tokens are all of one agent.
pub const AGENT_NAME_BYTES_MAX: usize = 128;
/// Most runs that one token may mint, where the configuration allows more than one.
pub const RUNS_PER_TOKEN_MAX: u64 = 10_000;
/// From asking an issuer to its whole answer, for each of the two that discovery needs.
pub const ISSUER_DEADLINE: Duration = Duration::from_secs(5);
/// What an issuer says of itself (OpenID Connect Discovery); the usual ones have 2 to 8 KiB.
pub const DISCOVERY_BYTES_MAX: usize = 64 << 10;
/// An issuer is asked no more often than that for a key that is not known: whoever makes up names of keys sends us there.
pub const KEYS_PAUSE: Duration = Duration::from_secs(5);
/// Keys are read anew after that, so that one that the issuer has withdrawn is good for no longer while it answers.
pub const KEYS_FRESH: Duration = Duration::from_secs(300);
/// While the issuer does not answer its keys are good for that long: an hour without it, and no token is taken.
pub const KEYS_AGE_MAX: Duration = Duration::from_secs(3600);
/// Tokens of which it is remembered that they were spent, of all issuers: each has 100 bytes in memory and in a file, and is
/// forgotten when it has expired. Past that none is taken.
pub const SPENT_MAX: usize = 65_536;
const _: () = assert!(KEYS_PAUSE.as_secs() < KEYS_FRESH.as_secs());
const _: () = assert!(KEYS_FRESH.as_secs() < KEYS_AGE_MAX.as_secs());
/// Links on the way to one of the gateway's files, as the kernel follows them.
pub const LINKS_MAX: usize = 40;
/// Connections to the second socket at once, each with one descriptor of the 1,024 that a process usually has; one holds each run.
pub const DESK_CONNECTIONS_MAX: usize = 512;
/// And of one uid.
pub const DESK_CONNECTIONS_PER_UID_MAX: usize = 256;
const _: () = assert!(DESK_CONNECTIONS_PER_UID_MAX < DESK_CONNECTIONS_MAX);
const _: () = assert!(console::limits::SHAPE_MINUTES_MAX == gate::limits::SHAPE_MINUTES_MAX);
