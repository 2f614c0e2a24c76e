-- Balances and arrivals are of treasuries too, which nobody has derived: so no reference to derived addresses any more.
ALTER TABLE address_balances DROP CONSTRAINT address_balances_address_fkey;
ALTER TABLE deposit_arrivals DROP CONSTRAINT deposit_arrivals_address_fkey;
