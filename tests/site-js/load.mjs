// Loads a script of the site as the browser does: as a module, whatever Node takes its ending for.

import { readFile } from "node:fs/promises";

/** The exports of `src/site/assets/NAME`. */
export async function load(name) {
  const source = await readFile(new URL(`../../src/site/assets/${name}`, import.meta.url));
  return import(`data:text/javascript;base64,${source.toString("base64")}`);
}

/** A wallet that answers each method as it is told: with a value, an error to throw, or a function of the parameters. */
export class FakeWallet {
  constructor(answers) {
    this.answers = answers;
    this.calls = [];
  }

  async request({ method, params }) {
    this.calls.push({ method, params });
    if (!(method in this.answers)) throw Object.assign(new Error(`no ${method}`), { code: 4200 });
    let answer = this.answers[method];
    if (typeof answer === "function") answer = answer(params);
    if (answer instanceof Error) throw answer;
    return answer;
  }

  methods() {
    return this.calls.map((call) => call.method);
  }

  params(method) {
    return this.calls.find((call) => call.method === method)?.params;
  }
}

/** An error as wallets throw it. */
export function walletError(code, message = "") {
  return Object.assign(new Error(message), { code });
}
