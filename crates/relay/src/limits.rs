//! Limits of the relay. Unit last in the name.

use std::time::Duration;

use proto_postgres::limits::OUTSTANDING_MAX;
use sql::limits::STATEMENTS_MAX;

/// Live runs of one gateway. Each is about 2 KiB: 8 MiB.
pub const RUNS_MAX: usize = 4_096;
/// How deep runs nest.
pub const CHILD_DEPTH_MAX: usize = 8;
/// Words of a run's command that are recorded; more is refused, so that the record is whole. 256 x 128 bytes < 64 KiB.
pub const ARGV_WORDS_MAX: usize = 256;
/// A name of a prepared statement or portal: what PostgreSQL keeps of one (`NAMEDATALEN`, without the byte that ends it).
pub const NAME_BYTES_MAX: usize = 63;
/// PBKDF2 rounds of a run's password. It has 192 random bits, so the count protects nothing; 4,096 is what clients expect (RFC 7677).
pub const SCRAM_ITERATIONS: u32 = 4_096;
/// Connections to one listener that have not proved a run. With one more the oldest is cut: whoever logs in needs a few
/// milliseconds, and whoever stalls would wait for [`LOGIN`]. Half of [`SESSIONS_MAX`], so that those who have proved theirs keep a place.
pub const UNPROVED_MAX: usize = 256;
/// Sessions of one gateway, and again as many lanes of HTTP/2. 512 x (two 1 MiB queues) = 1 GiB worst case.
pub const SESSIONS_MAX: usize = 512;
/// From accept to the end of authentication.
pub const LOGIN: Duration = Duration::from_secs(20);
/// For a look at the servers when the gateway starts, all at once: it starts no later for one that does not answer.
pub const START_LOOK: Duration = Duration::from_secs(3);
/// To reach the upstream and log in there.
pub const DIAL: Duration = Duration::from_secs(15);
/// To read a catalog, all of it: everybody who wants one waits meanwhile. Ten thousand tables take a second or two.
pub const CATALOG_READ: Duration = Duration::from_secs(10);
/// What an upstream says of its catalog at once, in bytes: a hundred for each column of 100,000 tables.
pub const CATALOG_BYTES_MAX: usize = 256 << 20;
/// Parameters that an upstream reports at login, and their bytes. PostgreSQL reports 15, of which a client sets one or two.
pub const REPORTED_MAX: usize = 256;
pub const REPORTED_BYTES_MAX: usize = 64 << 10;
/// How long an upstream's machine may be silent where nothing is under way to it: TCP asks whether it is there. A
/// network that fails for less than a minute is one that PostgreSQL's own connections outlive.
pub const UPSTREAM_SILENT: Duration = Duration::from_secs(90);
/// How long the end of a run waits for its sessions to write their last records.
pub const SESSION_END: Duration = Duration::from_secs(5);
/// How long a request that is already in the ledger's queue waits for its record. New ones are refused as soon as the
/// oldest append is half a second old (`ledger`, admission), so that P2's second holds for them; what was admitted
/// before the stall is given this long, since a busy disk that recovers loses nobody's work.
pub const RECORD: Duration = Duration::from_secs(5);
/// How often a request looks whether the ledger has room again: a segment is prepared in a quarter of a second or so.
pub const ROOM_POLL: Duration = Duration::from_millis(5);
/// How long the client waits for the record of a refusal, or of a question to a human. Nothing of its was sent, so there
/// is no work to lose, and P2 gives a refusal one second.
pub const REFUSAL_RECORD: Duration = Duration::from_millis(700);
/// Bytes read from a peer at once.
pub const READ_BYTES: usize = 16 << 10;
/// Bytes that wait to be written to one side before the other side is no longer read.
pub const QUEUE_BYTES_MAX: usize = 1 << 20;
/// A reply under this size is one record; a larger one is released piece by piece, each after its record.
pub const CHUNK_BYTES: usize = 64 << 10;
/// Messages of one session that upstream has still to answer before its client is no longer read: half of what may be
/// outstanding, so that what comes of one more, a Query of [`STATEMENTS_MAX`] statements or [`BATCH_MAX`] messages, is below that.
pub const AHEAD_MAX: usize = OUTSTANDING_MAX / 2;
/// Messages of the extended protocol that one record covers where nothing is executed between them.
pub const BATCH_MAX: usize = 1_024;
const _: () = assert!(AHEAD_MAX + BATCH_MAX + 8 * STATEMENTS_MAX < OUTSTANDING_MAX);
/// Prepared statements of one session. PostgreSQL has no limit; drivers keep at most a few hundred.
pub const PREPARED_MAX: usize = 4_096;
/// Open portals of one session.
pub const PORTALS_MAX: usize = 1_024;
/// Savepoints of one transaction: as many names, each of at most 63 bytes, 1 MiB. PostgreSQL has no limit, and is slow behind
/// 64 of them that have written.
pub const SAVEPOINTS_MAX: usize = 10_000;
/// Statements of one transaction, whose end each of their records waits for: 8 bytes each, 8 MB.
pub const UNSETTLED_MAX: usize = 1_000_000;
/// A statement that runs another by name, which runs another: each is looked at again. Nobody needs more than two.
pub const NAMES_DEEP_MAX: usize = 4;
/// Statements whose analysis one session remembers, by exact text.
pub const ANALYSES_MAX: usize = 512;
/// The longest description of a result that a plan remembers: a hundred columns. 512 plans then hold 8 MiB at most.
pub const SHAPE_BYTES_MAX: usize = 4 << 10;
/// The longest command tag that is remembered; PostgreSQL's own have fewer than 40 bytes.
pub const TAG_BYTES_MAX: usize = 64;
/// How long an answer waits for a look at what its names mean by then.
pub const NAMES_LOOK: Duration = Duration::from_secs(10);
/// A catalog younger than this is believed when a name is not in it.
pub const CATALOG_DOUBT: Duration = Duration::from_millis(200);
/// Prints of revealed cells that one record holds: 17 bytes each at most, so 17 KiB of the 64 KiB of a record.
pub const PRINTS_MAX: usize = 1_000;
/// Answers whose release one session remembers.
pub const RELEASES_MAX: usize = 1_024;
/// The longest a statement runs upstream on a read-only session without a `statement_timeout` of the resource: a
/// report may take minutes; what takes longer is a mistake that holds back vacuum.
pub const READER_STATEMENT: Duration = Duration::from_secs(600);
/// The longest a statement waits for a lock upstream without a `lock_timeout` of the resource: whoever comes behind it
/// waits as well.
pub const LOCK_WAIT: Duration = Duration::from_secs(60);
/// The longest a transaction stays open upstream with nothing asked of it, without an `idle_in_transaction_timeout` of the
/// resource: an agent thinks for minutes between two statements. It is always above what a human may take.
pub const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(600);
/// How much above the longest wait for a human.
pub const IDLE_ABOVE_APPROVAL: Duration = Duration::from_secs(30);
/// How long a catalog snapshot is used without a look at the upstream.
pub const CATALOG_AGE: Duration = Duration::from_secs(60);
/// How long the end of a session waits for the records of what upstream said last. Less than [`FAREWELL`].
pub const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long a client has to take the last words of its session.
pub const FAREWELL: Duration = Duration::from_secs(1);
/// How long what a client has said before it went is carried out and answered: it is then that PostgreSQL would carry it out, too.
pub const LAST_ASKED: Duration = Duration::from_secs(2);
/// How long the end of a session waits for upstream to stop what it still does. With [`FAREWELL`], less than [`SESSION_END`].
pub const STATEMENT_STOP: Duration = Duration::from_secs(3);
/// After how long a cancel is sent again that upstream has not acted on.
pub const CANCEL_AGAIN: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(700),
    Duration::from_millis(1_500),
];
/// The longest body of a request that is held whole while it is decided, in bytes. 4 MiB x [`HTTP_SESSIONS_PER_RUN_MAX`] =
/// 512 MiB for one run. What is longer goes on behind it piece by piece: it is opaque, and cannot be approved.
pub const HELD_BODY_BYTES_MAX: usize = 4 << 20;
/// Connections of one run to services over HTTP, of [`SESSIONS_MAX`]: one run must not take the place of all. Clients keep
/// ten or a hundred.
pub const HTTP_SESSIONS_PER_RUN_MAX: u64 = 128;
/// Cookies of which a run's approver is not told, since their service set them, at 32 bytes each.
pub const COOKIES_PER_RUN_MAX: usize = 256;
/// What a client may send of its next requests while the answer to one is on its way, in bytes.
pub const PIPELINED_BYTES_MAX: usize = 64 << 10;
/// How long a client of HTTP may be silent inside a request, and take nothing of an answer.
pub const HTTP_READ: Duration = Duration::from_secs(60);
/// How long a call that comes again is held for its answer. Clients of MCP give up after a minute, and those that ask nobody
/// come again at once: in the 120 s that a question waits these are 6 rounds, where the SDK for Python gives up after 10.
pub const IN_BAND_HOLD: Duration = Duration::from_secs(20);
/// How often questions with which nobody came again are ended: the end of their run waits for that.
pub const ASKS_SWEPT: Duration = Duration::from_millis(200);
/// Most questions of a run that wait for their client: 1/32 of what the inbox of all runs holds (512). The calls beyond are held, each on a connection.
pub const IN_BAND_ASKS_PER_RUN_MAX: usize = 16;
/// How long a connection of HTTP may be idle between two requests. Clients keep theirs for one to five minutes.
pub const HTTP_IDLE: Duration = Duration::from_secs(300);
/// How long an upstream may be silent before and inside its answer. A model may think for ten minutes; SDKs wait as long.
pub const HTTP_ANSWER: Duration = Duration::from_secs(600);
/// The same of what goes on until somebody ends it: a watch of an API server's, which ends one by itself within an hour, or a log.
pub const ON_AND_ON: Duration = Duration::from_secs(3_700);
/// How long the last event of a stream waits for the next, if what it says could be the beginning of a value. A service
/// that pauses longer inside of one leaves its beginning; to a notification it is added. A model's answer waits for its next
/// event, or its end, however long that takes.
pub const EVENTS_PAUSE: Duration = Duration::from_millis(300);
/// The longest body of a request to a model, and of its answer, that is read, in bytes. A million tokens are about 4 MiB.
pub const MODEL_BODY_BYTES_MAX: usize = 8 << 20;
/// Tools of one server of MCP whose descriptions are remembered. Each is about 300 bytes, and the file is written whole.
pub const PINS_MAX: usize = 4_096;
/// What one server says of its tools that have changed, and is kept to be shown, in bytes: as much as one message holds.
pub const PINS_SAID_BYTES_MAX: usize = MODEL_BODY_BYTES_MAX;
/// Sessions, tasks and places that one server of MCP gave one run, and that are remembered.
pub const MCP_HANDLES_PER_RUN_MAX: usize = 256;
/// Ids of events that one server of MCP gave one run, and that are remembered: a client goes on behind the newest that it saw.
/// 50 bytes each; in each of [`RUNS_MAX`] runs that is 100 MiB.
pub const MCP_EVENTS_PER_RUN_MAX: usize = 512;
/// Notes about tools that one piece of an answer makes.
pub const MCP_NOTES_MAX: usize = 1_024;
/// What the gateway has to say on one stream of MCP and has not said yet. A client has a few requests in the air.
pub const MCP_WORDS_MAX: usize = 64;
/// The longest parameter of a statement that is held against what models decided, in bytes.
pub const PARAM_SAID_BYTES_MAX: usize = 256;
/// Most functions that a refusal's hint names: a line for people. A name has at most 63 bytes.
pub const CALLS_SAID_MAX: usize = 4;
/// Turns of a request to a model, counted from its end, in which a step of the run's plan is looked for.
pub const QUOTES_MAX: usize = 8;
/// The longest of them, in bytes: 64 steps are looked for in each, 4 MiB in all.
pub const QUOTED_BYTES_MAX: usize = 8 << 10;
/// Decisions whose results one request shows for the first time, as its record names them.
pub const SHOWS_MAX: usize = 256;
/// How long a session waits until a connection is lent to it. `tacho mcp` lends the next when one was taken, within
/// milliseconds.
pub const MCP_LENT: Duration = Duration::from_secs(5);
/// The words of a command of a server of MCP that its client starts, in bytes, with a byte between two. They stand in the
/// `connect` record, and come in one field of a head.
pub const MCP_COMMAND_BYTES_MAX: usize = 8 << 10;
/// What may wait for one side of an exec or port-forward while that side is still heard: its pings and openings are answered there. A
/// message of WebSocket's, which has at most a MiB, has room in it.
pub const CHANNEL_ANSWERS_BYTES_MAX: usize = 4 << 20;
/// Objects of a cluster that are read at once for approvers, of one resource: each costs two connections and 8 MiB at most.
pub const CHANGES_AT_ONCE_MAX: usize = 4;
/// How long a WebSocket may be without a message of either side's. Pings are no messages: the gateway answers them by itself.
pub const SOCKET_IDLE: Duration = Duration::from_secs(3600);
/// How long one side's Close waits for the other's. RFC 6455 asks for a reasonable time; what comes meanwhile is not passed on.
pub const SOCKET_CLOSE: Duration = Duration::from_secs(2);
/// Verdicts that one session of HTTP remembers. A client asks for a few things again and again; each is compared.
pub const VERDICTS_MAX: usize = 32;
/// How long a certificate that the proxy mints for a host is good; a new one is made after half of it. No run lasts longer than
/// a month, and none of its clients keeps a certificate.
pub const LEAF_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How far a client's clock may be behind.
pub const LEAF_SKEW: Duration = Duration::from_secs(24 * 3600);
/// How long the proxy's authority is good from a start of the gateway on. It is made anew at each.
pub const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// What one run asked of the proxy in vain and stands in its record one by one. The rest is counted.
pub const IN_VAIN_LISTED_MAX: usize = 64;
/// Streams of one client's connection of HTTP/2 at once, each with a lane: a session with an upstream connection of its own. A
/// quarter of [`HTTP_SESSIONS_PER_RUN_MAX`], so that a run's other connections have room. Clients open a few at once; those
/// that want more wait, as the settings tell them.
pub const LANES_MAX: usize = 32;
/// The same until one of them has proved its run; others wait. A connection of HTTP/1.1 has one: so [`SESSIONS_MAX`] connections of
/// strangers cost 4 x (2 x [`LANE_BYTES`]) each, 512 MiB, and not 4 GiB.
pub const LANES_UNPROVED_MAX: usize = 4;
/// Bytes of one direction of a lane: one piece of an answer with its framing. 2 x 128 KiB x [`HTTP_SESSIONS_PER_RUN_MAX`] lanes
/// on two legs = 64 MiB for one run.
pub const LANE_BYTES: usize = 128 << 10;
/// What a peer of HTTP/2 may send of one stream's body before it was taken, in bytes. RFC 9113's own is 65,535.
pub const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// The same of all streams of a connection: 4 of them may be at their own limit.
pub const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// What waits to be sent of one stream, in bytes.
pub const STREAM_SEND_BYTES_MAX: usize = 64 << 10;
/// Streams that a peer of HTTP/2 reset and that are remembered, or reset before they were seen (CVE-2023-44487): beyond it the
/// connection ends.
pub const STREAMS_RESET_MAX: usize = 32;
/// How many more streams a client may abandon than it lets come to their end, and how many may be no requests: beyond it the
/// connection ends. Each costs a session that is cut.
pub const STREAMS_ABANDONED_MAX: usize = 64;
/// Streams whose requests are refused unread, or whose credential is no run's, on one connection.
pub const STREAMS_WRONG_MAX: usize = 32;
/// Attempts to log in on one connection. OpenSSH's servers take 6.
pub const SSH_ATTEMPTS_MAX: usize = 6;
/// How long an attempt takes at least that fails.
pub const SSH_REJECTED: Duration = Duration::from_millis(300);
/// Connections of one run to hosts, of [`SESSIONS_MAX`].
pub const SSH_SESSIONS_PER_RUN_MAX: u64 = 64;
/// Channels of one connection at once, each with a connection to the host while its program runs. OpenSSH's servers take 10; Ansible opens 5
/// at a time.
pub const SSH_CHANNELS_MAX: usize = 32;
/// Channels of one run at once, over all its connections: what they hold is its own part of the gateway's memory and descriptors.
pub const SSH_CHANNELS_PER_RUN_MAX: u64 = 64;
/// Connections to the host that one client's connection keeps for its next programs. As many as programs that OpenSSH's servers let run on
/// one connection: where eight run at once, and four connections were kept, others were dialled all the time.
pub const SSH_IDLE_MAX: usize = 10;
/// Channels of one connection in all: of each the library keeps some 300 bytes, 20 MiB.
pub const SSH_CHANNELS_IN_ALL_MAX: u64 = 65_536;
/// Requests on one channel that nobody has looked at: variables, mostly. OpenSSH sends a dozen.
pub const SSH_REQUESTS_MAX: usize = 64;
/// What requests on one channel that nobody has looked at hold together, in bytes: a command line, and another.
pub const SSH_REQUEST_BYTES_MAX: usize = 2 * (SSH_COMMAND_BYTES_MAX + 1);
/// What is kept of a name beside programs, in bytes: a socket's path has 108.
pub const SSH_NAME_BYTES_MAX: usize = 256;
/// A variable's value that reaches the host, in bytes. The longest locale of glibc's has 24.
pub const SSH_ENV_BYTES_MAX: usize = 32;
/// The longest command line, in bytes. Linux takes one argument of 128 KiB, and the login shell's `-c` is one.
pub const SSH_COMMAND_BYTES_MAX: usize = 128 << 10;
/// What one command line does, one by one; of more, the line is opaque. Half of what policy evaluates (`policy::limits`).
pub const SSH_ACCESSES_MAX: usize = 512;
/// What a client may send on a channel before it was taken, in bytes. OpenSSH's own is 2 MiB. With what may wait besides:
/// (2 x 1 MiB + 512 KiB + [`SSH_REQUEST_BYTES_MAX`]) x [`SSH_CHANNELS_PER_RUN_MAX`] = 176 MiB for one run, at worst.
pub const SSH_WINDOW_BYTES: u32 = 1 << 20;
/// The input of one channel that waits before the client is granted next to nothing: more than is taken within [`SSH_TRICKLE`] at
/// 100 MB/s, so that a program which reads is never kept waiting for a client that sends.
pub const SSH_STDIN_BYTES: usize = 512 << 10;
/// How long a client whose window is used up waits for the next two bytes of it: 400 bytes a second are added to what waits.
pub const SSH_TRICKLE: Duration = Duration::from_millis(5);
/// What a host may send on a channel before it was taken.
pub const SSH_UPSTREAM_WINDOW_BYTES: u32 = 2 << 20;
/// Packets of a host's that wait for their channel before the connection is no longer read: 32 x 32 KiB = 1 MiB.
pub const SSH_QUEUE: usize = 32;
/// The longest packet's data. RFC 4253 (6.1) asks for 32 KiB.
pub const SSH_PACKET_BYTES: u32 = 32 << 10;
/// Keys are exchanged anew after so many bytes of one direction, and so long. RFC 4253 (9) says a gibibyte and an hour.
pub const SSH_REKEY_BYTES: usize = 1 << 30;
pub const SSH_REKEY: Duration = Duration::from_secs(3600);
/// How often a silent peer is asked whether it is there, and how often it may say nothing.
pub const SSH_KEEPALIVE: Duration = Duration::from_secs(60);
pub const SSH_KEEPALIVES_MAX: usize = 3;
/// How long a connection's end waits for the peer's.
pub const SSH_GOODBYE: Duration = Duration::from_secs(1);
/// How long a program may be silent in the middle of a line before what it wrote leaves: a question, or a message of a protocol. The
/// beginning of a value that is cut there leaves with it.
pub const SSH_PAUSE: Duration = Duration::from_millis(100);
/// The same at a terminal, where somebody waits for every prompt. What is put together on the screen is found there.
pub const SSH_TERMINAL_PAUSE: Duration = Duration::from_millis(20);
/// How much of a piece is shown on a terminal's screen before others have their turn. A kibibyte can clear 65,536 cells 256 times.
pub const SSH_SCREEN_SLICE: usize = 1 << 10;
/// A line that is typed, as far as it is kept to be found on the screen. A terminal takes 4 KiB (N_TTY_BUF_SIZE).
pub const SSH_TYPED_BYTES_MAX: usize = 4 << 10;
/// Lines that were typed and not seen yet.
pub const SSH_TYPED_LINES_MAX: usize = 64;
/// So many bytes at a terminal may be a key that was typed, and where it puts the cursor: the reel has them with what follows.
pub const SSH_TYPED_BACK: usize = 64;
/// Pieces of a program's output that wait for their records at once, of [`CHUNK_BYTES`] and one more packet each: 1 MiB. A sync then
/// makes several durable.
pub const SSH_AHEAD_MAX: usize = 8;
/// What answers of SFTP that were asked for may hold together, on one channel, until they have left: what is beyond waits. A READ counts
/// with what stands around its piece, 45 KiB, since that is held with it. OpenSSH's client has 64 x 32 KiB under way: 5.4 MiB with that.
/// 6 MiB x [`SSH_CHANNELS_PER_RUN_MAX`] = 384 MiB for one run that does not read, at worst.
pub const SFTP_IN_FLIGHT_BYTES: usize = 6 << 20;
/// What of a client's requests waits for its record before more are taken: a few of the longest packets.
pub const SFTP_UNSENT_BYTES: usize = 512 << 10;
/// What is reckoned for an answer that is small: a path, and a status.
pub const SFTP_ANSWER_BYTES: usize = 8 << 10;
/// The same for one that may fill a packet: names of a directory.
pub const SFTP_LARGE_ANSWER_BYTES: usize = 256 << 10;
/// Files of one channel of which what was read last is kept, 41 KiB each: 1.3 MiB.
pub const SFTP_RECENT_FILES_MAX: usize = 32;
/// The longest question about what stands before a piece of a file: every server answers so much at once (draft, 6.4).
pub const SFTP_QUESTION_BYTES: usize = 32 << 10;
/// Ids of users, and of groups, that a line in the record names: 11 bytes each.
pub const SFTP_IDS_SHOWN_MAX: usize = 64;
/// Questions about what stands around one piece of a file. A host that answers with a kibibyte each has told all by then.
pub const SFTP_QUESTIONS_MAX: usize = 64;
/// How many paths a line of `scp -f` may name whose files are decided one by one; each directory that it is in has as many. A line
/// with more is a command like others.
pub const SCP_PATHS_MAX: usize = 16;
/// Keys of one host that may be pinned.
pub const SSH_PINS_MAX: usize = 64;
/// Things of one kind refused beside programs that one connection has in its record, one by one. The rest is counted.
pub const SSH_BESIDE_LISTED_MAX: u64 = 64;

const _: () = {
    assert!(UNPROVED_MAX * 2 <= SESSIONS_MAX);
    assert!(SSH_SESSIONS_PER_RUN_MAX as usize * 2 <= SESSIONS_MAX);
    assert!(SSH_WINDOW_BYTES / 2 > SSH_PACKET_BYTES);
    assert!(LANES_MAX as u64 * 4 <= HTTP_SESSIONS_PER_RUN_MAX);
    assert!(LANES_UNPROVED_MAX <= LANES_MAX);
    assert!(SESSIONS_MAX * LANES_UNPROVED_MAX * 2 * LANE_BYTES <= 512 << 20);
    assert!(LANE_BYTES > CHUNK_BYTES);
    assert!(STREAM_WINDOW_BYTES <= CONNECTION_WINDOW_BYTES);
};
