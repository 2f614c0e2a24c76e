//! What a page says once after something was done: one of these sentences, named in a cookie that
//! the next page takes away. No text of anybody's travels in it.

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flash {
    LoggedOut,
    LoggedOutEverywhere,
    Welcome,
    PasswordReset,
    PasswordChanged,
    EmailChanged,
    EmailPending,
    SessionEnded,
    SecondFactorOff,
    PreferencesKept,
    ClosingUndone,
    Closed,
    KeyChanged,
    KeyPaused,
    KeyResumed,
    KeyRevoked,
    WalletLinked,
    WalletUnlinked,
    WalletNamed,
    AddressIssued,
}

/// Each with its word and its sentence.
const NOTES: [(Flash, &str, &str); 20] = [
    (Flash::LoggedOut, "logged-out", "You are logged out."),
    (Flash::LoggedOutEverywhere, "logged-out-everywhere", "You are logged out on every device."),
    (
        Flash::Welcome,
        "welcome",
        "Your account is ready. Create an API key and add credit to begin.",
    ),
    (
        Flash::PasswordReset,
        "password-reset",
        "Your password has changed, and all sessions have ended. Log in with the new one.",
    ),
    (
        Flash::PasswordChanged,
        "password-changed",
        "Your password has changed. All other sessions have ended.",
    ),
    (Flash::EmailChanged, "email-changed", "Your email address has changed."),
    (
        Flash::EmailPending,
        "email-pending",
        "We sent a link to the new address. The old one stays in use until you open it.",
    ),
    (Flash::SessionEnded, "session-ended", "The session has ended."),
    (Flash::SecondFactorOff, "second-factor-off", "Two-factor authentication is off."),
    (Flash::PreferencesKept, "preferences-kept", "Your preferences are saved."),
    (
        Flash::ClosingUndone,
        "closing-undone",
        "The deletion is cancelled. Your API keys stay revoked.",
    ),
    (
        Flash::Closed,
        "closed",
        "Your account is being deleted. To cancel that, log in before it is \
        erased.",
    ),
    (Flash::KeyPaused, "key-paused", "The key is paused. Its requests are refused."),
    (Flash::KeyResumed, "key-resumed", "The key is active again."),
    (Flash::KeyChanged, "key-changed", "The key is saved. Its limits apply within seconds."),
    (
        Flash::AddressIssued,
        "address-issued",
        "You now have your own deposit address. Every payment to it counts as yours.",
    ),
    (Flash::KeyRevoked, "key-revoked", "The key is revoked. It no longer works."),
    (
        Flash::WalletLinked,
        "wallet-linked",
        "The wallet is linked. Its payments are credited to you.",
    ),
    (Flash::WalletNamed, "wallet-named", "The name is saved."),
    (
        Flash::WalletUnlinked,
        "wallet-unlinked",
        "The wallet is unlinked. Its earlier payments stay yours.",
    ),
];

impl Flash {
    pub(super) fn parse(word: &str) -> Option<Self> {
        NOTES.iter().find(|(_, known, _)| *known == word).map(|(note, _, _)| *note)
    }

    pub(super) fn word(self) -> &'static str {
        self.row().map_or("", |(_, word, _)| *word)
    }

    pub(super) fn sentence(self) -> &'static str {
        self.row().map_or("", |(_, _, sentence)| *sentence)
    }

    fn row(self) -> Option<&'static (Self, &'static str, &'static str)> {
        NOTES.iter().find(|(note, _, _)| *note == self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_note_is_named_once_and_says_something() {
        for (note, word, sentence) in NOTES {
            assert_eq!(Flash::parse(word), Some(note));
            assert_eq!((note.word(), note.sentence()), (word, sentence));
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{word}");
        }
        assert_eq!(Flash::parse("<script>"), None);
    }
}
