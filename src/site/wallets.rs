//! `/wallets`: the wallets of an account, and two ways to prove one: by the script with a wallet of
//! the browser, or by hand with whatever signs elsewhere.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::deposits::detail::shortened;
use super::flash::Flash;
use super::format::{ShortTime, TimeElement};
use super::layout::Frame;
use super::page_error::PageError;
use super::page_request::PageRequest;
use super::select_option::SelectOption;
use super::{Site, page_request};
use crate::api::Api;
use crate::api::wallets as api;
use crate::db::AnyConnection;
use crate::db::models::wallets as rows;
use crate::deposits::challenge::Origin;
use crate::deposits::clipboard;
use crate::deposits::siwe::SiweMessage;
use crate::deposits::wallets;
use crate::domain::evm::{ChainId, EvmAddress};
use crate::domain::ids::AccountId;
use crate::domain::plain_text::is_plain;

#[derive(Template)]
#[template(path = "wallets.html")]
struct WalletsPage {
    frame: Frame,
    wallets: Vec<WalletView>,
    chains: Vec<SelectOption>,
    /// For the script: `base:8453 ethereum:1`.
    chains_text: String,
    /// A chain was chosen, which matters to contracts.
    is_chain_chosen: bool,
    address: String,
    challenge: Option<WalletChallenge>,
    refusal: Option<String>,
}

struct WalletView {
    id: String,
    address: String,
    /// The same, shortened.
    short: String,
    /// What its owner calls it.
    label: Option<String>,
    /// The name as it stands in the form.
    written: String,
    /// Why that is not taken.
    refusal: Option<String>,
    kind: String,
    proven_at: ShortTime,
    /// When another account proved it.
    moved_at: Option<ShortTime>,
}

/// What is to be signed elsewhere.
struct WalletChallenge {
    address: String,
    /// The name of the chain.
    chain: String,
    message: String,
    expires_at: Option<TimeElement>,
    /// What was brought back and is not taken.
    signature: String,
}

/// What was written into the form.
#[derive(Default)]
struct WalletFields {
    chain: String,
    address: String,
    refusal: Option<String>,
}

/// `GET /wallets`
pub(super) async fn list(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let query = visit.query();
        let (chain, address) = (query.word("chain").to_owned(), query.word("address").to_owned());
        let page = page(&site, visit, WalletFields { chain, address, refusal: None }).await?;
        visit.page(&page)
    })
    .await
}

async fn page(
    site: &Site,
    visit: &PageRequest<'_>,
    written: WalletFields,
) -> Result<WalletsPage, PageError> {
    let account_id = visit.person()?.account_id();
    let found = site.run(move |conn| rows::of_account(conn, account_id)).await?;
    let configured = &site.settings().chains;
    let wallet = |row| {
        let document = api::document(configured, row);
        WalletView {
            id: document.id,
            short: shortened(document.address.as_deref().unwrap_or_default()),
            address: document.address.unwrap_or_default(),
            written: document.label.clone().unwrap_or_default(),
            label: document.label,
            refusal: None,
            kind: match document.chain {
                None => "Works on all networks".to_owned(),
                Some(chain) => format!("Smart-contract wallet on {chain}"),
            },
            proven_at: ShortTime(document.proven_at.0),
            moved_at: document.ended_at.map(|at| ShortTime(at.0)),
        }
    };
    let names = configured.iter().map(|one| (one.name.clone(), one.display_name.clone()));
    let pairs = configured.iter().map(|chain| format!("{}:{}", chain.name, chain.chain_id));
    Ok(WalletsPage {
        frame: visit.frame("Wallets"),
        wallets: found.iter().map(wallet).collect(),
        is_chain_chosen: !written.chain.is_empty(),
        chains: SelectOption::list(names, &written.chain),
        chains_text: pairs.collect::<Vec<_>>().join(" "),
        address: written.address,
        challenge: None,
        refusal: written.refusal,
    })
}

/// `POST /wallets/challenge`: the page with a message to sign elsewhere.
pub(super) async fn challenge(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let account_id = visit.actor()?.account_id();
        let fields = visit.form().await?;
        let (chain, address) = (fields.word("chain").to_owned(), fields.word("address").to_owned());
        let settings = site.settings();
        let chain_id = settings.chains.iter().find(|one| one.name == chain).map(|one| one.chain_id);
        let wallet = EvmAddress::parse_written(&clipboard::address(&address));
        let (chain_id, wallet) = match (chain_id, wallet) {
            (Some(chain_id), Ok(wallet)) => (chain_id, wallet),
            (None, _) => {
                let refusal = Some("Choose a network from the list.".to_owned());
                let page = page(&site, visit, WalletFields { chain, address, refusal }).await?;
                return visit.page_again(&page);
            }
            (_, Err(error)) => {
                let refusal = Some(format!("This is not a wallet address: it {error}."));
                let page = page(&site, visit, WalletFields { chain, address, refusal }).await?;
                return visit.page_again(&page);
            }
        };
        let Some(message) = ask_for(&site, account_id, (wallet, chain_id)).await? else {
            let refusal =
                Some("Too many messages requested within the hour. Try again later.".to_owned());
            let page = page(&site, visit, WalletFields { chain, address, refusal }).await?;
            return visit.page_again(&page);
        };
        let mut page = page(&site, visit, WalletFields::default()).await?;
        page.challenge = Some(WalletChallenge {
            address: wallet.checksummed(),
            chain,
            message: message.to_string(),
            expires_at: message.expires_at.map(TimeElement),
            signature: String::new(),
        });
        visit.page(&page)
    })
    .await
}

/// A message for a wallet; `None` if the account has had as many within the hour as it may have.
async fn ask_for(
    site: &Site,
    account_id: AccountId,
    wallet: (EvmAddress, ChainId),
) -> Result<Option<SiweMessage>, PageError> {
    let settings = site.settings();
    let origin = Origin::new(&settings.site.name, &settings.site.base_url);
    let (lifetime, now) = (settings.deposits.challenge, site.now());
    let ask = move |conn: &mut AnyConnection| {
        wallets::challenge(conn, &origin, account_id, wallet, lifetime, now)
    };
    site.run(ask).await
}

/// `POST /wallets/link`: a message, signed elsewhere.
pub(super) async fn link(
    http: HttpRequest,
    payload: Payload,
    (site, interface): (Data<Site>, Data<Api>),
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let account_id = visit.actor()?.account_id();
        let fields = visit.form().await?;
        let (message, signature) = (fields.text("message"), fields.word("signature"));
        let linked = api::link(&interface, account_id, message, signature).await;
        let Err((words, keeps)) = linked else {
            return visit.see_other("/wallets", Some(Flash::WalletLinked));
        };
        let (chain, address) = (fields.word("chain").to_owned(), fields.word("address").to_owned());
        let refusal = Some(words.into_owned());
        let written = WalletFields { chain: chain.clone(), address: address.clone(), refusal };
        let mut page = page(&site, visit, written).await?;
        page.challenge = if keeps {
            let (message, signature) = (message.replace("\r\n", "\n"), signature.to_owned());
            Some(WalletChallenge { address, chain, message, expires_at: None, signature })
        } else {
            again(&site, account_id, (chain, address), &mut page.refusal).await?
        };
        visit.page_again(&page)
    })
    .await
}

/// Another message for the same wallet, since the one before may be used up; `None` if it is not
/// known which, or there were too many.
async fn again(
    site: &Site,
    account_id: AccountId,
    (chain, address): (String, String),
    refusal: &mut Option<String>,
) -> Result<Option<WalletChallenge>, PageError> {
    let known = site.settings().chains.iter().find(|one| one.name == chain);
    let (Some(known), Ok(wallet)) = (known, EvmAddress::parse_written(&address)) else {
        return Ok(None);
    };
    let Some(message) = ask_for(site, account_id, (wallet, known.chain_id)).await? else {
        return Ok(None);
    };
    if let Some(words) = refusal {
        words.push_str(" Sign this new message instead.");
    }
    Ok(Some(WalletChallenge {
        address,
        chain,
        message: message.to_string(),
        expires_at: message.expires_at.map(TimeElement),
        signature: String::new(),
    }))
}

/// `POST /wallets/{id}/unlink`
pub(super) async fn unlink(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let (account_id, now) = (visit.actor()?.account_id(), site.now());
        visit.form().await?;
        let id = visit.part("id").to_owned();
        let is_ended = site.run(move |conn| wallets::unlink(conn, account_id, &id, now)).await?;
        if !is_ended {
            return Err(PageError::NotFound);
        }
        visit.see_other("/wallets", Some(Flash::WalletUnlinked))
    })
    .await
}

/// Characters of a wallet's name.
const LABEL_CHARS_MAX: usize = 40;

/// `POST /wallets/{id}/label`: what its owner calls a wallet.
pub(super) async fn rename(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let account_id = visit.actor()?.account_id();
        let fields = visit.form().await?;
        let id = visit.part("id").to_owned();
        let written = fields.text("label").trim().to_owned();
        if let Err(refusal) = check_label(&written) {
            let mut page = page(&site, visit, WalletFields::default()).await?;
            for wallet in page.wallets.iter_mut().filter(|wallet| wallet.id == id) {
                wallet.refusal = Some(refusal.to_owned());
                wallet.written.clone_from(&written);
            }
            return visit.page_again(&page);
        }
        let rename = move |conn: &mut AnyConnection| {
            let label = Some(written.as_str()).filter(|label| !label.is_empty());
            rows::set_label(conn, account_id, &id, label)
        };
        if !site.run(rename).await? {
            return Err(PageError::NotFound);
        }
        visit.see_other("/wallets", Some(Flash::WalletNamed))
    })
    .await
}

/// An empty one takes the name away.
fn check_label(label: &str) -> Result<(), &'static str> {
    if label.chars().count() > LABEL_CHARS_MAX {
        return Err("Use at most 40 characters.");
    }
    if !is_plain(label) {
        return Err("Use visible letters, digits and signs only.");
    }
    Ok(())
}
