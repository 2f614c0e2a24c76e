// Paying: the wallet proves itself, sends, and what was sent is seen until it is credited.

import { expect, test } from './person.mjs';
import { finalize, node } from './chain.mjs';
import { withChain } from './lock.mjs';
import { command } from './gateway.mjs';
import { readQr } from './qr.mjs';
import { TestWallet, pay, purseWith } from './wallet.mjs';

test('a wallet is found, is linked and pays in one go, and the credit is seen to come @script @both', async ({
  page,
  person,
  context,
}) => {
  const { token } = await options(person);
  const wallet = new TestWallet(await purseWith(25, token));
  await wallet.installIn(context);
  await withChain(async () => {
    await page.goto('/deposits?amount=12.5&with=local.USDC');
    await page.getByRole('button', { name: 'Pay 12.5 USDC with Test wallet' }).click();
    await expect(page).toHaveURL(/\/deposits\/\w+/);
    // It was not linked before: it signed first, and only then paid.
    const asked = wallet.calls.filter((method) => /sign|send/.test(method));
    expect(asked).toEqual(['personal_sign', 'eth_sendTransaction']);
    // The test loads nothing from here on: what changes, changes by itself.
    const main = page.getByRole('main');
    await expect(main).toContainText(/\d+\/\d+ confirmations/);
    await expect(page).toHaveTitle(/^Confirming: 12\.5 USDC on Local chain/);
    const seen = async () => Number((await main.innerText()).match(/(\d+)\/\d+ confirmations/)?.[1]);
    const before = await seen();
    await node.mine({ blocks: 2 });
    await expect.poll(seen).toBeGreaterThan(before);
    await finalize();
    await expect(page).toHaveTitle(/^Credited: 12\.5 USDC/);
    await expect(main).toContainText('Your balance is now $12.50.');
    await expect(main.getByRole('link', { name: 'Create an API key' })).toBeVisible();
    const receipt = page.getByRole('region', { name: 'Receipt' });
    await expect(receipt).toContainText(person.email);
    await expect(receipt).toContainText('1 USDC = $1.00');
    await expect(page.getByText('Oracle price')).toBeHidden();
    await page.getByText('Technical details').click();
    await expect(page.getByText('Oracle price')).toBeVisible();
  });
  const { available_usd } = await person.ask(200, 'GET', '/api/v1/account');
  expect(Number(available_usd)).toBe(12.5);
  await page.goto('/wallets');
  await expect(page.getByRole('main')).toContainText(wallet.wallet.account.address);
  await page.goto('/ledger');
  await expect(page.getByRole('main')).toContainText('$12.50');
});

test('whoever has too little, or declines to link, is told so and pays nothing @script', async ({
  page,
  person,
  context,
}) => {
  const { token } = await options(person);
  const wallet = new TestWallet(await purseWith(40, token));
  await wallet.installIn(context);
  await page.goto('/deposits?amount=50');
  await page.getByRole('button', { name: 'Pay 50 USDC with Test wallet' }).click();
  const says = page.locator('[data-wallet] [role=status]');
  await expect(says).toContainText('has 40 USDC on Local chain, 10 USDC less than needed');
  await page.getByRole('link', { name: '$25', exact: true }).click();
  wallet.refusesTo = ['personal_sign'];
  await page.getByRole('button', { name: 'Pay 25 USDC with Test wallet' }).click();
  await expect(says).toContainText('The wallet was not linked, so nothing was sent. You declined');
  // Raw words of a wallet are nobody's to read.
  wallet.refusesTo = [];
  wallet.fails = { code: 3, message: 'execution reverted: 0x08c379a0' };
  await page.getByRole('button', { name: 'Pay 25 USDC with Test wallet' }).click();
  await expect(says).toContainText("The token's contract refuses this payment.");
  await expect(says).not.toContainText('0x08c379a0');
  expect(wallet.sent).toBe(0);
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
  const main = page.getByRole('main');
  await expect(main).toContainText(payee);
  // What is seen is what every camera reads: the address and nothing else, with the rest in words.
  const plain = page.getByRole('img', { name: /^QR code of the address/ });
  await expect(plain).toBeVisible();
  expect(await readQr(plain)).toBe(payee);
  await expect(page.getByRole('img', { name: /payment link/ })).toHaveCount(0);
  await page.getByLabel('Other amount (USD)').fill('12,50');
  await page.getByRole('button', { name: 'Set amount' }).click();
  await expect(main).toContainText('Send 12.5 USDC on Local chain');
  await page.getByText('For wallets that support payment links').click();
  const code = await readQr(page.getByRole('img', { name: /payment link: 12.5 USDC/ }));
  // EIP-681: a call of the token's contract on this very chain, with both of its arguments.
  const { pathname, searchParams, protocol } = new URL(code);
  expect([protocol, pathname]).toEqual(['ethereum:', `${token}@${chainId}/transfer`]);
  expect(searchParams.get('address')).toBe(payee);
  expect(searchParams.get('uint256')).toBe('12500000');
});

test('a coin is chosen by a link, and says what it is worth and when it comes', async ({ page, person }) => {
  await options(person);
  await page.goto('/deposits');
  const coins = page.getByRole('link', { name: /on Local chain/ });
  // What counts as dollars comes first and is chosen.
  await expect(coins.first()).toContainText(/USDC on Local chain.*25 USDC · credited in .* · minimum \$1\.00/s);
  await expect(coins.first()).toHaveAttribute('aria-current', 'true');
  await expect(coins.first()).toContainText('Operational');
  await page.getByRole('link', { name: /^ETH on Local chain/ }).click();
  await expect(page).toHaveURL(/with=local\.ETH/);
  const main = page.getByRole('main');
  // The sandbox's feed says 2,000 dollars.
  await expect(main).toContainText('Send 0.0125 ETH on Local chain');
  await expect(main).toContainText('1 ETH is $2,000.00 now.');
  await expect(main).toContainText('Exchanges cannot be used here.');
  await page.getByLabel('Other amount (USD)').fill('ten');
  await page.getByRole('button', { name: 'Set amount' }).click();
  const field = page.getByLabel('Other amount (USD)');
  await expect(field).toHaveValue('ten');
  await expect(field).toHaveAccessibleDescription(/Enter an amount in dollars/);
});

test('a suspended owner is told so before the wallet sends anything @script', async ({ page, person, context }) => {
  const { token } = await options(person);
  const wallet = new TestWallet(await purseWith(5, token));
  await wallet.installIn(context);
  await page.goto('/deposits?amount=5');
  await command('account', 'suspend', person.email, '--reason', 'a test');
  await page.getByRole('button', { name: 'Pay 5 USDC with Test wallet' }).click();
  await expect(page.locator('[data-wallet] [role=status]')).toContainText('suspended, so nothing was sent');
  expect(wallet.calls).toEqual([]);
  await page.reload();
  await expect(page.getByRole('main')).toContainText('This account is suspended');
  await expect(page.getByRole('button', { name: /^Pay/ })).toHaveCount(0);
});

test('a deposit appears in the list by itself @script', async ({ page, person, context }) => {
  const { token, payee } = await options(person);
  const wallet = new TestWallet(await purseWith(5, token));
  await wallet.installIn(context);
  await page.goto('/wallets');
  await page.getByRole('button', { name: 'Link with Test wallet' }).click();
  await expect(page.getByRole('main')).toContainText(wallet.wallet.account.address);
  await page.goto('/deposits');
  await expect(page.getByText('No deposits yet.')).toBeVisible();
  await withChain(async () => {
    const above = await page.getByRole('heading', { name: 'Your deposits' }).boundingBox();
    await pay(wallet.wallet, token, payee, 5);
    await node.mine({ blocks: 1 });
    await expect(page.getByRole('article')).toContainText('5 USDC on Local chain');
    expect(await page.getByRole('heading', { name: 'Your deposits' }).boundingBox()).toEqual(above);
    await finalize();
  });
});

test('a payment is claimed by its hash, and says what it waits for @both', async ({ page, person }) => {
  const { payee, token } = await options(person);
  const purse = await purseWith(7, token);
  await withChain(async () => {
    const hash = await pay(purse, token, payee, 7);
    await page.goto('/deposits');
    await page.getByText('Already sent? Track a transaction').click();
    await page.getByLabel('Transaction hash').fill(hash);
    await page.getByRole('button', { name: 'Track' }).click();
    await expect(page).toHaveURL(/\/deposits\/\w+/);
    const id = new URL(page.url()).pathname.split('/').pop();
    await finalize();
    await expect
      .poll(async () => {
        // The page may be the deposit's already.
        const found = await person.ask(200, 'GET', `/api/v1/deposits/${id}`);
        return found.deposits?.[0]?.state ?? found.state;
      })
      .toBe('unattributed');
    await page.reload();
    // A hash with one deposit leads to that.
    await expect(page).toHaveURL(/\/deposits\/dep_/);
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
  await page.getByText('Name or unlink').click();
  await page.getByLabel('Name (optional)').fill('Ledger <b>at home</b>');
  await page.getByRole('button', { name: 'Save name' }).click();
  await expect(page.getByRole('heading', { name: 'Ledger <b>at home</b>' })).toBeVisible();
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
