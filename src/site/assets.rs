//! Our own style, scripts and pictures: built into the program, and named after their content, so
//! that browsers may keep them for good.

mod serve;

use std::collections::BTreeMap;

use bytes::Bytes;
use sha2::{Digest, Sha256};

pub(super) use serve::show;

use super::theme;
use crate::domain::colour::Colour;

const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The parts of the style, from what is common to what one page has.
const STYLE: &str = concat!(
    include_str!("assets/style/base.css"),
    include_str!("assets/style/frame.css"),
    include_str!("assets/style/controls.css"),
    include_str!("assets/style/boxes.css"),
    include_str!("assets/style/tables.css"),
    include_str!("assets/style/public.css"),
    include_str!("assets/style/keys.css"),
    include_str!("assets/style/pay.css"),
    include_str!("assets/style/usage.css"),
);

/// Every file but the theme, which is made of the settings.
const FILES: [(&str, &str, &str); 12] = [
    ("site.css", CSS, STYLE),
    ("scheme.js", JAVASCRIPT, include_str!("assets/scheme.js")),
    ("filter.js", JAVASCRIPT, include_str!("assets/filter.js")),
    ("password.js", JAVASCRIPT, include_str!("assets/password.js")),
    ("time.js", JAVASCRIPT, include_str!("assets/time.js")),
    ("copy.js", JAVASCRIPT, include_str!("assets/copy.js")),
    ("first_request.js", JAVASCRIPT, include_str!("assets/first_request.js")),
    ("print.js", JAVASCRIPT, include_str!("assets/print.js")),
    ("wallet.js", JAVASCRIPT, include_str!("assets/wallet.js")),
    ("usage.js", JAVASCRIPT, include_str!("assets/usage.js")),
    ("progress.js", JAVASCRIPT, include_str!("assets/progress.js")),
    ("mark.svg", SVG, include_str!("assets/mark.svg")),
];

/// See the module.
pub(super) struct Assets(BTreeMap<String, StaticFile>);

struct StaticFile {
    /// Path with the hash in it.
    url: String,
    content_type: &'static str,
    content: Bytes,
}

impl Assets {
    pub(super) fn new(accent: Colour) -> Self {
        let fixed = FILES.into_iter().map(|(name, content_type, text)| {
            (name.to_owned(), StaticFile::new(name, content_type, text.as_bytes()))
        });
        let theme = StaticFile::new("theme.css", CSS, theme::css(accent).as_bytes());
        Self(fixed.chain([("theme.css".to_owned(), theme)]).collect())
    }

    /// The path of a file; of nothing where there is none of that name.
    pub(super) fn url(&self, name: &str) -> &str {
        self.0.get(name).map_or("/assets/", |asset| asset.url.as_str())
    }

    /// The file that a path's last part names, and whether that names this very content.
    fn find(&self, path_name: &str) -> Option<(&StaticFile, bool)> {
        let (stem, rest) = path_name.split_once('.')?;
        let (_, extension) = rest.rsplit_once('.')?;
        let asset = self.0.get(&format!("{stem}.{extension}"))?;
        Some((asset, asset.url.ends_with(&format!("/{path_name}"))))
    }
}

impl StaticFile {
    fn new(name: &str, content_type: &'static str, content: &[u8]) -> Self {
        let digest = Sha256::digest(content);
        let hash = digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
        Self {
            url: format!("/assets/{stem}.{hash:016x}.{extension}"),
            content_type,
            content: Bytes::copy_from_slice(content),
        }
    }
}
