//! Every route that there is, as the server itself has it.

use std::net::SocketAddr;

use sluice::{admin, gateway, site};

use super::stage::Stage;
use crate::interface::{Operation, operations_of};
use crate::support::client::{Connection, Request};

/// Under which roof a route is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Roof {
    /// `/api/v1`, and its document.
    Interface,
    /// Pages and forms.
    Site,
    /// `/v1`.
    Gateway,
    /// The listener of the operator.
    Operator,
}

/// A method and a path.
pub(super) struct Route {
    pub(super) roof: Roof,
    pub(super) method: String,
    pub(super) path: String,
    /// What the interface says of it.
    pub(super) operation: Option<Operation>,
}

impl Route {
    pub(super) const fn address(&self, stage: &Stage) -> SocketAddr {
        match self.roof {
            Roof::Operator => stage.process.admin_address,
            _ => stage.process.address,
        }
    }

    /// The path with a word for each of its parameters.
    pub(super) fn filled(&self, word: &str) -> String {
        let part = |part| if is_parameter(part) { word } else { part };
        self.path.split('/').map(part).collect::<Vec<_>>().join("/")
    }

    /// Whether a method and a path lead here.
    fn is(&self, method: &str, path: &str) -> bool {
        let (ours, theirs) = (self.path.split('/'), path.split('/'));
        method == self.method
            && ours.clone().count() == theirs.clone().count()
            && ours.zip(theirs).all(|(one, other)| is_parameter(one) || one == other)
    }

    fn parameters(&self) -> usize {
        self.path.split('/').filter(|part| is_parameter(part)).count()
    }
}

fn is_parameter(part: &str) -> bool {
    part.starts_with('{')
}

/// All of them.
pub(super) fn all(stage: &Stage) -> Vec<Route> {
    let document = stage.must(200, Request::get("/openapi.json")).json();
    let interface = operations_of(&document).into_iter().map(|operation| Route {
        roof: Roof::Interface,
        method: operation.method.to_uppercase(),
        path: operation.path.clone(),
        operation: Some(operation),
    });
    let mut routes: Vec<Route> = interface.collect();
    for (roof, table) in [
        (Roof::Site, site::routes::table()),
        (Roof::Gateway, gateway::routes::table()),
        (Roof::Operator, admin::table()),
    ] {
        let listed = table.routes().into_iter().map(|(method, path)| Route {
            roof,
            method: method.to_string(),
            path: path.to_owned(),
            operation: None,
        });
        routes.extend(listed);
    }
    assert!(routes.len() > 100, "{}", routes.len());
    routes
}

/// Asks the operator's listener for all that it has.
pub(super) fn ask_operators(stage: &Stage, routes: &[Route]) {
    for route in routes.iter().filter(|route| route.roof == Roof::Operator) {
        let request = Request::new(&route.method, &route.path).header("connection", "close");
        let response =
            Connection::open(route.address(stage)).ask(&Stage::decorated(request)).finish();
        assert_eq!(response.status, 200, "{}: {}", route.path, response.text());
        stage.taken.lock().unwrap().insert((route.method.clone(), route.path.clone()));
    }
}

/// Asserts that each route was gone through, and that whatever was asked is a route.
pub(super) fn all_were_taken(stage: &Stage, routes: &[Route]) {
    let taken = stage.taken.lock().unwrap();
    let route_of = |method: &str, path: &str| {
        let leading = routes.iter().filter(|route| route.is(method, path));
        leading.min_by_key(|route| route.parameters()).map(|route| (&route.method, &route.path))
    };
    let passed: Vec<_> = taken.iter().filter_map(|(method, path)| route_of(method, path)).collect();
    let missing: Vec<String> = routes
        .iter()
        .filter(|route| !passed.contains(&(&route.method, &route.path)))
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert!(
        missing.is_empty(),
        "nobody has gone through these routes with success, so that nobody knows what they keep. \
         Add a step to `by_api` or `by_site`:\n  {}\n",
        missing.join("\n  ")
    );
}
