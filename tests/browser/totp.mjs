// An authenticator, by RFC 6238 and RFC 4226 and not by our own code.

import { createHmac } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';

const STEP_SECS = 30;
/** A code is still accepted for so long when it is given. */
const MARGIN_SECS = 10;

/** The code of a base32 secret at a time in milliseconds. */
export function totp(secret, millis = Date.now()) {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(millis / 1000 / STEP_SECS)));
  const digest = createHmac('sha1', fromBase32(secret)).update(counter).digest();
  const offset = digest[digest.length - 1] & 15;
  const number = digest.readUInt32BE(offset) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, '0');
}

/** RFC 4648 §6, without padding. */
function fromBase32(text) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...text.replaceAll(/[\s=]/g, '').toUpperCase()]
    .map((letter) => alphabet.indexOf(letter).toString(2).padStart(5, '0'))
    .join('');
  return Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
}

/**
 * A code that has not been used: each counts once, and the next one is accepted a step early, so
 * that nobody has to wait. `usedSteps` are the steps that this secret's codes were used for.
 */
export class Authenticator {
  #secret;
  #lastStep = 0;

  constructor(secret) {
    this.#secret = secret;
  }

  /** The code of the first step that no code was given for. */
  async next() {
    const now = () => Math.floor(Date.now() / 1000 / STEP_SECS);
    // That of the step before is accepted until this one ends.
    const oldest = Math.floor((Date.now() / 1000 + MARGIN_SECS) / STEP_SECS) - 1;
    const step = Math.max(oldest, this.#lastStep + 1);
    // One step into the future is accepted, for clocks that are fast.
    while (step > now() + 1) await pause(200);
    this.#lastStep = step;
    return totp(this.#secret, step * STEP_SECS * 1000);
  }

  /** A code that cannot be right at any step nearby. */
  wrong() {
    const near = [-2, -1, 0, 1, 2].map((steps) =>
      totp(this.#secret, Date.now() + steps * STEP_SECS * 1000),
    );
    return ['000000', '111111', '222222', '333333', '444444', '555555'].find(
      (code) => !near.includes(code),
    );
  }
}
