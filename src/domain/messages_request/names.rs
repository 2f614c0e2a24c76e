//! Names of fields as a request spells them, and which of them another parser could take for a
//! known one.

use icu_normalizer::ComposingNormalizerBorrowed;

use super::RequestError;

/// Bytes of a name that is looked at: no field of the wire comes near to it.
pub const NAME_BYTES_MAX: usize = 256;

/// What a lenient parser may make of a name: compatibility forms are composed (NFKC), case is
/// folded (by way of capitals, so that `ı` becomes `i` and `ſ` becomes `s`), a NUL ends it, and
/// what is neither letter nor digit is left out, so that `maxTokens` and `max_tokens` are the same.
/// Go's `encoding/json` folds case, protobuf's JSON takes camel case, C ends at a NUL.
#[must_use]
pub fn folded(name: &str) -> String {
    let before_nul = name.split('\0').next().unwrap_or_default();
    if before_nul.is_ascii() {
        let letters = before_nul.bytes().filter(u8::is_ascii_alphanumeric);
        return letters.map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    }
    ComposingNormalizerBorrowed::new_nfkc()
        .normalize_iter(before_nul.chars())
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .filter(|letter| letter.is_alphanumeric())
        .collect()
}

/// Checks that a name in `place` is none of `known` in disguise.
///
/// # Errors
/// [`RequestError::Twin`] and [`RequestError::LongName`].
pub(super) fn check(
    name: &str,
    place: &'static str,
    mut known: impl Iterator<Item = &'static str> + Clone,
) -> Result<(), RequestError> {
    if name.len() > NAME_BYTES_MAX {
        return Err(RequestError::LongName(place));
    }
    if known.clone().any(|known| known == name) {
        return Ok(());
    }
    let folded = folded(name);
    let is_same = |known: &&str| known.chars().filter(|letter| *letter != '_').eq(folded.chars());
    match known.find(is_same) {
        Some(known) => Err(RequestError::Twin(place, known)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["model", "max_tokens", "thread"];

    fn checked(name: &str) -> Result<(), RequestError> {
        check(name, "x", KNOWN.into_iter())
    }

    #[test]
    fn what_a_lenient_parser_reads_as_a_known_name_is_its_twin() {
        let twins = [
            ("MODEL", "model"),
            ("Model", "model"),
            ("mo\u{ff44}el", "model"),           // full width
            ("\u{2133}odel", "model"),           // a script capital
            ("mo\u{ad}del", "model"),            // a soft hyphen
            ("model\u{200b}", "model"),          // a blank without width
            ("model ", "model"),                 // blanks are cut off by some
            ("model\0x", "model"),               // the end of a text in C
            ("max_to\u{212a}ens", "max_tokens"), // the sign of Kelvin
            ("max_token\u{17f}", "max_tokens"),  // a long s
            ("maxTokens", "max_tokens"),         // protobuf
            ("max-tokens", "max_tokens"),
            ("max_tokens_", "max_tokens"),
            ("THREAD", "thread"),
        ];
        for (name, known) in twins {
            assert_eq!(checked(name), Err(RequestError::Twin("x", known)), "{name:?}");
        }
    }

    #[test]
    fn a_known_name_and_any_other_pass_and_a_long_one_does_not() {
        for name in ["model", "thread", "models", "max_tokens_2", "модель", "", "_", "m\u{f3}del"]
        {
            assert_eq!(checked(name), Ok(()), "{name:?}");
        }
        let longest = "a".repeat(NAME_BYTES_MAX);
        assert_eq!(checked(&longest), Ok(()));
        let padded = format!("model{}", "\u{200b}".repeat(100));
        for name in [format!("{longest}a"), padded] {
            assert_eq!(checked(&name), Err(RequestError::LongName("x")));
        }
    }

    #[test]
    fn folding_goes_by_way_of_capitals() {
        // Neither small letter has a capital of its own in ASCII's place.
        assert_eq!(folded("\u{131}nference_geo"), "inferencegeo");
        assert_eq!(folded("\u{130}nference_geo"), "inferencegeo");
        assert_eq!(folded("TOOLS\0more"), "tools");
    }
}
