// What somebody prefers, and the end of an account.

import { ask } from './gateway.mjs';
import { expect, isTold, logIn, test } from './person.mjs';
import { refusal } from './sdk.mjs';

test('preferences are kept @both', async ({ page, person }) => {
  await page.goto('/preferences');
  await page.getByLabel(/balance drops below/).fill('2.50');
  const notices = page.getByLabel(/^Notices/);
  const wanted = !(await notices.isChecked());
  await notices.setChecked(wanted);
  await page.getByRole('button', { name: 'Save' }).click();
  await isTold(page, 'saved');
  const kept = await person.ask(200, 'GET', '/api/v1/preferences');
  expect([Number(kept.low_balance_usd), kept.wants_notices]).toEqual([2.5, wanted]);
  await page.goto('/preferences');
  await expect(page.getByLabel(/balance drops below/)).toHaveValue(/^2\.50*$/);
  await expect(notices).toBeChecked({ checked: wanted });
});

async function close(page, { password }) {
  await page.goto('/account/closing');
  await page.getByLabel('Your password').fill(password);
  await page.getByRole('button', { name: 'Delete account' }).click();
}

test('an account is closed, kept by its owner, and closed @both', async ({ page, person }) => {
  const { key } = await person.key();
  await close(page, person);
  await isTold(page, 'Your account is being deleted');
  await ask(401, 'GET', '/api/v1/account', { bearer: person.session });
  expect(await refusal(key)).toEqual([401, 'authentication_error']);

  await logIn(page, person);
  await page.goto('/account/closing');
  await page.getByRole('button', { name: 'Cancel the deletion' }).click();
  await isTold(page, 'deletion is cancelled');
  await page.goto('/dashboard');
  await expect(page).toHaveURL('/dashboard');
  // What was revoked stays revoked.
  expect(await refusal(key)).toEqual([401, 'authentication_error']);

  await close(page, person);
  await page.goto('/dashboard');
  await expect(page).toHaveURL(/\/log-in/);
});

test('money that is left on an account is not lost by mistake', async ({ page, person }) => {
  await person.credit(3);
  await close(page, person);
  await expect(page.getByRole('alert')).toBeVisible();
  await expect(page.getByRole('main')).toContainText('still has $3.00');
  await ask(200, 'GET', '/api/v1/account', { bearer: person.session });
  await page.getByLabel('I give up the remaining balance').check();
  await page.getByLabel('Your password').fill(person.password);
  await page.getByRole('button', { name: 'Delete account' }).click();
  await isTold(page, 'Your account is being deleted');
});

test('an account is not closed by who does not know its password', async ({ page, person }) => {
  await close(page, { password: 'not the password' });
  await expect(page.getByRole('alert')).toBeVisible();
  await ask(200, 'GET', '/api/v1/account', { bearer: person.session });
});
