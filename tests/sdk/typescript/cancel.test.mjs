// A client may leave in the middle of an answer; the next request must not notice.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Anthropic, ask, client } from './harness.mjs';

const SLOW = 'events=2000;pace_ms=20'; // 40 s

async function assertWorks() {
  assert.equal((await client.messages.create(ask())).stop_reason, 'end_turn');
}

test('leaving the loop over a raw stream', async () => {
  const seen = [];
  for await (const event of await client.messages.create(ask(SLOW, { stream: true }))) {
    seen.push(event.type);
    if (seen.length === 5) break;
  }
  assert.equal(seen[0], 'message_start');
  await assertWorks();
});

test('aborting the stream helper', async () => {
  const stream = client.messages.stream(ask(SLOW));
  stream.once('text', () => stream.abort());
  await assert.rejects(stream.done(), Anthropic.APIUserAbortError);
  await assertWorks();
});

test('aborting by a signal in the middle of a stream', async () => {
  const controller = new AbortController();
  const { signal } = controller;
  const stream = await client.messages.create(ask(SLOW, { stream: true }), { signal });
  let events = 0;
  for await (const _ of stream) {
    events += 1;
    if (events === 5) controller.abort();
  }
  assert.ok(events < 100);
  await assertWorks();
});

test('aborting by a signal before the answer', async () => {
  const signal = AbortSignal.timeout(200);
  const waiting = client.messages.create(ask('delay_ms=5000'), { signal });
  await assert.rejects(waiting, Anthropic.APIUserAbortError);
  await assertWorks();
});

test('a timeout before the answer', async () => {
  const waiting = client.messages.create(ask('delay_ms=5000'), { timeout: 300 });
  await assert.rejects(waiting, Anthropic.APIConnectionTimeoutError);
  await assertWorks();
});
