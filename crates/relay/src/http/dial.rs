//! Reaching the service: TCP, and TLS that proves it; or a connection that was lent, to a server that its client started.

use std::sync::Arc;

use mask::MaskedText;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use vocab::RunId;

use super::lent::Process;
use super::resource::Resource;
use super::two;
use crate::config::{HttpResource, HttpUpstream, Version};
use crate::leg::Leg;
use crate::limits::DIAL;
use crate::tls;

/// How the sessions of one client's connection reach their upstream.
pub(super) enum Way {
    Dial,
    /// By what this `tacho mcp` of the run's lends.
    Lent(RunId, Process),
}

/// A connection on which nothing was said yet, and, if it was lent, to what command. Errors are sentences for the
/// operator. At most [`DIAL`].
pub(super) async fn reach(resource: &Resource, way: &Way) -> Result<(Leg, Option<MaskedText>), String> {
    match way {
        Way::Lent(run, process) => {
            let lent = resource.lent.take(*run, process).await?;
            Ok((lent.leg, Some(lent.command)))
        }
        Way::Dial => {
            let dialled = dial(&resource.config.upstream, resource.tls.as_ref()).await;
            // Of a server that its client starts the operator can mend nothing.
            resource.reached(dialled.as_ref().err().cloned());
            Ok((dialled?, None))
        }
    }
}

/// The same by HTTP/1.1, whatever else the service speaks. Errors: it does not, or is not dialled.
pub(super) async fn reach_one(resource: &Resource) -> Result<Leg, String> {
    let upstream = &resource.config.upstream;
    if resource.is_stdio() || upstream.version == Version::Two {
        return Err("it is not asked by HTTP/1.1".to_owned());
    }
    let tls = resource.tls.as_ref().map(|config| {
        let mut config = (**config).clone();
        config.alpn_protocols = vec![tls::HTTP_1.to_vec()];
        Arc::new(config)
    });
    dial(upstream, tls.as_ref()).await
}

pub(super) async fn dial(upstream: &HttpUpstream, tls: Option<&Arc<ClientConfig>>) -> Result<Leg, String> {
    let at = format!("{}:{}", upstream.host, upstream.port);
    let connect = async {
        let failed = |e: std::io::Error| format!("{at}: {e}");
        let stream = TcpStream::connect((upstream.host.as_str(), upstream.port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let Some(config) = tls else { return Ok(Leg::Tcp(stream)) };
        let named = upstream.tls.server_name(&upstream.host);
        let name = ServerName::try_from(named.to_owned())
            .map_err(|_| format!("`{named}` is no name that a certificate can prove"))?;
        let proved = TlsConnector::from(config.clone()).connect(name, stream).await;
        proved.map(|stream| Leg::TlsClient(Box::new(stream))).map_err(failed)
    };
    let connect = async {
        let leg = connect.await?;
        // What ALPN chose; of a service without TLS, what the operator says.
        let two = leg.chose_two() || upstream.version == Version::Two;
        match two {
            true if leg.is_tls() && !leg.chose_two() => Err(format!("{at} does not speak HTTP/2")),
            true => two::over(leg).await.map_err(|why| format!("{at}: {why}")),
            false => Ok(leg),
        }
    };
    match tokio::time::timeout(DIAL, connect).await {
        Ok(done) => done,
        Err(_late) => Err(format!("{at} took no connection within {} s", DIAL.as_secs())),
    }
}

/// How the service is proved, and what is offered to it. `None`: by the operator's word, not at all.
pub(super) fn client_tls(upstream: &HttpUpstream) -> Result<Option<Arc<ClientConfig>>, String> {
    let config = tls::client_config(&upstream.tls, upstream.client_certificate.as_ref())?;
    let offered: &[&[u8]] = match upstream.version {
        Version::Offered => &[tls::HTTP_2, tls::HTTP_1],
        Version::One => &[tls::HTTP_1],
        Version::Two => &[tls::HTTP_2],
    };
    Ok(config.map(|config| {
        let mut config = Arc::unwrap_or_clone(config);
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }))
}

/// Connects, proves the service and hangs up, for `tacho check`.
pub async fn probe(config: &HttpResource) -> Result<(), String> {
    let tls = client_tls(&config.upstream)?;
    let _secret = config.vault.fetch().await?;
    dial(&config.upstream, tls.as_ref()).await.map(drop)
}

/// Of a cluster: whether the gateway's login may do everything there. Errors: sentences for the operator.
pub async fn may_everything(config: &HttpResource) -> Result<bool, String> {
    let asked = super::cluster::may_everything(config);
    let late = |_late| format!("it took longer than {} s to say what the gateway may do", DIAL.as_secs());
    tokio::time::timeout(DIAL, asked).await.map_err(late)?
}
