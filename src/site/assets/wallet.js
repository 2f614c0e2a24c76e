// Finds the wallets of this browser (EIP-6963), asks one to sign that it belongs to this account, or to pay (EIP-1193).
// A wallet is other people's program: what it says is checked, shown as text, and never as markup.

const NAME_CHARS_MAX = 60;
const ICON_CHARS_MAX = 200_000;
const WALLETS_MAX = 20;
const ICON = /^data:image\/(png|jpeg|gif|webp|svg\+xml|x-icon|vnd\.microsoft\.icon)[;,]/i;
const ADDRESS = /^0x[0-9a-f]{40}$/i;
const TX_HASH = /^0x[0-9a-f]{64}$/i;
const HEX = /^0x([0-9a-f]{2})+$/i;
/** `transfer(address,uint256)` and `balanceOf(address)`. */
const TRANSFER = "a9059cbb";
const BALANCE_OF = "70a08231";
/** Wallets that came before EIP-6963 get this long to be joined by ones that announce themselves. */
const LEGACY_WAIT_MS = 300;

/** Why it went no further, in a sentence for the person. */
export class Refusal extends Error {}

// --- amounts ----------------------------------------------------------------------------------------------------

/** A decimal text as a whole number of the coin's smallest units: `1.5` of 6 decimals is 1500000n. Never rounds. */
export function parseAmount(text, decimals) {
  // A comma before one or two digits is where others write a point; `1,000` could be either.
  const written = text.trim().replace(/^([0-9]+),([0-9]{1,2})$/, "$1.$2");
  const parts = /^([0-9]{1,60})(?:\.([0-9]{1,60}))?$/.exec(written);
  if (!parts) {
    throw new Refusal("Enter an amount, for example 12.50.");
  }
  const fraction = (parts[2] ?? "").replace(/0+$/, "");
  if (fraction.length > decimals) {
    throw new Refusal(`This coin has at most ${decimals} decimal places.`);
  }
  const amount = BigInt(parts[1] + fraction.padEnd(decimals, "0"));
  if (amount === 0n) {
    throw new Refusal("The amount must be more than 0.");
  }
  if (amount >= 1n << 256n) {
    throw new Refusal("The amount is too large.");
  }
  return amount;
}

/** The same back: 1500000n of 6 decimals is `1.5`. */
export function inCoins(raw, decimals) {
  const digits = raw.toString().padStart(decimals + 1, "0");
  const [whole, fraction] = [digits.slice(0, digits.length - decimals), digits.slice(digits.length - decimals)];
  const shown = fraction.replace(/0+$/, "");
  return shown ? `${whole}.${shown}` : whole;
}

/** `0x` and hexadecimal digits without leading zeros, as JSON-RPC writes a quantity. */
export function quantity(number) {
  return `0x${BigInt(number).toString(16)}`;
}

/** The call of a token's contract that moves `amount` to `payee`. */
export function transferCalldata(payee, amount) {
  if (!ADDRESS.test(payee)) {
    throw new Refusal("The recipient address is not valid.");
  }
  const word = (digits) => digits.padStart(64, "0");
  return `0x${TRANSFER}${word(payee.slice(2).toLowerCase())}${word(amount.toString(16))}`;
}

/** The transaction that pays. `offer` says where and in what. */
export function transaction(offer, from, amount) {
  const common = { from, chainId: quantity(offer.chainId) };
  if (offer.token) {
    return { ...common, to: offer.token, value: "0x0", data: transferCalldata(offer.payee, amount) };
  }
  return { ...common, to: offer.payee, value: quantity(amount) };
}

// --- wallets ----------------------------------------------------------------------------------------------------

/** What is shown of a wallet that has announced itself, or nothing if it is not one. */
export function described(detail) {
  const { info, provider } = detail ?? {};
  if (typeof info !== "object" || info === null || typeof provider?.request !== "function") return null;
  if (typeof info.uuid !== "string" || typeof info.name !== "string") return null;
  const name = info.name.replace(/\s+/g, " ").trim().slice(0, NAME_CHARS_MAX);
  if (!name || !info.uuid) return null;
  return { id: info.uuid, name, icon: safeIcon(info.icon), provider };
}

/** A picture that came along as data, and nothing that would be fetched from somewhere. */
export function safeIcon(icon) {
  const isData = typeof icon === "string" && icon.length <= ICON_CHARS_MAX && ICON.test(icon);
  return isData ? icon : null;
}

/** Calls `found` for each wallet that announces itself, now or later, and once each. */
export function discover(window, found) {
  const known = new Set();
  const add = (wallet) => {
    if (!wallet || known.has(wallet.id) || known.size >= WALLETS_MAX) return;
    known.add(wallet.id);
    found(wallet);
  };
  window.addEventListener("eip6963:announceProvider", (event) => add(described(event.detail)));
  window.dispatchEvent(new window.Event("eip6963:requestProvider"));
  window.setTimeout(() => {
    if (known.size === 0) {
      const info = { uuid: "legacy", name: "Browser wallet" };
      add(described({ info, provider: window.ethereum }));
    }
  }, LEGACY_WAIT_MS);
}

/** What a wallet's refusal means, in a sentence: by its code alone, since its words may be anybody's, and are cut from
 *  somewhere. Codes are those of EIP-1193, EIP-1474 and EIP-3085. */
export function reason(error) {
  if (error instanceof Refusal) return error.message;
  switch (codeOf(error)) {
    case 4001:
    case "ACTION_REJECTED":
      return "You declined in the wallet. Nothing happened.";
    case 4100:
      return "The wallet has not authorised this page to use that account. Allow it in the wallet and try again.";
    case 4200:
    case -32601:
    case -32004:
      return "This wallet does not support that. Try another one, or send to the address above.";
    case 4900:
    case 4901:
      return "The wallet is not connected to its network. Reconnect it and try again.";
    case 4902:
      return "The wallet does not know this network. Add it in the wallet and try again.";
    case -32002:
      return "The wallet already has an open request. Open the wallet and answer it there.";
    case -32005:
      return "The wallet's provider receives too many requests. Wait a minute and try again.";
    case -32000:
    case -32003:
    case "INSUFFICIENT_FUNDS":
      return "The network did not accept the payment. Often the wallet has too little of the network's own coin for the fee.";
    case 3:
    case -32015:
    case "CALL_EXCEPTION":
      return "The token's contract refuses this payment. Check that your wallet holds enough of the token.";
    case -32602:
      return "The wallet did not understand the request. Update the wallet, or send to the address above.";
    case -32603:
      return "The wallet reported an internal error. Open it, check its network and balance, and try again.";
    default:
      return "The wallet refused without a clear reason. Open the wallet, check it, and try again.";
  }
}

function codeOf(error) {
  return error?.data?.originalError?.code ?? error?.code;
}

async function chooseAccount(provider) {
  const accounts = await provider.request({ method: "eth_requestAccounts" });
  const account = Array.isArray(accounts) ? accounts[0] : undefined;
  if (typeof account !== "string" || !ADDRESS.test(account)) {
    throw new Refusal("The wallet returned no account.");
  }
  return account;
}

async function chainOf(provider) {
  const chainId = await provider.request({ method: "eth_chainId" });
  // Some give a number, some a text of either base.
  return /^(0x[0-9a-f]+|[0-9]+)$/i.test(String(chainId)) ? BigInt(chainId) : null;
}

/** Brings the wallet onto the chain of the offer, and believes it only when it says so itself. */
async function switchChain(provider, offer) {
  const wanted = BigInt(offer.chainId);
  if ((await chainOf(provider)) === wanted) return;
  try {
    await provider.request({
      method: "wallet_switchEthereumChain",
      params: [{ chainId: quantity(wanted) }],
    });
  } catch (error) {
    if (codeOf(error) === 4902) {
      const words = `Your wallet does not know ${offer.chainTitle} (chain ${wanted}).`;
      throw new Refusal(`${words} Add it in the wallet and try again.`);
    }
    throw error;
  }
  if ((await chainOf(provider)) !== wanted) {
    throw new Refusal(`The wallet is on another network. Switch it to ${offer.chainTitle} and try again.`);
  }
}

// --- what a person does -----------------------------------------------------------------------------------------

/** Asks our own server for something, with the word that only our pages know; without a body it only looks. */
export async function post(fetch, csrf, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method: body ? "POST" : "GET",
      credentials: "same-origin",
      headers: { accept: "application/json", ...(body && { "content-type": "application/json", "x-csrf-token": csrf }) },
      ...(body && { body: JSON.stringify(body) }),
    });
  } catch {
    throw new Refusal("The server cannot be reached. Try again in a moment.");
  }
  const document = await response.json().catch(() => null);
  if (response.ok && document) return document;
  if (response.status === 401) {
    throw new Refusal("You are no longer logged in. Log in again.");
  }
  throw new Refusal(document?.error?.message ?? `The server returned status ${response.status}.`);
}

/** Links a wallet: it signs our message, and the server looks at the signature. `chains` has names by their numbers. */
export async function link({ provider, chains, ask, say }) {
  say("Choose an account in your wallet.");
  const address = await chooseAccount(provider);
  return prove({ provider, address, chains, ask, say });
}

/** Has a wallet sign that an account of it is ours. */
async function prove({ provider, address, chains, ask, say }) {
  const current = await chainOf(provider);
  // It matters to contracts only, and those live where the wallet is.
  const chain = chains.find((known) => BigInt(known.id) === current) ?? chains[0];
  if (!chain) throw new Refusal("No network accepts deposits at the moment.");
  const { message } = await ask("/api/v1/wallets/challenge", { chain: chain.name, address });
  say("Sign the message in your wallet to link it. This is free and moves no funds.");
  const bytes = new TextEncoder().encode(message);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const signature = await provider.request({ method: "personal_sign", params: [`0x${hex}`, address] });
  if (typeof signature !== "string" || !HEX.test(signature)) {
    throw new Refusal("The wallet returned no signature.");
  }
  say("Checking the signature.");
  return ask("/api/v1/wallets", { message, signature });
}

/** Makes sure that the account can use what is paid: the page may be older than its suspension. */
async function mayPay(ask) {
  const { status } = await ask("/api/v1/account");
  if (status === "active") return;
  const words = status === "suspended" ? "Your account is suspended" : "Your account is being deleted";
  throw new Refusal(`${words}, so nothing was sent. Do not pay until it is active again.`);
}

/** The balance of a coin, or nothing where the wallet does not tell. */
async function balanceOf(provider, offer, from) {
  const word = from.slice(2).toLowerCase().padStart(64, "0");
  const call = { to: offer.token, data: `0x${BALANCE_OF}${word}` };
  const [method, params] = offer.token
    ? ["eth_call", [call, "latest"]]
    : ["eth_getBalance", [from, "latest"]];
  try {
    const answer = await provider.request({ method, params });
    return /^0x[0-9a-f]{1,64}$/i.test(answer) ? BigInt(answer) : null;
  } catch {
    // The wallet looks for itself before it sends.
    return null;
  }
}

/** Makes sure that there is enough, and says what is missing. */
async function mayAfford(provider, offer, from, amount) {
  const balance = await balanceOf(provider, offer, from);
  if (balance === null || balance >= amount) return;
  const coins = (raw) => `${inCoins(raw, offer.decimals)} ${offer.symbol}`;
  const words = `This wallet has ${coins(balance)} on ${offer.chainTitle}, ${coins(amount - balance)} less than needed.`;
  throw new Refusal(`${words} Nothing was sent. Choose a smaller amount or another coin.`);
}

/** Pays: links the wallet first where that is needed, sends the transaction, and submits its hash. Nothing is sent before
 *  it is certain that it will be credited. `sent` is called with the hash as soon as there is one, `linked` with an
 *  address that was linked on the way. */
export async function pay({ provider, offer, chains = [], written, ask, say, sent, linked = () => {} }) {
  const amount = parseAmount(written, offer.decimals);
  await mayPay(ask);
  say("Choose the account to pay from in your wallet.");
  const from = await chooseAccount(provider);
  await switchChain(provider, offer);
  await mayAfford(provider, offer, from, amount);
  const isProven = offer.proven.some((address) => address.toLowerCase() === from.toLowerCase());
  if (offer.needsProof && !isProven) {
    await proveFirst({ provider, address: from, chains, ask, say });
    linked(from);
    // Signing takes its time: the wallet may be on another chain by now, and the account suspended.
    await mayPay(ask);
    await switchChain(provider, offer);
  }
  say(`Confirm the payment of ${written.trim()} ${offer.symbol} in your wallet.`);
  const params = [transaction(offer, from, amount)];
  const hash = await provider.request({ method: "eth_sendTransaction", params });
  if (typeof hash !== "string" || !TX_HASH.test(hash)) {
    throw new Refusal("The wallet returned no transaction hash. If it sent the payment, submit its hash below.");
  }
  sent(hash);
  say("Payment sent. Submitting its hash.");
  try {
    return await ask("/api/v1/deposits", { chain: offer.chain, tx_hash: hash });
  } catch (error) {
    const words = `The payment was sent as ${hash}, but its hash could not be submitted: ${reason(error)}`;
    throw new Refusal(`${words} Do not pay again; submit the hash below.`);
  }
}

/** Links the wallet that is about to pay. A refusal says that no money has moved. */
async function proveFirst(parts) {
  try {
    await prove(parts);
  } catch (error) {
    throw new Refusal(`The wallet was not linked, so nothing was sent. ${reason(error)}`);
  }
}

// --- the page ---------------------------------------------------------------------------------------------------

/** The chains in `data-chains`, written as `base:8453 ethereum:1`. */
export function chainsOf(text) {
  const parts = text.split(/\s+/).map((part) => /^(.+):([0-9]+)$/.exec(part));
  return parts.filter(Boolean).map(([, name, id]) => ({ name, id }));
}

/** What the page says about the payment that is chosen on it. */
export function offerOf({ dataset }) {
  const { chain, chainId, chainTitle, payee, token, decimals, symbol, needsProof, proven } = dataset;
  return {
    chain,
    chainId,
    chainTitle,
    payee,
    token: token || null,
    decimals: Number.parseInt(decimals, 10),
    symbol,
    needsProof: needsProof === "true",
    proven: (proven ?? "").split(/\s+/).filter(Boolean),
  };
}

/** A part of the page where wallets are listed and something is done with the one that is chosen. */
class Panel {
  constructor(window, element) {
    const { document } = window;
    this.window = window;
    this.element = element;
    this.list = element.querySelector("[data-wallets]");
    this.status = element.querySelector("[role=status]");
    const csrf = document.querySelector("meta[name=csrf]")?.content ?? "";
    this.ask = (path, body) => post(window.fetch.bind(window), csrf, path, body);
    this.say = (words) => {
      this.status.textContent = words;
    };
    // A coin without a price has no amount to ask a wallet for.
    this.isOpen = element.dataset.wallet !== "pay" || Boolean(element.dataset.amount);
    if (!this.isOpen) {
      this.say("Without a price, this coin cannot be paid from here. Choose a stablecoin, or send to the address.");
      return;
    }
    const none = element.dataset.wallet === "pay"
      ? "No browser wallet found. Scan the code, or copy the address."
      : "No browser wallet found. Link it manually below.";
    window.setTimeout(() => this.list.children.length === 0 && this.say(none), LEGACY_WAIT_MS * 2);
  }

  add(wallet) {
    const { document } = this.window;
    if (!this.isOpen) return;
    if (this.list.children.length === 0) this.say(this.welcome());
    const button = document.createElement("button");
    button.type = "button";
    if (wallet.icon) {
      const icon = document.createElement("img");
      icon.src = wallet.icon;
      icon.alt = "";
      icon.width = 24;
      icon.height = 24;
      button.append(icon);
    }
    button.append(`${this.element.dataset.verb} ${wallet.name}`);
    button.addEventListener("click", () => this.run(wallet.provider, button));
    const item = document.createElement("li");
    item.append(button);
    this.list.append(item);
  }

  async run(provider, button) {
    if (this.element.getAttribute("aria-busy") === "true") return;
    this.setBusy(true);
    try {
      const path = await this.act(provider);
      this.say("Done.");
      this.window.location.assign(path);
    } catch (error) {
      this.say(reason(error));
      this.setBusy(false);
      // A disabled button has lost the keyboard.
      button.focus();
    }
  }

  /** What happens when a button is pressed. */
  welcome() {
    const { wallet, proven, needsProof } = this.element.dataset;
    if (wallet === "link") return "The wallet signs a message. This is free and moves no funds.";
    if (needsProof === "true" && !proven) return "The wallet first signs a free message that links it, then pays.";
    return "The wallet shows the payment before it sends anything.";
  }

  setBusy(isBusy) {
    this.element.setAttribute("aria-busy", String(isBusy));
    for (const control of this.element.querySelectorAll("button, input, select")) {
      control.disabled = isBusy;
    }
  }

  async act(provider) {
    const { dataset } = this.element;
    if (dataset.wallet === "link") {
      await link({ provider, chains: chainsOf(dataset.chains), ask: this.ask, say: this.say });
      return "/wallets";
    }
    const offer = offerOf(this.element);
    const claim = await pay({
      provider,
      offer,
      chains: chainsOf(dataset.chains ?? ""),
      written: dataset.amount,
      ask: this.ask,
      say: this.say,
      sent: (hash) => this.note(hash, offer.chain),
      // Whoever tries again need not sign again.
      linked: (address) => {
        dataset.proven = `${dataset.proven} ${address}`;
      },
    });
    return `/deposits/${encodeURIComponent(claim.id)}`;
  }

  /** Keeps the hash in the form below, should anything go wrong from here on. */
  note(hash, chain) {
    const form = this.window.document.querySelector("form[data-claim]");
    if (!form) return;
    const folded = form.closest?.("details");
    if (folded) folded.open = true;
    form.elements.tx_hash.value = hash;
    form.elements.chain.value = chain;
  }
}

/** Brings the panels of a page to life. */
export function start(window) {
  const elements = window.document.querySelectorAll("[data-wallet]");
  const panels = Array.from(elements, (element) => new Panel(window, element));
  if (panels.length > 0) {
    discover(window, (wallet) => panels.forEach((panel) => panel.add(wallet)));
  }
}

if (typeof window !== "undefined") start(window);
