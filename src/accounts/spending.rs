//! Accounts that spend far more than they used to: somebody else may have their key. Found by the
//! usage log alone.

use std::time::Duration;

use serde_json::json;

use crate::config::Abuse;
use crate::db::models::outbox::{self, NewMail};
use crate::db::models::{accounts, usage_logs};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::mail::{MailKind, UnusualSpending};
use crate::domain::money::NanoUsd;

/// What is held against the habit.
const SPAN: Duration = Duration::from_hours(1);
/// Nobody is told more often.
const QUIET: Duration = Duration::from_hours(24);

/// Tells the owners of accounts whose last hour is unusual, each once a day, whichever node looks;
/// says whom, by public id.
///
/// # Errors
/// [`DbError`]; whoever has been told so far stays so.
pub fn look(
    conn: &mut AnyConnection,
    settings: &Abuse,
    now: UnixMillis,
) -> Result<Vec<String>, DbError> {
    let mut told = Vec::new();
    if !settings.watches_spending() {
        return Ok(told);
    }
    let hour_ago = now.minus(SPAN);
    for hour in usage_logs::spenders(conn, hour_ago, settings.spend_notice_min)? {
        let (id, spent) = (hour.account_id, hour.cost_nanousd);
        let before = (now.minus(settings.habit()), hour_ago);
        let busiest = usage_logs::busiest_hour(conn, id, before)?;
        if is_unusual(spent, busiest, settings.spend_notice_factor) {
            told.extend(tell(conn, id, (spent, busiest), now)?);
        }
    }
    Ok(told)
}

/// Whether an hour is above so many of the busiest one. What leaves 64 bits is beyond any hour.
fn is_unusual(spent: NanoUsd, busiest: NanoUsd, factor: u32) -> bool {
    let limit = i128::from(busiest.as_nanos()).saturating_mul(i128::from(factor));
    i128::from(spent.as_nanos()) > limit
}

fn tell(
    conn: &mut AnyConnection,
    id: AccountId,
    (spent, busiest): (NanoUsd, NanoUsd),
    now: UnixMillis,
) -> Result<Option<String>, DbError> {
    transaction::write(conn, |conn| {
        if !accounts::notify_of_spending(conn, id, (now.minus(QUIET), now))? {
            return Ok(None);
        }
        let Some(account) = accounts::get(conn, id)? else { return Ok(None) };
        let params = UnusualSpending {
            spent_usd: spent.to_string(),
            busiest_usd: (busiest > NanoUsd::ZERO).then(|| busiest.to_string()),
        };
        let mail = NewMail {
            kind: MailKind::UnusualSpending,
            reference: format!("{}:{}", account.public_id, now.as_millis()),
            account_id: Some(id),
            recipient: &account.email,
            params: json!(params),
        };
        outbox::enqueue(conn, &mail, now)?;
        Ok(Some(account.public_id))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_unusual_beyond_so_many_of_the_busiest_one() {
        let usd = NanoUsd::from_nanos;
        assert!(!is_unusual(usd(30), usd(10), 3));
        assert!(is_unusual(usd(31), usd(10), 3));
        assert!(is_unusual(usd(1), usd(0), 1_000));
        assert!(!is_unusual(usd(i64::MAX), usd(i64::MAX), 2));
    }
}
