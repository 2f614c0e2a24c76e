//! A table of contents for a text of ours, and the places in the text that it leads to. What was
//! published has neither, and stays as it is.

/// A text with its headings.
pub(in crate::site) struct PolicyText {
    /// The text, each heading with its id.
    pub(in crate::site) html: String,
    pub(in crate::site) headings: Vec<PolicyHeading>,
}

/// A heading.
pub(in crate::site) struct PolicyHeading {
    pub(in crate::site) id: String,
    /// As HTML.
    pub(in crate::site) words: String,
}

impl PolicyText {
    /// From HTML of our own templates.
    pub(in crate::site) fn of(text: &str) -> Self {
        let mut pieces = text.split("<h2>");
        let mut html = pieces.next().unwrap_or_default().to_owned();
        let mut headings = Vec::new();
        for piece in pieces {
            let words = piece.split("</h2>").next().unwrap_or_default().to_owned();
            let id = format!("part-{}", headings.len().saturating_add(1));
            html.extend(["<h2 id=\"", &id, "\">", piece]);
            headings.push(PolicyHeading { id, words });
        }
        Self { html, headings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_heading_has_a_place_and_nothing_else_changes() {
        let text = "<p>One.</p>\n<h2>In short</h2>\n<p>Two.</p>\n<h2>A &amp; B</h2>";
        let PolicyText { html, headings } = PolicyText::of(text);
        let found: Vec<_> =
            headings.iter().map(|found| (found.id.as_str(), found.words.as_str())).collect();
        assert_eq!(found, [("part-1", "In short"), ("part-2", "A &amp; B")]);
        assert_eq!(html.replace(" id=\"part-1\"", "").replace(" id=\"part-2\"", ""), text);
    }
}
