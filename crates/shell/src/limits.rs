//! A limit on everything that a command line can make grow.

/// Longest command line, in bytes: what Linux takes as one argument (`MAX_ARG_STRLEN`, 32 pages of 4 KiB), so that no
/// longer one could be handed to a login shell with `-c`.
pub const TEXT_BYTES_MAX: usize = 128 << 10;

/// Deepest nesting: groups, substitutions, quotes inside expansions, commands inside commands (`sudo env sh -c ...`),
/// together. One level of the reader takes at most 12 KiB of stack as it is built for tests (the hostile tests run in
/// 1 MiB): 48 x 12 KiB = 576 KiB of a runtime worker's 2 MiB.
pub const DEPTH_MAX: usize = 48;

/// Most pieces of words, commands and redirections together, scripts inside the line included.
pub const NODES_MAX: usize = 20_000;

/// Most words that one word with braces becomes; of more, the word is unknown.
pub const BRACES_MAX: usize = 64;

/// Most bytes that all words with braces become together: twice the text's own limit.
pub const BRACES_BYTES_MAX: usize = 256 << 10;

/// Most commands that a line may run, those inside others included: each keeps its own copy of its arguments.
pub const COMMANDS_MAX: usize = 2_000;

/// Most bytes of arguments and scripts that commands inside commands may repeat: eight times the text's own limit.
pub const REPEATED_BYTES_MAX: usize = 1 << 20;

/// Longest path, in bytes: Linux takes none that is longer (`PATH_MAX`), so that of a longer one nobody knows what it names.
pub const PATH_BYTES_MAX: usize = 4 << 10;

/// Longest name of a user, in bytes: Linux's own (`LOGIN_NAME_MAX`). Who has a longer one cannot be known.
pub const USER_BYTES_MAX: usize = 256;

/// Most bytes of the paths that all commands name, each with [`FILE_BYTES`] for itself: 10,000 words of a full line, each named three
/// times, take 3 x (128 KiB + 10,000 x 32) = 1.3 MiB.
pub const FILES_BYTES_MAX: usize = 2 << 20;

/// What a file costs beside its path.
pub const FILE_BYTES: usize = 32;

const _: () = assert!(BRACES_BYTES_MAX >= TEXT_BYTES_MAX);
const _: () = assert!(TEXT_BYTES_MAX < u32::MAX as usize);
