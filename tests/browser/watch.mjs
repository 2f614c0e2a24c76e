// What no page may do, watched in every test: ask another host, break its own policy, or fail in its script.

import { expect } from '@playwright/test';

import { baseUrl } from './gateway.mjs';

const home = new URL(baseUrl).origin;

/** Watches all pages of a browser's context from now on. */
export class Watch {
  foreign = [];
  policy = [];
  failures = [];
  requests = 0;

  constructor(context) {
    context.on('request', (request) => this.#request(request));
    context.on('console', (message) => this.#console(message));
    context.on('weberror', (error) => this.failures.push(String(error.error())));
    context.on('response', (response) => {
      if (response.status() >= 500) this.failures.push(`${response.status()} ${response.url()}`);
    });
  }

  #request(request) {
    this.requests += 1;
    const url = new URL(request.url());
    // What is written into the page itself is asked of nobody.
    if (url.protocol !== 'data:' && url.origin !== home) this.foreign.push(request.url());
  }

  #console(message) {
    const text = message.text();
    if (/Content Security Policy|Content-Security-Policy/i.test(text)) this.policy.push(text);
    // A refused form answers 4xx, which the console calls an error; that is no failure of a script.
    else if (message.type() === 'error' && !/Failed to load resource/.test(text)) {
      this.failures.push(text);
    }
  }

  /** Fails with everything that was seen. */
  check() {
    expect(this.foreign, 'requests to other hosts').toEqual([]);
    expect(this.policy, 'violations of the content security policy').toEqual([]);
    expect(this.failures, 'errors of scripts and servers').toEqual([]);
  }
}
