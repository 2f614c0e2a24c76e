//! The ledger against a small model: any order of commands, in groups of any size, each perhaps
//! sent twice, leaves what the model has and books that balance.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{ACCOUNTS, Act, Books, SHORTFALL, command};
use crate::ledger::verify;

/// Of the first two accounts' keys, small enough to be met often; the third has none.
const BUDGETS: [i64; ACCOUNTS] = [300, 500, i64::MAX];

fn act() -> impl Strategy<Value = Act> {
    let who = (0..ACCOUNTS, 0..6_usize, 0..500_i64);
    (0..10_u8, who, 0..200_i64).prop_map(|(kind, (account, exchange, amount), more)| match kind {
        7 => Act::Lean { account, exchange, least: amount.min(more), amount, risk: more },
        9 => Act::Resume { account, exchange, least: amount.min(more), amount },
        8 => Act::Count { account, exchange, cost: more, amount },
        0 => Act::Credit { account, reference: exchange, amount },
        1 => Act::Reserve { account, exchange, amount },
        2 => Act::Extend { account, exchange, amount },
        3 => Act::Checkpoint { account, exchange, cost: amount },
        4 => Act::Post { account, exchange, cost: amount },
        5 => Act::Withdraw { account, reference: exchange, amount },
        _ => Act::Recover { account, exchange },
    })
}

/// An open reservation.
#[derive(Clone, Copy, Default)]
struct Held {
    amount: i64,
    risk: i64,
    checkpoint: i64,
}

/// The ledger in a hundred lines: balances, what is held, what was settled.
#[derive(Default)]
struct Model {
    available: BTreeMap<usize, i64>,
    held: BTreeMap<(usize, usize), Held>,
    /// Whoever has paid for an exchange.
    paid: BTreeSet<usize>,
    settled: BTreeMap<(usize, usize), (i64, bool)>,
    credits: BTreeSet<(usize, usize)>,
    withdrawals: BTreeSet<(usize, usize)>,
    spent: BTreeMap<usize, i64>,
}

impl Model {
    fn own(&self, account: usize) -> impl Iterator<Item = &Held> {
        self.held.iter().filter(move |((who, _), _)| *who == account).map(|(_, held)| held)
    }

    /// What an account's key may still hold.
    fn budget_left(&self, account: usize) -> i64 {
        let held: i64 = self.own(account).map(|held| held.amount + held.risk).sum();
        BUDGETS[account] - self.spent.get(&account).copied().unwrap_or(0) - held
    }

    /// The most that an account may hold more, with so much more at risk.
    fn spendable(&self, account: usize, risk: i64, shortfall: i64) -> i64 {
        let available = self.available.get(&account).copied().unwrap_or(0);
        let at_risk: i64 = self.own(account).map(|held| held.risk).sum();
        let shortfall = if self.paid.contains(&account) { shortfall } else { 0 };
        available.min(available - at_risk - risk + shortfall)
    }

    fn reserve(&mut self, (account, exchange): (usize, usize), least: i64, hold: [i64; 3]) {
        let [amount, risk, shortfall] = hold;
        let spendable = self.spendable(account, risk, shortfall);
        let left = self.budget_left(account);
        let id = (account, exchange);
        let is_new = !self.held.contains_key(&id) && !self.settled.contains_key(&id);
        let available = self.available.entry(account).or_default();
        let is_covered = spendable >= least && *available >= 0;
        if is_new && is_covered && left >= least + risk {
            let amount = amount.min(spendable).min(left - risk);
            *available -= amount;
            self.held.insert((account, exchange), Held { amount, risk, checkpoint: 0 });
        }
    }

    fn play(&mut self, act: Act) {
        match act {
            Act::Credit { account, reference, amount } => {
                if self.credits.insert((account, reference)) {
                    *self.available.entry(account).or_default() += amount;
                }
            }
            Act::Withdraw { account, reference, amount } => {
                let at_risk: i64 = self.own(account).map(|held| held.risk).sum();
                let available = self.available.entry(account).or_default();
                if *available - at_risk >= amount && self.withdrawals.insert((account, reference)) {
                    *available -= amount;
                }
            }
            Act::Reserve { account, exchange, amount } => {
                self.reserve((account, exchange), amount, [amount, 0, 0]);
            }
            Act::Lean { account, exchange, least, amount, risk } => {
                self.reserve((account, exchange), least, [amount, risk, SHORTFALL]);
            }
            Act::Extend { account, exchange, amount } => {
                let Some(held) = self.held.get(&(account, exchange)) else { return };
                let more = amount - held.amount;
                let spendable = self.spendable(account, 0, SHORTFALL);
                if more <= 0 || spendable < more || self.budget_left(account) < more {
                    return;
                }
                *self.available.entry(account).or_default() -= more;
                self.held.entry((account, exchange)).or_default().amount += more;
            }
            Act::Count { account, exchange, cost, amount } => {
                let Some(held) = self.held.get_mut(&(account, exchange)) else { return };
                *self.available.entry(account).or_default() -= amount - held.amount;
                *held = Held { amount, risk: 0, checkpoint: cost };
            }
            Act::Checkpoint { account, exchange, cost } => {
                if let Some(held) = self.held.get_mut(&(account, exchange)) {
                    held.checkpoint = cost;
                }
            }
            Act::Resume { account, exchange, least, amount } => {
                self.resume((account, exchange), least, amount);
            }
            Act::Post { account, exchange, cost } => self.settle(account, exchange, cost, false),
            Act::Recover { account, exchange } => {
                if let Some(held) = self.held.get(&(account, exchange)).copied() {
                    self.settle(account, exchange, held.checkpoint, true);
                }
            }
        }
    }

    /// As if it had never been settled, if that is covered.
    fn resume(&mut self, id: (usize, usize), least: i64, amount: i64) {
        let Some((charged, true)) = self.settled.get(&id).copied() else { return };
        let (account, is_open) = (id.0, self.held.contains_key(&id));
        *self.available.entry(account).or_default() += charged;
        let amount = amount
            .min(self.spendable(account, 0, SHORTFALL))
            .min((self.budget_left(account) + charged).max(0));
        if is_open || amount < least {
            *self.available.entry(account).or_default() -= charged;
            return;
        }
        *self.available.entry(account).or_default() -= amount;
        *self.spent.entry(account).or_default() -= charged;
        self.settled.remove(&id);
        self.held.insert(id, Held { amount, risk: 0, checkpoint: 0 });
    }

    fn settle(&mut self, account: usize, exchange: usize, cost: i64, is_recovery: bool) {
        let available = self.available.entry(account).or_default();
        if let Some(held) = self.held.remove(&(account, exchange)) {
            *available += held.amount - cost;
            if cost > 0 {
                self.paid.insert(account);
            }
            *self.spent.entry(account).or_default() += cost;
            self.settled.insert((account, exchange), (cost, is_recovery));
        } else if let Some((before, true)) = self.settled.get(&(account, exchange)).copied()
            && !is_recovery
        {
            *available -= cost - before;
            *self.spent.entry(account).or_default() += cost - before;
            self.settled.insert((account, exchange), (cost, false));
        }
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
            let held: i64 = model.own(account).map(|held| held.amount).sum();
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
