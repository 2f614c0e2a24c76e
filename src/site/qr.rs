//! Pictures of payment requests, for the camera of a wallet on a phone. Dark on light in every
//! colour scheme, since cameras expect that.

use std::fmt::Write;

use qrcode::{Color, QrCode};

/// Modules of empty space around the code, as its standard asks.
const QUIET: usize = 4;

/// A code, drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Qr {
    /// Width and height in modules, the empty space included.
    pub(super) size: usize,
    /// The dark modules, as the `d` of a path.
    pub(super) path: String,
    /// What it says to those who do not see it.
    pub(super) label: String,
}

impl Qr {
    /// The code of a text; `None` where the text is too long for any.
    pub(super) fn new(text: &str, label: String) -> Option<Self> {
        let code = QrCode::new(text).ok()?;
        let colours = code.to_colors();
        let mut path = String::new();
        for (row, modules) in colours.chunks(code.width()).enumerate() {
            let y = row.saturating_add(QUIET);
            let mut x = QUIET;
            // Neighbours are one rectangle, which leaves no hairline between them.
            for run in modules.chunk_by(|one, next| one == next) {
                let length = run.len();
                if run.first() == Some(&Color::Dark) {
                    // Writing to a String cannot fail.
                    write!(path, "M{x} {y}h{length}v1h-{length}z").ok()?;
                }
                x = x.saturating_add(length);
            }
        }
        Some(Self { size: code.width().saturating_add(QUIET.saturating_mul(2)), path, label })
    }
}

#[cfg(test)]
mod tests {
    use askama::Template;

    use super::*;

    #[derive(Template)]
    #[template(source = "{% include \"qr.html\" %}", ext = "html")]
    struct Page {
        qr: Qr,
    }

    #[test]
    fn every_dark_module_is_drawn_once_and_no_other() {
        let text = "ethereum:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913@8453/transfer\
                    ?address=0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        let qr = Qr::new(text, String::new()).unwrap();
        let code = QrCode::new(text).unwrap();
        let width = code.width();
        assert_eq!(qr.size, width + 8);
        let mut drawn = vec![0; width * width];
        for part in qr.path.split_terminator('z') {
            let (place, length) = part.trim_start_matches('M').split_once('h').unwrap();
            let (x, y) = place.split_once(' ').unwrap();
            let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
            let length: usize = length.split('v').next().unwrap().parse().unwrap();
            for x in x..x + length {
                drawn[(y - QUIET) * width + x - QUIET] += 1;
            }
        }
        let wanted: Vec<i32> =
            code.to_colors().into_iter().map(|colour| colour.select(1, 0)).collect();
        assert_eq!(drawn, wanted);
    }

    #[test]
    fn what_fits_no_code_has_none_and_labels_are_escaped() {
        assert_eq!(Qr::new(&"x".repeat(5000), String::new()), None);
        let qr = Qr::new("ethereum:0x0", "\"><script>".to_owned()).unwrap();
        let page = Page { qr }.render().unwrap();
        assert!(page.contains("role=\"img\"") && !page.contains("<script"), "{page}");
        assert!(!page.contains("style="), "{page}");
    }
}
