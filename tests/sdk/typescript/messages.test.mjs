// A plain answer: its shape, its usage, its request id; and the list of models.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MODEL, SMALL_MODEL, ask, client } from './harness.mjs';

test('create returns a message with usage and a request id', async () => {
  const message = await client.messages.create(ask());
  assert.equal(message.type, 'message');
  assert.equal(message.role, 'assistant');
  assert.ok(message.model.startsWith(MODEL));
  assert.equal(message.content[0].type, 'text');
  assert.equal(message.stop_reason, 'end_turn');
  assert.ok(message.usage.input_tokens > 0);
  assert.ok(message.usage.output_tokens > 0);
  assert.match(message._request_id, /^req_/);
});

test('cache usage reaches the client', async () => {
  const script = 'cache;cache_5m=11;cache_1h=22;cache_read=33';
  const { usage } = await client.messages.create(ask(script));
  assert.equal(usage.cache_creation_input_tokens, 33);
  assert.equal(usage.cache_creation.ephemeral_5m_input_tokens, 11);
  assert.equal(usage.cache_creation.ephemeral_1h_input_tokens, 22);
  assert.equal(usage.cache_read_input_tokens, 33);
});

test('thinking comes signed before the text', async () => {
  const thinking = { type: 'enabled', budget_tokens: 1024 };
  const message = await client.messages.create(ask(null, { thinking, max_tokens: 2048 }));
  assert.deepEqual(message.content.map((block) => block.type), ['thinking', 'text']);
  assert.ok(message.content[0].thinking);
  assert.ok(message.content[0].signature);
});

test('web searches are counted', async () => {
  const message = await client.messages.create(ask('web_search;searches=2'));
  assert.equal(message.usage.server_tool_use.web_search_requests, 2);
  assert.equal(message.content.at(-1).citations.length, 1);
});

test('countTokens counts without an answer', async () => {
  const count = async (text) => {
    const messages = [{ role: 'user', content: text }];
    return (await client.messages.countTokens({ model: MODEL, messages })).input_tokens;
  };
  const short = await count('Who are you?');
  assert.ok(short > 0);
  assert.ok(short < (await count('Who are you? '.repeat(100))));
});

test('the list pages through every model once', async () => {
  const list = async (limit) => {
    const ids = [];
    for await (const model of client.models.list({ limit })) ids.push(model.id);
    return ids;
  };
  const onePage = await list(1000);
  assert.ok(onePage.includes(MODEL) && onePage.includes(SMALL_MODEL));
  assert.equal(new Set(onePage).size, onePage.length);
  assert.deepEqual(await list(2), onePage);
});

test('a model of the list can be retrieved', async () => {
  const model = await client.models.retrieve(MODEL);
  assert.equal(model.id, MODEL);
  assert.equal(model.type, 'model');
  assert.ok(model.display_name);
  assert.ok(Date.parse(model.created_at));
});
