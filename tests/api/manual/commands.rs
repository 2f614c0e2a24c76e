//! `docs/commands.md` has every command and option of the command line, with its help.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command};

use super::hold;

#[test]
fn the_page_of_commands_has_every_command_and_option_with_its_help() {
    let mut program = sluice::cli::command();
    program.build();
    let mut made = String::new();
    describe(&program, &mut made);
    hold("commands.md", &made);
}

/// A command and all below it.
fn describe(command: &Command, page: &mut String) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let is_program = !name.contains(' ');
    let below: Vec<_> = command.get_subcommands().filter(|one| one.get_name() != "help").collect();
    // What only holds others is a heading of theirs.
    let level = if name.split(' ').count() <= 2 { "##" } else { "###" };
    if !is_program {
        let mut usage = name.to_owned();
        for argument in command.get_positionals() {
            write!(usage, " {argument}").unwrap();
        }
        writeln!(page, "{level} `{usage}`\n").unwrap();
        let help = command.get_long_about().or_else(|| command.get_about());
        writeln!(page, "{}.\n", help.expect("every command says what it does")).unwrap();
    }
    let mut lines = String::new();
    for argument in command.get_arguments().filter(|argument| is_own(argument, is_program)) {
        writeln!(lines, "- {}", describe_argument(argument)).unwrap();
    }
    if !lines.is_empty() {
        writeln!(page, "{lines}").unwrap();
    }
    // The program's own text stands above, in more words.
    let texts = [command.get_after_long_help(), command.get_after_help()];
    for text in texts.into_iter().flatten().filter(|_| !is_program).take(1) {
        writeln!(page, "```text\n{text}\n```\n").unwrap();
    }
    for command in below {
        describe(command, page);
    }
}

/// `--help` is everywhere, and options of all commands are said once.
fn is_own(argument: &Arg, is_program: bool) -> bool {
    let is_help = matches!(
        argument.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    );
    !is_help && (is_program || !argument.is_global_set())
}

fn describe_argument(argument: &Arg) -> String {
    let help = argument.get_long_help().or_else(|| argument.get_help());
    let help = help.expect("every option says what it does").to_string();
    let values: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let usual = if values.concat().is_empty() || !argument.get_action().takes_values() {
        String::new()
    } else {
        format!(" Default: `{}`.", values.join(","))
    };
    let choices: Vec<_> = argument
        .get_possible_values()
        .iter()
        .filter(|_| argument.get_action().takes_values())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let choices =
        if choices.is_empty() { String::new() } else { format!(" One of {}.", choices.join(", ")) };
    let short = argument.get_short().map(|letter| format!("`-{letter}`, ")).unwrap_or_default();
    let must =
        if argument.is_required_set() && !argument.is_positional() { " (required)" } else { "" };
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{short}`{argument}`{must}: {}.{choices}{usual}", help.trim_end_matches('.'))
}
