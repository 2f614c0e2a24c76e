// Wallets of ethers.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { Contract, JsonRpcProvider, Wallet, parseEther } from 'ethers';

import { account } from './account.mjs';
import { contracts, fill, rpcUrl } from './chain.mjs';

// Without its cache, which would hide a block that has just been mined.
const provider = new JsonRpcProvider(rpcUrl, undefined, { cacheTimeout: -1, staticNetwork: true });
provider.pollingInterval = 100;
after(() => provider.destroy());

async function fresh() {
  const wallet = Wallet.createRandom(provider);
  await fill(wallet.address);
  return wallet;
}

test('signMessage proves a key pair, once', async () => {
  const wallet = await fresh();
  const message = await account.challenge(wallet.address);
  const signature = await wallet.signMessage(message);
  const linked = await account.prove(message, signature);
  assert.deepEqual([linked.address, linked.kind], [wallet.address, 'eoa']);
  await account.refused(409, 'nonce_used', message, signature);
});

test('another key’s signature, or one of another text, is refused', async () => {
  const [wallet, thief] = [Wallet.createRandom(), Wallet.createRandom()];
  for (const [signer, change] of [
    [thief, (text) => text],
    [wallet, (text) => `${text}\n`],
  ]) {
    const message = await account.challenge(wallet.address);
    const signature = await signer.signMessage(change(message));
    await account.refused(403, 'signature_wrong', message, signature);
  }
});

test('tokens that were paid before the proof are credited after it', async () => {
  const wallet = await fresh();
  const { payee, token: address } = await account.options();
  const token = new Contract(address, contracts.Token.abi, wallet);
  await (await token.mint(wallet.address, 7_000_000n)).wait();
  const { hash } = await (await token.transfer(payee, 7_000_000n)).wait();

  const waits = ({ state }) => state === 'unattributed';
  const claim = await account.claimed(hash, (claim) => claim.deposits.some(waits));
  const step = claim.deposits[0].next_step;
  assert.deepEqual([step.action, step.address], ['prove_wallet', wallet.address]);
  const message = await account.challenge(step.address);
  await account.prove(message, await wallet.signMessage(message));
  const deposit = await account.credited(hash);
  assert.deepEqual([deposit.asset, deposit.amount, deposit.value], ['USDC', '7', '7.00']);
});

test('coins are credited at the price of their block', async () => {
  const wallet = await fresh();
  const message = await account.challenge(wallet.address);
  await account.prove(message, await wallet.signMessage(message));
  const { payee: to } = await account.options();
  const payment = await wallet.sendTransaction({ to, value: parseEther('0.0015') });
  const { hash } = await payment.wait();
  const deposit = await account.credited(hash);
  assert.deepEqual([deposit.asset, deposit.amount, deposit.value], ['ETH', '0.0015', '3.00']);
});
