// Finds the wallets of this browser (EIP-6963), asks one to sign that it belongs to this account, or to pay (EIP-1193).
// A wallet is other people's program: what it says is checked, shown as text, and never as markup.

const NAME_CHARS_MAX = 60;
const ICON_CHARS_MAX = 200_000;
const WALLETS_MAX = 20;
const WORDS_CHARS_MAX = 200;
const ICON = /^data:image\/(png|jpeg|gif|webp|svg\+xml|x-icon|vnd\.microsoft\.icon)[;,]/i;
const ADDRESS = /^0x[0-9a-f]{40}$/i;
const TX_HASH = /^0x[0-9a-f]{64}$/i;
const HEX = /^0x([0-9a-f]{2})+$/i;
/** `transfer(address,uint256)`. */
const TRANSFER = "a9059cbb";
/** Wallets that came before EIP-6963 get this long to be joined by ones that announce themselves. */
const LEGACY_WAIT_MS = 300;

/** What a refusal is mended by: linking the wallet. */
const LINK = "link";

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

/** What an amount of a coin is worth, in words; nothing where that cannot be said yet. */
export function worth(offer, written) {
  if (!offer.token) {
    return `An amount of ${offer.symbol}, not of dollars. It counts at the price when it arrives.`;
  }
  if (!written.trim()) return "";
  let amount;
  try {
    amount = parseAmount(written, offer.decimals);
  } catch (error) {
    return reason(error);
  }
  // Cents are enough here; what is below them is not rounded up.
  const unit = 10n ** BigInt(offer.decimals);
  const cents = String(((amount % unit) * 100n) / unit).padStart(2, "0");
  return `${written.trim()} ${offer.symbol} counts as $${amount / unit}.${cents}.`;
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

/** What a wallet's refusal means, in a sentence. Codes are those of EIP-1193 and EIP-1474. */
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
      return "This wallet does not support that. Try another one, or use the manual way below.";
    case 4900:
    case 4901:
      return "The wallet is not connected to its chain. Reconnect it and try again.";
    case -32002:
      return "The wallet already has an open request. Open the wallet and answer it there.";
    default: {
      const words = typeof error?.message === "string" ? error.message : "";
      const clipped = words.replace(/\s+/g, " ").trim().slice(0, WORDS_CHARS_MAX);
      return clipped ? `The wallet says: ${clipped}` : "The wallet refused and gave no reason.";
    }
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
    throw new Refusal(`The wallet is on another chain. Switch it to ${offer.chainTitle} and try again.`);
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
  const current = await chainOf(provider);
  // It matters to contracts only, and those live where the wallet is.
  const chain = chains.find((known) => BigInt(known.id) === current) ?? chains[0];
  if (!chain) throw new Refusal("No chain accepts deposits at the moment.");
  const { message } = await ask("/api/v1/wallets/challenge", { chain: chain.name, address });
  say("Read and sign the message in your wallet. This is free and sends no transaction.");
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

/** Pays: sends the transaction and submits its hash. `sent` is called with the hash as soon as there is one. */
export async function pay({ provider, offer, written, ask, say, sent }) {
  const amount = parseAmount(written, offer.decimals);
  await mayPay(ask);
  say("Choose the account to pay from in your wallet.");
  const from = await chooseAccount(provider);
  const isProven = offer.proven.some((address) => address.toLowerCase() === from.toLowerCase());
  if (offer.needsProof && !isProven) {
    const words = `${from} is not linked to your account, so we could not match its payment to you.`;
    throw new Refusal(`${words} Link it on the Wallets page first.`, { cause: LINK });
  }
  await switchChain(provider, offer);
  say(`Confirm the payment of ${written.trim()} ${offer.symbol} in your wallet.`);
  const params = [transaction(offer, from, amount)];
  const hash = await provider.request({ method: "eth_sendTransaction", params });
  if (typeof hash !== "string" || !TX_HASH.test(hash)) {
    throw new Refusal("The wallet returned no transaction hash. If it sent the payment, submit the hash below.");
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

// --- the page ---------------------------------------------------------------------------------------------------

/** The chains in `data-chains`, written as `base:8453 ethereum:1`. */
export function chainsOf(text) {
  const parts = text.split(/\s+/).map((part) => /^(.+):([0-9]+)$/.exec(part));
  return parts.filter(Boolean).map(([, name, id]) => ({ name, id }));
}

/** What an option of the list of coins says about paying in it. */
export function offerOf(option, proven) {
  const { chain, chainId, chainTitle, payee, token, decimals, symbol, needsProof } = option.dataset;
  return {
    chain,
    chainId,
    chainTitle,
    payee,
    token: token || null,
    decimals: Number.parseInt(decimals, 10),
    symbol,
    needsProof: needsProof === "true",
    proven: proven.split(/\s+/).filter(Boolean),
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
    element.hidden = false;
    if (element.dataset.wallet === "pay" && element.querySelector("option")) this.followChoice();
    if (this.list.children.length === 0) {
      this.say("Looking for browser wallets.");
      const none = "No browser wallet found. Pay to the address below, or link a wallet manually.";
      window.setTimeout(() => this.list.children.length === 0 && this.say(none), LEGACY_WAIT_MS * 2);
    }
  }

  add(wallet) {
    const { document } = this.window;
    if (this.list.children.length === 0) this.say("");
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
      if (error?.cause === LINK) this.addLink();
      this.setBusy(false);
      // A disabled button has lost the keyboard.
      button.focus();
    }
  }

  /** The way to the page on which a wallet is linked. */
  addLink() {
    const link = this.window.document.createElement("a");
    link.href = "/wallets";
    link.textContent = "Link it";
    this.status.append(" ", link);
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
    const offer = this.offer();
    const written = this.element.querySelector("input").value;
    const sent = (hash) => this.note(hash, offer.chain);
    const claim = await pay({ provider, offer, written, ask: this.ask, say: this.say, sent });
    return `/deposits/${encodeURIComponent(claim.id)}`;
  }

  /** What is chosen in the list of coins. */
  offer() {
    const { selectedOptions } = this.element.querySelector("select");
    return offerOf(selectedOptions[0], this.element.dataset.proven);
  }

  /** Says what the chosen amount is worth, and what is wrong with the chain. */
  followChoice() {
    const [select, input] = [this.element.querySelector("select"), this.element.querySelector("input")];
    const tell = () => {
      this.element.querySelector("[data-worth]").textContent = worth(this.offer(), input.value);
      const { trouble } = select.selectedOptions[0].dataset;
      this.element.querySelector("[data-trouble-of-chain]").textContent = trouble ?? "";
    };
    const choose = () => {
      // Dollars are an amount of what counts as dollars, and of nothing else.
      input.value = this.offer().token ? (input.dataset.dollars ?? "") : "";
      tell();
    };
    select.addEventListener("change", choose);
    input.addEventListener("input", tell);
    choose();
  }

  /** Keeps the hash in the form below, should anything go wrong from here on. */
  note(hash, chain) {
    const form = this.window.document.querySelector("form[data-claim]");
    if (!form) return;
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
