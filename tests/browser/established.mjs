// Somebody who has used everything, so that pages are looked at when there is something on them.

import { expect } from '@playwright/test';

import { finalize } from './chain.mjs';
import { withChain } from './lock.mjs';
import { signedUp } from './person.mjs';
import { say } from './sdk.mjs';
import { Authenticator } from './totp.mjs';
import { pay, purseWith } from './wallet.mjs';

/** As long as a name may be, with what could be taken for markup. */
const NAME = 'continuous <b>integration</b> & "nightly" runs of examples, ’q’';

/** An account with credit, keys, calls, a linked wallet, and deposits in several states. */
export async function established() {
  const person = await signedUp();
  await person.credit('12.345678901');
  const key = await person.key({ name: NAME });
  await person.key({
    name: 'limited',
    models: ['claude-haiku-5-5'],
    monthly_budget: '10',
    total_budget: '100',
    requests_per_minute: 60,
    expires_at: '2030-01-01T00:00:00Z',
  });
  const { id } = await person.key({ name: 'revoked' });
  await person.ask(204, 'DELETE', `/api/v1/keys/${id}`);
  for (const model of ['claude-haiku-5-5', 'claude-sonnet-5', 'claude-opus-5']) {
    await say(key.key, { model });
  }
  await withChain(() => deposits(person));
  // A second factor that is being set up.
  await person.ask(201, 'POST', '/api/v1/account/totp', { password: person.password });
  return person;
}

/** Somebody who is asked for a code after the password, and has done nothing else yet. */
export async function withSecondFactor() {
  const person = await signedUp();
  const { secret } = await person.ask(201, 'POST', '/api/v1/account/totp', { password: person.password });
  const authenticator = new Authenticator(secret.replaceAll(' ', ''));
  await person.ask(200, 'PUT', '/api/v1/account/totp', { code: await authenticator.next() });
  return person;
}

async function deposits(person) {
  const { data } = await person.ask(200, 'GET', '/api/v1/deposits/options');
  const payee = data[0].addresses.find(({ kind }) => kind === 'treasury').address;
  const { token } = data[0].assets.find(({ symbol }) => symbol === 'USDC');
  const [own, unproven] = [await purseWith(50, token), await purseWith(50, token)];
  const wanted = { chain: data[0].chain, address: own.account.address };
  const { message } = await person.ask(200, 'POST', '/api/v1/wallets/challenge', wanted);
  const signature = await own.account.signMessage({ message });
  await person.ask(201, 'POST', '/api/v1/wallets', { message, signature });
  const claims = [];
  for (const [purse, usdc] of [[own, 20], [unproven, 5]]) {
    const hash = await pay(purse, token, payee, usdc);
    claims.push(await person.ask(202, 'POST', '/api/v1/deposits', { chain: data[0].chain, tx_hash: hash }));
  }
  await finalize();
  for (const [index, state] of ['credited', 'unattributed'].entries()) {
    const stateOf = async () => {
      const claim = await person.ask(200, 'GET', `/api/v1/deposits/${claims[index].id}`);
      return claim.deposits?.[0]?.state;
    };
    await expect.poll(stateOf, { timeout: 20_000 }).toBe(state);
  }
  // One that is on its way, and a hash that nobody has seen.
  const hash = await pay(own, token, payee, 3);
  for (const tx_hash of [hash, `0x${'ab'.repeat(32)}`]) {
    await person.ask(202, 'POST', '/api/v1/deposits', { chain: data[0].chain, tx_hash });
  }
}
