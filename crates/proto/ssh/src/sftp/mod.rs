//! SFTP, sans-IO: packets in, typed messages and actions on paths out, and back.
//!
//! Edition: version 3, draft-ietf-secsh-filexfer-02, as OpenSSH speaks it (PROTOCOL, section 4): SYMLINK has its
//! arguments the other way round. Other servers say which way they take them ([`session::Options`]).
//!
//! **Unsupported and refused**: every other version; types and extensions that are not in [`message::Request`]
//! (SSH_FX_OP_UNSUPPORTED, and [`session::Why`] for the record); what upstream offers beyond them is cut out of its VERSION
//! ([`version`]); flags and attributes that the draft has not; extended attributes in requests. Those in replies, and other fields that nobody would look at, are
//! taken out ([`message::Reply::plain`]).
//!
//! Reading order: [`frame`] (bytes <-> packets) -> [`message`] (typed, with [`attrs`]) -> [`action`] (what a request does to
//! which paths) -> [`reply`] (what came, as fields) -> [`session`] (ids, handles, offsets; what answers what). Beside
//! them: [`version`] (what is offered), [`resolve`] (where a path leads, asked of upstream).
//!
//! # Masks
//! A file's content is bytes at an offset. A client asks for pieces in whatever order and puts them at their offsets, so
//! a mask **changes no length**: [`message::Reply::replace`] refuses one that does. Names, longnames, and what a status says
//! may become longer or shorter.
//!
//! A value may lie across two pieces, and a client may ask for pieces that are smaller than any value, or for the second
//! half first. [`session::Piece`] says whether a piece follows the one before without a gap: while all do, the pieces are
//! the file from its beginning, and a detector that looks behind sees what a reader sees. Once one does not, whoever
//! masks has to see what stands around the piece: [`session::Piece::around`] says where that is and
//! [`session::Session::ask`] reads it by the same handle, unseen by the client; or has to refuse. [`reply::form`] tells text from bytes.

pub mod action;
pub mod attrs;
pub mod frame;
pub mod message;
pub mod reply;
pub mod resolve;
pub mod session;
pub mod version;
