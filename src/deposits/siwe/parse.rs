//! The grammar of EIP-4361, line by line. Lines end with LF and with nothing else; nothing follows
//! the last one.

use std::iter::Peekable;
use std::str::Split;

use chrono::DateTime;

use super::{SiweMessage, WANTS, is_statement_char, is_sub_delim, is_unreserved};
use crate::deposits::proof_error::ProofError;
use crate::domain::clock::UnixMillis;
use crate::domain::evm::{ChainId, EvmAddress};

/// Bytes of a message at most; ours have some 500.
const BYTES_MAX: usize = 4096;

pub(super) fn message(text: &str) -> Result<SiweMessage, ProofError> {
    if text.len() > BYTES_MAX {
        return Err(ProofError::TooLong);
    }
    let mut lines = MessageLines { rest: text.split('\n').peekable(), line: 0 };
    let head = lines.next()?.strip_suffix(WANTS).ok_or(lines.malformed())?;
    let (scheme, domain) = match head.split_once("://") {
        Some((scheme, domain)) => (Some(scheme), domain),
        None => (None, head),
    };
    lines.ensure(scheme.is_none_or(is_scheme) && is_authority(domain))?;
    let address = lines.next()?;
    let address = EvmAddress::parse_written(address).map_err(|_| lines.malformed())?;
    lines.empty()?;
    let statement = lines.statement()?;
    let uri = lines.field("URI: ")?;
    lines.ensure(is_uri(uri))?;
    let version = lines.field("Version: ")?;
    lines.ensure(!version.is_empty() && version.bytes().all(|byte| byte.is_ascii_graphic()))?;
    let chain_id = lines.field("Chain ID: ")?;
    let chain_id = chain_number(chain_id).ok_or(lines.malformed())?;
    let nonce = lines.field("Nonce: ")?;
    lines.ensure(nonce.len() >= 8 && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric()))?;
    let issued_at = lines.field("Issued At: ")?;
    let issued_at = moment(issued_at).ok_or(lines.malformed())?;
    let expires_at = lines.optional_moment("Expiration Time: ")?;
    let not_before = lines.optional_moment("Not Before: ")?;
    let request_id = lines.optional("Request ID: ");
    lines.ensure(request_id.is_none_or(is_path_text))?;
    let resources = lines.resources()?;
    lines.end()?;
    Ok(SiweMessage {
        scheme: scheme.map(str::to_owned),
        domain: domain.to_owned(),
        address,
        statement: statement.map(str::to_owned),
        uri: uri.to_owned(),
        version: version.to_owned(),
        chain_id,
        nonce: nonce.to_owned(),
        issued_at,
        expires_at,
        not_before,
        request_id: request_id.map(str::to_owned),
        resources,
    })
}

struct MessageLines<'a> {
    rest: Peekable<Split<'a, char>>,
    /// The one that was read last, counted from 1.
    line: usize,
}

impl<'a> MessageLines<'a> {
    const fn malformed(&self) -> ProofError {
        ProofError::Malformed { line: self.line }
    }

    const fn ensure(&self, fits: bool) -> Result<(), ProofError> {
        if fits { Ok(()) } else { Err(self.malformed()) }
    }

    fn next(&mut self) -> Result<&'a str, ProofError> {
        self.line = self.line.saturating_add(1);
        self.rest.next().ok_or(self.malformed())
    }

    fn empty(&mut self) -> Result<(), ProofError> {
        let line = self.next()?;
        self.ensure(line.is_empty())
    }

    fn field(&mut self, name: &str) -> Result<&'a str, ProofError> {
        self.next()?.strip_prefix(name).ok_or(self.malformed())
    }

    /// The rest of the next line if it begins so; otherwise it stays.
    fn optional(&mut self, name: &str) -> Option<&'a str> {
        let value = self.rest.peek()?.strip_prefix(name)?;
        self.next().ok()?;
        Some(value)
    }

    fn optional_moment(&mut self, name: &str) -> Result<Option<UnixMillis>, ProofError> {
        match self.optional(name) {
            Some(text) => moment(text).map(Some).ok_or(self.malformed()),
            None => Ok(None),
        }
    }

    /// A statement and the empty line after it; or that line alone. An empty statement is one too:
    /// then two empty lines follow each other.
    fn statement(&mut self) -> Result<Option<&'a str>, ProofError> {
        let first = self.next()?;
        self.ensure(first.chars().all(is_statement_char))?;
        let is_followed_by_empty = self.rest.peek().is_some_and(|line| line.is_empty());
        if first.is_empty() && !is_followed_by_empty {
            return Ok(None);
        }
        self.empty()?;
        Ok(Some(first))
    }

    fn resources(&mut self) -> Result<Option<Vec<String>>, ProofError> {
        let Some(after) = self.optional("Resources:") else { return Ok(None) };
        self.ensure(after.is_empty())?;
        let mut resources = Vec::new();
        while let Some(resource) = self.optional("- ") {
            self.ensure(is_uri(resource))?;
            resources.push(resource.to_owned());
        }
        Ok(Some(resources))
    }

    fn end(&mut self) -> Result<(), ProofError> {
        self.line = self.line.saturating_add(1);
        let is_over = self.rest.next().is_none();
        self.ensure(is_over)
    }
}

/// Digits alone: `parse` by itself would take a sign.
fn chain_number(text: &str) -> Option<ChainId> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits).map(ChainId)
}

/// A date-time of RFC 3339, to the millisecond. chrono takes a space for the `T` as well, which the
/// grammar does not.
fn moment(text: &str) -> Option<UnixMillis> {
    let has_t = text.as_bytes().get(10).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'T'));
    let moment = DateTime::parse_from_rfc3339(text).ok().filter(|_| has_t)?;
    Some(UnixMillis::from_millis(moment.timestamp_millis()))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn is_authority(text: &str) -> bool {
    let is_plain = |c| is_unreserved(c) || is_sub_delim(c) || ":@[]%".contains(c);
    !text.is_empty() && text.chars().all(is_plain) && has_whole_escapes(text)
}

/// Characters and escapes of RFC 3986's `URI`, behind a scheme.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_plain = |c: char| c != ' ' && (is_statement_char(c) || c == '%');
    is_scheme(scheme) && rest.chars().all(is_plain) && has_whole_escapes(rest)
}

/// `*pchar`.
fn is_path_text(text: &str) -> bool {
    let is_plain = |c| is_unreserved(c) || is_sub_delim(c) || ":@%".contains(c);
    text.chars().all(is_plain) && has_whole_escapes(text)
}

/// Whether two hexadecimal digits follow each `%`.
fn has_whole_escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        let mut digits = rest.bytes().take(2);
        digits.len() == 2 && digits.all(|byte| byte.is_ascii_hexdigit())
    })
}
