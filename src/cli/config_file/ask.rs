//! The questions of `sluice config init`. An answer is put into the draft and the draft is checked
//! like a file: a mistake at the question's own keys is said, and the question asked again.

use std::io::{self, BufRead};

use super::place::Place;
use crate::cli::{CliError, Output};
use crate::config::{Draft, chain_names};

/// Answers to one question before its asker gives up.
const TRIES: u32 = 5;

/// A question about one option.
pub(super) struct Question {
    /// The option that answers it too.
    pub(super) option: &'static str,
    /// The keys that it fills, as problems name them. Digits of positions are left out.
    keys: &'static [&'static str],
    text: &'static str,
    /// Whether there is anything to ask.
    is_open: fn(&Draft) -> bool,
    /// What an answer that is not empty does.
    answer: fn(&mut Draft, &str),
    /// What becomes of the draft to ask once more.
    forget: fn(&mut Draft),
}

impl Question {
    /// Whether a problem with a key is one of the answer.
    pub(super) fn is_about(&self, key: &str) -> bool {
        let plain: String = key.chars().filter(|c| !"[]0123456789".contains(*c)).collect();
        self.keys.contains(&plain.as_str())
    }
}

/// Asks everything that no option has said.
pub(super) fn all(
    draft: &mut Draft,
    place: &Place<'_>,
    input: &mut dyn BufRead,
    output: &mut Output,
) -> Result<(), CliError> {
    output.progress("An empty answer leaves a setting as it is. Ctrl-C ends without a file.")?;
    for question in &QUESTIONS {
        if (question.is_open)(draft) {
            ask(question, draft, place, input, output)?;
        }
    }
    Ok(())
}

fn ask(
    question: &Question,
    draft: &mut Draft,
    place: &Place<'_>,
    input: &mut dyn BufRead,
    output: &mut Output,
) -> Result<(), CliError> {
    for _ in 0..TRIES {
        let choices = match question.option {
            "chain" => format!(" ({})", chain_names().join(", ")),
            _ => String::new(),
        };
        output.ask(&format!("{}{choices}: ", question.text))?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Err(CliError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        let answer = line.trim();
        if !answer.is_empty() {
            (question.answer)(draft, answer);
        }
        let mistakes = place.check(draft).err().unwrap_or_default();
        // A mistake without a key can only come of the last answer: the others were checked.
        let own = mistakes.iter().find(|(key, _)| key.is_empty() || question.is_about(key));
        let Some((_, reason)) = own else { return Ok(()) };
        output.progress(&format!("  {reason}"))?;
        (question.forget)(draft);
    }
    Err(CliError::Refused(format!(
        "no usable answer for --{}: nothing was written",
        question.option
    )))
}

/// What is separated by blanks or commas.
fn words(answer: &str) -> impl Iterator<Item = String> {
    let words = answer.split([' ', ',']).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect::<Vec<_>>().into_iter()
}

fn has_smtp(draft: &Draft) -> bool {
    draft.mail_server.is_some()
}

/// In the order in which they are asked. Each begins where those before it have ended.
pub(super) const QUESTIONS: [Question; 16] = [
    Question {
        option: "domain",
        keys: &["site.base_url"],
        text: "Domain of the service, such as llm.example.org; empty to try it on this host",
        is_open: |draft| draft.domain.is_none(),
        answer: |draft, answer| draft.domain = Some(answer.to_owned()),
        forget: |draft| draft.domain = None,
    },
    Question {
        option: "support-email",
        keys: &["site.support_email"],
        text: "Address that users write to with questions",
        is_open: |draft| draft.support_email.is_none() && draft.is_public(),
        answer: |draft, answer| draft.support_email = Some(answer.to_owned()),
        forget: |draft| draft.support_email = None,
    },
    Question {
        option: "operator",
        keys: &["site.operator"],
        text: "Who runs the service, for the privacy policy and the terms",
        is_open: |draft| draft.operator.is_none() && draft.is_public(),
        answer: |draft, answer| draft.operator = Some(answer.to_owned()),
        forget: |draft| draft.operator = None,
    },
    Question {
        option: "jurisdiction",
        keys: &["site.jurisdiction"],
        text: "Whose law the terms are under, such as the law of Exampleland",
        is_open: |draft| draft.jurisdiction.is_none() && draft.is_public(),
        answer: |draft, answer| draft.jurisdiction = Some(answer.to_owned()),
        forget: |draft| draft.jurisdiction = None,
    },
    Question {
        option: "tls-certificate",
        keys: &["server.tls_certificate_file", "server.listen"],
        text: "File of the TLS certificate (PEM), or \"proxy\" if a proxy on this host speaks TLS",
        is_open: |draft| {
            draft.is_public() && draft.tls_certificate.is_none() && !draft.behind_proxy
        },
        answer: |draft, answer| match answer {
            "proxy" => draft.behind_proxy = true,
            file => draft.tls_certificate = Some(file.into()),
        },
        forget: |draft| draft.tls_certificate = None,
    },
    Question {
        option: "tls-key",
        keys: &["server.tls_key_file"],
        text: "File of its private key (PEM)",
        is_open: |draft| draft.tls_certificate.is_some() && draft.tls_key.is_none(),
        answer: |draft, answer| draft.tls_key = Some(answer.into()),
        forget: |draft| draft.tls_key = None,
    },
    Question {
        option: "mail-server",
        keys: &["mail.host", "mail.port", "mail.tls"],
        text: "Mail server, as HOST or HOST:PORT; empty to write emails into a folder",
        is_open: |draft| draft.mail_server.is_none(),
        answer: |draft, answer| draft.mail_server = Some(answer.to_owned()),
        forget: |draft| draft.mail_server = None,
    },
    Question {
        option: "mail-from",
        keys: &["mail.from"],
        text: "Sender of emails, such as Example <mail@example.org>",
        is_open: |draft| has_smtp(draft) && draft.mail_from.is_none(),
        answer: |draft, answer| draft.mail_from = Some(answer.to_owned()),
        forget: |draft| draft.mail_from = None,
    },
    Question {
        option: "mail-user",
        keys: &["mail.user"],
        text: "User name at the mail server; empty if it asks for none",
        is_open: |draft| has_smtp(draft) && draft.mail_user.is_none(),
        answer: |draft, answer| draft.mail_user = Some(answer.to_owned()),
        forget: |draft| draft.mail_user = None,
    },
    Question {
        option: "mail-password-file",
        keys: &["mail.password", "mail.password_file", "mail.password_env"],
        text: "File with the password, or env:NAME for an environment variable",
        is_open: |draft| {
            let is_given = draft.mail_password_file.is_some() || draft.mail_password_env.is_some();
            draft.mail_user.is_some() && !is_given
        },
        answer: |draft, answer| match answer.strip_prefix("env:") {
            Some(name) => draft.mail_password_env = Some(name.to_owned()),
            None => draft.mail_password_file = Some(answer.into()),
        },
        forget: |draft| (draft.mail_password_env, draft.mail_password_file) = (None, None),
    },
    Question {
        option: "upstream",
        keys: &["upstreams", "upstreams.base_url"],
        text: "Upstream: anthropic, or its address without /v1",
        is_open: |draft| draft.upstreams.is_empty(),
        answer: |draft, answer| draft.upstreams = words(answer).collect(),
        forget: |draft| draft.upstreams.clear(),
    },
    Question {
        option: "credential-file",
        keys: &["upstreams.credential", "upstreams.credential_file", "upstreams.credential_env"],
        text: "File with its credential, or env:NAME for an environment variable",
        is_open: |draft| draft.credential_file.is_empty() && draft.credential_env.is_empty(),
        answer: |draft, answer| {
            for word in words(answer) {
                match word.strip_prefix("env:") {
                    Some(name) => draft.credential_env.push(name.to_owned()),
                    None => draft.credential_file.push(word.into()),
                }
            }
        },
        forget: |draft| {
            draft.credential_env.clear();
            draft.credential_file.clear();
        },
    },
    Question {
        option: "chain",
        keys: &["chains.name"],
        text: "Chains on which to accept deposits; empty for none",
        is_open: |draft| draft.chains.is_empty(),
        answer: |draft, answer| draft.chains = words(answer).collect(),
        forget: |draft| draft.chains.clear(),
    },
    Question {
        option: "account-xpub",
        keys: &["deposits.account_xpub"],
        text: "Extended public key (xpub…) for an own address of each account; empty to name a \
               treasury",
        is_open: |draft| !draft.chains.is_empty() && draft.account_xpub.is_none(),
        answer: |draft, answer| draft.account_xpub = Some(answer.to_owned()),
        forget: |draft| draft.account_xpub = None,
    },
    Question {
        option: "treasury",
        keys: &["chains.treasury"],
        text: "Treasury, the address that linked wallets pay to",
        is_open: |draft| {
            let is_wanted = draft.account_xpub.is_none() && draft.treasury.is_none();
            !draft.chains.is_empty() && is_wanted
        },
        answer: |draft, answer| draft.treasury = Some(answer.to_owned()),
        forget: |draft| draft.treasury = None,
    },
    Question {
        option: "provider",
        keys: &["chains.quorum", "chains.providers", "chains.providers.url"],
        text: "RPC providers, at least two for each chain: addresses, or CHAIN=ADDRESS with \
               several chains",
        is_open: |draft| !draft.chains.is_empty() && draft.providers.is_empty(),
        answer: |draft, answer| draft.providers = words(answer).collect(),
        forget: |draft| draft.providers.clear(),
    },
];
