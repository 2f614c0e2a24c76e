// Streams: helper and raw events say what the plain answer says, and a stream can fail half-way.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ask, client, content, errorType, refusal } from './harness.mjs';

const SCENARIOS = ['text', 'thinking', 'tool_use', 'cache', 'web_search', 'mixed'];
const FRAMINGS = [
  'newline=crlf',
  'newline=cr;no_space',
  'utf8;chunk=1',
  'comments;unknown;ping=1',
  'chunk=all;events=2000',
  'events=2;bytes=100000',
];

for (const scenario of SCENARIOS) {
  test(`the stream helper ends with the plain answer: ${scenario}`, async () => {
    const plain = await client.messages.create(ask(scenario));
    const streamed = await client.messages.stream(ask(scenario)).finalMessage();
    assert.deepEqual(content(streamed), content(plain));
    assert.equal(streamed.stop_reason, plain.stop_reason);
    assert.equal(streamed.usage.input_tokens, plain.usage.input_tokens);
    assert.equal(streamed.usage.output_tokens, plain.usage.output_tokens);
  });
}

for (const framing of FRAMINGS) {
  test(`text arrives whole whatever the framing: ${framing}`, async () => {
    const plain = await client.messages.create(ask(framing));
    // A stream that is far longer than max_tokens would be ended.
    const stream = client.messages.stream(ask(framing, { max_tokens: 64000 }));
    const pieces = [];
    stream.on('text', (piece) => pieces.push(piece));
    await stream.done();
    assert.ok(pieces.join('') === plain.content[0].text);
  });
}

test('raw events come in order', async () => {
  const seen = [];
  for await (const event of await client.messages.create(ask('events=3', { stream: true }))) {
    seen.push(event.type);
  }
  assert.deepEqual(seen, [
    'message_start',
    'content_block_start',
    ...Array(3).fill('content_block_delta'),
    'content_block_stop',
    'message_delta',
    'message_stop',
  ]);
});

test('an error event raises what it says', async () => {
  const error = await refusal(client.messages.stream(ask('error_at=3')).finalMessage());
  assert.equal(errorType(error), 'overloaded_error');
  assert.ok((await client.messages.create(ask())).content.length);
});

test('an error event raises in a raw stream after what came before', async () => {
  const seen = [];
  const read = async () => {
    for await (const event of await client.messages.create(ask('error_at=6', { stream: true }))) {
      seen.push(event.type);
    }
  };
  assert.equal(errorType(await refusal(read())), 'overloaded_error');
  assert.equal(seen[0], 'message_start');
  assert.equal(seen.at(-1), 'content_block_delta');
});
