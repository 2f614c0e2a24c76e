//! The hash of a transaction as people paste it.

use super::{TxHash, parse_fixed};
use crate::domain::plain_text::is_hidden;

impl TxHash {
    /// Reads what a person pasted: the one hash in it, with or without `0x`, be it in an explorer's
    /// link, behind a chain's name (CAIP), or broken by characters that nobody sees.
    pub fn parse_written(text: &str) -> Result<Self, WrittenHashError> {
        let is_shown = |letter: &char| letter.is_whitespace() || !is_hidden(*letter);
        let visible: String = text.chars().filter(is_shown).collect();
        match Self::only_one_in(&visible) {
            // A narrow window breaks lines in the middle of a hash.
            Err(WrittenHashError::None) => {
                let joined: String = visible.split_whitespace().collect();
                Self::only_one_in(&joined)
            }
            found => found,
        }
    }

    fn only_one_in(text: &str) -> Result<Self, WrittenHashError> {
        // The `0` of a prefix is a run of its own, since `x` is no digit.
        let runs = || text.split(|letter: char| !letter.is_ascii_hexdigit());
        let mut hashes = runs().filter(|run| run.len() == 64).map(str::to_ascii_lowercase);
        let Some(first) = hashes.next() else {
            let has_address = runs().any(|run| run.len() == 40);
            return Err(if has_address {
                WrittenHashError::Address
            } else {
                WrittenHashError::None
            });
        };
        if hashes.any(|other| other != first) {
            return Err(WrittenHashError::Several);
        }
        parse_fixed(&format!("0x{first}")).map(Self).map_err(|_| WrittenHashError::None)
    }
}

/// Why no hash was found in what a person pasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrittenHashError {
    /// None is in it.
    #[error("must have 64 hexadecimal digits in a row, as the wallet or the explorer shows it")]
    None,
    /// An address is in it instead.
    #[error("must have 64 hexadecimal digits in a row; 40 are an address, not a transaction")]
    Address,
    /// More than one is in it.
    #[error("must be the only one: there are several in this text")]
    Several,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_found_in_what_people_paste() {
        let digits = "aB".repeat(32);
        let (one, two) = digits.split_at(20);
        let wanted: TxHash = format!("0x{}", digits.to_lowercase()).parse().unwrap();
        for text in [
            format!("0x{digits}"),
            digits.clone(),
            format!("0X{digits}"),
            format!("  0x{digits}\n"),
            format!("\u{200b}0x{one}\u{200b}{two}\u{feff}"),
            format!("https://basescan.org/tx/0x{digits}#eventlog"),
            format!("https://explorer.example/base/tx/{digits}?tab=logs"),
            format!("eip155:8453:tx:0x{digits}"),
            format!("0x{one}\n{two}"),
            format!("Tx: 0x{digits} (https://basescan.org/tx/0x{})", digits.to_lowercase()),
            format!("https://app.example/id=multisig_0x{}_0x{digits}", "11".repeat(20)),
        ] {
            assert_eq!(TxHash::parse_written(&text), Ok(wanted), "{text}");
        }
        let refused = [
            (String::new(), WrittenHashError::None),
            ("0x12".to_owned(), WrittenHashError::None),
            (format!("0x{digits}1"), WrittenHashError::None),
            (format!("0x{one}{}", "a".repeat(43)), WrittenHashError::None),
            (format!("0x{}", "é".repeat(64)), WrittenHashError::None),
            (
                format!("https://basescan.org/address/0x{}", "11".repeat(20)),
                WrittenHashError::Address,
            ),
            (format!("0x{digits} 0x{}", "12".repeat(32)), WrittenHashError::Several),
        ];
        for (text, why) in refused {
            assert_eq!(TxHash::parse_written(&text), Err(why), "{text}");
        }
    }
}
