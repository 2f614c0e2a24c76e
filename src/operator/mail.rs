//! Mail that waits.

use std::time::Duration;

use super::{Act, OperatorError};
use crate::db::models::audit::{self, Decision};
use crate::db::models::outbox;
use crate::db::{AnyConnection, transaction};

/// Makes due now what was put off after a failure, and says how many mails that are. `held` is how
/// long the mailer holds a mail that it is sending: what is due within that stays as it is, since
/// it may be on its way.
///
/// # Errors
/// Storage.
pub fn retry(
    conn: &mut AnyConnection,
    held: Duration,
    act: Act<'_>,
) -> Result<usize, OperatorError> {
    transaction::write(conn, |conn| {
        let hastened = outbox::hasten(conn, act.now, act.now.plus(held))?;
        if hastened > 0 {
            let detail = act.reason.after(&format!("{hastened} mails"));
            let decision = Decision::of_nobodys("mail_retried", "mail", &detail);
            audit::write(conn, &decision, act.now)?;
        }
        Ok(hastened)
    })
}
