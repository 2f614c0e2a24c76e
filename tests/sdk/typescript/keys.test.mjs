// Where the key may stand: `x-api-key`, `Authorization: Bearer`, or both.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Anthropic, apiKey, ask, connect, gatewayOnly } from './harness.mjs';

const OTHER = { 'x-api-key': 'sk-ant-api03-of-another-service' };

async function assertAnswers(options) {
  assert.ok((await connect(options).messages.create(ask())).content.length);
}

test('the SDK’s own header', () => assertAnswers({}));

test('a bearer token', () => assertAnswers({ apiKey: null, authToken: apiKey }));

test('x-api-key beside whatever the SDK sends', () =>
  assertAnswers({ defaultHeaders: { 'x-api-key': apiKey } }));

// A client configured for two services sends both credentials.
test('the key counts that is one of ours', () =>
  assertAnswers({ apiKey: null, authToken: apiKey, defaultHeaders: OTHER }));

test('no known key among two is refused', gatewayOnly, async () => {
  const options = { apiKey: null, authToken: 'nobody', defaultHeaders: OTHER };
  const refused = connect(options).messages.create(ask());
  await assert.rejects(refused, Anthropic.AuthenticationError);
});

test('a coding CLI’s headers and query string', async () => {
  const headers = {
    authorization: `Bearer ${apiKey}`,
    'x-api-key': 'something-else',
    'anthropic-beta': 'claude-code-20250219,interleaved-thinking-2025-05-14,effort-2025-11-24',
  };
  const options = { headers, query: { beta: 'true' } };
  const request = ask(null, { max_tokens: 128000, stream: true });
  let last;
  for await (const event of await connect().messages.create(request, options)) last = event;
  assert.equal(last.type, 'message_stop');
});
