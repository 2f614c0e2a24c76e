// How the browser is started, and the ways in which the journeys are walked.

import { defineConfig, devices } from '@playwright/test';

const chromium = process.env.SLUICE_CHROMIUM ?? '/usr/bin/chromium';

/** The browser reaches the loopback and nothing else: it resolves no name, and asks no proxy. */
const args = [
  '--no-proxy-server',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
  // Debian's Chromium runs as root in a container only without it; the pages are our own.
  ...(process.getuid() === 0 ? ['--no-sandbox'] : []),
];

/**
 * PostgreSQL is the second database of a run. There the journeys that write or add up much are walked again, `@both`;
 * pages without script ask the same of the server.
 */
const isSecond = process.env.SLUICE_DATABASE === 'postgres';

const withScript = { name: 'with script' };
const withoutScript = {
  name: 'without script',
  // A wallet is a script, and so is what copies.
  grepInvert: /@script/,
  use: { javaScriptEnabled: false },
};

export default defineConfig({
  grep: isSecond ? /@both/ : undefined,
  testDir: '.',
  testMatch: '*.test.mjs',
  outputDir: 'results',
  fullyParallel: true,
  workers: 2,
  // A test that passes at the second attempt has failed.
  retries: 0,
  timeout: 60_000,
  globalTimeout: 900_000,
  expect: { timeout: 15_000 },
  reporter: [[process.stdout.isTTY ? 'list' : 'dot']],
  use: {
    ...devices['Desktop Chrome'],
    baseURL: process.env.SLUICE_BASE_URL,
    launchOptions: { executablePath: chromium, args },
    actionTimeout: 15_000,
    navigationTimeout: 15_000,
    locale: 'en-GB',
    // Half an hour off the hour, so that a time in the wrong zone is seen.
    timezoneId: 'Asia/Kolkata',
    // A picture is taken when a change of colours is over, and so is a look at contrasts.
    contextOptions: { reducedMotion: 'reduce' },
    trace: 'off',
    screenshot: 'only-on-failure',
  },
  projects: isSecond ? [withScript] : [withScript, withoutScript],
});
