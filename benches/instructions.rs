//! Does one part of the hot path a number of times, for `scripts/instructions`, which counts what
//! the processor does meanwhile: `instructions NAME TIMES`. Without arguments it lists the parts.

#![expect(clippy::print_stdout, reason = "a script reads it")]

#[path = "parts/main.rs"]
mod parts;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [name, times] = words.as_slice() else {
        for part in parts::PARTS {
            println!("{} {} {}", part.units, part.name, part.unit);
        }
        return ExitCode::SUCCESS;
    };
    let part = parts::PARTS.iter().find(|part| part.name == name);
    let (Some(part), Ok(times)) = (part, times.parse::<u32>()) else { return ExitCode::FAILURE };
    let mut work = (part.prepare)();
    for _ in 0..times {
        work();
    }
    ExitCode::SUCCESS
}
