//! Who sends a request, as far as its handler has found out. Its connection hears of it: where
//! there is no room for a new one, a request goes for which nobody pays.

use std::sync::Arc;

use actix_web::HttpRequest;

use crate::domain::unprintable::unprintable;

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientStanding {
    /// Nobody knows yet.
    Stranger,
    /// An account, by a key or a session. Everybody may have one.
    Account,
    /// An account with credit that asks for what costs some.
    Payer,
}

/// A connection, which hears what is found out on the request that it has.
pub trait Listen: Send + Sync {
    /// Who sends it.
    fn recognise(&self, standing: ClientStanding);
    /// All of its body has come.
    fn end_body(&self);
}

/// What a connection introduces its requests' handlers to.
#[derive(Clone)]
pub struct Listener(Arc<dyn Listen>);

unprintable!(Listener);

impl Listener {
    /// Tells this one.
    pub fn new(listen: impl Listen + 'static) -> Self {
        Self(Arc::new(listen))
    }
}

/// Tells who has sent a request.
pub fn recognise(http: &HttpRequest, standing: ClientStanding) {
    if let Some(Listener(connection)) = http.conn_data() {
        connection.recognise(standing);
    }
}

/// Tells that all of a request's body has come.
pub(super) fn end_body(http: &HttpRequest) {
    if let Some(Listener(connection)) = http.conn_data() {
        connection.end_body();
    }
}
