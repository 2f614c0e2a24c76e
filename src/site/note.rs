//! What a page says once after something was done: one of these sentences, named in a cookie that
//! the next page takes away. No text of anybody's travels in it.

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
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
    KeyRevoked,
    WalletLinked,
    WalletUnlinked,
    AddressIssued,
}

/// Each with its word and its sentence.
const NOTES: [(Note, &str, &str); 17] = [
    (Note::LoggedOut, "logged-out", "You are logged out."),
    (Note::LoggedOutEverywhere, "logged-out-everywhere", "You are logged out on every device."),
    (Note::Welcome, "welcome", "Your account is open. Make a key and top it up to begin."),
    (
        Note::PasswordReset,
        "password-reset",
        "Your password is changed, and every session has ended. Log in with the new one.",
    ),
    (
        Note::PasswordChanged,
        "password-changed",
        "Your password is changed. Every other session has ended.",
    ),
    (Note::EmailChanged, "email-changed", "Your e-mail address is changed."),
    (
        Note::EmailPending,
        "email-pending",
        "A link is on its way to the new address. Until it is used, the old address stays.",
    ),
    (Note::SessionEnded, "session-ended", "The session has ended."),
    (Note::SecondFactorOff, "second-factor-off", "The second factor is off."),
    (Note::PreferencesKept, "preferences-kept", "Your preferences are saved."),
    (Note::ClosingUndone, "closing-undone", "Your account stays open. Its keys stay revoked."),
    (
        Note::Closed,
        "closed",
        "Your account is closed. Until it is erased, logging in lets you undo that.",
    ),
    (
        Note::KeyChanged,
        "key-changed",
        "The key is changed. Its limits count from the next request on.",
    ),
    (
        Note::AddressIssued,
        "address-issued",
        "You have an address of your own. Whatever arrives at it is yours.",
    ),
    (Note::KeyRevoked, "key-revoked", "The key is revoked. It is refused from now on."),
    (Note::WalletLinked, "wallet-linked", "The wallet is linked. What it pays is credited to you."),
    (
        Note::WalletUnlinked,
        "wallet-unlinked",
        "The wallet is unlinked. What it has paid stays yours.",
    ),
];

impl Note {
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
            assert_eq!(Note::parse(word), Some(note));
            assert_eq!((note.word(), note.sentence()), (word, sentence));
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{word}");
        }
        assert_eq!(Note::parse("<script>"), None);
    }
}
