//! How single values are read, with reasons that a person can act upon. Numbers, flags and lists
//! may also come as text, because the environment has nothing else.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use chrono::NaiveDate;
use secrecy::SecretString;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::domain::evm::EvmAddress;
use crate::domain::money::NanoUsd;

/// A whole number within `MIN..=MAX`.
pub(super) fn whole<'de, const MIN: u64, const MAX: u64, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let value = Value::deserialize(from)?;
    number(&value)
        .filter(|count| (MIN..=MAX).contains(count))
        .and_then(|count| T::try_from(count).ok())
        .ok_or_else(|| D::Error::custom(format!("must be a whole number from {MIN} to {MAX}")))
}

/// A span of seconds within `MIN..=MAX`.
pub(super) fn secs<'de, const MIN: u64, const MAX: u64, D>(from: D) -> Result<Duration, D::Error>
where
    D: Deserializer<'de>,
{
    whole::<MIN, MAX, D, u64>(from).map(Duration::from_secs)
}

/// A span of hours within `MIN..=MAX`.
pub(super) fn hours<'de, const MIN: u64, const MAX: u64, D>(from: D) -> Result<Duration, D::Error>
where
    D: Deserializer<'de>,
{
    whole::<MIN, MAX, D, u64>(from).map(Duration::from_hours)
}

/// An optional span of seconds within `MIN..=MAX`.
pub(super) fn optional_secs<'de, const MIN: u64, const MAX: u64, D>(
    from: D,
) -> Result<Option<Duration>, D::Error>
where
    D: Deserializer<'de>,
{
    secs::<MIN, MAX, D>(from).map(Some)
}

/// A span of milliseconds within `MIN..=MAX`.
pub(super) fn millis<'de, const MIN: u64, const MAX: u64, D>(from: D) -> Result<Duration, D::Error>
where
    D: Deserializer<'de>,
{
    whole::<MIN, MAX, D, u64>(from).map(Duration::from_millis)
}

/// A span of milliseconds that may be left to the program.
pub(super) fn optional_millis<'de, const MIN: u64, const MAX: u64, D>(
    from: D,
) -> Result<Option<Duration>, D::Error>
where
    D: Deserializer<'de>,
{
    millis::<MIN, MAX, D>(from).map(Some)
}

/// A count in which 0 leaves the choice to the program.
pub(super) fn count_or_auto<'de, const MAX: u64, D>(
    from: D,
) -> Result<Option<NonZeroUsize>, D::Error>
where
    D: Deserializer<'de>,
{
    whole::<0, MAX, D, usize>(from).map(NonZeroUsize::new)
}

/// `true` or `false`.
pub(super) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    match Value::deserialize(from)? {
        Value::Bool(flag) => Ok(flag),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        _ => Err(D::Error::custom("must be true or false")),
    }
}

/// A list of texts, in the environment separated by commas.
pub(super) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let refusal = || D::Error::custom("must be a list of texts");
    let entries: Vec<String> = match Value::deserialize(from)? {
        Value::String(text) => text
            .split(',')
            .map(|entry| entry.trim().to_owned())
            .filter(|entry| !entry.is_empty())
            .collect(),
        Value::Array(values) => values
            .into_iter()
            .map(|value| value.as_str().map(str::to_owned).ok_or_else(refusal))
            .collect::<Result<_, _>>()?,
        _ => return Err(refusal()),
    };
    if entries.iter().any(String::is_empty) {
        return Err(D::Error::custom("has an empty entry"));
    }
    Ok(entries)
}

/// A text that is not empty.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match Value::deserialize(from)? {
        Value::String(text) if !text.trim().is_empty() => Ok(text),
        Value::String(_) => Err(D::Error::custom("must not be empty")),
        _ => Err(D::Error::custom("must be text in quotes")),
    }
}

/// A text of one line that is not empty: it may stand in a header.
pub(super) fn line<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let line = text(from)?;
    if line.contains(char::is_control) {
        return Err(D::Error::custom("must be one line without control characters"));
    }
    Ok(line)
}

/// An optional text that is not empty.
pub(super) fn optional_text<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<String>, D::Error> {
    text(from).map(Some)
}

/// A secret. Its reasons never repeat what was written.
pub(super) fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    text(from).map(SecretString::from)
}

/// An optional secret.
pub(super) fn optional_secret<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<SecretString>, D::Error> {
    secret(from).map(Some)
}

/// Anything that is written as text and parsed from it.
pub(super) fn parsed<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: Display,
{
    text(from)?.parse().map_err(D::Error::custom)
}

/// An address as people write it, with the checksum of EIP-55 where its letters are of both cases.
pub(super) fn address<'de, D: Deserializer<'de>>(from: D) -> Result<EvmAddress, D::Error> {
    evm_address(&text(from)?).map_err(D::Error::custom)
}

/// An optional address.
pub(super) fn optional_address<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<EvmAddress>, D::Error> {
    address(from).map(Some)
}

/// A list of addresses.
pub(super) fn addresses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<EvmAddress>, D::Error> {
    list(from)?.iter().map(|text| evm_address(text).map_err(D::Error::custom)).collect()
}

/// Nobody has the keys of the zero address; it stands for "none" in many places.
fn evm_address(text: &str) -> Result<EvmAddress, String> {
    let digits = text.trim().trim_start_matches("0x");
    if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        // Repeated, it would stand in logs and terminals.
        return Err(
            "looks like a private key, which Sluice never needs: take it out of this file, \
            and move what it holds to another key"
                .to_owned(),
        );
    }
    match EvmAddress::parse_written(text) {
        Ok(EvmAddress::ZERO) => Err("must not be the zero address".to_owned()),
        Ok(address) => Ok(address),
        Err(reason) => Err(format!("\"{}\": {reason}", text.chars().take(64).collect::<String>())),
    }
}

/// A day.
pub(super) fn date<'de, D: Deserializer<'de>>(from: D) -> Result<NaiveDate, D::Error> {
    let text = text(from)?;
    NaiveDate::parse_from_str(&text, "%Y-%m-%d").map_err(|_| {
        D::Error::custom(format!("\"{text}\" is not a day: write it as \"2026-11-09\""))
    })
}

/// An amount of dollars above nothing.
pub(super) fn usd<'de, D: Deserializer<'de>>(from: D) -> Result<NanoUsd, D::Error> {
    let text = decimal_text(from)?;
    text.parse().ok().filter(|usd| *usd > NanoUsd::ZERO).ok_or_else(|| {
        D::Error::custom(format!(
            "\"{text}\" is not an amount: write USD above 0 with at most nine decimals, such as \
             \"2.50\""
        ))
    })
}

/// An amount of dollars, or 0.
pub(super) fn usd_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<NanoUsd, D::Error> {
    let text = decimal_text(from)?;
    text.parse().ok().filter(|usd| *usd >= NanoUsd::ZERO).ok_or_else(|| {
        D::Error::custom(format!(
            "\"{text}\" is not an amount: write USD from 0 with at most nine decimals, such as \
             \"2.50\""
        ))
    })
}

/// An optional amount of dollars.
pub(super) fn optional_usd<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<NanoUsd>, D::Error> {
    usd(from).map(Some)
}

/// A number as written, for decimals that must stay exact.
pub(super) fn decimal_text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match Value::deserialize(from)? {
        Value::String(text) => Ok(text),
        Value::Number(number) if number.is_u64() => Ok(number.to_string()),
        _ => Err(D::Error::custom(
            "must be a decimal number in quotes, such as \"2.50\", so that it stays exact",
        )),
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
