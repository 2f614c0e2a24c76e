//! Promises of `[mail]`.

use super::*;

const SMTP: &str = "transport = \"smtp\"\nhost = \"smtp.example.org\"\nfrom = \"a@example.org\"\n";

fn load_mail(text: &str) -> Result<Mail, ConfigErrors> {
    load_text(&format!("{UPSTREAM}[mail]\n{text}"), &[("PASSWORD", SECRET)]).map(|all| all.mail)
}

fn smtp(text: &str) -> Smtp {
    match load_mail(text).unwrap().transport {
        MailDelivery::Smtp(smtp) => smtp,
        MailDelivery::File(folder) => panic!("{}", folder.display()),
    }
}

#[test]
fn mail_goes_into_a_folder_until_a_server_is_named() {
    let mail = load_mail("").unwrap();
    assert!(
        matches!(&mail.transport, MailDelivery::File(folder) if folder == &PathBuf::from("mail"))
    );
    assert_eq!(mail.from.email.to_string(), "sluice@localhost");
    assert_eq!(mail.give_up, Duration::from_hours(48));
}

#[test]
fn a_server_is_reached_by_starttls_unless_told_otherwise() {
    let plain = smtp(SMTP);
    assert_eq!((plain.port, plain.tls), (587, MailTls::Starttls));
    assert!(plain.credentials.is_none());
    assert_eq!(smtp(&format!("{SMTP}tls = \"tls\"\n")).port, 465);
    assert_eq!(smtp(&format!("{SMTP}port = 2525\n")).port, 2525);
    let here = smtp("transport = \"smtp\"\nhost = \"127.0.0.1\"\ntls = \"none\"\n");
    assert_eq!((here.port, here.tls), (25, MailTls::None));
}

#[test]
fn the_servers_password_is_fetched_to_serve_and_never_shown() {
    let text = format!("{UPSTREAM}[mail]\n{SMTP}user = \"u\"\npassword_env = \"PASSWORD\"\n");
    let settings = load_text(&text, &[("PASSWORD", SECRET)]).unwrap();
    let MailDelivery::Smtp(smtp) = &settings.mail.transport else { panic!("a folder") };
    let (user, password) = smtp.credentials.as_ref().unwrap();
    assert_eq!((user.as_str(), password.expose_secret()), ("u", SECRET));
    assert!(!format!("{settings:?}").contains(SECRET));

    let folder = Folder::new();
    let written = text.replace("password_env = \"PASSWORD\"", &format!("password = \"{SECRET}\""));
    let shown = load(&folder.sources(&written, &[])).unwrap().render().to_owned();
    assert!(shown.contains("password = \"********\"") && !shown.contains(SECRET), "{shown}");

    let mut sources = folder.sources(&text, &[]);
    assert!(load(&sources).unwrap_err().to_string().contains("PASSWORD is not set"));
    sources.env.clear();
    assert!(load_for(&sources, LoadPurpose::Command).is_ok());
}

#[test]
fn mistakes_in_mail_are_named() {
    let cases = [
        ("transport = \"pigeon\"\n", "mail.transport: must be \"file\" or \"smtp\""),
        ("transport = \"smtp\"\n", "mail.host: is missing"),
        ("transport = \"smtp\"\nhost = \"a b\"\n", "mail.host: must be a host's name"),
        (&format!("{SMTP}tls = \"none\"\n"), "mail.tls: must be \"starttls\" or \"tls\""),
        (
            "transport = \"smtp\"\nhost = \"smtp.example.org\"\n",
            "mail.from: must be an address that",
        ),
        ("from = \"nobody\"\n", "mail.from: must be an email address"),
        ("from = \"A <a@example.org>\\r\\nBcc: b@example.org\"\n", "mail.from: must be an email"),
        ("from = \"a@[127.0.0.1]\"\n", "mail.from: must be an email address"),
        (&format!("{SMTP}port = 0\n"), "mail.port: must be a whole number from 1"),
        (&format!("{SMTP}user = \"u\"\n"), "mail.password_env: is missing"),
        (&format!("{SMTP}password_env = \"PASSWORD\"\n"), "mail.user: is missing"),
        (
            &format!("{SMTP}user = \"u\"\npassword_env = \"PASSWORD\"\npassword = \"x\"\n"),
            "mail.password: give only one of",
        ),
        (&format!("{SMTP}tls_ca_file = \"/nowhere/ca\"\n"), "/nowhere/ca cannot be read"),
        ("[site]\nname = \"A\\r\\nBcc: b@example.org\"\n", "site.name: must be one line"),
        ("timeout_secs = 1\n", "mail.timeout_secs: must be a whole number from 5"),
        ("pool = 1\n", "mail.pool: unknown key"),
    ];
    for (text, reason) in cases {
        let errors = load_mail(text).expect_err(text);
        let shown = errors.to_string();
        assert_eq!(errors.problems.len(), 1, "{text}\n{shown}");
        assert!(shown.contains(reason) && !shown.contains(SECRET), "{text}\n{shown}");
    }
}
