//! The table of what is offered: one line makes a route of a handler and an operation of the
//! OpenAPI document, both from what the handler's attribute says. So nothing is served that is not
//! described, and nothing described that is not served; and who may ask stands in the table.

use std::collections::BTreeMap;

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, Handler, Responder, Route};
use utoipa::__dev::{SchemaReferences, Tags};
use utoipa::openapi::path::{HttpMethod, Operation};
use utoipa::openapi::{RefOr, Schema};

use super::answer;
use super::offer::{Access, Offer};
use crate::domain::key_scopes::Scope;

/// Where all paths but the document's own begin.
const ROOT: &str = "/api/v1";

/// One operation.
pub(super) struct Endpoint {
    pub(super) path: String,
    pub(super) method: Method,
    pub(super) access: Access,
    pub(super) operation: Operation,
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
    route: Route,
}

/// What `utoipa::path` puts beside a handler.
pub(super) trait Described: utoipa::Path + SchemaReferences + Tags<'static> {}

impl<T: utoipa::Path + SchemaReferences + Tags<'static>> Described for T {}

/// All operations.
#[derive(Default)]
pub(super) struct Endpoints(pub(super) Vec<Endpoint>);

impl Endpoints {
    /// An operation for anybody: its handler, and `__path_` of it, which `utoipa::path` has put
    /// beside it.
    pub(super) fn anyone<D, F, Args>(self, handler: F, described: D) -> Self
    where
        D: Described,
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.with(Access::Anyone, handler, described)
    }

    /// One for sessions, and for keys that have any of these scopes.
    pub(super) fn key<D, F, Args>(self, scopes: &'static [Scope], handler: F, described: D) -> Self
    where
        D: Described,
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.with(Access::Key(scopes), handler, described)
    }

    /// One for people only.
    pub(super) fn session<D, F, Args>(self, handler: F, described: D) -> Self
    where
        D: Described,
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.with(Access::Session, handler, described)
    }

    fn with<D, F, Args>(mut self, access: Access, handler: F, _: D) -> Self
    where
        D: Described,
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let mut schemas = Vec::new();
        D::schemas(&mut schemas);
        if let Some(method) = D::methods().first().map(method_of) {
            let mut operation = D::operation();
            operation.tags = Some(D::tags().into_iter().map(str::to_owned).collect());
            self.0.push(Endpoint {
                path: D::path(),
                route: web::method(method.clone()).to(handler),
                method,
                access,
                operation,
                schemas,
            });
        }
        self
    }

    /// Serves them. A path that is offered refuses all other methods with 405, and names those that
    /// it takes.
    pub(super) fn serve(self, config: &mut ServiceConfig) {
        // In the order of text `{` comes behind letters: `/deposits/options` is no id.
        let mut paths: BTreeMap<String, Vec<(Method, Access, Route)>> = BTreeMap::new();
        for endpoint in self.0 {
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
        config.service(scope.default_service(web::route().to(answer::not_found)));
    }
}

fn resource(path: &str, routes: Vec<(Method, Access, Route)>) -> actix_web::Resource {
    let offer = routes.iter().map(|(method, access, _)| (method.clone(), *access));
    let offer = web::Data::new(Offer(offer.collect()));
    let resource = web::resource(path).app_data(offer);
    let resource = routes.into_iter().fold(resource, |resource, (.., route)| resource.route(route));
    resource.default_service(web::route().to(answer::method_not_allowed))
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
