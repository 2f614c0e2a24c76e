//! What fields of a name hold, where neither the field nor its type has an example.

const ADDRESS: &str = "0x52908400098527886E0F7030069857D2E4169EE7";
const TOKEN: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
const HASH: &str = "0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060";
const MODEL: &str = "claude-haiku-5-5";

/// Each with its text.
const KNOWN: [(&str, &str); 42] = [
    ("about", "key_0123456789abcdefghjkmnpq"),
    ("action", "prove_wallet"),
    ("address", ADDRESS),
    ("amount", "12.50"),
    ("asset", "USDC"),
    ("balance", "24.93"),
    ("block_hash", HASH),
    ("cache_read", "0.01"),
    ("cache_write_1h", "0.20"),
    ("cache_write_5m", "0.125"),
    ("chain", "base"),
    ("code", "123456"),
    ("cost", "0.0000244"),
    ("created_at", "2026-11-22T12:00:00.000Z"),
    ("currency", "USD"),
    ("display_name", "Base"),
    ("email", "someone@example.org"),
    ("ending", "E1"),
    ("endpoint", "messages"),
    ("id", "req_0123456789abcdefghjkmnpq"),
    ("inference_geo", "global"),
    ("key_id", "key_0123456789abcdefghjkmnpq"),
    ("key_name", "laptop"),
    ("kind", "deposit"),
    ("models", MODEL),
    ("name", "laptop"),
    ("nonce", "k3v9x2m7q4t8"),
    ("output", "0.50"),
    ("payee", ADDRESS),
    ("payer", "0x8617E340B3D01FA5F11F306F4090FD50E238070D"),
    ("payment_amount", "10.00"),
    ("price_version", "2026-10-07-53383ef0"),
    ("raw_amount", "12500000"),
    ("recovery_codes", "k3v9x-2m7q4"),
    ("reference", "dep_0123456789abcdefghjkmnpq"),
    ("requested_model", MODEL),
    ("served_model", MODEL),
    ("service_tier", "standard"),
    ("signature", HASH),
    ("symbol", "USDC"),
    ("token", TOKEN),
    ("tx_hash", HASH),
];

/// The text of a field of this name.
pub(super) fn of(name: &str) -> Option<&'static str> {
    let known = KNOWN.iter().find(|(known, _)| *known == name);
    known.map(|(_, text)| *text)
}
