// The reference implementation of EIP-4361 reads what we write, and writes what we read.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Wallet } from 'ethers';
import { SiweMessage } from 'siwe';

import { account } from './account.mjs';
import { chain } from './chain.mjs';

test('its parser and its check accept our message', async () => {
  const wallet = Wallet.createRandom();
  const message = await account.challenge(wallet.address);
  const parsed = new SiweMessage(message);
  assert.deepEqual([parsed.address, parsed.chainId], [wallet.address, chain.id]);
  assert.equal(parsed.toMessage(), message);
  const signature = await wallet.signMessage(message);
  const { domain, nonce } = parsed;
  assert.ok((await parsed.verify({ signature, domain, nonce })).success);
});

test('its own message counts if its fields are ours', async () => {
  const wallet = Wallet.createRandom();
  const parsed = new SiweMessage(await account.challenge(wallet.address));
  const { domain, address, statement, uri, version, chainId, nonce } = parsed;
  const own = new SiweMessage({ domain, address, statement, uri, version, chainId, nonce });
  const message = own.prepareMessage();
  const linked = await account.prove(message, await wallet.signMessage(message));
  assert.equal(linked.address, wallet.address);
});
