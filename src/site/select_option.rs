//! What a form offers to choose from.

/// One option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SelectOption {
    pub(super) value: String,
    pub(super) text: String,
    pub(super) is_chosen: bool,
}

impl SelectOption {
    /// Options from their values and texts. One that is chosen and not among them is added, so that
    /// a form that is sent again unchanged says the same.
    pub(super) fn list(
        options: impl IntoIterator<Item = (String, String)>,
        chosen: &str,
    ) -> Vec<Self> {
        let mut list: Vec<Self> = options
            .into_iter()
            .map(|(value, text)| Self { is_chosen: value == chosen, value, text })
            .collect();
        if !chosen.is_empty() && !list.iter().any(|choice| choice.is_chosen) {
            let text = chosen.to_owned();
            list.push(Self { value: text.clone(), text, is_chosen: true });
        }
        list
    }

    /// Boxes of which several may be ticked, from their values and texts.
    pub(super) fn boxes(
        options: impl IntoIterator<Item = (String, String)>,
        ticked: &[String],
    ) -> Vec<Self> {
        let mut list: Vec<Self> = options
            .into_iter()
            .map(|(value, text)| Self { is_chosen: ticked.contains(&value), text, value })
            .collect();
        for value in ticked {
            if !list.iter().any(|choice| choice.value == *value) {
                let value = value.clone();
                list.push(Self { text: value.clone(), value, is_chosen: true });
            }
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_stays_chosen_even_if_it_is_not_offered_any_more() {
        let offered = || ["a", "b"].map(str::to_owned);
        let shown = |list: Vec<SelectOption>| {
            let mark = |choice: &SelectOption| {
                format!("{}{}", choice.value, if choice.is_chosen { "!" } else { "" })
            };
            list.iter().map(mark).collect::<Vec<_>>().join(" ")
        };
        let pairs = || offered().map(|value| (value.clone(), value));
        assert_eq!(shown(SelectOption::list(pairs(), "")), "a b");
        assert_eq!(shown(SelectOption::list(pairs(), "b")), "a b!");
        assert_eq!(shown(SelectOption::list(pairs(), "c")), "a b c!");
        assert_eq!(
            shown(SelectOption::boxes(pairs(), &["c".to_owned(), "a".to_owned()])),
            "a! b c!"
        );
    }
}
