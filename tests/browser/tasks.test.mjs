// What people come for, and how many clicks and fields it takes: on a desktop, on a phone, and by the keyboard alone.

import { finalize } from './chain.mjs';
import { mailedLink } from './gateway.mjs';
import { Hand } from './hand.mjs';
import { withChain } from './lock.mjs';
import { expect, stranger, test as base } from './person.mjs';
import { MODEL, say } from './sdk.mjs';
import { TestWallet, purseWith } from './wallet.mjs';

const WAYS = {
  'on a desktop': { viewport: { width: 1280, height: 800 } },
  'on a phone': { viewport: { width: 390, height: 844 } },
  'by the keyboard': { viewport: { width: 1280, height: 800 }, byKeys: true },
};
const DEAREST = 'claude-opus-5';

for (const [way, { viewport, byKeys }] of Object.entries(WAYS)) {
  const test = base.extend({ viewport });
  const handOf = (page) => new Hand(page, { byKeys });
  const button = (page, name) => page.getByRole('button', { name });
  const link = (page, name) => page.getByRole('link', { name, exact: true }).first();

  test(`from the home page to the first answer, ${way} @script`, async ({ page }) => {
    const person = stranger();
    await page.goto('/');
    const hand = handOf(page);
    await hand.click(link(page, 'Sign up'));
    await hand.type(page.getByLabel('Email address'), person.email);
    await hand.click(page.getByRole('main').getByRole('button', { name: /link|Sign up|Continue|Create/ }));
    const mailed = await hand.aside(() => mailedLink(person.email, '/sign-up/confirm'));
    hand.elsewhere();
    await page.goto(mailed);
    await hand.type(page.getByLabel('Password', { exact: true }), person.password);
    await hand.click(button(page, 'Create account'));
    await expect(page).toHaveURL(/\/dashboard/);
    await hand.aside(() => person.credit(5));
    await hand.click(button(page, 'Create key'));
    const key = (await page.locator('#secret').innerText()).trim();
    // The lines for this client have the address and the key in them.
    await expect(page.locator('#use-claude-code')).toContainText(key);
    await hand.click(page.locator('.snippet:visible button[data-copy]'));
    expect((await say(key)).data.type).toBe('message');
    await expect(page.getByText('First request received')).toBeVisible();
    hand.finish(`sign up to the first answer, ${way}`, { clicks: 6, fields: 2 });
  });

  test(`what was dear, how long it lasts, and October, ${way} @script`, async ({ page, person }) => {
    await person.credit(5);
    const { key } = await person.key({ name: 'laptop' });
    for (const model of [MODEL, DEAREST, MODEL, MODEL]) await say(key, { model });
    await page.goto('/dashboard');
    const main = page.getByRole('main');
    let hand = handOf(page);
    // The page says it before it is asked.
    await expect(main).toContainText(/Lasts (about|more than) .* at .* a day/);
    hand.finish(`how long does my credit last, ${way}`, { clicks: 0, fields: 0 });

    hand = handOf(page);
    await hand.click(link(page, 'Usage'));
    await hand.click(link(page, 'Today'));
    await hand.click(link(page, 'Most expensive first'));
    const first = main.getByRole('table').last().getByRole('row').nth(1);
    await expect(first).toContainText(/Opus 5\b|claude-opus-5\b/);
    hand.finish(`the dearest request of a day, ${way}`, { clicks: 3, fields: 0 });

    await page.goto('/dashboard');
    hand = handOf(page);
    await hand.click(link(page, 'Usage'));
    await hand.click(link(page, 'Last month'));
    const download = page.waitForEvent('download');
    await hand.click(page.getByRole('link', { name: /CSV/ }));
    expect((await download).suggestedFilename()).toMatch(/\.csv$/);
    hand.finish(`export the last month, ${way}`, { clicks: 3, fields: 0 });
  });

  test(`a key is rotated, ${way} @script`, async ({ page, person }) => {
    await person.key({ name: 'server', monthly_budget: '10', requests_per_minute: 60, models: [MODEL] });
    await page.goto('/dashboard');
    const hand = handOf(page);
    await hand.click(link(page, 'API keys'));
    await hand.click(link(page, 'server'));
    await hand.click(button(page, 'Rotate key'));
    await expect(page.locator('#secret')).toBeVisible();
    await hand.click(page.locator('.copy-line button[data-copy="secret"]'));
    hand.finish(`rotate a key, ${way}`, { clicks: 4, fields: 0 });
  });

  test(`20 dollars are paid from a wallet of the browser, ${way} @script`, async ({ page, person, context }) => {
    const { data } = await person.ask(200, 'GET', '/api/v1/deposits/options');
    const { token } = data[0].assets.find(({ symbol }) => symbol === 'USDC');
    const wallet = new TestWallet(await purseWith(25, token));
    await wallet.installIn(context);
    await page.goto('/dashboard');
    const hand = handOf(page);
    await hand.click(link(page, 'Deposits'));
    await hand.type(page.getByLabel('Other amount (USD)'), '20');
    await hand.click(button(page, 'Set amount'));
    await withChain(async () => {
      await hand.click(button(page, 'Pay 20 USDC with Test wallet'));
      await expect(page).toHaveURL(/\/deposits\/\w+/);
      // The wallet asks twice: for the message that links it, and for the payment.
      hand.elsewhere(2);
      hand.finish(`pay 20 USD from a browser wallet, ${way}`, { clicks: 5, fields: 1 });
      await hand.aside(finalize);
    });
  });

  test(`20 dollars are asked of an exchange, ${way} @script`, async ({ page, person }) => {
    await page.goto('/dashboard');
    expect(person.email).toContain('@');
    const hand = handOf(page);
    await hand.click(link(page, 'Deposits'));
    await hand.click(button(page, 'Copy the address'));
    hand.finish(`the address for an exchange, ${way}`, { clicks: 2, fields: 0 });
  });
}
