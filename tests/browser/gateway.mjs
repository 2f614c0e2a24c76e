// The gateway that is tested, as others than a browser see it: its JSON, its command line, its mail.

import { execFile } from 'node:child_process';
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

export const baseUrl = process.env.SLUICE_BASE_URL;
const mailFolder = process.env.SLUICE_MAIL_DIR;

/** Milliseconds until mail has gone out for certain, also where the mailer had to rest; and between two looks. */
const PATIENCE = 40_000;
const BETWEEN = 50;

/** Asks the JSON interface; the document of an answer that must have this status. */
export async function ask(status, method, path, { bearer, body } = {}) {
  const response = await fetch(baseUrl + path, {
    method,
    headers: {
      ...(bearer && { authorization: `Bearer ${bearer}` }),
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (response.status !== status) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

/** Runs a command of the command line, and returns what it prints. */
export async function command(...words) {
  const { stdout } = await promisify(execFile)(process.env.SLUICE_COMMAND, words);
  return stdout;
}

/** What has been read, by the name of its file. A file is there whole or not at all. */
const known = new Map();

async function read(name) {
  const path = join(mailFolder, name);
  const [source, { mtimeNs }] = await Promise.all([
    readFile(path, 'utf8'),
    stat(path, { bigint: true }),
  ]);
  return { ...parse(source), written: mtimeNs };
}

/** The messages to an address, in the order in which they were sent. */
export async function mailTo(address) {
  const names = (await readdir(mailFolder)).filter((name) => /^[^.].*\.eml$/.test(name));
  const unknown = names.filter((name) => !known.has(name));
  await Promise.all(unknown.map(async (name) => known.set(name, await read(name))));
  const messages = [...known.values()];
  return messages
    .filter((message) => message.to.includes(address))
    .sort((one, other) => (one.written < other.written ? -1 : 1));
}

/** Waits for the newest message to an address that has such a link, and returns the link. */
export async function mailedLink(address, path, { after = 0 } = {}) {
  const until = Date.now() + PATIENCE;
  for (;;) {
    const messages = await mailTo(address);
    const links = messages.slice(after).flatMap((message) => linksOf(message.text));
    const link = links.filter((link) => new URL(link).pathname === path).at(-1);
    if (link) return link;
    if (Date.now() > until) {
      throw new Error(`no link to ${path} among ${messages.length} messages to ${address}`);
    }
    await pause(BETWEEN);
  }
}

/** Waits until so many messages have gone to an address. */
export async function mailCount(address, count) {
  const until = Date.now() + PATIENCE;
  for (;;) {
    const messages = await mailTo(address);
    if (messages.length >= count) return messages;
    if (Date.now() > until) throw new Error(`${messages.length} messages to ${address}`);
    await pause(BETWEEN);
  }
}

function linksOf(text) {
  return text.match(/https?:\/\/[^\s<>"]+/g) ?? [];
}

/** What tests look at in a message: addressee, subject, and its plain text. */
function parse(source) {
  const [head, ...rest] = source.split(/\r?\n\r?\n/);
  const unfolded = head.replace(/\r?\n[ \t]+/g, ' ');
  const field = (name) => unfolded.match(new RegExp(`^${name}: (.*)$`, 'im'))?.[1] ?? '';
  const part = plainPart(unfolded, rest.join('\n\n'));
  return { to: field('To'), subject: field('Subject'), text: part };
}

function plainPart(head, body) {
  const boundary = head.match(/boundary="?([^";\s]+)"?/i)?.[1];
  if (boundary) {
    for (const part of body.split(`--${boundary}`)) {
      const [partHead, ...rest] = part.trimStart().split(/\r?\n\r?\n/);
      if (/text\/plain|multipart/i.test(partHead)) return plainPart(partHead, rest.join('\n\n'));
    }
    return '';
  }
  if (/content-transfer-encoding: quoted-printable/i.test(head)) {
    return body
      .replace(/=\r?\n/g, '')
      .replace(/=([0-9A-F]{2})/g, (_, code) => String.fromCharCode(parseInt(code, 16)));
  }
  if (/content-transfer-encoding: base64/i.test(head)) {
    return Buffer.from(body, 'base64').toString('utf8');
  }
  return body;
}
