//! SSH on the data path: a server to the run's clients, and a client to one host.
//!
//! A command (`exec`) is an action, read as the host's login shell would read it (`shell`): decided before it is sent, its input and output recorded before either leaves, its output masked as
//! it comes (`mask::body::Media::Output`), its exit status told behind all of it. Several run at once on a client's connection; towards
//! the host each has a connection of its own while it runs, which the next one takes over.
//!
//! SFTP is a channel of its own kind: each of its requests is an action (`sftp`).
//!
//! A run proves itself by its own key, or by its credential as the password; the user name is the host's, and no other is taken. What is
//! refused is told on standard error, with exit status [`REFUSED_STATUS`]; what could not be carried, with [`FAILED_STATUS`], as OpenSSH
//! says of itself. What is asked for and refused is in the
//! record while the connection lasts (a forward back, an agent, X11), of each kind up to a limit one by one; what nobody has room
//! for ends the connection.
//!
//! A login shell, and any program at a terminal (`seat`), is `opaque` and needs the permission `shell`: what is typed there is recorded by
//! its size and, where it is echoed, with the output; it is not decided. What a person would see is searched as the bytes are.
//!
//! A forward (`direct-tcpip`, `direct-streamlocal`) is an action too: to a resource of this gateway it leads into that resource's own path,
//! else it is opaque: its bytes are counted, and detectors look at them.
//!
//! **Not here, and refused**: subsystems other than `sftp`, forwarding back to the client, of agents
//! and X11, tunnels, RSA keys, certificates of hosts, carrying out again.
//!
//! Reading order: `listen` (accept to `connect`) -> `link` (the connection) -> `channel` (one program) -> `asked`, `action` (what is asked)
//! -> `decide` -> `output`, `input`, `seat` (what goes back and forth) -> `forward` -> `writer` -> `pool` (connections to the host) -> `resource`, `library`; and `sftp` (files).

mod action;
pub(crate) mod commands {
    //! What a command line does, wherever it runs.
    pub(crate) use super::action::{at_a_terminal, of};
}
mod asked;
mod channel;
mod decide;
mod forward;
mod input;
mod library;
mod link;
mod listen;
mod output;
mod pool;
mod resource;
mod sftp;
mod writer;

pub(crate) use forward::Routes;
pub use library::{KeyKind, Pinned, read_pins};
pub(crate) use library::{RunKey, make_run_key};
pub use listen::connection;
pub use pool::{Probed, probe};
pub use resource::Resource;

/// The exit status of a command that was not started: in a shell's words, it was found and cannot be executed.
pub const REFUSED_STATUS: u16 = 126;
/// That of a command whose end is not known, or that could not be brought to its host: what OpenSSH's client itself ends with.
pub const FAILED_STATUS: u16 = 255;
