//! What a crash leaves: no copy of the memory, in which prompts and keys are.

use crate::support::app::{Builder, open_account};
use crate::support::client::{Connection, Request};
use crate::support::process::Process;
use crate::support::sandbox::body;
use crate::support::sse;
use crate::support::upstream::Upstream;

#[test]
fn p5_a_crash_in_the_middle_of_a_stream_writes_no_memory_to_the_disk() {
    let (upstream, folder) = (Upstream::start(), tempfile::tempdir().unwrap());
    let builder = Builder::new().upstream("primary", upstream.address);
    let mut process = Process::start_dumping(builder, folder.path());
    let account = open_account(&mut process.database.connect(), "5.00");
    let request = Request::post("/v1/messages", body(sse::MODEL, true, "text")).key(&account.key);
    let connection = Connection::open(process.address).send(&request);
    let mut exchange = upstream.next();
    exchange.stream_head().chunk(sse::start());
    let mut begun = connection.answer(false);
    begun.read_until("message_start");
    // Nor does a program that takes dumps, for which a limit alone is none.
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let of_core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(of_core.split_whitespace().rev().nth(1), Some("0"), "{of_core}");
    process.signal("ABRT");
    assert_eq!(process.wait(), None, "a signal ended it");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
