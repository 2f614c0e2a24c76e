//! `/privacy/versions` and `/terms/versions`: every version that was published, with its whole text
//! as it was.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use crate::db::models::policies::{self as rows, PolicyRow};
use crate::domain::policy::{PolicyKind, PolicyVersion};
use crate::policies::{PolicyVersions, hex};
use crate::site::Site;
use crate::site::format::TimeElement;
use crate::site::layout::Frame;
use crate::site::page_error::PageError;
use crate::site::page_request::{self, PageRequest};

#[derive(Template)]
#[template(path = "policy_versions.html")]
struct VersionsPage {
    frame: Frame,
    kind: PolicyKind,
    /// The day by the settings, where no version is in force.
    set: Option<String>,
    lines: Vec<VersionLine>,
}

#[derive(Template)]
#[template(path = "policy_version.html")]
struct VersionPage {
    frame: Frame,
    kind: PolicyKind,
    line: VersionLine,
    /// The operator's words, by paragraph.
    words: Vec<String>,
    hash: String,
    /// As our own templates made it.
    body: String,
}

/// A version in a list.
pub(super) struct VersionLine {
    pub(super) number: i64,
    pub(super) link: String,
    pub(super) in_force: String,
    published_at: TimeElement,
    /// Its status.
    state: &'static str,
    is_significant: bool,
}

impl VersionLine {
    pub(super) fn of(row: &PolicyRow) -> Self {
        Self {
            number: row.number,
            link: format!("/{}/versions/{}", row.kind, row.number),
            in_force: row.in_force().to_string(),
            published_at: TimeElement(row.published_at),
            state: "earlier",
            is_significant: row.is_significant,
        }
    }

    fn in_state(row: &PolicyRow, state: &'static str) -> Self {
        Self { state, ..Self::of(row) }
    }

    /// The newest first.
    fn all(standing: &PolicyVersions) -> Vec<Self> {
        let announced = standing.announced.iter().rev().map(|row| Self::in_state(row, "announced"));
        let in_force = standing.in_force.iter().map(|row| Self::in_state(row, "in force"));
        announced.chain(in_force).chain(standing.earlier.iter().map(Self::of)).collect()
    }
}

/// `GET /privacy/versions`
pub(in crate::site) async fn of_privacy(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| list(visit, PolicyKind::Privacy).await)
        .await
}

/// `GET /terms/versions`
pub(in crate::site) async fn of_terms(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| list(visit, PolicyKind::Terms).await)
        .await
}

/// `GET /privacy/versions/{number}`
pub(in crate::site) async fn one_of_privacy(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| one(visit, PolicyKind::Privacy).await)
        .await
}

/// `GET /terms/versions/{number}`
pub(in crate::site) async fn one_of_terms(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| one(visit, PolicyKind::Terms).await)
        .await
}

async fn list(visit: &mut PageRequest<'_>, kind: PolicyKind) -> Result<HttpResponse, PageError> {
    let now = visit.site.now();
    let standing = visit.site.run(move |conn| PolicyVersions::at(conn, kind, now)).await?;
    let settings = &visit.site.settings().site;
    let set = match kind {
        PolicyKind::Privacy => settings.privacy_in_force,
        PolicyKind::Terms => settings.terms_in_force,
    };
    visit.public_page(&VersionsPage {
        frame: visit.frame(format!("{}: all versions", kind.title())),
        kind,
        set: standing.in_force.is_none().then(|| set.to_string()),
        lines: VersionLine::all(&standing),
    })
}

async fn one(visit: &mut PageRequest<'_>, kind: PolicyKind) -> Result<HttpResponse, PageError> {
    let version = format!("{kind}/{}", visit.part("number"));
    let version: PolicyVersion = version.parse().map_err(|_| PageError::NotFound)?;
    let now = visit.site.now();
    let found = visit.site.run(move |conn| {
        let Some(row) = rows::get(conn, version)? else { return Ok(None) };
        let body = rows::body(conn, row.id)?;
        Ok::<_, crate::db::DbError>(Some((row, body, PolicyVersions::at(conn, kind, now)?)))
    });
    let (row, body, standing) = found.await?.ok_or(PageError::NotFound)?;
    let mut lines = VersionLine::all(&standing);
    lines.retain(|line| line.number == row.number);
    visit.public_page(&VersionPage {
        frame: visit.frame(format!("{}: version {}", kind.title(), row.number)),
        kind,
        line: lines.pop().ok_or(PageError::NotFound)?,
        words: row.words.split("\n\n").map(|part| part.trim().to_owned()).collect(),
        hash: hex(&row.body_hash),
        body,
    })
}
