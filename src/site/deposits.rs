//! `/deposits`: where to pay, what was paid, and what each payment waits for.

pub(super) mod checkout;
pub(super) mod detail;
mod estimate;
mod facts;
pub(super) mod own_address;
mod view;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::layout::Frame;
use super::page_error::PageError;
use super::page_request::PageRequest;
use super::select_option::SelectOption;
use super::{Site, page_request};
use crate::api::Api;
use crate::api::deposits::arrivals::Arrival;
use crate::api::deposits::document::{ChainsView, Claim, Deposit};
use crate::api::deposits::options;
use crate::api::deposits::quotes::coin_prices;
use crate::config::Chain;
use crate::db::AnyConnection;
use crate::db::models::wallets::WalletRow;
use crate::db::models::{chains, deposit_claims, deposits as rows, wallets};
use crate::deposits::arrivals as noticed;
use crate::deposits::claims::{self, Submitted};
use crate::deposits::{DepositError, addresses};
use crate::domain::evm::{EvmAddress, TxHash};
use crate::domain::ids::AccountId;
use checkout::{Checkout, WantedPayment};
use view::DepositView;

/// Deposits on a page, and hashes.
const PAGE: i64 = 20;

#[derive(Template)]
#[template(path = "deposits.html")]
struct DepositsPage {
    frame: Frame,
    /// None where no chain accepts deposits.
    checkout: Option<Checkout>,
    /// The account may have an address of its own issued.
    may_issue: bool,
    /// Some account has an address of its own, so that exchanges can be paid from.
    has_own: bool,
    /// The account's linked wallets.
    wallets: Vec<LinkedWallet>,
    /// Their addresses, with spaces between, for the script.
    proven: String,
    /// The chains and their numbers, for the script: `base:8453`.
    chains_text: String,
    chains: Vec<SelectOption>,
    tx_hash: String,
    refusal: Option<String>,
    deposits: Vec<DepositView>,
    claims: Vec<DepositView>,
    /// What arrived at the own address and is no deposit.
    arrivals: Vec<Arrival>,
    /// The ids of all that is known on the first page, for the script; `None` on others.
    known: Option<String>,
    /// The id of the last deposit here, if older ones follow.
    next: Option<String>,
}

struct LinkedWallet {
    address: String,
    label: Option<String>,
}

/// `GET /deposits`
pub(super) async fn list(
    http: HttpRequest,
    payload: Payload,
    (site, interface): (Data<Site>, Data<Api>),
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let written = (String::new(), String::new(), None);
        let page = list_page((&site, &interface), visit, written).await?;
        visit.page(&page)
    })
    .await
}

/// What the list is made of.
struct DepositsData {
    own: Option<EvmAddress>,
    linked: Vec<WalletRow>,
    deposits: Vec<Deposit>,
    has_more: bool,
    claims: Vec<Claim>,
    arrivals: Vec<Arrival>,
    stands: Vec<chains::ChainRow>,
}

async fn list_page(
    (site, interface): (&Site, &Api),
    visit: &PageRequest<'_>,
    (chain, tx_hash, refusal): (String, String, Option<String>),
) -> Result<DepositsPage, PageError> {
    let (account_id, query) = (visit.person()?.account_id(), visit.query());
    let before = Some(query.word("before").to_owned()).filter(|id| !id.is_empty());
    let is_first = before.is_none();
    let wanted = WantedPayment::read(query.word("amount"), query.word("with"));
    let configured = site.settings().chains.clone();
    let derives = site.settings().deposits.account_xpub.is_some();
    let read = move |conn: &mut AnyConnection| {
        let own = addresses::issued(conn, account_id)?.filter(|_| derives);
        find(conn, &configured, account_id, own, before.as_deref())
    };
    let found = site.run(read).await?.ok_or(PageError::NotFound)?;
    let configured = &site.settings().chains;
    let may_issue = derives && found.own.is_none();
    let prices = coin_prices(interface).await;
    let asked = (&prices, Some(wanted.amount()));
    let offers = options::offers(configured, (found.own, may_issue), found.stands, asked);
    let names = configured.iter().map(|one| (one.name.clone(), one.display_name.clone()));
    let pairs = configured.iter().map(|chain| format!("{}:{}", chain.name, chain.chain_id));
    let wallet = |row: &WalletRow| LinkedWallet {
        address: row.address.checksummed(),
        label: row.label.clone(),
    };
    let wallets: Vec<LinkedWallet> = found.linked.iter().map(wallet).collect();
    let proven: Vec<&str> = wallets.iter().map(|wallet| wallet.address.as_str()).collect();
    // A hash whose deposits are listed above has nothing more to say.
    let is_listed = |claim: &Claim| found.deposits.iter().any(|one| one.tx_hash == claim.tx_hash);
    let ids = found.deposits.iter().map(|one| &one.id);
    let ids: Vec<&str> =
        ids.chain(found.claims.iter().map(|one| &one.id)).map(String::as_str).collect();
    let known = is_first.then(|| ids.join(" "));
    let claims = found.claims.iter().filter(|claim| !is_listed(claim));
    Ok(DepositsPage {
        frame: visit.frame("Deposits"),
        checkout: Checkout::of(&offers, &wanted),
        may_issue,
        has_own: derives,
        proven: proven.join(" "),
        wallets,
        chains_text: pairs.collect::<Vec<_>>().join(" "),
        chains: SelectOption::list(names, &chain),
        tx_hash,
        refusal,
        known,
        next: found.deposits.last().filter(|_| found.has_more).map(|last| last.id.clone()),
        deposits: found
            .deposits
            .iter()
            .map(|deposit| DepositView::of_deposit(deposit, configured))
            .collect(),
        arrivals: found.arrivals,
        claims: claims.map(|claim| DepositView::of_claim(claim, configured)).collect(),
    })
}

/// `None` where `before` is no deposit of this account.
fn find(
    conn: &mut AnyConnection,
    configured: &[Chain],
    account_id: AccountId,
    own: Option<EvmAddress>,
    before: Option<&str>,
) -> Result<Option<DepositsData>, DepositError> {
    let below = match before {
        None => i64::MAX,
        Some(id) => match rows::find(conn, id)?.filter(|row| row.account_id == Some(account_id)) {
            Some(row) => row.id,
            None => return Ok(None),
        },
    };
    // One more tells whether there are more.
    let mut deposits = rows::of_account(conn, account_id, below, PAGE.saturating_add(1))?;
    let most = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let has_more = deposits.len() > most;
    deposits.truncate(most);
    let claims = match before {
        None => deposit_claims::of_account(conn, account_id, i64::MAX, PAGE)?,
        Some(_) => Vec::new(),
    };
    let mut linked = wallets::of_account(conn, account_id)?;
    linked.retain(|wallet| wallet.ended_at.is_none());
    let arrived = match before {
        None => noticed::of_account(conn, account_id)?,
        Some(_) => Vec::new(),
    };
    let stands = chains::all(conn)?;
    let documents = ChainsView::new(configured, stands.clone());
    Ok(Some(DepositsData {
        own,
        linked,
        deposits: documents.deposits(conn, &deposits)?,
        has_more,
        claims: claims.iter().map(|claim| documents.claim(claim)).collect(),
        arrivals: arrived.iter().map(|one| Arrival::of(configured, one)).collect(),
        stands,
    }))
}

/// `POST /deposits`: a hash to follow.
pub(super) async fn claim(
    http: HttpRequest,
    payload: Payload,
    (site, interface): (Data<Site>, Data<Api>),
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let account_id = visit.actor()?.account_id();
        let fields = visit.form().await?;
        let (chain, written) = (fields.word("chain").to_owned(), fields.word("tx_hash").to_owned());
        let refused = match submit(&site, account_id, &chain, &written).await? {
            Ok(id) => return visit.see_other(&format!("/deposits/{id}"), None),
            Err(words) => words,
        };
        let page = list_page((&site, &interface), visit, (chain, written, Some(refused))).await?;
        visit.page_again(&page)
    })
    .await
}

/// The id of the claim, or why there is none.
async fn submit(
    site: &Site,
    account_id: AccountId,
    chain: &str,
    tx_hash: &str,
) -> Result<Result<String, String>, PageError> {
    let settings = site.settings();
    let Some(chain) = settings.chains.iter().find(|known| known.name == chain) else {
        return Ok(Err("Choose a network from the list.".to_owned()));
    };
    let tx_hash = match TxHash::parse_written(tx_hash) {
        Ok(tx_hash) => tx_hash,
        Err(error) => {
            return Ok(Err(format!("This is not a transaction hash: it {error}.")));
        }
    };
    let (chain_id, limits, now) = (chain.chain_id, settings.deposits.clone(), site.now());
    let (open, recent) = (limits.open_claims_max_per_account, limits.claims_per_hour_per_account);
    let submit = move |conn: &mut AnyConnection| {
        claims::submit(conn, account_id, chain_id, tx_hash, &limits, now)
    };
    Ok(match site.run(submit).await? {
        Submitted::Kept(claim) => Ok(claim.public_id),
        Submitted::TooManyOpen => Err(format!(
            "We are still looking up {open} of your transactions. Wait until one is done."
        )),
        Submitted::TooManyRecent => {
            Err(format!("You have submitted {recent} hashes within the hour. Try again later."))
        }
    })
}
