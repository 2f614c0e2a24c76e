//! What a handler's signature says of its operation: who may ask, what the body and the query are,
//! and what is answered. The OpenAPI document has it from here, so it describes the very types that
//! are read and sent.

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
    /// Says what it takes from the request.
    fn describe(_signature: &mut Signature) {}
}

/// The first argument of a handler: who asks.
pub(super) trait Asker: FromRequest {
    /// The line of the table that it belongs to.
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
    /// The line of the table that the handler belongs to.
    type Line;

    /// Says what they take from the request.
    fn describe(signature: &mut Signature);
}

/// What a handler answers.
pub(super) trait ApiResponse: Responder {
    /// Says of each status what is sent with it.
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
/// An attribute says what it names.
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

    /// These parameters may stand behind the path.
    pub(super) fn query<T: IntoParams>(&mut self) {
        let taken = T::into_params(|| Some(ParameterIn::Query));
        self.operation.parameters.get_or_insert_default().extend(taken.into_iter().map(RefOr::T));
    }

    /// An answer of this status is a document of this type.
    pub(super) fn answers<T: ToSchema>(&mut self, status: u16) {
        self.sends::<T>(status, JSON);
    }

    /// An answer of this status has this type in another form.
    pub(super) fn sends<T: ToSchema>(&mut self, status: u16, content_type: &str) {
        let content = self.content::<T>();
        if let RefOr::T(response) = self.response(status) {
            response.content.insert(content_type.to_owned(), RefOr::T(content));
        }
    }

    /// An answer of this status has no body. Its words stand in the attribute.
    pub(super) fn response(&mut self, status: u16) -> &mut RefOr<Response> {
        let responses = &mut self.operation.responses.responses;
        responses.entry(status.to_string()).or_insert_with(|| RefOr::T(Response::new("")))
    }

    /// All refusals are documents of this type.
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

    /// Names a type, and keeps its schema and all that it refers to.
    fn content<T: ToSchema>(&mut self) -> Content {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        ContentBuilder::new().schema(Some(Ref::from_schema_name(T::name()))).build()
    }
}
