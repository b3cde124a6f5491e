//! The files of a run's own home: what clients read that are started without an environment.

use console::seat::MintedResource;

use crate::run::environment::SSLMODE;

/// A file of the home, by its name in it. All are written with mode 0600.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct HomeFile {
    pub name: String,
    pub text: String,
}

/// `.pgpass` and `.pg_service.conf` for PostgreSQL. No `.netrc` for HTTP: it names hosts without ports, so that clients would
/// show the run's credential to whoever listens on this machine.
pub fn files(resources: &[MintedResource]) -> Vec<HomeFile> {
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
    vec![
        HomeFile { name: ".pgpass".to_owned(), text: pgpass },
        HomeFile { name: ".pg_service.conf".to_owned(), text: services },
    ]
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
        let files = files(&[resource]);
        assert_eq!(files[0].text, "\\:\\:1:6432:*:run_1:pw\n");
        assert!(files[1].text.starts_with("[crm]\nhost=::1\nport=6432\ndbname=crm\nuser=run_1\n"));
        assert!(!files[1].text.contains("pw"));
    }
}
