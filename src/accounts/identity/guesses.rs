//! A guess at a password or code: counted on this node before it is made, so that many at once are
//! counted too, and on all nodes once it was wrong.

use super::AuthError;
use super::people::Identity;
use super::shared_attempts::SharedAttempts;
use super::throttle::{ClientAddress, CountedAction, ThrottledAction};
use crate::domain::unprintable::unprintable;

/// A guess that was counted on this node. Whoever has it says what came of it.
#[derive(Clone, Copy)]
pub(in crate::accounts) struct Guess<'a> {
    counted: CountedAction<'a>,
    shared: SharedAttempts,
}

unprintable!(Guess<'static>);

impl Identity {
    /// Counts a guess before it is made.
    ///
    /// # Errors
    /// [`AuthError::TooManyAttempts`]; then it was not counted, and may not be made.
    pub(in crate::accounts) async fn begin_guess<'a>(
        &self,
        address: &'a str,
        client: ClientAddress,
    ) -> Result<Guess<'a>, AuthError> {
        let counted = self.throttle.count(ThrottledAction::Guess(address, client))?;
        let (shared, now) = (self.guesses_at(address), self.now());
        let is_free = self.run(move |conn| shared.check(conn, now)).await;
        if let Err(error) = is_free {
            self.throttle.take_back(counted);
            return Err(error);
        }
        Ok(Guess { counted, shared })
    }

    /// It was none: nothing was looked at, or it was right and somebody is not let in by it alone.
    pub(super) fn take_back(&self, guess: Guess<'_>) {
        self.throttle.take_back(guess.counted);
    }

    /// It was wrong.
    pub(super) async fn note_wrong(&self, guess: Guess<'_>) -> Result<(), AuthError> {
        let (shared, now) = (guess.shared, self.now());
        self.write(move |conn| Ok(shared.count(conn, now)?)).await
    }

    /// A success starts the count of failures anew; what was no failure does not count.
    pub(in crate::accounts) async fn settle_guess<T>(
        &self,
        guess: Guess<'_>,
        done: Result<T, AuthError>,
    ) -> Result<T, AuthError> {
        match &done {
            Ok(_) => {
                let (own, shared, now) =
                    (self.throttle.forget(guess.counted), guess.shared, self.now());
                if own > 0 {
                    self.write(move |conn| Ok(shared.take_back(conn, own, now)?)).await?;
                }
            }
            Err(
                AuthError::WrongCode | AuthError::TooManyCodes { .. } | AuthError::WrongCredentials,
            ) => self.note_wrong(guess).await?,
            Err(_) => self.take_back(guess),
        }
        done
    }

    fn guesses_at(&self, address: &str) -> SharedAttempts {
        SharedAttempts::guesses_at(address, &self.secret, &self.settings)
    }
}
