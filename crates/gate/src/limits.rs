//! Limits of the gate.

/// Questions that may wait at once. Each holds one session (at most 512 of them) and about 4 KiB: 2 MiB.
pub const ASKS_MAX: usize = 512;
/// Longest public key of an approver who signs, in bytes as OpenSSH writes it: RSA of 8,192 bits has 1,420.
pub const SSH_KEY_BYTES_MAX: usize = 2 << 10;
/// Longest signature in armor, in bytes: that key's has 2,900. Eight signers with their keys fit into a record.
pub const SSH_SIGNATURE_BYTES_MAX: usize = 4 << 10;
/// Longest grant for a shape, in minutes: one working day.
pub const SHAPE_MINUTES_MAX: u32 = 8 * 60;
/// Grants for shapes that live at once in one run. Each is 32 bytes and a name; more is a sign of misuse.
pub const SHAPES_PER_RUN_MAX: usize = 64;
/// Canonical requests that a run is known to have recorded; each 32 bytes. Beyond it their texts are recorded again.
pub const REQUESTS_PER_RUN_MAX: usize = 4_096;
/// A permit is spent within this many milliseconds after it was minted, else it is void.
pub const PERMIT_MILLIS: u64 = 30_000;
/// Bind values that stand in the record itself, at most 75 bytes each: 19 KiB of the 64 KiB of a record. Types and sizes
/// of the rest stand in its encrypted payload; at most 65,535 of 12 bytes, under 1 MiB.
pub const PARAMS_MAX: usize = 256;
/// Of the values of a request's parameters, what an approver is shown, in bytes; of the rest sizes alone.
pub const PARAM_VALUES_BYTES_MAX: usize = 16 << 10;
/// Most of what a request touches, of its functions and of governed columns, that the record of a refusal names where all are more than a
/// record holds: 32 x 3 x 300 bytes.
pub const BRIEF_MAX: usize = 32;
/// Seqs of intents that one record settles: 9 bytes each at most, so 18 KiB of the 64 KiB of a record.
pub const SETTLES_MAX: usize = 2_000;

/// Decisions of one run whose arguments are remembered; an action is held against each. With the bounds below that is at
/// most 64 x 16 searches through 16 KiB, some milliseconds, and usually one through a line.
pub const DECISIONS_PER_RUN_MAX: usize = 64;
/// How long a decision counts for policy (`context.decided`), in nanoseconds: 15 minutes, by the clock of the records. A tool
/// that works on one holds it for seconds, a person who is asked in between for minutes; what is carried out later was
/// kept for that.
pub const DECISION_NANOS: u64 = 15 * 60 * 1_000_000_000;
/// Strings of one decision that are remembered, the outermost first.
pub const DECISION_STRINGS_MAX: usize = 16;
/// Bytes of their arguments. The oldest are forgotten first.
pub const DECISION_BYTES_PER_RUN_MAX: usize = 256 << 10;
/// Decisions that one action names as its causes: more alike than that tell nobody anything.
pub const CAUSES_MAX: usize = 8;
/// Bytes of an action's text that are held against decisions.
pub const SAID_BYTES_MAX: usize = 16 << 10;
/// Shortest text that is looked for inside another: shorter ones stand anywhere by chance.
pub const SAID_BYTES_MIN: usize = 8;
/// The shortest string of letters alone that ties what holds it to a decision: names of tables and columns are shorter.
pub const SAID_WORD_BYTES_MIN: usize = 24;
/// Bytes of one turn that are remembered, to tell who said what first.
pub const HEARD_BYTES_MAX: usize = 64 << 10;
/// Bytes of a run's turns that are remembered for that, and how many turns.
pub const HEARD_BYTES_PER_RUN_MAX: usize = 1 << 20;
pub const HEARD_PER_RUN_MAX: usize = 1_024;
/// Strings of a decision that are looked for in them: 16 MiB of searching a decision at most.
pub const TOLD_STRINGS_MAX: usize = 16;
/// The shortest of those strings, in bytes, which also have a space: an id that is passed on is data, a sentence or statement is a
/// text that somebody wrote. `DROP TABLE a` has as many.
pub const TOLD_BYTES_MIN: usize = 12;
/// Calls and turns of one run that are remembered, as hashes of eight bytes. A conversation of a thousand turns with ten
/// calls each has fewer.
pub const GIVEN_PER_RUN_MAX: usize = 16 << 10;
/// Bytes of a request's body that the reel keeps where its statement does not hold it. A payload has 1 MiB.
pub const BODY_BYTES_SHOWN_MAX: usize = 768 << 10;
/// Least likeness, in percent, of a request and a call that names the same things in other words.
pub const LIKE_PERCENT_MIN: usize = 50;
/// Different words of a request that is compared word by word.
pub const LIKE_WORDS_MAX: usize = 512;
/// Uses of decisions that are remembered in one run: what was carried out may not be carried out again on the same decision.
/// A decision with 16 statements in it has as many.
pub const USES_PER_RUN_MAX: usize = DECISIONS_PER_RUN_MAX * DECISION_STRINGS_MAX;
