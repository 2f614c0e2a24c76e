//! Whatever strangers, upstreams and providers send: parsers are given what is nearly right, by
//! changing the inputs of `tests/corpus` a little, over and over. Nothing panics, and twice as much
//! takes about twice as long. An input that is found to do harm goes into the corpus.

use std::fs;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use sluice::chain::provider::answer;
use sluice::chain::provider::error::CallError;
use sluice::chain::wire::{BlockBody, FrameBody, LogBody, ReceiptBody, TxBody};
use sluice::config::{self, LoadPurpose, Settings, Sources};
use sluice::deposits::siwe::SiweMessage;
use sluice::domain::byte_counts::TokenFigures;
use sluice::domain::clock::UnixMillis;
use sluice::domain::ids::AccountId;
use sluice::domain::messages_request;
use sluice::domain::meter::{Meter, read_json_answer};
use sluice::domain::usage::Usage;
use sluice::gateway::admission;
use sluice::holds::Holds;

/// Seconds for each parser where `SLUICE_PARSER_SECS` does not say.
const SECS: u64 = 2;
/// No input is as large as that, so that none should take as long.
const SLOW: Duration = Duration::from_secs(2);
/// Words that mean something to one parser or another.
const WORDS: [&str; 36] = [
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "-1",
    "0",
    "1e400",
    "18446744073709551616",
    "9007199254740993",
    "0.1",
    "\\u0000",
    "\\ud800",
    "\u{0}",
    "\r",
    "\n",
    "\n\n",
    "\r\n",
    "data:",
    "event: message_stop\n",
    ": \n",
    "\"usage\":{",
    "\"iterations\":[",
    "\"model\":\"\"",
    "0x",
    "0x0",
    "\"tools\":[{}]",
    "\"output_tokens\":-5",
    "\u{feff}",
    "\u{202e}é",
    "[[",
    "= \"",
];

/// What a parser is given: the bytes, and numbers to make further choices by.
type Try = fn(&Stage, &[u8], &mut Numbers);

struct Stage {
    settings: Settings,
    holds: Holds,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let settings = config::load_for(&Sources::default(), LoadPurpose::Command).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let holds = Holds::new(&settings.reservation);
        Self { settings, holds, file: folder.path().join("input"), _folder: folder }
    }
}

/// Numbers that only look random, so that a run can be repeated (`xorshift64*`).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        usize::try_from(number).unwrap() % below.max(1)
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let (one, other) = (self.next(length + 1), self.next(length + 1));
        one.min(other)..one.max(other)
    }

    /// An input of the corpus with one to eight changes.
    fn change(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus[self.next(corpus.len())].clone();
        for _ in 0..=self.next(8) {
            let (at, part) = (self.next(input.len() + 1), self.range(input.len()));
            match self.next(7) {
                0 if at < input.len() => input[at] ^= 1 << self.next(8),
                1 => drop(input.drain(part)),
                2 => input.truncate(at),
                3 => {
                    let copy = input[part].repeat(1 + self.next(3));
                    input.splice(at..at, copy);
                }
                4 => {
                    let other = &corpus[self.next(corpus.len())];
                    let copy = other[self.range(other.len())].to_vec();
                    input.splice(at..at, copy);
                }
                _ => {
                    let word = WORDS[self.next(WORDS.len())].bytes();
                    input.splice(at..at, word);
                }
            }
        }
        input.truncate(1 << 20);
        input
    }
}

const PARSERS: [(&str, Try); 6] = [
    ("request", |stage, input, _| {
        let bounds = stage.settings.requests.bounds();
        let Ok(request) = messages_request::parse(input, &bounds) else { return };
        let now = UnixMillis::from_millis(1_795_348_800_000);
        let rules = &stage.settings.reservation;
        let whose = (AccountId(1), "claude-opus-5");
        let (estimate, _) = stage.holds.estimate(whose, &request, input, rules, now);
        assert!(estimate.most >= estimate.cached.min(estimate.most));
        drop(admission::quote(&request, &stage.settings, now));
    }),
    ("stream", |_, input, numbers| {
        let mut meter = Meter::new(4_096);
        let mut rest = input;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(1 + numbers.next(rest.len().min(500)));
            meter.feed(piece);
            rest = behind;
            let released = meter.releasable();
            meter.note_forwarded(released);
        }
        meter.end();
        look_at(&meter.reported());
        look_at(&meter.delivered(&TokenFigures::SAFE).0);
        assert!(meter.anomalies().len() < 1_000);
    }),
    ("answer", |_, input, _| {
        if let Some(answer) = read_json_answer(input) {
            look_at(&answer.usage);
        }
    }),
    ("prices", |stage, input, _| {
        fs::write(&stage.file, input).unwrap();
        if let Ok(prices) = config::prices_of(&stage.file) {
            assert!(prices.list.models().count() < 10_000);
        }
    }),
    ("message", |_, input, _| {
        let text = String::from_utf8_lossy(input);
        if let Ok(message) = SiweMessage::parse(&text) {
            assert!(SiweMessage::parse(&message.to_string()).is_ok_and(|again| again == message));
        }
    }),
    ("rpc", |_, input, numbers| {
        drop(answer::parse(input, 7, 1 + numbers.next(2)));
        let text = String::from_utf8_lossy(input);
        let code = -32_000 - i64::try_from(numbers.next(99)).unwrap();
        let sorted = CallError::sort(code, &text, Some(&text));
        assert!(!format!("{sorted:?}").is_empty());
        let result = serde_json::from_slice::<serde_json::Value>(input).ok();
        let Some(result) = result.map(|value| value["result"].to_string()) else { return };
        drop(serde_json::from_str::<ReceiptBody>(&result));
        drop(serde_json::from_str::<BlockBody>(&result).map(|body| body.block_ref()));
        drop(serde_json::from_str::<Vec<LogBody>>(&result));
        drop(serde_json::from_str::<TxBody>(&result));
        drop(serde_json::from_str::<FrameBody>(&result));
    }),
];

/// What billing does with a usage, whatever it says.
fn look_at(usage: &Usage) {
    let passes = usage.passes();
    let output = passes.iter().fold(0_u64, |sum, pass| sum.saturating_add(pass.tokens.output));
    assert!(output >= passes.first().map_or(0, |pass| pass.tokens.output));
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{name} has no corpus");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[expect(clippy::disallowed_methods, reason = "how long to look is the caller's to say")]
fn seconds() -> u64 {
    std::env::var("SLUICE_PARSER_SECS").map_or(SECS, |text| text.parse().unwrap())
}

/// Gives a parser changed inputs for a while. How many it were.
fn look_for_harm((name, parse): (&str, Try), seed: u64, time: Duration) -> usize {
    let (stage, corpus) = (Stage::new(), corpus(name));
    let mut numbers = Numbers(seed);
    for input in &corpus {
        parse(&stage, input, &mut numbers);
    }
    let (begin, mut tried) = (Instant::now(), 0);
    while begin.elapsed() < time {
        let input = numbers.change(&corpus);
        let at = busy();
        let went = catch_unwind(AssertUnwindSafe(|| parse(&stage, &input, &mut numbers)));
        let took = busy().saturating_sub(at);
        if went.is_err() || took > SLOW {
            let mut kept = tempfile::NamedTempFile::new().unwrap();
            kept.write_all(&input).unwrap();
            let (_, path) = kept.keep().unwrap();
            panic!("{name}, seed {seed}: {} panics, or takes {:?}", path.display(), took);
        }
        tried += 1;
    }
    tried
}

#[test]
fn no_change_of_an_input_makes_a_parser_panic() {
    for parser in PARSERS {
        let tried = look_for_harm(parser, 0x5EED, Duration::from_secs(1));
        assert!(tried >= 20, "{}: only {tried} inputs", parser.0);
    }
}

#[test]
#[ignore = "time-boxed: scripts/soak parsers"]
fn no_change_of_an_input_does_harm_for_as_long_as_one_looks() {
    let seed = u64::from(std::process::id()) << 20 | 1;
    for parser in PARSERS {
        let tried = look_for_harm(parser, seed, Duration::from_secs(seconds()));
        println!("{}: {tried} inputs, seed {seed}", parser.0);
    }
    for (parser, what, grow) in GROWTHS {
        let parse = PARSERS.iter().find(|(name, _)| *name == parser).unwrap().1;
        println!("{parser}, {what}: {} times as long for 4 times as much", growth(parse, grow));
    }
}

/// See [`GROWTHS`].
type Growth = (&'static str, &'static str, fn(usize) -> String);

/// Inputs that grow: the parser, what there is more of, and so many of them.
const GROWTHS: [Growth; 12] = [
    ("request", "messages", |count| {
        request(&format!("\"messages\":[{}]", list(r#"{"role":"user","content":"a"}"#, count)))
    }),
    ("request", "text", |count| {
        request(&format!(
            "\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}}]",
            "\\n a".repeat(count)
        ))
    }),
    ("request", "tools", |count| {
        request(&format!("\"tools\":[{}]", list("{\"type\":\"x\"}", count)))
    }),
    ("request", "fields", |count| {
        request(&(0..count).map(|n| format!("\"f{n}\":1")).collect::<Vec<_>>().join(","))
    }),
    ("request", "nesting", |count| {
        request(&format!("\"a\":{}{}", "[".repeat(count), "]".repeat(count)))
    }),
    ("stream", "events", |count| "data: {\"type\":\"ping\"}\n\n".repeat(count)),
    ("stream", "lines of an event", |count| format!("{}\n\n", "data: x\n".repeat(count))),
    ("stream", "ends of lines", |count| "\r".repeat(count * 8)),
    ("answer", "iterations", |count| {
        format!(
            r#"{{"type":"message","usage":{{"iterations":[{}]}}}}"#,
            list(r#"{"type":"message","input_tokens":1}"#, count)
        )
    }),
    ("message", "resources", |count| {
        format!("a wants\n{}", "\n- https://example.org/".repeat(count))
    }),
    ("rpc", "logs", |count| {
        format!(r#"{{"id":7,"result":[{}]}}"#, list(r#"{"topics":["0x00"],"data":"0x"}"#, count))
    }),
    ("rpc", "answers", |count| format!("[{}]", list(r#"{"id":8,"result":"0x1"}"#, count))),
];

fn list(entry: &str, count: usize) -> String {
    vec![entry; count].join(",")
}

fn request(fields: &str) -> String {
    format!("{{\"model\":\"claude-opus-5\",\"max_tokens\":5,{fields}}}")
}

/// What this thread has worked so far, however busy the machine is.
fn busy() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// How many times as long four times as much takes, by the best of five of each.
fn growth(parse: Try, grow: fn(usize) -> String) -> u128 {
    let stage = Stage::new();
    let time = |count: usize| {
        let input = grow(count).into_bytes();
        let once = |_| {
            let begin = busy();
            parse(&stage, &input, &mut Numbers(1));
            busy().saturating_sub(begin)
        };
        (0..5).map(once).min().unwrap()
    };
    let (less, more) = (time(5_000), time(20_000));
    // What is refused early takes no time at all.
    let times = more.as_micros() / less.as_micros().max(200);
    assert!(times < 10, "{less:?}, then {more:?}: more than linear");
    times
}
