//! The installation's own authority: it signs certificates for the hosts that the proxy stands before, and for nobody else.
//!
//! **Invariant:** a certificate is minted for a configured host alone, whatever a client asks for, and the authority's own
//! certificate says so (name constraints), so that its key is worth nothing for another host.
//! **Invariant:** the key is beside the gateway's other keys, closed to others, and in no record and no environment. The
//! certificate is made anew at each start, by the same key and under the same name, for the hosts of that configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData, SerialNumber,
};
use rustls::ServerConfig;
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::entropy;
use crate::limits::{AUTHORITY_LIFE, LEAF_LIFE, LEAF_SKEW};
use crate::tls::{HTTP_1, HTTP_2, write_private};

/// Signs for its hosts.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    file: PathBuf,
    /// One place for each configured host, in lower case, an address of IPv6 without brackets; the certificate when it
    /// was first asked for.
    leaves: Mutex<BTreeMap<String, Option<Leaf>>>,
}

struct Leaf {
    config: Arc<ServerConfig>,
    /// From then on a new one is made, in seconds.
    stale: u64,
}

impl Authority {
    /// Takes the key from the directory of keys, or makes one there. Errors are sentences for the operator.
    pub fn open(keys: &Path, hosts: &BTreeSet<String>) -> Result<Authority, String> {
        let key = own_key(&keys.join("proxy-ca.key"))?;
        let wrong = |e: rcgen::Error| format!("cannot make the proxy's authority: {e}");
        let params = of_itself(&key, hosts);
        let pem = params.self_signed(&key).map_err(wrong)?.pem();
        let file = keys.join("proxy-ca.crt");
        write_private(&file, pem.as_bytes())?;
        let leaves = hosts.iter().map(|host| (host.clone(), None)).collect();
        Ok(Authority { issuer: Issuer::new(params, key), pem, file, leaves: Mutex::new(leaves) })
    }

    /// The authority's certificate, PEM: what clients have to trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The file that holds it.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// How TLS is spoken as this host. Errors: the host is not one of the configured, or nothing can be minted.
    pub(crate) fn server(&self, host: &str) -> Result<Arc<ServerConfig>, &'static str> {
        let now = seconds();
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        let place = leaves.get_mut(host).ok_or("no resource has this host")?;
        if let Some(leaf) = place.as_ref().filter(|leaf| now < leaf.stale) {
            return Ok(leaf.config.clone());
        }
        let config = self.mint(host, now).map_err(|_| "the gateway cannot mint a certificate")?;
        *place = Some(Leaf { config: config.clone(), stale: now.saturating_add(LEAF_LIFE.as_secs() / 2) });
        Ok(config)
    }

    fn mint(&self, host: &str, now: u64) -> Result<Arc<ServerConfig>, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Tachograph");
        params.serial_number = Some(serial());
        valid(&mut params, now, LEAF_LIFE);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let signing = any_ecdsa_type(&private).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
        let certified = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signing));
        let host = host.to_owned();
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(OneHost { host, certified }));
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        Ok(Arc::new(config))
    }
}

/// The certificate of the host that the tunnel is for, where the client asks for that host or names none.
struct OneHost {
    host: String,
    certified: Arc<CertifiedKey>,
}

impl std::fmt::Debug for OneHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OneHost({})", self.host)
    }
}

impl ResolvesServerCert for OneHost {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let same = hello.server_name().is_none_or(|name| name.eq_ignore_ascii_case(&self.host));
        same.then(|| self.certified.clone())
    }
}

/// The authority's own certificate. Its name is its key's, so that two installations do not pass for one another.
fn of_itself(key: &KeyPair, hosts: &BTreeSet<String>) -> CertificateParams {
    let digest = ring::digest::digest(&ring::digest::SHA256, &key.subject_public_key_info());
    let short = entropy::hex(digest.as_ref().get(..8).unwrap_or_default());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Tachograph {short}"));
    params.serial_number = Some(serial());
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(constraints(hosts));
    valid(&mut params, seconds(), AUTHORITY_LIFE);
    params
}

/// The hosts, and nobody else: a kind of name that is not permitted at all is excluded, since a list of the other kind does
/// not speak of it.
fn constraints(hosts: &BTreeSet<String>) -> NameConstraints {
    let address = |host: &String| host.parse::<IpAddr>().ok();
    let permitted = |host: &String| match address(host) {
        Some(IpAddr::V4(v4)) => GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(v4.octets(), 32)),
        Some(IpAddr::V6(v6)) => GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(v6.octets(), 128)),
        None => GeneralSubtree::DnsName(host.clone()),
    };
    let mut excluded = Vec::new();
    if !hosts.iter().any(|host| address(host).is_some()) {
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([0; 4], 0)));
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix([0; 16], 0)));
    }
    if hosts.iter().all(|host| address(host).is_some()) {
        excluded.push(GeneralSubtree::DnsName(String::new()));
    }
    NameConstraints { permitted_subtrees: hosts.iter().map(permitted).collect(), excluded_subtrees: excluded }
}

fn own_key(path: &Path) -> Result<KeyPair, String> {
    match fs::read_to_string(path) {
        Ok(pem) => {
            let mode = fs::metadata(path).map(|found| found.mode()).unwrap_or(0o777);
            if mode & 0o077 != 0 {
                return Err(format!("{} can be read by others; set its mode to 0600", path.display()));
            }
            KeyPair::from_pem(&pem).map_err(|e| format!("the key in {} cannot be used: {e}", path.display()))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let key = KeyPair::generate().map_err(|e| format!("cannot make the proxy's key: {e}"))?;
            // Whole or not at all: a half key would stop each start from now on.
            let half = path.with_extension("new");
            write_private(&half, key.serialize_pem().as_bytes())?;
            fs::rename(&half, path).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
            Ok(key)
        }
        Err(e) => Err(format!("cannot read {}: {e}", path.display())),
    }
}

/// From a little before now, so that a client whose clock is behind takes it.
fn valid(params: &mut CertificateParams, now: u64, life: Duration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now).saturating_sub(LEAF_SKEW);
    params.not_after = epoch + Duration::from_secs(now).saturating_add(life);
}

/// Positive, and not a length that some reader refuses.
fn serial() -> SerialNumber {
    let mut bytes = entropy::random::<16>();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn seconds() -> u64 {
    entropy::wall().0 / 1_000_000_000
}

#[cfg(test)]
mod tests;
