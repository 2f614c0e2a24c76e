//! Why a request to `/api/v1` is refused: the one place where a refusal becomes a status, a word
//! and a sentence.

mod from;

use std::borrow::Cow;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use super::respond::{begin, json};
use crate::accounts::identity::AuthError;
use crate::accounts::keys::KeyError;
use crate::deposits::proof_error::ProofError;
use crate::domain::api_error::ApiError;
use crate::domain::evm::{AddressError, WrittenHashError};
use crate::domain::key_scopes::Scope;
use crate::telemetry::Causes;

/// A refusal as it is sent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Error {
    error: ErrorWords,
}

/// What is wrong.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorWords {
    /// A stable code for programs.
    #[schema(example = "not_found")]
    code: &'static str,
    /// A sentence for people. Its wording may change.
    #[schema(value_type = String, example = "Not found.")]
    message: Cow<'static, str>,
}

/// Why a request is refused.
pub(super) enum Refusal {
    /// By what both interfaces share: keys, limits, the reading of a body.
    Shared(ApiError),
    /// Neither a key nor a session came with the request, or not one in force.
    Unauthenticated,
    /// An API key asks for what only a person may do.
    SessionRequired,
    /// An API key asks for what takes one of these scopes, and has none of them.
    InsufficientScope(&'static [Scope]),
    /// A cookie came without the word that our pages send along.
    FormWord,
    /// By what people do with their account, whether here or on a page.
    People(AuthError),
    /// The body is no JSON object of exactly these fields.
    Body(&'static str),
    /// There is no such path, or no such thing of this account.
    NotFound,
    /// The path is offered with another method.
    Method,
    /// No chain of that name is configured.
    UnknownChain,
    /// No account gets an address of its own here.
    NoOwnAddresses,
    /// Not an address.
    Address(AddressError),
    /// The message does not prove the wallet.
    Proof(ProofError),
    /// The account has as many wallets as it may have.
    TooManyWallets(u32),
    /// An account that had linked the wallet has gone with a debt.
    WalletInDebt,
    /// The account has asked for too many challenges.
    TooManyChallenges,
    /// Not the hash of a transaction.
    TxHash(WrittenHashError),
    /// The account has as many open claims as it may have.
    TooManyOpenClaims(u32),
    /// The account has made as many claims within the hour as it may make.
    TooManyClaims(u32),
    /// The part of a list that is asked for is no part of it.
    Page(i64),
    /// What stands behind the `?` is not what the path takes.
    Query(&'static str),
    /// A key cannot be as it is wanted.
    Key(KeyError),
    /// The account has as many event streams open as it may have.
    TooManyStreams(usize),
    /// This node has.
    StreamsFull,
    /// An archive of the account is being made.
    ArchiveRunning,
    /// The chain's providers do not answer, or not alike.
    ChainUnavailable,
    /// Ours to mend, worth trying again. The cause is logged.
    Unavailable,
}

/// A refusal as it is sent.
pub(super) struct SentError {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: Cow<'static, str>,
    pub(super) retry_after_secs: Option<u64>,
}

impl SentError {
    /// The document of it.
    pub(super) fn document(self) -> Error {
        Error { error: ErrorWords { code: self.code, message: self.message } }
    }
}

impl Refusal {
    /// As it is sent.
    pub(super) fn tell(&self) -> SentError {
        let told = |status, code, message: &'static str| SentError {
            status,
            code,
            message: Cow::Borrowed(message),
            retry_after_secs: None,
        };
        let made = |status, code, message: String| SentError {
            status,
            code,
            message: Cow::Owned(message),
            retry_after_secs: None,
        };
        match self {
            Self::Shared(error) => SentError {
                status: error.status,
                code: shared_code(error.status),
                message: error.message.clone(),
                retry_after_secs: error.retry_after_secs,
            },
            Self::Unauthenticated
            | Self::SessionRequired
            | Self::InsufficientScope(_)
            | Self::FormWord => self.tell_of_callers(),
            Self::People(error) => SentError {
                retry_after_secs: error.retry_after_secs(),
                ..made(error.status(), error.code(), error.to_string())
            },
            Self::Body(fields) => made(
                400,
                "invalid_body",
                format!("The body must be a JSON object with exactly these fields: {fields}."),
            ),
            Self::Query(_) | Self::Key(_) => self.tell_of_wishes(),
            Self::NotFound => told(404, "not_found", "Not found."),
            Self::Method => told(405, "method_not_allowed", "Method not allowed."),
            Self::UnknownChain => told(404, "unknown_chain", "Unknown chain."),
            Self::NoOwnAddresses => told(
                404,
                "no_own_addresses",
                "This service does not issue deposit addresses to accounts.",
            ),
            Self::Address(error) => made(400, "invalid_address", format!("The address {error}.")),
            Self::Proof(error) => made(proof_status(*error), error.code(), error.to_string()),
            Self::TooManyWallets(_) | Self::WalletInDebt | Self::TooManyChallenges => {
                self.tell_of_wallets()
            }
            Self::TxHash(_)
            | Self::TooManyOpenClaims(_)
            | Self::TooManyClaims(_)
            | Self::TooManyStreams(_)
            | Self::StreamsFull
            | Self::Page(_) => self.tell_of_deposits(),
            Self::ArchiveRunning | Self::ChainUnavailable | Self::Unavailable => {
                self.tell_of_what_passes()
            }
        }
    }

    /// The refusals that may be gone when the same is asked again.
    fn tell_of_what_passes(&self) -> SentError {
        let told = |status, code, message, retry_after_secs| SentError {
            status,
            code,
            message: Cow::Borrowed(message),
            retry_after_secs,
        };
        match self {
            Self::ArchiveRunning => {
                let message = "An archive of this account is already being downloaded.";
                told(429, "archive_running", message, Some(10))
            }
            Self::ChainUnavailable => {
                let message = "The chain is unavailable, so this wallet cannot be checked now. \
                    Request a new message later.";
                told(503, "chain_unavailable", message, Some(30))
            }
            _ => {
                let message = "The service is temporarily unavailable. Please try again.";
                told(503, "unavailable", message, None)
            }
        }
    }

    /// The refusals that are about how many wallets there are, or are asked about.
    fn tell_of_wallets(&self) -> SentError {
        let told = |status, code, message, retry_after_secs| SentError {
            status,
            code,
            message,
            retry_after_secs,
        };
        match self {
            Self::TooManyWallets(most) => {
                let message =
                    format!("An account can have at most {most} wallets. Unlink one first.");
                told(409, "too_many_wallets", message.into(), None)
            }
            Self::WalletInDebt => {
                let message = "An account that had linked this wallet was deleted with a debt. \
                    Once the debt is paid, it can be linked again. Contact the operator.";
                told(409, "wallet_in_debt", message.into(), None)
            }
            Self::TooManyChallenges => {
                let message =
                    "This account has requested too many messages to sign. Try again later.";
                told(429, "too_many_challenges", message.into(), Some(60))
            }
            other => other.tell(),
        }
    }

    /// The refusals that are about who asks.
    fn tell_of_callers(&self) -> SentError {
        let told = |status, code, message| SentError {
            status,
            code,
            message: Cow::Borrowed(message),
            retry_after_secs: None,
        };
        match self {
            Self::Unauthenticated => told(
                401,
                "unauthenticated",
                "Log in, or send an API key in `x-api-key` or `Authorization: Bearer`.",
            ),
            Self::SessionRequired => told(
                403,
                "session_required",
                "API keys cannot do this. Log in and send the session token.",
            ),
            Self::InsufficientScope(needed) => {
                let names: Vec<String> =
                    needed.iter().map(|scope| format!("`{}`", scope.as_str())).collect();
                let message = format!(
                    "This API key lacks the scope {}. Its owner can add it to the key.",
                    names.join(" or ")
                );
                SentError { message: Cow::Owned(message), ..told(403, "insufficient_scope", "") }
            }
            Self::FormWord => told(
                403,
                "csrf_token",
                "The request has a session cookie but no matching `x-csrf-token`. Reload the page.",
            ),
            other => other.tell(),
        }
    }

    /// The refusals of what was asked for and cannot be had so.
    fn tell_of_wishes(&self) -> SentError {
        let (status, code, message) = match self {
            Self::Query(words) => (400, "invalid_query", Cow::Borrowed(*words)),
            Self::Key(error) => {
                let (status, code) = key_code(error);
                (status, code, Cow::Owned(sentence(error)))
            }
            other => return other.tell(),
        };
        SentError { status, code, message, retry_after_secs: None }
    }

    /// The refusals that deposits have of their own.
    fn tell_of_deposits(&self) -> SentError {
        let told = |status, code, message: String, retry_after_secs| SentError {
            status,
            code,
            message: Cow::Owned(message),
            retry_after_secs,
        };
        match self {
            Self::TxHash(error) => {
                let message = format!("The transaction hash {error}.");
                told(400, "invalid_tx_hash", message, None)
            }
            Self::TooManyOpenClaims(most) => {
                let message = format!(
                    "An account can have at most {most} open claims. Wait for some of them."
                );
                told(429, "too_many_open_claims", message, Some(600))
            }
            Self::TooManyClaims(most) => {
                let message =
                    format!("An account can submit at most {most} transactions per hour.");
                told(429, "too_many_claims", message, Some(3600))
            }
            Self::TooManyStreams(most) => {
                let message =
                    format!("An account can have at most {most} open event streams. Close one.");
                told(429, "too_many_streams", message, Some(10))
            }
            Self::StreamsFull => {
                let message = "No more event streams are available. Poll the document instead.";
                told(503, "streams_full", message.to_owned(), Some(30))
            }
            Self::Page(most) => {
                let message = format!(
                    "Only `limit` (a number from 1 to {most}) and `before` (the id of a deposit) \
                     are allowed."
                );
                told(400, "invalid_page", message, None)
            }
            other => other.tell(),
        }
    }
}

const fn key_code(error: &KeyError) -> (u16, &'static str) {
    match error {
        KeyError::Name => (422, "invalid_name"),
        KeyError::Scopes(_) => (422, "invalid_scopes"),
        KeyError::Models => (422, "invalid_models"),
        KeyError::UnknownModel(_) => (422, "unknown_model"),
        KeyError::Budget => (422, "invalid_budget"),
        KeyError::Zero => (422, "invalid_limit"),
        KeyError::Past => (422, "expires_in_the_past"),
        KeyError::Overlap => (422, "invalid_overlap"),
        KeyError::TooMany(_) => (409, "too_many_keys"),
        KeyError::Revoked => (409, "key_revoked"),
        KeyError::NotFound => (404, "not_found"),
        KeyError::Person(error) => (error.status(), error.code()),
        KeyError::Db(_) | KeyError::Random(_) => (503, "unavailable"),
    }
}

/// An error's words as a sentence.
fn sentence(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

const fn shared_code(status: u16) -> &'static str {
    match status {
        401 => "unauthenticated",
        403 => "account_suspended",
        408 => "request_timeout",
        413 => "body_too_large",
        415 => "body_encoding",
        429 => "rate_limited",
        503 => "unavailable",
        _ => "invalid_request",
    }
}

/// 400 for what is not even of the right form, 403 for what somebody else signed or for, 409 for
/// what was used, 422 for what is well-formed and does not fit.
const fn proof_status(error: ProofError) -> u16 {
    match error {
        ProofError::TooLong
        | ProofError::Malformed { .. }
        | ProofError::Version
        | ProofError::SignatureForm => 400,
        ProofError::OtherAccount
        | ProofError::SignatureWrong
        | ProofError::NotDeployed
        | ProofError::ContractRefused
        | ProofError::DeploymentRefused => 403,
        ProofError::NonceUsed => 409,
        ProofError::ForeignDomain
        | ProofError::ForeignUri
        | ProofError::WrongAddress
        | ProofError::WrongChain
        | ProofError::UnknownNonce
        | ProofError::Expired
        | ProofError::NotYetValid
        | ProofError::IssuedInFuture => 422,
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        status_code(self.tell().status)
    }

    fn error_response(&self) -> HttpResponse {
        let told = self.tell();
        let mut response = begin(status_code(told.status));
        if let Some(seconds) = told.retry_after_secs {
            response.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        json(response, &told.document()).unwrap_or_else(|error| {
            tracing::error!(error = %Causes(&error), "a refusal does not turn into JSON");
            HttpResponse::InternalServerError().finish()
        })
    }
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The code alone: the sentence may have words of whoever asked.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tell().code)
    }
}
