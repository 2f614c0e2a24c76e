// A password that is forgotten, or changed.

import { ask, mailCount, mailTo, mailedLink } from './gateway.mjs';
import { expect, isTold, logIn, signedUp, stranger, test } from './person.mjs';

const NEW = 'a much better password';

async function askFor(page, email) {
  await page.goto('/log-in');
  await page.getByRole('link', { name: /forgot/i }).click();
  await page.getByLabel('Email address').fill(email);
  await page.getByRole('button', { name: 'Send link' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Check your inbox');
}

test('a forgotten password is replaced by mail, and all sessions end @both', async ({ page }) => {
  const person = await signedUp();
  await askFor(page, person.email);
  await page.goto(await mailedLink(person.email, '/reset/confirm'));
  await page.getByLabel('New password').fill(NEW);
  await page.getByRole('button', { name: 'Set password' }).click();
  await isTold(page, 'Your password has changed');
  await ask(401, 'GET', '/api/v1/account', { bearer: person.session });
  await page.context().clearCookies();
  await logIn(page, person);
  await expect(page.getByRole('alert')).toBeVisible();
  await logIn(page, { ...person, password: NEW });
  await expect(page).toHaveURL('/dashboard');
});

test('nobody learns by a reset who has an account', async ({ page }) => {
  const [known, unknown] = [await signedUp(), stranger()];
  const answers = [];
  for (const { email } of [known, unknown]) {
    await askFor(page, email);
    answers.push((await page.getByRole('main').innerText()).replaceAll(email, '…'));
  }
  expect(answers[0]).toBe(answers[1]);
  // The mailer takes mail in turn: when the later one is out, the earlier one would be, too.
  await askFor(page, known.email);
  await mailCount(known.email, 3);
  expect(await mailTo(unknown.email)).toEqual([]);
});

test('a changed password ends the other sessions and not this one', async ({ page }) => {
  const person = await signedUp();
  await logIn(page, person);
  await expect(page).toHaveURL('/dashboard');
  await page.goto('/account/password');
  await page.getByLabel('Current password').fill(person.password);
  await page.getByLabel('New password').fill(NEW);
  await page.getByRole('button', { name: 'Change password' }).click();
  await isTold(page, 'Your password has changed');
  await ask(401, 'GET', '/api/v1/account', { bearer: person.session });
  await page.goto('/dashboard');
  await expect(page).toHaveURL('/dashboard');
});

test('a new address counts when its owner says so @both', async ({ page, person }) => {
  const { email } = stranger();
  await page.goto('/account/email');
  await page.getByLabel('New email address').fill(email);
  await page.getByLabel('Your password').fill(person.password);
  await page.getByRole('button', { name: 'Send link' }).click();
  await isTold(page, 'sent a link to the new address');
  const before = await person.ask(200, 'GET', '/api/v1/account');
  expect(before.email).toBe(person.email);
  await page.goto(await mailedLink(email, '/email/confirm'));
  await page.getByRole('button', { name: 'Use this address' }).click();
  await isTold(page, 'changed');
  await page.context().clearCookies();
  await logIn(page, { ...person, email });
  await expect(page).toHaveURL('/dashboard');
});
