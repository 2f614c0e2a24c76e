//! A colour of the screen, and whether people can read one upon another (WCAG 2.2, 1.4.3).

use std::fmt;
use std::str::FromStr;

use palette::color_difference::{Ciede2000, Wcag21RelativeContrast};
use palette::{FromColor, IntoColor, IsWithinBounds, Lab, Oklch, Srgb};

/// Red, green and blue, as screens take them (sRGB).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    red: u8,
    green: u8,
    blue: u8,
}

/// The text is no colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a colour such as \"#0d5c75\"")]
pub struct NotAColour;

impl Colour {
    /// From its parts.
    #[must_use]
    pub const fn new(red: u8, green: u8, blue: u8) -> Self {
        Self { red, green, blue }
    }

    /// The strongest colour that screens have of a lightness and a hue, up to a chroma: CSS
    /// `oklch(lightness chroma hue)`, with 0 to 1, 0 to about 0.3, and degrees.
    #[must_use]
    pub fn of_hue(lightness: f32, chroma: f32, hue: f32) -> Self {
        let weaker = CHROMA.into_iter().filter(|weaker| *weaker <= chroma);
        let shown = weaker.map(|chroma| Oklch::new(lightness, chroma, hue)).find_map(|colour| {
            let shown: Srgb<f32> =
                palette::convert::FromColorUnclamped::from_color_unclamped(colour);
            shown.is_within_bounds().then_some(shown)
        });
        shown.unwrap_or_else(|| Srgb::from_color(Oklch::new(lightness, 0.0, hue))).into()
    }

    /// The same hue at another lightness (0 to 1), as strong as it is or as screens can show it.
    #[must_use]
    pub fn at_lightness(self, lightness: f32) -> Self {
        let Oklch { chroma, hue, .. } = Oklch::from_color(self.srgb());
        Self::of_hue(lightness, chroma, hue.into_degrees())
    }

    /// Whether text of one of the two is easy enough to read upon the other: a contrast of 4.5 to 1
    /// or more.
    #[must_use]
    pub fn is_legible_on(self, other: Self) -> bool {
        self.srgb().has_min_contrast_text(other.srgb())
    }

    /// Whether a shape of one of the two is seen well enough upon the other: a contrast of 3 to 1
    /// or more (1.4.11).
    #[must_use]
    pub fn is_visible_on(self, other: Self) -> bool {
        self.srgb().has_min_contrast_graphics(other.srgb())
    }

    /// How different the two look: ΔE of CIEDE2000, of which most people see 2 side by side.
    #[must_use]
    pub fn difference(self, other: Self) -> f32 {
        let lab =
            |colour: Self| -> Lab<palette::white_point::D65, f32> { colour.srgb().into_color() };
        lab(self).difference(lab(other))
    }

    fn srgb(self) -> Srgb<f32> {
        Srgb::new(self.red, self.green, self.blue).into_format()
    }

    /// So many hundredths of this colour, and the rest of another.
    #[must_use]
    pub fn mixed_with(self, other: Self, percent: u8) -> Self {
        let own = u32::from(percent.min(100));
        let mix = |one: u8, two: u8| {
            let rest = 100_u32.saturating_sub(own);
            let sum = u32::from(one).saturating_mul(own);
            let sum = sum.saturating_add(u32::from(two).saturating_mul(rest));
            u8::try_from(sum.saturating_add(50) / 100).unwrap_or(u8::MAX)
        };
        Self {
            red: mix(self.red, other.red),
            green: mix(self.green, other.green),
            blue: mix(self.blue, other.blue),
        }
    }
}

impl From<Srgb<f32>> for Colour {
    fn from(colour: Srgb<f32>) -> Self {
        let Srgb { red, green, blue, .. } = colour.into_format::<u8>();
        Self { red, green, blue }
    }
}

/// As style sheets have it: `#0d5c75`.
impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }
}

impl FromStr for Colour {
    type Err = NotAColour;

    fn from_str(text: &str) -> Result<Self, NotAColour> {
        let digits = text.strip_prefix('#').ok_or(NotAColour)?;
        let is_plain = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_plain {
            return Err(NotAColour);
        }
        let part = |from: usize| {
            let two = digits.get(from..from.saturating_add(2)).ok_or(NotAColour)?;
            u8::from_str_radix(two, 16).map_err(|_| NotAColour)
        };
        Ok(Self { red: part(0)?, green: part(2)?, blue: part(4)? })
    }
}

/// Chromas to try, the strongest first: screens cannot show every hue at every lightness.
const CHROMA: [f32; 16] =
    [0.30, 0.28, 0.26, 0.24, 0.22, 0.20, 0.18, 0.16, 0.14, 0.12, 0.10, 0.08, 0.06, 0.04, 0.02, 0.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_read_back_and_nothing_else_is_one() {
        assert_eq!("#0D5c75".parse::<Colour>().unwrap().to_string(), "#0d5c75");
        for bad in ["", "#", "0d5c75", "#0d5c7", "#0d5c755", "#0d5c7g", "#+d5c75", "red", "#０d5c7"]
        {
            assert_eq!(bad.parse::<Colour>(), Err(NotAColour), "{bad}");
        }
    }

    #[test]
    fn contrast_is_that_of_the_standard() {
        let colour = |text: &str| text.parse::<Colour>().unwrap();
        let white = Colour::new(255, 255, 255);
        // 4.54 and 4.48, the pair that is on both sides of the line.
        assert!(colour("#767676").is_legible_on(white) && white.is_legible_on(colour("#767676")));
        assert!(!colour("#777777").is_legible_on(white));
        assert!(colour("#000000").is_legible_on(white));
        assert!(!white.is_legible_on(white));
        // 4.00: what looks readable and is not.
        assert!(!colour("#ff0000").is_legible_on(white));
    }

    #[test]
    fn a_hue_keeps_what_screens_can_show_of_it() {
        let blue = "#0d5c75".parse::<Colour>().unwrap();
        let lighter = blue.at_lightness(0.8);
        assert!(lighter.is_legible_on(Colour::new(0, 0, 0)));
        assert!(lighter.difference(blue) > 20.0 && blue.difference(blue) < 0.01);
        // White has no hue, and no yellow is as dark as this.
        assert_eq!(Colour::of_hue(1.0, 0.3, 120.0), Colour::new(255, 255, 255));
        assert!(Colour::of_hue(0.2, 0.3, 110.0).is_legible_on(Colour::new(255, 255, 255)));
    }

    #[test]
    fn mixing_goes_from_one_to_the_other() {
        let (black, white) = (Colour::new(0, 0, 0), Colour::new(255, 255, 255));
        assert_eq!(black.mixed_with(white, 100), black);
        assert_eq!(black.mixed_with(white, 0), white);
        assert_eq!(black.mixed_with(white, 50), Colour::new(128, 128, 128));
    }
}
