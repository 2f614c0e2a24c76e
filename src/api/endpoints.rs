//! The table of what is offered: one line makes a route of a handler and an operation of the
//! OpenAPI document. Path, words and statuses come from the handler's attribute, bodies and answers
//! from its signature. So nothing is served that is not described, and nothing described that is
//! not served. Who may ask stands in the table; a handler that lets others in does not compile.

use std::collections::BTreeMap;

use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{Handler, Route};
use utoipa::openapi::path::{HttpMethod, Operation};
use utoipa::openapi::{RefOr, Schema};

use super::middleware::{self, around};
use super::offer::{Access, AllowedMethods};
use super::signature::{ApiResponse, Arguments, ForAnyone, ForKeys, ForSessions, Signature};
use crate::domain::key_scopes::Scope;

/// Where all paths but the document's own begin.
const ROOT: &str = "/api/v1";

/// One operation.
pub(super) struct ApiEndpoint {
    pub(super) path: String,
    pub(super) method: Method,
    pub(super) access: Access,
    pub(super) operation: Operation,
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
    route: Route,
}

/// All operations.
#[derive(Default)]
pub(super) struct Endpoints {
    pub(super) all: Vec<ApiEndpoint>,
    /// The group of the operations that are added next.
    tag: &'static str,
}

impl Endpoints {
    /// What follows belongs to this group.
    pub(super) fn tag(self, tag: &'static str) -> Self {
        Self { tag, ..self }
    }

    /// An operation for anybody: its handler, and `__path_` of it, which `utoipa::path` has put
    /// beside it.
    pub(super) fn anyone<P, F, Args>(self, handler: F, described: P) -> Self
    where
        P: utoipa::Path,
        F: Handler<Args, Output: ApiResponse + 'static>,
        Args: Arguments<Line = ForAnyone> + 'static,
    {
        self.with(Access::Anyone, handler, described)
    }

    /// One for sessions, and for keys that have any of these scopes.
    pub(super) fn key<P, F, Args>(self, scopes: &'static [Scope], handler: F, described: P) -> Self
    where
        P: utoipa::Path,
        F: Handler<Args, Output: ApiResponse + 'static>,
        Args: Arguments<Line = ForKeys> + 'static,
    {
        self.with(Access::Key(scopes), handler, described)
    }

    /// One for people only.
    pub(super) fn session<P, F, Args>(self, handler: F, described: P) -> Self
    where
        P: utoipa::Path,
        F: Handler<Args, Output: ApiResponse + 'static>,
        Args: Arguments<Line = ForSessions> + 'static,
    {
        self.with(Access::Session, handler, described)
    }

    fn with<P, F, Args>(mut self, access: Access, handler: F, _: P) -> Self
    where
        P: utoipa::Path,
        F: Handler<Args, Output: ApiResponse + 'static>,
        Args: Arguments + 'static,
    {
        if let Some(method) = P::methods().first().map(method_of) {
            let mut signature = Signature { operation: P::operation(), schemas: Vec::new() };
            signature.operation.tags = Some(vec![self.tag.to_owned()]);
            Args::describe(&mut signature);
            F::Output::describe(&mut signature);
            let Signature { operation, schemas } = signature;
            let around = from_fn(move |parts, request, next| around(access, parts, request, next));
            let route = web::method(method.clone()).to(handler).wrap(around);
            let path = P::path();
            self.all.push(ApiEndpoint { path, method, access, operation, schemas, route });
        }
        self
    }

    /// Serves them. A path that is offered refuses all other methods with 405, and names those that
    /// it takes.
    pub(super) fn serve(self, config: &mut ServiceConfig) {
        // In the order of text `{` comes behind letters: `/deposits/options` is no id.
        let mut paths: BTreeMap<String, Vec<(Method, Access, Route)>> = BTreeMap::new();
        for endpoint in self.all {
            let routes = paths.entry(endpoint.path).or_default();
            routes.push((endpoint.method, endpoint.access, endpoint.route));
        }
        let mut scope = web::scope(ROOT);
        for (path, routes) in paths {
            match path.strip_prefix(ROOT) {
                Some(below) => scope = scope.service(resource(below, routes)),
                None => {
                    config.service(resource(&path, routes));
                }
            }
        }
        config.service(scope.default_service(web::route().to(middleware::not_found)));
    }
}

fn resource(path: &str, routes: Vec<(Method, Access, Route)>) -> actix_web::Resource {
    let offer = routes.iter().map(|(method, access, _)| (method.clone(), *access));
    let offer = web::Data::new(AllowedMethods(offer.collect()));
    let resource = web::resource(path).app_data(offer);
    let resource = routes.into_iter().fold(resource, |resource, (.., route)| resource.route(route));
    resource.default_service(web::route().to(middleware::method_not_allowed))
}

const fn method_of(method: &HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Delete => Method::DELETE,
        HttpMethod::Options => Method::OPTIONS,
        HttpMethod::Head => Method::HEAD,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Trace => Method::TRACE,
    }
}
