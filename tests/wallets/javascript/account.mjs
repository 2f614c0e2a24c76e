// An account, as its owner's script uses it: `/api/v1` and nothing else.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';

import { NAME, finalize } from './chain.mjs';

/** Milliseconds until a chain's event has been noticed for certain, and between two looks. */
const PATIENCE = 30_000;
const BETWEEN = 300;

export class Account {
  constructor(key) {
    this.key = key;
  }

  /** The status and the document of an answer. */
  async ask(method, path, body) {
    const response = await fetch(process.env.SLUICE_BASE_URL + path, {
      method,
      headers: { authorization: `Bearer ${this.key}`, 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    });
    return { status: response.status, document: await response.json() };
  }

  /** The document of an answer that must have this status. */
  async expect(status, method, path, body) {
    const answer = await this.ask(method, path, body);
    assert.equal(answer.status, status, JSON.stringify(answer.document));
    return answer.document;
  }

  /** A message for a wallet to sign. */
  async challenge(address) {
    const wanted = { chain: NAME, address };
    return (await this.expect(200, 'POST', '/api/v1/wallets/challenge', wanted)).message;
  }

  /** Links the wallet that signed; it must be accepted. */
  prove(message, signature) {
    return this.expect(201, 'POST', '/api/v1/wallets', { message, signature });
  }

  /** Sends a proof that must be refused with this status and word. */
  async refused(status, code, message, signature) {
    const { error } = await this.expect(status, 'POST', '/api/v1/wallets', { message, signature });
    assert.equal(error.code, code, error.message);
    assert.ok(error.message);
  }

  /** Whether a wallet is linked. */
  async hasWallet(address) {
    const { data } = await this.expect(200, 'GET', '/api/v1/wallets');
    return data.some((wallet) => wallet.address === address && wallet.ended_at === null);
  }

  /** Where wallets pay to, and the token that they pay in. */
  async options() {
    const { data } = await this.expect(200, 'GET', '/api/v1/deposits/options');
    const offer = data.find((offer) => offer.chain === NAME);
    return {
      payee: offer.addresses.find((address) => address.kind === 'treasury').address,
      token: offer.assets.find((asset) => asset.symbol === 'USDC').token,
    };
  }

  /** Claims a transaction. */
  claim(hash) {
    return this.expect(202, 'POST', '/api/v1/deposits', { chain: NAME, tx_hash: hash });
  }

  /** Claims a transaction, mines, and waits until `isDone` says so of the claim. */
  async claimed(hash, isDone) {
    const { id } = await this.claim(hash);
    await finalize();
    const until = Date.now() + PATIENCE;
    for (;;) {
      const claim = await this.expect(200, 'GET', `/api/v1/deposits/${id}`);
      if (isDone(claim)) return claim;
      assert.ok(Date.now() < until, `in vain: ${JSON.stringify(claim, null, 2)}`);
      await pause(BETWEEN);
    }
  }

  /** Claims a transaction and waits for the credit of its one deposit. */
  async credited(hash) {
    const isCredited = (deposit) => deposit.state === 'credited';
    const claim = await this.claimed(hash, (claim) => claim.deposits.some(isCredited));
    assert.equal(claim.state, 'matched');
    assert.equal(claim.deposits.length, 1);
    return claim.deposits[0];
  }
}

export const account = new Account(process.env.SLUICE_API_KEY);
export const other = new Account(process.env.SLUICE_API_KEY_OTHER);
