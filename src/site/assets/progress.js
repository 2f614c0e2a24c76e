// Keeps what a page says of a deposit up to date while it waits: one connection for each, on which the server sends the
// deposit whenever something about it changes.

/** Browsers have few connections to one server, and the page needs some for itself. */
const CONNECTIONS_MAX = 3;

/** Milliseconds between two looks, where there is no place for a connection. */
const LOOK_MS = 15000;

/** Answers that do not change by asking again. */
const FOR_GOOD = [400, 401, 403, 404];

/** The id of an event behind which there are none. */
const LAST = "last";

/** Where nothing more is to be expected. */
const SETTLED = ["credited", "rejected", "refunded"];

/** Where a hash stands that is being looked up. */
const UNSEEN = ["submitted", "not_found"];

/** Words of states that are not those of their codes. */
const TITLES = {
  held: "Under review",
  orphaned: "Dropped by the chain",
  submitted: "Looking up",
  matched: "Found",
  not_found: "Not found yet",
};

/** How a state is written on pages: `below_minimum` is `Below minimum`. */
export function title(state) {
  if (TITLES[state]) return TITLES[state];
  const words = state.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** How far a deposit is, in words. */
export function confirmationsText({ seen, needed }) {
  return `${seen}/${needed} confirmations`;
}

/** How long something takes, as people say it; an estimate. */
export function about(secs) {
  if (typeof secs !== "number") return "";
  const minutes = Math.floor((Math.max(secs, 0) + 30) / 60);
  if (minutes < 90) return `about ${Math.max(minutes, 1)} min`;
  return `about ${Math.floor((minutes + 30) / 60)} hours`;
}

/** What was found in a claimed transaction, to notice when that changes. The page writes it the same way. */
export function foundIn(document) {
  return (document.deposits ?? []).map((deposit) => `${deposit.id} ${deposit.state}`).join(", ");
}

/** Writes a deposit's or claim's document into the part of the page that is about it. */
export function show(element, document) {
  const write = (name, text) => {
    for (const part of element.querySelectorAll(`[data-field=${name}]`)) {
      // An unchanged text is not read out again.
      if (part.textContent !== text) part.textContent = text;
    }
  };
  write("state", title(document.state));
  for (const part of element.querySelectorAll("[data-field=state]")) {
    part.className = `state state-${document.state}`;
  }
  write("message", document.message ?? "");
  const waitsForChain = document.confirmations || UNSEEN.includes(document.state);
  write("chain", (waitsForChain && document.chain_status?.detail) || "");
  if (document.value) write("value", `$${document.value}`);
  const { confirmations } = document;
  write("confirmations", confirmations ? confirmationsText(confirmations) : "");
  write("about", confirmations ? about(confirmations.about_secs) : "");
  const bar = element.querySelector("progress");
  if (bar) {
    bar.hidden = !confirmations;
    if (confirmations) {
      bar.max = Math.max(confirmations.needed, 1);
      bar.value = confirmations.seen;
    }
  }
  element.dataset.state = document.state;
}

/** Watches what one part of the page is about. */
export function watch(window, element) {
  const source = new window.EventSource(element.dataset.progress);
  // What the page was made with. By the first event something may have been found already.
  const found = element.dataset.found ?? "";
  /** Takes a document in; whether more may follow. */
  const take = (text) => {
    let document;
    try {
      document = JSON.parse(text);
    } catch {
      return true;
    }
    if (typeof document?.state !== "string") return true;
    // The page about one deposit says in each state what comes next: the server writes it.
    const isOther = element.dataset.page !== undefined && document.state !== element.dataset.state;
    if (foundIn(document) !== found || isOther) {
      window.location.reload();
      return false;
    }
    show(element, document);
    const mayChange = document.is_provisional || document.refund?.state === "held";
    return mayChange || !SETTLED.includes(document.state);
  };
  const receive = (event) => {
    const goesOn = take(event.data);
    // The server names the last one so; asked again, it would refuse.
    if (!goesOn || event.lastEventId === LAST) source.close();
  };
  source.addEventListener("message", receive);
  source.addEventListener("deposit", receive);
  source.addEventListener("error", () => {
    // A connection that was cut comes back by itself; one that was refused does not.
    if (source.readyState === window.EventSource.CLOSED) window.setTimeout(look, 0);
  });
  /** Asks for the document itself, now and then: what is left where there is no place for a connection. */
  async function look() {
    let status = 0;
    try {
      const url = element.dataset.progress.replace(/\/events$/, "");
      const answer = await window.fetch(url, { headers: { accept: "application/json" } });
      status = answer.status;
      if (answer.ok && !take(await answer.text())) return;
    } catch {
      // There is no network at the moment.
    }
    if (!FOR_GOOD.includes(status)) {
      window.setTimeout(look, LOOK_MS);
      return;
    }
    const note = element.querySelector("[data-field=live]");
    if (note) note.textContent = "Live updates have stopped. Reload the page to see the current state.";
  }
  return source;
}

/** Deposits and claims of a list's document by their ids; nothing where it is none. */
function listed(text) {
  let page;
  try {
    page = JSON.parse(text);
  } catch {
    return null;
  }
  if (!Array.isArray(page?.data) || !Array.isArray(page?.claims)) return null;
  const all = [...page.data, ...page.claims].filter((one) => typeof one?.state === "string");
  return new Map(all.map((one) => [one.id, one]));
}

/** Keeps a list up to date: one connection for all of it, on which a new deposit is told too. */
export function watchList(window, element) {
  const source = new window.EventSource(element.dataset.live);
  let known = idsOf(element);
  let isRenewed = false;
  const take = (text) => {
    const documents = listed(text);
    if (!documents) return;
    for (const part of element.querySelectorAll("[data-deposit]")) {
      const document = documents.get(part.dataset.deposit);
      if (document) show(part, document);
    }
    if (Array.from(documents.keys()).some((id) => !known.has(id))) renew();
  };
  /** Puts the list in as the server writes it now; what is typed elsewhere on the page stays. */
  async function renew() {
    if (isRenewed) return;
    isRenewed = true;
    try {
      const answer = await window.fetch(`${window.location.pathname}${window.location.search ?? ""}`, { headers: { accept: "text/html" } });
      const page = new window.DOMParser().parseFromString(await answer.text(), "text/html");
      const list = page.querySelector("[data-live]");
      if (!answer.ok || !list) throw new Error("no list");
      element.replaceChildren(...list.childNodes);
      // Scripts that look after times do so for what is new, too.
      element.dispatchEvent?.(new window.CustomEvent("sluice:added", { bubbles: true }));
      known = idsOf(list);
    } catch {
      window.setTimeout(renew, LOOK_MS);
    }
    isRenewed = false;
  }
  source.addEventListener("deposits", (event) => take(event.data));
  source.addEventListener("error", () => {
    if (source.readyState === window.EventSource.CLOSED) window.setTimeout(look, 0);
  });
  async function look() {
    let status = 0;
    try {
      const url = `${element.dataset.live.replace(/\/events$/, "")}?limit=20`;
      const answer = await window.fetch(url, { headers: { accept: "application/json" } });
      status = answer.status;
      if (answer.ok) take(await answer.text());
    } catch {
      // There is no network at the moment.
    }
    if (!FOR_GOOD.includes(status)) {
      window.setTimeout(look, LOOK_MS);
      return;
    }
    const note = element.querySelector("[data-live-note]");
    if (note) note.textContent = "Live updates of this list have stopped. Reload the page.";
  }
  return source;
}

/** What the server has written into a list, also where it is not shown by itself. */
function idsOf(element) {
  return new Set((element.dataset.known ?? "").split(" ").filter(Boolean));
}

/** Watches what is waited for on a page. */
export function start(window) {
  for (const button of window.document.querySelectorAll("[data-print]")) {
    button.addEventListener("click", () => window.print());
  }
  const list = window.document.querySelector("[data-live]");
  if (list) {
    watchList(window, list);
    return 1;
  }
  const elements = Array.from(window.document.querySelectorAll("[data-progress]"));
  elements.slice(0, CONNECTIONS_MAX).forEach((element) => watch(window, element));
  return elements.length;
}

if (typeof window !== "undefined") start(window);
