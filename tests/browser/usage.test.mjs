// What was used, what it cost, and taking the figures home.

import { readFile } from 'node:fs/promises';

import { expect, signedUp, test } from './person.mjs';
import { MODEL, say } from './sdk.mjs';

const OTHER_MODEL = 'claude-sonnet-5';

/** Two calls by one key and one by another; their rows as the interface tells them, newest first. */
async function use(person) {
  await person.credit(5);
  const [one, other] = [await person.key({ name: 'laptop' }), await person.key({ name: 'server' })];
  await say(one.key);
  await say(one.key, { model: OTHER_MODEL });
  await say(other.key);
  const { data } = await person.ask(200, 'GET', '/api/v1/usage');
  expect(data).toHaveLength(3);
  return data;
}

/** US dollars as a whole number of nano-dollars, so that sums are exact. */
function nanos(usd) {
  const [, sign, whole, fraction = ''] = usd.match(/^(-?)\$?([\d,]+)(?:\.(\d+))?$/);
  const amount = BigInt(whole.replaceAll(',', '') + fraction.padEnd(9, '0'));
  return sign ? -amount : amount;
}

function dollars(amount) {
  const digits = amount.toString().padStart(10, '0');
  const [whole, fraction] = [digits.slice(0, -9), digits.slice(-9)];
  return `$${whole}.${fraction.slice(0, 2)}${fraction.slice(2).replace(/0+$/, '')}`;
}

/** The amount of a receipt's line, whose decimals go further than nano-dollars. */
function exact(usd) {
  const [, sign, whole, fraction] = usd.match(/^([-−]?)\$(\d+)\.(\d+)$/);
  const amount = BigInt(whole + fraction.padEnd(30, '0'));
  return sign ? -amount : amount;
}

const sum = (rows) => rows.reduce((total, { cost }) => total + nanos(cost), 0n);

test('charts and balance show the calls that were just made @both', async ({ page, person }) => {
  const rows = await use(person);
  await page.goto('/dashboard');
  const main = page.getByRole('main');
  const available = page.locator('[data-amount=available]');
  const value = (locator) => locator.locator('data').getAttribute('value');
  expect(nanos(await value(available))).toBe(5_000_000_000n - sum(rows));
  expect(nanos(await value(page.locator('[data-amount=month]')))).toBe(sum(rows));
  const chart = page.getByRole('figure').first();
  await chart.getByText('Show as table').click();
  await expect(chart.locator('tfoot td').first()).toHaveText(dollars(sum(rows)));
  await expect(chart.getByRole('img', { name: 'Cost' }).locator('rect').first()).toBeVisible();
  await expect(main.getByRole('region', { name: 'Top models' })).toContainText(MODEL);

  await page.goto('/usage');
  for (const name of [MODEL, OTHER_MODEL]) await expect(main).toContainText(name);
  const tokens = rows.reduce((total, row) => total + row.input_tokens + row.output_tokens, 0);
  await page.getByRole('navigation', { name: 'Chart shows' }).getByRole('link', { name: 'Tokens' }).click();
  const figures = page.getByRole('figure').first();
  await figures.getByText('Show as table').click();
  await expect(figures.locator('tfoot td').first()).toHaveText(tokens.toLocaleString('en-US'));
});

test('a request has a receipt whose lines add up to what was charged @both', async ({ page, person }) => {
  const [newest] = await use(person);
  await page.goto('/usage');
  await page.getByRole('link', { name: `Receipt of ${newest.id}` }).click();
  const main = page.getByRole('main');
  await expect(main).toContainText(newest.id);
  await expect(main).toContainText(MODEL);
  const amounts = await main.locator('tbody tr td:last-child').allInnerTexts();
  expect(amounts.length).toBeGreaterThanOrEqual(2);
  const charged = await main.locator('tfoot td:last-child').innerText();
  expect(charged).toBe(dollars(nanos(newest.cost)));
  expect(amounts.reduce((total, amount) => total + exact(amount), 0n)).toBe(exact(charged));
});

test('requests are filtered by model and by key @both', async ({ page, person }) => {
  await use(person);
  await page.goto('/usage');
  const rows = page.getByRole('region', { name: 'Requests' }).locator('tbody tr');
  await expect(rows).toHaveCount(3);
  await page.getByLabel('Model', { exact: true }).selectOption(OTHER_MODEL);
  await page.getByRole('button', { name: 'Apply' }).click();
  await expect(rows).toHaveCount(1);
  // Chart and sums are of the same selection.
  await expect(page.locator('.strip')).toContainText(/Requests\s*1/);
  await expect(page.locator('.legend')).toHaveCount(0);
  await page.goto('/usage');
  await page.getByLabel('Key', { exact: true }).selectOption({ label: 'laptop' });
  await page.getByRole('button', { name: 'Apply' }).click();
  await expect(rows).toHaveCount(2);
});

test('another account’s request is not there @both', async ({ page, person }) => {
  const other = await signedUp();
  const [theirs] = await use(other);
  const [own] = await use(person);
  expect((await page.goto(`/usage/${own.id}`)).status()).toBe(200);
  expect((await page.goto(`/usage/${theirs.id}`)).status()).toBe(404);
  await expect(page.getByRole('main').getByRole('link', { name: /home/i })).toBeVisible();
});

test('times are told in the reader’s zone @script', async ({ page, person }) => {
  const [newest] = await use(person);
  await page.goto(`/usage/${newest.id}`);
  const time = page.getByRole('main').locator('time').first();
  const moment = new Date(await time.getAttribute('datetime'));
  // Kolkata is half an hour off, so that another zone would be seen.
  const clock = new Intl.DateTimeFormat('en-GB', {
    timeZone: 'Asia/Kolkata',
    hour: '2-digit',
    minute: '2-digit',
  });
  await expect(time).toContainText(clock.format(moment));
});

test('days begin when the reader’s do, and an id finds its receipt @script', async ({ page, person }) => {
  const [newest] = await use(person);
  await page.goto('/usage');
  await expect(page.getByRole('main')).toContainText(/Times are in Asia\/(Kolkata|Calcutta)\./);
  await page.getByLabel('Request ID').fill(newest.id);
  await page.getByRole('button', { name: 'Find' }).click();
  await expect(page).toHaveURL(`/usage/${newest.id}`);
});

test('a statement closes with the balance @both', async ({ page, person }) => {
  const rows = await use(person);
  await page.goto('/ledger');
  await page.getByRole('link', { name: 'Statement' }).click();
  const amount = async (name) => nanos((await page.locator(`[data-amount=${name}]`).innerText()).replace('−', '-').replace('-$', '-'));
  expect(await amount('usage')).toBe(-sum(rows));
  expect(await amount('closing')).toBe(5_000_000_000n - sum(rows));
});

for (const format of ['CSV', 'JSONL']) {
  test(`an export as ${format} has each call and what it cost @both`, async ({ page, person }) => {
    const rows = await use(person);
    await page.goto('/usage');
    const arrives = page.waitForEvent('download');
    await page.getByRole('link', { name: format }).click();
    const text = (await readFile(await (await arrives).path(), 'utf8')).replace(/^\ufeff/, '');
    const found = format === 'CSV' ? fromCsv(text) : fromLines(text);
    const essence = ({ id, cost }) => [id, nanos(cost)];
    expect(found.map(essence).sort()).toEqual(rows.map(essence).sort());
  });
}

function fromLines(text) {
  return text.trimEnd().split('\n').map((line) => JSON.parse(line));
}

/** RFC 4180: quotes around what has commas, quotes or ends of lines. */
function fromCsv(text) {
  const cell = /("(?:[^"]|"")*"|[^",\r\n]*)(,|\r?\n|$)/y;
  const rows = [[]];
  while (cell.lastIndex < text.length) {
    const [, written, end] = cell.exec(text);
    rows.at(-1).push(written.startsWith('"') ? written.slice(1, -1).replaceAll('""', '"') : written);
    if (end !== ',') rows.push([]);
  }
  const [names, ...records] = rows.filter((row) => row.length > 0);
  return records.map((row) => {
    if (row.length !== names.length) throw new Error(`${row.length} cells below ${names.length} names`);
    return Object.fromEntries(names.map((name, index) => [name, row[index]]));
  });
}
