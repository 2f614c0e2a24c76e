//! Enumerations that the database, JSON and people know by a word.

/// Shows and serialises types by their `as_str`.
macro_rules! shown_as_word {
    ($($name:ty),+ $(,)?) => {
        $(
            impl std::fmt::Display for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.pad(self.as_str())
                }
            }

            impl serde::Serialize for $name {
                fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                    to.serialize_str(self.as_str())
                }
            }
        )+
    };
}

pub(crate) use shown_as_word;
