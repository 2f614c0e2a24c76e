//! A line of the journal: its checksum, its number, when it was written in milliseconds, and the
//! event as JSON.

use crate::domain::clock::UnixMillis;
use crate::domain::journal_event::JournalEvent;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalLine {
    /// Its number; the next one has the next.
    pub sequence: i64,
    /// When it was written.
    pub at: UnixMillis,
    /// What it tells.
    pub event: JournalEvent,
    text: String,
}

/// Why a line does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is not as it was written.
    Damaged,
    /// A later version has written it.
    Unknown,
}

/// A line, its end included.
pub(super) fn render(sequence: i64, at: UnixMillis, event: &str) -> String {
    let body = format!("{sequence} {} {event}", at.as_millis());
    format!("{:08x} {body}\n", crc32fast::hash(body.as_bytes()))
}

impl JournalLine {
    /// Reads a line without its end.
    pub(super) fn parse(text: &str) -> Result<Self, Unread> {
        let (sum, body) = text.split_once(' ').ok_or(Unread::Damaged)?;
        if sum != format!("{:08x}", crc32fast::hash(body.as_bytes())) {
            return Err(Unread::Damaged);
        }
        let mut parts = body.splitn(3, ' ');
        let mut number = || parts.next().and_then(|part| part.parse::<i64>().ok());
        let (Some(sequence), Some(at)) = (number(), number()) else { return Err(Unread::Damaged) };
        let event = parts.next().ok_or(Unread::Damaged)?;
        let event = serde_json::from_str(event).map_err(|_| Unread::Unknown)?;
        Ok(Self { sequence, at: UnixMillis::from_millis(at), event, text: text.to_owned() })
    }

    /// Whether it tells an event, as the database writes it.
    pub(super) fn is_of(&self, event: &str) -> bool {
        self.text.splitn(4, ' ').nth(3) == Some(event)
    }

    /// As it stands in the file, its end included.
    pub(super) fn text(&self) -> String {
        format!("{}\n", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::AccountId;

    #[test]
    fn a_line_reads_back_and_a_changed_one_does_not() {
        let event = r#"{"event":"account_erased","account":7}"#;
        let at = UnixMillis::from_millis(1_795_348_800_000);
        let text = render(41, at, event);
        let line = JournalLine::parse(text.trim_end()).unwrap();
        assert_eq!((line.sequence, line.at), (41, at));
        assert_eq!(line.event, JournalEvent::AccountErased { account: AccountId(7) });
        assert!(line.is_of(event) && line.text() == text, "{text}");
        let other = text.trim_end().replace(":7}", ":8}");
        assert_eq!(JournalLine::parse(&other), Err(Unread::Damaged));
        let unknown = render(1, at, r#"{"event":"of_tomorrow"}"#);
        assert_eq!(JournalLine::parse(unknown.trim_end()), Err(Unread::Unknown));
    }
}
