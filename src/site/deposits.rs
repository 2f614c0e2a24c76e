//! `/deposits`: where to pay, what was paid, and what each payment waits for.

mod offer;
pub(super) mod own_address;
mod view;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::format::TimeElement;
use super::layout::Frame;
use super::page_error::PageError;
use super::page_request::PageRequest;
use super::select_option::SelectOption;
use super::{Site, page_request};
use crate::api::deposits::arrivals::Arrival;
use crate::api::deposits::document::{ChainsView, Claim, Deposit, DepositOrClaim};
use crate::api::deposits::{self as api, options};
use crate::config::Chain;
use crate::db::AnyConnection;
use crate::db::models::{chains, deposit_claims, deposits as rows, wallets};
use crate::deposits::arrivals as noticed;
use crate::deposits::claims::{self, Submitted};
use crate::deposits::{DepositError, addresses};
use crate::domain::evm::{EvmAddress, TxHash};
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;
use offer::{ChainOffer, PayOption};
use view::{DepositView, Fact};

/// Deposits on a page, and hashes.
const PAGE: i64 = 20;
/// Dollars that the page writes a payment link for, at most.
const AMOUNT_MAX: NanoUsd = NanoUsd::from_nanos(1_000_000_000_000_000);

#[derive(Template)]
#[template(path = "deposits.html")]
struct DepositsPage {
    frame: Frame,
    offers: Vec<ChainOffer>,
    /// The account may have an address of its own issued.
    may_issue: bool,
    /// For the wallet of a browser.
    options: Vec<PayOption>,
    /// Dollars that somebody wants to pay, as typed.
    amount: String,
    /// The same for the script, where they are an amount.
    dollars: String,
    /// Why they are not taken.
    amount_refusal: Option<&'static str>,
    /// The account's proven wallets, with spaces between.
    proven: String,
    /// Some offer has no address but the common one.
    needs_proof: bool,
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

#[derive(Template)]
#[template(path = "deposit.html")]
struct DepositDetailPage {
    frame: Frame,
    deposit: DepositView,
    facts: Vec<Fact>,
    block_time: Option<TimeElement>,
    created_at: TimeElement,
    updated_at: TimeElement,
    is_claim: bool,
    /// What a claim has found.
    found: Vec<DepositView>,
}

/// `GET /deposits`
pub(super) async fn list(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let page = list_page(&site, visit, (String::new(), String::new(), None)).await?;
        visit.page(&page)
    })
    .await
}

/// What the list is made of.
struct DepositsData {
    own: Option<EvmAddress>,
    proven: Vec<EvmAddress>,
    deposits: Vec<Deposit>,
    has_more: bool,
    claims: Vec<Claim>,
    arrivals: Vec<Arrival>,
    stands: Vec<chains::ChainRow>,
}

async fn list_page(
    site: &Site,
    visit: &PageRequest<'_>,
    (chain, tx_hash, refusal): (String, String, Option<String>),
) -> Result<DepositsPage, PageError> {
    let (account_id, query) = (visit.person()?.account_id(), visit.query());
    let before = Some(query.word("before").to_owned()).filter(|id| !id.is_empty());
    let is_first = before.is_none();
    let written = query.word("amount").to_owned();
    let amount = dollars(&written);
    let configured = site.settings().chains.clone();
    let derives = site.settings().deposits.account_xpub.is_some();
    let read = move |conn: &mut AnyConnection| {
        let own = addresses::issued(conn, account_id)?.filter(|_| derives);
        find(conn, &configured, account_id, own, before.as_deref())
    };
    let found = site.run(read).await?.ok_or(PageError::NotFound)?;
    let configured = &site.settings().chains;
    let chosen = amount.ok().flatten();
    let may_issue = derives && found.own.is_none();
    let offers = options::offers(configured, (found.own, may_issue), found.stands, chosen);
    let offers: Vec<ChainOffer> =
        offers.into_iter().map(|offer| ChainOffer::of(offer, chosen.is_some())).collect();
    let names = configured.iter().map(|one| (one.name.clone(), one.display_name.clone()));
    let proven: Vec<String> = found.proven.iter().map(EvmAddress::checksummed).collect();
    // A hash whose deposits are listed above has nothing more to say.
    let is_listed = |claim: &Claim| found.deposits.iter().any(|one| one.tx_hash == claim.tx_hash);
    let ids = found.deposits.iter().map(|one| &one.id);
    let ids: Vec<&str> =
        ids.chain(found.claims.iter().map(|one| &one.id)).map(String::as_str).collect();
    let known = is_first.then(|| ids.join(" "));
    let claims = found.claims.iter().filter(|claim| !is_listed(claim));
    Ok(DepositsPage {
        frame: visit.frame("Deposits"),
        needs_proof: offers.iter().any(|offer| offer.needs_proof),
        options: PayOption::of(&offers),
        offers,
        may_issue,
        amount: written,
        dollars: chosen.map(|amount| amount.to_string()).unwrap_or_default(),
        amount_refusal: amount.err(),
        proven: proven.join(" "),
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

/// Dollars as people type them, with a point or a comma; none where nothing is typed.
fn dollars(written: &str) -> Result<Option<NanoUsd>, &'static str> {
    let digits = written.trim().trim_start_matches('$').trim();
    if digits.is_empty() {
        return Ok(None);
    }
    let digits = match digits.rsplit_once(',') {
        // A comma before one or two digits is where others write a point.
        Some((whole, cents)) if cents.len() <= 2 && !whole.contains([',', '.']) => {
            format!("{whole}.{cents}")
        }
        _ => digits.to_owned(),
    };
    let amount: Option<NanoUsd> = digits.parse().ok();
    let amount = amount.filter(|amount| *amount > NanoUsd::ZERO && *amount <= AMOUNT_MAX);
    amount.map(Some).ok_or("Enter an amount in dollars, for example 25 or 12.50.")
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
    let linked = wallets::of_account(conn, account_id)?;
    let in_force = linked.iter().filter(|wallet| wallet.ended_at.is_none());
    let proven = in_force.map(|wallet| wallet.address).collect();
    let arrived = match before {
        None => noticed::of_account(conn, account_id)?,
        Some(_) => Vec::new(),
    };
    let stands = chains::all(conn)?;
    let documents = ChainsView::new(configured, stands.clone());
    Ok(Some(DepositsData {
        own,
        proven,
        deposits: documents.deposits(conn, &deposits)?,
        has_more,
        claims: claims.iter().map(|claim| documents.claim(claim)).collect(),
        arrivals: arrived.iter().map(|one| Arrival::of(configured, one)).collect(),
        stands,
    }))
}

/// `POST /deposits`: a hash to follow.
pub(super) async fn claim(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let account_id = visit.actor()?.account_id();
        let fields = visit.form().await?;
        let (chain, written) = (fields.word("chain").to_owned(), fields.word("tx_hash").to_owned());
        let refused = match submit(&site, account_id, &chain, &written).await? {
            Ok(id) => return visit.see_other(&format!("/deposits/{id}"), None),
            Err(words) => words,
        };
        let page = list_page(&site, visit, (chain, written, Some(refused))).await?;
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
        return Ok(Err("Choose a chain from the list.".to_owned()));
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
        Submitted::TooManyOpen => {
            Err(format!("{open} of your hashes are still being looked up. Wait for one of them."))
        }
        Submitted::TooManyRecent => {
            Err(format!("You have submitted {recent} hashes within the hour. Try again later."))
        }
    })
}

/// `GET /deposits/{id}`: a deposit, or a hash that was submitted.
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let account_id = visit.person()?.account_id();
        let id = visit.part("id").to_owned();
        let configured = site.settings().chains.clone();
        let read = move |conn: &mut AnyConnection| api::find(conn, &configured, account_id, &id);
        let found = site.run(read).await?.ok_or(PageError::NotFound)?;
        let configured = &site.settings().chains;
        let page = match &found {
            DepositOrClaim::Deposit(deposit) => DepositDetailPage {
                frame: visit.frame("Deposit"),
                deposit: DepositView::of_deposit(deposit, configured).alone(),
                facts: view::facts_of_deposit(deposit),
                block_time: Some(TimeElement(deposit.block_time.0)),
                created_at: TimeElement(deposit.created_at.0),
                updated_at: TimeElement(deposit.updated_at.0),
                is_claim: false,
                found: Vec::new(),
            },
            DepositOrClaim::Claim(claim) => DepositDetailPage {
                frame: visit.frame("Transaction"),
                deposit: DepositView::of_claim(claim, configured).alone(),
                facts: view::facts_of_claim(claim),
                block_time: None,
                created_at: TimeElement(claim.created_at.0),
                updated_at: TimeElement(claim.updated_at.0),
                is_claim: true,
                found: claim
                    .deposits
                    .iter()
                    .flatten()
                    .map(|deposit| DepositView::of_deposit(deposit, configured))
                    .collect(),
            },
        };
        visit.page(&page)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::dollars;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        let read = |text| dollars(text).map(|sum| sum.map(|sum| sum.to_string()));
        for (text, sum) in
            [("25", "25.00"), ("$12.50", "12.50"), ("0,5", "0.50"), (" $ 3 ", "3.00")]
        {
            assert_eq!(read(text), Ok(Some(sum.to_owned())), "{text}");
        }
        assert_eq!((read(""), read(" ")), (Ok(None), Ok(None)));
        for text in ["0", "-1", "ten", "1,000", "1.000,50", "1000001", "1e3"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
