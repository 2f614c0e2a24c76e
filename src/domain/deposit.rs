//! What a deposit is, the states it goes through, and what it is worth. Each state and reason has a
//! sentence for the person who waits. The state of a refund is decided in `deposits::refund`.

use super::evm::{EvmAddress, RawAmount};
use super::money::{NANOUSD_PER_USD, NanoUsd};
use super::word::shown_as_word;

/// An enumeration that the database and JSON know by a word, and people by a sentence.
macro_rules! worded {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,
        $sentence:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stored word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// What it means, and what to do next.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$variant => $sentence,)+
                }
            }

            /// From the stored word.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

worded! {
    /// Where a deposit stands.
    DepositState {
        /// Found in a block; its fields are not agreed yet.
        Seen = "seen", "The transfer is in a block. Its details are being read.";
        /// Agreed and attributed; it waits for finality.
        Confirming = "confirming",
            "The transfer is confirming. Unless it is below the minimum or needs a manual review, \
             it will be credited once its block is final, at the latest. There is nothing to do.";
        /// In the books.
        Credited = "credited", "Credited to your balance.";
        /// Credited, then undone with its block.
        Reversed = "reversed",
            "The chain reversed this transfer after it was credited, so the credit was removed. \
             If the transfer is mined again, it is credited again.";
        /// Its block left the chain before it was credited.
        Orphaned = "orphaned",
            "The block of this transfer left the chain. If the transfer is mined again, it \
             continues automatically. Otherwise send it again.";
        /// A person decides.
        Held = "held",
            "The transfer arrived. It needs a manual review before it can be credited. Write to \
             support if this takes long.";
        /// Nobody has proven the payer.
        Unattributed = "unattributed",
            "The transfer arrived from a wallet that is linked to no account. If it is your own \
             wallet, link it, and the transfer is credited. If you paid from an exchange or \
             another service, its wallet cannot be linked. Write to support with the transaction \
             hash, the amount and proof that it was you: for example, the withdrawal in your \
             account there.";
        /// Final, but too small; adds up.
        BelowMinimum = "below_minimum",
            "The transfer is below the minimum. It will be credited together with later ones of \
             the same kind, once they reach the minimum.";
        /// Refused by a person.
        Rejected = "rejected",
            "The transfer was reviewed and not credited. Write to support if you think that this \
             is wrong.";
        /// Paid back instead of credited.
        Refunded = "refunded", "The transfer was refunded.";
        /// Its account is gone. Rows in this state are buried with the next start: a keyed hash is
        /// all that is left.
        Erased = "erased",
            "The account of this transfer was deleted. It can no longer be credited.";
    }
}

worded! {
    /// Why a deposit is held, rejected, or waits.
    DepositReason {
        /// The stablecoin is outside its band.
        Depegged = "depegged", "The token was not worth one dollar when the transfer was mined.";
        /// No price round that is fresh enough.
        StalePrice = "stale_price",
            "There was no fresh price of the coin when the transfer was mined.";
        /// The amount is beyond anything real.
        ImplausibleAmount = "implausible_amount", "The amount of the transfer is implausible.";
        /// Above the operator's limit for automatic credit.
        AboveReviewLimit = "above_review_limit", "Transfers of this size are reviewed manually.";
        /// The address belonged to an account that is gone.
        ErasedAccount = "erased_account", "The address belonged to an account that was deleted.";
        /// A contract wallet's proof does not hold at the deposit's block.
        ProofInvalidAtBlock = "proof_invalid_at_block",
            "The paying contract did not accept its proof when the transfer was mined.";
        /// What was seen inside a transaction cannot be traced again.
        Untraceable = "untraceable", "Nodes could no longer trace the transfer once it was final.";
        /// Providers could not be brought to agree on it, and a person has let the case go.
        Unreadable = "unreadable",
            "Nodes did not agree about the transfer, so it could not be credited automatically.";
        /// Small deposits have reached the minimum together.
        MinimumReached = "minimum_reached",
            "Together with others of the same kind, the transfer reaches the minimum.";
        /// A refund is under way.
        RefundPending = "refund_pending", "The transfer is being refunded.";
        /// An operator's decision; the audit log has the reason.
        OperatorDecision = "operator_decision", "An operator decided this.";
    }
}

worded! {
    /// Where the claim of a transaction hash stands.
    ClaimState {
        /// Not looked up yet.
        Submitted = "submitted", "The transaction is being looked up.";
        /// Deposits were found in it.
        Matched = "matched",
            "We found deposits in this transaction. Each is listed with its status.";
        /// No provider knows the transaction yet.
        NotFound = "not_found",
            "No node of this chain knows this transaction yet. We keep looking for a while. If it \
             is on another chain, submit it for that chain. If you replaced it in your wallet, \
             submit the new hash. A userOpHash or a safeTxHash is not a transaction hash: its \
             page in the block explorer shows the right one.";
        /// It cannot lead to a credit.
        Rejected = "rejected", "This transaction cannot be credited.";
    }
}

worded! {
    /// Why a claim was rejected.
    ClaimReason {
        /// The transaction failed.
        TransactionFailed = "transaction_failed",
            "The transaction failed on the chain, so nothing was transferred.";
        /// Nothing in it pays an address of ours.
        NotOurAddress = "not_our_address",
            "No transfer in this transaction pays one of our addresses in an accepted coin. \
             Compare the recipient in your wallet with the address on the deposits page.";
        /// Less than makes a deposit.
        TooSmall = "too_small",
            "The transfers of this transaction are too small to count as deposits. Send a larger \
             amount in one transaction.";
        /// A token that is not on the list.
        UnsupportedToken = "unsupported_token",
            "The transaction pays our address in a token that is not accepted, so it cannot be \
             credited automatically. Write to support with the hash.";
        /// Coins moved by a contract, and no provider can trace them.
        InternalNotSupported = "internal_not_supported",
            "No visible transfer in this transaction pays one of our addresses. Exchanges and \
             smart wallets often move coins inside a contract, which cannot be traced on this \
             chain. Compare the recipient with the address on the deposits page. If it is right, \
             write to support with the hash.";
        /// It moves money between the operator's own addresses.
        OwnTransfer = "own_transfer", "The transaction moves funds between our own addresses.";
        /// Its deposits are on another chain than the one that was chosen.
        OtherChain = "other_chain",
            "The transaction is on a different chain than the chosen one. Its deposits are listed \
             there. There is nothing to do.";
        /// Somebody else's deposit.
        OtherAccount = "other_account",
            "The deposits of this transaction belong to another account.";
        /// Its block is older than what is watched.
        TooOld = "too_old",
            "The transaction is too old to be accepted on this chain. Write to support.";
        /// Too large, or not agreed upon for as long as claims are kept open.
        Unreadable = "unreadable",
            "The transaction could not be read: it is too large, or nodes disagree about it. \
             Write to support.";
        /// Not mined for as long as claims are kept open.
        Expired = "expired",
            "The transaction was not mined in time. Submit it again once it is mined.";
    }
}

/// Where a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefundState {
    /// Its amount is held, and it is to be paid.
    Held,
    /// It was paid.
    Posted,
    /// It was called off.
    Cancelled,
}

impl RefundState {
    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Posted => "posted",
            Self::Cancelled => "cancelled",
        }
    }

    /// From the stored word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Held, Self::Posted, Self::Cancelled].into_iter().find(|one| one.as_str() == word)
    }
}

/// What was transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asset {
    /// The chain's own coin, of 18 decimals.
    Native,
    /// A token by its contract.
    Token(EvmAddress),
}

impl Asset {
    /// As a column holds it: no address for the native coin.
    #[must_use]
    pub const fn from_column(token: Option<EvmAddress>) -> Self {
        match token {
            None => Self::Native,
            Some(address) => Self::Token(address),
        }
    }

    /// As a column holds it.
    #[must_use]
    pub const fn to_column(self) -> Option<EvmAddress> {
        match self {
            Self::Native => None,
            Self::Token(address) => Some(address),
        }
    }
}

/// Decimals of every chain's native coin.
pub const NATIVE_DECIMALS: u8 = 18;

/// A price in dollars as a feed gives it: `answer / 10^decimals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedPrice {
    /// Positive.
    pub answer: u128,
    /// Usually 8.
    pub decimals: u8,
}

impl FeedPrice {
    /// One dollar.
    pub const ONE: Self = Self { answer: 1, decimals: 0 };

    /// The price in nano-dollars for one whole coin, floored; `None` where it does not fit.
    #[must_use]
    pub fn per_coin(self) -> Option<NanoUsd> {
        value_of(RawAmount::from(1), 0, self)
    }

    /// The lower of the two.
    #[must_use]
    pub fn min(self, other: Self) -> Option<Self> {
        let mine = self.answer.checked_mul(10_u128.checked_pow(other.decimals.into())?)?;
        let theirs = other.answer.checked_mul(10_u128.checked_pow(self.decimals.into())?)?;
        Some(if mine <= theirs { self } else { other })
    }
}

/// What an amount is worth: `raw × price × 10⁹ / 10^(decimals + feed decimals)` nano-dollars,
/// rounded down once. `None` where it does not fit, which no plausible amount does not.
#[must_use]
pub fn value_of(raw: RawAmount, decimals: u8, price: FeedPrice) -> Option<NanoUsd> {
    let scale = u32::from(decimals).checked_add(price.decimals.into())?;
    let product = raw.to_u128()?.checked_mul(price.answer)?;
    let nanos = match scale.checked_sub(NANOUSD_PER_USD.ilog10()) {
        // A divisor beyond 128 bits leaves nothing of a product within them.
        Some(down) => 10_u128.checked_pow(down).map_or(0, |divisor| product / divisor),
        None => product.checked_mul(10_u128.checked_pow(NANOUSD_PER_USD.ilog10() - scale)?)?,
    };
    i64::try_from(nanos).ok().map(NanoUsd::from_nanos)
}

/// What so many dollars are of a coin that counts one dollar a piece, in its smallest unit and
/// rounded up; `None` where it does not fit.
#[must_use]
pub fn raw_of_dollars(amount: NanoUsd, decimals: u8) -> Option<RawAmount> {
    let nanos = u128::try_from(amount.as_nanos()).ok()?;
    let scaled = nanos.checked_mul(10_u128.checked_pow(decimals.into())?)?;
    let nano = u128::try_from(NANOUSD_PER_USD).ok()?;
    Some(RawAmount::from(scaled.div_ceil(nano)))
}

/// What so many dollars are of a coin at a price, in its smallest unit: rounded up, and to seven
/// decimals, which people can read; `None` where it does not fit.
#[must_use]
pub fn raw_at_price(amount: NanoUsd, decimals: u8, price: NanoUsd) -> Option<RawAmount> {
    let nanos = u128::try_from(amount.as_nanos()).ok()?;
    let price = u128::try_from(price.as_nanos()).ok().filter(|&price| price > 0)?;
    let raw = nanos.checked_mul(10_u128.checked_pow(decimals.into())?)?.div_ceil(price);
    let step = 10_u128.checked_pow(u32::from(decimals).saturating_sub(7))?;
    raw.div_ceil(step).checked_mul(step).map(RawAmount::from)
}

/// The price that has made an amount worth so much: a feed's answer is known with a deposit, the
/// feed's decimals are not. `None` where none fits.
#[must_use]
pub fn price_of(raw: RawAmount, decimals: u8, answer: u128, value: NanoUsd) -> Option<NanoUsd> {
    let price = |places| FeedPrice { answer, decimals: places };
    let fits = |&places: &u8| value_of(raw, decimals, price(places)) == Some(value);
    let places = (0..=36).find(fits)?;
    price(places).per_coin()
}

shown_as_word!(DepositState, DepositReason, ClaimState, ClaimReason, RefundState);

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(text: &str) -> NanoUsd {
        text.parse().unwrap()
    }

    #[test]
    fn words_are_read_back() {
        for &state in DepositState::ALL {
            assert_eq!(DepositState::parse(state.as_str()), Some(state));
        }
        for &reason in DepositReason::ALL {
            assert_eq!(DepositReason::parse(reason.as_str()), Some(reason));
        }
        for &state in ClaimState::ALL {
            assert_eq!(ClaimState::parse(state.as_str()), Some(state));
        }
        for &reason in ClaimReason::ALL {
            assert_eq!(ClaimReason::parse(reason.as_str()), Some(reason));
        }
    }

    #[test]
    fn values_are_rounded_down_once() {
        let one = FeedPrice::ONE;
        assert_eq!(value_of(1_500_000.into(), 6, one), Some(usd("1.5")));
        assert_eq!(value_of(1.into(), 6, one), Some(usd("0.000001")));
        // 18 decimals: a billionth of a dollar is 10⁹ units, and what is below is dropped.
        assert_eq!(value_of(1_999_999_999.into(), 18, one), Some(usd("0.000000001")));
        assert_eq!(value_of(999_999_999.into(), 18, one), Some(usd("0")));
        let ether = FeedPrice { answer: 312_345_678_901, decimals: 8 };
        let two_thirds = 666_666_666_666_666_666_u128;
        assert_eq!(value_of(two_thirds.into(), 18, ether), Some(usd("2082.304526006")));
        assert_eq!(value_of(3.into(), 0, FeedPrice { answer: 5, decimals: 1 }), Some(usd("1.5")));
    }

    #[test]
    fn implausible_amounts_have_no_value_and_do_no_harm() {
        let most = RawAmount([0xff; 32]);
        let dear = FeedPrice { answer: u128::MAX, decimals: 255 };
        assert_eq!(value_of(most, 6, FeedPrice::ONE), None);
        assert_eq!(value_of(u128::MAX.into(), 18, FeedPrice { answer: 2, decimals: 8 }), None);
        assert_eq!(value_of(u128::MAX.into(), 6, FeedPrice::ONE), None);
        assert_eq!(value_of(1.into(), 255, dear), Some(NanoUsd::ZERO));
        assert_eq!(FeedPrice { answer: 1, decimals: 255 }.min(dear), None);
    }

    #[test]
    fn dollars_are_coins_and_never_too_few() {
        let coins = |text: &str, decimals| {
            raw_of_dollars(usd(text), decimals).map(|raw| raw.in_coins(decimals))
        };
        assert_eq!(coins("12.5", 6).as_deref(), Some("12.5"));
        assert_eq!(coins("1", 18).as_deref(), Some("1"));
        assert_eq!(coins("0.0000001", 6).as_deref(), Some("0.000001"));
        assert_eq!(coins("2.01", 0).as_deref(), Some("3"));
        assert_eq!((coins("-1", 6), coins("9000000000", 30)), (None, None));
        assert_eq!(coins("1", 255), None);
    }

    #[test]
    fn dollars_are_coins_at_a_price() {
        let coins = |text: &str, price: &str| {
            raw_at_price(usd(text), 18, usd(price)).map(|raw| raw.in_coins(18))
        };
        assert_eq!(coins("25", "2000").as_deref(), Some("0.0125"));
        assert_eq!(coins("10", "3123.45").as_deref(), Some("0.0032016"));
        assert_eq!((coins("1", "0"), coins("-1", "5")), (None, None));
    }

    #[test]
    fn a_price_is_found_by_what_it_made_of_an_amount() {
        let raw = RawAmount::from(1_500_000_000_000_000_000);
        let value = value_of(raw, 18, FeedPrice { answer: 312_345_678_901, decimals: 8 });
        let price = price_of(raw, 18, 312_345_678_901, value.unwrap());
        assert_eq!(price, Some(usd("3123.45678901")));
        assert_eq!(price_of(raw, 18, 5, usd("123")), None);
    }

    #[test]
    fn the_lower_price_counts() {
        let low = FeedPrice { answer: 97_000_000, decimals: 8 };
        assert_eq!(low.min(FeedPrice::ONE), Some(low));
        let high = FeedPrice { answer: 103_000_000, decimals: 8 };
        assert_eq!(high.min(FeedPrice::ONE), Some(FeedPrice::ONE));
        assert_eq!(low.per_coin(), Some(usd("0.97")));
    }
}
