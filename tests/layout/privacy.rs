//! Content does not get into a log: what logging may name, and which types may be printed.

use std::io;

use super::{report, rust_files, without_comments_and_tests};

/// Where requests, answers, forms and what they hold are at hand.
const NEAR_CONTENT: [&str; 9] = [
    "src/accounts",
    "src/api",
    "src/app",
    "src/domain",
    "src/gateway",
    "src/http",
    "src/mail",
    "src/site",
    "src/upstream",
];

/// Names that things have which are content, secret, or somebody's.
const NOT_LOGGED: [&str; 40] = [
    "address",
    "agent",
    "answer",
    "authorization",
    "body",
    "bytes",
    "chunk",
    "client",
    "code",
    "content",
    "cookie",
    "credential",
    "data",
    "document",
    "email",
    "event",
    "field",
    "fields",
    "form",
    "headers",
    "hash",
    "http",
    "json",
    "message",
    "messages",
    "params",
    "password",
    "path",
    "payload",
    "peer",
    "piece",
    "prompt",
    "query",
    "recipient",
    "request",
    "secret",
    "text",
    "token",
    "uri",
    "url",
];

/// Types of fields that hold bytes or words of somebody else's.
const HOLDS_CONTENT: [&str; 9] = [
    "Bytes",
    "BytesMut",
    "Cow<",
    "HeaderMap",
    "RawValue",
    "SecretString",
    "Value",
    "Vec<u8>",
    "&'a [u8]",
];

/// Types near content that have such a field and are printed all the same, each with its reason.
const PRINTED: [(&str, &str); 2] = [
    ("ErrorWords", "fixed words of ours, sent as JSON"),
    ("WatchedState", "a deposit's state as it is sent to its owner, never of a request"),
];

/// A call of a macro of `tracing`, by the line that it begins on.
struct Logged<'a> {
    line: usize,
    /// What stands between its parentheses.
    arguments: &'a str,
}

#[test]
fn p5_no_log_line_near_content_prints_more_than_names_and_numbers() -> io::Result<()> {
    let mut faults = Vec::new();
    let mut seen = 0;
    for (path, text) in rust_files(&NEAR_CONTENT)? {
        if path.ends_with("tests.rs") {
            continue;
        }
        let code = without_comments_and_tests(&text);
        for Logged { line, arguments } in logged(&code) {
            seen += 1;
            for fault in faults_of(arguments) {
                faults.push(format!("{}:~{line}: {fault}", path.display()));
            }
        }
        if code.contains("instrument]") || code.contains("instrument(") {
            faults.push(format!("{}: `instrument` logs arguments", path.display()));
        }
    }
    assert!(seen > 20, "the rule does not find the log lines: {seen}");
    report(&faults);
    Ok(())
}

#[test]
fn p5_no_type_near_content_that_holds_some_can_be_printed() -> io::Result<()> {
    let mut faults = Vec::new();
    let mut seen = 0;
    for (path, text) in rust_files(&NEAR_CONTENT)? {
        if path.ends_with("tests.rs") {
            continue;
        }
        for (name, derived, fields) in types(&without_comments_and_tests(&text)) {
            seen += 1;
            let is_printed = ["Debug", "Serialize"].iter().any(|way| derived.contains(way));
            let held = HOLDS_CONTENT.iter().find(|kind| fields.contains(**kind));
            let is_known = PRINTED.iter().any(|(known, _)| *known == name);
            if let (true, Some(held), false) = (is_printed, held, is_known) {
                faults.push(format!("{}: {name} holds {held} and can be printed", path.display()));
            }
        }
    }
    assert!(seen > 100, "the rule does not find the types: {seen}");
    report(&faults);
    Ok(())
}

#[test]
fn the_reader_of_log_lines_sees_what_it_must() {
    let text = r#"
        tracing::info!(count = erased, "accounts (all) were erased");
        tracing::error!(
            error = %chain(&error),
            "upstream {name} said \"no\"",
        );
        tracing::debug!(?body, "came");
        tracing::warn!("the provider {what} has {message}");
        tracing::warn!(%request.body, size = 3, "came");
        tracing::warn!(size = body.len(), "came");
        tracing::trace!(word = String::from_utf8_lossy(&piece), "came");
    "#;
    let faults: Vec<usize> =
        logged(text).iter().map(|logged| faults_of(logged.arguments).len()).collect();
    assert_eq!(faults, [0, 0, 2, 1, 1, 0, 2]);
    let text = "#[derive(Clone, Debug)]\npub struct A {\n    b: Bytes,\n}\n\
                pub(super) enum C {\n    D(String),\n}\n#[derive(Debug)]\nstruct E(Vec<u8>);\n";
    let found: Vec<(String, bool, bool)> = types(text)
        .into_iter()
        .map(|(name, derived, fields)| (name, derived.contains("Debug"), fields.contains("Bytes")))
        .collect();
    let expected = [("A", true, true), ("C", false, false), ("E", true, false)];
    assert_eq!(found, expected.map(|(name, one, two)| (name.to_owned(), one, two)));
}

/// Every call of a macro of `tracing`.
fn logged(code: &str) -> Vec<Logged<'_>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("tracing::") {
        let rest = code.get(at..).unwrap_or_default();
        let Some((head, inner)) = rest.split_once('(') else { continue };
        let name = head.trim_start_matches("tracing::");
        if !["trace!", "debug!", "info!", "warn!", "error!", "event!"].contains(&name)
            && !name.ends_with("span!")
        {
            continue;
        }
        let line = code.get(..at).unwrap_or_default().lines().count();
        found.push(Logged { line, arguments: inner.get(..end(inner)).unwrap_or(inner) });
    }
    found
}

/// Where the parenthesis closes that is open already; those in texts do not count.
fn end(text: &str) -> usize {
    let (mut depth, mut is_text, mut is_escaped) = (1_usize, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_text = !is_text,
            '(' if !is_text => depth += 1,
            ')' if !is_text => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// What must not stand in a call.
fn faults_of(arguments: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for argument in split(arguments) {
        let argument = argument.trim();
        if let Some((_, text)) = argument.split_once('"') {
            // Names in braces within the words.
            let captured = text.split('{').skip(1).filter_map(|rest| rest.split('}').next());
            let captured = captured.filter(|name| is_forbidden(name));
            faults.extend(captured.map(|name| format!("{{{name}}} is not for logs")));
            if argument.starts_with('"') {
                continue;
            }
        }
        let value = argument.split_once('=').map_or(argument, |(_, value)| value).trim();
        if value.starts_with('?') {
            faults.push(format!("{value}: `?` prints whatever is in it"));
        }
        // How long something is says nothing of it.
        if !value.ends_with(".len()") && is_forbidden(value) {
            faults.push(format!("{value} is not for logs"));
        }
        if value.contains("from_utf8") {
            faults.push(format!("{value} makes words of bytes"));
        }
    }
    faults
}

/// Whether one of the words of an expression names what is not for logs.
fn is_forbidden(expression: &str) -> bool {
    expression
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .any(|word| NOT_LOGGED.contains(&word))
}

/// At the commas that stand in no parenthesis and in no text.
fn split(arguments: &str) -> Vec<&str> {
    let (mut depth, mut is_text, mut is_escaped, mut from) = (0_usize, false, false, 0);
    let mut parts = Vec::new();
    for (at, character) in arguments.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_text = !is_text,
            '(' | '[' | '{' if !is_text => depth += 1,
            ')' | ']' | '}' if !is_text => depth = depth.saturating_sub(1),
            ',' if !is_text && depth == 0 => {
                parts.extend(arguments.get(from..at));
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(arguments.get(from..));
    parts
}

/// Structs and enums by name, with what is derived for them and what is in them.
fn types(code: &str) -> Vec<(String, String, String)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    let mut derived = String::new();
    for (at, line) in lines.iter().enumerate() {
        let line = line.trim();
        if line.starts_with("#[derive(") {
            derived.push_str(line);
        } else if let Some(name) = type_name(line) {
            let rest = lines.get(at..).unwrap_or_default();
            let is_short = line.ends_with(';') || line.ends_with('}');
            let length = if is_short {
                1
            } else {
                rest.iter().position(|line| matches!(line.trim(), "}" | ");")).unwrap_or(0) + 1
            };
            let fields = rest.iter().take(length).copied().collect::<Vec<_>>().join("\n");
            found.push((name, std::mem::take(&mut derived), fields));
        } else if !line.starts_with("#[") {
            derived.clear();
        }
    }
    found
}

fn type_name(line: &str) -> Option<String> {
    let mut words = line.split_whitespace().filter(|word| !word.starts_with("pub"));
    // What stands in parentheses behind `pub`.
    let keyword = words.find(|word| !word.contains("crate") && !word.ends_with(')'))?;
    let name = matches!(keyword, "struct" | "enum").then(|| words.next()).flatten()?;
    super::word(name)
}
