//! A letter as a message of RFC 5322: multipart, with headers that no text can add to.

use std::time::{Duration, SystemTime};

use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};

use super::Letterhead;
use super::letter::Letter;
use crate::domain::clock::UnixMillis;
use crate::domain::email_address::deliverable;

/// Why a mail cannot be put together. None of these gets better with time.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The recipient is no address that mail can go to. It is not repeated.
    #[error("the recipient is not a deliverable address")]
    Recipient,
    /// A template.
    #[error("the text cannot be rendered")]
    Text(#[from] askama::Error),
    /// A header or a part.
    #[error("the message cannot be composed")]
    Message(#[source] lettre::error::Error),
}

/// Puts a mail together. `unsubscribe` is a link that turns such mail off: it stands in the text,
/// and in headers by which mail programs offer it as a button (RFC 2369, RFC 8058).
pub fn compose(
    head: &Letterhead,
    letter: &Letter<'_>,
    recipient: &str,
    (message_id, unsubscribe): (&str, Option<&str>),
    now: UnixMillis,
) -> Result<Message, ComposeError> {
    let to = deliverable(recipient).ok_or(ComposeError::Recipient)?;
    let written = letter.write(head, unsubscribe)?;
    let since_epoch = Duration::from_millis(now.as_millis().unsigned_abs());
    let mut message = Message::builder()
        .from(head.from.clone())
        .to(Mailbox::new(None, to))
        .subject(written.subject)
        .message_id(Some(format!("<{message_id}@{}>", head.from.email.domain())))
        .date(SystemTime::UNIX_EPOCH.checked_add(since_epoch).unwrap_or(SystemTime::UNIX_EPOCH))
        // Nobody's holiday notice shall answer it (RFC 3834 §5).
        .raw_header(automatic());
    if let Some(support) = head.support_email.as_deref().and_then(|text| text.parse().ok()) {
        message = message.reply_to(Mailbox::new(None, support));
    }
    for header in unsubscribe.into_iter().flat_map(one_click) {
        message = message.raw_header(header);
    }
    message
        .multipart(MultiPart::alternative_plain_html(written.plain, written.html))
        .map_err(ComposeError::Message)
}

/// RFC 8058 wants https for what is posted without a look; elsewhere the link alone is named.
fn one_click(link: &str) -> Vec<HeaderValue> {
    // An address takes no spaces, no line ends and nothing beyond ASCII, so that there is nothing
    // to encode or to fold.
    if !link.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>".contains(&byte)) {
        return Vec::new();
    }
    let header = |name: &'static str, value: String| {
        let name = HeaderName::new_from_ascii_str(name);
        HeaderValue::dangerous_new_pre_encoded(name, value.clone(), value)
    };
    let mut headers = vec![header("List-Unsubscribe", format!("<{link}>"))];
    if link.starts_with("https://") {
        headers.push(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
    }
    headers
}

fn automatic() -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned())
}
