//! The ledger's connection to the database, and how long it may be silent.
//!
//! PostgreSQL is asked on a thread of its own: a call that never comes back, because something
//! between the two has forgotten the connection, is left to itself, and the next group has another
//! connection. What it was about may be applied or not; asking again finds out. An `SQLite` file
//! answers or fails, so it is asked directly.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use diesel::r2d2::R2D2Connection;

use crate::db::{AnyConnection, Database, DbError};
use crate::ledger::{self, BalanceCache, LedgerError};

/// One piece of work; says whether the connection is sound behind it.
type ConnectionJob = Box<dyn FnOnce(Result<&mut OpenConnection, DbError>) -> bool + Send>;

/// A connection, and what is remembered while it lasts.
pub(super) struct OpenConnection {
    pub(super) conn: AnyConnection,
    pub(super) memory: BalanceCache,
}

impl OpenConnection {
    fn open(database: &Database) -> Result<Self, DbError> {
        let mut conn = database.connect()?;
        ledger::prepare(&mut conn)?;
        Ok(Self { conn, memory: BalanceCache::default() })
    }
}

/// How long a new connection may take beside the answer: libpq asks each host and address in turn.
const CONNECT: Duration = Duration::from_secs(10);

/// Whether whoever asked has stopped waiting, so that what is not committed must not be.
#[derive(Clone, Default)]
pub(super) struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The thread that has the connection.
struct Serving {
    jobs: mpsc::Sender<ConnectionJob>,
    thread: JoinHandle<()>,
}

/// See the module.
pub(super) struct LedgerConnection {
    database: Database,
    patience: Duration,
    end: ConnectionThread,
    /// What the thread there said of its connection last.
    is_sound: bool,
}

enum ConnectionThread {
    Here(Option<OpenConnection>),
    There(Option<Serving>),
}

impl LedgerConnection {
    /// A line to a database, of which nothing is asked yet.
    pub(super) fn new(database: &Database) -> Self {
        let is_file = database.sqlite_path().is_some();
        let end =
            if is_file { ConnectionThread::Here(None) } else { ConnectionThread::There(None) };
        Self { database: database.clone(), patience: database.patience(), end, is_sound: false }
    }

    /// Whether the last connection has outlived what was done on it.
    pub(super) const fn is_sound(&self) -> bool {
        match &self.end {
            ConnectionThread::Here(held) => held.is_some(),
            ConnectionThread::There(_) => self.is_sound,
        }
    }

    /// Does some work on the connection, a new one where the last has not outlived a failure.
    ///
    /// # Errors
    /// What `work` returns, [`DbError::Moved`], or [`DbError::Silent`]; then it may be done or not.
    pub(super) fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut OpenConnection, &GivenUp) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.database.check_place()?;
        let done = match &mut self.end {
            ConnectionThread::Here(held) => {
                let mut session = match held.take() {
                    Some(session) => session,
                    None => OpenConnection::open(&self.database)?,
                };
                let (done, is_sound) = attempt(&mut session, &GivenUp::default(), work);
                if is_sound {
                    *held = Some(session);
                }
                done
            }
            ConnectionThread::There(serving) => {
                let answer = ask(serving, &self.database, self.patience, work);
                self.is_sound = matches!(&answer, Ok((_, true)));
                match answer {
                    Ok((done, _)) => done,
                    Err(silent) => {
                        *serving = None;
                        Err(silent.into())
                    }
                }
            }
        };
        // Until here the file may have been moved from under the commit; then nobody hears of it,
        // and the same commands come again.
        self.database.check_place()?;
        done
    }
}

fn attempt<T>(
    session: &mut OpenConnection,
    given_up: &GivenUp,
    work: impl FnOnce(&mut OpenConnection, &GivenUp) -> Result<T, LedgerError>,
) -> (Result<T, LedgerError>, bool) {
    let done = work(session, given_up);
    if done.is_err() {
        session.memory.clear();
    }
    let conn = &mut session.conn;
    let is_sound = done.is_ok() || (!conn.is_broken() && conn.ping().is_ok());
    (done, is_sound)
}

fn ask<T: Send + 'static>(
    serving: &mut Option<Serving>,
    database: &Database,
    patience: Duration,
    work: impl FnOnce(&mut OpenConnection, &GivenUp) -> Result<T, LedgerError> + Send + 'static,
) -> Result<(Result<T, LedgerError>, bool), DbError> {
    let (answer, answered) = mpsc::sync_channel(1);
    let given_up = GivenUp::default();
    let theirs = given_up.clone();
    let job: ConnectionJob = Box::new(move |session| {
        let (done, is_sound) = match session {
            // The connection took so long that others have done it.
            Ok(_) if theirs.is_set() => (Err(DbError::Silent.into()), true),
            Ok(session) => attempt(session, &theirs, work),
            Err(error) => (Err(error.into()), false),
        };
        // Whoever asked may have given up.
        answer.send((done, is_sound)).is_ok() && is_sound
    });
    let (jobs, patience) = match serving {
        Some(serving) => (&serving.jobs, patience),
        None => (&serving.insert(open(database.clone())?).jobs, patience.saturating_add(CONNECT)),
    };
    jobs.send(job).map_err(|_| DbError::Task)?;
    answered.recv_timeout(patience).map_err(|error| match error {
        mpsc::RecvTimeoutError::Timeout => {
            given_up.set();
            DbError::Silent
        }
        mpsc::RecvTimeoutError::Disconnected => DbError::Task,
    })
}

/// A thread that has the connection. It ends with the sender, once what it is about has come back.
fn open(database: Database) -> Result<Serving, DbError> {
    let (jobs, queue) = mpsc::channel::<ConnectionJob>();
    let serve = move || {
        let mut held: Option<OpenConnection> = None;
        for job in queue {
            let session = match held.take() {
                Some(session) => Ok(session),
                None => OpenConnection::open(&database),
            };
            match session {
                Ok(mut session) => {
                    if job(Ok(&mut session)) {
                        held = Some(session);
                    }
                }
                Err(error) => {
                    job(Err(error));
                }
            }
        }
    };
    let thread = std::thread::Builder::new().name("ledger-line".to_owned()).spawn(serve);
    Ok(Serving { jobs, thread: thread.map_err(|_| DbError::Task)? })
}

impl Drop for LedgerConnection {
    fn drop(&mut self) {
        // The connection is closed before the process ends. One that was given up is not waited
        // for: it may never come back.
        if let ConnectionThread::There(serving) = &mut self.end
            && let Some(Serving { jobs, thread }) = serving.take()
        {
            drop(jobs);
            if thread.join().is_err() {
                tracing::error!("the thread of the ledger's connection panicked");
            }
        }
    }
}
