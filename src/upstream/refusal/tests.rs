//! Each kind of refusal, line by line.

use serde_json::json;

use super::*;

fn phrases() -> Vec<String> {
    CREDENTIAL_PHRASES.iter().map(|&phrase| phrase.to_owned()).collect()
}

fn sorted(status: u16, body: &str) -> Refused {
    sort(StatusCode::from_u16(status).unwrap(), body.as_bytes(), &phrases())
}

fn error(kind: &str, message: &str) -> String {
    json!({ "type": "error", "error": { "type": kind, "message": message } }).to_string()
}

#[test]
fn e13_each_phrase_and_code_of_the_default_list_is_known_in_every_place_where_it_may_stand() {
    for phrase in CREDENTIAL_PHRASES {
        assert_eq!(phrase, phrase.to_lowercase(), "phrases are compared in lower case");
        let bodies = [
            error("invalid_request_error", &format!("Sorry. {} (x)", phrase.to_uppercase())),
            error(phrase, "m"),
            json!({ "error": { "type": "rate_limit_error", "details": { "error_code": phrase } } })
                .to_string(),
            json!({ "error": { "message": "m", "code": phrase } }).to_string(),
            json!({ "error": phrase }).to_string(),
            json!({ "message": phrase }).to_string(),
        ];
        for body in bodies {
            for status in [400, 403, 404, 429, 529] {
                let refused = sorted(status, &body);
                assert_eq!(refused.fault, Fault::Credential, "{status} {body}");
                assert_eq!(refused.error.status, 503);
                assert!(refused.error.retry_after_secs.is_some());
            }
            assert!(is_operators(body.as_bytes()), "{body}");
        }
    }
}

#[test]
fn e13_what_vendors_really_say_is_known() {
    let said = [
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
        "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
        "This organization has been disabled.",
    ];
    for words in said {
        let refused = sorted(400, &error("invalid_request_error", words));
        assert_eq!(refused.fault, Fault::Credential, "{words}");
    }
}

#[test]
fn each_status_has_its_fault_and_what_a_client_hears() {
    use Fault::{Broken, Credential, Forbidden, Limited, NotThere, Request};
    let table = [
        (400, Request, 400),
        (401, Credential, 503),
        (402, Credential, 503),
        (403, Forbidden, 403),
        (404, NotThere, 404),
        (405, NotThere, 502),
        (407, NotThere, 502),
        (408, Broken, 408),
        (409, Request, 409),
        (410, NotThere, 502),
        (413, Request, 413),
        (418, Request, 418),
        (422, Request, 422),
        (429, Limited, 429),
        (500, Broken, 500),
        (501, NotThere, 502),
        (502, Broken, 502),
        (503, Broken, 503),
        (504, Broken, 504),
        (520, Broken, 502),
        (521, Broken, 502),
        (522, Broken, 502),
        (523, Broken, 502),
        (524, Broken, 502),
        (525, Broken, 502),
        (526, Broken, 502),
        (529, Broken, 529),
        (530, Broken, 502),
        (599, Broken, 502),
    ];
    for (status, fault, heard) in table {
        for body in ["", "<html>", "{}", "[]", "null", r#"{"error":{"type":5,"message":{}}}"#] {
            let refused = sorted(status, body);
            assert_eq!((refused.fault, refused.error.status), (fault, heard), "{status} {body}");
        }
    }
}

#[test]
fn a_400_that_means_the_model_is_not_there_is_told_from_one_about_the_request() {
    let absent = [
        error("invalid_request_error", "Invalid model name passed in model=claude-haiku-4-5"),
        json!({ "message": "The provided model identifier is invalid." }).to_string(),
        json!({ "error": { "message": "x", "code": "model_not_found" } }).to_string(),
    ];
    for body in absent {
        let refused = sorted(400, &body);
        assert_eq!((refused.fault, refused.error.status), (Fault::SaidNotThere, 404), "{body}");
    }
    let body = error("invalid_request_error", "messages.0.content: model answers are not allowed");
    assert_eq!(sorted(400, &body).fault, Fault::Request);
}

#[test]
fn words_that_help_a_client_pass_and_words_about_the_operator_do_not() {
    let helpful = [
        "prompt is too long: 204800 tokens > 200000 maximum",
        "tools.3.custom.input_schema.properties.billing_plan: JSON schema is invalid",
        "messages.1: the organization of blocks is not allowed",
    ];
    for words in helpful {
        assert_eq!(sorted(400, &error("invalid_request_error", words)).error.message, words);
    }
    for words in OPERATORS_WORDS {
        for status in [400, 404, 413, 422] {
            let body = error("invalid_request_error", &format!("Ask about {words}4711."));
            let message = sorted(status, &body).error.message;
            assert!(!message.contains("4711"), "{status} {message}");
        }
        assert!(is_operators(error("api_error", words).as_bytes()), "{words}");
    }
    let details = json!({
        "error": { "type": "x", "message": "m", "details": { "hint": "Your plan 4711" } },
    });
    let told = sorted(400, &details.to_string()).error;
    assert_eq!(told.details, None);
    let long = sorted(400, &error("x", &"y".repeat(30_000))).error;
    assert!(long.message.len() < 200);
}

#[test]
fn a_document_that_is_an_error_is_told_from_an_answer() {
    let errors = [
        (error("overloaded_error", "m"), 529),
        (error("something_new", "m"), 500),
        (r#"{"type":"error"}"#.to_owned(), 500),
        (r#"{"error":{"message":"m","type":"invalid_request_error"}}"#.to_owned(), 400),
        (r#"{"error":{"message":"m","code":429}}"#.to_owned(), 429),
        (r#"{"error":{"message":"m","code":"503"}}"#.to_owned(), 503),
        (r#"{"error":{"message":"m","code":200}}"#.to_owned(), 500),
        (r#"{"error":"m"}"#.to_owned(), 500),
        (r#"{"error":"m","content":null,"usage":null}"#.to_owned(), 500),
    ];
    for (body, status) in errors {
        assert_eq!(error_document(body.as_bytes()).map(|s| s.as_u16()), Some(status), "{body}");
    }
    let answers = [
        r#"{"type":"message","content":[],"usage":{}}"#,
        r#"{"type":"message","content":[],"error":null}"#,
        r#"{"usage":{"input_tokens":1},"error":{"type":"x"}}"#,
        r#"{"input_tokens":17}"#,
        "[]",
        "",
        "{",
    ];
    for body in answers {
        assert_eq!(error_document(body.as_bytes()), None, "{body}");
    }
    assert!(may_be_message(br#"{"type":"message"}"#) && may_be_message(br#"{"content":[]}"#));
    for body in
        ["{}", "[]", "[1,2,[],{}]", "null", "7", r#"{"detail":"Not Found"}"#, r#"{"choices":[]}"#]
    {
        assert!(!may_be_message(body.as_bytes()), "{body}");
    }
}
