//! A panic is told by its place: its words repeat what the code was working on.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use super::canaries::{Canaries, Place};

/// What a program that formats carelessly panics with.
const WORDS: &str = "canary-panic-3c90";

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[test]
fn p5_a_panic_is_logged_by_its_place_and_not_by_its_words() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .finish();
    let before = std::panic::take_hook();
    sluice::telemetry::log_panics();
    let caught = tracing::subscriber::with_default(subscriber, || {
        std::panic::catch_unwind(|| panic!("cannot read {WORDS} of {:?}", WORDS.as_bytes()))
    });
    std::panic::set_hook(before);
    assert!(caught.is_err());
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("panic") && log.contains("panics.rs:"), "{log}");
    let canaries = Canaries::default();
    canaries.plant("what a panic says", WORDS);
    super::search::nothing(&canaries.found(Place::Log, "the log", log.as_bytes()));
}
