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

/// Longest words before the drawn part of a key, in bytes: `sk_live_` and its like are eight.
pub const KEY_PREFIX_BYTES_MAX: usize = 24;
const _: () = assert!(KEY_PREFIX_BYTES_MAX + 1 < LOOK_BEHIND_BYTES);

/// Values that a run was shown by grant and that are remembered, each as a hash with its class: about 64 bytes, 4 MiB a run.
pub const TAINT_VALUES_MAX: usize = 64 << 10;
/// Most words of one of them: a name, a street. Each word of a text is hashed with as many before it.
pub const TAINT_WORDS_MAX: usize = 8;
/// Fewest bytes of its words: shorter ones are in everything.
pub const TAINT_BYTES_MIN: usize = 6;

/// How deep encodings are undone: base64 of hex of text is two.
pub const DECODE_DEPTH_MAX: u32 = 2;
/// Shortest run of base64 or hex characters that is decoded, without padding. Shorter ones hold fewer than 11 bytes, and a
/// social security number has 11.
pub const ENCODED_RUN_BYTES_MIN: usize = 15;

/// Fewest bytes in which a transcript hides a value: `a%40b.co`.
pub const TRANSCRIPT_BYTES_MIN: usize = 8;

/// Shortest cell or token that enters a [`crate::Filter`], in bytes.
pub const FILTER_TOKEN_BYTES_MIN: usize = 6;
/// Longest token that enters a [`crate::Filter`], in bytes; longer ones enter as whole cells only.
pub const FILTER_TOKEN_BYTES_MAX: usize = 256;
/// So much of a stream waits for the end of a token before it enters a [`crate::Filter`], in bytes: four of the longest.
pub const FILTER_WAITS_BYTES_MAX: usize = 4 * FILTER_TOKEN_BYTES_MAX;
/// What is kept of it then, to enter again with what follows: the longest token, and the longest control sequence before it.
pub const FILTER_KEPT_BYTES: usize = FILTER_TOKEN_BYTES_MAX + 64;
/// Longest piece of a stream that enters a [`crate::Filter`] as a whole cell, in bytes; of a longer one its tokens do.
pub const FILTER_STREAM_CELL_BYTES_MAX: usize = 1 << 10;
/// Most entries of one [`crate::Filter`]. 64 KiB hold at most 9,362 tokens of six bytes with a separator, and as many
/// cells. 28,672 x 12 bits, the least that an entry has, are 42 KiB, which fits a record.
pub const FILTER_ENTRIES_MAX: usize = 28 << 10;

/// Values that a run may say, in all its sessions, and have back as its own where a detector would mask them. A run that says
/// numbers of social security to learn which one it is that it is not shown has seen one in ten thousand by then. 9 bytes each, in a
/// table that is half full: 2.3 MiB a run.
pub const ECHOES_PER_RUN_MAX: usize = 100_000;
/// Most values of each origin that [`crate::Known`] remembers; the oldest go first. 16,384 x 24 bytes x 3 = 1.2 MiB a run.
pub const KNOWN_VALUES_MAX: usize = 16 << 10;

/// Longest framing between two values, in bytes: the header of a frame (5), the count of its cells (2) and a length (4).
pub const FRAMING_BYTES_MAX: usize = 11;

/// How deep JSON of a body nests. Recursive readers are safe at this depth, and RFC 8259, 9 lets a reader set a limit.
/// A level holds its keys (below) and 8 bytes for each word of the rules' steps: at most one a rule.
pub const BODY_DEPTH_MAX: usize = 128;
/// How many strings of JSON one in another are read as JSON themselves: the result of a tool in an answer, and one more. Each
/// holds its text again: 4 x 3 MiB.
pub const BODY_INNER_DEPTH_MAX: usize = 4;
/// Longest string or number of a JSON body whose reader says no other limit, in bytes as written. It is held whole, so that nothing
/// hides across a cut: as read, as written and as replaced, 3 MiB.
pub const BODY_TOKEN_BYTES_MAX: usize = 1 << 20;
/// The same where its reader says another ([`crate::body::Body::longest`]): an image in a conversation is one string. 3 x 8 MiB, of
/// which a third is held until the rest of it comes; with what stands in strings of it 5 x 24 MiB, for as long as one piece is looked at.
pub const BODY_TOKEN_BYTES_MOST: usize = 8 << 20;
const _: () = assert!(BODY_TOKEN_BYTES_MAX <= BODY_TOKEN_BYTES_MOST);
/// Most keys of all objects of a JSON body that are open at once: they are kept, to refuse a key that comes twice.
/// 65,536 x 48 bytes for the set and where they end = 3 MiB.
pub const BODY_KEYS_MAX: usize = 1 << 16;
/// Most bytes of those keys. 64 bytes each at [`BODY_KEYS_MAX`].
pub const BODY_KEY_BYTES_MAX: usize = 4 << 20;

/// How much text of strings and numbers is collected before it is looked at in one piece, in bytes. Each piece repeats
/// at most [`LOOK_BEHIND_BYTES`] on either side: a sixteenth more work.
pub const BODY_WINDOW_BYTES: usize = 16 << 10;
const _: () = assert!(BODY_WINDOW_BYTES >= 32 * LOOK_BEHIND_BYTES);
/// How much of a body is collected for that, in bytes as written: four times the text, or it is mostly white space.
pub const BODY_WINDOW_RAW_BYTES: usize = 64 << 10;
/// Longest stretch of structure and white space over which one token gives another away, in bytes. What waits for its
/// context has at most 512 tokens, so that 512 x 4 KiB = 2 MiB are held at worst.
pub const BODY_GAP_BYTES_MAX: usize = 4 << 10;

/// Longest event of an event stream, in bytes, with its lines' ends: as long as a token of JSON, which it may be one of. Where each
/// is a message, none waits for the next, and each may be as long as a token may there.
pub const BODY_EVENT_BYTES_MAX: usize = 1 << 20;
/// Most lines of an event. 16,384 x 48 bytes = 768 KiB; JSON that is printed over lines has that many for 400 KiB.
pub const BODY_EVENT_LINES_MAX: usize = 1 << 14;
/// Most strings of an event that are taken for pieces of texts that go on in the next; those behind are looked at alone. A
/// delta has about ten. 4,096 x 160 bytes = 640 KiB beside their text.
pub const BODY_EVENT_PIECES_MAX: usize = 4 << 10;
/// Most bytes of events that wait for what follows, as they came: two of the longest, the one that is read, and room for small
/// ones. Each is there as it came, as it is written, its pieces, and their texts: 4 x 4 MiB, 8 x where all the texts are told apart.
pub const BODY_EVENTS_HELD_BYTES_MAX: usize = 4 << 20;
const _: () = assert!(BODY_EVENTS_HELD_BYTES_MAX >= 4 * BODY_EVENT_BYTES_MAX);
/// Most such events. What is longest in one value, a PEM block, is 16 KiB: 4 bytes an event.
pub const BODY_EVENTS_HELD_MAX: usize = 4 << 10;
const _: () = assert!(BODY_EVENTS_HELD_MAX * 4 >= PEM_BODY_BYTES_MAX);
/// Most pieces of such events: a delta of a model has four. 16,384 x (160 bytes, and 500 in each of at most four texts) =
/// 34 MiB at worst, of a stream that is made for it; a model's longest takes 3 MiB, since most of its pieces do not wait.
pub const BODY_PIECES_HELD_MAX: usize = 16 << 10;
const _: () = assert!(BODY_PIECES_HELD_MAX >= 2 * BODY_EVENT_PIECES_MAX);
/// Most events that may come without going on with a text whose end could be the beginning of a value: a few texts may take
/// turns. Of what is cut over more the beginning leaves.
pub const BODY_EVENTS_PAUSE_MAX: u64 = 4;
/// The same of a text of one piece, and of what is hardly a text: a stream begins with what comes once, and its first words
/// wait for that.
pub const BODY_EVENTS_PAUSE_ONCE_MAX: u64 = 1;
/// Most texts that are remembered, of which nothing waits. Beyond, half of them are forgotten, those first that had one piece
/// and those that were not gone on with for longest: they begin anew. To refuse a stream for them would end those of rows; to
/// put several into one would find values that nobody wrote. 8,192 x 350 bytes = 2.8 MiB.
pub const BODY_TEXTS_MAX: usize = 8 << 10;
/// Most bytes of those texts: [`LOOK_BEHIND_BYTES`] each, or a candidate that was let go undecided.
pub const BODY_TEXTS_BYTES_MAX: usize = 4 << 20;
const _: () = assert!(BODY_TEXTS_BYTES_MAX >= BODY_TEXTS_MAX * LOOK_BEHIND_BYTES);
/// How much of a text each of its pieces may have looked at again, in bytes: what is behind, and what has begun or could be of
/// a value that the run was shown. So a text in which nothing long is open is looked at with each piece.
pub const BODY_AGAIN_BYTES: usize = 1 << 10;
const _: () = assert!(BODY_AGAIN_BYTES >= 2 * LOOK_BEHIND_BYTES);
const _: () = assert!(URL_USERINFO_BYTES_MAX < LOOK_BEHIND_BYTES);
/// How often more each of its bytes may be looked at. While a candidate is open that is longer, a look waits for pieces that
/// pay for it: 41 KiB for forty pieces of one byte. The bytes that are looked at are linear in those that come.
pub const BODY_AGAIN_TIMES: usize = 8;
/// Most that a stream saves, in bytes, to let go of texts that are longer than [`BODY_AGAIN_BYTES`], and to look at them when
/// too much is held: each event earns as much as a piece does. The longest candidate in four texts, six times.
pub const BODY_AGAIN_SAVED_BYTES_MAX: usize = 1 << 20;
const _: () = assert!(
    BODY_AGAIN_SAVED_BYTES_MAX >= 6 * 4 * (JWT_SEGMENTS_MAX * JWT_SEGMENT_BYTES_MAX + LOOK_BEHIND_BYTES)
);
/// Longest URL that an event may say without being JSON, in bytes.
pub const BODY_ENDPOINT_BYTES_MAX: usize = 2_048;

/// Most pairs of a form. Servers take 1,000 (PHP, Express, Django).
pub const BODY_FORM_PAIRS_MAX: usize = 1_000;
/// Longest pair of a form, in bytes as written. It is held whole.
pub const BODY_FORM_PAIR_BYTES_MAX: usize = 1 << 20;

/// Most parts of a multipart body. A form has one for each of its fields.
pub const BODY_PARTS_MAX: usize = 256;
/// Longest header of a part, in bytes. It has two or three fields; the longest holds the name of a file.
pub const BODY_PART_HEADER_BYTES_MAX: usize = 8 << 10;
/// Longest boundary, in bytes (RFC 2046, 5.1.1).
pub const BODY_BOUNDARY_BYTES_MAX: usize = 70;

/// Longest line of a text body that is looked into behind encodings in one piece, in bytes.
pub const BODY_LINE_BYTES_MAX: usize = 64 << 10;
/// How much of a longer line one piece shares with the next, in bytes: an encoded value of at most this length lies
/// whole in one of them.
pub const BODY_LINE_OVERLAP_BYTES: usize = 4 << 10;
const _: () = assert!(8 * BODY_LINE_OVERLAP_BYTES <= BODY_LINE_BYTES_MAX);

/// A name of an object or a member that is told, in bytes: those of Kubernetes have 253.
pub const BODY_NAME_BYTES_MAX: usize = 253;

/// Members that are told by name between two looks at what was found. A piece of a body has 64 KiB, and a record that tells of all
/// these about 40 KiB, at most 200.
pub const BODY_NAMED_MAX: usize = 256;

/// Most values of one rule that are handed out as they were revealed, each of at most [`BODY_REVEALED_BYTES_MAX`]: the
/// caller makes fingerprints of them. 1,000 x 4 KiB = 4 MiB a rule, between two takes.
pub const BODY_REVEALED_VALUES_MAX: usize = 1_000;
/// Longest such value, in bytes.
pub const BODY_REVEALED_BYTES_MAX: usize = 4 << 10;

/// Most steps of a rule's path: one bit each of a word, and one for its beginning.
pub const BODY_PATH_STEPS_MAX: usize = 32;

/// How far before a piece of a file a value may begin that reaches into it, in bytes: the longest candidate, and how far its anchor
/// looks back.
pub const KEPT_BEFORE_BYTES: usize = JWT_SEGMENTS_MAX * JWT_SEGMENT_BYTES_MAX + 2 * LOOK_BEHIND_BYTES;
/// What is looked at before a piece of a file in which nothing goes on that began before, and behind each piece, in bytes: an
/// encoded value that is cut there lies whole in it, as in a line ([`BODY_LINE_OVERLAP_BYTES`]).
pub const KEPT_BEHIND_BYTES: usize = BODY_LINE_OVERLAP_BYTES;
const _: () = assert!(KEPT_BEFORE_BYTES > PEM_BODY_BYTES_MAX + LOOK_BEHIND_BYTES);
const _: () = assert!(KEPT_BEHIND_BYTES > LOOK_BEHIND_BYTES);
