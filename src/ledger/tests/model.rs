//! The ledger against a small model: any order of commands, in groups of any size, each perhaps sent twice, leaves what
//! the model has and books that balance.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{ACCOUNTS, Act, Books, command};
use crate::ledger::verify;

/// Of the first two accounts' keys, small enough to be met often; the third has none.
const BUDGETS: [i64; ACCOUNTS] = [300, 500, i64::MAX];

fn act() -> impl Strategy<Value = Act> {
    let who = (0..ACCOUNTS, 0..6_usize, 0..500_i64);
    (0..7_u8, who).prop_map(|(kind, (account, exchange, amount))| match kind {
        0 => Act::Credit { account, reference: exchange, amount },
        1 => Act::Reserve { account, exchange, amount },
        2 => Act::Extend { account, exchange, amount },
        3 => Act::Checkpoint { account, exchange, cost: amount },
        4 => Act::Post { account, exchange, cost: amount },
        5 => Act::Withdraw { account, reference: exchange, amount },
        _ => Act::Recover { account, exchange },
    })
}

/// The ledger in sixty lines: balances, what is held, what was settled.
#[derive(Default)]
struct Model {
    available: BTreeMap<usize, i64>,
    held: BTreeMap<(usize, usize), (i64, i64)>,
    settled: BTreeMap<(usize, usize), (i64, bool)>,
    credits: BTreeSet<(usize, usize)>,
    withdrawals: BTreeSet<(usize, usize)>,
    spent: BTreeMap<usize, i64>,
}

impl Model {
    /// Whether an account's key may hold so much more.
    fn is_in_budget(&self, account: usize, more: i64) -> bool {
        let own = self.held.iter().filter(|((who, _), _)| *who == account);
        let held: i64 = own.map(|(_, (held, _))| held).sum();
        let spent = self.spent.get(&account).copied().unwrap_or(0);
        more <= BUDGETS[account] - spent - held
    }

    fn play(&mut self, act: Act) {
        match act {
            Act::Credit { account, reference, amount } => {
                if self.credits.insert((account, reference)) {
                    *self.available.entry(account).or_default() += amount;
                }
            }
            Act::Withdraw { account, reference, amount } => {
                let available = self.available.entry(account).or_default();
                if *available >= amount && self.withdrawals.insert((account, reference)) {
                    *available -= amount;
                }
            }
            Act::Reserve { account, exchange, amount } => {
                let is_in_budget = self.is_in_budget(account, amount);
                let available = self.available.entry(account).or_default();
                let is_new = !self.held.contains_key(&(account, exchange));
                // A settled exchange's id is never reserved again: ids are random.
                if is_new && is_in_budget && *available >= amount.max(0) {
                    *available -= amount;
                    self.held.insert((account, exchange), (amount, 0));
                }
            }
            Act::Extend { account, exchange, amount } => {
                let Some((held, _)) = self.held.get(&(account, exchange)) else { return };
                let more = amount - *held;
                if more <= 0 || !self.is_in_budget(account, more) {
                    return;
                }
                let Some((held, _)) = self.held.get_mut(&(account, exchange)) else { return };
                let available = self.available.entry(account).or_default();
                if *available >= more {
                    *available -= more;
                    *held += more;
                }
            }
            Act::Checkpoint { account, exchange, cost } => {
                if let Some((_, checkpoint)) = self.held.get_mut(&(account, exchange)) {
                    *checkpoint = cost;
                }
            }
            Act::Post { account, exchange, cost } => self.settle(account, exchange, cost, false),
            Act::Recover { account, exchange } => {
                if let Some((_, checkpoint)) = self.held.get(&(account, exchange)).copied() {
                    self.settle(account, exchange, checkpoint, true);
                }
            }
        }
    }

    fn settle(&mut self, account: usize, exchange: usize, cost: i64, is_recovery: bool) {
        let available = self.available.entry(account).or_default();
        if let Some((held, _)) = self.held.remove(&(account, exchange)) {
            *available += held - cost;
            *self.spent.entry(account).or_default() += cost;
            self.settled.insert((account, exchange), (cost, is_recovery));
        } else if let Some((before, true)) = self.settled.get(&(account, exchange)).copied()
            && cost > before
        {
            *available -= cost - before;
            *self.spent.entry(account).or_default() += cost - before;
            self.settled.insert((account, exchange), (cost, false));
        }
    }

    /// Whether the act would reserve an id that was settled: the wire never does.
    fn is_reuse(&self, act: Act) -> bool {
        matches!(act, Act::Reserve { account, exchange, .. }
            if self.settled.contains_key(&(account, exchange)))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_order_in_any_groups_sent_twice_or_not_keeps_the_books(
        acts in proptest::collection::vec((act(), any::<bool>()), 1..60),
        group_sizes in proptest::collection::vec(1..9_usize, 1..30),
    ) {
        let mut books = Books::with_budgets([BUDGETS[0], BUDGETS[1]]);
        let mut model = Model::default();
        let mut commands = Vec::new();
        for (act, is_sent_twice) in acts {
            if model.is_reuse(act) {
                continue;
            }
            model.play(act);
            let command = command(&books, act);
            if is_sent_twice {
                commands.push(command.clone());
                model.play(act);
            }
            commands.push(command);
        }
        let mut sizes = group_sizes.iter().cycle();
        let mut rest = &commands[..];
        while !rest.is_empty() {
            let size = (*sizes.next().unwrap()).min(rest.len());
            let (group, behind) = rest.split_at(size);
            books.apply(group);
            rest = behind;
        }
        for (account, budget) in BUDGETS.into_iter().enumerate() {
            let held: i64 =
                model.held.iter().filter(|((who, _), _)| *who == account).map(|(_, (held, _))| held).sum();
            let available = model.available.get(&account).copied().unwrap_or(0);
            prop_assert_eq!(books.balance(account), (available, held));
            let spent = model.spent.get(&account).copied().unwrap_or(0);
            let (stored, in_month, told) = books.key(account);
            prop_assert_eq!((stored, in_month), (spent, spent));
            prop_assert!(told <= 1 && (told == 1 || spent < budget), "told {} times", told);
        }
        let report = verify(&mut books.conn).unwrap();
        prop_assert!(report.discrepancies.is_empty(), "{:?}", report.discrepancies);
        prop_assert_eq!(usize::try_from(report.usage_rows).unwrap(), model.settled.len());
    }
}
