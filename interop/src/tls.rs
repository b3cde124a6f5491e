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

impl Authority {
    /// The CA whose `ca.crt` and `ca.key` are in `dir`.
    pub fn of(dir: &Path) -> Authority {
        Authority { dir: dir.to_path_buf() }
    }

    /// A certificate that nobody signed but itself.
    pub fn self_signed(&self, file: &str, names: &str) -> Result<(PathBuf, PathBuf), Trouble> {
        let (key, crt) = (format!("{file}.key"), format!("{file}.crt"));
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
        let (subject, names) = (format!("/CN={file}"), format!("subjectAltName={names}"));
        let mut words = vec!["req", "-x509", "-nodes", "-days", "2", "-subj", &subject, "-addext", &names];
        words.extend(curve);
        words.extend(["-keyout", &key, "-out", &crt]);
        openssl(&self.dir, &words)?;
        Ok((self.dir.join(crt), self.dir.join(key)))
    }

    /// Another certificate for the same names that was valid once, for a day, years ago.
    pub fn sign_expired(&self, file: &str, names: &str) -> Result<(PathBuf, PathBuf), Trouble> {
        let signed = self.sign(file, names)?;
        let crt = format!("{file}.crt");
        let csr = format!("{file}.csr");
        let dates = ["-not_before", "20200101000000Z", "-not_after", "20200102000000Z"];
        let sign = ["x509", "-req", "-in", &csr, "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
        let mut words = sign.to_vec();
        words.extend(["-copy_extensions", "copy", "-out", &crt]);
        words.extend(dates);
        match openssl(&self.dir, &words) {
            Ok(()) => Ok(signed),
            // Before OpenSSL 3.4 `x509` cannot say when; `ca` can.
            Err(_) => self.sign_by_ca(&csr, &crt).map(|()| signed),
        }
    }

    fn sign_by_ca(&self, csr: &str, crt: &str) -> Result<(), Trouble> {
        let wrap = |why| Trouble::Start { what: "openssl ca".to_owned(), why };
        let config = "[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=.\ndatabase=index.txt\nrand_serial=yes\ndefault_md=sha256\n\
                      copy_extensions=copy\nunique_subject=no\npolicy=p\n[p]\ncommonName=supplied\n";
        std::fs::write(self.dir.join("ca.cnf"), config).map_err(wrap)?;
        std::fs::write(self.dir.join("index.txt"), "").map_err(wrap)?;
        let dates = ["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"];
        let mut words = vec!["ca", "-batch", "-config", "ca.cnf", "-cert", "ca.crt", "-keyfile", "ca.key"];
        words.extend(["-notext", "-in", csr, "-out", crt]);
        words.extend(dates);
        openssl(&self.dir, &words)
    }
}

pub(crate) fn openssl(dir: &Path, arguments: &[&str]) -> Result<(), Trouble> {
    let done = finish(Command::new("openssl").current_dir(dir).args(arguments), b"", CLIENT_SECONDS_MAX)?;
    if done.status.success() {
        Ok(())
    } else {
        Err(Trouble::Died { what: "openssl".to_owned(), said: done.all() })
    }
}
