//! What closes an upstream, for whom, and what opens it again.

use super::*;

const LIMITS: Limits = Limits {
    rest: Duration::from_secs(32),
    failures_max: 5,
    timeouts_max: 2,
    forbidden_accounts: 3,
    forbidden_window: Duration::from_mins(1),
};

fn at(secs: i64) -> UnixMillis {
    UnixMillis::from_millis(secs * 1000)
}

fn met(account: i64, fault: Fault, secs: i64) -> Met<'static> {
    let account = AccountId(account);
    Met { account, model_id: "m", fault, retry_after_secs: None, at: at(secs) }
}

fn fails(health: &Health, account: i64, fault: Fault, secs: i64) -> (Option<Change>, bool) {
    health.note_fault(met(account, fault, secs), &LIMITS)
}

fn standing(health: &Health, account: i64, secs: i64) -> Availability {
    health.standing(AccountId(account), "m", at(secs))
}

fn admits(health: &Health, account: i64, secs: i64) -> bool {
    health.admit(AccountId(account), at(secs), Duration::from_mins(1))
}

#[test]
fn whatever_one_account_meets_keeps_nobody_else_away() {
    let faults = [
        Fault::Request,
        Fault::NotThere,
        Fault::SaidNotThere,
        Fault::Forbidden,
        Fault::Credential,
        Fault::Limited,
        Fault::Broken,
        Fault::Slow,
    ];
    for fault in faults {
        let health = Health::default();
        for secs in 0..100 {
            assert_eq!(fails(&health, 1, fault, secs).0, None, "{fault:?}");
        }
        assert!(health.is_asked_at(at(100)), "{fault:?}");
        let others = standing(&health, 2, 100);
        // A limit is the operator's with the upstream, whoever meets it: it is asked last.
        let expected =
            if fault == Fault::Limited { Availability::Last } else { Availability::Ready };
        assert_eq!(others, expected, "{fault:?}");
        assert!(admits(&health, 2, 100));
    }
}

#[test]
fn two_heads_in_a_row_that_do_not_come_make_it_the_last_that_is_asked_for_that_account() {
    let health = Health::default();
    assert_eq!(fails(&health, 1, Fault::Slow, 0), (None, false));
    assert_eq!(standing(&health, 1, 1), Availability::Ready);
    // One of our own is to tell whether it is everybody's trouble.
    assert_eq!(fails(&health, 1, Fault::Slow, 1), (None, true));
    assert_eq!(standing(&health, 1, 2), Availability::Last);
    assert_eq!(standing(&health, 1, 40), Availability::Ready);
    let rests = Some(Change::Rests(Why::Slow, LIMITS.rest / 4));
    assert_eq!(health.note_probe(Probed::Broken, at(2), &LIMITS), rests);
    assert_eq!(standing(&health, 2, 3), Availability::Rests(at(10)));
}

#[test]
fn failures_of_several_accounts_with_no_answer_between_them_rest_it_for_everybody() {
    let health = Health::default();
    for account in 1..5 {
        assert_eq!(fails(&health, account, Fault::Broken, 0).0, None);
    }
    assert_eq!(health.note_answer(AccountId(9), "m", at(0)), None);
    for account in 1..5 {
        assert_eq!(fails(&health, account, Fault::Broken, 1).0, None);
    }
    let rests = Some(Change::Rests(Why::Broken, LIMITS.rest / 4));
    assert_eq!(fails(&health, 5, Fault::Broken, 1).0, rests);
    assert_eq!(standing(&health, 9, 2), Availability::Rests(at(9)));
    assert!(!admits(&health, 9, 2));
    // Each try that fails makes the rest longer, up to the longest.
    let mut began = 9;
    for (account, span) in [(10, 16), (11, 32), (12, 32), (13, 32)] {
        assert!(admits(&health, account, began));
        let rests = Some(Change::Rests(Why::Broken, Duration::from_secs(span)));
        assert_eq!(fails(&health, account, Fault::Broken, began).0, rests);
        began += i64::try_from(span).unwrap();
    }
}

#[test]
fn where_no_connection_comes_about_one_account_is_enough_since_no_request_can_do_that() {
    let health = Health::default();
    for _ in 0..4 {
        assert_eq!(fails(&health, 1, Fault::Unreachable, 0).0, None);
    }
    assert!(fails(&health, 1, Fault::Unreachable, 0).0.is_some());
}

#[test]
fn a_share_of_failures_rests_it_where_answers_come_between_them() {
    let health = Health::default();
    for round in 0..9 {
        assert_eq!(fails(&health, round % 3, Fault::Broken, 0).0, None);
        assert_eq!(health.note_answer(AccountId(9), "m", at(0)), None);
    }
    assert_eq!(fails(&health, 1, Fault::Broken, 0).0, None);
    assert!(fails(&health, 2, Fault::Broken, 0).0.is_some());
    // Of one account, or of long ago, they count for nothing.
    let health = Health::default();
    for secs in 0..50 {
        assert_eq!(fails(&health, 1, Fault::Broken, secs).0, None);
        health.note_answer(AccountId(9), "m", at(secs));
    }
    assert_eq!(fails(&health, 2, Fault::Broken, 200).0, None);
}

#[test]
fn after_its_rest_one_request_tries_it_and_its_answer_opens_it() {
    let health = Health::default();
    health.note_probe(Probed::Refused, at(0), &LIMITS);
    assert!(!admits(&health, 1, 29));
    assert!(admits(&health, 1, 32));
    assert!(!admits(&health, 2, 32), "the others wait for what comes of it");
    assert_eq!(standing(&health, 2, 33), Availability::Rests(at(62)));
    assert_eq!(health.note_answer(AccountId(1), "m", at(33)), Some(Change::Serves));
    assert!(admits(&health, 2, 33));
    // A try of which nothing is heard does not close it for ever.
    health.note_probe(Probed::Refused, at(100), &LIMITS);
    assert!(admits(&health, 1, 132) && !admits(&health, 2, 161) && admits(&health, 2, 162));
}

#[test]
fn one_account_cannot_keep_it_closed_by_failing_each_try() {
    for fault in [Fault::Slow, Fault::Broken] {
        let health = Health::default();
        fails(&health, 1, Fault::Slow, 0);
        assert!(fails(&health, 2, Fault::Slow, 0).0.is_some());
        assert!(admits(&health, 1, 8));
        // The first failed try is believed, and the rest is longer.
        assert!(fails(&health, 1, fault, 8).0.is_some());
        assert_eq!(standing(&health, 2, 9), Availability::Rests(at(24)));
        assert!(admits(&health, 1, 24));
        assert_eq!(fails(&health, 1, fault, 25).0, None);
        assert!(!admits(&health, 1, 26) && admits(&health, 2, 26), "{fault:?}");
    }
    // Nor by a refusal that has nothing to do with our credential.
    for fault in [Fault::Credential, Fault::Forbidden, Fault::Request, Fault::NotThere] {
        let health = Health::default();
        health.note_probe(Probed::Refused, at(0), &LIMITS);
        assert!(admits(&health, 1, 32));
        assert_eq!(fails(&health, 1, fault, 32), (None, true), "we ask ourselves");
        assert_eq!(health.note_probe(Probed::Fine, at(32), &LIMITS), Some(Change::Serves));
        assert!(admits(&health, 2, 33), "{fault:?}");
    }
}

#[test]
fn e13_a_credential_counts_as_refused_once_a_request_of_our_own_was_refused() {
    let health = Health::default();
    assert_eq!(fails(&health, 1, Fault::Credential, 0), (None, true));
    assert_eq!(health.note_probe(Probed::Fine, at(0), &LIMITS), None);
    assert_eq!(health.note_probe(Probed::Unclear, at(0), &LIMITS), None);
    assert_eq!(standing(&health, 1, 0), Availability::Last);
    assert_eq!(standing(&health, 2, 0), Availability::Ready);
    let rests = Some(Change::Rests(Why::Credential, LIMITS.rest));
    assert_eq!(health.note_probe(Probed::Refused, at(0), &LIMITS), rests);
    assert_eq!(health.note_probe(Probed::Refused, at(1), &LIMITS), None, "said once");
    // What was sent before does not open it again.
    assert_eq!(health.note_answer(AccountId(3), "m", at(1)), None);
    assert_eq!(standing(&health, 2, 1), Availability::Rests(at(32)));
}

#[test]
fn we_ask_ourselves_once_a_second_at_most() {
    let health = Health::default();
    let asked = (0..100).filter(|tenth| {
        let at = UnixMillis::from_millis(tenth * 100);
        health.note_fault(Met { at, ..met(1, Fault::Credential, 0) }, &LIMITS).1
    });
    assert_eq!(asked.count(), 10);
}

#[test]
fn a_limit_lasts_as_long_as_it_says_and_else_a_second_that_doubles() {
    let health = Health::default();
    let limited = Met { retry_after_secs: Some(20), ..met(1, Fault::Limited, 0) };
    health.note_fault(limited, &LIMITS);
    assert_eq!(standing(&health, 2, 19), Availability::Last);
    assert_eq!(standing(&health, 2, 20), Availability::Ready);
    assert_eq!(health.standing(AccountId(2), "another", at(1)), Availability::Ready);
    health.note_answer(AccountId(1), "m", at(20));
    for (secs, until) in [(30, 31), (40, 42), (50, 54)] {
        fails(&health, 1, Fault::Limited, secs);
        assert_eq!(standing(&health, 2, until - 1), Availability::Last);
        assert_eq!(standing(&health, 2, until), Availability::Ready);
    }
    let for_ever = Met { retry_after_secs: Some(u64::MAX), ..met(1, Fault::Limited, 100) };
    health.note_fault(for_ever, &LIMITS);
    assert_eq!(standing(&health, 2, 100 + 3600), Availability::Ready);
}

#[test]
fn a_model_that_two_accounts_do_not_find_is_asked_for_elsewhere_first() {
    let health = Health::default();
    fails(&health, 1, Fault::NotThere, 0);
    assert_eq!(standing(&health, 3, 1), Availability::Ready);
    fails(&health, 2, Fault::NotThere, 1);
    assert_eq!(standing(&health, 3, 2), Availability::Last);
    assert_eq!(health.standing(AccountId(3), "another", at(2)), Availability::Ready);
    health.note_answer(AccountId(3), "m", at(3));
    assert_eq!(standing(&health, 3, 3), Availability::Ready);
}

#[test]
fn what_a_request_can_bring_about_by_what_it_asks_for_stays_with_its_accounts() {
    for fault in [Fault::SaidNotThere, Fault::Forbidden] {
        let health = Health::default();
        for account in 1..20 {
            fails(&health, account, fault, 0);
            assert_eq!(standing(&health, account, 1), Availability::Last);
        }
        assert_eq!(standing(&health, 30, 1), Availability::Ready, "{fault:?}");
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let health = Health::default();
    for account in 0..5000 {
        fails(&health, account, Fault::Credential, 0);
        let never = Limits { forbidden_accounts: 0, ..LIMITS };
        assert!(!health.note_forbidden(AccountId(account), at(0), &never));
    }
    health.with(|state| {
        assert_eq!(state.notes.len(), NOTES_MAX);
        assert!(state.forbidden.is_empty());
    });
}

#[test]
fn e13_accounts_that_meet_a_403_are_counted_once_each_and_only_for_a_while() {
    let health = Health::default();
    let note = |account, secs| health.note_forbidden(AccountId(account), at(secs), &LIMITS);
    assert!(!note(1, 0) && !note(1, 1) && !note(2, 2) && !note(1, 3));
    assert!(note(3, 4));
    assert!(note(3, 5), "it stays so within the window");
    // Account 2 was last seen at 2, account 1 at 3.
    assert!(!note(3, 62) && !note(4, 63) && note(5, 64));
    health.note_answer(AccountId(9), "m", at(65));
    assert!(!note(1, 65) && !note(2, 65), "an answer begins the count anew");
}
