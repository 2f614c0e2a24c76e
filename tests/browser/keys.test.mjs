// Keys, from the first copy to the last refusal.

import { expect, test } from './person.mjs';
import { MODEL, refusal, say } from './sdk.mjs';

const KEY = /^sluice_[A-Za-z0-9]{20,}$/;

/** Makes a key in the pages; its secret, which is shown once. */
async function make(page, name, fill = async () => {}) {
  await page.goto('/keys');
  await page.getByLabel('Name').fill(name);
  await fill();
  await page.getByRole('button', { name: 'Create key' }).click();
  const secret = (await page.locator('#secret').innerText()).trim();
  expect(secret).toMatch(KEY);
  return secret;
}

test('a key is shown once, works in the SDK, and is revoked @both', async ({ page, person }) => {
  await person.credit(5);
  const key = await make(page, 'laptop');
  await page.getByRole('link', { name: 'I have copied it' }).click();
  const lastUsed = page.locator('dl div', { hasText: 'Last used' });
  await expect(lastUsed).toContainText('never');
  expect(await page.content()).not.toContain(key);
  expect((await say(key)).data.type).toBe('message');

  await page.goto('/keys');
  await page.getByRole('link', { name: 'laptop' }).click();
  await expect(lastUsed.locator('time')).toBeVisible();
  expect(await page.content()).not.toContain(key);
  await page.getByText('Revoke this key').click();
  await page.getByLabel(/I no longer need/).check();
  await page.getByRole('button', { name: 'Revoke key permanently' }).click();
  await expect(page.getByRole('main')).toContainText('Revoked');
  expect(await refusal(key)).toEqual([401, 'authentication_error']);
});

test('a key is copied by a press @script', async ({ page, person, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const key = await make(page, `of ${person.email}`);
  await page.getByRole('button', { name: 'Copy' }).click();
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
  const budget = page.getByLabel('Total budget in dollars');
  const key = await make(page, 'small budget', () => budget.fill('0.000001'));
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
  await page.getByLabel('Name').fill(`of ${person.email}`);
  await page.getByLabel('Total budget in dollars').fill('much');
  await page.getByRole('button', { name: 'Create key' }).click();
  await expect(page.getByRole('alert')).toBeVisible();
  await expect(page.getByLabel('Name')).toHaveValue(`of ${person.email}`);
  await expect(page.getByLabel('Total budget in dollars')).toHaveValue('much');
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
