// Keys, from the first copy to the last refusal.

import { expect, isTold, test } from './person.mjs';
import { MODEL, refusal, say } from './sdk.mjs';

const KEY = /^sluice_[A-Za-z0-9]{20,}$/;

/** Makes a key in the pages; its secret, which is shown once. */
async function make(page, name, fill) {
  await page.goto('/keys');
  await page.getByLabel('Name', { exact: true }).fill(name);
  if (fill) {
    await page.getByText('Scopes, limits and models').click();
    await fill();
  }
  await page.getByRole('button', { name: 'Create key' }).click();
  const secret = (await page.locator('#secret').innerText()).trim();
  expect(secret).toMatch(KEY);
  return secret;
}

test('a key is shown once, works in the SDK, and is revoked @both', async ({ page, person }) => {
  await person.credit(5);
  const key = await make(page, 'laptop');
  const first = page.locator('[data-first-request]');
  await expect(first).toContainText('Waiting for the first request');
  // Reloaded, the page shows no key, and none was made.
  await page.reload();
  await expect(page.locator('#secret')).toHaveCount(0);
  expect(await page.content()).not.toContain(key);
  expect((await person.ask(200, 'GET', '/api/v1/keys')).data.length).toBe(1);
  expect((await say(key)).data.type).toBe('message');
  await page.reload();
  await expect(first).toContainText('First request received');

  await page.goto('/keys');
  await expect(page.getByRole('row', { name: /laptop/ })).toContainText(key.slice(-4));
  await page.getByRole('link', { name: 'laptop' }).click();
  const lastUsed = page.locator('dl div', { hasText: 'Last used' });
  await expect(lastUsed.locator('time')).toBeVisible();
  expect(await page.content()).not.toContain(key);
  await page.getByText('Revoke this key').click();
  await page.getByLabel(/I no longer need/).check();
  await page.getByRole('button', { name: 'Revoke key permanently' }).click();
  await isTold(page, 'revoked');
  await page.getByRole('link', { name: /^Revoked/ }).click();
  await expect(page.getByRole('row', { name: /laptop/ })).toContainText('Revoked');
  expect(await refusal(key)).toEqual([401, 'authentication_error']);
});

test('a key is paused, resumed and rotated, and both secrets work for a while', async ({ page, person }) => {
  await person.credit(5);
  const key = await make(page, 'laptop');
  const act = async (name) => {
    await page.goto('/keys');
    await page.getByLabel('Actions for laptop').click();
    await page.locator('.items').getByText(name).click();
  };
  await act('Pause');
  await isTold(page, 'paused');
  expect(await refusal(key)).toEqual([403, 'permission_error']);
  await act('Resume');
  await isTold(page, 'active again');
  expect((await say(key)).data.type).toBe('message');
  await act('Rotate');
  await page.getByLabel('The old key ends').selectOption('In 1 hour');
  await page.getByRole('button', { name: 'Rotate key' }).click();
  const next = (await page.locator('#secret').innerText()).trim();
  expect(next).toMatch(KEY);
  expect(next).not.toBe(key);
  expect((await say(key)).data.type).toBe('message');
  expect((await say(next)).data.type).toBe('message');
});

test('the page of a new key turns green at the first request @script', async ({ page, person }) => {
  await person.credit(5);
  const key = await make(page, 'laptop');
  await page.locator('label', { hasText: 'Python' }).click();
  await expect(page.getByText(`api_key="${key}"`)).toBeVisible();
  await say(key);
  await expect(page.locator('[data-first-request]')).toHaveAttribute('data-state', 'done');
  await expect(page.getByText('First request received')).toBeVisible();
});

test('a key is copied by a press @script', async ({ page, person, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const key = await make(page, `of ${person.email}`);
  await page.getByRole('button', { name: 'Copy' }).first().click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(key);
});

test('a key for some models answers for no other', async ({ page, person }) => {
  await person.credit(5);
  const key = await make(page, 'one model', () => page.locator(`[value="${MODEL}"]`).check());
  expect((await say(key)).data.model).toBe(MODEL);
  expect(await refusal(key, { model: 'claude-sonnet-5' })).toEqual([403, 'permission_error']);
});

test('a key is for inference unless more boxes are ticked, and only for what is ticked', async ({ page, person }) => {
  await person.credit(5);
  const inference = page.locator('[name=scopes][value=inference]');
  const read = page.locator('[name=scopes][value=read]');
  const key = await make(page, 'reader', async () => {
    await expect(inference).toBeChecked();
    await expect(read).not.toBeChecked();
    await inference.uncheck();
    await read.check();
  });
  expect(await refusal(key)).toEqual([403, 'permission_error']);
  await page.goto('/keys');
  await page.getByRole('link', { name: 'reader' }).click();
  await expect(inference).not.toBeChecked();
  await inference.check();
  await page.getByRole('button', { name: 'Save' }).click();
  expect((await say(key)).data.type).toBe('message');
});

test('a key stops at its budget, and goes on when that is raised @both', async ({ page, person }) => {
  await person.credit(5);
  const budget = page.getByLabel('Total budget (USD)');
  const key = await make(page, 'small budget', () => budget.fill('0,000001'));
  expect(await refusal(key)).toEqual([402, 'billing_error']);
  await page.goto('/keys');
  await page.getByRole('link', { name: 'small budget' }).click();
  await expect(budget).toHaveValue('0.000001');
  await budget.fill('1');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.goto(page.url());
  await expect(budget).toHaveValue(/^1(\.0+)?$/);
  expect((await say(key)).data.type).toBe('message');
});

test('a limit that is none is refused, and what was typed is kept', async ({ page, person }) => {
  await page.goto('/keys');
  await page.getByLabel('Name', { exact: true }).fill(`of ${person.email}`);
  await page.getByText('Scopes, limits and models').click();
  await page.getByLabel('Total budget (USD)').fill('much');
  await page.getByRole('button', { name: 'Create key' }).click();
  await expect(page.getByRole('alert')).toBeVisible();
  const total = page.getByLabel('Total budget (USD)');
  await expect(total).toHaveAccessibleDescription(/Enter an amount in dollars/);
  await expect(page.getByLabel('Name', { exact: true })).toHaveValue(`of ${person.email}`);
  await expect(total).toHaveValue('much');
  const { data } = await person.ask(200, 'GET', '/api/v1/keys');
  expect(data).toEqual([]);
});

test('a key without credit answers nothing, and the dashboard says what to do', async ({
  page,
  person,
}) => {
  await page.goto('/dashboard');
  const steps = page.getByRole('region', { name: 'Get started' });
  await expect(steps.getByRole('link', { name: 'Add credit' })).toBeVisible();
  const key = await make(page, `of ${person.email}`);
  expect(await refusal(key)).toEqual([402, 'billing_error']);
});
