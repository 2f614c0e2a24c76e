//! What a handler's signature says about its operation: who may ask, the types of body and query,
//! and what is returned. The OpenAPI document is made from this, so it describes the very types
//! that are read and sent.

use actix_web::web::{Data, Path};
use actix_web::{FromRequest, HttpRequest, Responder};
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::{Content, ContentBuilder, Ref, RefOr, Required, Response, Schema};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::refusal::{Error, Refusal};

const JSON: &str = "application/json";

/// An operation, and the schemas that it names.
pub(super) struct Signature {
    pub(super) operation: Operation,
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
}

/// An argument of a handler.
pub(super) trait Argument: FromRequest {
    /// Describes what it reads from the request.
    fn describe(_signature: &mut Signature) {}
}

/// The first argument of a handler: who asks.
pub(super) trait Asker: FromRequest {
    /// The kind of line in the table that it fits.
    type Line;
}

/// A line for anybody.
pub(super) struct ForAnyone;
/// A line for keys and sessions.
pub(super) struct ForKeys;
/// A line for sessions only.
pub(super) struct ForSessions;

/// All arguments of a handler. Who asks comes first.
pub(super) trait Arguments: FromRequest {
    /// The kind of line in the table that the handler fits.
    type Line;

    /// Describes what they read from the request.
    fn describe(signature: &mut Signature);
}

/// What a handler returns.
pub(super) trait ApiResponse: Responder {
    /// Describes its statuses, and what is sent with each.
    fn describe(signature: &mut Signature);
}

macro_rules! arguments {
    ($($argument:ident)*) => {
        impl<A, $($argument),*> Arguments for (A, $($argument),*)
        where
            A: Asker + 'static,
            $($argument: Argument + 'static),*
        {
            type Line = A::Line;

            fn describe(signature: &mut Signature) {
                $($argument::describe(signature);)*
            }
        }
    };
}

arguments!(B);
arguments!(B C);
arguments!(B C D);

impl Asker for HttpRequest {
    type Line = ForAnyone;
}

impl Argument for HttpRequest {}
impl Argument for Data<Api> {}
// The handler's attribute describes it.
impl Argument for Path<String> {}

impl<T: ApiResponse + 'static> ApiResponse for Result<T, Refusal> {
    fn describe(signature: &mut Signature) {
        T::describe(signature);
        signature.refuses::<Error>();
    }
}

impl Signature {
    /// The request has a body of this type.
    pub(super) fn body<T: ToSchema>(&mut self) {
        let body = RequestBodyBuilder::new();
        let body = body.content(JSON, self.content::<T>()).required(Some(Required::True));
        self.operation.request_body = Some(RefOr::T(body.build()));
    }

    /// The request may have these parameters in its query.
    pub(super) fn query<T: IntoParams>(&mut self) {
        let taken = T::into_params(|| Some(ParameterIn::Query));
        self.operation.parameters.get_or_insert_default().extend(taken.into_iter().map(RefOr::T));
    }

    /// A response with this status is a JSON document of this type.
    pub(super) fn answers<T: ToSchema>(&mut self, status: u16) {
        self.sends::<T>(status, JSON);
    }

    /// A response with this status has this type, as another content type.
    pub(super) fn sends<T: ToSchema>(&mut self, status: u16, content_type: &str) {
        let content = self.content::<T>();
        if let RefOr::T(response) = self.response(status) {
            response.content.insert(content_type.to_owned(), RefOr::T(content));
        }
    }

    /// A response has this status. The handler's attribute says what it means.
    pub(super) fn response(&mut self, status: u16) -> &mut RefOr<Response> {
        let responses = &mut self.operation.responses.responses;
        responses.entry(status.to_string()).or_insert_with(|| RefOr::T(Response::new("")))
    }

    /// All refusals are JSON documents of this type.
    fn refuses<T: ToSchema>(&mut self) {
        let content = self.content::<T>();
        for (status, response) in &mut self.operation.responses.responses {
            if let RefOr::T(response) = response
                && status.starts_with(['4', '5'])
            {
                response.content.insert(JSON.to_owned(), RefOr::T(content.clone()));
            }
        }
    }

    /// A reference to a type, whose schema is kept with all that it refers to.
    fn content<T: ToSchema>(&mut self) -> Content {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        ContentBuilder::new().schema(Some(Ref::from_schema_name(T::name()))).build()
    }
}
