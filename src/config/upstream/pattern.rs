//! Names of models with a `*` in them, which stands for any text.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// The id of a model, or a pattern of ids with one `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelPattern {
    before: String,
    /// What stands behind the `*`, if there is one.
    after: Option<String>,
}

impl ModelPattern {
    /// What the `*` stands for in an id: nothing, where the pattern has none. `None` if the id is
    /// another one.
    #[must_use]
    pub fn matched<'a>(&self, id: &'a str) -> Option<&'a str> {
        let rest = id.strip_prefix(self.before.as_str())?;
        match &self.after {
            None => rest.is_empty().then_some(rest),
            Some(after) => rest.strip_suffix(after.as_str()),
        }
    }

    /// How much of an id it says: of several patterns, the longest counts, and one without a `*`
    /// before all others.
    const fn weight(&self) -> (bool, usize) {
        match &self.after {
            None => (true, 0),
            Some(after) => (false, self.before.len().saturating_add(after.len())),
        }
    }

    /// Whether there is one `*` at most.
    pub(super) fn is_sound(&self) -> bool {
        self.after.as_ref().is_none_or(|after| !after.contains('*'))
    }
}

impl FromStr for ModelPattern {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (before, after) = match text.split_once('*') {
            None => (text, None),
            Some((before, after)) => (before, Some(after.to_owned())),
        };
        Ok(Self { before: before.to_owned(), after })
    }
}

impl fmt::Display for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, after } = self;
        match after {
            None => f.write_str(before),
            Some(after) => write!(f, "{before}*{after}"),
        }
    }
}

/// How the models of a pattern are named at an upstream: a `*` there stands for the same text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// Our ids.
    pub ids: ModelPattern,
    /// Their names.
    pub names: ModelPattern,
}

impl Rename {
    /// The name of a model by the most exact of the renames.
    pub(super) fn of(renames: &[Self], id: &str) -> Option<String> {
        let fitting = renames.iter().filter_map(|one| Some((one, one.ids.matched(id)?)));
        let (rename, matched) = fitting.max_by_key(|(one, _)| one.ids.weight())?;
        let ModelPattern { before, after } = &rename.names;
        Some(match after {
            None => before.clone(),
            Some(after) => format!("{before}{matched}{after}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> ModelPattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_star_stands_for_any_text() {
        let table = [
            ("claude-opus-5", "claude-opus-5", Some("")),
            ("claude-opus-5", "claude-opus-5-5", None),
            ("claude-*", "claude-opus-5", Some("opus-5")),
            ("claude-*", "claude-", Some("")),
            ("*", "anything", Some("anything")),
            ("*-5", "claude-opus-5", Some("claude-opus")),
            ("a*a", "a", None),
            ("a*a", "aa", Some("")),
        ];
        for (text, id, matched) in table {
            assert_eq!(pattern(text).matched(id), matched, "{text} {id}");
            assert_eq!(pattern(text).to_string(), text);
        }
        assert!(pattern("a*b").is_sound() && !pattern("a*b*").is_sound());
    }

    #[test]
    fn the_most_exact_rename_counts() {
        let rename = |ids: &str, names: &str| Rename { ids: pattern(ids), names: pattern(names) };
        let renames = [
            rename("*", "all/*"),
            rename("claude-*", "anthropic.claude-*-v1"),
            rename("claude-opus-5", "opus"),
            rename("claude-haiku-*", "haiku"),
        ];
        let name = |id: &str| Rename::of(&renames, id);
        assert_eq!(name("claude-opus-5").unwrap(), "opus");
        assert_eq!(name("claude-opus-5-5").unwrap(), "anthropic.claude-opus-5-5-v1");
        assert_eq!(name("claude-haiku-4-5").unwrap(), "haiku");
        assert_eq!(name("x").unwrap(), "all/x");
        assert_eq!(Rename::of(&renames[1..], "x"), None);
    }
}
