//! Walks messages and content blocks for what their bytes do not tell: images, documents, caches.
//!
//! Only where the wire has a block is one looked for. A tool's input or a schema may look like an
//! image and would be read as text by the model.

use std::borrow::Cow;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::super::unprintable::unprintable;
use super::{RequestError, wide};

/// What the walk has found.
#[derive(Default)]
pub(super) struct Blocks {
    /// Bytes of base64 within images and documents.
    pub(super) encoded_bytes: u64,
    pub(super) images: u64,
    pub(super) documents: u64,
    pub(super) remote_documents: u64,
    pub(super) uses_cache: bool,
    pub(super) uses_1h_cache: bool,
    pub(super) uses_stored_file: bool,
}

impl Blocks {
    pub(super) fn read_messages(&mut self, value: &RawValue) -> Result<(), RequestError> {
        self.walk(value, BlockContext::Messages)
            .map_err(|_| RequestError::Invalid("messages", "Input should be a valid list"))
    }

    pub(super) fn read_content(
        &mut self,
        value: &RawValue,
        name: &'static str,
    ) -> Result<(), RequestError> {
        self.walk(value, BlockContext::Content)
            .map_err(|_| RequestError::Invalid(name, "Input should be a valid string or list"))
    }

    pub(super) fn read_cache_control(&mut self, value: &RawValue) -> Result<(), RequestError> {
        self.walk(value, BlockContext::CacheControl)
            .map_err(|_| RequestError::Invalid("cache_control", "Input should be a valid object"))
    }

    fn walk(&mut self, value: &RawValue, place: BlockContext) -> Result<(), serde_json::Error> {
        BlockVisitor { found: self, place }.deserialize(value).map(|_| ())
    }
}

/// Where in the request a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BlockContext {
    /// The list of messages, or one of them.
    Messages,
    /// A text, a list of blocks, or a block.
    Content,
    /// A block's `source`.
    Source,
    /// A `cache_control`.
    CacheControl,
}

/// What a `source` is.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum SourceKind {
    #[default]
    Other,
    Base64,
    /// Its text stands in the body.
    Inline,
    File,
}

#[derive(Default)]
struct BlockSource {
    kind: SourceKind,
    data_bytes: u64,
}

struct BlockVisitor<'a> {
    found: &'a mut Blocks,
    place: BlockContext,
}

impl<'de> DeserializeSeed<'de> for BlockVisitor<'_> {
    type Value = BlockSource;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<BlockSource, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BlockVisitor<'_> {
    type Value = BlockSource;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("content")
    }

    fn visit_unit<E>(self) -> Result<BlockSource, E> {
        Ok(BlockSource::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<BlockSource, E> {
        Ok(BlockSource::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<BlockSource, A::Error> {
        while items
            .next_element_seed(BlockVisitor { found: self.found, place: self.place })?
            .is_some()
        {}
        Ok(BlockSource::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BlockSource, A::Error> {
        let BlockVisitor { found, place } = self;
        let mut kind = Cow::Borrowed("");
        let mut own = BlockSource::default();
        let mut source = BlockSource::default();
        while let Some(JsonText(name)) = map.next_key()? {
            match (place, &*name) {
                (_, "type") => kind = map.next_value::<JsonText<'de>>()?.0,
                (BlockContext::Content, "source") => {
                    source =
                        map.next_value_seed(BlockVisitor { found, place: BlockContext::Source })?;
                }
                (
                    BlockContext::Messages | BlockContext::Content | BlockContext::Source,
                    "content",
                ) => {
                    map.next_value_seed(BlockVisitor { found, place: BlockContext::Content })?;
                }
                (BlockContext::Source, "data") => own.data_bytes = map.next_value::<Length>()?.0,
                (BlockContext::Messages | BlockContext::Content, "cache_control") => {
                    map.next_value_seed(BlockVisitor { found, place: BlockContext::CacheControl })?;
                }
                (BlockContext::CacheControl, "ttl") => {
                    found.uses_1h_cache |= map.next_value::<JsonText<'de>>()?.0 == "1h";
                }
                (BlockContext::Content | BlockContext::Source, "file_id") => {
                    found.uses_stored_file = true;
                    map.next_value::<IgnoredAny>()?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match place {
            BlockContext::CacheControl => found.uses_cache = true,
            BlockContext::Content => found.take_block(&kind, &source),
            BlockContext::Source => own.kind = source_kind(&kind),
            BlockContext::Messages => {}
        }
        Ok(own)
    }
}

impl Blocks {
    fn take_block(&mut self, kind: &str, source: &BlockSource) {
        self.uses_stored_file |= source.kind == SourceKind::File || kind == "container_upload";
        match kind {
            "image" => self.images = self.images.saturating_add(1),
            "document" if source.kind != SourceKind::Inline => {
                self.documents = self.documents.saturating_add(1);
                if source.kind != SourceKind::Base64 {
                    self.remote_documents = self.remote_documents.saturating_add(1);
                }
            }
            _ => return,
        }
        if source.kind == SourceKind::Base64 {
            self.encoded_bytes = self.encoded_bytes.saturating_add(source.data_bytes);
        }
    }
}

fn source_kind(name: &str) -> SourceKind {
    match name {
        "base64" => SourceKind::Base64,
        "text" | "content" => SourceKind::Inline,
        "file" => SourceKind::File,
        _ => SourceKind::Other,
    }
}

/// A name or a string, borrowed where it has no escapes; null reads as empty.
pub(super) struct JsonText<'a>(pub(super) Cow<'a, str>);

unprintable!(JsonText<'static>);

impl<'de> Deserialize<'de> for JsonText<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = JsonText<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<JsonText<'de>, E> {
                Ok(JsonText(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<JsonText<'de>, E> {
                Ok(JsonText(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<JsonText<'de>, E> {
                Ok(JsonText(Cow::Borrowed("")))
            }
        }
        input.deserialize_any(TextVisitor)
    }
}

/// The length of a string; nothing of it is kept.
struct Length(u64);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct LengthVisitor;
        impl Visitor<'_> for LengthVisitor {
            type Value = Length;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Length, E> {
                Ok(Length(wide(text.len())))
            }
        }
        input.deserialize_str(LengthVisitor)
    }
}
