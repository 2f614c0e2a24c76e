//! Certificates for tests, as `openssl` makes them.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

use super::app::Builder;

/// Certificates of one folder, made by openssl.
pub(crate) struct Certificates {
    folder: TempDir,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for `sluice.test` and the loopback, and its key, as the server's two files.
    pub(crate) fn issue(&self, key_kind: &str) -> &Self {
        let (certificate, key) = (self.path("certificate.pem"), self.path("key.pem"));
        let (new_certificate, new_key) = (self.path("certificate.new"), self.path("key.new"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=sluice.test"])
            .args(["-newkey", key_kind, "-addext", "subjectAltName=DNS:sluice.test,IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(if key_kind == "ec" { &["-pkeyopt", "ec_paramgen_curve:P-256"][..] } else { &[] })
            .arg("-keyout")
            .arg(&new_key)
            .arg("-out")
            .arg(&new_certificate)
            .output()
            .expect("openssl is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        std::fs::rename(new_key, key).unwrap();
        std::fs::rename(new_certificate, certificate).unwrap();
        self
    }

    pub(crate) fn served(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path("certificate.pem")).unwrap()
    }

    pub(crate) fn configure(&self, builder: Builder) -> Builder {
        let quoted = |path: &Path| format!("{:?}", path.to_str().unwrap());
        builder
            .set("server.tls_certificate_file", quoted(&self.path("certificate.pem")))
            .set("server.tls_key_file", quoted(&self.path("key.pem")))
            .set("site.base_url", "\"https://sluice.test\"")
    }
}
