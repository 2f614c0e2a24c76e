//! Who gets a place that comes free, and that nobody keeps one who has left.

use std::time::Duration;

use super::*;

/// So many for all and, of them, so many for each letter.
struct Letters {
    all: usize,
    each: usize,
    taken: Vec<char>,
}

impl Rules for Letters {
    type Who = char;

    fn fits(&mut self, who: &char) -> bool {
        let own = self.taken.iter().filter(|taken| *taken == who).count();
        self.taken.len() < self.all && own < self.each
    }

    fn take(&mut self, who: &char) {
        self.taken.push(*who);
    }

    fn give_back(&mut self, who: &char) {
        let at = self.taken.iter().position(|taken| taken == who).expect("was taken");
        self.taken.remove(at);
    }
}

fn places(all: usize, each: usize) -> Arc<Places<Letters>> {
    Places::new(Letters { all, each, taken: Vec::new() })
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(20)
}

fn late() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

fn taken(places: &Places<Letters>) -> String {
    places.with(|rules| rules.taken.iter().collect())
}

#[actix_web::test]
async fn a_place_goes_to_who_has_waited_longest_of_those_whom_it_fits() {
    let places = places(2, 1);
    let (a, b) = (places.take(&'a').unwrap(), places.take(&'b').unwrap());
    let order = Mutex::new(String::new());
    let wait = async |who: char| {
        let place = places.wait(&who, late()).await.unwrap();
        order.lock().unwrap().push(who);
        tokio::task::yield_now().await;
        drop(place);
    };
    let free = async {
        tokio::task::yield_now().await;
        assert_eq!(places.waiting(|_| true), 4);
        assert_eq!(places.waiting(|who| *who == 'a'), 2);
        // The first in line is of whom one is still there.
        drop(b);
        assert_eq!(taken(&places), "ac", "nobody gets between");
        assert!(places.take(&'d').is_none());
        drop(a);
    };
    tokio::join!(wait('a'), wait('a'), wait('c'), wait('d'), free);
    assert_eq!(*order.lock().unwrap(), "acad");
    assert_eq!((taken(&places).as_str(), places.waiting(|_| true)), ("", 0));
}

#[actix_web::test]
async fn who_has_waited_for_long_enough_or_leaves_keeps_nothing() {
    let places = places(1, 1);
    let place = places.take(&'a').unwrap();
    assert!(places.wait(&'b', soon()).await.is_none());
    assert_eq!(places.waiting(|_| true), 0);
    // Dropped in the line, and dropped with the place already given.
    for is_given in [false, true] {
        let place = if is_given { places.take(&'a') } else { None };
        let mut waiting = Box::pin(places.wait(&'b', late()));
        let polled = futures_util::poll!(waiting.as_mut());
        assert!(polled.is_pending());
        drop(place);
        drop(waiting);
    }
    assert_eq!(taken(&places), "a");
    drop(place);
    let place = places.take(&'a').unwrap();
    let mut waiting = Box::pin(places.wait(&'b', late()));
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    drop(place);
    assert_eq!(taken(&places), "b");
    drop(waiting);
    assert_eq!(taken(&places), "");
    assert!(places.take(&'c').is_some());
}
