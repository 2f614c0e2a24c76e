//! `GET /openapi.json`: what the interface offers, for programs. It is made of the table of
//! endpoints; what holds for all of them, refusals, headers and who may ask, is added here, so that
//! a handler's attribute has only what is its own.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, Responder};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{HttpMethod, Operation, Paths};
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ContactBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Response,
    ResponseBuilder, Server,
};
use utoipa::{PartialSchema, ToSchema};

use super::Api;
use super::caller::session_cookie;
use super::endpoints::{ApiEndpoint, Endpoints};
use super::offer::Access;
use super::refusal::Error;
use super::signature::{ApiResponse, Signature};
use crate::config::SiteSettings;
use crate::domain::evm::to_hex;
use crate::telemetry::Causes;

/// What is said of the interface as a whole.
const DESCRIPTION: &str = "\
The account API: balance and usage, keys, wallets and deposits. Send messages to `/v1`, in the \
wire format of their SDKs.

Amounts are decimal strings in US dollars, never rounded. Times are RFC 3339 in UTC. A refusal is \
`{\"error\": {\"code\", \"message\"}}`: the code is stable, the message is a sentence for people. \
Every response has a `request-id`; quote it when you ask for help. A wrong method on a known path \
gets 405 with the valid methods in `allow`; an unknown path gets 404.

The scopes of an API key decide what it may do. `inference` calls `/v1`, and reads the usage and \
the limits of that key. `read` reads the data of the account. `billing` makes deposits. Each \
operation names its scopes, of which a key needs one; a key with none of them gets 403 \
`insufficient_scope`.

A session may do everything; you get its token by logging in. With a session cookie, changes also \
need the header `x-csrf-token`.";

/// Groups of operations, in the order in which a reader wants them.
const TAGS: [(&str, &str); 9] = [
    ("accounts", "Sign-up and password reset."),
    ("sessions", "Logging in and out."),
    ("account", "The account and its credentials."),
    ("keys", "API keys with their scopes and limits."),
    ("usage", "The cost of requests."),
    ("ledger", "All balance changes."),
    ("deposits", "Where to pay, and the status of deposits."),
    ("wallets", "The linked wallets of the account."),
    ("service", "The service as a whole."),
];

/// Refusals that many operations share: name, status, and what it says.
const SHARED: [(&str, &str, &str); 8] = [
    ("Malformed", "400", "`invalid_body`: not a JSON object with these fields. `invalid_request`."),
    ("Unauthenticated", "401", "`unauthenticated`: no valid API key or session."),
    (
        "Forbidden",
        "403",
        "`insufficient_scope`: the API key has none of the scopes of the operation. \
         `account_suspended`. `csrf_token`: a session cookie without its `x-csrf-token`.",
    ),
    (
        "SessionRequired",
        "403",
        "`session_required`: API keys cannot do this. `account_suspended`. `csrf_token`: a \
         session cookie without its `x-csrf-token`.",
    ),
    ("BodyLate", "408", "`request_timeout`: the body did not arrive in time."),
    ("BodyTooLarge", "413", "`body_too_large`: more than 64 KiB."),
    ("BodyEncoded", "415", "`body_encoding`: send the body uncompressed."),
    ("RateLimited", "429", "`rate_limited`: too many requests from this account."),
];

/// Of everything, when something of ours fails.
const UNAVAILABLE: (&str, &str, &str) =
    ("Unavailable", "503", "`unavailable`: try again. Nothing was changed.");

/// The document, ready to be sent.
pub struct Document {
    tree: OpenApi,
    text: Bytes,
    etag: String,
}

impl Document {
    /// Describes what is offered at a site.
    pub(super) fn new(site: &SiteSettings, endpoints: Endpoints) -> Self {
        let tree = describe(site, endpoints);
        let text = tree.to_json().unwrap_or_else(|error| {
            tracing::error!(
                error = %Causes(&error),
                "the OpenAPI document does not turn into JSON"
            );
            "{}".to_owned()
        });
        let etag = format!("\"{}\"", to_hex(&Sha256::digest(&text)));
        Self { tree, text: text.into(), etag }
    }

    /// As a tree, for pages.
    #[must_use]
    pub const fn tree(&self) -> &OpenApi {
        &self.tree
    }
}

/// Get this API description.
///
/// This document (OpenAPI 3.1). It changes only with releases and settings.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "get_openapi",
    responses(
        (status = 200, body = Object, description = "The document.",
            headers(("etag" = String, description = "Names this version of the document."))),
        (status = 304, description = "Unchanged since the version in `if-none-match`."),
    ),
)]
pub(super) async fn show(http: HttpRequest, api: Data<Api>) -> CachedDocument {
    let Document { text, etag, .. } = &api.document;
    let known = http.headers().get(IF_NONE_MATCH);
    let is_known = known.is_some_and(|known| known.as_bytes() == etag.as_bytes());
    CachedDocument { text: (!is_known).then(|| text.clone()), etag: etag.clone() }
}

/// The document, or 304 for those who have it. The handler's attribute describes it.
pub(super) struct CachedDocument {
    text: Option<Bytes>,
    etag: String,
}

impl Responder for CachedDocument {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let is_known = self.text.is_none();
        let status = if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        let mut response = HttpResponse::build(status);
        response.insert_header((CACHE_CONTROL, "public, max-age=300"));
        response.insert_header((ETAG, self.etag));
        match self.text {
            Some(text) => {
                response.insert_header((CONTENT_TYPE, "application/json"));
                response.body(text)
            }
            None => response.finish(),
        }
    }
}

impl ApiResponse for CachedDocument {
    fn describe(signature: &mut Signature) {
        signature.response(200);
        signature.response(304);
    }
}

fn describe(site: &SiteSettings, endpoints: Endpoints) -> OpenApi {
    let mut components = ComponentsBuilder::new().schema(Error::name(), Error::schema());
    let mut references = Vec::new();
    Error::schemas(&mut references);
    let mut paths = Paths::new();
    for endpoint in endpoints.all {
        references.extend(endpoint.schemas.iter().cloned());
        let method = method_of(&endpoint);
        let path = endpoint.path.clone();
        paths.add_path_operation(path, vec![method], complete(endpoint));
    }
    components = components.schemas_from_iter(references);
    for (name, status, text) in SHARED.into_iter().chain([UNAVAILABLE]) {
        components = components.response(name, refusal(status, text));
    }
    for (name, scheme) in schemes(site) {
        components = components.security_scheme(name, scheme);
    }
    let mut info =
        InfoBuilder::new().title(site.name.clone()).version("1").description(Some(DESCRIPTION));
    if let Some(email) = &site.support_email {
        info = info.contact(Some(ContactBuilder::new().email(Some(email)).build()));
    }
    let tag = |(name, text)| TagBuilder::new().name(name).description(Some(text)).build();
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([Server::new(site.base_url.as_str().trim_end_matches('/'))]))
        .paths(paths)
        .components(Some(components.build()))
        .tags(Some(TAGS.map(tag)))
        .build()
}

fn schemes(site: &SiteSettings) -> [(&'static str, SecurityScheme); 4] {
    let bearer =
        |text: &str| Http::builder().scheme(HttpAuthScheme::Bearer).description(Some(text)).build();
    [
        (
            "api_key",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
                "x-api-key",
                "An API key of the account.",
            ))),
        ),
        ("api_key_bearer", SecurityScheme::Http(bearer("An API key, sent as a bearer token."))),
        ("session", SecurityScheme::Http(bearer("A session token, from logging in."))),
        (
            "session_cookie",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
                session_cookie(site),
                "A browser session. Changes also need `x-csrf-token`.",
            ))),
        ),
    ]
}

/// An operation with what its table line and its body mean.
fn complete(endpoint: ApiEndpoint) -> Operation {
    let ApiEndpoint { mut operation, access, .. } = endpoint;
    operation.security = Some(requirements(access));
    let mut shared = vec![UNAVAILABLE];
    match access {
        Access::Anyone => {}
        Access::Key(_) => shared.extend(named("Forbidden")),
        Access::Session => shared.extend(named("SessionRequired")),
    }
    if access != Access::Anyone {
        shared.extend(["Unauthenticated", "RateLimited"].into_iter().filter_map(named));
    }
    if operation.request_body.is_some() {
        let body = ["Malformed", "BodyLate", "BodyTooLarge", "BodyEncoded"];
        shared.extend(body.into_iter().filter_map(named));
    }
    for (name, status, text) in shared {
        match operation.responses.responses.get_mut(status) {
            // The operation has refusals of its own with that status.
            Some(RefOr::T(own)) => own.description = format!("{} {text}", own.description),
            Some(RefOr::Ref(_)) => {}
            None => {
                let reference = RefOr::Ref(Ref::from_response_name(name));
                operation.responses.responses.insert(status.to_owned(), reference);
            }
        }
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            add_headers(status, response);
        }
    }
    operation
}

/// Each of these is enough. What a key must have stands in its list, as OpenAPI 3.1 has it for
/// schemes without OAuth.
fn requirements(access: Access) -> Vec<SecurityRequirement> {
    let none: [&str; 0] = [];
    let by_session =
        ["session", "session_cookie"].map(|scheme| SecurityRequirement::new(scheme, none));
    match access {
        Access::Anyone => Vec::new(),
        Access::Session => by_session.into(),
        Access::Key(scopes) => {
            let by_key = ["api_key", "api_key_bearer"].into_iter().flat_map(|scheme| {
                scopes.iter().map(move |scope| SecurityRequirement::new(scheme, [scope.as_str()]))
            });
            by_key.chain(by_session).collect()
        }
    }
}

fn named(name: &str) -> Option<(&'static str, &'static str, &'static str)> {
    SHARED.into_iter().find(|(own, ..)| *own == name)
}

fn refusal(status: &str, text: &str) -> Response {
    let schema = Ref::from_schema_name(Error::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let mut response =
        ResponseBuilder::new().description(text).content("application/json", content).build();
    add_headers(status, &mut response);
    response
}

/// The headers that every answer has, and every refusal that passes by itself.
fn add_headers(status: &str, response: &mut Response) {
    let header = |kind: Type, text: &str| {
        let schema = ObjectBuilder::new().schema_type(kind).build();
        RefOr::T(HeaderBuilder::new().schema(Some(schema)).description(Some(text)).build())
    };
    let named = header(Type::String, "Identifies this response. Quote it when you ask for help.");
    response.headers.insert("request-id".to_owned(), named);
    if matches!(status, "429" | "503") {
        let wait = header(Type::Integer, "Seconds to wait before trying again, if known.");
        response.headers.insert("retry-after".to_owned(), wait);
    }
}

fn method_of(endpoint: &ApiEndpoint) -> HttpMethod {
    match endpoint.method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "DELETE" => HttpMethod::Delete,
        "PATCH" => HttpMethod::Patch,
        _ => HttpMethod::Get,
    }
}
