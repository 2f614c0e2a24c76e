//! Keys of the test's own: they sign messages, and the kinds of transactions that a node does not
//! make of itself.

use ethers_core::k256::ecdsa::{RecoveryId, Signature, SigningKey};
use ethers_core::types::{Address, Bytes, H256, U256};
use ethers_core::utils::rlp::{self, RlpStream};
use ethers_core::utils::{hash_message, keccak256, secret_key_to_address};
use sha2::{Digest, Sha256};

/// The keys of anvil's first dev accounts, which the whole world knows.
const DEV_KEYS: [&str; 3] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
];

/// Order of secp256k1's group, big-endian.
const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

const BLOB_BYTES: usize = 131_072;

/// Ten gwei: above what any block of a test asks for.
const GAS_PRICE_WEI: u64 = 10_000_000_000;

/// An account by its key.
pub(crate) struct Wallet {
    key: SigningKey,
}

/// What a signed transaction says.
#[derive(Clone, Default)]
pub(crate) struct Draft {
    pub(crate) chain_id: u64,
    pub(crate) nonce: u64,
    pub(crate) to: Address,
    pub(crate) value: U256,
    pub(crate) data: Bytes,
}

/// A signed authorization of EIP-7702, as the transaction has it.
#[derive(Clone)]
pub(crate) struct Authorization(Vec<u8>);

impl Wallet {
    /// One of anvil's dev accounts, 0 to 2.
    pub(crate) fn dev(index: usize) -> Self {
        Self::from_key(&hex_bytes(DEV_KEYS[index]))
    }

    /// An account that nobody else has; it owns nothing yet.
    pub(crate) fn numbered(number: u8) -> Self {
        Self::from_key(&keccak256([b'w', number]))
    }

    /// The same for a test that needs many.
    pub(crate) fn counted(number: u32) -> Self {
        Self::from_key(&keccak256(number.to_be_bytes()))
    }

    fn from_key(key: &[u8]) -> Self {
        Self { key: SigningKey::from_slice(key).unwrap() }
    }

    pub(crate) fn address(&self) -> Address {
        secret_key_to_address(&self.key)
    }

    /// r, s and v of 27 or 28, with the s that Ethereum takes for canonical.
    pub(crate) fn sign_digest(&self, digest: [u8; 32]) -> [u8; 65] {
        let (signature, recovery) = self.sign(digest);
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&signature.to_bytes());
        bytes[64] = 27 + recovery.to_byte();
        bytes
    }

    /// A message as a wallet's `personal_sign` does it (EIP-191).
    pub(crate) fn sign_message(&self, message: &str) -> [u8; 65] {
        self.sign_digest(hash_message(message).0)
    }

    fn sign(&self, digest: [u8; 32]) -> (Signature, RecoveryId) {
        self.key.sign_prehash_recoverable(&digest).unwrap()
    }

    /// Of type 2, the usual kind.
    pub(crate) fn transaction(&self, draft: &Draft) -> Vec<u8> {
        typed(2, &list(&self.signed(2, draft.fields())))
    }

    /// Of type 0 without a chain id: it is valid on every chain.
    pub(crate) fn unprotected_transaction(&self, draft: &Draft) -> Vec<u8> {
        let mut fields: Vec<_> =
            [draft.nonce, GAS_PRICE_WEI, Draft::GAS].iter().map(item).collect();
        fields.extend([item(&draft.to), item(&draft.value), item(&draft.data.to_vec())]);
        let (signature, recovery) = self.sign(keccak256(list(&fields)));
        fields.push(item(&(27 + u64::from(recovery.to_byte()))));
        fields.extend(scalars(&signature));
        list(&fields)
    }

    /// Of type 3 (EIP-4844), with one empty blob: the commitment to it and its proof are the point
    /// at infinity.
    pub(crate) fn blob_transaction(&self, draft: &Draft) -> Vec<u8> {
        let mut infinity = vec![0_u8; 48];
        infinity[0] = 0xc0;
        let mut versioned_hash = Sha256::digest(&infinity).to_vec();
        versioned_hash[0] = 1;
        let mut fields = draft.fields();
        fields.extend([item(&GAS_PRICE_WEI), list(&[item(&versioned_hash)])]);
        let body = list(&self.signed(3, fields));
        let sidecar = [vec![0_u8; BLOB_BYTES], infinity.clone(), infinity];
        let mut parts = vec![body];
        parts.extend(sidecar.map(|bytes| list(&[item(&bytes)])));
        typed(3, &list(&parts))
    }

    /// Of type 4 (EIP-7702): sets the code of those who have authorized it.
    pub(crate) fn delegating_transaction(
        &self,
        draft: &Draft,
        authorizations: &[Authorization],
    ) -> Vec<u8> {
        let mut fields = draft.fields();
        let authorizations: Vec<_> = authorizations.iter().map(|each| each.0.clone()).collect();
        fields.push(list(&authorizations));
        typed(4, &list(&self.signed(4, fields)))
    }

    /// Lets the code of `delegate` stand for this account's own. `nonce` is this account's when it
    /// takes effect: one more than the transaction's if it sends that itself.
    pub(crate) fn authorize(&self, chain_id: u64, delegate: Address, nonce: u64) -> Authorization {
        let mut fields = vec![item(&chain_id), item(&delegate), item(&nonce)];
        let (signature, recovery) = self.sign(keccak256(typed(5, &list(&fields))));
        fields.push(item(&u64::from(recovery.to_byte())));
        fields.extend(scalars(&signature));
        Authorization(list(&fields))
    }

    fn signed(&self, kind: u8, mut fields: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let (signature, recovery) = self.sign(keccak256(typed(kind, &list(&fields))));
        fields.push(item(&u64::from(recovery.to_byte())));
        fields.extend(scalars(&signature));
        fields
    }
}

impl Draft {
    const GAS: u64 = 500_000;

    /// What types 2, 3 and 4 begin with.
    fn fields(&self) -> Vec<Vec<u8>> {
        let numbers = [self.chain_id, self.nonce, 1, GAS_PRICE_WEI, Self::GAS];
        let mut fields: Vec<_> = numbers.iter().map(item).collect();
        fields.extend([item(&self.to), item(&self.value), item(&self.data.to_vec()), list(&[])]);
        fields
    }
}

/// The other signature of the same key over the same message, whose s is high: mathematics takes
/// it, and Ethereum does not.
pub(crate) fn malleated(signature: &[u8; 65]) -> [u8; 65] {
    let order = U256::from_big_endian(&hex_bytes(ORDER));
    let mut twin = *signature;
    (order - U256::from_big_endian(&signature[32..64])).to_big_endian(&mut twin[32..64]);
    twin[64] = if signature[64] == 27 { 28 } else { 27 };
    twin
}

/// The hash of a signed transaction that carries no blob.
pub(crate) fn transaction_hash(raw: &[u8]) -> H256 {
    keccak256(raw).into()
}

fn scalars(signature: &Signature) -> [Vec<u8>; 2] {
    let (r, s) = signature.split_bytes();
    [r, s].map(|scalar| item(&U256::from_big_endian(&scalar)))
}

fn typed(kind: u8, list: &[u8]) -> Vec<u8> {
    [&[kind], list].concat()
}

fn item<T: rlp::Encodable>(value: &T) -> Vec<u8> {
    rlp::encode(value).to_vec()
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = RlpStream::new_list(items.len());
    for item in items {
        stream.append_raw(item, 1);
    }
    stream.out().to_vec()
}

fn hex_bytes(text: &str) -> Vec<u8> {
    ethers_core::utils::hex::decode(text).unwrap()
}
