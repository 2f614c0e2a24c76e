//! What a probe makes of a server that no longer answers, and of one that does again.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;
use crate::config::{self, LoadPurpose, Sources};
use crate::metrics::Metrics;

async fn until(condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The kernel takes connections all the same: so it is while every worker is held up.
#[actix_web::test]
async fn workers_that_answer_nothing_are_noticed_and_so_is_their_return() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = Metrics::new().unwrap().connections;
    let settings = config::load_for(&Sources::default(), LoadPurpose::Command).unwrap();
    let probe = ListenerProbe {
        target: listener.local_addr().unwrap(),
        registry: ConnectionRegistry::new(&settings.server, metrics.clone()),
        tls: None,
        count: 2,
        timeout: Duration::from_millis(100),
        failures_max: 3,
    };
    let entrance = Entrance::default();
    let story = async {
        until(|| metrics.failed_probes.get() == 2).await;
        assert!(!entrance.is_shut(), "two failures may be chance");
        until(|| entrance.is_shut()).await;
        assert!(metrics.failed_probes.get() >= 3);
        until(|| metrics.get_in.get() == 0).await;
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut request = [0; REQUEST.len()];
                // Those that gave up are gone.
                if stream.read_exact(&mut request).is_ok() {
                    drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
                }
            }
        });
        until(|| !entrance.is_shut()).await;
        until(|| metrics.get_in.get() == 1).await;
    };
    tokio::select! {
        () = probe.repeat(Duration::from_millis(10), &entrance, &metrics) => {}
        () = story => {}
    }
}

#[test]
fn a_listener_on_every_address_is_reached_on_the_loopback() {
    let reached = |listens: &str| reachable(listens.parse().unwrap()).to_string();
    assert_eq!(reached("0.0.0.0:80"), "127.0.0.1:80");
    assert_eq!(reached("[::]:80"), "[::1]:80");
    assert_eq!(reached("192.0.2.1:80"), "192.0.2.1:80");
}
