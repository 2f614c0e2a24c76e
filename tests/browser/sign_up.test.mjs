// How somebody becomes a customer.

import { ask, baseUrl, mailCount, mailedLink } from './gateway.mjs';
import { expect, logIn, signedUp, stranger, test } from './person.mjs';

async function signUp(page, email) {
  await page.goto('/sign-up');
  await page.getByLabel('Email address').fill(email);
  await page.getByRole('button', { name: 'Send link' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Check your inbox');
}

async function choosePassword(page, link, password) {
  await page.goto(link);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Create account' }).click();
}

test('somebody finds the form on the home page, and is in by the mailed link @both', async ({ page }) => {
  const { email, password } = stranger();
  await page.goto('/');
  await page.getByRole('link', { name: 'Sign up' }).first().click();
  await page.getByLabel('Email address').fill(email);
  await page.getByRole('button', { name: 'Send link' }).click();
  await choosePassword(page, await mailedLink(email, '/sign-up/confirm'), password);
  await expect(page).toHaveURL('/dashboard');
  await expect(page.getByRole('main')).toContainText('$0.00');
});

test('a mailed link survives the scanners that open it, and counts once', async ({ page }) => {
  const { email, password } = stranger();
  await signUp(page, email);
  const link = await mailedLink(email, '/sign-up/confirm');
  for (const method of ['GET', 'HEAD', 'GET']) await fetch(link, { method });
  await choosePassword(page, link, password);
  await expect(page).toHaveURL('/dashboard');
  await page.context().clearCookies();
  await page.goto(link);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(/no longer works/);
  const token = new URL(link).searchParams.get('token');
  const body = { token, password: 'another password' };
  await ask(400, 'POST', '/api/v1/accounts/confirm', { body });
});

test('a known address is told by mail alone @both', async ({ page }) => {
  const [known, unknown] = [await signedUp(), stranger()];
  const answers = [];
  for (const { email } of [known, unknown]) {
    await signUp(page, email);
    const text = await page.getByRole('main').innerText();
    answers.push(text.replaceAll(email, '…'));
  }
  expect(answers[0]).toBe(answers[1]);
  const [, second] = await mailCount(known.email, 2);
  expect(second.text).toContain(`${baseUrl}/log-in`);
  expect(second.text).not.toContain('/sign-up/confirm');
});

test('a password that is too short is refused, and the link still counts', async ({ page }) => {
  const { email, password } = stranger();
  await signUp(page, email);
  const link = await mailedLink(email, '/sign-up/confirm');
  await page.goto(link);
  const field = page.getByLabel('Password', { exact: true });
  // The browser's own check would stop it before the server does.
  await field.evaluate((input) => input.removeAttribute('minlength'));
  await field.fill('too short');
  await page.getByRole('button', { name: 'Create account' }).click();
  await expect(page.getByRole('alert')).toContainText('10');
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Create account' }).click();
  await expect(page).toHaveURL('/dashboard');
});

test('a form that another site sends changes nothing', async ({ page, person }) => {
  await page.goto('/preferences');
  const forms = await page.locator('form[method=post]').evaluateAll((found) =>
    found.map((form) => ({ action: form.action, fields: [...new FormData(form)] })),
  );
  expect(forms.length).toBeGreaterThan(0);
  for (const { action, fields } of forms) {
    expect(fields.map(([name]) => name)).toContain('csrf');
    for (const csrf of [null, 'f'.repeat(64)]) {
      const form = Object.fromEntries(fields.filter(([name]) => name !== 'csrf'));
      if (csrf) form.csrf = csrf;
      const answer = await page.request.post(action, { form, maxRedirects: 0 });
      expect(answer.status(), action).toBe(403);
    }
  }
  await ask(200, 'GET', '/api/v1/account', { bearer: person.session });
});

test('who has just signed up can log in', async ({ page }) => {
  const person = await signedUp();
  await logIn(page, person);
  await expect(page).toHaveURL('/dashboard');
});

test('the price list shows what is looked for @script', async ({ page }) => {
  await page.goto('/');
  const rows = page.locator('#price-rows tr[data-name]');
  const all = await rows.filter({ visible: true }).count();
  await page.getByLabel('Find a model').fill('haiku 5.5');
  await expect(rows.filter({ visible: true }).first()).toContainText('Haiku 5.5');
  expect(await rows.filter({ visible: true }).count()).toBeLessThan(all);
  await page.getByLabel('Find a model').fill('no such model');
  await expect(page.getByText('No model matches.')).toBeVisible();
  await page.getByLabel('Find a model').fill('');
  await expect(rows.filter({ visible: true })).toHaveCount(all);
});

test('a client is chosen without a script @both', async ({ page }) => {
  await page.goto('/docs');
  await expect(page.locator('#start-cli')).toBeVisible();
  await page.getByText('TypeScript', { exact: true }).click();
  await expect(page.locator('#start-typescript')).toBeVisible();
  await expect(page.locator('#start-cli')).toBeHidden();
});
