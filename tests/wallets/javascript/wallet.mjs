// A person's wallet, by command: what somebody would do in the window of theirs.
//
//   wallet.mjs address                   its address
//   wallet.mjs sign                      the signature of the message on standard input
//   wallet.mjs pay TOKEN PAYEE AMOUNT    sends coins of a token; the hash, once that is mined

import { readFileSync } from 'node:fs';

import { parseUnits } from 'viem';

import { contracts, mined, purse, walletOf } from './chain.mjs';

const wallet = walletOf(purse);
const commands = {
  address: () => purse.address,
  sign: () => wallet.signMessage({ message: readFileSync(0, 'utf8') }),
  async pay(address, payee, amount) {
    const token = { address, abi: contracts.Token.abi };
    const decimals = await wallet.readContract({ ...token, functionName: 'decimals' });
    const args = [payee, parseUnits(amount, decimals)];
    const hash = await wallet.writeContract({ ...token, functionName: 'transfer', args });
    await mined(hash);
    return hash;
  },
};

const [command, ...words] = process.argv.slice(2);
console.log(await commands[command](...words));
