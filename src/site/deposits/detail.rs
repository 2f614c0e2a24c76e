//! `/deposits/{id}`: a deposit, or a hash that was submitted: first where it stands and what comes
//! next, then what may be held against the chain. A hash with one deposit leads to that.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::facts::{self, BookReceipt, Explorer, Fact};
use super::view::DepositView;
use crate::api::deposits as api;
use crate::api::deposits::document::{Claim, Deposit, DepositOrClaim};
use crate::config::Chain;
use crate::db::AnyConnection;
use crate::db::models::deposits::{self as rows, DepositRow};
use crate::db::models::{accounts, api_keys};
use crate::deposits::DepositError;
use crate::domain::deposit::DepositState;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;
use crate::site::format::{Cents, SignedDollars, TimeElement};
use crate::site::layout::Frame;
use crate::site::page_error::PageError;
use crate::site::page_request::PageRequest;
use crate::site::{Site, page_request};

#[derive(Template)]
#[template(path = "deposit.html")]
struct DepositDetailPage {
    frame: Frame,
    deposit: DepositView,
    facts: Vec<Fact>,
    /// Where the explorer shows the transaction, and the explorer's host.
    explorer: Option<(String, String)>,
    block_time: Option<TimeElement>,
    created_at: TimeElement,
    updated_at: TimeElement,
    next: Option<NextAct>,
    receipt: Option<BookReceipt>,
    is_claim: bool,
    /// What a claim has found.
    found: Vec<DepositView>,
}

/// What to do next, beside what the state's sentence says.
enum NextAct {
    /// The balance has grown: by how much it stands, and whether there is a key to spend it with.
    Spend { balance: Cents, has_keys: bool },
    /// So much more of the same coin makes a credit.
    SendMore { missing: SignedDollars, coin: String },
    /// A person decides.
    Ask,
}

/// What the page is made of beside the document.
struct DetailData {
    found: DepositOrClaim,
    row: Option<DepositRow>,
    email: String,
    balance: NanoUsd,
    has_keys: bool,
    /// What deposits of the same kind come to that are below the minimum.
    below: NanoUsd,
}

/// `GET /deposits/{id}`
pub(in crate::site) async fn show(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let account_id = visit.person()?.account_id();
        let id = visit.part("id").to_owned();
        let configured = site.settings().chains.clone();
        let read = move |conn: &mut AnyConnection| find(conn, &configured, account_id, &id);
        let data = site.run(read).await?.ok_or(PageError::NotFound)?;
        let page = match &data.found {
            DepositOrClaim::Deposit(deposit) => of_deposit(&site, visit, deposit, &data),
            DepositOrClaim::Claim(claim) => match claim.deposits.as_deref() {
                Some([only]) => return visit.see_other(&format!("/deposits/{}", only.id), None),
                _ => of_claim(&site, visit, claim),
            },
        };
        visit.page(&page)
    })
    .await
}

fn find(
    conn: &mut AnyConnection,
    configured: &[Chain],
    account_id: AccountId,
    id: &str,
) -> Result<Option<DetailData>, DepositError> {
    let Some(found) = api::find(conn, configured, account_id, id)? else { return Ok(None) };
    let Some(account) = accounts::get(conn, account_id)? else { return Ok(None) };
    let row = rows::find(conn, id)?;
    let below = match &row {
        Some(row) if row.state == DepositState::BelowMinimum => {
            let all = rows::below_minimum(conn, account_id, row.chain_id, row.token)?;
            all.iter().filter_map(|one| one.value_nanousd).fold(NanoUsd::ZERO, |sum, value| {
                // More than there is money does not fit, and is no small deposit.
                sum.plus(value).unwrap_or(sum)
            })
        }
        _ => NanoUsd::ZERO,
    };
    Ok(Some(DetailData {
        found,
        row,
        email: account.email,
        balance: account.available_nanousd,
        has_keys: api_keys::count_unrevoked(conn, account_id)? > 0,
        below,
    }))
}

fn of_deposit(
    site: &Site,
    visit: &PageRequest<'_>,
    deposit: &Deposit,
    data: &DetailData,
) -> DepositDetailPage {
    let settings = site.settings();
    let chains = &settings.chains;
    let chain = chains.iter().find(|chain| chain.name == deposit.chain);
    let view = DepositView::of_deposit(deposit, chains);
    let price = data.row.as_ref().and_then(|row| facts::oracle_price(row, chain));
    let explorer = Explorer::of(&deposit.chain, chains);
    let operator = settings.site.operator.as_deref().unwrap_or(&settings.site.name);
    let is_credited = view.state == DepositState::Credited.as_str();
    let receipt = BookReceipt::of(deposit, price, (operator, &data.email));
    DepositDetailPage {
        frame: visit.frame(format!("{}: {}", view.state_title, view.title)),
        facts: facts::of_deposit(deposit, price, &explorer),
        explorer: shown_at(&explorer, &deposit.tx_hash),
        block_time: Some(TimeElement(deposit.block_time.0)),
        created_at: TimeElement(deposit.created_at.0),
        updated_at: TimeElement(deposit.updated_at.0),
        next: next(deposit, chain, data),
        receipt: receipt.filter(|_| is_credited),
        is_claim: false,
        found: Vec::new(),
        deposit: view,
    }
}

fn of_claim(site: &Site, visit: &PageRequest<'_>, claim: &Claim) -> DepositDetailPage {
    let chains = &site.settings().chains;
    let explorer = Explorer::of(&claim.chain, chains);
    let mut view = DepositView::of_claim(claim, chains);
    // The whole hash stands below.
    view.title = format!("Transaction {}", shortened(&claim.tx_hash));
    let found = claim.deposits.iter().flatten();
    DepositDetailPage {
        frame: visit.frame(format!("{}: {}", view.state_title, view.title)),
        facts: facts::of_claim(claim, &explorer),
        explorer: shown_at(&explorer, &claim.tx_hash),
        block_time: None,
        created_at: TimeElement(claim.created_at.0),
        updated_at: TimeElement(claim.updated_at.0),
        next: None,
        receipt: None,
        is_claim: true,
        found: found.map(|deposit| DepositView::of_deposit(deposit, chains)).collect(),
        deposit: view,
    }
}

fn next(deposit: &Deposit, chain: Option<&Chain>, data: &DetailData) -> Option<NextAct> {
    match DepositState::parse(&deposit.state)? {
        DepositState::Credited => {
            Some(NextAct::Spend { balance: Cents(data.balance), has_keys: data.has_keys })
        }
        DepositState::BelowMinimum => {
            let row = data.row.as_ref()?;
            let token = chain?.tokens.iter().find(|token| Some(token.address) == row.token);
            let native = chain?.native.as_ref().filter(|_| row.token.is_none());
            let minimum = token.map(|token| token.minimum).or(native.map(|coin| coin.minimum))?;
            let missing = minimum.minus(data.below).ok()?;
            let coin = deposit.asset.clone()?;
            (missing > NanoUsd::ZERO)
                .then_some(NextAct::SendMore { missing: SignedDollars(missing), coin })
        }
        DepositState::Held | DepositState::Rejected => Some(NextAct::Ask),
        _ => None,
    }
}

/// Where the explorer shows a transaction, and how it is called.
fn shown_at(explorer: &Explorer<'_>, tx_hash: &str) -> Option<(String, String)> {
    let href = explorer.transaction(tx_hash)?;
    let host = href.split('/').nth(2)?.to_owned();
    Some((href, host))
}

/// `0xab12cd…9f03`: the beginning and the end of a hash or an address.
pub(in crate::site) fn shortened(hash: &str) -> String {
    let (start, end) = (hash.get(..8), hash.len().checked_sub(4).and_then(|at| hash.get(at..)));
    match (start, end) {
        (Some(start), Some(end)) if hash.len() > 13 => format!("{start}…{end}"),
        _ => hash.to_owned(),
    }
}
