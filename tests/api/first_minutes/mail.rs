//! `sluice mail test`: one real email, and what the server said. Needs aiosmtpd.

use crate::support::mail::{MailServer, PASSWORD, USER};
use crate::support::process::{Ran, run};

const UPSTREAM: &str = "[[upstreams]]\nname = \"a\"\nbase_url = \"https://api.example.com\"\n\
    credential = \"x\"\n";

fn send(mail: &str, to: &str) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluice.toml");
    std::fs::write(&file, format!("[mail]\n{mail}{UPSTREAM}")).unwrap();
    run(&["--config", file.to_str().unwrap(), "mail", "test", to], &[])
}

#[test]
fn a_test_email_goes_out_and_the_servers_answer_is_printed() {
    let server = MailServer::start_guarded();
    let settings = |password: &str| {
        format!(
            "transport = \"smtp\"\nfrom = \"mail@example.org\"\nhost = \"localhost\"\n\
             port = {}\ntls_ca_file = {:?}\nuser = \"{USER}\"\npassword = \"{password}\"\n",
            server.address.port(),
            server.certificate()
        )
    };
    let sent = send(&settings(PASSWORD), "ada@example.org");
    assert_eq!(sent.code, 0, "{}", sent.err);
    assert!(sent.out.contains("the mail server has taken it: 250"), "{}", sent.out);
    let journal = server.journal();
    assert_eq!(journal.len(), 1);
    assert_eq!(journal[0]["to"], "ada@example.org");
    assert_eq!(journal[0]["subject"], "Sluice: test email");

    let refused = send(&settings(PASSWORD), "refuse@example.org");
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert!(refused.err.contains("refused the email: ") && refused.err.contains("550"));
    assert!(refused.err.contains("is unknown here"), "{}", refused.err);
    let shut_out = send(&settings("wrong"), "ada@example.org");
    assert!(shut_out.code == 1 && shut_out.err.contains("refused the log-in"), "{}", shut_out.err);
    assert_eq!(server.lines(), 1);
}

#[test]
fn with_a_folder_the_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let settings = format!("folder = {:?}\n", folder.path().join("mail"));
    let sent = send(&settings, "ada@example.org");
    assert_eq!(sent.code, 0, "{}", sent.err);
    let line = sent.out.lines().next().unwrap();
    let file = line.strip_prefix("written to ").unwrap();
    assert!(std::fs::read_to_string(file).unwrap().contains("To: ada@example.org"));
    assert!(sent.out.contains("nobody gets it"), "{}", sent.out);
    let wrong = send(&settings, "nobody");
    assert_eq!(wrong.code, 2, "{}", wrong.err);
}
