//! A message of EIP-4361, "Sign-In with Ethereum": its fields and its one text. Pure; whether a
//! message is the one that was asked for is [`super::challenge`]'s business.

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use super::proof_error::ProofError;
use crate::domain::clock::UnixMillis;
use crate::domain::evm::{ChainId, EvmAddress};

/// The only version there is.
pub const VERSION: &str = "1";

/// What follows the domain on the first line.
const WANTS: &str = " wants you to sign in with your Ethereum account:";

/// The fields of a message. Its text, by `Display`, is that of the standard's grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiweMessage {
    /// Scheme of the asking site's origin.
    pub scheme: Option<String>,
    /// Host of the asking site, with its port where that is not the scheme's own.
    pub domain: String,
    /// Who is asked to sign.
    pub address: EvmAddress,
    /// What the signature is for, in words. One line of the characters that URLs have, and spaces.
    pub statement: Option<String>,
    /// What the signature gives access to.
    pub uri: String,
    /// Always [`VERSION`], if the message is to be accepted.
    pub version: String,
    /// The chain that a contract is asked on.
    pub chain_id: ChainId,
    /// At least eight letters and digits.
    pub nonce: String,
    /// When it was made.
    pub issued_at: UnixMillis,
    /// Until when it counts.
    pub expires_at: Option<UnixMillis>,
    /// From when it counts.
    pub not_before: Option<UnixMillis>,
    /// A name of the request.
    pub request_id: Option<String>,
    /// What else the signature gives access to; `None` where that part is missing.
    pub resources: Option<Vec<String>>,
}

impl SiweMessage {
    /// Reads a message by the letter of the grammar.
    ///
    /// # Errors
    /// [`ProofError::TooLong`], [`ProofError::Malformed`] with the first line that does not fit.
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        parse::message(text)
    }
}

impl fmt::Display for SiweMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = &self.scheme {
            write!(f, "{scheme}://")?;
        }
        write!(f, "{}{WANTS}\n{}\n\n", self.domain, self.address.checksummed())?;
        if let Some(statement) = &self.statement {
            writeln!(f, "{statement}")?;
        }
        write!(f, "\nURI: {}\nVersion: {}", self.uri, self.version)?;
        write!(f, "\nChain ID: {}\nNonce: {}", self.chain_id, self.nonce)?;
        write!(f, "\nIssued At: {}", self.issued_at)?;
        if let Some(moment) = self.expires_at {
            write!(f, "\nExpiration Time: {moment}")?;
        }
        if let Some(moment) = self.not_before {
            write!(f, "\nNot Before: {moment}")?;
        }
        if let Some(id) = &self.request_id {
            write!(f, "\nRequest ID: {id}")?;
        }
        if let Some(resources) = &self.resources {
            write!(f, "\nResources:")?;
            for resource in resources {
                write!(f, "\n- {resource}")?;
            }
        }
        Ok(())
    }
}

/// Whether a character may stand in a statement: those of RFC 3986, and the space.
#[must_use]
pub fn is_statement_char(c: char) -> bool {
    c == ' ' || is_unreserved(c) || is_sub_delim(c) || ":/?#[]@".contains(c)
}

fn is_unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~".contains(c)
}

fn is_sub_delim(c: char) -> bool {
    "!$&'()*+,;=".contains(c)
}
