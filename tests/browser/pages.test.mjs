// What holds for every page: whoever reads it, on whatever screen.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';

import { AxeBuilder } from '@axe-core/playwright';

import { linksOf, patternOf, routesInSource } from './crawl.mjs';
import { established, withSecondFactor } from './established.mjs';
import { ask, baseUrl, command, mailedLink } from './gateway.mjs';
import { expect, logIn, signedUp, stranger, test as base } from './person.mjs';
import { refusal } from './sdk.mjs';

const SCREENS = {
  desktop: { width: 1280, height: 900 },
  // The narrowest that people still have (WCAG 2.2, 1.4.10).
  phone: { width: 320, height: 740 },
};
/** Each with the rules that axe looks for; all of them first, and then those of colours, since nothing else is another. */
const SCHEMES = { light: undefined, dark: ['color-contrast', 'link-in-text-block'] };
/** Pages that are no pages, but answers for programs, files and streams. */
const NOT_PAGES = /^\/(assets|api|v1|healthz)\/|\/events$|\/export|\.(json|txt|ico|xml|svg)$/;
/** Words of a sentence on a page. */
const WORDS_MAX = 25;
/** Legal texts, and what describes an interface, have sentences of their own. */
const LONG_SENTENCES = /^public \/(privacy|terms|docs\/api)/;
/** Bytes of a page, compressed with brotli as servers do it on the way. */
const PAGE_BYTES_MAX = 40 * 1024;
/** Of longer pages the beginning counts: those are lists of links, and no forms. */
const TAB_STOPS_MAX = 100;

const test = base.extend({
  somebody: [
    async ({}, use) => use({ rich: await established(), careful: await withSecondFactor() }),
    { scope: 'worker', timeout: 60_000 },
  ],
});

/** Where readers begin who are not logged in: links lead to the rest, but not to what is mailed. */
async function publicPages() {
  const { email } = stranger();
  await ask(202, 'POST', '/api/v1/accounts', { body: { email } });
  const link = new URL(await mailedLink(email, '/sign-up/confirm'));
  const token = link.search;
  return ['/', link.pathname + token, `/reset/confirm${token}`, `/email/confirm${token}`, `/unsubscribe${token}`, '/dev/style', '/not-there'];
}

const PRIVATE = [
  '/dashboard',
  '/dashboard?range=24h&show=tokens&by=key',
  '/account',
  '/account/closing',
  '/preferences',
  '/keys?show=revoked',
  '/deposits?amount=12.5&with=local.ETH',
  '/deposits?amount=ten',
  '/usage?range=today&sort=cost',
  '/usage?range=last-month',
  '/usage?from=yesterday',
  '/usage?model=nothing',
  '/usage/not-there',
];

/** What somebody sees who has to act: little credit, a key at its end, a form with a mistake, a suspended account. */
async function walkTroubles(page, context, look) {
  const person = await signedUp();
  await person.credit('0.5');
  const { key } = await person.key({ name: 'used up', total_budget: '0.000001' });
  await refusal(key);
  const { id } = await person.key({ name: 'paused' });
  await person.ask(200, 'PATCH', `/api/v1/keys/${id}`, { paused: true });
  await context.clearCookies();
  await open(page, '/log-in');
  await logIn(page, { ...person, password: 'not this one, surely' });
  await look('trouble /log-in');
  await person.enter(context);
  for (const path of ['/dashboard', '/keys', `/keys/${id}`]) await look(`trouble ${patternOf(path)}`, (await open(page, path)).answer);
  await open(page, '/keys');
  await page.getByLabel('Name', { exact: true }).fill('laptop');
  await page.getByText('Scopes, limits and models').click();
  await page.getByLabel(/^Monthly budget/).fill('ten');
  await page.getByRole('button', { name: 'Create key' }).click();
  await look('mistake /keys');
  await page.getByLabel(/^Monthly budget/).fill('10');
  await page.getByRole('button', { name: 'Create key' }).click();
  await look('new /keys/{id}/created');
  await command('account', 'suspend', person.email, '--reason', 'a test');
  for (const path of ['/dashboard', '/deposits', '/account']) await look(`suspended ${path}`, (await open(page, path)).answer);
}

/** What a newcomer sees: pages on which there is nothing yet, and what a second factor adds. */
const EMPTY = ['/dashboard', '/usage', '/keys', '/wallets', '/deposits', '/ledger', '/account/totp'];

/** Opens a page; where it leads elsewhere, that is the answer. */
async function open(page, path) {
  const answer = await page.goto(path);
  expect(answer.status(), path).toBeLessThan(500);
  expect(answer.headers()['content-type'], path).toContain('text/html');
  const [here, wanted] = [new URL(page.url()), new URL(path, baseUrl)];
  return { answer, elsewhere: here.pathname === wanted.pathname ? null : here.pathname + here.search };
}

/** Walks from page to page; `look` sees each kind of page once, and each of the starts, but none of those known before. */
async function walk(page, side, starts, look, known = []) {
  const waiting = [...starts];
  const seen = new Map();
  while (waiting.length > 0) {
    const path = waiting.shift();
    const { pathname, search } = new URL(path, baseUrl);
    const pattern = patternOf(pathname);
    const isStart = starts.includes(path);
    // What a start has behind its question mark makes it another page.
    const key = isStart ? path : pattern;
    if (seen.has(key) || known.includes(key) || NOT_PAGES.test(pattern)) continue;
    const { answer, elsewhere } = await open(page, path);
    // Who is led elsewhere has not seen it.
    seen.set(key, elsewhere ? null : pattern);
    if (elsewhere) {
      waiting.push(elsewhere);
      continue;
    }
    const title = side + (isStart && !search.includes('token') ? path : pattern);
    await test.step(title, () => look(title, answer));
    waiting.push(...(await linksOf(page)));
  }
  return [...seen.values()].filter(Boolean);
}

/** Both sides of the log-in, and what is between them. */
async function walkAll(page, context, somebody, look) {
  const strangers = await walk(page, 'public ', await publicPages(), look);
  await logIn(page, somebody.careful);
  await expect(page).toHaveURL(/\/log-in\/code/);
  await look('public /log-in/code');
  await context.clearCookies();
  await somebody.careful.enter(context);
  for (const path of EMPTY) await look(`empty ${path}`, (await open(page, path)).answer);
  await context.clearCookies();
  await somebody.rich.enter(context);
  const customers = await walk(page, 'private ', PRIVATE, look, strangers);
  return new Set([...strangers, '/log-in/code', ...customers]);
}

for (const [screen, viewport] of Object.entries(SCREENS)) {
  test(`every page can be read by everybody, on a ${screen} @script`, async ({ page, context, somebody }) => {
    test.setTimeout(240_000);
    await page.setViewportSize(viewport);
    await page.addInitScript(watchShifts);
    const faults = [];
    const look = async (title, answer) => {
      faults.push(...(await habits(page, title, answer)));
      for (const [colorScheme, rules] of Object.entries(SCHEMES)) {
        await page.emulateMedia({ colorScheme });
        await draw(page, `${title} ${screen} ${colorScheme}`);
        const axe = new AxeBuilder({ page }).setLegacyMode();
        const { violations } = await (rules ? axe.withRules(rules) : axe).analyze();
        for (const { id, impact, help, nodes } of violations) {
          if (!['moderate', 'serious', 'critical'].includes(impact)) continue;
          for (const { html } of nodes) faults.push(`${title} ${colorScheme}: ${id}, ${help}: ${html}`);
        }
      }
    };
    const seen = await walkAll(page, context, somebody, look);
    await walkTroubles(page, context, look);
    expect(faults).toEqual([]);
    const routes = [...(await routesInSource())].filter((route) => !NOT_PAGES.test(route));
    expect(routes.length).toBeGreaterThan(20);
    expect(routes.filter((route) => !seen.has(route)), 'pages that nothing led to').toEqual([]);
  });
}

/** Draws a page for people to look at, where they have asked for it. */
async function draw(page, title) {
  const folder = process.env.SLUICE_SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${title.replaceAll('/', '.')}.png`), fullPage: true });
}

/** What a page owes to its reader, as sentences about what is missing. */
async function habits(page, title, answer) {
  const faults = [];
  const owe = (holds, words) => holds || faults.push(`${title}: ${words}`);
  const width = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  owe(width <= 0, `${width} pixels wider than the screen`);
  owe((await page.locator('html').getAttribute('lang')) === 'en', 'no language');
  owe((await page.getByRole('heading', { level: 1 }).count()) === 1, 'not one first heading');
  // P1 and P17.
  owe((await page.locator('a[href="/"]').count()) > 0, 'no way home');
  owe((await page.getByText('support@example.org').count()) > 0, 'no support address');
  owe((await page.locator('[style], style, script:not([src])').count()) === 0, 'something inline');
  const shifts = await page.evaluate(() => window.shifts);
  owe(shifts.length === 0, `moves after the first paint: ${shifts.join(', ')}`);
  if (!LONG_SENTENCES.test(title)) {
    const sentences = await page.evaluate(longSentences, WORDS_MAX);
    for (const sentence of sentences) owe(false, `more than ${WORDS_MAX} words: ${sentence}`);
  }
  if (!answer) return faults;
  // What the reader has got; the answer itself may be gone, where a script has asked for the page once more.
  const bytes = compressed(Buffer.from(await page.content()));
  owe(bytes <= PAGE_BYTES_MAX, `${bytes} bytes`);
  const headers = answer.headers();
  const policy = headers['content-security-policy'] ?? '';
  owe(/default-src 'self'/.test(policy), 'no policy');
  owe(!/unsafe|\*|https?:/.test(policy), `a policy with holes: ${policy}`);
  owe(headers['referrer-policy'] === 'no-referrer', 'tells other sites where one comes from');
  owe(headers['x-content-type-options'] === 'nosniff', 'its type may be guessed');
  return faults;
}

/** Runs in the page before anything of its own: keeps what moves without being asked to. */
function watchShifts() {
  window.shifts = [];
  const observer = new PerformanceObserver((list) => {
    for (const { hadRecentInput, value, sources } of list.getEntries()) {
      if (hadRecentInput) continue;
      const moved = sources.map(({ node }) => (node?.outerHTML ?? node?.textContent ?? '?').slice(0, 80));
      window.shifts.push(`${value.toFixed(4)} ${moved.join(' ')}`);
    }
  });
  observer.observe({ type: 'layout-shift', buffered: true });
}

/** Runs in the page: the sentences of its text that are too long. Names and code are not counted. */
function longSentences(most) {
  const found = [];
  for (const block of document.querySelectorAll('main :is(p, li, dd, td, .hint, figcaption)')) {
    if (block.closest('pre') || block.querySelector('p, li, dd, td, table')) continue;
    const copy = block.cloneNode(true);
    for (const code of copy.querySelectorAll('code, pre, .whole, .visually-hidden, noscript')) code.replaceWith('x');
    const text = copy.textContent.replaceAll(/\s+/g, ' ');
    for (const sentence of text.split(/(?<=[.!?:;])\s+(?=[\p{Lu}\d“"])/u)) {
      if (sentence.trim().split(' ').filter((word) => /\p{L}/u.test(word)).length > most) found.push(sentence);
    }
  }
  return found;
}

function compressed(body) {
  const params = { [constants.BROTLI_PARAM_QUALITY]: 5 };
  return brotliCompressSync(body, { params }).length;
}

test('every page is used by the keyboard alone @script', async ({ page, context, somebody }) => {
  test.setTimeout(120_000);
  const faults = [];
  await walkAll(page, context, somebody, async (title) => {
    for (const fault of await tabThrough(page)) faults.push(`${title}: ${fault}`);
  });
  expect(faults).toEqual([]);
});

/** Presses Tab until the page ends; what is left out, out of order, or focused without being seen. */
async function tabThrough(page) {
  const expected = await page.evaluate(stops);
  const faults = [];
  // A field for a date is several stops, and shows the focus in one way or another.
  const found = new Map();
  while (found.size < TAB_STOPS_MAX) {
    await page.keyboard.press('Tab');
    const stop = await page.evaluate(focused);
    // Behind the last one there is the browser's own, or the first one again.
    if (!stop || (found.size > 1 && stop.index === found.keys().next().value)) break;
    const known = found.get(stop.index);
    found.set(stop.index, { ...stop, isVisible: stop.isVisible || known?.isVisible });
  }
  for (const { html, isVisible } of found.values()) {
    if (!isVisible) faults.push(`the focus is not seen on ${html}`);
  }
  const last = found.size < TAB_STOPS_MAX ? Infinity : Math.max(...found.keys());
  const missing = expected.filter(({ index }) => index <= last && !found.has(index));
  faults.push(...missing.map(({ html }) => `the keyboard does not reach ${html}`));
  const order = [...found.keys()];
  const sorted = order.toSorted((one, other) => one - other);
  if (order.join() !== sorted.join()) faults.push(`out of order: ${order.join()}`);
  return faults;
}

/** Runs in the page: what the keyboard has to reach, in the order of the document. */
function stops() {
  const wanted = 'a[href], button, input, select, textarea, summary, [tabindex="0"]';
  const all = [...document.querySelectorAll(wanted)];
  all.forEach((element, index) => (element.dataset.stop = index));
  const isStop = (element) =>
    element.checkVisibility({ visibilityProperty: true }) &&
    !element.disabled &&
    element.type !== 'hidden' &&
    element.tabIndex >= 0 &&
    // Of a group of radio buttons one is reached, and the arrows lead to the others.
    (element.type !== 'radio' || element.checked);
  return all
    .filter(isStop)
    .map((element) => ({ index: Number(element.dataset.stop), html: element.outerHTML.slice(0, 120) }));
}

/** Runs in the page: what has the focus, and whether that can be seen. */
function focused() {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const style = getComputedStyle(element);
  const outline = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
  const box = element.getBoundingClientRect();
  return {
    index: Number(element.dataset.stop),
    html: element.outerHTML.slice(0, 120),
    isVisible: (outline || style.boxShadow !== 'none') && box.width > 0 && box.height > 0,
  };
}

test('no page asks another host, with and without script @both', async ({ page, context, somebody, watch }) => {
  test.setTimeout(60_000);
  const seen = await walkAll(page, context, somebody, async () => {});
  expect(seen.size).toBeGreaterThan(20);
  expect(watch.requests).toBeGreaterThan(seen.size);
  watch.check();
});
