DELETE FROM deposit_arrivals WHERE address NOT IN (SELECT address FROM deposit_addresses);
DELETE FROM address_balances WHERE address NOT IN (SELECT address FROM deposit_addresses);
ALTER TABLE deposit_arrivals
    ADD CONSTRAINT deposit_arrivals_address_fkey FOREIGN KEY (address) REFERENCES deposit_addresses (address);
ALTER TABLE address_balances
    ADD CONSTRAINT address_balances_address_fkey FOREIGN KEY (address) REFERENCES deposit_addresses (address);
