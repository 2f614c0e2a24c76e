//! Errors of other rooms as refusals of the API.

use super::Refusal;
use crate::accounts::identity::AuthError;
use crate::db::DbError;
use crate::deposits::DepositError;
use crate::deposits::proof_error::ProofError;
use crate::domain::api_error::ApiError;
use crate::telemetry::Causes;

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Shared(error)
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unavailable(error) => unavailable(&error),
            AuthError::SessionEnded => Self::Unauthenticated,
            error => Self::People(error),
        }
    }
}

impl From<ProofError> for Refusal {
    fn from(error: ProofError) -> Self {
        Self::Proof(error)
    }
}

impl From<DepositError> for Refusal {
    fn from(error: DepositError) -> Self {
        unavailable(&error)
    }
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        unavailable(&error)
    }
}

/// The chain of causes goes to the log, once, here.
fn unavailable(error: &(dyn std::error::Error + 'static)) -> Refusal {
    let error = Causes(error);
    tracing::error!(%error, "a request to the account API failed");
    Refusal::Unavailable
}
