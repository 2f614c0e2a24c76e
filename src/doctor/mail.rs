//! Whether the mail server lets us in. No mail is sent: `sluice mail test` does that.

use super::Check;
use crate::config::Settings;
use crate::mail::transport::Transport;
use crate::mail::trial::{TrialError, TrialStep, Tried};

pub(super) async fn examine(settings: &Settings) -> Vec<Check> {
    let name = "mail";
    let transport = match Transport::new(&settings.mail) {
        Ok(transport) => transport,
        Err(error) => {
            let found = format!("TLS cannot be set up: {error}");
            return vec![Check::fail(name, found, "check mail.tls_ca_file")];
        }
    };
    vec![match transport.try_log_in().await {
        Ok(Tried::File(folder)) => {
            Check::ok(name, format!("emails are written into the folder {}", folder.display()))
        }
        Ok(Tried::Server(said)) => Check::ok(name, format!("the server lets us in: {said}")),
        Err(error) => {
            let mend = mend(&error);
            Check::fail(name, error.to_string(), mend)
        }
    }]
}

const fn mend(error: &TrialError) -> &'static str {
    match error {
        TrialError::Server { step: TrialStep::Connect, .. } | TrialError::Silent(_) => {
            "check mail.host, mail.port and mail.tls, and that the firewall lets this machine out"
        }
        TrialError::Server { step: TrialStep::LogIn, .. } => {
            "check mail.user and its password (mail.password_file or mail.password_env)"
        }
        TrialError::Server { step: TrialStep::Send, .. } | TrialError::Message(_) => {
            "check mail.from: the server must be set up to send for it"
        }
        TrialError::Folder(_) => "check mail.folder: this user must be able to write there",
    }
}
