// People and what tests give them: an account of their own, a browser that is logged in, credit, a key.

import { randomBytes } from 'node:crypto';

import { test as base, expect } from '@playwright/test';

import { ask, baseUrl, command, mailedLink } from './gateway.mjs';
import { Watch } from './watch.mjs';

export { expect };

/** Every test has a page that is watched; a test that asks for `person` is also logged in. */
export const test = base.extend({
  watch: [
    async ({ context }, use) => {
      const watch = new Watch(context);
      await use(watch);
      watch.check();
    },
    { auto: true },
  ],
  person: async ({ context }, use) => {
    const person = await signedUp();
    await person.enter(context);
    await use(person);
  },
});

/** Somebody whom the service does not know yet. */
export function stranger() {
  return new Person(`${randomBytes(6).toString('hex')}@example.org`);
}

/** Somebody with an account, opened by the JSON interface since other tests walk through the pages. */
export async function signedUp() {
  const person = stranger();
  await ask(202, 'POST', '/api/v1/accounts', { body: { email: person.email } });
  const link = await mailedLink(person.email, '/sign-up/confirm');
  const token = new URL(link).searchParams.get('token');
  const session = await ask(201, 'POST', '/api/v1/accounts/confirm', {
    body: { token, password: person.password },
  });
  person.session = session.token;
  return person;
}

export class Person {
  constructor(email) {
    this.email = email;
    this.password = `${randomBytes(9).toString('base64url')} is mine`;
  }

  /** Puts the session into a browser. */
  async enter(context) {
    const cookie = { name: 'sluice_session', value: this.session, url: baseUrl };
    await context.addCookies([{ ...cookie, httpOnly: true, sameSite: 'Lax' }]);
  }

  /** Asks the JSON interface as this person. */
  ask(status, method, path, body) {
    return ask(status, method, path, { bearer: this.session, body });
  }

  /** Credits US dollars, as the operator does. */
  async credit(usd) {
    await command('account', 'credit', this.email, String(usd), '--reference', `tests of ${this.email}`);
  }

  /** A new key; `limits` as the interface takes them. */
  key(limits = {}) {
    return this.ask(201, 'POST', '/api/v1/keys', { name: 'made by a script', ...limits });
  }
}

/** Waits for the sentence with which a page says what was done. */
export async function isTold(page, words) {
  await expect(page.getByRole('status').filter({ hasText: words })).toBeVisible();
}

/** Fills in the form to log in, and sends it. */
export async function logIn(page, { email, password }) {
  await page.goto('/log-in');
  await page.getByLabel('Email address').fill(email);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Log in' }).click();
}
