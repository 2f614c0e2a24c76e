//! Whether clients get in: now and then this node asks itself for a few bytes, as a client from
//! outside would, on a thread of its own. Nothing that holds the workers up holds it up.
//!
//! One connection for each worker, since connections are handed to them in turns.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix::Arbiter;
use actix_web::rt::net::TcpSocket;
use futures_util::future::try_join_all;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::StartError;
use super::clients::ClientServer;
use crate::admin::Entrance;
use crate::context::AppContext;
use crate::http::registry::ConnectionRegistry;
use crate::metrics::connections::ConnectionMetrics;
use crate::telemetry::Causes;

/// A file that is built into the program, so that it asks no database and is no refusal.
const REQUEST: &[u8] =
    b"HEAD /assets/mark.0.svg HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200";

/// What a probe needs.
struct ListenerProbe {
    target: SocketAddr,
    registry: Arc<ConnectionRegistry>,
    tls: Option<TlsConnector>,
    /// Connections of one probe.
    count: usize,
    timeout: Duration,
    failures_max: u32,
}

/// Begins to probe, unless the settings say otherwise; the thread on which it does.
///
/// # Errors
/// [`StartError::Tls`].
pub(super) fn start(
    context: &AppContext,
    door: ClientServer,
    entrance: &Entrance,
) -> Result<Option<Arbiter>, StartError> {
    let settings = &context.settings.server;
    let interval = settings.probe;
    if interval.is_zero() {
        return Ok(None);
    }
    let probe = ListenerProbe {
        target: reachable(door.address),
        registry: door.registry,
        tls: door.has_tls.then(connector).transpose().map_err(StartError::Tls)?,
        count: door.workers,
        timeout: settings.probe_timeout,
        failures_max: settings.probe_failures_max,
    };
    let (tracker, metrics) = (context.tracker.clone(), context.metrics.connections.clone());
    let entrance = entrance.clone();
    let arbiter = Arbiter::new();
    arbiter.spawn_fn(move || {
        let draining = tracker.clone();
        tracker.spawn(async move {
            tokio::select! {
                () = draining.draining() => {}
                () = probe.repeat(interval, &entrance, &metrics) => {}
            }
        });
    });
    Ok(Some(arbiter))
}

/// Where a client on this host reaches what listens there.
pub fn reachable(mut listens: SocketAddr) -> SocketAddr {
    match listens {
        SocketAddr::V4(at) if at.ip().is_unspecified() => {
            listens.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        SocketAddr::V6(at) if at.ip().is_unspecified() => {
            listens.set_ip(Ipv6Addr::LOCALHOST.into());
        }
        _ => {}
    }
    listens
}

impl ListenerProbe {
    async fn repeat(&self, interval: Duration, entrance: &Entrance, metrics: &ConnectionMetrics) {
        let mut failures = 0_u32;
        loop {
            tokio::time::sleep(interval).await;
            let was_shut = entrance.is_shut();
            match self.get_in().await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    metrics.failed_probes.inc();
                    if failures == self.failures_max {
                        let error = Causes(&error);
                        tracing::error!(%error, failures, "clients do not get in");
                    }
                }
            }
            let is_shut = failures >= self.failures_max;
            entrance.set_shut(is_shut);
            metrics.get_in.set((!is_shut).into());
            if was_shut && !is_shut {
                tracing::info!("clients get in again");
            }
        }
    }

    /// Comes to each worker once.
    async fn get_in(&self) -> io::Result<()> {
        let all = try_join_all((0..self.count).map(|_| self.ask()));
        tokio::time::timeout(self.timeout, all).await??;
        Ok(())
    }

    async fn ask(&self) -> io::Result<()> {
        let socket = match self.target {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        let mut from = self.target;
        from.set_port(0);
        socket.bind(from)?;
        // Others may share its address and have all that the address may have, but not its port.
        let _pass = self.registry.pass(socket.local_addr()?);
        let stream = socket.connect(self.target).await?;
        match &self.tls {
            None => speak(stream).await,
            Some(connector) => {
                let name = ServerName::IpAddress(self.target.ip().into());
                speak(connector.connect(name, stream).await?).await
            }
        }
    }
}

async fn speak(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.write_all(REQUEST).await?;
    stream.flush().await?;
    let mut answer = [0; ANSWER.len()];
    stream.read_exact(&mut answer).await?;
    if answer != ANSWER {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(())
}

/// A client that takes whatever certificate there is: it asks whether somebody answers, and tells
/// nothing.
fn connector() -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
