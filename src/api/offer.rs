//! What a path offers, and to whom.

use actix_web::http::Method;

use crate::domain::key_scopes::Scope;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody.
    Anyone,
    /// Who sends an API key with any of these scopes, or a session.
    Key(&'static [Scope]),
    /// Who is logged in.
    Session,
}

/// The methods of a path, with who may ask for each.
pub(super) struct AllowedMethods(pub(super) Vec<(Method, Access)>);

impl AllowedMethods {
    /// Who may ask for this method; `None` if it is not offered.
    pub(super) fn access(&self, method: &Method) -> Option<Access> {
        self.0.iter().find(|(offered, _)| offered == method).map(|(_, access)| *access)
    }

    /// The methods by name, as `allow` lists them.
    pub(super) fn methods(&self) -> String {
        let mut methods: Vec<&str> = self.0.iter().map(|(method, _)| method.as_str()).collect();
        methods.sort_unstable();
        methods.join(", ")
    }
}
