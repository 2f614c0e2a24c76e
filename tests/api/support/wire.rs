//! A wire between a server and its PostgreSQL that a test can make slow or silent, or cut just
//! before an answer.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::database::TestDatabase;

/// Forwards connections to the database until it goes.
pub(crate) struct Wire {
    address: SocketAddr,
    state: Arc<State>,
}

type Kept = (TcpStream, Vec<u8>);
type Loses = Box<dyn FnMut() -> bool + Send>;

#[derive(Default)]
struct State {
    /// Connections that were made before this many are silent: their bytes are taken and go
    /// nowhere.
    silent_below: AtomicUsize,
    made: AtomicUsize,
    /// How long each piece is on its way, in microseconds.
    delay: AtomicU64,
    /// What clients have sent on silent connections since [`Wire::keep`], with the way to the
    /// server.
    kept: Mutex<Option<Vec<Kept>>>,
    /// Says of the next answer whether it is to be lost.
    loses: Mutex<Option<Loses>>,
    /// Both ends of each connection, with its number.
    open: Mutex<Vec<(usize, [TcpStream; 2])>>,
}

impl Wire {
    /// In front of a database.
    pub(crate) fn before(database: &TestDatabase) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let (shared, server) = (Arc::clone(&state), server_of(&database.url));
        // It ends with the process of the tests.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
                let number = shared.made.fetch_add(1, Ordering::SeqCst);
                let both = [client.try_clone().unwrap(), server.try_clone().unwrap()];
                shared.open.lock().unwrap().push((number, both));
                let ends = [(&client, &server), (&server, &client)]
                    .map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap()));
                for (is_answer, (from, to)) in ends.into_iter().enumerate() {
                    let state = Arc::clone(&shared);
                    std::thread::spawn(move || pass(&state, (number, is_answer == 1), from, to));
                }
            }
        });
        Self { address, state }
    }

    /// The database's URL by this way.
    pub(crate) fn url(&self, database: &TestDatabase) -> String {
        let server = server_of(&database.url).to_string();
        database.url.replace(&server, &self.address.to_string())
    }

    /// Nothing passes any more on the connections that there are; new ones work.
    pub(crate) fn silence(&self) {
        self.state.silent_below.store(self.state.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Each piece takes so long from now on, either way.
    pub(crate) fn delay(&self, delay: Duration) {
        self.state.delay.store(u64::try_from(delay.as_micros()).unwrap(), Ordering::SeqCst);
    }

    /// Nothing passes any more, on new connections neither; what clients send stays on its way.
    pub(crate) fn keep(&self) {
        *self.state.kept.lock().unwrap() = Some(Vec::new());
        self.state.silent_below.store(usize::MAX, Ordering::SeqCst);
    }

    /// What was kept arrives, on connections that stay silent otherwise.
    pub(crate) fn deliver(&self) {
        for (mut to, bytes) in self.state.kept.lock().unwrap().take().unwrap() {
            // One of a connection that was never made finds nobody.
            drop(to.write_all(&bytes));
        }
    }

    /// Ends the connections that are silent, as TCP does in the end.
    pub(crate) fn end_silent(&self) {
        let silent = self.state.silent_below.load(Ordering::SeqCst);
        for (number, ends) in &*self.state.open.lock().unwrap() {
            if *number < silent {
                for end in ends {
                    drop(end.shutdown(Shutdown::Both));
                }
            }
        }
    }

    /// The first answer of the database at which this is so does not come back, and its connection
    /// ends.
    pub(crate) fn lose_answer(&self, is_so: impl FnMut() -> bool + Send + 'static) {
        *self.state.loses.lock().unwrap() = Some(Box::new(is_so));
    }

    /// Whether that answer was lost.
    pub(crate) fn has_lost(&self) -> bool {
        self.state.loses.lock().unwrap().is_none()
    }
}

fn server_of(url: &str) -> SocketAddr {
    let (_, rest) = url.split_once('@').unwrap();
    let (authority, _) = rest.split_once('/').unwrap();
    authority.parse().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the wire has threads of its own")]
fn pass(state: &State, (number, is_answer): (usize, bool), mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 8_192];
    loop {
        let Ok(count) = from.read(&mut buffer) else { return };
        if count == 0 {
            drop(to.shutdown(Shutdown::Write));
            return;
        }
        let bytes = &buffer[..count];
        if number < state.silent_below.load(Ordering::SeqCst) {
            if let Some(kept) = state.kept.lock().unwrap().as_mut().filter(|_| !is_answer) {
                kept.push((to.try_clone().unwrap(), bytes.to_vec()));
            }
            continue;
        }
        std::thread::sleep(Duration::from_micros(state.delay.load(Ordering::SeqCst)));
        if is_answer && state.is_lost() {
            drop(to.shutdown(Shutdown::Both));
            return;
        }
        if to.write_all(bytes).is_err() {
            drop(from.shutdown(Shutdown::Both));
            return;
        }
    }
}

impl State {
    fn is_lost(&self) -> bool {
        let mut loses = self.loses.lock().unwrap();
        loses.as_mut().is_some_and(|is_so| is_so()) && loses.take().is_some()
    }
}
