//! How long something takes, in the words of people: an estimate, and no more exact than that. The
//! script says it the same way.

/// `about 8 min`.
pub(in crate::site) fn about(secs: i64) -> String {
    // Halves go up, so that nobody waits longer than he was told by more than he expects.
    let minutes = secs.max(0).saturating_add(30) / 60;
    match minutes {
        0 | 1 => "about 1 min".to_owned(),
        2..=89 => format!("about {minutes} min"),
        _ => format!("about {} hours", minutes.saturating_add(30) / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::about;

    #[test]
    fn estimates_are_minutes_and_hours() {
        let said = [-5, 0, 89, 90, 780, 5_369, 5_400, 9_000].map(about);
        let [one, two, many] = ["about 1 min", "about 2 min", "about 13 min"];
        let wanted = [one, one, one, two, many, "about 89 min", "about 2 hours", "about 3 hours"];
        assert_eq!(said, wanted);
    }
}
