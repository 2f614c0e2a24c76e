//! What a client of the sandbox meets: statuses, bodies, and counts that agree with answers.

use actix_web::http::StatusCode;
use actix_web::{App, test, web};
use serde_json::{Value, json};

use super::configure;
use crate::domain::clock::Clock;
use crate::sandbox::caches::Caches;

/// Status and body of what each request is answered, one after the other.
async fn answers(caches: bool, requests: &[(&str, Value)]) -> Vec<(StatusCode, String)> {
    let app = App::new().configure(configure);
    let app =
        if caches { app.app_data(web::Data::new(Caches::new(Clock::manual(0)))) } else { app };
    let app = test::init_service(app).await;
    let mut answers = Vec::new();
    for (path, body) in requests {
        let request = test::TestRequest::post()
            .uri(path)
            .insert_header(("x-api-key", "any"))
            .insert_header(("anthropic-version", "2023-06-01"))
            .set_payload(body.to_string())
            .to_request();
        let answer = test::call_service(&app, request).await;
        let status = answer.status();
        let body = test::read_body(answer).await;
        answers.push((status, String::from_utf8(body.to_vec()).expect("UTF-8")));
    }
    answers
}

fn body(script: &str, stream: bool) -> Value {
    json!({
        "model": "claude-haiku-4-5",
        "max_tokens": 100,
        "stream": stream,
        "metadata": { "user_id": format!("sandbox:{script}") },
        "system": [{
            "type": "text",
            "text": "A long system prompt. ".repeat(400),
            "cache_control": { "type": "ephemeral" },
        }],
        "messages": [{ "role": "user", "content": "hello" }],
    })
}

async fn message(script: &str, stream: bool) -> (StatusCode, String) {
    answers(false, &[("/v1/messages", body(script, stream))]).await.remove(0)
}

#[actix_web::test]
async fn a_200_may_be_an_error_in_both_forms() {
    let (status, text) = message("error_200", false).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.starts_with(r#"{"type":"error","error":{"type":"overloaded_error""#), "{text}");
    let (status, text) = message("error_200", true).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.starts_with(r#"data: {"error":{"type":"overloaded_error""#), "{text}");
}

#[actix_web::test]
async fn an_operator_without_credit_is_told_so_by_a_400() {
    for stream in [false, true] {
        let (status, text) = message("credit_low", stream).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(text.contains(r#""type":"invalid_request_error""#), "{text}");
        assert!(text.contains("Your credit balance is too low to access"), "{text}");
    }
}

#[actix_web::test]
async fn a_request_without_output_warms_the_cache_and_is_answered_with_nothing() {
    let mut warm = body("", false);
    warm["max_tokens"] = json!(0);
    let requests = [("/v1/messages", warm), ("/v1/messages", body("", false))];
    let answers = answers(true, &requests).await;
    let [warm, next] = [0, 1].map(|n| serde_json::from_str::<Value>(&answers[n].1).expect("JSON"));
    assert_eq!(warm["content"], json!([]));
    assert_eq!(warm["usage"]["output_tokens"], 0);
    assert_eq!(warm["stop_reason"], "max_tokens");
    let written = &warm["usage"]["cache_creation_input_tokens"];
    assert!(written.as_u64().is_some_and(|tokens| tokens > 2000), "{written}");
    assert_eq!(&next["usage"]["cache_read_input_tokens"], written);
}

#[actix_web::test]
async fn a_count_is_what_the_answer_reports_in_all_classes() {
    for caches in [false, true] {
        for script in
            ["", "input=7;cache_1h=5", "cache", "mixed;cache_read=1", "passes=1", "thinking"]
        {
            let requests = [
                ("/v1/messages/count_tokens", body(script, false)),
                ("/v1/messages", body(script, false)),
                ("/v1/messages", body(script, false)),
            ];
            let answers = answers(caches, &requests).await;
            let read = |n: usize| serde_json::from_str::<Value>(&answers[n].1).expect("JSON");
            let count = read(0)["input_tokens"].as_u64().expect("a count");
            for answer in [read(1), read(2)] {
                let usage = |key: &str| answer["usage"][key].as_u64().expect("a number");
                let total = usage("input_tokens")
                    + usage("cache_read_input_tokens")
                    + usage("cache_creation_input_tokens");
                assert_eq!(total, count, "{script} {caches} {answer}");
            }
        }
    }
}

#[actix_web::test]
async fn a_count_may_fail_or_be_missing() {
    let count = async |script: &str| {
        answers(false, &[("/v1/messages/count_tokens", body(script, false))]).await.remove(0)
    };
    assert_eq!(count("no_count").await, (StatusCode::OK, "{}".to_owned()));
    assert_eq!(count("count_fails").await.0.as_u16(), 529);
}
