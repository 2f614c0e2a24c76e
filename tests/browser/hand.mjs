// Somebody's hand: what a task takes in clicks, fields, pages and seconds.

/** Counts what it does on a page. A click is anything pressed, ticked or chosen; what is typed is a field. */
export class Hand {
  clicks = 0;
  fields = 0;
  pages = 0;
  #began = Date.now();
  #waited = 0;

  constructor(page) {
    this.page = page;
    page.on('framenavigated', (frame) => {
      if (frame === page.mainFrame()) this.pages += 1;
    });
  }

  async click(target) {
    this.clicks += 1;
    await target.click();
  }

  async choose(target, option) {
    this.clicks += 1;
    await target.selectOption(option);
  }

  async type(target, text) {
    this.fields += 1;
    await target.fill(text);
  }

  /** Leaves out of the time what is not the site's: a chain's blocks, a mail's way. */
  async aside(work) {
    const began = Date.now();
    const done = await work();
    this.#waited += Date.now() - began;
    return done;
  }

  /** One line, such as `rotate a key: 3 clicks, 0 fields, 2 pages, 0.8 s`. */
  report(task) {
    const seconds = ((Date.now() - this.#began - this.#waited) / 1000).toFixed(1);
    return `${task}: ${this.clicks} clicks, ${this.fields} fields, ${this.pages} pages, ${seconds} s`;
  }
}
