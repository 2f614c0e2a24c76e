//! A table of routes as data: servers are made of it, and whoever wants to know what is served
//! reads it. It knows nothing of what the handlers do.

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, Handler, Resource, Responder};

use super::cors::cors;

/// A path with the methods that it takes.
pub struct Served {
    path: &'static str,
    methods: Vec<Method>,
    resource: Resource,
}

/// Everything that is served under one roof.
#[derive(Default)]
pub struct RouteTable(Vec<Served>);

impl Served {
    /// A path that takes nothing yet.
    #[must_use]
    pub fn at(path: &'static str) -> Self {
        Self { path, methods: Vec::new(), resource: web::resource(path) }
    }

    /// Takes one more method.
    #[must_use]
    pub fn on<F, Args>(mut self, method: Method, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.push(method.clone());
        let resource = self.resource.route(web::method(method).to(handler));
        Self { resource, ..self }
    }

    /// What all other methods are told.
    #[must_use]
    pub fn otherwise<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let resource = self.resource.default_service(web::route().to(handler));
        Self { resource, ..self }
    }
}

impl RouteTable {
    /// Adds a path.
    pub fn service(&mut self, served: Served) -> &mut Self {
        self.0.push(served);
        self
    }

    /// Adds a part of the table that stands by itself.
    pub fn configure(&mut self, part: impl FnOnce(&mut Self)) -> &mut Self {
        part(self);
        self
    }

    /// Every method with its path, in the order in which they are looked at.
    #[must_use]
    pub fn routes(&self) -> Vec<(Method, &'static str)> {
        let of = |served: &Served| {
            let path = served.path;
            served.methods.iter().map(move |method| (method.clone(), path)).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Serves them to scripts of pages from these origins too.
    pub fn serve_across(self, config: &mut ServiceConfig, origins: &[String]) {
        for served in self.0 {
            config.service(served.resource.wrap(cors(origins)));
        }
    }

    /// Serves them.
    pub fn serve(self, config: &mut ServiceConfig) {
        for served in self.0 {
            config.service(served.resource);
        }
    }
}
