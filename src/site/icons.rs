//! Icons: strokes on a grid of 16 by 16, drawn into the page itself, so that nothing is loaded.

use std::fmt;

use askama::filters::HtmlSafe;

/// One of ours, hidden from screen readers: it stands beside words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Icon(&'static str);

/// What it prints is ours.
impl HtmlSafe for Icon {}

impl fmt::Display for Icon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<svg class=\"icon\" viewBox=\"0 0 16 16\" width=\"16\" height=\"16\" \
             aria-hidden=\"true\" focusable=\"false\"><path d=\"{}\"/></svg>",
            self.0
        )
    }
}

/// The icon of a name; a dot for a name that there is not.
pub(super) fn icon(name: &str) -> Icon {
    let known = ICONS.iter().find(|(known, _)| *known == name);
    Icon(known.map_or("M8 7.5v1", |(_, path)| path))
}

/// The names of all.
#[cfg(debug_assertions)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ICONS.iter().map(|(name, _)| *name)
}

/// By name.
#[rustfmt::skip]
const ICONS: [(&str, &str); 28] = [
    ("alert", "M8 2.2 14.4 13.5H1.6ZM8 6.5v3M8 11.4v.2"),
    ("chart", "M2.5 2.5v11h11M5.5 11V8M8.5 11V5M11.5 11V7"),
    ("check", "m3 8.5 3.2 3.2L13 4.8"),
    ("clock", "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M8 4.8V8l2.2 1.6"),
    ("copy", "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8Z"),
    ("dashboard", "M2.5 2.5h4.7v6H2.5ZM9.5 2.5h4v3h-4ZM9.5 7.8h4v5.7h-4ZM2.5 10.8h4.7v2.7H2.5Z"),
    ("download", "M8 2v8M4.8 7 8 10.2 11.2 7M2.5 13.5h11"),
    ("external", "M9.5 2.5h4v4M13.5 2.5 7.8 8.2M6 3.5H2.5v10h10V10"),
    ("gear", "M8 5.6a2.4 2.4 0 1 0 0 4.8 2.4 2.4 0 0 0 0-4.8M8 1.5v2M8 12.5v2M1.5 8h2M12.5 8h2\
        M3.4 3.4l1.4 1.4M11.2 11.2l1.4 1.4M12.6 3.4l-1.4 1.4M4.8 11.2l-1.4 1.4"),
    ("info", "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M8 7.3v3.9M8 4.8V5"),
    ("key", "M10.4 2.3a3.3 3.3 0 1 0 0 6.6 3.3 3.3 0 0 0 0-6.6M8 8 2.5 13.5M4.3 11.7l1.7 1.7"),
    ("list", "M5.5 4h8M5.5 8h8M5.5 12h8M2.4 4h.2M2.4 8h.2M2.4 12h.2"),
    ("lock", "M3.5 7.2h9v6.3h-9ZM5.5 7V5a2.5 2.5 0 0 1 5 0v2"),
    ("mail", "M1.8 3.5h12.4v9H1.8ZM2 4l6 5 6-5"),
    ("menu", "M3.4 8h.2M7.9 8h.2M12.4 8h.2"),
    ("moon", "M13.2 9.8A5.8 5.8 0 0 1 6.2 2.8a5.8 5.8 0 1 0 7 7"),
    ("pause", "M5.5 3v10M10.5 3v10"),
    ("person", "M8 2.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6\
        M2.5 13.8c.7-2.6 2.8-4 5.5-4s4.8 1.4 5.5 4"),
    ("play", "M4.8 2.8v10.4L13 8Z"),
    ("plus", "M8 3v10M3 8h10"),
    ("print", "M4.5 6V2.5h7V6M4.5 11.5h-2V6h11v5.5h-2M4.5 9.5h7v4h-7Z"),
    ("rotate", "M13.2 6.2A5.6 5.6 0 0 0 3 5.4M2.8 2.6v3h3M2.8 9.8A5.6 5.6 0 0 0 13 10.6\
        M13.2 13.4v-3h-3"),
    ("search", "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.3 10.3l3.4 3.4"),
    ("sun", "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 1.2v1.6M8 13.2v1.6M1.2 8h1.6M13.2 8h1.6\
        M3.2 3.2l1.1 1.1M11.7 11.7l1.1 1.1M12.8 3.2l-1.1 1.1M4.3 11.7l-1.1 1.1"),
    ("system", "M2 2.8h12v8H2ZM5.5 13.5h5M8 10.8v2.7"),
    ("trash", "M2.8 4.2h10.4M6.2 4V2.3h3.6V4M4.2 4.5l.6 9h6.4l.6-9M6.7 7v4M9.3 7v4"),
    ("wallet", "M2 4.5h11.5v9H2ZM2 4.5l8.5-2.2v2M10.2 9h.6"),
    ("x", "m4 4 8 8M12 4l-8 8"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_icon_is_found_by_its_name_and_is_a_path() {
        for (name, path) in ICONS {
            let drawn = icon(name).to_string();
            assert!(drawn.contains(path), "{name}");
            assert!(
                path.chars().all(|letter| letter.is_ascii_alphanumeric() || " .-".contains(letter))
            );
        }
        assert!(icon("nothing").to_string().contains("M8 7.5v1"));
    }
}
