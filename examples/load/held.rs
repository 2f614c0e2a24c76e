//! Streams that stay open while somebody else measures: what one costs in memory, what one event
//! costs in processor time.

use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::connection::{Connection, Target};

/// Opens the streams, and prints the counts when asked to. Ends with standard input, and the
/// streams with it.
///
/// # Errors
/// Where a stream fails.
pub(crate) async fn run(target: &Target, streams: usize, stagger_us: u64) -> io::Result<()> {
    let mut readers = JoinSet::new();
    for _ in 0..streams {
        readers.spawn(read(target.clone()));
        tokio::time::sleep(Duration::from_micros(stagger_us)).await;
    }
    let wanted = u64::try_from(streams).unwrap_or(u64::MAX);
    while target.tally.begun.load(Ordering::Relaxed) < wanted {
        tokio::select! {
            Some(done) = readers.join_next() => done??,
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    }
    crate::print(&target.tally.to_json())?;
    let mut questions = questions();
    loop {
        tokio::select! {
            question = questions.recv() => match question {
                Some(()) => crate::print(&target.tally.to_json())?,
                None => return Ok(()),
            },
            Some(done) = readers.join_next() => done??,
        }
    }
}

async fn read(target: Target) -> io::Result<()> {
    Connection::open(&target).await?.exchange(Instant::now()).await?;
    Ok(())
}

/// One message for each line of standard input; closed at its end.
fn questions() -> mpsc::UnboundedReceiver<()> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for _line in io::stdin().lines().map_while(Result::ok) {
            if sender.send(()).is_err() {
                return;
            }
        }
    });
    receiver
}
