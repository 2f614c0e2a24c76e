//! What an account signs to prove a wallet, and whether what comes back is that. Who signed it, and
//! whether its nonce is fresh, others find out.

use std::time::Duration;

use super::proof_error::ProofError;
use super::siwe::{SiweMessage, VERSION, is_statement_char};
use crate::config::BaseUrl;
use crate::domain::clock::UnixMillis;
use crate::domain::evm::{ChainId, EvmAddress};

/// How far ahead of ours the clock of the node that issued a message may be.
const CLOCK_SKEW_MILLIS: i64 = 60_000;

/// Characters of the site's name that a statement repeats at most.
const NAME_CHARS_MAX: usize = 100;

/// The site as messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    domain: String,
    uri: String,
    name: String,
}

/// What is to be proven: that this wallet belongs to this account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnershipClaim<'a> {
    /// The account's public name.
    pub account: &'a str,
    /// The wallet.
    pub address: EvmAddress,
    /// Where it is asked, should it be a contract.
    pub chain_id: ChainId,
}

impl Origin {
    /// The site as it is configured.
    #[must_use]
    pub fn new(site_name: &str, base_url: &BaseUrl) -> Self {
        let uri = base_url.as_str();
        let (scheme, rest) = uri.split_once("://").unwrap_or(("https", uri));
        let authority = rest.split('/').next().unwrap_or(rest);
        // As browsers have it in `location.host`.
        let own_port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
        let domain = authority.strip_suffix(own_port).unwrap_or(authority);
        let plain: String = site_name.chars().filter(|c| is_statement_char(*c)).collect();
        let words: Vec<_> = plain.split_whitespace().collect();
        let name: String = words.join(" ").chars().take(NAME_CHARS_MAX).collect();
        Self {
            scheme: scheme.to_owned(),
            domain: domain.to_owned(),
            uri: uri.to_owned(),
            name: if name.is_empty() { domain.to_owned() } else { name },
        }
    }

    /// The message to sign.
    #[must_use]
    pub fn challenge(
        &self,
        claim: &OwnershipClaim<'_>,
        nonce: &str,
        issued_at: UnixMillis,
        lifetime: Duration,
    ) -> SiweMessage {
        let lifetime = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
        SiweMessage {
            scheme: None,
            domain: self.domain.clone(),
            address: claim.address,
            statement: Some(self.statement(claim.account)),
            uri: self.uri.clone(),
            version: VERSION.to_owned(),
            chain_id: claim.chain_id,
            nonce: nonce.to_owned(),
            issued_at,
            expires_at: Some(issued_at.plus_millis(lifetime)),
            not_before: None,
            request_id: None,
            resources: None,
        }
    }

    /// Whether a message is one of this site for this claim, and counts now.
    ///
    /// # Errors
    /// The first [`ProofError`] that applies.
    pub fn check(
        &self,
        message: &SiweMessage,
        claim: &OwnershipClaim<'_>,
        now: UnixMillis,
    ) -> Result<(), ProofError> {
        let ensure = |fits: bool, error| if fits { Ok(()) } else { Err(error) };
        let is_same_scheme = |scheme: &String| scheme.eq_ignore_ascii_case(&self.scheme);
        let is_own_domain = message.domain.eq_ignore_ascii_case(&self.domain)
            && message.scheme.as_ref().is_none_or(is_same_scheme);
        ensure(message.version == VERSION, ProofError::Version)?;
        ensure(is_own_domain, ProofError::ForeignDomain)?;
        ensure(self.has_within(&message.uri), ProofError::ForeignUri)?;
        ensure(message.address == claim.address, ProofError::WrongAddress)?;
        ensure(message.chain_id == claim.chain_id, ProofError::WrongChain)?;
        let statement = self.statement(claim.account);
        ensure(message.statement.as_ref() == Some(&statement), ProofError::OtherAccount)?;
        let latest = now.plus_millis(CLOCK_SKEW_MILLIS);
        ensure(message.issued_at <= latest, ProofError::IssuedInFuture)?;
        ensure(message.not_before.is_none_or(|from| from <= now), ProofError::NotYetValid)?;
        ensure(message.expires_at.is_none_or(|until| now < until), ProofError::Expired)
    }

    /// What the signer reads and agrees to. The whole of it is compared, so that nobody signs for
    /// an account that was not named.
    fn statement(&self, account: &str) -> String {
        format!("Link this wallet to account {account} of {}. No transaction is sent.", self.name)
    }

    /// Whether a URI is the site's address or lies below it.
    fn has_within(&self, uri: &str) -> bool {
        let rest = match uri.split_at_checked(self.uri.len()) {
            Some((start, rest)) if start.eq_ignore_ascii_case(&self.uri) => rest,
            _ => return false,
        };
        rest.is_empty() || rest.starts_with(['/', '?', '#'])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is spoilt, and how that is noticed.
    type Case = (fn(&mut SiweMessage), ProofError);

    const ACCOUNT: &str = "acct_0123456789abcdefghjkmnpq";
    const NOW: UnixMillis = UnixMillis::from_millis(1_795_000_000_000);
    const LIFETIME: Duration = Duration::from_mins(10);

    fn origin(name: &str, base_url: &str) -> Origin {
        Origin::new(name, &base_url.parse().unwrap())
    }

    fn claim() -> OwnershipClaim<'static> {
        let address = EvmAddress::parse_written("0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359");
        OwnershipClaim { account: ACCOUNT, address: address.unwrap(), chain_id: ChainId(8453) }
    }

    #[test]
    fn the_message_is_the_standards_to_the_letter() {
        let origin = origin("Example Gateway", "https://gateway.example");
        let message = origin.challenge(&claim(), "k3m9x2p4q7r8s5t6", NOW, LIFETIME);
        let wanted = "gateway.example wants you to sign in with your Ethereum account:
0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359

Link this wallet to account acct_0123456789abcdefghjkmnpq of Example Gateway. \
No transaction is sent.

URI: https://gateway.example
Version: 1
Chain ID: 8453
Nonce: k3m9x2p4q7r8s5t6
Issued At: 2026-11-18T11:06:40.000Z
Expiration Time: 2026-11-18T11:16:40.000Z";
        assert_eq!(message.to_string(), wanted);
        assert_eq!(SiweMessage::parse(wanted), Ok(message.clone()));
        assert_eq!(origin.check(&message, &claim(), NOW), Ok(()));
    }

    #[test]
    fn any_name_of_a_site_leads_to_a_message_that_parses() {
        let long = "x".repeat(5000);
        for name in ["Café \"Zürich\" <b>", "日本", "\n\t ", "a  b", &long] {
            let origin = origin(name, "https://gateway.example:443/sub/");
            let message = origin.challenge(&claim(), "k3m9x2p4", NOW, LIFETIME);
            assert_eq!(message.domain, "gateway.example");
            assert_eq!(SiweMessage::parse(&message.to_string()).as_ref(), Ok(&message), "{name}");
            assert_eq!(origin.check(&message, &claim(), NOW), Ok(()), "{name}");
        }
    }

    #[test]
    fn each_way_of_not_being_the_message_has_its_own_error() {
        let origin = origin("Example", "https://gateway.example");
        let good = origin.challenge(&claim(), "k3m9x2p4", NOW, LIFETIME);
        let later = NOW.plus_millis(120_000);
        let cases: [Case; 13] = [
            (|m| m.version = "2".into(), ProofError::Version),
            (|m| m.domain = "gateway.example.evil".into(), ProofError::ForeignDomain),
            (|m| m.domain = "gateway.example:8443".into(), ProofError::ForeignDomain),
            (|m| m.scheme = Some("http".into()), ProofError::ForeignDomain),
            (|m| m.uri = "https://gateway.example.evil".into(), ProofError::ForeignUri),
            (|m| m.uri = "http://gateway.example".into(), ProofError::ForeignUri),
            (|m| m.address = EvmAddress::ZERO, ProofError::WrongAddress),
            (|m| m.chain_id = ChainId(1), ProofError::WrongChain),
            (|m| m.statement = None, ProofError::OtherAccount),
            (
                |m| m.statement = m.statement.take().map(|s| s.replace("acct_0", "acct_1")),
                ProofError::OtherAccount,
            ),
            (|m| m.issued_at = NOW.plus_millis(400_000), ProofError::IssuedInFuture),
            (|m| m.not_before = Some(NOW.plus_millis(120_001)), ProofError::NotYetValid),
            (|m| m.expires_at = Some(NOW.plus_millis(120_000)), ProofError::Expired),
        ];
        for (position, (spoil, error)) in cases.into_iter().enumerate() {
            let mut message = good.clone();
            spoil(&mut message);
            assert_eq!(origin.check(&message, &claim(), later), Err(error), "case {position}");
        }
        let mut respelled = good;
        respelled.domain = "GATEWAY.example".into();
        respelled.scheme = Some("https".into());
        respelled.uri = "https://gateway.example/link?x=1".into();
        respelled.request_id = Some("claim_1".into());
        respelled.expires_at = None;
        assert_eq!(origin.check(&respelled, &claim(), later), Ok(()));
    }
}
