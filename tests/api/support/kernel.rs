//! The kernel's table of TCP connections: what it shows of both ends, whoever holds them.

use std::net::TcpStream;

/// One end of a connection on the loopback, by its port and its peer's.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    local: u16,
    remote: u16,
}

/// What the kernel knows of it.
pub(crate) struct Row {
    state: u8,
    /// Bytes written that the peer's kernel has not taken.
    pub(crate) unsent: usize,
    /// Bytes that came and were not read.
    pub(crate) unread: usize,
}

impl Ports {
    pub(crate) fn of(stream: &TcpStream) -> Self {
        let port = |address: std::io::Result<std::net::SocketAddr>| address.unwrap().port();
        Self { local: port(stream.local_addr()), remote: port(stream.peer_addr()) }
    }

    /// The other end.
    pub(crate) fn peer(self) -> Self {
        Self { local: self.remote, remote: self.local }
    }

    pub(crate) fn row(self) -> Option<Row> {
        let (local, remote) = (format!(":{:04X}", self.local), format!(":{:04X}", self.remote));
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().take(5).collect();
            let [_, ours, theirs, state, queues] = fields[..] else { return None };
            if !ours.ends_with(&local) || !theirs.ends_with(&remote) {
                return None;
            }
            let (unsent, unread) = queues.split_once(':').unwrap();
            Some(Row {
                state: u8::from_str_radix(state, 16).unwrap(),
                unsent: usize::from_str_radix(unsent, 16).unwrap(),
                unread: usize::from_str_radix(unread, 16).unwrap(),
            })
        })
    }

    /// Whether this end has not closed: it is established, or closed by the peer alone.
    pub(crate) fn is_held(self) -> bool {
        self.row().is_some_and(|row| matches!(row.state, 1 | 8))
    }
}
