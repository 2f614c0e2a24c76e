// Keys, from the first copy to the last refusal.

import { expect, test } from './person.mjs';
import { MODEL, refusal, say } from './sdk.mjs';

const KEY = /^sluice_[A-Za-z0-9]{20,}$/;

/** Makes a key in the pages; its secret, which is shown once. */
async function make(page, name, fill = async () => {}) {
  await page.goto('/keys');
  await page.getByLabel('Name').fill(name);
  await fill(page);
  await page.getByRole('button', { name: 'Create key' }).click();
  const secret = await page.getByTestId('new-key').innerText();
  return secret.trim();
}

test('a key is shown once, works in the SDK, and is revoked', async ({ page, person }) => {
  await person.credit(5);
  const key = await make(page, 'laptop');
  expect((await say(key)).data.type).toBe('message');

  await page.goto('/keys');
  await expect(page.getByRole('main')).toContainText('laptop');
  expect(await page.content()).not.toContain(key);

  await page.getByRole('link', { name: 'laptop' }).click();
  await expect(page.getByRole('main')).not.toContainText('never');
  expect(await page.content()).not.toContain(key);
  await page.getByRole('button', { name: 'Revoke' }).click();
  // There may be a page that asks whether it is meant.
  const sure = page.getByRole('button', { name: 'Revoke' });
  if (await sure.isVisible()) await sure.click();
  expect(await refusal(key)).toEqual([401, 'authentication_error']);
});

test('a key is copied by a press @script', async ({ page, person, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const key = await make(page, 'copied');
  await page.getByRole('button', { name: /copy/i }).first().click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(key);
  expect(person.email).toBeTruthy();
});

test('a key for some models answers for no other', async ({ page, person }) => {
  await person.credit(5);
  const key = await make(page, 'one model', () => page.getByLabel('Models').fill(MODEL));
  expect((await say(key)).data.model).toBe(MODEL);
  expect(await refusal(key, { model: 'claude-sonnet-5' })).toEqual([403, 'permission_error']);
});

test('a key stops at its budget, and goes on when that is raised', async ({ page, person }) => {
  await person.credit(5);
  const key = await make(page, 'small budget', () => page.getByLabel('Total budget').fill('0.000001'));
  expect(await refusal(key)).toEqual([402, 'billing_error']);
  await page.goto('/keys');
  await page.getByRole('link', { name: 'small budget' }).click();
  await page.getByLabel('Total budget').fill('1');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('status')).toBeVisible();
  expect((await say(key)).data.type).toBe('message');
});

test('a key without credit says what to do', async ({ page, person }) => {
  const key = await make(page, 'no credit');
  expect(KEY.test(key)).toBe(true);
  expect(await refusal(key)).toEqual([402, 'billing_error']);
  await page.goto('/dashboard');
  await expect(page.getByRole('main').getByRole('link', { name: /deposit/i }).first()).toBeVisible();
  expect(person.email).toBeTruthy();
});
