// Wallets and contracts of viem.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { encodeFunctionData, parseSignature, serializeSignature } from 'viem';
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts';
import { createSiweMessage, generateSiweNonce, parseSiweMessage } from 'viem/siwe';

import { account, other } from './account.mjs';
import { NAME, contracts, deploy, fill, mined, node, walletOf } from './chain.mjs';

/** The order of the curve's group. */
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

const stranger = () => privateKeyToAccount(generatePrivateKey());

async function fresh() {
  const wallet = walletOf(stranger());
  await fill(wallet.account.address);
  return wallet;
}

const token = (functionName, args) => ({ abi: contracts.Token.abi, functionName, args });

test('signMessage proves a key pair, once, to one account', async () => {
  const { account: owner } = await fresh();
  const message = await account.challenge(owner.address);
  const signature = await owner.signMessage({ message });
  await other.refused(403, 'other_account', message, signature);
  const wallet = await account.prove(message, signature);
  assert.deepEqual([wallet.address, wallet.kind, wallet.chain], [owner.address, 'eoa', null]);
  await account.refused(409, 'nonce_used', message, signature);
  assert.ok(await account.hasWallet(owner.address));
  assert.ok(!(await other.hasWallet(owner.address)));
});

test('another key’s signature is refused, and uses the message up', async () => {
  const owner = stranger();
  const message = await account.challenge(owner.address);
  await account.refused(403, 'signature_wrong', message, await stranger().signMessage({ message }));
  await account.refused(409, 'nonce_used', message, await owner.signMessage({ message }));
  assert.ok(!(await account.hasWallet(owner.address)));
});

// Every signature has a twin that recovers to the same key (EIP-2).
test('a signature’s twin with a high s is refused', async () => {
  const owner = stranger();
  const message = await account.challenge(owner.address);
  const { r, s, yParity } = parseSignature(await owner.signMessage({ message }));
  const high = `0x${(ORDER - BigInt(s)).toString(16)}`;
  const twin = serializeSignature({ r, s: high, yParity: 1 - yParity });
  await account.refused(403, 'signature_wrong', message, twin);
});

test('createSiweMessage writes our message from its fields', async () => {
  const message = await account.challenge(stranger().address);
  assert.equal(createSiweMessage(parseSiweMessage(message)), message);
});

test('a message of createSiweMessage counts if its fields are ours', async () => {
  const owner = stranger();
  const given = parseSiweMessage(await account.challenge(owner.address));
  const { domain, address, statement, uri, version, chainId, nonce } = given;
  const fields = { domain, address, statement, uri, version, chainId, nonce };
  const attempt = async (changes) => {
    const message = createSiweMessage({ ...fields, ...changes });
    return [message, await owner.signMessage({ message })];
  };
  const own = { nonce: generateSiweNonce() };
  await account.refused(422, 'unknown_nonce', ...(await attempt(own)));
  await account.refused(422, 'foreign_domain', ...(await attempt({ domain: 'evil.example' })));
  await account.refused(422, 'foreign_uri', ...(await attempt({ uri: 'https://evil.example' })));
  await account.refused(422, 'wrong_chain', ...(await attempt({ chainId: 1 })));
  const { address: another } = stranger();
  await account.refused(422, 'wrong_address', ...(await attempt({ address: another })));
  await account.refused(403, 'other_account', ...(await attempt({ statement: 'Hello' })));
  const past = { expirationTime: new Date(Date.now() - 1000) };
  await account.refused(422, 'message_expired', ...(await attempt(past)));
  // Whoever makes the message may add what binds them further.
  const wallet = await account.prove(...(await attempt({ requestId: 'link-1' })));
  assert.equal(wallet.address, owner.address);
});

test('a contract proves itself by its owner’s signature, and its payment is credited', async () => {
  const owner = await fresh();
  const contract = await deploy(owner, 'Wallet1271', [owner.account.address]);
  const stolen = await account.challenge(contract);
  const wrong = await stranger().signMessage({ message: stolen });
  await account.refused(403, 'contract_refused', stolen, wrong);
  const message = await account.challenge(contract);
  const signature = await owner.signMessage({ message });
  const wallet = await account.prove(message, signature);
  assert.equal(wallet.address.toLowerCase(), contract);
  assert.deepEqual([wallet.kind, wallet.chain], ['contract', NAME]);

  const { payee, token: address } = await account.options();
  await mined(await owner.writeContract({ address, ...token('mint', [contract, 3_000_000n]) }));
  const data = encodeFunctionData(token('transfer', [payee, 3_000_000n]));
  const hash = await owner.writeContract({
    address: contract,
    abi: contracts.Wallet1271.abi,
    functionName: 'execute',
    args: [address, 0n, data],
  });
  await mined(hash);
  const deposit = await account.credited(hash);
  assert.deepEqual([deposit.asset, deposit.amount, deposit.value], ['USDC', '3', '3.00']);
});

test('a key pair whose code is a contract’s (EIP-7702) proves itself by its key', async () => {
  const owner = await fresh();
  const { address } = owner.account;
  const template = await deploy(owner, 'Wallet1271', [stranger().address]);
  const delegation = { contractAddress: template, executor: 'self' };
  const authorizationList = [await owner.signAuthorization(delegation)];
  await mined(await owner.sendTransaction({ to: address, authorizationList }));
  assert.match(await node.getCode({ address }), /^0xef0100/);
  const message = await account.challenge(address);
  const wallet = await account.prove(message, await owner.signMessage({ message }));
  assert.deepEqual([wallet.kind, wallet.chain], ['eoa', null]);
});

test('a proven wallet’s payment is credited, and to nobody else who claims it', async () => {
  const wallet = await fresh();
  const message = await account.challenge(wallet.account.address);
  await account.prove(message, await wallet.signMessage({ message }));
  const { payee, token: address } = await account.options();
  const mint = token('mint', [wallet.account.address, 5_000_000n]);
  await mined(await wallet.writeContract({ address, ...mint }));
  const hash = await wallet.writeContract({ address, ...token('transfer', [payee, 5_000_000n]) });
  await mined(hash);

  const theft = await other.claimed(hash, (claim) => claim.state === 'rejected');
  assert.deepEqual([theft.reason, theft.deposits], ['other_account', []]);
  const deposit = await account.credited(hash);
  assert.deepEqual([deposit.asset, deposit.amount, deposit.value], ['USDC', '5', '5.00']);
  assert.deepEqual([deposit.payer, deposit.payee], [wallet.account.address, payee]);
  assert.equal((await account.claim(hash)).deposits[0].credits, 1);
});
