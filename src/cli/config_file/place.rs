//! Where `sluice config init` will write, and what a draft is checked with there.

use std::path::PathBuf;

use crate::config::{self, Draft, Settings};
use crate::domain::clock::UtcDay;

/// Where the file will be, and what its text is checked with.
pub(super) struct Place<'a> {
    pub(super) file: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) today: UtcDay,
    pub(super) env: &'a [(String, String)],
}

impl Place<'_> {
    /// The text of a draft and its settings, or each mistake: the key, empty if there is none, and
    /// the reason.
    pub(super) fn check(&self, draft: &Draft) -> Result<(String, Settings), Vec<(String, String)>> {
        let text = draft
            .render(&self.folder, self.today)
            .map_err(|error| vec![(String::new(), error.to_string())])?;
        match config::load_text(&self.file, &text, self.env) {
            Ok(settings) => Ok((text, settings)),
            Err(errors) => {
                let mistakes = errors.problems.into_iter();
                Err(mistakes.map(|problem| (problem.key, problem.reason)).collect())
            }
        }
    }
}
