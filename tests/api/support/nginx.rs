//! Debian's nginx in front of a server, with the file that operators are given.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};

use tempfile::TempDir;

use super::process::{give_to_nobody, unprivileged};
use super::wait::eventually;

const RECOMMENDED: &str = include_str!("../../../config/nginx.conf");

/// What nginx wants around it; one process, so that nothing is left when that is ended.
const AROUND: &str = "\
daemon off;
master_process off;
pid nginx.pid;
events {}
http {
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include server.conf;
}
";

/// An nginx, gone with the test.
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    folder: TempDir,
    child: Child,
}

impl Nginx {
    /// One that listens without TLS and cuts an answer after so many seconds without a byte.
    pub(crate) fn before(server: SocketAddr, read_timeout_secs: u64) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let with_tls = RECOMMENDED.lines().filter(|line| !line.trim().starts_with("ssl_"));
        let mut text = with_tls.collect::<Vec<_>>().join("\n");
        for (from, to) in [
            ("listen 443 ssl;", format!("listen {address};")),
            ("http://127.0.0.1:8080;", format!("http://{server};")),
            ("proxy_read_timeout 660s;", format!("proxy_read_timeout {read_timeout_secs}s;")),
        ] {
            assert_eq!(text.matches(from).count(), 1, "{from}");
            text = text.replace(from, &to);
        }
        std::fs::write(folder.path().join("nginx.conf"), AROUND).unwrap();
        std::fs::write(folder.path().join("server.conf"), text).unwrap();
        give_to_nobody(&[folder.path()]);
        let child = unprivileged(Path::new("/usr/sbin/nginx"))
            .arg("-p")
            .arg(folder.path())
            .args(["-e", "error.log", "-c", "nginx.conf"])
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx can be run: `scripts/test api` installs it");
        let mut nginx = Self { address, folder, child };
        eventually("nginx to listen", || {
            if let Some(status) = nginx.child.try_wait().unwrap() {
                panic!("it ended: {status}\n{}", nginx.log());
            }
            TcpStream::connect(address).ok()
        });
        nginx
    }

    /// What it has complained of.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
