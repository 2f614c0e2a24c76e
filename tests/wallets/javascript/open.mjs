// Puts a token and price feeds on a fresh chain, and prints what a gateway's settings say of it.

import { NAME, chain, contracts, deploy, mined, node, rich, rpcUrl, walletOf } from './chain.mjs';

const wallet = walletOf(rich(0));
const treasury = rich(9).address;

// The nonces are given, so that all of them go into one block where blocks take their time.
const [usdc, coinFeed, usdcFeed] = await Promise.all([
  deploy(wallet, 'Token', ['USD Coin', 'USDC', 6, 0], { nonce: 0 }),
  deploy(wallet, 'Feed', ['ETH / USD', 8], { nonce: 1 }),
  deploy(wallet, 'Feed', ['USDC / USD', 8], { nonce: 2 }),
]);

const { timestamp } = await node.getBlock();
const push = (address, answer, nonce) =>
  wallet.writeContract({
    address,
    abi: contracts.Feed.abi,
    functionName: 'push',
    args: [answer, timestamp],
    nonce,
  });
const hashes = await Promise.all([push(coinFeed, 2_000_00000000n, 3), push(usdcFeed, 1_00000000n, 4)]);
await Promise.all(hashes.map(mined));

console.log(`
[[chains]]
name = "${NAME}"
display_name = "${chain.name}"
chain_id = ${chain.id}
treasury = "${treasury}"
# The one node is our own, so there is nobody for it to agree with. Where others are asked, at least 2 must agree.
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
