//! What arrived at accounts' own addresses and is no deposit.

diesel::table! {
    address_balances (chain_id, address) {
        chain_id -> BigInt,
        address -> Binary,
        block_number -> BigInt,
        balance -> Text,
    }
}

diesel::table! {
    deposit_arrivals (id) {
        id -> BigInt,
        chain_id -> BigInt,
        address -> Binary,
        token -> Nullable<Binary>,
        after_number -> BigInt,
        block_number -> BigInt,
        raw_amount -> Text,
        tx_hash -> Nullable<Binary>,
        tries -> BigInt,
        check_at -> Nullable<BigInt>,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    token_looks (chain_id) {
        chain_id -> BigInt,
        block_number -> BigInt,
        looked_at -> BigInt,
    }
}
