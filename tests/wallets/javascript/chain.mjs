// The chain, a node of anvil, as its owner sees it: mocks are put on it, purses are filled, blocks
// are mined.

import { readFileSync } from 'node:fs';

import { createTestClient, createWalletClient, defineChain, http, publicActions } from 'viem';
import { mnemonicToAccount } from 'viem/accounts';

export const rpcUrl = process.env.SLUICE_RPC_URL;
/** What it is called in the gateway's settings. */
export const NAME = 'local';

export const chain = defineChain({
  id: 31337,
  name: 'Local chain',
  nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
  rpcUrls: { default: { http: [rpcUrl] } },
});

const options = { chain, transport: http(), pollingInterval: 100 };

export const node = createTestClient({ ...options, mode: 'anvil' }).extend(publicActions);

/** The mocks of `tests/chain/contracts`, by name. */
export const contracts = JSON.parse(
  readFileSync(new URL('artifacts.json', import.meta.url)),
).contracts;

/** Somebody's wallet. */
export function walletOf(account) {
  return createWalletClient({ ...options, account }).extend(publicActions);
}

/** One of the accounts that anvil gives 10,000 ETH. Everybody knows their keys. */
export function rich(addressIndex) {
  const words = 'test test test test test test test test test test test junk';
  return mnemonicToAccount(words, { addressIndex });
}

/** The one who has tokens from the beginning. */
export const purse = rich(1);

/** Waits for a transaction, which must succeed. */
export async function mined(hash) {
  const receipt = await node.waitForTransactionReceipt({ hash });
  if (receipt.status !== 'success') throw new Error(`transaction ${hash} has failed`);
  return receipt;
}

/** Puts a mock on the chain; its address. */
export async function deploy(wallet, name, args, more = {}) {
  const { abi, bytecode } = contracts[name];
  const receipt = await mined(await wallet.deployContract({ abi, bytecode, args, ...more }));
  return receipt.contractAddress;
}

/** Mines until everything so far is final: anvil's finalized block is eight behind its head. */
export const finalize = () => node.mine({ blocks: 8 });

/** Gives an address something to pay gas and deposits with. */
export const fill = (address) => node.setBalance({ address, value: 10n ** 18n });
