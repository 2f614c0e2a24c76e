// Tools: the call, streamed or not, and the result on its way back.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ask, client } from './harness.mjs';

const WEATHER = {
  name: 'get_weather',
  description: 'The weather in a city.',
  input_schema: {
    type: 'object',
    properties: { city: { type: 'string' }, unit: { type: 'string' } },
    required: ['city'],
  },
};
const request = ask(null, { tools: [WEATHER], tool_choice: { type: 'any' } });

test('a tool is called with an input of its schema', async () => {
  const message = await client.messages.create(request);
  const call = message.content.at(-1);
  assert.equal(message.stop_reason, 'tool_use');
  assert.equal(call.name, 'get_weather');
  assert.equal(typeof call.input.city, 'string');
});

test('a streamed call is the same call', async () => {
  const plain = await client.messages.create(request);
  const stream = client.messages.stream(request);
  let pieces = 0;
  stream.on('inputJson', () => (pieces += 1));
  const streamed = await stream.finalMessage();
  assert.ok(pieces > 1);
  assert.deepEqual(streamed.content.at(-1).input, plain.content.at(-1).input);
});

test('the result of a tool is answered', async () => {
  const called = await client.messages.create(request);
  const result = { type: 'tool_result', tool_use_id: called.content.at(-1).id, content: '18 °C' };
  const messages = [
    ...request.messages,
    { role: 'assistant', content: called.content },
    { role: 'user', content: [result] },
  ];
  const answer = await client.messages.create(ask(null, { tools: [WEATHER], messages }));
  assert.equal(answer.stop_reason, 'end_turn');
  assert.equal(answer.content[0].type, 'text');
});
