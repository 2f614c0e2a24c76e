// The script that speaks with wallets: what it makes of amounts, what it believes of a wallet, and what it says when one
// refuses.

import assert from "node:assert/strict";
import test from "node:test";

import { FakeWallet, load, walletError } from "./load.mjs";

const wallet = await load("wallet.js");

const PAYER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const PAYEE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const TOKEN = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
const HASH = `0x${"ab".repeat(32)}`;

const usdc = (change = {}) => ({
  chain: "base",
  chainId: "8453",
  chainTitle: "Base",
  payee: PAYEE,
  token: TOKEN,
  decimals: 6,
  symbol: "USDC",
  needsProof: true,
  proven: [PAYER.toLowerCase()],
  ...change,
});

/** A person's payment; the words, the hash and what was asked of the server are kept. */
async function pay(answers, { offer = usdc(), written = "12.5", ask, standing = "active" } = {}) {
  const provider = new FakeWallet({
    eth_requestAccounts: [PAYER],
    eth_chainId: "0x2105",
    eth_call: `0x${(50_000_000n).toString(16).padStart(64, "0")}`,
    eth_getBalance: "0xde0b6b3a7640000",
    eth_sendTransaction: HASH,
    ...answers,
  });
  const kept = { provider, said: [], asked: [], hashes: [], linked: [], looks: 0 };
  const answer = ask ?? (() => ({ id: "claim_1" }));
  const look = () => {
    kept.looks++;
    // Whoever may pay is found out before the wallet is asked for anything, and again once it has signed.
    assert.deepEqual(provider.methods().filter((method) => kept.looks === 1 || /send/.test(method)), []);
    if (standing instanceof Error) throw standing;
    return { status: standing };
  };
  const end = await wallet
    .pay({
      provider,
      offer,
      chains: [{ name: "base", id: "8453" }],
      written,
      linked: (address) => kept.linked.push(address),
      ask: async (path, body) => {
        if (path === "/api/v1/account") return look();
        kept.asked.push([path, body]);
        return answer(path, body);
      },
      say: (words) => kept.said.push(words),
      sent: (hash) => kept.hashes.push(hash),
    })
    .then((claim) => ({ claim }), (error) => ({ words: wallet.reason(error) }));
  return { ...kept, ...end };
}

test("amounts are exact to the last digit of any coin", () => {
  const cases = [
    ["1.5", 6, 1_500_000n],
    [" 12 ", 6, 12_000_000n],
    ["0.000001", 6, 1n],
    ["1.10", 1, 11n],
    ["7", 0, 7n],
    // As many people write it.
    ["0,5", 6, 500_000n],
    [" 12,50 ", 6, 12_500_000n],
    // Beyond what a double can hold.
    ["0.1", 18, 100_000_000_000_000_000n],
    ["123456789.123456789012345678", 18, 123_456_789_123_456_789_012_345_678n],
    ["9007199254740993", 0, 9_007_199_254_740_993n],
  ];
  for (const [text, decimals, wanted] of cases) {
    assert.equal(wallet.parseAmount(text, decimals), wanted, text);
  }
});

test("what is no amount is refused and never rounded", () => {
  for (const text of ["", ".5", "1.", "1,", "1,000", "1,500.5", "1,5,5", "1e3", "0x10", "-1", "+1", "1 000", "١", "NaN", "1.5.2"]) {
    assert.throws(() => wallet.parseAmount(text, 6), wallet.Refusal, text);
  }
  assert.throws(() => wallet.parseAmount("0.0000001", 6), /at most 6 decimal places/);
  assert.throws(() => wallet.parseAmount("0.00", 6), /more than 0/);
  assert.throws(() => wallet.parseAmount("9".repeat(60), 18), /too large/);
});

test("a token is paid through its contract and a coin by its value", () => {
  const data =
    "0xa9059cbb" +
    "0000000000000000000000005aaeb6053f3e94c9b9a09f33669435e7ef1beaed" +
    "0000000000000000000000000000000000000000000000000000000000bebc20";
  assert.equal(wallet.transferCalldata(PAYEE, 12_500_000n), data);
  assert.deepEqual(wallet.transaction(usdc(), PAYER, 12_500_000n), {
    from: PAYER, chainId: "0x2105", to: TOKEN, value: "0x0", data,
  });
  const ether = usdc({ token: null });
  assert.deepEqual(wallet.transaction(ether, PAYER, 10n ** 18n), {
    from: PAYER, chainId: "0x2105", to: PAYEE, value: "0xde0b6b3a7640000",
  });
  assert.throws(() => wallet.transferCalldata("0x12", 1n), wallet.Refusal);
});

/** A window in which wallets announce themselves. */
function openWindow(ethereum) {
  const window = new EventTarget();
  Object.assign(window, { Event, ethereum, timers: [], setTimeout: (work) => window.timers.push(work) });
  window.announce = (detail) => {
    window.dispatchEvent(Object.assign(new Event("eip6963:announceProvider"), { detail }));
  };
  return window;
}

const info = (change = {}) => ({ uuid: "1", name: "Fox", icon: "data:image/png;base64,AA==", rdns: "x", ...change });

test("wallets are asked to announce themselves and are listed once, early or late", () => {
  const window = openWindow();
  const provider = new FakeWallet({});
  window.addEventListener("eip6963:requestProvider", () => window.announce({ info: info(), provider }));
  const found = [];
  wallet.discover(window, (one) => found.push(one));
  window.announce({ info: info(), provider });
  window.announce({ info: info({ uuid: "2", name: "  Two\nlines " }), provider });
  window.timers.forEach((work) => work());
  assert.deepEqual(found.map((one) => one.name), ["Fox", "Two lines"]);
  assert.equal(found[0].provider, provider);
});

test("a wallet from before announcements is offered where none announces itself", () => {
  for (const [ethereum, wanted] of [[undefined, []], [{}, []], [new FakeWallet({}), ["Browser wallet"]]]) {
    const window = openWindow(ethereum);
    const found = [];
    wallet.discover(window, (one) => found.push(one.name));
    window.timers.forEach((work) => work());
    assert.deepEqual(found, wanted);
  }
});

test("a page is not flooded by wallets", () => {
  const window = openWindow();
  let count = 0;
  wallet.discover(window, () => count++);
  for (let index = 0; index < 100; index++) {
    window.announce({ info: info({ uuid: String(index) }), provider: new FakeWallet({}) });
  }
  assert.equal(count, 20);
});

test("what announces itself badly is no wallet", () => {
  const provider = new FakeWallet({});
  const bad = [
    undefined, null, {}, { info: info() }, { info: null, provider }, { info: info(), provider: {} },
    { info: info({ uuid: 5 }), provider }, { info: info({ uuid: "" }), provider },
    { info: info({ name: " " }), provider }, { info: info({ name: undefined }), provider },
  ];
  for (const detail of bad) assert.equal(wallet.described(detail), null, JSON.stringify(detail));
  const long = wallet.described({ info: info({ name: "x".repeat(500) }), provider });
  assert.equal(long.name.length, 60);
});

test("an icon is a picture that came along, and nothing that is fetched", () => {
  for (const icon of ["data:image/png;base64,AA==", "data:image/svg+xml,<svg/>", "DATA:IMAGE/WEBP;base64,AA=="]) {
    assert.equal(wallet.safeIcon(icon), icon);
  }
  const bad = [
    undefined, 5, "", "https://tracker.example/x.png", "javascript:alert(1)", "data:text/html,<script>",
    "data:image/pngx,", " data:image/png,", `data:image/png,${"x".repeat(200_001)}`,
  ];
  for (const icon of bad) assert.equal(wallet.safeIcon(icon), null, String(icon).slice(0, 40));
});

test("a wallet is linked by signing the server's message to the letter", async () => {
  const message = "gateway.test wants you to sign in …\nNonce: 1";
  const provider = new FakeWallet({
    eth_requestAccounts: [PAYER], eth_chainId: "0x1", personal_sign: "0xabcd",
  });
  const asked = [];
  const ask = async (path, body) => {
    asked.push([path, body]);
    return { message };
  };
  const chains = wallet.chainsOf("base:8453 ethereum:1");
  await wallet.link({ provider, chains, ask, say: () => {} });
  assert.deepEqual(asked, [
    ["/api/v1/wallets/challenge", { chain: "ethereum", address: PAYER }],
    ["/api/v1/wallets", { message, signature: "0xabcd" }],
  ]);
  const [hex, address] = provider.params("personal_sign");
  assert.equal(Buffer.from(hex.slice(2), "hex").toString(), message);
  assert.equal(address, PAYER);
});

test("a wallet on a chain that is not offered links by the first one", async () => {
  const provider = new FakeWallet({ eth_requestAccounts: [PAYER], eth_chainId: 10, personal_sign: "0xab" });
  const asked = [];
  const ask = async (path, body) => (asked.push(body), { message: "m" });
  await wallet.link({ provider, chains: wallet.chainsOf("base:8453"), ask, say: () => {} });
  assert.equal(asked[0].chain, "base");
  const nothing = wallet.link({ provider, chains: [], ask, say: () => {} });
  await assert.rejects(nothing, /No network accepts deposits/);
});

test("nothing is sent to the server of a wallet that does not sign", async () => {
  for (const signature of [walletError(4001), null, "abcd", "0x", "0xabc", 5]) {
    const provider = new FakeWallet({ eth_requestAccounts: [PAYER], eth_chainId: "0x1", personal_sign: signature });
    const asked = [];
    const ask = async (path) => (asked.push(path), { message: "m" });
    await assert.rejects(wallet.link({ provider, chains: [{ name: "base", id: "1" }], ask, say: () => {} }));
    assert.deepEqual(asked, ["/api/v1/wallets/challenge"]);
  }
});

test("a payment is sent on the chain of the offer and its hash submitted", async () => {
  const paid = await pay({});
  assert.deepEqual(paid.claim, { id: "claim_1" });
  assert.deepEqual(paid.asked, [["/api/v1/deposits", { chain: "base", tx_hash: HASH }]]);
  assert.deepEqual(paid.hashes, [HASH]);
  assert.deepEqual(paid.provider.methods(), ["eth_requestAccounts", "eth_chainId", "eth_call", "eth_sendTransaction"]);
  const [sent] = paid.provider.params("eth_sendTransaction");
  assert.deepEqual(sent, wallet.transaction(usdc(), PAYER, 12_500_000n));
});

test("a wallet on another chain is switched, and believed only when it says so itself", async () => {
  const chains = ["0x1", "0x2105"];
  const switched = await pay({ eth_chainId: () => chains.shift(), wallet_switchEthereumChain: null });
  assert.equal(switched.hashes.length, 1);
  assert.deepEqual(switched.provider.params("wallet_switchEthereumChain"), [{ chainId: "0x2105" }]);

  const stubborn = await pay({ eth_chainId: "0x1", wallet_switchEthereumChain: null });
  assert.match(stubborn.words, /another network\. Switch it to Base/);
  for (const error of [
    walletError(4902),
    Object.assign(walletError(-32603), { data: { originalError: { code: 4902 } } }),
  ]) {
    const unknown = await pay({ eth_chainId: "0x1", wallet_switchEthereumChain: error });
    assert.match(unknown.words, /does not know Base \(chain 8453\)\. Add it/);
    assert.deepEqual(unknown.hashes, []);
  }
  const declined = await pay({ eth_chainId: "0x1", wallet_switchEthereumChain: walletError(4001) });
  assert.match(declined.words, /^You declined/);
});

test("whoever has not linked the wallet links and pays in one go", async () => {
  const server = (path) => (path.endsWith("/challenge") ? { message: "Link me" } : { id: "claim_1" });
  const unproven = usdc({ proven: [PAYEE] });
  const both = await pay({ personal_sign: "0xabcd" }, { offer: unproven, ask: server });
  assert.deepEqual(both.asked.map(([path]) => path), ["/api/v1/wallets/challenge", "/api/v1/wallets", "/api/v1/deposits"]);
  assert.deepEqual(both.provider.methods().slice(-3), ["personal_sign", "eth_chainId", "eth_sendTransaction"]);
  assert.equal(both.looks, 2);
  assert.deepEqual([both.linked, both.hashes], [[PAYER], [HASH]]);
  const own = await pay({}, { offer: usdc({ proven: [], needsProof: false }) });
  assert.deepEqual([own.hashes, own.linked], [[HASH], []]);
});

test("a wallet that has gone to another chain while it signed sends nothing there", async () => {
  const server = (path) => (path.endsWith("/challenge") ? { message: "Link me" } : { id: "claim_1" });
  const chains = ["0x2105", "0x2105", "0x1", "0x1"];
  const moved = await pay(
    { personal_sign: "0xabcd", eth_chainId: () => chains.shift() ?? "0x1", wallet_switchEthereumChain: null },
    { offer: usdc({ proven: [PAYEE] }), ask: server },
  );
  assert.deepEqual(moved.hashes, []);
  assert.match(moved.words, /another network\. Switch it to Base/);
});

test("a wallet that is not linked after all pays nothing", async () => {
  const unproven = usdc({ proven: [] });
  const server = (path) => {
    if (path.endsWith("/challenge")) return { message: "Link me" };
    throw new wallet.Refusal("This wallet cannot be linked.");
  };
  const cases = [
    [{ personal_sign: walletError(4001) }, server, /^The wallet was not linked, so nothing was sent\. You declined/],
    [{ personal_sign: "0xabcd" }, server, /nothing was sent\. This wallet cannot be linked/],
  ];
  for (const [answers, ask, words] of cases) {
    const refused = await pay(answers, { offer: unproven, ask });
    assert.match(refused.words, words);
    assert.ok(!refused.provider.methods().includes("eth_sendTransaction"));
    assert.deepEqual([refused.linked, refused.hashes], [[], []]);
  }
});

test("whoever has too little is told what is missing before anything is signed or sent", async () => {
  const token = await pay({ eth_call: "0x2625a00" }, { written: "50", offer: usdc({ proven: [] }) });
  assert.match(token.words, /has 40 USDC on Base, 10 USDC less than needed\. Nothing was sent/);
  assert.deepEqual(token.provider.methods(), ["eth_requestAccounts", "eth_chainId", "eth_call"]);
  const [call, block] = token.provider.params("eth_call");
  assert.deepEqual([call.to, block], [TOKEN, "latest"]);
  assert.equal(call.data, `0x70a08231${PAYER.slice(2).toLowerCase().padStart(64, "0")}`);
  const ether = usdc({ token: null, decimals: 18, symbol: "ETH" });
  const coin = await pay({}, { offer: ether, written: "1.25" });
  assert.match(coin.words, /has 1 ETH on Base, 0\.25 ETH less than needed/);
  // What does not tell its balance may pay all the same: it looks for itself.
  for (const silent of [walletError(4200), "0x", null, "lots"]) {
    assert.deepEqual((await pay({ eth_call: silent })).hashes, [HASH]);
  }
});

test("no wallet is asked anything for an amount that cannot be paid", async () => {
  const bad = await pay({}, { written: "1,500" });
  assert.match(bad.words, /Enter an amount/);
  assert.deepEqual(bad.provider.methods(), []);
});

test("an account that cannot use the money pays nothing", async () => {
  const cases = [
    ["suspended", /suspended, so nothing was sent/],
    ["closing", /being deleted, so nothing was sent/],
    ["", /nothing was sent/],
    [new wallet.Refusal("The server cannot be reached."), /cannot be reached/],
  ];
  for (const [standing, words] of cases) {
    const refused = await pay({}, { standing });
    assert.match(refused.words, words);
    assert.deepEqual([refused.provider.methods(), refused.hashes, refused.asked, refused.looks], [[], [], [], 1]);
  }
});

test("amounts are written as they are read", () => {
  for (const [raw, decimals, text] of [[1_500_000n, 6, "1.5"], [1n, 18, "0.000000000000000001"], [7n, 0, "7"], [10_000_000n, 6, "10"]]) {
    assert.equal(wallet.inCoins(raw, decimals), text);
  }
});

/** The part of a page where something is done with a wallet. */
function panel(dataset) {
  const parts = { "[data-wallets]": { children: [] }, "[role=status]": { textContent: "" } };
  const root = { dataset, querySelector: (name) => parts[name] };
  const window = Object.assign(openWindow(), {
    document: { querySelector: () => null, querySelectorAll: () => [root] }, fetch: () => {},
  });
  wallet.start(window);
  return { window, said: () => parts["[role=status]"].textContent };
}

test("a page without a wallet says what to do instead, and a coin without a price asks none", () => {
  const pays = panel({ wallet: "pay", amount: "25" });
  pays.window.timers.forEach((work) => work());
  assert.match(pays.said(), /No browser wallet found\. Scan the code/);
  assert.match(panel({ wallet: "pay", amount: "" }).said(), /Choose a stablecoin/);
});

test("each refusal of a wallet has a sentence", async () => {
  const cases = [
    [walletError(4001, "User rejected the request."), /^You declined/],
    [walletError("ACTION_REJECTED"), /^You declined/],
    [walletError(4100), /Allow it in the wallet/],
    [walletError(4200), /does not support that/],
    [walletError(4900), /not connected/],
    [walletError(-32002), /already has an open request/],
    [walletError(4902), /does not know this network/],
    [walletError(-32000, "insufficient\n funds"), /too little of the network's own coin/],
    [walletError(3, "execution reverted: 0x08c379a0"), /^The token's contract refuses/],
    [walletError(-32603, "Request Arguments: from: 0x92a4"), /internal error/],
    [walletError(12345, "0xdeadbeef"), /refused without a clear reason/],
    [null, /refused without a clear reason/],
    [{ message: 5 }, /refused without a clear reason/],
  ];
  for (const [error, words] of cases) {
    assert.match(wallet.reason(error), words);
    assert.doesNotMatch(wallet.reason(error), /0x/, "nothing of the wallet's own words is shown");
  }
  const declined = await pay({ eth_sendTransaction: walletError(4001) });
  assert.match(declined.words, /^You declined/);
  assert.deepEqual([declined.hashes, declined.asked], [[], []]);
  const locked = await pay({ eth_requestAccounts: [] });
  assert.match(locked.words, /returned no account/);
  const strange = await pay({ eth_sendTransaction: "0x12" });
  assert.match(strange.words, /no transaction hash/);
});

test("whoever has paid is not led to pay again when the hash is not taken", async () => {
  const ask = () => {
    throw new wallet.Refusal("Too many claims.");
  };
  const paid = await pay({}, { ask });
  assert.deepEqual(paid.hashes, [HASH]);
  assert.match(paid.words, new RegExp(`sent as ${HASH}.*Too many claims\\. Do not pay again`));
});

test("our server is asked with the word of our pages, and its sentence is what is said", async () => {
  const requests = [];
  const server = (status, document) => async (path, options) => {
    requests.push([path, options]);
    return { ok: status < 300, status, json: async () => JSON.parse(document) };
  };
  assert.deepEqual(await wallet.post(server(201, "{\"id\":1}"), "word", "/api/v1/wallets", { a: 1 }), { id: 1 });
  const [path, options] = requests[0];
  assert.equal(path, "/api/v1/wallets");
  assert.deepEqual([options.method, options.body, options.credentials], ["POST", "{\"a\":1}", "same-origin"]);
  assert.equal(options.headers["x-csrf-token"], "word");
  await wallet.post(server(200, "{}"), "word", "/api/v1/account");
  const [, look] = requests[1];
  assert.deepEqual([look.method, look.body, look.headers["x-csrf-token"]], ["GET", undefined, undefined]);
  const told = wallet.post(server(409, "{\"error\":{\"message\":\"Too many wallets.\"}}"), "", "/", {});
  await assert.rejects(told, { message: "Too many wallets." });
  await assert.rejects(wallet.post(server(401, "{}"), "", "/", {}), /no longer logged in/);
  await assert.rejects(wallet.post(server(502, "<html>"), "", "/", {}), /returned status 502/);
  const offline = async () => {
    throw new TypeError("fetch failed");
  };
  await assert.rejects(wallet.post(offline, "", "/", {}), /cannot be reached/);
});

test("the page says all that a payment needs", () => {
  const dataset = {
    chain: "base", chainId: "8453", chainTitle: "Base", payee: PAYEE, token: "", decimals: "18", symbol: "ETH",
    needsProof: "false", proven: ` ${PAYER}  `,
  };
  const offer = wallet.offerOf({ dataset });
  assert.deepEqual(offer, { ...dataset, token: null, decimals: 18, needsProof: false, proven: [PAYER] });
  assert.deepEqual(wallet.chainsOf("base:8453 my-chain:1 broken"), [
    { name: "base", id: "8453" }, { name: "my-chain", id: "1" },
  ]);
});
