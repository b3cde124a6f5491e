//! Requests of the gateway's own to an API server: what a write would change, and what the gateway's login may do. Each has a
//! connection to itself.

use bytes::BytesMut;
use proto_http::frame::{Decoder, Headers, Incoming, Start, encode_request};
use wire::RawField;

use super::super::credential::Injected;
use super::super::dial::{client_tls, dial};
use super::super::side::Side;
use crate::config::{HttpResource, Version};
use crate::leg::Leg;
use crate::limits::HELD_BODY_BYTES_MAX;

/// What is asked, beside whom it is asked of: the target as it stands behind the upstream's base.
pub(super) struct Ask<'a> {
    pub(super) method: &'a [u8],
    pub(super) target: &'a [u8],
    /// Beside Host, and what says how long the body is.
    pub(super) headers: Headers,
    pub(super) body: &'a [u8],
}

/// What an API server said.
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Asks, and reads the answer whole, up to 4 MiB. `None`: there is none.
pub(super) async fn ask(config: &HttpResource, leg: Leg, injected: &Injected, ask: Ask<'_>) -> Option<Said> {
    let mut side = Side::new(leg, Decoder::upstream());
    let text = |text: &str| RawField::copy_from(text.as_bytes());
    let mut headers = Headers::new();
    headers.push(text("Host"), text(&config.upstream.authority));
    ask.headers.iter().for_each(|(name, value)| headers.push(name.clone(), value.clone()));
    headers.push(text("Accept"), text("application/json"));
    headers.push(text("Accept-Encoding"), text("identity"));
    headers.push(text("Connection"), text("close"));
    headers.push(text("Content-Length"), text(&ask.body.len().to_string()));
    let mut head = BytesMut::new();
    encode_request(&mut head, ask.method, &config.target(ask.target), &headers).ok()?;
    head.extend_from_slice(ask.body);
    let mut out = injected.added(&head)?;
    side.decoder.answers(false);
    side.leg.drain(&mut out).await.ok()?;
    let (mut status, mut body) = (0, Vec::new());
    loop {
        match side.next().await.ok()? {
            Incoming::Head(head) => {
                let Start::Response { status: said, .. } = head.start else { return None };
                status = said;
            }
            Incoming::Body(piece) if body.len() + piece.len() <= HELD_BODY_BYTES_MAX => {
                body.extend_from_slice(&piece);
            }
            Incoming::Trailers(_) => {}
            Incoming::End => return Some(Said { status, body }),
            Incoming::Body(_) | Incoming::NeedMore | Incoming::Closed => return None,
        }
    }
}

/// Whether the gateway's login, or whom it asks for, may do everything in the cluster: for `tacho check`. Errors: sentences for the
/// operator.
pub(in crate::http) async fn may_everything(config: &HttpResource) -> Result<bool, String> {
    const PATH: &[u8] = b"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    const ALL: &[u8] = br#"{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"resourceAttributes":{"verb":"*","group":"*","resource":"*"}}}"#;
    let mut upstream = config.upstream.clone();
    upstream.version = Version::One;
    let leg = dial(&upstream, client_tls(&upstream)?.as_ref()).await?;
    let secret = config.vault.fetch().await?;
    let injected = Injected::new(&config.inject, secret.as_ref())?;
    let mut headers = Headers::new();
    headers.push(RawField::from_static(b"Content-Type"), RawField::from_static(b"application/json"));
    super::as_whom(config, &mut headers);
    let said = ask(config, leg, &injected, Ask { method: b"POST", target: PATH, headers, body: ALL }).await;
    let said = said.ok_or("it did not answer what the gateway may do")?;
    let allowed =
        || json::parse(&said.body).ok()?.object().ok()?.object("status").ok()??.flag("allowed").ok();
    match (said.status, allowed()) {
        (201, Some(allowed)) => Ok(allowed),
        (401, _) => Err("it does not know the gateway's credential (401)".to_owned()),
        (403, _) => Err("the gateway may not ask what it may do (403)".to_owned()),
        (status, _) => Err(format!("it answered {status} to what the gateway may do")),
    }
}
