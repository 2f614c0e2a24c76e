// Getting in, and staying out.

import { ask, baseUrl } from './gateway.mjs';
import { expect, logIn, signedUp, stranger, test } from './person.mjs';

const alert = (page) => page.getByRole('alert');
const cookies = (context) => context.cookies(baseUrl);
const sessionOf = async (context) =>
  (await cookies(context)).find(({ name }) => name === 'sluice_session');

test('a wrong password and an unknown address are refused in the same words', async ({ page }) => {
  const [known, unknown] = [await signedUp(), stranger()];
  await logIn(page, { ...known, password: 'not the password' });
  const said = await alert(page).innerText();
  expect(said).toBeTruthy();
  await logIn(page, unknown);
  expect(await alert(page).innerText()).toBe(said);
  expect(await sessionOf(page.context())).toBeUndefined();
});

test('who keeps guessing is stopped, also at the right password', async ({ page }) => {
  const person = await signedUp();
  const wrong = { ...person, password: 'not the password' };
  // The settings of these tests allow three.
  for (let attempt = 0; attempt < 3; attempt += 1) await logIn(page, wrong);
  const said = await alert(page).innerText();
  await logIn(page, person);
  await expect(alert(page)).not.toHaveText(said);
  await expect(alert(page)).toContainText(/minute|later|wait/i);
  expect(await sessionOf(page.context())).toBeUndefined();
});

test('a log-in makes a new session in a cookie that scripts cannot read @both', async ({ page }) => {
  const person = await signedUp();
  const planted = (await signedUp()).session;
  await page.context().addCookies([{ name: 'sluice_session', value: planted, url: baseUrl }]);
  await page.context().clearCookies();
  await logIn(page, person);
  await expect(page).toHaveURL('/dashboard');
  const cookie = await sessionOf(page.context());
  expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Lax', path: '/' });
  expect(cookie.value).not.toBe(person.session);
});

test('who logs out is out, here and with a copy of the cookie', async ({ page }) => {
  const person = await signedUp();
  await logIn(page, person);
  await expect(page).toHaveURL('/dashboard');
  const { value } = await sessionOf(page.context());
  await page.getByRole('button', { name: 'Log out' }).first().click();
  await page.goto('/dashboard');
  await expect(page).toHaveURL(/\/log-in/);
  await ask(401, 'GET', '/api/v1/account', { bearer: value });
  // Other sessions go on.
  await ask(200, 'GET', '/api/v1/account', { bearer: person.session });
});

test('who logs out everywhere is out everywhere @both', async ({ page }) => {
  const person = await signedUp();
  await logIn(page, person);
  await expect(page).toHaveURL('/dashboard');
  await page.goto('/account/sessions');
  await page.getByRole('button', { name: 'Log out everywhere' }).click();
  await expect(page).toHaveURL(/\/log-in|\/$/);
  await ask(401, 'GET', '/api/v1/account', { bearer: person.session });
});

test('after a log-in one is where one wanted to be', async ({ page }) => {
  const person = await signedUp();
  await page.goto('/keys');
  await expect(page).toHaveURL(/\/log-in/);
  await page.getByLabel('Email address').fill(person.email);
  await page.getByLabel('Password', { exact: true }).fill(person.password);
  await page.getByRole('button', { name: 'Log in' }).click();
  await expect(page).toHaveURL('/keys');
});

for (const next of ['//example.org/', 'https://example.org/', '/\\example.org', '/%09/example.org']) {
  test(`a log-in leads to no other site: ${next}`, async ({ page }) => {
    const person = await signedUp();
    await page.goto(`/log-in?next=${encodeURIComponent(next)}`);
    await page.getByLabel('Email address').fill(person.email);
    await page.getByLabel('Password', { exact: true }).fill(person.password);
    await page.getByRole('button', { name: 'Log in' }).click();
    await expect(page).toHaveURL('/dashboard');
  });
}

test('a password can be shown and hidden, and is hidden when it is sent @script', async ({ page }) => {
  await page.goto('/log-in');
  const field = page.getByLabel('Password', { exact: true });
  await field.fill('correct horse');
  await page.getByRole('button', { name: 'Show password' }).click();
  await expect(field).toHaveAttribute('type', 'text');
  await expect(field).toHaveValue('correct horse');
  await page.getByRole('button', { name: 'Hide password' }).click();
  await expect(field).toHaveAttribute('type', 'password');
});
