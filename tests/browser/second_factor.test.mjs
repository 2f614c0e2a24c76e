// A second factor and what replaces it when it is lost.

import { readFile } from 'node:fs/promises';

import { expect, isTold, logIn, test } from './person.mjs';
import { readQr } from './qr.mjs';
import { Authenticator } from './totp.mjs';

/** Sets up an authenticator in the pages; it and the recovery codes. */
async function setUp(page, person) {
  await page.goto('/account/totp');
  await page.getByLabel('Your password').fill(person.password);
  await page.getByRole('button', { name: 'Set up' }).click();
  // In groups of four, for people.
  const secret = (await page.locator('#secret').innerText()).replaceAll(' ', '');
  const uri = await readQr(page.locator('svg.qr'));
  const authenticator = new Authenticator(secret);
  await page.getByLabel('Code shown by the app').fill(await authenticator.next());
  await page.getByRole('button', { name: 'Turn on' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Your recovery codes');
  const codes = await page.locator('#codes li').allInnerTexts();
  return { authenticator, codes, secret, uri };
}

test('recovery codes are downloaded as a file', async ({ page, person }) => {
  const { codes } = await setUp(page, person);
  const started = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Download' }).click();
  const file = await started;
  expect(file.suggestedFilename()).toBe('recovery-codes.txt');
  const text = await readFile(await file.path(), 'utf8');
  expect(text.split('\n').filter((line) => codes.includes(line))).toEqual(codes);
});

async function enter(page, code) {
  await page.getByLabel('Six digits, or a recovery code').fill(code);
  await page.getByRole('button', { name: 'Log in' }).click();
}

test('after the password a code is asked for, and each code counts once @both', async ({ page, person }) => {
  const { authenticator, codes, secret, uri } = await setUp(page, person);
  expect(new URL(uri).searchParams.get('secret')).toBe(secret);
  expect(new Set(codes).size).toBe(10);
  await page.context().clearCookies();

  await logIn(page, person);
  await expect(page).toHaveURL(/\/log-in\/code/);
  await page.goto('/dashboard');
  await expect(page).toHaveURL(/\/log-in/);
  await logIn(page, person);
  await enter(page, authenticator.wrong());
  await expect(page.getByRole('alert')).toBeVisible();
  const code = await authenticator.next();
  await enter(page, code);
  await expect(page).toHaveURL('/dashboard');

  await page.context().clearCookies();
  await logIn(page, person);
  await enter(page, code);
  await expect(page.getByRole('alert')).toBeVisible();
  await expect(page).not.toHaveURL('/dashboard');
});

test('a recovery code replaces the authenticator, once @both', async ({ page, person }) => {
  const { codes } = await setUp(page, person);
  await page.context().clearCookies();
  await logIn(page, person);
  await enter(page, codes[3]);
  await expect(page).toHaveURL('/dashboard');
  await page.context().clearCookies();
  await logIn(page, person);
  await enter(page, codes[3]);
  await expect(page.getByRole('alert')).toBeVisible();
  await enter(page, codes[4]);
  await expect(page).toHaveURL('/dashboard');
});

test('it is turned off by password and code', async ({ page, person }) => {
  const { authenticator } = await setUp(page, person);
  await page.goto('/account/totp');
  const off = page.getByRole('button', { name: 'Turn off two-factor authentication' });
  const form = page.locator('form', { has: off });
  await form.getByLabel('Your password').fill(person.password);
  await form.getByLabel(/^Code from your app/).fill(await authenticator.next());
  await off.click();
  await isTold(page, 'off');
  await page.context().clearCookies();
  await logIn(page, person);
  await expect(page).toHaveURL('/dashboard');
});
