//! PostgreSQL on the data path: listener, login, upstream, session.
//!
//! Reading order: `listen` (accept to ReadyForQuery) -> `session` (the loop) -> `plan` (one statement) -> `flight`
//! (what is in the air) -> `carried` (rows of a COPY) -> `look` (what leaves) -> `text` (values as their text) -> `catalog`, `resource`, `dial`, `writer`.

mod again;
mod carried;
pub mod catalog;
mod dial;
mod flight;
mod listen;
mod look;
pub mod plan;
mod resource;
mod session;
mod text;
mod writer;

pub use catalog::{Powers, fits, powers};
pub use dial::DialError;
pub(crate) use listen::connection;
pub use listen::probe;
pub use resource::Resource;
