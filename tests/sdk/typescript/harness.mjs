// What every test needs: a client as a customer would make it, and the request they all vary.
// SLUICE_SDK names the package: `sdk-1` is the current release, `sdk-0` the one before 2026-10-21.

import assert from 'node:assert/strict';

const sdk = await import(process.env.SLUICE_SDK);

export const Anthropic = sdk.default;
export const MODEL = 'claude-sonnet-4-6';
export const SMALL_MODEL = 'claude-haiku-4-5';
export const baseURL = process.env.SLUICE_BASE_URL.replace(/\/$/, '');
export const apiKey = process.env.SLUICE_API_KEY;

/** Options of tests that need accounts, prices or limits, which the sandbox does not have. */
export const gatewayOnly = {
  skip: process.env.SLUICE_TEST_TARGET === 'sandbox' && 'the sandbox has no accounts or limits',
};

// The SDK warns of older models on each call; the tests use two whose price is settled.
console.warn = () => {};

/** A client that never retries, unless told otherwise. */
export function connect(options = {}) {
  return new Anthropic({ baseURL, apiKey, maxRetries: 0, ...options });
}

/** One client for a whole file, so that a connection spoiled by one test fails the next. */
export const client = connect();

/** Parameters of a small request; `script` tells the sandbox how to answer it. */
export function ask(script, changes = {}) {
  return {
    model: MODEL,
    max_tokens: 1024,
    messages: [{ role: 'user', content: 'Who are you?' }],
    ...(script && { metadata: { user_id: `sandbox:${script}` } }),
    ...changes,
  };
}

/** The error that a promise is rejected with; it must be an `APIError` in Anthropic's shape. */
export async function refusal(promise) {
  const error = await promise.then(
    () => assert.fail('the request was not refused'),
    (error) => error,
  );
  assert.ok(error instanceof Anthropic.APIError, String(error));
  assert.equal(error.error.type, 'error');
  assert.ok(error.error.error.message);
  return error;
}

/** `error.type` on the wire. */
export const errorType = (error) => error.error.error.type;

/** What the wire says of a message's blocks, without what a helper adds. */
export function content(message) {
  const known = ['type', 'text', 'thinking', 'signature', 'id', 'name', 'input', 'tool_use_id'];
  return message.content.map((block) =>
    Object.fromEntries(known.filter((key) => key in block).map((key) => [key, block[key]])),
  );
}
