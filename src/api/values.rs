//! Amounts, moments and words as JSON has them, and how the OpenAPI document describes them.

use std::borrow::Cow;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::clock::UnixMillis;
use crate::domain::money::NanoUsd;

/// An amount of dollars: a decimal string with two to nine decimals, never rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dollars(pub NanoUsd);

impl Serialize for Dollars {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

impl PartialSchema for Dollars {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "Dollars as decimal text, with nine decimals at most and never rounded.",
            ))
            .pattern(Some(r"^-?[0-9]{1,10}(\.[0-9]{1,9})?$"))
            .examples(["12.50", "0.000123"])
            .into()
    }
}

impl ToSchema for Dollars {}

/// A time: RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub UnixMillis);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let moment = UnixMillis::parse_rfc3339(&text).map(Self);
        moment.ok_or_else(|| serde::de::Error::custom("not RFC 3339"))
    }
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339 in UTC, with milliseconds."))
            .examples(["2026-11-22T12:00:00.000Z"])
            .into()
    }
}

impl ToSchema for Moment {}

/// A word out of a list that may grow: the list of today, and the word that counts where none is
/// given.
pub(super) fn word_of(
    words: impl IntoIterator<Item = &'static str>,
    default: Option<&'static str>,
) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
        .default(default.map(Into::into))
        .build()
}

/// The same, or null.
pub(super) fn word_or_null(words: impl IntoIterator<Item = &'static str>) -> Object {
    let words = words.into_iter().map(serde_json::Value::from);
    ObjectBuilder::new()
        .schema_type(SchemaType::Array(vec![Type::String, Type::Null]))
        .enum_values(Some(words.chain([serde_json::Value::Null])))
        .build()
}

/// `{"data": […]}`: a complete list.
#[derive(Debug, Serialize)]
pub struct List<T> {
    /// In the order stated by the operation.
    pub data: Vec<T>,
}

impl<T: ToSchema> PartialSchema for List<T> {
    fn schema() -> RefOr<Schema> {
        let data = ArrayBuilder::new()
            .items(T::schema())
            .description(Some("In the order that the operation names."));
        ObjectBuilder::new()
            .description(Some("`{\"data\": […]}`: a complete list."))
            .property("data", data)
            .required("data")
            .into()
    }
}

/// What is derived of a generic type does not name its parts.
impl<T: ToSchema> ToSchema for List<T> {
    fn name() -> Cow<'static, str> {
        Cow::Owned(format!("List_{}", T::name()))
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

/// Text that is secret from its first byte.
pub(super) fn secret_text<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    String::deserialize(from).map(SecretString::from)
}
