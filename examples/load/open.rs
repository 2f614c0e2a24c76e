//! Open loop: requests at a fixed rate, whatever the server does. A closed loop stops asking while
//! the server is slow and so hides its worst moments (coordinated omission); here a late start
//! counts as latency.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::connection::{Connection, Target};
use crate::tally::{Times, summary};

type Idle = Arc<Mutex<Vec<Connection>>>;

/// Starts `rate` requests each second, and returns counts and times when all have ended.
///
/// # Errors
/// Where one of the exchanges fails, or the rate is zero.
pub(crate) async fn run(
    target: &Target,
    rate: u32,
    seconds: u32,
    connections: usize,
) -> io::Result<Value> {
    let interval = Duration::from_secs(1)
        .checked_div(rate)
        .ok_or_else(|| io::Error::other("the rate is zero"))?;
    let idle = Idle::default();
    let slots = Arc::new(Semaphore::new(connections));
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    let mut ticks = ticks(interval)?;
    let mut due = began;
    let mut left = u64::from(rate) * u64::from(seconds);
    while left > 0 {
        let count = ticks.recv().await.ok_or_else(|| io::Error::other("the timer failed"))?;
        for _ in 0..count.min(left) {
            left -= 1;
            due += interval;
            tasks.spawn(one(target.clone(), Arc::clone(&idle), Arc::clone(&slots), due));
        }
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.push(done??);
    }
    Ok(summary(&target.tally, &times, began.elapsed()))
}

/// How many intervals have passed since the last message: one or more. The timer is the kernel's,
/// on a thread of its own: the runtime's are a millisecond late, which would hide what is measured.
fn ticks(interval: Duration) -> io::Result<mpsc::UnboundedReceiver<u64>> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    let time = Timespec::try_from(interval).map_err(io::Error::other)?;
    let spec = Itimerspec { it_interval: time, it_value: time };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &spec)?;
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let mut count = [0; size_of::<u64>()];
        while rustix::io::read(&timer, &mut count).is_ok() {
            if sender.send(u64::from_ne_bytes(count)).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// One exchange over a connection that is idle, or a new one.
async fn one(target: Target, idle: Idle, slots: Arc<Semaphore>, due: Instant) -> io::Result<Times> {
    let _slot: OwnedSemaphorePermit = slots.acquire_owned().await.map_err(io::Error::other)?;
    let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut connection = match kept {
        Some(connection) => connection,
        None => Connection::open(&target).await?,
    };
    let times = connection.exchange(due).await?;
    idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    Ok(times)
}
