// Puts a token and price feeds on a fresh chain, and prints what a gateway's settings say of it.

import { NAME, chain, contracts, deploy, finalize, mined, node } from './chain.mjs';
import { purse, rich, rpcUrl, walletOf } from './chain.mjs';

const wallet = walletOf(rich(0));
const treasury = rich(9).address;

// The nonces are given, so that all of them go into one block where blocks take their time.
const [usdc, coinFeed, usdcFeed] = await Promise.all([
  deploy(wallet, 'Token', ['USD Coin', 'USDC', 6, 0], { nonce: 0 }),
  deploy(wallet, 'Feed', ['ETH / USD', 8], { nonce: 1 }),
  deploy(wallet, 'Feed', ['USDC / USD', 8], { nonce: 2 }),
]);

const { timestamp } = await node.getBlock();
const call = (name, address, functionName, args, nonce) =>
  wallet.writeContract({ address, abi: contracts[name].abi, functionName, args, nonce });
// Prices have eight decimals, the token has six.
const hashes = await Promise.all([
  call('Feed', coinFeed, 'push', [2_000_00000000n, timestamp], 3),
  call('Feed', usdcFeed, 'push', [1_00000000n, timestamp], 4),
  call('Token', usdc, 'mint', [purse.address, 1_000_000000n], 5),
]);
await Promise.all(hashes.map(mined));
// From here on the finalized block is as far behind the head as it stays.
await finalize();

console.log(`
[[chains]]
name = "${NAME}"
display_name = "${chain.name}"
chain_id = ${chain.id}
treasury = "${treasury}"
# The one node is our own, so there is nobody for it to agree with. Where others are asked, at least
# 2 must agree.
quorum = 1
poll_millis = 200
[[chains.providers]]
name = "anvil"
url = "${rpcUrl}"
requests_per_second = 1000
[chains.native]
symbol = "ETH"
feed = "${coinFeed}"
feed_description = "ETH / USD"
heartbeat_secs = 86400
[[chains.tokens]]
symbol = "USDC"
address = "${usdc}"
decimals = 6
feed = "${usdcFeed}"
feed_description = "USDC / USD"
heartbeat_secs = 86400`);
