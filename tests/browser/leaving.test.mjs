// What somebody prefers, and the end of an account.

import { ask } from './gateway.mjs';
import { expect, logIn, test } from './person.mjs';
import { refusal } from './sdk.mjs';

test('preferences are kept', async ({ page, person }) => {
  await page.goto('/preferences');
  await page.getByLabel(/balance falls below/).fill('2.50');
  const notices = page.getByLabel(/^Notices/);
  const wanted = !(await notices.isChecked());
  await notices.setChecked(wanted);
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('status')).toContainText('saved');
  const kept = await person.ask(200, 'GET', '/api/v1/preferences');
  expect([Number(kept.low_balance_usd), kept.wants_notices]).toEqual([2.5, wanted]);
  await page.goto('/preferences');
  await expect(page.getByLabel(/balance falls below/)).toHaveValue(/^2\.50*$/);
  await expect(notices).toBeChecked({ checked: wanted });
});

test('an account is closed, reopened by its owner, and closed', async ({ page, person }) => {
  const { key } = await person.key();
  const close = async () => {
    await page.goto('/account/closing');
    await page.getByLabel('Password').fill(person.password);
    await page.getByRole('main').getByRole('button', { name: /close|delete/i }).click();
  };
  await close();
  await ask(401, 'GET', '/api/v1/account', { bearer: person.session });
  expect(await refusal(key)).toEqual([401, 'authentication_error']);

  await page.context().clearCookies();
  await logIn(page, person);
  const undo = page.getByRole('main').getByRole('button', { name: /keep|undo|reopen/i });
  await undo.click();
  await page.goto('/dashboard');
  await expect(page).toHaveURL('/dashboard');
  // What was revoked stays revoked.
  expect(await refusal(key)).toEqual([401, 'authentication_error']);

  await close();
  await page.goto('/dashboard');
  await expect(page).toHaveURL(/\/log-in/);
});

test('an account is not closed by who does not know its password', async ({ page, person }) => {
  await page.goto('/account/closing');
  await page.getByLabel('Password').fill('not the password');
  await page.getByRole('main').getByRole('button', { name: /close|delete/i }).click();
  await expect(page.getByRole('alert')).toBeVisible();
  await ask(200, 'GET', '/api/v1/account', { bearer: person.session });
});
