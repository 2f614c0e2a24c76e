//! The part of the style that follows the settings: shades of the accent colour for both schemes,
//! each legible where it is used, and colours of charts that are told apart from it.

use std::fmt::Write;

use crate::config::{DARK_GROUND, LIGHT_GROUND};
use crate::domain::colour::Colour;

const WHITE: Colour = Colour::new(0xff, 0xff, 0xff);
/// Cards of the dark scheme, a little lighter than the page behind them.
const DARK_CARD: Colour = Colour::new(0x1a, 0x20, 0x21);
/// Series of a chart with a colour of their own, the accent among them.
const SERIES: usize = 6;

/// Light or dark.
struct Scheme {
    ground: Colour,
    card: Colour,
    /// Text on the accent.
    accent_ink: Colour,
    /// Hundredths of the accent in its soft shade.
    soft_percent: u8,
    /// Lightness of the series, 0 to 1: two steps, so that neighbours in hue differ too.
    series_lightness: [f32; 2],
    /// Greys for what is left over.
    rest: [Colour; 3],
}

const LIGHT: Scheme = Scheme {
    ground: LIGHT_GROUND,
    card: WHITE,
    accent_ink: WHITE,
    soft_percent: 9,
    series_lightness: [0.58, 0.44],
    rest: [
        Colour::new(0x82, 0x8d, 0x89),
        Colour::new(0x4a, 0x54, 0x51),
        Colour::new(0x2e, 0x36, 0x34),
    ],
};

const DARK: Scheme = Scheme {
    ground: DARK_GROUND,
    card: DARK_CARD,
    accent_ink: DARK_GROUND,
    soft_percent: 14,
    series_lightness: [0.74, 0.60],
    rest: [
        Colour::new(0x7b, 0x88, 0x85),
        Colour::new(0xb4, 0xbf, 0xbb),
        Colour::new(0xd5, 0xdc, 0xd9),
    ],
};

/// Hues that a series may have, in degrees of OKLCH.
const HUES: [f32; 18] = [
    55.0, 295.0, 150.0, 5.0, 230.0, 100.0, 265.0, 30.0, 190.0, 340.0, 75.0, 125.0, 170.0, 210.0,
    250.0, 280.0, 315.0, 355.0,
];
/// Strength of the series, in OKLCH.
const SERIES_CHROMA: f32 = 0.14;

impl Scheme {
    /// The accent as it is used in this scheme: as configured, or of the nearest lightness at which
    /// it can be read.
    fn accent(&self, configured: Colour) -> Colour {
        let is_legible = |colour: &Colour| {
            colour.is_legible_on(self.ground)
                && colour.is_legible_on(self.card)
                && self.accent_ink.is_legible_on(*colour)
        };
        let lighter = [0.70, 0.74, 0.78, 0.82, 0.86, 0.90];
        [configured]
            .into_iter()
            .chain(lighter.into_iter().map(|lightness| configured.at_lightness(lightness)))
            .find(is_legible)
            .unwrap_or(WHITE)
    }

    /// The colours of the series, the accent first and the one for the rest last. Each is the
    /// candidate that differs most from those before it.
    fn series(&self, accent: Colour) -> Vec<Colour> {
        let rest = farthest(self.rest.into_iter(), &[accent]);
        let mut taken = vec![accent, rest];
        while taken.len() <= SERIES {
            let candidates = self.series_lightness.into_iter().flat_map(|lightness| {
                HUES.into_iter().map(move |hue| Colour::of_hue(lightness, SERIES_CHROMA, hue))
            });
            let visible = candidates.filter(|colour| colour.is_visible_on(self.card));
            taken.push(farthest(visible, &taken));
        }
        taken.remove(1);
        taken.push(rest);
        taken
    }
}

/// The candidate whose nearest neighbour among some colours is farthest from it.
fn farthest(candidates: impl Iterator<Item = Colour>, taken: &[Colour]) -> Colour {
    let nearest = |colour: Colour| {
        taken.iter().map(|other| colour.difference(*other)).fold(f32::MAX, f32::min)
    };
    candidates
        .map(|colour| (nearest(colour), colour))
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map_or(WHITE, |(_, colour)| colour)
}

/// The style sheet: each token in both schemes, of which `color-scheme` chooses one.
pub(super) fn css(configured: Colour) -> String {
    let (light, dark) = (LIGHT.accent(configured), DARK.accent(configured));
    let soft =
        |scheme: &Scheme, accent: Colour| accent.mixed_with(scheme.card, scheme.soft_percent);
    let mut css = String::from(":root{");
    let mut token = |name: &str, light: Colour, dark: Colour| {
        // Writing into text does not fail.
        write!(css, "--{name}:light-dark({light},{dark});").unwrap_or_default();
    };
    token("accent", light, dark);
    token("accent-ink", LIGHT.accent_ink, DARK.accent_ink);
    token("accent-soft", soft(&LIGHT, light), soft(&DARK, dark));
    token("ground", LIGHT.ground, DARK.ground);
    token("card", LIGHT.card, DARK.card);
    let both = LIGHT.series(light).into_iter().zip(DARK.series(dark));
    for (index, (light, dark)) in both.enumerate() {
        let name = match index {
            SERIES => "series-rest".to_owned(),
            index => format!("series-{}", index.saturating_add(1)),
        };
        token(&name, light, dark);
    }
    css.push_str("}\n");
    css
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accents that the settings take: a grid of all colours, and more at random.
    fn accents() -> Vec<Colour> {
        let steps = [0, 51, 102, 153, 204, 255];
        let pairs =
            steps.into_iter().flat_map(|red| steps.into_iter().map(move |green| (red, green)));
        let grid = pairs.flat_map(|(red, green)| {
            steps.into_iter().map(move |blue| Colour::new(red, green, blue))
        });
        // Numbers of a linear congruential generator: the same in each run.
        let mut seed = 20_261_201_u32;
        let mut byte = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_be_bytes()[0]
        };
        let random = std::iter::repeat_with(move || Colour::new(byte(), byte(), byte())).take(600);
        grid.chain(random).filter(|accent| accent.is_legible_on(LIGHT_GROUND)).collect()
    }

    #[test]
    fn every_accent_that_the_settings_take_is_legible_in_both_schemes() {
        let accents = accents();
        assert!(accents.len() > 100, "{}", accents.len());
        for accent in accents {
            assert_eq!(LIGHT.accent(accent), accent);
            for scheme in [&LIGHT, &DARK] {
                let shown = scheme.accent(accent);
                assert!(scheme.accent_ink.is_legible_on(shown), "{accent}: ink on {shown}");
                for ground in [scheme.ground, scheme.card] {
                    assert!(shown.is_legible_on(ground), "{accent}: {shown} on {ground}");
                }
                let soft = shown.mixed_with(scheme.card, scheme.soft_percent);
                assert!(shown.is_visible_on(soft), "{accent}: {shown} on {soft}");
            }
        }
    }

    #[test]
    fn no_two_series_of_a_chart_look_alike_whatever_the_accent() {
        for accent in accents() {
            for scheme in [&LIGHT, &DARK] {
                let series = scheme.series(scheme.accent(accent));
                assert_eq!(series.len(), SERIES + 1);
                let pairs = series
                    .iter()
                    .enumerate()
                    .flat_map(|(at, one)| series[at + 1..].iter().map(move |other| (one, other)));
                for (one, other) in pairs {
                    let difference = one.difference(*other);
                    assert!(difference > 14.0, "{accent}: {one} and {other}, {difference}");
                }
                for one in &series {
                    assert!(one.is_visible_on(scheme.card), "{accent}: {one}");
                }
            }
        }
    }

    #[test]
    fn both_schemes_are_in_one_sheet() {
        let css = css(Colour::new(0x0d, 0x5c, 0x75));
        assert!(css.starts_with(":root{--accent:light-dark(#0d5c75,#"), "{css}");
        for name in ["--accent-ink:", "--ground:", "--card:", "--series-1:", "--series-6:"] {
            assert!(css.contains(name), "{name}");
        }
        assert!(css.contains("--series-rest:"), "{css}");
    }
}
