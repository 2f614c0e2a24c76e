//! What the machine gives: ports that are free or ours, and file descriptors.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rlimit::Resource;

use super::Check;
use crate::app;
use crate::config::Server;

/// Time for the operator's listener to say that it is there.
const PATIENCE: Duration = Duration::from_secs(3);

/// The three listeners: free, or taken by a server of ours.
pub(super) fn ports(server: &Server) -> Vec<Check> {
    let is_running = is_running(server.admin_listen);
    let all = [
        ("server.listen", Some(server.listen)),
        ("server.admin_listen", Some(server.admin_listen)),
        ("server.redirect_listen", server.redirect_listen),
    ];
    let given = all.into_iter().filter_map(|(key, address)| Some((key, address?)));
    given.map(|(key, address)| port(key, address, is_running)).collect()
}

/// Whether a server of ours answers on the operator's listener.
pub(super) fn is_running(admin: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&reachable(admin), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: sluice\r\nconnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(4_096).read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"ok\n"))
    };
    admin.port() != 0 && ask().unwrap_or(false)
}

/// An address to connect to: what listens on all of them is reached by the loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn port(key: &'static str, address: SocketAddr, is_running: bool) -> Check {
    let number = address.port();
    match TcpListener::bind(address).map_err(|error| (error.kind(), error)) {
        Ok(_) => Check::ok(key, format!("{address} is free: no server runs there")),
        Err((io::ErrorKind::AddrInUse, _)) if is_running => {
            Check::ok(key, format!("{address} is served by a running Sluice"))
        }
        Err((io::ErrorKind::AddrInUse, _)) => Check::fail(
            key,
            format!("{address} is taken by another program"),
            format!(
                "`ss -ltnp 'sport = :{number}'` names it: end it, or set {key} to another port"
            ),
        ),
        Err((io::ErrorKind::PermissionDenied, _)) => Check::fail(
            key,
            format!("this user may not listen on {address}"),
            "give the service AmbientCapabilities=CAP_NET_BIND_SERVICE, or choose a port from 1024",
        ),
        Err((io::ErrorKind::AddrNotAvailable, _)) => Check::fail(
            key,
            format!("{address} is no address of this machine"),
            format!("`ip address` lists them; set {key} to one of them, or to 0.0.0.0:{number}"),
        ),
        Err((_, error)) => Check::fail(
            key,
            format!("cannot listen on {address}: {error}"),
            format!("set {key} to another address"),
        ),
    }
}

/// Whether the system gives as many as the settings need.
pub(super) fn descriptors(server: &Server) -> Check {
    let name = "file descriptors";
    let needed = app::descriptors_needed(server);
    match Resource::NOFILE.get() {
        Err(error) => {
            Check::warn(name, format!("their limit cannot be read: {error}"), "see dmesg")
        }
        Ok((_, hard)) if hard < needed => Check::fail(
            name,
            format!(
                "server.max_streams = {} and idle_connections_max = {} need {needed}, but the hard \
                 limit is {hard}",
                server.max_streams, server.idle_connections_max
            ),
            "set LimitNOFILE in the unit (or `ulimit -Hn`) to more, or lower server.max_streams",
        ),
        Ok((_, hard)) => Check::ok(name, format!("{needed} are needed, {hard} may be had")),
    }
}
