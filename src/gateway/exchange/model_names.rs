//! What an upstream calls the models of a request. Its own names are neither priced nor the
//! client's business.

use std::borrow::Cow;

use crate::config;
use crate::domain::usage::Usage;

/// The upstream's names of models, with ours, where they differ.
#[derive(Default)]
pub(super) struct ModelNames(Vec<(String, String)>);

impl ModelNames {
    /// Those of the models with these priced ids.
    pub(super) fn of(upstream: &config::UpstreamSettings, model_ids: &[String]) -> Self {
        let renamed =
            model_ids.iter().filter_map(|id| Some((upstream.name_of(id.as_str())?, id.clone())));
        Self(renamed.collect())
    }

    /// Usage with our names in place of the upstream's.
    pub(super) fn with_ours<'a>(&self, usage: &'a Usage) -> Cow<'a, Usage> {
        let ours = |name: &Option<String>| {
            let name = name.as_deref()?;
            self.0.iter().find(|(theirs, _)| theirs == name).map(|(_, ours)| ours.clone())
        };
        let mut usage = Cow::Borrowed(usage);
        if let Some(name) = ours(&usage.served_model) {
            usage.to_mut().served_model = Some(name);
        }
        for index in 0..usage.iterations.len() {
            let name = usage.iterations.get(index).and_then(|entry| ours(&entry.model));
            if let Some(name) = name
                && let Some(entry) = usage.to_mut().iterations.get_mut(index)
            {
                entry.model = Some(name);
            }
        }
        usage
    }
}
