//! HTTP on the data path: a listener in front of one service, and a forward proxy in front of all of them.
//!
//! HTTP/1.1 on both legs, framed by `proto_http`: a request that two servers could cut or read differently is refused,
//! and what goes upstream is encoded anew. HTTP/2 becomes that at the edge (`two`), and each leg speaks what its peer does. One request at a time; one upstream connection per session, and never
//! another run's. A request is an action (method and route); it waits for its intent's record, and each piece of its
//! answer for its own. Bodies are masked as they come, by path and by detector (`mask::Body`).
//!
//! Content codings are undone before anything looks (`coded`): the gateway asks the upstream for none, decodes what comes
//! in one all the same, and passes nothing on in one that it knows.
//!
//! **Not here, and refused**: HTTP/3, upgrades to anything but WebSocket (`websocket`, on
//! HTTP/1.1), CONNECT to a listener or for anything but TLS, byte ranges (a value could be cut in two; the whole
//! is asked for instead). Trailers pass from a service to a client that reads them, and not the other way.
//!
//! Reading order: `listen` (accept to `connect`), `proxy` and `entry` (the same for the proxy) -> `session` (the loop, and waiting) -> `request` (what is asked), `beside` (outside of its body), `written` (a mask that comes back), `cookies` (whose they are) ->
//! `decide` (verdict, question, intent), `band` (a question that its client carries) -> `answer` (what comes back) -> `coded`, `look` (decoding and masking it) -> `model` (where it is a
//! language model) -> `two` (HTTP/2) -> `websocket` -> `again` (out of a record) -> `scrub`, `writer`, `sigv4`, `side`, `problem`, `dial`,
//! `lent` (a server that its client starts), `resource`.

mod again;
mod answer;
mod band;
mod beside;
mod cluster;
mod coded;
mod cookies;
mod credential;
mod decide;
mod dial;
mod entry;
mod lent;
mod listen;
mod look;
mod mcp;
mod model;
mod problem;
mod proxy;
mod request;
mod resource;
mod scrub;
mod session;
mod side;
mod sigv4;
mod tags;
mod two;
mod websocket;
mod writer;
mod written;

pub(crate) use band::sweep;
pub(crate) use cookies::Cookies;
pub use dial::{may_everything, probe};
pub(crate) use listen::connection;
pub use proxy::Proxy;
pub(crate) use proxy::connection as proxied;
pub use resource::Resource;
