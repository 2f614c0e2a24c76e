// Anthropic's own SDK, as a customer has it.

import Anthropic, { APIError } from '@anthropic-ai/sdk';

import { baseUrl } from './gateway.mjs';

export const MODEL = 'claude-haiku-5-5';

/** Asks for a short answer. The gateway has written the usage row before the answer's end. */
export function say(key, { model = MODEL, maxTokens = 64 } = {}) {
  const client = new Anthropic({ baseURL: baseUrl, apiKey: key, authToken: null, maxRetries: 0 });
  return client.messages
    .create({
      model,
      max_tokens: maxTokens,
      messages: [{ role: 'user', content: 'What does a sluice do?' }],
    })
    .withResponse();
}

/** The status with which the gateway refuses such a call, and the kind of error. */
export async function refusal(key, options) {
  try {
    await say(key, options);
  } catch (error) {
    if (error instanceof APIError) return [error.status, error.error?.error?.type];
    throw error;
  }
  return 'answered';
}
