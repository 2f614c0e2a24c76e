//! What stands behind the `?` of a list: a time, a number of rows, a format.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::web::Query;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use utoipa::openapi::schema::Object;

use super::refusal::Refusal;
use super::signature::{Argument, Signature};
use super::values::word_of;
use crate::accounts::usage::export::Format;
use crate::domain::clock::{UnixMillis, UtcDay};

/// Rows on a page, if no number was asked for.
const LIMIT: usize = 50;
/// And at most.
const LIMIT_MAX: usize = 500;

/// What is said of a time that is none.
const BAD_TIME: &str = "`from` and `to` must be days (2026-11-22) or times \
    (2026-11-22T12:00:00Z), with `from` not after `to`.";

/// The refusal of an unknown format.
pub(super) const BAD_FORMAT: Refusal =
    Refusal::Query("`format` must be csv or jsonl, and `bom` true or false.");

/// The type of a query. Other parameters than its fields are refused.
pub(super) trait QueryFields: DeserializeOwned + IntoParams + 'static {
    /// The refusal of anything else.
    const REFUSAL: Refusal;
}

/// The query's parameters.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: QueryFields> FromRequest for Parameters<T> {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(http: &HttpRequest, _: &mut Payload) -> Self::Future {
        let read = Query::<T>::from_query(http.query_string());
        ready(read.map(|Query(read)| Self(read)).map_err(|_| T::REFUSAL))
    }
}

impl<T: QueryFields> Argument for Parameters<T> {
    fn describe(signature: &mut Signature) {
        signature.query::<T>();
    }
}

/// From when until when, as it was asked for: RFC 3339 or days.
pub(super) struct TimeSpan {
    pub(super) from: Option<String>,
    /// Itself not included if it is a moment, included if it is a day.
    pub(super) to: Option<String>,
}

impl TimeSpan {
    /// The first moment, and the first one behind.
    pub(super) fn read(&self) -> Result<(UnixMillis, UnixMillis), Refusal> {
        let from = match &self.from {
            None => UnixMillis::from_millis(0),
            Some(text) => {
                let day = UtcDay::parse(text).map(UtcDay::begin);
                day.or_else(|| UnixMillis::parse_rfc3339(text)).ok_or(Refusal::Query(BAD_TIME))?
            }
        };
        let to = match &self.to {
            None => UnixMillis::from_millis(i64::MAX),
            Some(text) => {
                let behind = UtcDay::parse(text).map(|day| day.plus(1).begin());
                behind
                    .or_else(|| UnixMillis::parse_rfc3339(text))
                    .ok_or(Refusal::Query(BAD_TIME))?
            }
        };
        if from > to { Err(Refusal::Query(BAD_TIME)) } else { Ok((from, to)) }
    }
}

/// A name or an id to look for. No database has one with a control character, and not each takes
/// it.
pub(super) fn name(asked: Option<String>) -> Result<Option<String>, Refusal> {
    match asked {
        Some(name) if name.contains(char::is_control) => {
            Err(Refusal::Query("A name or an id must not contain control characters."))
        }
        asked => Ok(asked),
    }
}

/// The number of rows asked for.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, Refusal> {
    let limit = asked.unwrap_or(LIMIT);
    if (1..=LIMIT_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(Refusal::Query("`limit` must be a number from 1 to 500."))
    }
}

/// The formats, for the document.
pub(super) fn format_words() -> Object {
    word_of(["csv", "jsonl"], Some("csv"))
}

/// The format asked for.
pub(super) fn format(asked: Option<&str>) -> Result<Format, Refusal> {
    let format = Format::parse(asked.unwrap_or("csv"));
    format.ok_or(BAD_FORMAT)
}
