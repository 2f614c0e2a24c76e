//! The sandbox, in this process and for all tests: it keeps nothing between requests.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::mpsc;

use serde_json::{Value, json};
use sluice::sandbox::{SandboxSettings, start};

/// Where it listens.
pub(crate) fn sandbox() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let (announce, announced) = mpsc::channel();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let settings = SandboxSettings {
                    listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                    workers: 2,
                    caches: false,
                    handle_signals: false,
                };
                let (address, server) = start(&settings).expect("the sandbox binds");
                announce.send(address).unwrap();
                server.await.expect("the sandbox serves");
            });
        });
        announced.recv().unwrap()
    })
}

/// A request's body; `script` goes to the sandbox through `metadata.user_id`.
pub(crate) fn body(model: &str, is_stream: bool, script: &str) -> String {
    body_with(model, is_stream, script, &json!({}))
}

/// The same with further fields.
pub(crate) fn body_with(model: &str, is_stream: bool, script: &str, more: &Value) -> String {
    let mut body = json!({
        "model": model,
        "max_tokens": 4096,
        "stream": is_stream,
        "metadata": { "user_id": format!("sandbox:{script}") },
        "messages": [{ "role": "user", "content": "Say something." }],
    });
    let fields = body.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    body.to_string()
}
