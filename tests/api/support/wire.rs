//! A wire between a server and its PostgreSQL that a test can make silent, or cut just behind a commit.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::database::TestDatabase;

/// Forwards connections to the database until it goes.
pub(crate) struct Wire {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Connections that were made before this many are silent: their bytes are taken and go nowhere.
    silent_below: AtomicUsize,
    made: AtomicUsize,
    cuts_behind_commit: AtomicBool,
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
                let is_cut = Arc::new(AtomicBool::new(false));
                for (is_answer, (from, to)) in ends.into_iter().enumerate() {
                    let (state, is_cut) = (Arc::clone(&shared), Arc::clone(&is_cut));
                    let way = Way { number, is_answer: is_answer == 1, is_cut };
                    std::thread::spawn(move || pass(&state, &way, from, to));
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

    /// The next commit reaches the database, and its answer does not come back.
    pub(crate) fn cut_behind_commit(&self) {
        self.state.cuts_behind_commit.store(true, Ordering::SeqCst);
    }

    /// Whether that commit has come by.
    pub(crate) fn has_cut(&self) -> bool {
        !self.state.cuts_behind_commit.load(Ordering::SeqCst)
    }
}

fn server_of(url: &str) -> SocketAddr {
    let (_, rest) = url.split_once('@').unwrap();
    let (authority, _) = rest.split_once('/').unwrap();
    authority.parse().unwrap()
}

/// One direction of a connection.
struct Way {
    /// The connection's.
    number: usize,
    is_answer: bool,
    /// Whether the next answer is lost, and the connection with it; known to both directions.
    is_cut: Arc<AtomicBool>,
}

fn pass(state: &State, way: &Way, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 8_192];
    loop {
        let Ok(count) = from.read(&mut buffer) else { return };
        if count == 0 {
            drop(to.shutdown(Shutdown::Write));
            return;
        }
        let bytes = &buffer[..count];
        if way.number < state.silent_below.load(Ordering::SeqCst) {
            continue;
        }
        if way.is_answer && way.is_cut.load(Ordering::SeqCst) {
            // The database has done it before its client is gone.
            drop(to.shutdown(Shutdown::Both));
            return;
        }
        let is_commit = !way.is_answer && bytes.windows(6).any(|word| word == b"COMMIT");
        if is_commit && state.cuts_behind_commit.swap(false, Ordering::SeqCst) {
            way.is_cut.store(true, Ordering::SeqCst);
        }
        if to.write_all(bytes).is_err() {
            drop(from.shutdown(Shutdown::Both));
            return;
        }
    }
}
