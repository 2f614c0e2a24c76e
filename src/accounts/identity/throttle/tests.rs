//! What is counted, and what is not, by hand and at the size of attacks.

use super::*;

fn throttle() -> (Throttle, Clock) {
    let settings = crate::config::load_for(
        &crate::config::Sources::default(),
        crate::config::LoadPurpose::Command,
    );
    let clock = Clock::manual(1_000);
    let settings = Accounts {
        failed_logins_max: 3,
        failed_logins_max_from_all: 7,
        ..settings.unwrap().accounts
    };
    (Throttle::new(&settings, clock.clone()).unwrap(), clock)
}

fn guess(address: &str, client: u8) -> ThrottledAction<'_> {
    ThrottledAction::Guess(address, ClientAddress::new([192, 0, 2, client].into()))
}

#[test]
fn what_is_beyond_the_limit_waits_for_the_window_to_end() {
    let (throttle, clock) = throttle();
    let attempt = guess("a@example.org", 1);
    for _ in 0..3 {
        throttle.count(attempt).unwrap();
    }
    clock.advance(1_500);
    assert_eq!(throttle.count(attempt).err().unwrap().retry_after_secs, 899);
    throttle.count(guess("b@example.org", 1)).unwrap();
    throttle.count(ThrottledAction::MailTo("a@example.org")).unwrap();
    clock.advance(898_499);
    throttle.count(attempt).err().unwrap();
    clock.advance(1);
    throttle.count(attempt).unwrap();
}

#[test]
fn what_was_no_attempt_is_taken_back() {
    let (throttle, _) = throttle();
    let attempt = guess("a@example.org", 1);
    for _ in 0..10 {
        let counted = throttle.count(attempt).unwrap();
        throttle.take_back(counted);
    }
    let counted = [0; 3].map(|_| throttle.count(attempt).unwrap());
    throttle.count(attempt).err().unwrap();
    throttle.forget(counted[0]);
    throttle.count(attempt).unwrap();
}

#[test]
fn all_clients_share_a_larger_limit_and_a_success_takes_back_its_own_alone() {
    let (throttle, clock) = throttle();
    let [one, two, three] = [1, 2, 3].map(|client| guess("a@example.org", client));
    let counted = [one, one, one, two, two, two].map(|attempt| throttle.count(attempt).unwrap());
    throttle.count(one).err().unwrap();
    // What is full for one is not counted for all.
    throttle.count(three).unwrap();
    clock.advance(500_000);
    assert_eq!(throttle.count(three).err().unwrap().retry_after_secs, 400);
    throttle.forget(counted[3]);
    for _ in 0..2 {
        throttle.count(three).unwrap();
    }
    throttle.count(two).unwrap();
    throttle.count(two).err().unwrap();
    throttle.forget_all(three);
    throttle.count(three).unwrap();
    throttle.count(one).err().unwrap();
}

#[test]
fn what_an_earlier_window_of_all_has_counted_is_not_taken_from_the_next() {
    let (throttle, clock) = throttle();
    let [one, two] = [1, 2].map(|client| guess("a@example.org", client));
    throttle.count(two).unwrap();
    clock.advance(899_000);
    let counted = [0; 2].map(|_| throttle.count(one).unwrap());
    // The window of all is a new one now, that of the first client is not.
    clock.advance(1_000);
    for _ in 0..3 {
        throttle.count(two).unwrap();
    }
    throttle.forget(counted[0]);
    throttle.take_back(counted[1]);
    for client in 3..7 {
        throttle.count(guess("a@example.org", client)).unwrap();
    }
    throttle.count(guess("a@example.org", 7)).err().unwrap();
}

#[test]
fn what_is_taken_back_late_is_not_taken_from_the_next_window() {
    let (throttle, clock) = throttle();
    let attempt = guess("a@example.org", 1);
    let late = throttle.count(attempt).unwrap();
    clock.advance(900_000);
    for _ in 0..3 {
        throttle.count(attempt).unwrap();
    }
    throttle.take_back(late);
    throttle.count(attempt).err().unwrap();
}

fn from(client: &str) -> ClientAddress {
    ClientAddress::new(client.parse().unwrap())
}

#[test]
fn a_client_is_an_ipv4_address_or_an_ipv6_network() {
    let of = |text: &str| from(text).networks();
    assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
    assert_eq!(of("192.0.2.1").len(), 1);
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
    assert_ne!(of("2001:db8:1:2::1")[0], of("2001:db8:1:3::1")[0]);
    assert_eq!(of("2001:db8:1:2::1")[1], of("2001:db8:1:3::1")[1]);
    assert_ne!(of("2001:db8:1:2::1")[1], of("2001:db8:1:102::1")[1]);
    assert_eq!(of("2001:db8:1:2::1")[2], of("2001:db8:1:102::1")[2]);
    assert_ne!(of("2001:db8:1::1")[2], of("2001:db8:2::1")[2]);
}

#[test]
fn a_network_may_try_more_often_than_a_client_but_not_as_often_as_all_its_clients() {
    let (throttle, _) = throttle();
    let most = throttle.settings.attempts_per_client_max;
    let count = |client: &str, times: u32| {
        let attempts = (0..times).map(|_| throttle.count(ThrottledAction::Client(from(client))));
        u32::try_from(attempts.flatten().count()).unwrap()
    };
    assert_eq!(count("2001:db8:1:1::1", 2 * most), most);
    assert_eq!(count("2001:db8:1:2::1", 2 * most), most);
    assert_eq!(count("2001:db8:1:3::1", 2 * most), 0, "its 56 bits have had their share");
    // What one network has refused is not counted in the other.
    assert_eq!(count("2001:db8:1:101::1", 2 * most), most);
    assert_eq!(count("2001:db8:1:201::1", 2 * most), most);
    assert_eq!(count("2001:db8:1:301::1", 2 * most), 0, "its 48 bits have had theirs");
    assert_eq!(count("2001:db8:2:1::1", 2 * most), most);
    // The same for guesses at one account, at which nobody else is kept out.
    let guesses = |client: &str| {
        let attempt = ThrottledAction::Guess("a@example.org", from(client));
        (0..10).filter(|_| throttle.count(attempt).is_ok()).count()
    };
    assert_eq!(["2001:db8::", "2001:db8:0:1::", "2001:db8:0:2::"].map(guesses), [3, 3, 0]);
    assert_eq!(guesses("192.0.2.1"), 1, "all of them had seven");
}

#[test]
fn all_spellings_of_a_mailbox_are_counted_as_one() {
    let (throttle, _) = throttle();
    for spelling in ["a@example.org", " A@example.org", "ａ@example.org\u{200b}"] {
        throttle.count(guess(spelling, 1)).unwrap();
        throttle.count(ThrottledAction::MailTo(spelling)).unwrap();
    }
    throttle.count(guess("ⓐ@EXAMPLE。org", 1)).err().unwrap();
    for _ in 3..throttle.settings.mails_per_address_max {
        throttle.count(ThrottledAction::MailTo("a\u{ad}@example.org")).unwrap();
    }
    throttle.count(ThrottledAction::MailTo("a@example.org")).err().unwrap();
}

/// Has as many clients try something, from networks of their own, twice each.
fn flood(throttle: &Throttle, clients: u32) {
    for client in 0..clients {
        let client = ClientAddress::new(std::net::Ipv4Addr::from_bits(client).into());
        for _ in 0..2 {
            throttle.count(ThrottledAction::Client(client)).unwrap();
            throttle.count(ThrottledAction::MailFrom(AccountId(1))).ok();
        }
    }
}

#[test]
fn a_flood_does_not_wash_away_what_was_counted_before_nor_what_is_counted_then() {
    let (throttle, clock) = throttle();
    let most = throttle.settings.attempts_per_client_max;
    let tries = |client: &str, times: u32| {
        let attempts = (0..times).map(|_| throttle.count(ThrottledAction::Client(from(client))));
        u32::try_from(attempts.flatten().count()).unwrap()
    };
    assert_eq!(tries("192.0.2.1", most + 1), most);
    flood(&throttle, 70_000);
    assert!(throttle.clients.lock().unwrap().windows() <= counts::CAPACITY);
    assert_eq!(tries("192.0.2.1", 1), 0, "it was counted before");
    let late = tries("192.0.2.2", most + 60);
    assert!((most - 9..=most).contains(&late), "{late}");
    let network =
        [0, 1, 2, 3, 4, 5, 6, 7].map(|one| tries(&format!("2001:db8:1:{one}::"), 2 * most));
    assert!(network.iter().sum::<u32>() <= 2 * most, "{network:?}");
    // Somebody else has hardly noticed.
    assert!(tries("198.51.100.1", 20) >= 20);
    // What was counted without room is still counted once there is some.
    clock.advance(899_999);
    assert_eq!(tries("192.0.2.2", 1), 0);
    clock.advance(1);
    assert_eq!(tries("192.0.2.2", 1), 0, "not before a whole window without room is over");
    clock.advance(1_800_000);
    assert_eq!(tries("192.0.2.2", most + 1), most);
}

#[test]
fn guesses_and_mails_are_counted_however_many_were_counted_before() {
    let (throttle, _) = throttle();
    let mut refused = 0;
    for number in 0..70_000 {
        let address = format!("{number}@example.org");
        for _ in 0..2 {
            let guess = throttle.count(ThrottledAction::Guess(&address, from("192.0.2.1")));
            let mail = throttle.count(ThrottledAction::MailTo(&address));
            refused += u32::from(guess.is_err()) + u32::from(mail.is_err());
        }
    }
    assert!(refused < 280, "hardly any is taken for others: {refused} of 280,000");
    let attempts = (0..40).map(|_| throttle.count(guess("a@example.org", 2)));
    assert!((1..=3).contains(&attempts.flatten().count()));
    let mails = (0..40).map(|_| throttle.count(ThrottledAction::MailTo("a@example.org")));
    assert!((1..=5).contains(&mails.flatten().count()));
    // What has no room is not taken back, and takes nothing from anybody.
    let counted = throttle.count(guess("b@example.org", 3)).unwrap();
    for _ in 0..5 {
        throttle.take_back(counted);
        throttle.forget(counted);
    }
    throttle.count(guess("a@example.org", 2)).err().unwrap();
}
