//! The files of a run's own home: what clients read that are started without an environment.

use console::seat::{MintedProxy, MintedResource};

use crate::run::environment::SSLMODE;

/// A file of the home, by its name in it. All are written with mode 0600.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct HomeFile {
    pub name: String,
    pub text: String,
    /// The system's own certificates stand before it.
    #[serde(default)]
    pub after_system_roots: bool,
}

/// The certificate of the proxy's authority, for clients that trust it beside what they trust already.
pub const CA: &str = ".tacho-ca.pem";
/// The system's certificates with that one, for clients that trust what one file says.
pub const ROOTS: &str = ".tacho-roots.pem";

/// `.pgpass` and `.pg_service.conf` for PostgreSQL. No `.netrc` for HTTP: it names hosts without ports, so that clients would
/// show the run's credential to whoever listens on this machine.
pub fn files(resources: &[MintedResource], proxy: Option<&MintedProxy>) -> Vec<HomeFile> {
    let postgres: Vec<&MintedResource> = resources.iter().filter(|r| r.kind == "postgres").collect();
    let pgpass: String = postgres
        .iter()
        .map(|r| format!("{}:{}:*:{}:{}\n", escape(&r.host), r.port, escape(&r.user), escape(&r.password)))
        .collect();
    let services: String = postgres
        .iter()
        .map(|r| {
            format!(
                "[{}]\nhost={}\nport={}\ndbname={}\nuser={}\nsslmode={SSLMODE}\n",
                r.name,
                r.host,
                r.port,
                r.database.as_deref().unwrap_or_default(),
                r.user
            )
        })
        .collect();
    let file = |name: &str, text: String, after_system_roots| HomeFile {
        name: name.to_owned(),
        text,
        after_system_roots,
    };
    let mut all = vec![file(".pgpass", pgpass, false), file(".pg_service.conf", services, false)];
    if let Some(proxy) = proxy {
        all.push(file(CA, proxy.certificate.clone(), false));
        all.push(file(ROOTS, proxy.certificate.clone(), true));
    }
    all
}

/// `.pgpass` escapes `:` and `\` with a backslash.
fn escape(field: &str) -> String {
    field.replace('\\', "\\\\").replace(':', "\\:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_in_a_field_of_pgpass_is_escaped() {
        let resource = MintedResource {
            name: "crm".to_owned(),
            kind: "postgres".to_owned(),
            host: "::1".to_owned(),
            port: 6432,
            user: "run_1".to_owned(),
            password: "pw".to_owned(),
            database: Some("crm".to_owned()),
            certificate: None,
            settings: std::collections::BTreeMap::new(),
        };
        let files = files(&[resource], None);
        assert_eq!(files[0].text, "\\:\\:1:6432:*:run_1:pw\n");
        assert!(files[1].text.starts_with("[crm]\nhost=::1\nport=6432\ndbname=crm\nuser=run_1\n"));
        assert!(!files[1].text.contains("pw"));
    }
}
