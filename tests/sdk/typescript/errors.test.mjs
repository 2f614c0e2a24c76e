// Each refusal is the SDK's own error for it, and says what Anthropic's would.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Anthropic, ask, client, connect, errorType, gatewayOnly, refusal } from './harness.mjs';

// 33 MiB: above the limit of 32 MiB, where 33 MB (10^6) would still be below it.
const TOO_LARGE = 33 << 20;

function assertRefused(error, status, type) {
  assert.equal(error.status, status);
  assert.equal(errorType(error), type);
  assert.match(error.requestID, /^req_/);
  assert.equal(error.error.request_id, error.requestID);
}

test('401 for a key that does not exist', gatewayOnly, async () => {
  const error = await refusal(connect({ apiKey: 'sk-nobody' }).messages.create(ask()));
  assertRefused(error, 401, 'authentication_error');
  assert.ok(error instanceof Anthropic.AuthenticationError);
});

for (const stream of [false, true]) {
  test(`402 without credit and no retry, stream: ${stream}`, gatewayOnly, async () => {
    let attempts = 0;
    const counted = (...request) => {
      attempts += 1;
      return fetch(...request);
    };
    const apiKey = process.env.SLUICE_API_KEY_BROKE;
    const broke = connect({ apiKey, maxRetries: 2, fetch: counted });
    const error = await refusal(broke.messages.create(ask(null, { stream })));
    assertRefused(error, 402, 'billing_error');
    assert.equal(attempts, 1);
  });
}

test('404 for a model without a price', gatewayOnly, async () => {
  const request = ask(null, { model: 'claude-of-tomorrow' });
  const error = await refusal(client.messages.create(request));
  assertRefused(error, 404, 'not_found_error');
  assert.ok(error instanceof Anthropic.NotFoundError);
});

test('413 for a body above the limit', gatewayOnly, async () => {
  const messages = [{ role: 'user', content: 'x'.repeat(TOO_LARGE) }];
  const error = await refusal(client.messages.create(ask(null, { messages })));
  assertRefused(error, 413, 'request_too_large');
  assert.ok((await client.messages.create(ask())).content.length);
});

test('400 for a missing field', async () => {
  const { max_tokens, ...request } = ask();
  const error = await refusal(client.messages.create(request));
  assertRefused(error, 400, 'invalid_request_error');
  assert.match(error.error.error.message, /max_tokens/);
});

const UPSTREAM = [
  [400, 'invalid_request_error', 'BadRequestError'],
  [403, 'permission_error', 'PermissionDeniedError'],
  [429, 'rate_limit_error', 'RateLimitError'],
  [500, 'api_error', 'InternalServerError'],
  [529, 'overloaded_error', 'InternalServerError'],
];

for (const [status, type, name] of UPSTREAM) {
  for (const stream of [false, true]) {
    test(`what upstream refuses with ${status} is refused so, stream: ${stream}`, async () => {
      const error = await refusal(client.messages.create(ask(`status=${status}`, { stream })));
      assertRefused(error, status, type);
      assert.ok(error instanceof Anthropic[name]);
    });
  }
}

test('an overload has its own class where the SDK has one', async () => {
  const error = await refusal(client.messages.create(ask('status=529')));
  const expected = Anthropic.OverloadedError ?? Anthropic.InternalServerError;
  assert.ok(error instanceof expected);
});

test('retry-after reaches the client', async () => {
  const error = await refusal(client.messages.create(ask('status=429;retry_after=7')));
  assert.equal(error.headers.get('retry-after'), '7');
});

test('a model that does not exist is not found', async () => {
  const error = await refusal(client.models.retrieve('claude-of-tomorrow'));
  assertRefused(error, 404, 'not_found_error');
});
