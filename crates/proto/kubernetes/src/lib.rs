//! The API of Kubernetes, sans-IO: requests in, what they do out. The relay carries them over its path for HTTP.
//!
//! Edition: the API server of Kubernetes 1.20 to 1.34, whose `RequestInfoFactory` (k8s.io/apiserver) says what a request is for
//! authorization and audit.
//!
//! **What the policy saw is what the server does**: a request that the server and this crate, or two servers one behind the
//! other, could take for two different ones is refused and not repaired.
//!
//! **Unsupported and refused**: other methods than GET, HEAD, POST, PUT, PATCH and DELETE; escaped separators, empty and dot
//! segments; `/proxy/` before a resource; paths of the server's own that are not in [`request::ServerPath`]; parameters of a
//! query that are unknown or come twice; booleans that only Go takes for true; bodies in CBOR, in YAML that its readers read differently, and in protobuf of what is not in a table;
//! versions of the channel protocols before 4, and those in base64.
//!
//! Reading order: [`target`] (bytes -> segments and pairs) -> [`request`] (verb, group, resource, name) -> [`query`] (its
//! options) -> [`action`] (what it does, in the words of policy) -> [`body`] (what its body adds)
//! -> [`answer`] (where in an answer a secret stands; [`table`]: what its tables show) -> [`channel`] and [`spdy`] (what is inside of exec, attach and port-forward). Beside them: [`reply`] (what the gateway says itself), [`identity`] (headers that say who asks), [`fault`] (every reason for a refusal, in one
//! list), [`limits`]. Nothing here decides, records or releases.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod action;
pub mod answer;
pub mod body;
pub mod channel;
pub mod fault;
pub mod identity;
pub mod limits;
pub mod query;
pub mod reply;
pub mod request;
pub mod spdy;
pub mod table;
pub mod target;
