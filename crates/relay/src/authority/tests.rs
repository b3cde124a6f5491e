use super::*;
use std::os::unix::fs::PermissionsExt;

struct Keys(PathBuf);

impl Keys {
    fn new() -> Keys {
        let dir =
            std::env::temp_dir().join(format!("tacho-authority-{}", entropy::hex(&entropy::random::<8>())));
        fs::create_dir(&dir).unwrap();
        Keys(dir)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn hosts(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|host| (*host).to_owned()).collect()
}

#[test]
fn a_certificate_is_minted_for_a_configured_host_alone_and_once() {
    crate::tls::install_provider();
    let keys = Keys::new();
    let authority = Authority::open(&keys.0, &hosts(&["api.example.com", "::1"])).unwrap();
    let first = authority.server("api.example.com").unwrap();
    assert!(Arc::ptr_eq(&first, &authority.server("api.example.com").unwrap()));
    assert!(authority.server("::1").is_ok());
    assert_eq!(first.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    for host in ["evil.example", "www.api.example.com", "API.example.com", "api.example.com.", ""] {
        assert!(authority.server(host).is_err(), "{host}");
    }
}

#[test]
fn the_key_stays_and_is_closed_to_others() {
    let keys = Keys::new();
    let first = Authority::open(&keys.0, &hosts(&["a.example"])).unwrap();
    let key = keys.0.join("proxy-ca.key");
    let before = fs::read(&key).unwrap();
    assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
    let second = Authority::open(&keys.0, &hosts(&["b.example"])).unwrap();
    assert_eq!(before, fs::read(&key).unwrap());
    assert_ne!(first.pem(), second.pem());
    assert_eq!(fs::read_to_string(second.file()).unwrap(), second.pem());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(Authority::open(&keys.0, &hosts(&["b.example"])).is_err_and(|why| why.contains("0600")));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, "half a key").unwrap();
    assert!(
        Authority::open(&keys.0, &hosts(&["b.example"])).is_err(),
        "a key that is broken is not replaced"
    );
}
