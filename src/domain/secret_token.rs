//! Random words that open something: a session, or a link in mail. 260 random bits behind a prefix,
//! kept as a SHA-256 only.

use std::fmt::Write;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::ids::{NoRandomness, random_letters};
use super::unprintable::unprintable;

/// Five bits each.
const LETTERS: usize = 52;

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A session of somebody who is logged in.
    Session,
    /// A link in mail.
    Mail,
    /// A log-in whose second factor is still to come.
    LogInStep,
}

impl TokenKind {
    /// What each token of this kind begins with.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Session => "sess_",
            Self::Mail => "mail_",
            Self::LogInStep => "step_",
        }
    }
}

/// A token in clear: given out once, and read from each request that uses it.
pub struct SecretToken(SecretString);

/// The SHA-256 of a token: all that is stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

unprintable!(SecretToken, TokenHash);

impl SecretToken {
    /// Makes a new token.
    ///
    /// # Errors
    /// [`NoRandomness`] where the operating system has none to give.
    pub fn random(kind: TokenKind) -> Result<Self, NoRandomness> {
        let letters = random_letters::<LETTERS>()?;
        Ok(Self(SecretString::from(format!("{}{letters}", kind.prefix()))))
    }

    /// Reads a token; `None` for whatever is not in that form.
    #[must_use]
    pub fn parse(kind: TokenKind, text: &str) -> Option<Self> {
        let letters = text.strip_prefix(kind.prefix())?;
        let is_plain = letters.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (letters.len() == LETTERS && is_plain).then(|| Self(SecretString::from(text)))
    }

    /// What is stored and looked up.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.expose_secret().as_bytes()).into())
    }

    /// A word that only pages made for the holder of this token can carry: forms send it along, so
    /// that another site cannot have them sent.
    #[must_use]
    pub fn csrf_token(&self) -> String {
        let digest = Sha256::new_with_prefix(b"form\0").chain_update(self.0.expose_secret());
        let mut word = String::with_capacity(64);
        for byte in digest.finalize() {
            // Writing into text does not fail.
            write!(word, "{byte:02x}").unwrap_or_default();
        }
        word
    }

    /// The token itself, for whoever it is given to.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

impl TokenHash {
    /// The digest's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_as_what_it_is_and_as_nothing_else() {
        let token = SecretToken::random(TokenKind::Session).unwrap();
        let text = token.reveal();
        let again = SecretToken::parse(TokenKind::Session, text).unwrap();
        assert!(again.hash() == token.hash() && again.csrf_token() == token.csrf_token());
        assert!(SecretToken::parse(TokenKind::Mail, text).is_none());
        for other in [
            "",
            "sess_",
            text.trim_start_matches('s'),
            &format!("{text}0"),
            &text.replace('_', "-"),
        ] {
            assert!(SecretToken::parse(TokenKind::Session, other).is_none(), "{other}");
        }
    }

    #[test]
    fn the_word_in_forms_does_not_give_the_token_away() {
        let token = SecretToken::random(TokenKind::Session).unwrap();
        let stored = token.hash().as_bytes().iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        assert_eq!(token.csrf_token().len(), 64);
        assert_ne!(token.csrf_token(), stored);
    }
}
