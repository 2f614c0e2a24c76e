//! A provider made of a function, for the tests of this module.

use std::sync::{Arc, Mutex};

use actix::prelude::*;
use secrecy::SecretString;
use serde_json::Value;
use serde_json::value::to_raw_value;

use super::endpoint::{ProviderEndpoint, ProviderUrl};
use super::provider::{Answers, CallBatch, CallError, Provider, ProviderError, RpcCall};
use crate::domain::evm::ChainId;

/// What a scripted provider does with a call.
pub(super) enum ScriptedReply {
    /// Answers it.
    Result(Value),
    /// Refuses it, with a code and words.
    Refusal(i64, &'static str),
}

type ReplyScript = dyn Fn(&RpcCall) -> ScriptedReply + Send;

/// The provider's end.
struct Scripted {
    script: Box<ReplyScript>,
    seen: Arc<Mutex<Vec<RpcCall>>>,
}

impl Actor for Scripted {
    type Context = Context<Self>;
}

impl Handler<CallBatch> for Scripted {
    type Result = Result<Answers, ProviderError>;

    fn handle(&mut self, batch: CallBatch, _: &mut Self::Context) -> Self::Result {
        let mut answers = Vec::new();
        for call in batch.calls {
            answers.push(match (self.script)(&call) {
                ScriptedReply::Result(value) => Ok(to_raw_value(&value).unwrap()),
                ScriptedReply::Refusal(code, words) => Err(CallError::sort(code, words, None)),
            });
            self.seen.lock().unwrap().push(call);
        }
        Ok(answers)
    }
}

/// A provider of chain 8453, and the calls that it was asked.
pub(super) fn provider(
    name: &str,
    script: impl Fn(&RpcCall) -> ScriptedReply + Send + 'static,
) -> (Provider, Arc<Mutex<Vec<RpcCall>>>) {
    let url = ProviderUrl::parse(&SecretString::from("http://127.0.0.1:1")).unwrap();
    let mut endpoint = ProviderEndpoint::new(name, ChainId(8453), url);
    endpoint.has_traces = true;
    let seen = Arc::<Mutex<Vec<RpcCall>>>::default();
    let scripted = Scripted { script: Box::new(script), seen: Arc::clone(&seen) };
    let standing = Arc::new(endpoint.standing());
    (Provider::new(&endpoint, standing, scripted.start().recipient()), seen)
}
