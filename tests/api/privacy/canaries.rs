//! Words that must not be found again, in every form that they may take on the way.

use std::sync::Mutex;

use crate::support::client::find;

/// Where something can stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The log at its finest level.
    Log,
    /// The database, and whatever files lie around it.
    Store,
    /// The operator's metrics.
    Metrics,
    /// The folder that mail is written into.
    Mail,
    /// Usage and ledger as their owner downloads them.
    Export,
    /// All that is held on somebody, as this one downloads it.
    Archive,
    /// Answers to anybody else.
    Others,
}

/// A word that was sent, and where it may be.
struct Canary {
    what: &'static str,
    word: String,
    may: &'static [Place],
    forms: Vec<Vec<u8>>,
    seen: Mutex<Vec<Place>>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Canaries(Mutex<Vec<Canary>>);

impl Canaries {
    /// A word that may be nowhere.
    pub(super) fn plant(&self, what: &'static str, word: &str) {
        self.plant_for(what, word, &[]);
    }

    /// A word that may be in these places and in no other.
    pub(super) fn plant_for(&self, what: &'static str, word: &str, may: &'static [Place]) {
        assert!(word.len() >= 8, "{what}: {word} may be found by accident");
        let forms = forms(word.to_ascii_lowercase().as_bytes(), word.as_bytes());
        self.add(what, word, may, forms);
    }

    /// Bytes, which may be stored as they are or written out.
    pub(super) fn plant_bytes(&self, what: &'static str, bytes: &[u8], may: &'static [Place]) {
        let word = hex(bytes);
        let forms = forms(&bytes.to_ascii_lowercase(), bytes);
        self.add(what, &word, may, forms);
    }

    fn add(&self, what: &'static str, word: &str, may: &'static [Place], forms: Vec<Vec<u8>>) {
        let canary = Canary { what, word: word.to_owned(), may, forms, seen: Mutex::default() };
        self.0.lock().unwrap().push(canary);
    }

    /// What is found where it must not be, in words.
    pub(super) fn found(&self, place: Place, name: &str, bytes: &[u8]) -> Vec<String> {
        let bytes = bytes.to_ascii_lowercase();
        // Whoever asks is given tokens of his own.
        let mut faults =
            if place == Place::Others { Vec::new() } else { tokens(place, name, &bytes) };
        for canary in self.0.lock().unwrap().iter() {
            let found = canary.forms.iter().find_map(|form| find(&bytes, form));
            let Some(at) = found else { continue };
            canary.seen.lock().unwrap().push(place);
            if !canary.may.contains(&place) {
                let (what, word) = (canary.what, &canary.word);
                faults.push(format!("{what} ({word}) stands in {name}: {}", around(&bytes, at)));
            }
        }
        faults
    }

    /// Asserts that words which stay somewhere were found there: the search sees what there is.
    pub(super) fn were_found(&self, whats: &[&str]) {
        let canaries = self.0.lock().unwrap();
        for what in whats {
            let known: Vec<&Canary> =
                canaries.iter().filter(|canary| canary.what == *what).collect();
            assert!(!known.is_empty(), "{what} was not planted");
            for place in known[0].may {
                let is_seen =
                    known.iter().any(|canary| canary.seen.lock().unwrap().contains(place));
                assert!(is_seen, "{what} is kept in {place:?}, and the search has not seen it");
            }
        }
    }
}

/// As it is, in hexadecimal, as a list of numbers, and in the three ways in which base64 may have
/// it.
fn forms(lowered: &[u8], exact: &[u8]) -> Vec<Vec<u8>> {
    let numbers: Vec<String> = exact.iter().map(u8::to_string).collect();
    let mut forms =
        vec![lowered.to_vec(), hex(exact).into_bytes(), numbers.join(", ").into_bytes()];
    forms.extend((0..3).map(|shift| base64_of(exact, shift)));
    forms
}

fn hex(bytes: &[u8]) -> String {
    ethers_core::utils::hex::encode(bytes)
}

/// The letters that depend on nothing but the bytes, when so many bytes stand before them.
fn base64_of(bytes: &[u8], shift: usize) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = std::iter::repeat_n(&0, shift)
        .chain(bytes)
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let letter = |six: &[u8]| six.iter().fold(0_usize, |value, bit| value * 2 + usize::from(*bit));
    let skipped = (shift * 8).div_ceil(6);
    let whole = bits.chunks_exact(6).skip(skipped).map(|six| LETTERS[letter(six)]);
    whole.collect::<Vec<u8>>().to_ascii_lowercase()
}

/// What opens something, by its form: whatever of that form is found, planted or not, is a fault.
fn tokens(place: Place, name: &str, bytes: &[u8]) -> Vec<String> {
    let mut faults = Vec::new();
    for (prefix, length) in [("sess_", 52), ("mail_", 52), ("step_", 52), ("sluice_", 49)] {
        // Links in mail are what mail is for.
        if place == Place::Mail && prefix == "mail_" {
            continue;
        }
        for at in memchr::memmem::find_iter(bytes, prefix.as_bytes()) {
            let rest = bytes.get(at + prefix.len()..).unwrap_or_default();
            let letters = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            if letters >= length {
                faults.push(format!("a token stands in {name}: {}", around(bytes, at)));
            }
        }
    }
    faults
}

fn around(bytes: &[u8], at: usize) -> String {
    let (from, to) = (at.saturating_sub(200), (at + 100).min(bytes.len()));
    format!("…{}…", String::from_utf8_lossy(&bytes[from..to]))
}

#[test]
fn a_word_is_found_in_each_of_its_forms_and_only_then() {
    let canaries = Canaries::default();
    canaries.plant_for("a word", "canary-word-11", &[Place::Store]);
    canaries.plant_bytes("bytes", &[0x20, 0x01, 0x0d, 0xb8, 0x77, 0x4d], &[]);
    let texts = [
        "…Canary-Word-11…",
        "x63616e6172792d776f72642d3131",
        "[1, 99, 97, 110, 97, 114, 121, 45, 119, 111, 114, 100, 45, 49, 49]",
        "Y2FuYXJ5LXdvcmQtMTE=",
        "IGNhbmFyeS13b3JkLTExIA==",
        "YWJjYW5hcnktd29yZC0xMWM=",
        "\u{20}\u{1}\r…20010DB8774D",
        &format!("sess_{}", "0".repeat(52)),
    ];
    for text in texts {
        assert_eq!(canaries.found(Place::Log, "the log", text.as_bytes()).len(), 1, "{text}");
    }
    assert!(canaries.found(Place::Store, "a table", texts[0].as_bytes()).is_empty());
    assert!(canaries.found(Place::Log, "the log", b"canary-word-12 session_00 sess_0").is_empty());
    canaries.were_found(&["a word"]);
}
