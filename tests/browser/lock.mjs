// The chain is shared by all tests at a time, and a block that one of them mines counts for all. So whoever
// mines and looks at what becomes of it does so alone.

import { mkdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { test } from '@playwright/test';

/** A folder of this very run: it goes with the run, so that a lock cannot be left over. */
const folder = join(process.env.SLUICE_MAIL_DIR, '.chain');
const BETWEEN = 50;

/** Runs `work` while nobody else does. What the wait takes, the test gets on top of its time. */
export async function withChain(work) {
  while (!(await taken())) {
    await pause(BETWEEN);
    extend(BETWEEN);
  }
  try {
    return await work();
  } finally {
    await rmdir(folder);
  }
}

async function taken() {
  try {
    await mkdir(folder);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function extend(millis) {
  const info = test.info();
  // 0 is no limit at all.
  if (info.timeout > 0) info.setTimeout(info.timeout + millis);
}
