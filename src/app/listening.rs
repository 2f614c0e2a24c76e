//! Why an address cannot be listened on, told by the key that names it.

use std::fmt::{self, Display, Formatter};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// A listener that the system refused. Its text is one sentence, with the mend.
#[derive(Debug)]
pub struct ListenRefusal {
    key: &'static str,
    address: SocketAddr,
    error: io::Error,
}

impl ListenRefusal {
    /// The refusal of an address that the settings name under `key`.
    pub(super) const fn new(key: &'static str, address: SocketAddr, error: io::Error) -> Self {
        Self { key, address, error }
    }
}

impl Display for ListenRefusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { key, address, error } = self;
        write!(f, "{key}: cannot listen on {address}: ")?;
        match error.kind() {
            ErrorKind::AddrInUse => {
                f.write_str("another program uses this port; stop it, or choose another port")
            }
            ErrorKind::PermissionDenied => {
                f.write_str("ports below 1024 need the capability CAP_NET_BIND_SERVICE")
            }
            ErrorKind::AddrNotAvailable => {
                f.write_str("this machine does not have that address; choose one that it has")
            }
            _ => write!(f, "{error}"),
        }?;
        f.write_str(" (docs/operating.md, \"Ports\")")
    }
}

impl std::error::Error for ListenRefusal {}
