//! The ledger's connection to the database, and how long it may be silent.
//!
//! PostgreSQL is asked on a thread of its own: a call that never comes back, because something between the two has forgotten
//! the connection, is left to itself, and the next group has another connection. What it was about may be applied or not;
//! asking again finds out. An `SQLite` file answers or fails, so it is asked directly.

use std::sync::mpsc;
use std::time::Duration;

use diesel::r2d2::R2D2Connection;

use crate::db::{AnyConnection, Database, DbError};
use crate::ledger::LedgerError;

/// One piece of work; says whether the connection is sound behind it.
type Job = Box<dyn FnOnce(Result<&mut AnyConnection, DbError>) -> bool + Send>;

/// See the module.
pub(super) struct Line {
    database: Database,
    patience: Duration,
    end: End,
    /// What the thread there said of its connection last.
    is_sound: bool,
}

enum End {
    Here(Option<AnyConnection>),
    There(Option<mpsc::Sender<Job>>),
}

impl Line {
    /// A line to a database, of which nothing is asked yet.
    pub(super) fn new(database: &Database) -> Self {
        let is_file = database.sqlite_path().is_some();
        let end = if is_file { End::Here(None) } else { End::There(None) };
        Self { database: database.clone(), patience: database.patience(), end, is_sound: false }
    }

    /// Whether the last connection has outlived what was done on it.
    pub(super) const fn is_sound(&self) -> bool {
        match &self.end {
            End::Here(held) => held.is_some(),
            End::There(_) => self.is_sound,
        }
    }

    /// Does some work on the connection, a new one where the last has not outlived a failure.
    ///
    /// # Errors
    /// What `work` returns, [`DbError::Moved`], or [`DbError::Silent`]; then it may be done or not.
    pub(super) fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.database.check_place()?;
        let done = match &mut self.end {
            End::Here(held) => {
                let mut conn = match held.take() {
                    Some(conn) => conn,
                    None => self.database.connect()?,
                };
                let (done, is_sound) = attempt(&mut conn, work);
                if is_sound {
                    *held = Some(conn);
                }
                done
            }
            End::There(thread) => {
                let answer = ask(thread, &self.database, self.patience, work);
                self.is_sound = matches!(&answer, Ok((_, true)));
                match answer {
                    Ok((done, _)) => done,
                    Err(silent) => {
                        *thread = None;
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
    conn: &mut AnyConnection,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, LedgerError>,
) -> (Result<T, LedgerError>, bool) {
    let done = work(conn);
    let is_sound = done.is_ok() || (!conn.is_broken() && conn.ping().is_ok());
    (done, is_sound)
}

fn ask<T: Send + 'static>(
    thread: &mut Option<mpsc::Sender<Job>>,
    database: &Database,
    patience: Duration,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, LedgerError> + Send + 'static,
) -> Result<(Result<T, LedgerError>, bool), DbError> {
    let (answer, answered) = mpsc::sync_channel(1);
    let job: Job = Box::new(move |conn| {
        let (done, is_sound) = match conn {
            Ok(conn) => attempt(conn, work),
            Err(error) => (Err(error.into()), false),
        };
        // Whoever asked may have given up.
        answer.send((done, is_sound)).is_ok() && is_sound
    });
    let jobs = match thread {
        Some(jobs) => jobs,
        None => thread.insert(open(database.clone())?),
    };
    jobs.send(job).map_err(|_| DbError::Task)?;
    answered.recv_timeout(patience).map_err(|error| match error {
        mpsc::RecvTimeoutError::Timeout => DbError::Silent,
        mpsc::RecvTimeoutError::Disconnected => DbError::Task,
    })
}

/// A thread that has the connection. It ends with the sender, once what it is about has come back.
fn open(database: Database) -> Result<mpsc::Sender<Job>, DbError> {
    let (jobs, queue) = mpsc::channel::<Job>();
    let serve = move || {
        let mut held: Option<AnyConnection> = None;
        for job in queue {
            let conn = match held.take() {
                Some(conn) => Ok(conn),
                None => database.connect(),
            };
            match conn {
                Ok(mut conn) => {
                    if job(Ok(&mut conn)) {
                        held = Some(conn);
                    }
                }
                Err(error) => {
                    job(Err(error));
                }
            }
        }
    };
    let thread = std::thread::Builder::new().name("ledger-line".to_owned()).spawn(serve);
    // Nobody waits for it: it may never come back.
    thread.map(drop).map_err(|_| DbError::Task)?;
    Ok(jobs)
}
