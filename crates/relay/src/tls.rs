//! TLS on both legs: rustls with ring, and nothing that falls back.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};

use crate::config::{Pem, UpstreamTls};

/// HTTP/2 and HTTP/1.1 as ALPN calls them. RFC 9113, 3.2.
pub(crate) const HTTP_2: &[u8] = b"h2";
pub(crate) const HTTP_1: &[u8] = b"http/1.1";

/// PostgreSQL as ALPN calls it. PostgreSQL 17, 53.2.10 "SSL Session Encryption".
pub(crate) const POSTGRESQL: &[u8] = b"postgresql";

/// Installs the one provider. First thing in `main` and in each test binary.
pub fn install_provider() {
    // An error means that it is installed already; there is only one to install.
    let _already = rustls::crypto::ring::default_provider().install_default();
}

/// How an upstream is proved; `None` means plaintext, by the operator's word. `own`: certificate and key that prove the
/// gateway to it.
pub fn client_config(
    tls: &UpstreamTls,
    own: Option<&(Pem, Pem)>,
) -> Result<Option<Arc<ClientConfig>>, String> {
    let builder = ClientConfig::builder();
    let builder = match tls {
        UpstreamTls::Disable => return Ok(None),
        UpstreamTls::VerifyFull { roots, .. } => builder.with_root_certificates(root_store(roots.as_ref())?),
        UpstreamTls::VerifyCa { roots } => {
            let roots = Pem::File(roots.clone());
            let inner = WebPkiServerVerifier::builder(Arc::new(root_store(Some(&roots))?))
                .build()
                .map_err(|e| format!("the certificates in {roots} cannot be used: {e}"))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(ChainOnly { inner }))
        }
    };
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(chain(certificate)?, private_key(key)?)
            .map_err(|e| format!("the client certificate {certificate} cannot be used: {e}"))?,
    };
    Ok(Some(Arc::new(config)))
}

/// The gateway's own side towards clients.
pub fn server_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let [certificate, key] = [certificate, key].map(|file| Pem::File(file.to_owned()));
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain(&certificate)?, private_key(&key)?)
        .map(Arc::new)
        .map_err(|e| format!("the certificate {certificate} cannot be used: {e}"))
}

/// The installation's own certificate for `localhost`, minted once and kept beside the keys.
/// Returns (certificate, key) paths; the certificate is also what clients may pin as their root.
pub fn own_certificate(keys: &Path) -> Result<(PathBuf, PathBuf), String> {
    let (certificate, key) = (keys.join("listener.crt"), keys.join("listener.key"));
    if certificate.exists() && key.exists() {
        return Ok((certificate, key));
    }
    let names = vec!["localhost".to_string(), "127.0.0.1".to_string(), "::1".to_string()];
    let minted =
        rcgen::generate_simple_self_signed(names).map_err(|e| format!("cannot mint a certificate: {e}"))?;
    write_private(&key, minted.signing_key.serialize_pem().as_bytes())?;
    write_private(&certificate, minted.cert.pem().as_bytes())?;
    Ok((certificate, key))
}

pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), String> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(|e| format!("cannot write {}: {e}", path.display()))
}

fn root_store(roots: Option<&Pem>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(roots) => {
            for certificate in chain(roots)? {
                store.add(certificate).map_err(|e| format!("a certificate in {roots} is bad: {e}"))?;
            }
        }
        None => {
            let native = rustls_native_certs::load_native_certs();
            let (_added, _ignored) = store.add_parsable_certificates(native.certs);
        }
    }
    match store.is_empty() {
        true => {
            Err("there is no root certificate to prove the upstream with; name one with `sslrootcert`".into())
        }
        false => Ok(store),
    }
}

fn chain(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, String> {
    let bad = |e: rustls::pki_types::pem::Error| format!("cannot read certificates from {pem}: {e}");
    let certificates: Result<Vec<_>, _> = match pem {
        Pem::File(path) => CertificateDer::pem_file_iter(path).map_err(bad)?.collect(),
        Pem::Held { bytes, .. } => CertificateDer::pem_slice_iter(bytes.expose()).collect(),
    };
    match certificates.map_err(bad)? {
        none if none.is_empty() => Err(format!("{pem} holds no certificate")),
        some => Ok(some),
    }
}

fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, String> {
    let key = match pem {
        Pem::File(path) => PrivateKeyDer::from_pem_file(path),
        Pem::Held { bytes, .. } => PrivateKeyDer::from_pem_slice(bytes.expose()),
    };
    key.map_err(|e| format!("cannot read a private key from {pem}: {e}"))
}

/// `verify-ca`: the chain must be good, the name may be another.
#[derive(Debug)]
struct ChainOnly {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::vault::Secret;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    fn held(pem: &str) -> Pem {
        Pem::Held { of: "the test's".to_owned(), bytes: Arc::new(Secret::new(pem.as_bytes().to_vec())) }
    }

    /// A server that shows a certificate for `named` alone, and who signed it.
    fn server(named: &str) -> (TlsAcceptor, Pem) {
        install_provider();
        let minted = rcgen::generate_simple_self_signed(vec![named.to_owned()]).unwrap();
        let (certificate, key) = (held(&minted.cert.pem()), held(&minted.signing_key.serialize_pem()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain(&certificate).unwrap(), private_key(&key).unwrap())
            .unwrap();
        (TlsAcceptor::from(Arc::new(config)), certificate)
    }

    /// Whether `host` is proved, and the name that the server was asked for.
    async fn proved(acceptor: &TlsAcceptor, tls: &UpstreamTls, host: &str) -> Option<String> {
        let config = client_config(tls, None).unwrap().unwrap();
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let name = ServerName::try_from(tls.server_name(host).to_owned()).unwrap();
        let (client, server) =
            tokio::join!(TlsConnector::from(config).connect(name, ours), acceptor.accept(theirs));
        let asked = server.ok().and_then(|stream| stream.get_ref().1.server_name().map(str::to_owned));
        client.ok().and(asked)
    }

    #[tokio::test]
    async fn roots_may_be_held_and_a_name_may_be_another_than_the_host() {
        let (acceptor, roots) = server("cluster.example");
        let full = |roots: &Pem, name: Option<&str>| UpstreamTls::VerifyFull {
            roots: Some(roots.clone()),
            name: name.map(str::to_owned),
        };
        let cluster = Some("cluster.example".to_owned());
        assert_eq!(proved(&acceptor, &full(&roots, None), "cluster.example").await, cluster);
        assert_eq!(proved(&acceptor, &full(&roots, Some("cluster.example")), "10.0.0.1").await, cluster);
        assert_eq!(proved(&acceptor, &full(&roots, Some("cluster.example")), "other.example").await, cluster);
        // The name that is asked for is the one that has to be proved.
        assert_eq!(proved(&acceptor, &full(&roots, None), "other.example").await, None);
        assert_eq!(proved(&acceptor, &full(&roots, Some("other.example")), "cluster.example").await, None);
        let (_, foreign) = server("cluster.example");
        assert_eq!(proved(&acceptor, &full(&foreign, None), "cluster.example").await, None);
    }

    #[test]
    fn a_client_certificate_may_be_held() {
        install_provider();
        let minted = rcgen::generate_simple_self_signed(vec!["agent".to_owned()]).unwrap();
        let (certificate, key) = (held(&minted.cert.pem()), held(&minted.signing_key.serialize_pem()));
        let tls = UpstreamTls::VerifyFull { roots: Some(certificate.clone()), name: None };
        let config = client_config(&tls, Some(&(certificate.clone(), key.clone()))).unwrap().unwrap();
        assert!(config.client_auth_cert_resolver.has_certs());
        let why = |own: (Pem, Pem)| client_config(&tls, Some(&own)).unwrap_err();
        assert_eq!(why((key.clone(), key.clone())), "the test's holds no certificate");
        assert!(
            why((certificate.clone(), certificate)).contains("cannot read a private key from the test's")
        );
        assert_eq!(format!("{key:?}").matches("PRIVATE").count(), 0);
    }
}
