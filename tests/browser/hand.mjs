// Somebody's hand: what a task takes in clicks, fields, pages and seconds.

import { expect } from '@playwright/test';

/** Presses of Tab after which something is out of reach. */
const TABS_MAX = 150;

/** Works by the pointer, or by the keyboard alone, and counts. What is pressed or chosen is a click; what is typed is a field. */
export class Hand {
  clicks = 0;
  fields = 0;
  pages = 0;
  #began = Date.now();
  #aside = 0;
  #byKeys;

  constructor(page, { byKeys = false } = {}) {
    this.page = page;
    this.#byKeys = byKeys;
    page.on('framenavigated', (frame) => {
      if (frame === page.mainFrame()) this.pages += 1;
    });
  }

  async click(target) {
    this.clicks += 1;
    if (!this.#byKeys) return target.click();
    await this.#reach(target);
    await this.page.keyboard.press('Enter');
  }

  async type(target, text) {
    this.fields += 1;
    if (!this.#byKeys) return target.fill(text);
    await this.#reach(target);
    await this.page.keyboard.press('ControlOrMeta+a');
    await this.page.keyboard.type(text);
  }

  /** Counts what is done elsewhere: in a wallet, in a mail program. */
  elsewhere(clicks = 1) {
    this.clicks += clicks;
  }

  /** Leaves out of the time what is not the site's: a chain's blocks, a mail's way. */
  async aside(work) {
    const began = Date.now();
    const done = await work();
    this.#aside += Date.now() - began;
    return done;
  }

  /** Goes there by Tab, as whoever has no pointer. */
  async #reach(target) {
    await target.waitFor();
    for (let tabs = 0; tabs < TABS_MAX; tabs += 1) {
      if (await target.evaluate((element) => element === document.activeElement)) return;
      await this.page.keyboard.press('Tab');
    }
    throw new Error(`the keyboard does not reach ${target}`);
  }

  /** Fails if the task took more; prints it where `SLUICE_TASKS` asks for it. */
  finish(task, { clicks, fields }) {
    const seconds = ((Date.now() - this.#began - this.#aside) / 1000).toFixed(1);
    const line = `${task}: ${this.clicks} clicks, ${this.fields} fields, ${this.pages} pages, ${seconds} s`;
    if (process.env.SLUICE_TASKS) console.log(line);
    expect([this.clicks, this.fields], line).toEqual([clicks, fields]);
  }
}
