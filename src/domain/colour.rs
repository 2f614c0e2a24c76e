//! A colour of the screen, and whether people can read one upon another (WCAG 2.2, 1.4.3).

use std::fmt;
use std::str::FromStr;

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

    /// Whether text of one of the two is easy enough to read upon the other: a contrast of 4.5 to 1
    /// or more.
    #[must_use]
    pub fn is_legible_on(self, other: Self) -> bool {
        let (one, two) = (self.luminance(), other.luminance());
        let (light, dark) = (one.max(two), one.min(two));
        // 0.05 of stray light is added to each.
        light.saturating_add(5_000).saturating_mul(10)
            >= dark.saturating_add(5_000).saturating_mul(45)
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

    /// Relative luminance in hundred-thousandths.
    fn luminance(self) -> u64 {
        let part = |part: u8, weight: u64| {
            LINEAR
                .get(usize::from(part))
                .map_or(0, |linear| u64::from(*linear).saturating_mul(weight))
        };
        let sum = part(self.red, 2_126).saturating_add(part(self.green, 7_152));
        sum.saturating_add(part(self.blue, 722)) / 10_000
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

/// Light of each of the 256 steps, in hundred-thousandths of the most (IEC 61966-2-1).
#[rustfmt::skip]
const LINEAR: [u32; 256] = [
    0, 30, 61, 91, 121, 152, 182, 212, 243, 273, 304, 335, 368, 402, 439, 478, 518, 561, 605, 651,
    700, 750, 802, 857, 913, 972, 1_033, 1_096, 1_161, 1_229, 1_298, 1_370, 1_444, 1_521, 1_600,
    1_681, 1_764, 1_850, 1_938, 2_029, 2_122, 2_217, 2_315, 2_416, 2_519, 2_624, 2_732, 2_843,
    2_956, 3_071, 3_190, 3_310, 3_434, 3_560, 3_689, 3_820, 3_955, 4_092, 4_231, 4_374, 4_519,
    4_667, 4_817, 4_971, 5_127, 5_286, 5_448, 5_613, 5_781, 5_951, 6_125, 6_301, 6_480, 6_663,
    6_848, 7_036, 7_227, 7_421, 7_619, 7_819, 8_022, 8_228, 8_438, 8_650, 8_866, 9_084, 9_306,
    9_531, 9_759, 9_990, 10_224, 10_462, 10_702, 10_946, 11_193, 11_444, 11_697, 11_954, 12_214,
    12_477, 12_744, 13_014, 13_287, 13_563, 13_843, 14_126, 14_413, 14_703, 14_996, 15_293, 15_593,
    15_896, 16_203, 16_513, 16_827, 17_144, 17_465, 17_789, 18_116, 18_447, 18_782, 19_120, 19_462,
    19_807, 20_156, 20_508, 20_864, 21_223, 21_586, 21_953, 22_323, 22_697, 23_074, 23_455, 23_840,
    24_228, 24_620, 25_016, 25_415, 25_818, 26_225, 26_636, 27_050, 27_468, 27_889, 28_315, 28_744,
    29_177, 29_614, 30_054, 30_499, 30_947, 31_399, 31_855, 32_314, 32_778, 33_245, 33_716, 34_191,
    34_670, 35_153, 35_640, 36_131, 36_625, 37_124, 37_626, 38_133, 38_643, 39_157, 39_676, 40_198,
    40_724, 41_254, 41_789, 42_327, 42_869, 43_415, 43_966, 44_520, 45_079, 45_641, 46_208, 46_778,
    47_353, 47_932, 48_515, 49_102, 49_693, 50_289, 50_888, 51_492, 52_100, 52_712, 53_328, 53_948,
    54_572, 55_201, 55_834, 56_471, 57_112, 57_758, 58_408, 59_062, 59_720, 60_383, 61_050, 61_721,
    62_396, 63_076, 63_760, 64_448, 65_141, 65_837, 66_539, 67_244, 67_954, 68_669, 69_387, 70_110,
    70_838, 71_569, 72_306, 73_046, 73_791, 74_540, 75_294, 76_052, 76_815, 77_582, 78_354, 79_130,
    79_910, 80_695, 81_485, 82_279, 83_077, 83_880, 84_687, 85_499, 86_316, 87_137, 87_962, 88_792,
    89_627, 90_466, 91_310, 92_158, 93_011, 93_869, 94_731, 95_597, 96_469, 97_345, 98_225, 99_110,
    100_000,
];

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
    fn mixing_goes_from_one_to_the_other() {
        let (black, white) = (Colour::new(0, 0, 0), Colour::new(255, 255, 255));
        assert_eq!(black.mixed_with(white, 100), black);
        assert_eq!(black.mixed_with(white, 0), white);
        assert_eq!(black.mixed_with(white, 50), Colour::new(128, 128, 128));
    }
}
