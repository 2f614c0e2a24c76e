// A wallet in the browser, as EIP-6963 announces it and EIP-1193 speaks to it. The keys stay outside
// of the page, as an extension's do.

import { numberToHex } from 'viem';
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts';

import { chain, contracts, fill, mined, node, walletOf } from './chain.mjs';

const USDC_DECIMALS = 6;

/** EIP-1193: the person said no. */
const REFUSED = 4001;

/** The purse of somebody new: a coin for gas, and tokens. The mock lets everybody make themselves some. */
export async function purseWith(usdc, token) {
  const wallet = walletOf(privateKeyToAccount(generatePrivateKey()));
  const { address } = wallet.account;
  await fill(address);
  const amount = BigInt(usdc) * 10n ** BigInt(USDC_DECIMALS);
  const { abi } = contracts.Token;
  const call = { address: token, abi, functionName: 'mint', args: [address, amount] };
  await mined(await wallet.writeContract(call));
  return wallet;
}

/** Pays tokens without any page; the hash, once it is in a block. */
export async function pay(wallet, token, to, usdc) {
  const args = [to, BigInt(usdc) * 10n ** BigInt(USDC_DECIMALS)];
  const { abi } = contracts.Token;
  const hash = await wallet.writeContract({ address: token, abi, functionName: 'transfer', args });
  await mined(hash);
  return hash;
}

export class TestWallet {
  /** Methods in the order in which the page called them. */
  calls = [];
  /** Whether the person says yes. */
  agrees = true;
  /** Methods that the person declines. */
  refusesTo = [];
  /** The error that sending ends with, if it does. */
  fails = null;
  /** Transactions that were sent. */
  sent = 0;

  constructor(wallet, name = 'Test wallet') {
    this.wallet = wallet;
    this.name = name;
  }

  /** Announces the wallet in every page that is opened from now on. */
  async installIn(context) {
    const binding = `ask_${this.name.replaceAll(/\W/g, '_')}`;
    await context.exposeBinding(binding, async (_, request) => {
      // An error crosses the border as a value, so that its code does.
      try {
        return { result: await this.#answer(request) };
      } catch (error) {
        return { error: { code: error.code ?? -32603, message: error.message } };
      }
    });
    await context.addInitScript(announce, { binding, name: this.name });
  }

  async #answer({ method, params = [] }) {
    this.calls.push(method);
    if (this.refusesTo.includes(method)) throw failure(REFUSED, 'User rejected the request.');
    const { account } = this.wallet;
    switch (method) {
      case 'eth_requestAccounts':
        this.#confirm();
        return [account.address.toLowerCase()];
      case 'eth_accounts':
        return [account.address.toLowerCase()];
      case 'eth_chainId':
        return numberToHex(chain.id);
      case 'wallet_switchEthereumChain':
        if (BigInt(params[0].chainId) !== BigInt(chain.id)) throw failure(4902, 'unknown chain');
        return null;
      case 'personal_sign':
        this.#confirm();
        if (params[1].toLowerCase() !== account.address.toLowerCase()) {
          throw failure(4100, 'not my address');
        }
        return account.signMessage({ message: { raw: params[0] } });
      case 'eth_sendTransaction': {
        this.#confirm();
        const { from, to, data, value } = params[0];
        if (from.toLowerCase() !== account.address.toLowerCase()) throw failure(4100, 'not mine');
        if (this.fails) throw failure(this.fails.code, this.fails.message);
        this.sent += 1;
        return this.wallet.sendTransaction({ to, data, value: value && BigInt(value) });
      }
      default:
        return node.request({ method, params });
    }
  }

  #confirm() {
    if (!this.agrees) throw failure(REFUSED, 'User rejected the request.');
  }
}

function failure(code, message) {
  return Object.assign(new Error(message), { code });
}

/** Runs in the page, before its own scripts. */
function announce({ binding, name }) {
  const listeners = {};
  const provider = {
    async request(request) {
      const { result, error } = await window[binding](JSON.parse(JSON.stringify(request)));
      if (error) throw Object.assign(new Error(error.message), { code: error.code });
      return result;
    },
    on: (event, listener) => (listeners[event] ??= new Set()).add(listener) && provider,
    removeListener: (event, listener) => listeners[event]?.delete(listener) && provider,
  };
  const icon = 'data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg" width="96" height="96"/>';
  const info = Object.freeze({
    uuid: crypto.randomUUID(),
    name,
    icon,
    rdns: 'org.example.testwallet',
  });
  const say = () =>
    window.dispatchEvent(
      new CustomEvent('eip6963:announceProvider', { detail: Object.freeze({ info, provider }) }),
    );
  window.addEventListener('eip6963:requestProvider', say);
  say();
}
