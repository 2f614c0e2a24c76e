//! What every page has around it: names, links, the style, and who is looking.

use std::borrow::Cow;
use std::sync::Arc;

use super::assets::Assets;
use super::flash::Flash;
use super::icons::{Icon, icon};
use crate::config::{self, DARK_GROUND, LIGHT_GROUND};
use crate::domain::colour::Colour;

/// Pages for everybody, and what is below them.
const PUBLIC: [&str; 6] = ["/docs", "/status", "/privacy", "/terms", "/log-in", "/sign-up"];

/// What is the same on every page of this server.
pub(super) struct SiteLayout {
    pub(super) name: String,
    pub(super) tagline: String,
    pub(super) description: String,
    /// The address of this site, without a slash at its end.
    pub(super) base_url: String,
    pub(super) support_email: Option<String>,
    pub(super) may_sign_up: bool,
    pub(super) assets: Assets,
}

impl SiteLayout {
    pub(super) fn new(site: &config::SiteSettings, accounts: &config::Accounts) -> Self {
        Self {
            name: site.name.clone(),
            tagline: site.tagline.clone(),
            description: site.description.clone(),
            base_url: site.base_url.as_str().to_owned(),
            support_email: site.support_email.clone(),
            may_sign_up: accounts.sign_up_open,
            assets: Assets::new(site.accent),
        }
    }
}

/// What is around one page. Each page's template has one as its field `frame`.
pub(super) struct Frame {
    pub(super) site: Arc<SiteLayout>,
    /// What the page is called, without the site's name.
    pub(super) title: Cow<'static, str>,
    /// The path of the request.
    pub(super) path: String,
    pub(super) is_logged_in: bool,
    /// The account is suspended: every page says so, above all before anything is paid.
    pub(super) is_suspended: bool,
    /// The word that this page's forms send along; none where the page has no form.
    pub(super) csrf: Option<String>,
    /// What was done just before.
    pub(super) note: Option<Flash>,
}

impl Frame {
    /// The address of one of our own files.
    pub(super) fn asset(&self, name: &str) -> &str {
        self.site.assets.url(name)
    }

    /// A picture for a place beside words.
    #[expect(clippy::unused_self, reason = "templates reach everything through the frame")]
    pub(super) fn icon(&self, name: &str) -> Icon {
        icon(name)
    }

    /// Whether the page is for everybody, so that search engines may show it.
    pub(super) fn is_public(&self) -> bool {
        let is_listed = self.path == "/" || PUBLIC.iter().any(|start| self.is_at(start));
        !self.is_logged_in && is_listed && !self.path.ends_with("/confirm")
    }

    /// The colour behind the page, for what a browser draws around it.
    #[expect(clippy::unused_self, reason = "templates reach everything through the frame")]
    pub(super) const fn ground(&self, is_dark: bool) -> Colour {
        if is_dark { DARK_GROUND } else { LIGHT_GROUND }
    }

    /// The word of the page's forms.
    pub(super) fn word(&self) -> &str {
        self.csrf.as_deref().unwrap_or_default()
    }

    /// Whether the page is that of a link, or below it.
    pub(super) fn is_at(&self, link: &str) -> bool {
        self.path.strip_prefix(link).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}
