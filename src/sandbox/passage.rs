//! The words of the sandbox. Each first says what is speaking, so that no answer passes for a
//! model's.

use std::rc::Rc;

use super::script::{Flag, NumberOption, Script};

const TEXT: &[&str] = &[
    "This is ",
    "the Sluice ",
    "sandbox, ",
    "not a model: ",
    "it answers ",
    "every request ",
    "with words ",
    "that were ",
    "written before ",
    "you asked, ",
    "in the shape ",
    "and at the pace ",
    "that you chose, ",
    "and counts ",
    "them as ",
    "tokens. ",
];

const THINKING: &[&str] = &[
    "This is ",
    "the Sluice ",
    "sandbox, ",
    "not a model: ",
    "it pretends ",
    "to weigh ",
    "the question. ",
];

const UTF8: &[&str] = &[
    "This is the Sluice sandbox, not a model: ",
    "Schleusenwärter öffnen große Tore, ",
    "水门慢慢打开，",
    "шлюз открыт, ",
    "🚢 🌊 ",
    "čtyři lodě čekají. ",
];

/// The pieces of one block of text, one per delta. Strings are shared among repetitions.
pub(super) fn text(script: &Script) -> Vec<Rc<str>> {
    pieces(if script.has(Flag::Utf8) { UTF8 } else { TEXT }, script)
}

/// The pieces of a block of thinking.
pub(super) fn thinking(script: &Script) -> Vec<Rc<str>> {
    pieces(if script.has(Flag::Utf8) { UTF8 } else { THINKING }, script)
}

fn pieces(words: &[&str], script: &Script) -> Vec<Rc<str>> {
    let distinct: Vec<Rc<str>> = match script.size(NumberOption::Bytes) {
        Some(bytes) => vec![sized(words, bytes)],
        None => words.iter().map(|word| Rc::from(*word)).collect(),
    };
    let count = script.size(NumberOption::Events).unwrap_or(words.len());
    distinct.into_iter().cycle().take(count).collect()
}

/// A text of exactly `bytes` bytes: whole characters, and spaces where the last does not fit.
fn sized(words: &[&str], bytes: usize) -> Rc<str> {
    let mut text = String::with_capacity(bytes);
    for character in words.iter().flat_map(|word| word.chars()).cycle() {
        if text.len().saturating_add(character.len_utf8()) > bytes {
            break;
        }
        text.push(character);
    }
    while text.len() < bytes {
        text.push(' ');
    }
    Rc::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_have_the_count_and_size_asked_for() {
        for script in ["events=40;bytes=1001", "utf8;events=40;bytes=1001", "events=3;bytes=0"] {
            let script: Script = script.parse().expect("a valid script");
            let pieces = text(&script);
            assert_eq!(Some(pieces.len()), script.size(NumberOption::Events));
            assert!(
                pieces.iter().all(|piece| Some(piece.len()) == script.size(NumberOption::Bytes))
            );
        }
    }

    #[test]
    fn answers_say_that_no_model_speaks() {
        for script in ["", "utf8", "bytes=64"] {
            let script: Script = script.parse().expect("a valid script");
            for passage in [text(&script), thinking(&script)] {
                assert!(passage.concat().contains("Sluice sandbox, not a model"));
            }
        }
    }
}
