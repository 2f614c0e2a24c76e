//! What enough providers agree on. One provider's word is never enough, and enough of them that say
//! nothing are not replaced by one that says something.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::join_all;

use super::blocks;
use super::facts::{TxFacts, TxStatus, fetch_transaction};
use super::provider::{Provider, ProviderError};
use super::wire::BlockRef;
use crate::domain::evm::TxHash;

/// What came of asking several providers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumResult<T> {
    /// Whether enough agree.
    pub agreement: Agreement<T>,
    /// Providers that said something else than what was agreed on. An alert, even where the others
    /// were enough.
    pub dissenting: Vec<Arc<str>>,
    /// Providers that gave no answer, and why.
    pub silent: Vec<(Arc<str>, ProviderError)>,
}

/// Whether enough providers agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agreement<T> {
    /// As many as needed say this, and not as many anything else.
    Agreed(T),
    /// Fewer answered than are needed.
    TooFew {
        /// Those who did.
        answered: usize,
        /// Those who must.
        needed: usize,
    },
    /// Enough answered, but not the same.
    Disagree {
        /// The first field in which two of them differ.
        what: &'static str,
    },
}

impl<T> Agreement<T> {
    /// The same agreement on something that follows from it.
    #[must_use]
    pub fn map<U>(self, into: impl FnOnce(T) -> U) -> Agreement<U> {
        match self {
            Self::Agreed(value) => Agreement::Agreed(into(value)),
            Self::TooFew { answered, needed } => Agreement::TooFew { answered, needed },
            Self::Disagree { what } => Agreement::Disagree { what },
        }
    }

    /// What was agreed on.
    #[must_use]
    pub fn agreed(self) -> Option<T> {
        match self {
            Self::Agreed(value) => Some(value),
            _ => None,
        }
    }
}

/// An answer with the provider that gave it.
pub type ProviderAnswer<T> = (Arc<str>, Result<T, ProviderError>);

/// Asks all providers at once.
pub async fn ask_each<'a, T, F>(
    providers: &'a [Provider],
    ask: impl Fn(&'a Provider) -> F,
) -> Vec<ProviderAnswer<T>>
where
    F: Future<Output = Result<T, ProviderError>> + 'a,
{
    let asked = providers.iter().map(|provider| {
        let answer = ask(provider);
        async move { (Arc::clone(provider.name()), answer.await) }
    });
    join_all(asked).await
}

/// Counts equal answers. `difference` names the field in which two answers differ.
#[must_use]
pub fn agree<T: PartialEq>(
    said: Vec<ProviderAnswer<T>>,
    quorum: usize,
    difference: impl Fn(&T, &T) -> &'static str,
) -> QuorumResult<T> {
    // A quorum of none would agree on nothing at all.
    let quorum = quorum.max(1);
    let mut silent = Vec::new();
    let mut camps: Vec<(T, Vec<Arc<str>>)> = Vec::new();
    for (name, answer) in said {
        match answer {
            Err(error) => silent.push((name, error)),
            Ok(value) => match camps.iter_mut().find(|(other, _)| *other == value) {
                Some((_, names)) => names.push(name),
                None => camps.push((value, vec![name])),
            },
        }
    }
    let answered = camps.iter().map(|(_, names)| names.len()).sum();
    let large = camps.iter().filter(|(_, names)| names.len() >= quorum).count();
    // Stable, so that of camps of one size the first stays first.
    camps.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let what = match camps.as_slice() {
        [(one, _), (other, _), ..] => difference(one, other),
        _ => "nothing",
    };
    let mut camps = camps.into_iter();
    let first = camps.next();
    let others: Vec<Arc<str>> = camps.flat_map(|(_, names)| names).collect();
    let (agreement, dissenting) = match first {
        Some((value, _)) if large == 1 => (Agreement::Agreed(value), others),
        // Nobody knows who is right, so all are named.
        Some((_, names)) if answered >= quorum => {
            (Agreement::Disagree { what }, names.into_iter().chain(others).collect())
        }
        _ => (Agreement::TooFew { answered, needed: quorum }, others),
    };
    QuorumResult { agreement, dissenting, silent }
}

/// Counts what providers know of a transaction. It is mined if enough say so in the same words; it
/// is unknown only if all who answer, and enough of them, do not know it; between the two it is
/// pending. A provider that lags behind is no dissenter.
#[must_use]
pub fn agree_on_sightings(
    said: Vec<ProviderAnswer<TxStatus>>,
    quorum: usize,
) -> QuorumResult<TxStatus> {
    let quorum = quorum.max(1);
    let (mut mined, mut lagging, mut knowing) = (Vec::new(), 0_usize, 0_usize);
    for (name, answer) in said {
        match answer {
            Ok(TxStatus::Unknown) => lagging = lagging.saturating_add(1),
            Ok(TxStatus::Pending) => {
                lagging = lagging.saturating_add(1);
                knowing = knowing.saturating_add(1);
            }
            Ok(TxStatus::Mined(mut facts)) => {
                // In what shape a node gives foreign logs is no difference.
                facts.unread_logs_of.clear();
                knowing = knowing.saturating_add(1);
                mined.push((name, Ok(facts)));
            }
            Err(error) => mined.push((name, Err(error))),
        }
    }
    confirm_statuses(&mut mined);
    let QuorumResult { agreement, dissenting, silent } = agree(mined, quorum, TxFacts::difference);
    let agreement = match agreement {
        Agreement::Agreed(facts) => Agreement::Agreed(TxStatus::Mined(facts)),
        Agreement::Disagree { what } => Agreement::Disagree { what },
        Agreement::TooFew { answered, needed } => {
            let answered = answered.saturating_add(lagging);
            match (answered >= quorum, knowing) {
                (true, 0) => Agreement::Agreed(TxStatus::Unknown),
                (true, _) => Agreement::Agreed(TxStatus::Pending),
                (false, _) => Agreement::TooFew { answered, needed },
            }
        }
    };
    QuorumResult { agreement, dissenting, silent }
}

/// Lets those that tell no status say what the others do, if all else is the same. Where nobody
/// tells it, logs are no word of it: a status enters a credit, and is not guessed.
fn confirm_statuses(mined: &mut [ProviderAnswer<TxFacts>]) {
    let told: Vec<TxFacts> = mined
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().ok().filter(|facts| facts.is_status_told))
        .cloned()
        .collect();
    for (_, answer) in mined {
        let Ok(facts) = answer else { continue };
        if !facts.is_status_told {
            facts.is_status_told = true;
            if !told.contains(facts) {
                *answer = Err(ProviderError::Implausible("a receipt without a status"));
            }
        }
    }
}

/// What providers agree to know of a transaction. With `wants_trace` only those are asked that have
/// traces.
pub async fn facts(
    providers: &[Provider],
    quorum: usize,
    tx_hash: TxHash,
    wants_trace: bool,
) -> QuorumResult<TxStatus> {
    let able: Vec<Provider> = providers
        .iter()
        .filter(|provider| !wants_trace || provider.has_traces())
        .cloned()
        .collect();
    let said = ask_each(&able, |provider| fetch_transaction(provider, tx_hash, wants_trace)).await;
    agree_on_sightings(said, quorum)
}

/// The block of that number on the providers' chains; `None` where enough of them do not have it.
pub async fn block_ref(
    providers: &[Provider],
    quorum: usize,
    number: u64,
) -> QuorumResult<Option<BlockRef>> {
    let ask = |provider| async move {
        let mut found = blocks::blocks(provider, vec![number], false).await?;
        Ok(found.pop().flatten().map(|block| block.at))
    };
    let said = ask_each(providers, ask).await;
    agree(said, quorum, |one, other| match (one, other) {
        (Some(one), Some(other)) if one.hash == other.hash => "block time",
        (Some(_), Some(_)) => "block hash",
        _ => "whether the block exists",
    })
}

/// The highest height that enough providers call final: as many say this height or a higher one.
#[must_use]
pub fn final_height(told: &[Option<u64>], quorum: usize) -> Option<u64> {
    let mut heights: Vec<u64> = told.iter().copied().flatten().collect();
    heights.sort_unstable_by_key(|&height| std::cmp::Reverse(height));
    heights.get(quorum.max(1).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests;
