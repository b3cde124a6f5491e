//! Certificates for test servers, made by openssl: a CA, a server for `localhost` and 127.0.0.1, and
//! the bad ones that P10 refuses.

use crate::limits::CLIENT_SECONDS_MAX;
use crate::process::{Trouble, finish};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One CA and what it signed, in a directory.
#[derive(Debug, Clone)]
pub struct Authority {
    dir: PathBuf,
}

impl Authority {
    /// Makes the CA in `dir`.
    pub fn new(dir: &Path) -> Result<Authority, Trouble> {
        let ca = Authority { dir: dir.to_path_buf() };
        openssl(
            dir,
            &[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=tacho test CA",
                "-addext",
                "basicConstraints=critical,CA:TRUE",
                "-addext",
                "keyUsage=critical,keyCertSign,cRLSign",
                "-keyout",
                "ca.key",
                "-out",
                "ca.crt",
            ],
        )?;
        Ok(ca)
    }

    /// The CA's certificate (PEM).
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// Signs a certificate for `names` (`DNS:...`, `IP:...`); returns certificate and key.
    pub fn sign(&self, file: &str, names: &str) -> Result<(PathBuf, PathBuf), Trouble> {
        let (key, csr, crt) = (format!("{file}.key"), format!("{file}.csr"), format!("{file}.crt"));
        openssl(
            &self.dir,
            &[
                "req",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-subj",
                &format!("/CN={file}"),
                "-addext",
                &format!("subjectAltName={names}"),
                "-addext",
                "extendedKeyUsage=serverAuth,clientAuth",
                "-keyout",
                &key,
                "-out",
                &csr,
            ],
        )?;
        openssl(
            &self.dir,
            &[
                "x509",
                "-req",
                "-in",
                &csr,
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-days",
                "2",
                "-copy_extensions",
                "copy",
                "-out",
                &crt,
            ],
        )?;
        Ok((self.dir.join(crt), self.dir.join(key)))
    }
}

fn openssl(dir: &Path, arguments: &[&str]) -> Result<(), Trouble> {
    let done = finish(Command::new("openssl").current_dir(dir).args(arguments), b"", CLIENT_SECONDS_MAX)?;
    if done.status.success() {
        Ok(())
    } else {
        Err(Trouble::Died { what: "openssl".to_owned(), said: done.all() })
    }
}
