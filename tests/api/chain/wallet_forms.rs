//! Wallets prove themselves in the forms that exist: approved on chain, not deployed yet, compact,
//! and pasted by hand.

use ethers_core::abi::{Token, encode};
use ethers_core::types::{Address, Bytes, H256, U256};
use ethers_core::utils::{get_create2_address_from_hash, keccak256};
use serde_json::{Value, json};
use sluice::chain::provider::BlockId;
use sluice::chain::signature::is_valid_signature;
use sluice::chain::types::personal_message_hash;
use sluice::domain::deposit::DepositState;
use sluice::domain::evm::{BlockHash, EvmAddress};

use crate::support::api::{checksummed, hex};
use crate::support::app::Account;
use crate::support::chain::TestChain;
use crate::support::chain::asking::ask;
use crate::support::chain::contract::{Contract, creation};
use crate::support::chain::wallet::{Wallet, malleated};
use crate::support::client::Response;
use crate::support::deposits::{Shop, USDC};
use crate::support::rpc::Provider;
use crate::support::rpc::fault::Fault;

const DOLLAR: i64 = 1_000_000_000;

/// What deploys by CREATE2 whatever it is sent, at this address on every chain; anvil has it from
/// the start.
const FACTORY: &str = "0x4e59b44847b379578588920ca78fbf26c0b4956c";

/// A wallet that is a contract and is not deployed yet.
struct Unborn {
    address: Address,
    factory: Address,
    data: Vec<u8>,
}

impl Unborn {
    fn of(owner: &Wallet, salt: u8) -> Self {
        let code = creation("Wallet1271", (owner.address(),));
        let factory: Address = FACTORY.parse().unwrap();
        let address = get_create2_address_from_hash(factory, [salt; 32], keccak256(&code));
        Self { address, factory, data: [&[salt; 32][..], &code].concat() }
    }

    /// A signature together with the deployment (ERC-6492).
    fn wrap(&self, signature: &[u8]) -> Vec<u8> {
        let parts = [
            Token::Address(self.factory),
            Token::Bytes(self.data.clone()),
            Token::Bytes(signature.to_vec()),
        ];
        let mut wrapped = encode(&parts);
        wrapped.extend([0x64, 0x92].repeat(16));
        wrapped
    }

    fn deploy(&self, shop: &Shop) -> Contract {
        let chain = &shop.mint.chain;
        let data = Bytes::from(self.data.clone());
        chain.transact(json!({ "from": chain.account(3), "to": self.factory, "data": data,
            "gas": "0x4c4b40" }));
        assert_ne!(chain.code(self.address), "0x");
        Contract::at("Wallet1271", self.address)
    }
}

fn expect_linked(linked: &Response, kind: &str, chain: &Value) {
    assert_eq!(linked.status, 201, "{}", linked.text());
    let document = linked.json();
    assert_eq!((&document["kind"], &document["chain"]), (&json!(kind), chain));
}

fn says(response: &Response, words: &str) {
    assert!(response.text().contains(words), "{words}: {}", response.text());
}

#[test]
fn a_contract_that_has_approved_the_message_on_chain_signs_with_nothing() {
    let shop = Shop::open();
    let chain = &shop.mint.chain;
    let (account, owner) = (shop.app.account("0"), Wallet::numbered(1));
    let wallet = chain.deploy("Wallet1271", (owner.address(),));
    let attempt = |address: Address| {
        let message = shop.app.challenge(&account, address);
        shop.app.prove(&account, &message, &[])
    };
    attempt(wallet.address).expect_refusal(403, "contract_refused");
    chain.send(chain.account(0), &wallet, "setAnswer", (1_u8,));
    expect_linked(&attempt(wallet.address), "contract", &json!("base"));
    // Where there is no contract, nothing proves nothing, and the reason is the true one.
    let nobody = attempt(owner.address());
    nobody.expect_refusal(403, "wallet_not_deployed");
    says(&nobody, "this chain has no contract at the wallet's address");
}

#[test]
fn a_wallet_that_is_not_deployed_proves_itself_with_its_deployment_and_pays_later() {
    let shop = Shop::open();
    let chain = &shop.mint.chain;
    let (account, owner) = (shop.app.account("0"), Wallet::numbered(1));
    let unborn = Unborn::of(&owner, 7);
    let attempt = |sign: &dyn Fn(&str) -> Vec<u8>| {
        let message = shop.app.challenge(&account, unborn.address);
        shop.app.prove(&account, &message, &sign(&message))
    };
    // Its owner's signature alone is not its own, since nobody can ask it.
    let bare = attempt(&|message| owner.sign_message(message).to_vec());
    bare.expect_refusal(403, "signature_wrong");
    let stranger = Wallet::numbered(2);
    let foreign = attempt(&|message| unborn.wrap(&stranger.sign_message(message)));
    foreign.expect_refusal(403, "deployment_refused");
    // A deployment that makes another wallet, and one that fails.
    let other = Unborn { data: Unborn::of(&owner, 8).data, ..Unborn::of(&owner, 7) };
    let elsewhere = attempt(&|message| other.wrap(&owner.sign_message(message)));
    elsewhere.expect_refusal(403, "deployment_refused");
    let broken = Unborn { data: vec![0xfe; 3], ..Unborn::of(&owner, 7) };
    let failed = attempt(&|message| broken.wrap(&owner.sign_message(message)));
    failed.expect_refusal(403, "deployment_refused");
    assert_eq!(chain.code(unborn.address), "0x", "nothing of it stays");

    let linked = attempt(&|message| unborn.wrap(&owner.sign_message(message)));
    expect_linked(&linked, "contract", &json!("base"));
    // What it pays once it is deployed is the account's: the proof is asked again at that block.
    let wallet = unborn.deploy(&shop);
    let payer = chain.account(0);
    chain.send(payer, &shop.mint.usdc, "mint", (wallet.address, U256::from(100 * USDC)));
    let pay = |dollars: u64| {
        let transfer = (shop.mint.treasury, U256::from(dollars * USDC));
        let data = shop.mint.usdc.input("transfer", transfer);
        chain.send(payer, &wallet, "execute", (shop.mint.usdc.address, U256::zero(), data))
    };
    let paid = pay(10);
    shop.finalize();
    assert_eq!(shop.credited(paid).account_id, Some(account.id));
    chain.send(payer, &wallet, "setOwner", stranger.address());
    let after = pay(20);
    shop.finalize();
    shop.reaches(after, DepositState::Held);
    assert_eq!(shop.available(&account), 10 * DOLLAR);
}

#[test]
fn a_deployment_is_asked_about_by_number_where_a_node_takes_no_hash_of_a_block() {
    let chain = TestChain::start();
    let (owner, stranger) = (Wallet::numbered(1), Wallet::numbered(2));
    let unborn = Unborn::of(&owner, 7);
    let hash: BlockHash = chain.block(chain.head())["hash"].as_str().unwrap().parse().unwrap();
    chain.mine(1);
    let provider = Provider::before(chain.node);
    let accepts = |signer: &Wallet| {
        let message = personal_message_hash(b"hello");
        let signature = unborn.wrap(&signer.sign_message("hello"));
        ask(&[&provider], async |providers| {
            let (wallet, signed) = (EvmAddress(unborn.address.0), (&message, &signature[..]));
            let at = (3_000_000, BlockId::Hash(hash));
            is_valid_signature(&providers, 1, wallet, signed, at).await.agreement.agreed()
        })
    };
    assert_eq!((accepts(&owner), accepts(&stranger)), (Some(true), Some(false)));
    let refusal = Fault::error(-32602, "Invalid params");
    provider.when("eth_call", move |params| params[1].is_object().then(|| refusal.clone()));
    assert_eq!((accepts(&owner), accepts(&stranger)), (Some(true), Some(false)));
    // Another block at that height.
    provider.mutate("eth_getBlockByNumber", |_, block| {
        block["hash"] = json!(H256::repeat_byte(7));
    });
    assert_eq!(accepts(&owner), None);
}

#[test]
fn a_wrapped_signature_of_a_deployed_wallet_or_of_a_key_counts_as_what_is_in_it() {
    let shop = Shop::open();
    let (account, owner) = (shop.app.account("0"), Wallet::numbered(1));
    let unborn = Unborn::of(&owner, 9);
    unborn.deploy(&shop);
    let message = shop.app.challenge(&account, unborn.address);
    let signature = unborn.wrap(&owner.sign_message(&message));
    expect_linked(&shop.app.prove(&account, &message, &signature), "contract", &json!("base"));
    let key = Wallet::numbered(3);
    let message = shop.app.challenge(&account, key.address());
    let signature = unborn.wrap(&key.sign_message(&message));
    expect_linked(&shop.app.prove(&account, &message, &signature), "eoa", &Value::Null);
    // One provider's word is none.
    let unborn = Unborn::of(&owner, 10);
    let message = shop.app.challenge(&account, unborn.address);
    let stranger = Wallet::numbered(4);
    let forged = unborn.wrap(&stranger.sign_message(&message));
    shop.mint.beta.mutate("eth_call", |params, answer| {
        if params[0].get("to").is_none() {
            *answer = json!(format!("0x{:064x}", 1));
        }
    });
    shop.app.prove(&account, &message, &forged).expect_refusal(503, "chain_unavailable");
    assert_eq!(shop.app.wallets(&account).len(), 2);
}

#[test]
fn a_compact_signature_proves_a_key_and_its_twin_does_not() {
    let shop = Shop::open();
    let account = shop.app.account("0");
    let compact = |signature: &[u8]| {
        let mut compact = signature[..64].to_vec();
        compact[32] |= (signature[64] - 27) << 7;
        compact
    };
    for number in 1..5 {
        let wallet = Wallet::numbered(number);
        let message = shop.app.challenge(&account, wallet.address());
        let signature = compact(&wallet.sign_message(&message));
        expect_linked(&shop.app.prove(&account, &message, &signature), "eoa", &Value::Null);
    }
    let wallet = Wallet::numbered(9);
    let message = shop.app.challenge(&account, wallet.address());
    let foreign = compact(&Wallet::numbered(8).sign_message(&message));
    let refused = shop.app.prove(&account, &message, &foreign);
    refused.expect_refusal(403, "signature_wrong");
    says(&refused, "does not match the wallet in the message");
    let message = shop.app.challenge(&account, wallet.address());
    let twin = malleated(&wallet.sign_message(&message));
    shop.app.prove(&account, &message, &twin).expect_refusal(403, "signature_wrong");
}

/// What is around the address, the message and the signature; and whether the addition was signed
/// as well.
type Paste = (&'static str, fn(&str) -> String, fn(&str) -> String, bool);

#[test]
fn what_a_clipboard_adds_spoils_no_proof() {
    let shop = Shop::open();
    let account = shop.app.account("0");
    let challenge = |address: &str| {
        let body = json!({ "chain": "base", "address": address });
        let response = shop.app.api_post(&account, "/api/v1/wallets/challenge", &body);
        assert_eq!(response.status, 200, "{address}: {}", response.text());
        response.json()["message"].as_str().unwrap().to_owned()
    };
    let send = |message: &str, signature: &str| {
        let body = json!({ "message": message, "signature": signature });
        shop.app.api_post(&account, "/api/v1/wallets", &body)
    };
    let windows = |text: &str| text.replace('\n', "\r\n");
    let cases: [Paste; 9] = [
        ("A", str::to_owned, |signature| format!(" {signature}\r\n"), false),
        (" A ", |message| format!("{message}\n"), str::to_owned, false),
        (
            "A\n",
            |message| format!("  {message}\r\n"),
            |signature| format!("\"{signature}\""),
            false,
        ),
        ("base:A", |message| message.replace('\n', "\r\n"), str::to_owned, false),
        ("A", |message| message.replace('\n', "\r\n"), str::to_owned, true),
        ("A", |message| format!("{message}\n"), str::to_owned, true),
        ("\u{feff}A", str::to_owned, |signature| signature.replace("0x", "0X"), false),
        (
            "A",
            |message| format!("\u{feff}{message}"),
            |signature| format!("{signature}\u{200b}"),
            false,
        ),
        (
            "A",
            str::to_owned,
            |signature| {
                let (one, two) = signature.split_at(66);
                format!("{one}\n{two}")
            },
            false,
        ),
    ];
    for (number, (address, message_as, signature_as, is_signed)) in (20_u8..).zip(cases) {
        let wallet = Wallet::numbered(number);
        let message = challenge(&address.replace('A', &checksummed(wallet.address())));
        let pasted = message_as(&message);
        let signed = if is_signed { &pasted } else { &message };
        let signature = hex(&wallet.sign_message(signed));
        let linked = send(&pasted, &signature_as(&signature));
        assert_eq!(linked.status, 201, "{address:?} {pasted:?}: {}", linked.text());
    }
    challenge(&checksummed(Wallet::numbered(40).address()).replace("0x", "0X").to_uppercase());
    // Another text is another text, whatever its line ends.
    let wallet = Wallet::numbered(41);
    let message = challenge(&checksummed(wallet.address()));
    let changed = windows(&message.replace("Link this wallet", "Link that wallet"));
    let signature = hex(&wallet.sign_message(&changed));
    send(&changed, &signature).expect_refusal(403, "other_account");
}

#[test]
fn a_signature_that_was_not_copied_whole_uses_nothing_up() {
    let shop = Shop::open();
    let account = shop.app.account("0");
    let wallet = Wallet::numbered(1);
    let message = shop.app.challenge(&account, wallet.address());
    let whole = wallet.sign_message(&message);
    for length in [1, 2, 32, 63] {
        let refused = shop.app.prove(&account, &message, &whole[..length]);
        refused.expect_refusal(400, "signature_malformed");
        says(&refused, "Check that you copied all of it");
    }
    assert_eq!(shop.app.prove(&account, &message, &whole).status, 201);
}

#[test]
fn a_wrong_signature_leaves_the_form_its_message_and_the_address() {
    let shop = Shop::open();
    let account: Account = shop.app.account("0");
    let (browser, wallet) = (shop.app.browser(&account), Wallet::numbered(1));
    let address = checksummed(wallet.address());
    let asked = browser.send("/wallets/challenge", &[("address", &address), ("chain", "base")]);
    let area = |page: &str| {
        let (_, rest) =
            page.split_once("<textarea id=\"message\"").unwrap_or_else(|| panic!("{page}"));
        let (text, _) = rest.split_once("</textarea>").unwrap();
        text.split_once('>').unwrap().1.replace("&#38;", "&")
    };
    let message = area(&asked.text());
    let link = |message: &str, signature: &str| {
        let sent = message.replace('\n', "\r\n");
        let fields = [
            ("message", &*sent),
            ("signature", signature),
            ("address", &address),
            ("chain", "base"),
        ];
        browser.send("/wallets/link", &fields)
    };
    // A slip of copying: everything is there still, and the message counts.
    let kept = link(&message, "0x1234").text();
    assert_eq!(area(&kept), message);
    assert!(kept.contains(&address) && kept.contains(">0x1234</textarea>"), "{kept}");
    assert!(kept.contains("Check that you copied all of it"), "{kept}");
    // Another key's: the chain was asked, so there is a new message, for the same wallet.
    let stranger = hex(&Wallet::numbered(2).sign_message(&message));
    let renewed = link(&message, &stranger).text();
    let next = area(&renewed);
    assert!(next != message && next.contains(&address), "{next}");
    assert!(renewed.contains("does not match") && renewed.contains("new message"), "{renewed}");
    let linked = link(&next, &hex(&wallet.sign_message(&next)));
    assert_eq!(linked.sends_to(), "/wallets");
    assert_eq!(shop.app.wallets(&account).len(), 1);
}
