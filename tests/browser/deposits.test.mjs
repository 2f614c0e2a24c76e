// Paying: the wallet proves itself, sends, and what was sent is seen until it is credited.

import { expect, test } from './person.mjs';
import { finalize, node } from './chain.mjs';
import { withChain } from './lock.mjs';
import { command } from './gateway.mjs';
import { readQr } from './qr.mjs';
import { TestWallet, pay, purseWith } from './wallet.mjs';

test('a wallet is found, proves itself, pays, and the credit is seen to come @script @both', async ({
  page,
  person,
  context,
}) => {
  const { token } = await options(person);
  const wallet = new TestWallet(await purseWith(25, token));
  await wallet.installIn(context);

  await page.goto('/wallets');
  await page.getByRole('button', { name: 'Link with Test wallet' }).click();
  const { address } = wallet.wallet.account;
  await expect(page.getByRole('main')).toContainText(address);
  expect(wallet.calls).toContain('personal_sign');

  await withChain(async () => {
    await page.goto('/deposits');
    await page.getByLabel('Coin', { exact: true }).selectOption({ label: 'USDC on Local chain' });
    await page.getByLabel('Amount', { exact: true }).fill('12.5');
    await page.getByRole('button', { name: 'Pay with Test wallet' }).click();
    await expect(page).toHaveURL(/\/deposits\/\w+/);
    expect(wallet.calls.filter((method) => method === 'eth_sendTransaction')).toHaveLength(1);
    // The test loads nothing from here on: what changes, changes by itself.
    const main = page.getByRole('main');
    await expect(main).toContainText(/\d+\/\d+ confirmations/);
    const seen = async () => Number((await main.innerText()).match(/(\d+)\/\d+ confirmations/)?.[1]);
    const before = await seen();
    await node.mine({ blocks: 2 });
    await expect.poll(seen).toBeGreaterThan(before);
    await finalize();
    await expect(main).toContainText('Credited');
    await expect(main).toContainText('$12.50');
  });
  const { available_usd } = await person.ask(200, 'GET', '/api/v1/account');
  expect(Number(available_usd)).toBe(12.5);
  await page.goto('/ledger');
  await expect(page.getByRole('main')).toContainText('$12.50');
});

test('who declines in the wallet reads so, and has lost nothing @script', async ({
  page,
  person,
  context,
}) => {
  const { token } = await options(person);
  const wallet = new TestWallet(await purseWith(5, token));
  wallet.agrees = false;
  await wallet.installIn(context);
  await page.goto('/wallets');
  await page.getByRole('button', { name: 'Link with Test wallet' }).click();
  await expect(page.locator('[data-wallet] [role=status]')).toContainText('declined');
  wallet.agrees = true;
  await page.getByRole('button', { name: 'Link with Test wallet' }).click();
  await expect(page.getByRole('main')).toContainText(wallet.wallet.account.address);
});

test('all wallets of a browser are offered by name @script', async ({ page, person, context }) => {
  const { token } = await options(person);
  for (const name of ['Test wallet', 'Second <b>wallet</b>']) {
    await new TestWallet(await purseWith(1, token), name).installIn(context);
  }
  await page.goto('/wallets');
  await expect(page.getByRole('button', { name: 'Link with Test wallet' })).toBeVisible();
  await expect(page.getByRole('button', { name: 'Link with Second <b>wallet</b>' })).toBeVisible();
});

test('the address is there in full with its checksum, and as a code', async ({ page, person }) => {
  const { payee, chainId, token } = await options(person);
  await page.goto('/deposits');
  await expect(page.getByRole('main')).toContainText(payee);
  // What is seen first is what every camera reads: the address and nothing else, with the rest in words.
  const plain = page.getByRole('img', { name: /^QR code of the address/ });
  await expect(plain).toBeVisible();
  expect(await readQr(plain)).toBe(payee);
  await expect(page.getByRole('img', { name: /payment link/ })).toHaveCount(0);
  await page.getByLabel(/^Amount in US dollars/).fill('25');
  await page.getByRole('button', { name: 'Show what to send' }).click();
  await expect(page.getByRole('main')).toContainText('Send 25 USDC');
  await page.getByText('For wallets that support payment links').click();
  await page.getByText(/^USDC, from/).click();
  const code = await readQr(page.getByRole('img', { name: /payment link: Pay 25 USDC/ }));
  // EIP-681: a call of the token's contract on this very chain, with both of its arguments.
  const { pathname, searchParams, protocol } = new URL(code);
  expect([protocol, pathname]).toEqual(['ethereum:', `${token}@${chainId}/transfer`]);
  expect(searchParams.get('address')).toBe(payee);
  expect(searchParams.get('uint256')).toBe('25000000');
});

test('a suspended owner is told so before the wallet sends anything @script', async ({ page, person, context }) => {
  const { token } = await options(person);
  const wallet = new TestWallet(await purseWith(5, token));
  await wallet.installIn(context);
  await page.goto('/wallets');
  await page.getByRole('button', { name: 'Link with Test wallet' }).click();
  await expect(page.getByRole('main')).toContainText(wallet.wallet.account.address);
  await page.goto('/deposits');
  // Dollars by default, and no number that anybody would take over.
  await expect(page.getByLabel('Coin', { exact: true })).toContainText(/^\s*USDC on Local chain/);
  await expect(page.getByLabel('Amount', { exact: true })).toHaveValue('');
  await page.getByLabel('Amount', { exact: true }).fill('5');
  await expect(page.getByRole('main')).toContainText('5 USDC counts as $5.00.');
  await command('account', 'suspend', person.email, '--reason', 'a test');
  await page.getByRole('button', { name: 'Pay with Test wallet' }).click();
  await expect(page.locator('[data-wallet] [role=status]')).toContainText('suspended, so nothing was sent');
  expect(wallet.calls).not.toContain('eth_sendTransaction');
  await page.reload();
  await expect(page.getByRole('main')).toContainText('This account is suspended');
  await expect(page.getByRole('button', { name: 'Pay with Test wallet' })).toHaveCount(0);
});

test('a payment is claimed by its hash, and says what it waits for @both', async ({ page, person }) => {
  const { payee, token } = await options(person);
  const purse = await purseWith(7, token);
  await withChain(async () => {
    const hash = await pay(purse, token, payee, 7);
    await page.goto('/deposits');
    await page.getByLabel('Transaction hash').fill(hash);
    await page.getByRole('button', { name: 'Track' }).click();
    await expect(page).toHaveURL(/\/deposits\/\w+/);
    const id = new URL(page.url()).pathname.split('/').pop();
    await finalize();
    await expect
      .poll(async () => {
        const claim = await person.ask(200, 'GET', `/api/v1/deposits/${id}`);
        return claim.deposits?.[0]?.state;
      })
      .toBe('unattributed');
    await page.reload();
    const main = page.getByRole('main');
    await expect(main).toContainText(purse.account.address);
    await main.getByRole('link', { name: `Link the wallet ${purse.account.address}` }).click();
    await expect(page.getByLabel('Wallet address')).toHaveValue(purse.account.address);
    await proveByHand(page, purse.account);
    await expect(main).toContainText(purse.account.address);
    const balance = async () => Number((await person.ask(200, 'GET', '/api/v1/account')).available_usd);
    await expect.poll(balance).toBe(7);
  });
});

test('a wallet is proven by hand @both', async ({ page, person }) => {
  const { token } = await options(person);
  const { account } = await purseWith(1, token);
  await page.goto('/wallets');
  await page.getByLabel('Wallet address').fill(account.address);
  await proveByHand(page, account);
  const { data } = await person.ask(200, 'GET', '/api/v1/wallets');
  expect(data.map(({ address }) => address)).toEqual([account.address]);
  await page.goto('/wallets');
  await expect(page.getByRole('main')).toContainText(account.address);
});

/** Gets the message for the address that is filled in, signs it elsewhere, and brings the signature. */
async function proveByHand(page, account) {
  await page.getByRole('button', { name: 'Create message' }).click();
  const message = await page.getByLabel('Message').inputValue();
  await page.getByLabel(/^Signature/).fill(await account.signMessage({ message }));
  await page.getByRole('button', { name: 'Link wallet', exact: true }).click();
  await expect(page).toHaveURL('/wallets');
}

/** Where wallets pay to, and the token that they pay in. */
async function options(person) {
  const { data } = await person.ask(200, 'GET', '/api/v1/deposits/options');
  const [offer] = data;
  return {
    chainId: offer.chain_id,
    payee: offer.addresses.find(({ kind }) => kind === 'treasury').address,
    token: offer.assets.find(({ symbol }) => symbol === 'USDC').token,
  };
}
