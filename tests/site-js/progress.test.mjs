// The script that keeps a waiting deposit's page up to date.

import assert from "node:assert/strict";
import test from "node:test";

import { load } from "./load.mjs";

const progress = await load("progress.js");

class Source extends EventTarget {
  static CLOSED = 2;
  static opened = [];

  constructor(url) {
    super();
    this.url = url;
    this.readyState = 1;
    Source.opened.push(this);
  }

  close() {
    this.readyState = Source.CLOSED;
  }

  tell(data, lastEventId = "goes-on", name = "deposit") {
    this.dispatchEvent(Object.assign(new Event(name), { data, lastEventId }));
  }
}

/** The part of a page about one deposit, with its fields by name. */
function part(path) {
  const names = ["state", "message", "chain", "value", "confirmations", "about", "live"];
  const fields = Object.fromEntries(names.map((name) => [name, { textContent: "" }]));
  const bar = { max: 1, value: 0, hidden: true };
  const named = (selector) => /data-field=(\w+)/.exec(selector)?.[1];
  return {
    fields,
    bar,
    dataset: { progress: path },
    querySelectorAll: (selector) => [fields[named(selector)]],
    querySelector: (selector) => (selector === "progress" ? bar : fields[named(selector)]),
  };
}

function open(...parts) {
  Source.opened = [];
  const window = {
    EventSource: Source,
    reloads: 0,
    document: { querySelectorAll: (name) => (name === "[data-print]" ? [] : parts), querySelector: () => null },
    location: { reload: () => window.reloads++ },
    // What is to be done later, with the milliseconds until then.
    later: [],
    setTimeout: (work, ms) => window.later.push([work, ms]),
    asked: [],
    answers: [],
    fetch: async (url) => {
      window.asked.push(url);
      const answer = window.answers.shift();
      if (!answer) throw new TypeError("no network");
      const [status, text] = answer;
      return { status, ok: status === 200, text: async () => text };
    },
  };
  progress.start(window);
  return window;
}

const deposit = (change) =>
  JSON.stringify({
    id: "dep_1", state: "confirming", message: "Wait.", confirmations: { seen: 7, needed: 12, about_secs: 600 },
    chain_status: { detail: null }, ...change,
  });

test("a document is written where the page says", () => {
  const one = part("/api/v1/deposits/dep_1/events");
  open(one);
  const [source] = Source.opened;
  assert.equal(source.url, "/api/v1/deposits/dep_1/events");
  source.tell(deposit({}));
  assert.equal(one.fields.state.textContent, "Confirming");
  assert.equal(one.fields.state.className, "state state-confirming");
  assert.equal(one.fields.confirmations.textContent, "7/12 confirmations");
  assert.equal(one.fields.about.textContent, "about 10 min");
  assert.equal(one.fields.message.textContent, "Wait.");
  assert.deepEqual(one.bar, { max: 12, value: 7, hidden: false });
  assert.equal(one.dataset.state, "confirming");

  const detail = "Deposits are delayed.";
  source.tell(deposit({ chain_status: { detail } }));
  assert.equal(one.fields.chain.textContent, detail);
  source.tell(deposit({ chain_status: { detail }, state: "credited", confirmations: null, value: "3.00", message: "Credited." }));
  assert.deepEqual([one.fields.confirmations.textContent, one.fields.value.textContent], ["", "$3.00"]);
  assert.equal(one.bar.hidden, true);
  assert.equal(one.fields.chain.textContent, "", "it waits for its chain no more");
  assert.equal(source.readyState, Source.CLOSED, "nothing more is to come");
});

test("a credited deposit is followed while its refund is on its way", () => {
  const one = part("/x");
  open(one);
  const [source] = Source.opened;
  source.tell(deposit({ state: "credited", refund: { state: "held" } }));
  assert.notEqual(source.readyState, Source.CLOSED);
  source.tell(deposit({ state: "refunded", message: "Refunded $5.00.", refund: { state: "posted" } }));
  assert.deepEqual([one.fields.state.textContent, source.readyState], ["Refunded", Source.CLOSED]);
});

test("the page about one deposit is written anew by the server in each state", () => {
  const one = part("/x");
  Object.assign(one.dataset, { page: "", state: "confirming" });
  const window = open(one);
  Source.opened[0].tell(deposit({}));
  assert.equal(window.reloads, 0);
  Source.opened[0].tell(deposit({ state: "credited" }));
  assert.deepEqual([window.reloads, Source.opened[0].readyState], [1, Source.CLOSED]);
});

test("estimates are the words of the page", () => {
  const said = [0, 89, 90, 780, 5369, 5400, undefined, null].map(progress.about);
  const one = "about 1 min";
  assert.deepEqual(said, [one, one, "about 2 min", "about 13 min", "about 89 min", "about 2 hours", "", ""]);
});

test("what is no document changes nothing", () => {
  const one = part("/x");
  const window = open(one);
  for (const data of ["", "{", "null", "5", "{}", "{\"state\":5}"]) Source.opened[0].tell(data);
  assert.deepEqual([one.fields.state.textContent, window.reloads], ["", 0]);
});

test("a page is loaded again when other deposits are found in a claimed transaction", () => {
  const window = open(part("/x"));
  const [source] = Source.opened;
  const claim = (deposits) => JSON.stringify({ state: "submitted", message: "", deposits });
  source.tell(claim([]));
  source.tell(claim([]));
  assert.equal(window.reloads, 0);
  source.tell(claim([{ id: "dep_1", state: "seen" }]));
  assert.deepEqual([window.reloads, source.readyState], [1, Source.CLOSED]);
});

test("a page is loaded again when something was found while it was on its way, and not for what it shows", () => {
  const deposits = [{ id: "dep_1", state: "seen" }, { id: "dep_2", state: "held" }];
  const told = JSON.stringify({ state: "matched", message: "", deposits });
  const window = open(part("/x"));
  Source.opened[0].tell(told);
  assert.equal(window.reloads, 1);

  const knowing = part("/x");
  knowing.dataset.found = "dep_1 seen, dep_2 held";
  const same = open(knowing);
  Source.opened[0].tell(told);
  assert.equal(same.reloads, 0);
});

/** Does what is to be done next; the milliseconds that it was put off. */
async function next(window) {
  const [work, ms] = window.later.shift();
  await work();
  return ms;
}

test("a page without a place for a connection asks now and then", async () => {
  const one = part("/api/v1/deposits/dep_1/events");
  const window = open(one);
  const [source] = Source.opened;
  source.dispatchEvent(new Event("error"));
  assert.equal(window.later.length, 0, "it comes back by itself");
  source.close();
  source.dispatchEvent(new Event("error"));
  const full = JSON.stringify({ error: { code: "streams_full", message: "" } });
  window.answers = [[200, deposit({})], [429, full], [503, full], undefined, [200, deposit({ state: "credited" })]];
  const waits = [];
  while (window.later.length > 0) waits.push(await next(window));
  assert.deepEqual(waits, [0, 15000, 15000, 15000, 15000]);
  assert.deepEqual(new Set(window.asked), new Set(["/api/v1/deposits/dep_1"]));
  assert.deepEqual([one.fields.state.textContent, one.fields.live.textContent], ["Credited", ""]);
});

test("a page that may not ask any more says so", async () => {
  for (const status of [401, 403, 404]) {
    const one = part("/x");
    const window = open(one);
    Source.opened[0].close();
    Source.opened[0].dispatchEvent(new Event("error"));
    window.answers = [[status, "{}"]];
    await next(window);
    assert.equal(window.later.length, 0);
    assert.match(one.fields.live.textContent, /Reload the page/);
  }
});

test("a page keeps connections for itself", () => {
  open(part("/1"), part("/2"), part("/3"), part("/4"), part("/5"));
  assert.deepEqual(Source.opened.map((source) => source.url), ["/1", "/2", "/3"]);
});

test("a connection ends with what the server calls the last event", () => {
  open(part("/x"));
  const [source] = Source.opened;
  source.tell(JSON.stringify({ state: "matched", deposits: [] }));
  assert.notEqual(source.readyState, Source.CLOSED);
  source.tell(JSON.stringify({ state: "matched", deposits: [] }), "last");
  assert.equal(source.readyState, Source.CLOSED);
});

/** A page with a list; `pages` are what the server writes when it is asked for the list anew. */
function openList(known, parts, pages = []) {
  Source.opened = [];
  const note = { textContent: "" };
  const list = {
    dataset: { live: "/api/v1/deposits/events", known },
    put: [],
    querySelectorAll: () => parts,
    querySelector: () => note,
    replaceChildren: (...nodes) => list.put.push(nodes),
  };
  const window = {
    EventSource: Source,
    document: { querySelector: () => list, querySelectorAll: (name) => (name === "[data-print]" ? [] : parts) },
    location: { pathname: "/deposits" },
    later: [],
    setTimeout: (work, ms) => window.later.push([work, ms]),
    asked: [],
    answers: [],
    fetch: async (url) => {
      window.asked.push(url);
      const answer = url === "/deposits" ? pages.shift() : window.answers.shift();
      if (!answer) throw new TypeError("no network");
      const [status, text] = answer;
      return { status, ok: status === 200, text: async () => text };
    },
    DOMParser: class {
      parseFromString(text) {
        const found = text ? { dataset: { known: text }, childNodes: [text] } : null;
        return { querySelector: () => found };
      }
    },
  };
  assert.equal(progress.start(window), 1);
  const tell = (data, claims = []) => {
    Source.opened[0].tell(JSON.stringify({ data, claims }), "goes-on", "deposits");
    return new Promise((done) => setTimeout(done));
  };
  return { window, list, note, tell };
}

const one = (id, change) => ({ id, state: "confirming", message: "Wait.", confirmations: null, ...change });

test("a list has one connection, and what changes is written where it stands", async () => {
  const first = part("/1");
  first.dataset.deposit = "dep_1";
  const { window, list, tell } = openList("dep_1 claim_1", [first, { ...part("/2"), dataset: { deposit: "dep_9" } }]);
  assert.deepEqual(Source.opened.map((source) => source.url), ["/api/v1/deposits/events"]);
  await tell([one("dep_1", { state: "credited", value: "5.00" })], [one("claim_1", { state: "matched" })]);
  assert.deepEqual([first.fields.state.textContent, first.fields.value.textContent], ["Credited", "$5.00"]);
  assert.deepEqual([window.asked, list.put], [[], []]);
});

test("a new deposit appears by itself, and what is typed stays", async () => {
  const { window, list, tell } = openList("", [], [[200, "dep_1"], [200, "dep_1 claim_1"]]);
  await tell([]);
  assert.deepEqual(window.asked, []);
  await tell([one("dep_1")]);
  assert.deepEqual([window.asked, list.put], [["/deposits"], [["dep_1"]]]);
  await tell([one("dep_1", { state: "credited" })]);
  assert.equal(window.asked.length, 1, "it is known now");
  await tell([one("dep_1")], [one("claim_1")]);
  assert.deepEqual(list.put, [["dep_1"], ["dep_1 claim_1"]]);
});

test("a list that could not be read is read again", async () => {
  for (const page of [undefined, [503, "dep_1"], [200, ""]]) {
    const { window, list, tell } = openList("", [], [page, [200, "dep_1"]]);
    await tell([one("dep_1")]);
    assert.deepEqual([list.put, window.later.length], [[], 1]);
    assert.equal(await next(window), 15000);
    assert.deepEqual(list.put, [["dep_1"]]);
  }
});

test("what is no list changes nothing, and a list without a place asks now and then", async () => {
  const { window, note } = openList("", []);
  const [source] = Source.opened;
  for (const data of ["", "{", "null", "[]", "{\"data\":1}"]) source.tell(data, "goes-on", "deposits");
  assert.deepEqual(window.asked, []);
  source.close();
  source.dispatchEvent(new Event("error"));
  window.answers = [[503, "{}"], [200, JSON.stringify({ data: [], claims: [] })], [401, "{}"]];
  const waits = [];
  while (window.later.length > 0) waits.push(await next(window));
  assert.deepEqual(waits, [0, 15000, 15000]);
  assert.deepEqual(new Set(window.asked), new Set(["/api/v1/deposits?limit=20"]));
  assert.match(note.textContent, /Reload the page/);
});

test("states are words", () => {
  const said = ["seen", "below_minimum", "held", "not_found"].map(progress.title);
  assert.deepEqual(said, ["Seen", "Below minimum", "Under review", "Not found yet"]);
});
