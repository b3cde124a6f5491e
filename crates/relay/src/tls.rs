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

use crate::config::UpstreamTls;

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
    own: Option<&(PathBuf, PathBuf)>,
) -> Result<Option<Arc<ClientConfig>>, String> {
    let builder = ClientConfig::builder();
    let builder = match tls {
        UpstreamTls::Disable => return Ok(None),
        UpstreamTls::VerifyFull { roots } => builder.with_root_certificates(root_store(roots.as_deref())?),
        UpstreamTls::VerifyCa { roots } => {
            let inner = WebPkiServerVerifier::builder(Arc::new(root_store(Some(roots))?))
                .build()
                .map_err(|e| format!("the certificates in {} cannot be used: {e}", roots.display()))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(ChainOnly { inner }))
        }
    };
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(chain(certificate)?, private_key(key)?)
            .map_err(|e| format!("the client certificate {} cannot be used: {e}", certificate.display()))?,
    };
    Ok(Some(Arc::new(config)))
}

/// The gateway's own side towards clients.
pub fn server_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain(certificate)?, private_key(key)?)
        .map(Arc::new)
        .map_err(|e| format!("the certificate {} cannot be used: {e}", certificate.display()))
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

fn root_store(file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    match file {
        Some(path) => {
            for certificate in chain(path)? {
                store
                    .add(certificate)
                    .map_err(|e| format!("a certificate in {} is bad: {e}", path.display()))?;
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

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bad = |e: &dyn std::fmt::Display| format!("cannot read certificates from {}: {e}", path.display());
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|e| bad(&e))?.collect();
    match certificates.map_err(|e| bad(&e))? {
        none if none.is_empty() => Err(format!("{} holds no certificate", path.display())),
        some => Ok(some),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|e| format!("cannot read a private key from {}: {e}", path.display()))
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
