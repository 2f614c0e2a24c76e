//! The part of the style that follows the settings: shades of the accent colour for both schemes,
//! each legible where it is used.

use crate::config::{DARK_GROUND, LIGHT_GROUND};
use crate::domain::colour::Colour;

const WHITE: Colour = Colour::new(0xff, 0xff, 0xff);
/// Cards of the dark scheme, which are a little lighter than what they stand on.
const DARK_CARD: Colour = Colour::new(0x1a, 0x20, 0x21);

/// The style sheet.
pub(super) fn css(accent: Colour) -> String {
    let dark = lightened(accent);
    format!(
        ":root{{--accent:{accent};--accent-ink:{};--accent-soft:{};--ground:{LIGHT_GROUND};\
         --card:{WHITE}}}\n\
         @media (prefers-color-scheme:dark){{:root{{--accent:{dark};--accent-ink:{DARK_GROUND};\
         --accent-soft:{};--ground:{DARK_GROUND};--card:{DARK_CARD}}}}}\n",
        WHITE,
        accent.mixed_with(WHITE, 9),
        dark.mixed_with(DARK_CARD, 14),
    )
}

/// The accent, lightened as far as it takes to read it in the dark scheme, and a little further.
fn lightened(accent: Colour) -> Colour {
    let shade = |step: u8| WHITE.mixed_with(accent, step.saturating_mul(5));
    let is_legible = |step: &u8| {
        [DARK_GROUND, DARK_CARD].iter().all(|ground| shade(*step).is_legible_on(*ground))
    };
    (0..=20).find(is_legible).map_or(WHITE, |step| shade(step.saturating_add(3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accent_that_the_settings_take_is_legible_in_both_schemes() {
        let mut seen = 0;
        let steps = [0, 51, 102, 153, 204, 255];
        for (red, green, blue) in steps.into_iter().flat_map(|red| {
            steps
                .into_iter()
                .flat_map(move |green| steps.into_iter().map(move |blue| (red, green, blue)))
        }) {
            let accent = Colour::new(red, green, blue);
            if !accent.is_legible_on(LIGHT_GROUND) {
                continue;
            }
            seen += 1;
            let dark = lightened(accent);
            assert!(WHITE.is_legible_on(accent), "{accent}");
            assert!(dark.is_legible_on(DARK_GROUND) && dark.is_legible_on(DARK_CARD), "{accent}");
        }
        assert!(seen > 50, "{seen}");
    }
}
