//! Brotli and gzip for what everybody gets alike: our own files, and public pages for visitors who
//! are not logged in. Nothing else is ever compressed, since the length of a compressed response
//! tells of a secret in it to whoever can have other words put beside it (BREACH).

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use actix_web::http::header::{AcceptEncoding, CONTENT_ENCODING, Encoding, Header, VARY};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// Bytes below which it is not worth it.
const LEAST: usize = 1_000;
/// Bodies that are remembered. The pages with prices and the status change, all others do not.
const REMEMBERED: usize = 64;
/// Of brotli, out of 11. What is remembered may take a few milliseconds.
const BROTLI_QUALITY: i32 = 6;
/// Of brotli: a window of 4 MiB, more than any page.
const BROTLI_WINDOW: i32 = 22;
/// Of its buffer.
const BUFFER_BYTES: usize = 4_096;

/// A way to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Coding {
    Brotli,
    Gzip,
}

/// Compressed bodies, each made once.
#[derive(Default)]
pub(super) struct CompressedBodies(Mutex<HashMap<([u8; 32], Coding), Bytes>>);

/// A body as it is sent, with the value of `content-encoding` where it has one.
struct SentBody {
    content: Bytes,
    coding: Option<&'static str>,
}

impl Coding {
    const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The best that a client takes.
    fn of(http: &HttpRequest) -> Option<Self> {
        let accepted = AcceptEncoding::parse(http).ok()?;
        let takes = |encoding: Encoding| {
            let offered = [encoding.clone(), Encoding::identity()];
            accepted.negotiate(offered.iter()) == Some(encoding)
        };
        if takes(Encoding::brotli()) {
            Some(Self::Brotli)
        } else if takes(Encoding::gzip()) {
            Some(Self::Gzip)
        } else {
            None
        }
    }

    fn compress(self, content: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Brotli => {
                let mut compressed = Vec::new();
                let mut writer = brotli::CompressorWriter::with_params(
                    &mut compressed,
                    BUFFER_BYTES,
                    &brotli::enc::BrotliEncoderParams {
                        quality: BROTLI_QUALITY,
                        lgwin: BROTLI_WINDOW,
                        size_hint: content.len(),
                        ..Default::default()
                    },
                );
                writer.write_all(content)?;
                writer.flush()?;
                drop(writer);
                Ok(compressed)
            }
            Self::Gzip => {
                let mut writer = GzEncoder::new(Vec::new(), flate2::Compression::default());
                writer.write_all(content)?;
                writer.finish()
            }
        }
    }
}

impl CompressedBodies {
    /// The body in the best form that the client takes.
    fn sent(&self, http: &HttpRequest, content: Bytes) -> SentBody {
        let plain = |content| SentBody { content, coding: None };
        let Some(coding) = Coding::of(http).filter(|_| content.len() >= LEAST) else {
            return plain(content);
        };
        let key = (Sha256::digest(&content).into(), coding);
        if let Some(known) = self.known(&key) {
            return SentBody { content: known, coding: Some(coding.name()) };
        }
        let Ok(compressed) = coding.compress(&content) else { return plain(content) };
        let compressed = Bytes::from(compressed);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(key, compressed.clone());
        SentBody { content: compressed, coding: Some(coding.name()) }
    }

    /// The response with this body, in the best form that the client takes.
    pub(super) fn respond(
        &self,
        http: &HttpRequest,
        mut response: HttpResponseBuilder,
        content: Bytes,
    ) -> HttpResponse {
        let SentBody { content, coding } = self.sent(http, content);
        response.insert_header((VARY, "accept-encoding"));
        if let Some(coding) = coding {
            response.insert_header((CONTENT_ENCODING, coding));
        }
        response.body(content)
    }

    fn known(&self, key: &([u8; 32], Coding)) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use actix_web::test::TestRequest;

    use super::*;

    fn asked(accept: &str) -> HttpRequest {
        TestRequest::get().insert_header(("accept-encoding", accept)).to_http_request()
    }

    #[test]
    fn a_client_gets_the_best_form_that_it_takes() {
        let bodies = CompressedBodies::default();
        let page = Bytes::from("a page of words ".repeat(500));
        for (accept, coding) in [
            ("gzip, deflate, br, zstd", Some("br")),
            ("gzip, deflate", Some("gzip")),
            ("br;q=0, gzip;q=0.5", Some("gzip")),
            ("deflate", None),
            ("identity", None),
            ("", None),
        ] {
            let sent = bodies.sent(&asked(accept), page.clone());
            assert_eq!(sent.coding, coding, "{accept}");
            let mut read = Vec::new();
            match sent.coding {
                Some("br") => {
                    let mut reader = brotli::Decompressor::new(&*sent.content, BUFFER_BYTES);
                    reader.read_to_end(&mut read).unwrap();
                }
                Some(_) => {
                    let mut reader = flate2::read::GzDecoder::new(&*sent.content);
                    reader.read_to_end(&mut read).unwrap();
                }
                None => read.extend_from_slice(&sent.content),
            }
            assert_eq!(read, page, "{accept}");
            assert_eq!(sent.coding.is_some(), sent.content.len() < page.len(), "{accept}");
        }
    }

    #[test]
    fn what_is_small_is_left_alone_and_what_is_remembered_has_a_limit() {
        let bodies = CompressedBodies::default();
        let small = bodies.sent(&asked("br"), Bytes::from_static(b"small"));
        assert_eq!(small.coding, None);
        for number in 0..REMEMBERED * 2 {
            bodies.sent(&asked("gzip"), Bytes::from(format!("{number} ").repeat(1_000)));
        }
        assert!(bodies.0.lock().unwrap().len() <= REMEMBERED);
    }
}
