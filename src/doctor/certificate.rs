//! The certificate for clients: whether it can be served, until when it counts, and for whom.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use super::Check;
use crate::config::Settings;
use crate::domain::clock::Clock;
use crate::http::tls;
use crate::telemetry::Causes;

/// A certificate that lasts no longer is about to be renewed, or was forgotten.
const DAYS_LEFT: u64 = 14;
/// The year 9999: whatever lasts is over by then, and its end is named.
const FAR: Duration = Duration::from_hours(70_380_768);

const NAME: &str = "certificate";

pub(super) fn examine(settings: &Settings, clock: &Clock) -> Vec<Check> {
    let Some(files) = settings.server.tls() else { return Vec::new() };
    let provider = ring::default_provider();
    let served = match tls::read(&files, &provider) {
        Ok(served) => served,
        Err(error) => {
            let mend = "write the certificate with its chain, and the key that belongs to it, as \
                        PEM, readable by the user that runs sluice";
            return vec![Check::fail(NAME, Causes(&error).to_string(), mend)];
        }
    };
    let chain = served.cert.as_slice();
    let Some((own, above)) = chain.split_first() else { return Vec::new() };
    let now = Duration::from_millis(clock.now().as_millis().unsigned_abs());
    let host = settings.site.base_url.host();
    let name = ServerName::try_from(host.to_owned()).ok();
    let mut checks = vec![validity(own, above, now)];
    checks.extend(name.map(|name| owner(own, &name, host)));
    checks.extend(trust(own, above, now));
    checks
}

/// Until when it counts.
fn validity(own: &CertificateDer<'_>, above: &[CertificateDer<'_>], now: Duration) -> Check {
    let renew = "renew it (certbot renew, or your authority); a running server takes it up by \
                 itself";
    let refusal = |at| verify(own, above, at).err();
    if let Some(CertificateError::NotValidYetContext { not_before, .. }) = refusal(now) {
        let hours = not_before.as_secs().saturating_sub(now.as_secs()) / 3_600;
        let found = format!("it counts only in {hours} hours");
        return Check::fail(NAME, found, "check this machine's clock");
    }
    let Some(CertificateError::ExpiredContext { not_after, .. }) = refusal(FAR) else {
        return Check::fail(NAME, "it is no certificate that TLS can use", renew);
    };
    let day = 86_400;
    if not_after.as_secs() < now.as_secs() {
        let days = now.as_secs().saturating_sub(not_after.as_secs()) / day;
        return Check::fail(NAME, format!("it expired {days} days ago"), renew);
    }
    let days = not_after.as_secs().saturating_sub(now.as_secs()) / day;
    let found = format!("it expires in {days} days");
    if days < DAYS_LEFT { Check::warn(NAME, found, renew) } else { Check::ok(NAME, found) }
}

/// Whether it names the host of the site.
fn owner(own: &CertificateDer<'_>, name: &ServerName<'_>, host: &str) -> Check {
    let parsed = ParsedCertificate::try_from(own);
    let is_named =
        parsed.is_ok_and(|parsed| rustls::client::verify_server_name(&parsed, name).is_ok());
    if is_named {
        return Check::ok(NAME, format!("it is for {host}"));
    }
    let mend = "get one for the host of site.base_url, or correct site.base_url";
    Check::fail(NAME, format!("it is not for {host}, the host of site.base_url"), mend)
}

/// Whether clients trust it without further ado.
fn trust(own: &CertificateDer<'_>, above: &[CertificateDer<'_>], now: Duration) -> Option<Check> {
    let found = "it does not lead to an authority that browsers trust";
    let mend = "put the whole chain into server.tls_certificate_file (fullchain.pem), or get a \
                certificate of a public authority";
    let is_unknown = matches!(verify(own, above, now), Err(CertificateError::UnknownIssuer));
    is_unknown.then(|| Check::warn(NAME, found, mend))
}

/// As a browser would at a moment, except for the name.
fn verify(
    own: &CertificateDer<'_>,
    above: &[CertificateDer<'_>],
    at: Duration,
) -> Result<(), CertificateError> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let Ok(verifier) = verifier else { return Err(CertificateError::BadEncoding) };
    let nobody =
        ServerName::try_from("nobody.invalid").map_err(|_| CertificateError::BadEncoding)?;
    let at = UnixTime::since_unix_epoch(at);
    match verifier.verify_server_cert(own, above, &nobody, &[], at) {
        Ok(_)
        | Err(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => Ok(()),
        Err(Error::InvalidCertificate(error)) => Err(error),
        Err(_) => Err(CertificateError::BadEncoding),
    }
}
