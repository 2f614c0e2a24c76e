// Finds every page: by the links from where people begin, and by the table of routes in the source, so that a new
// page is looked at as soon as it is there.

import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { baseUrl } from './gateway.mjs';

const home = new URL(baseUrl).origin;

/** What a path is an example of: its ids are left open. */
export function patternOf(path) {
  return path
    .split('/')
    .map((part) => (/^(\w+_)?[0-9a-z]{16,}$|^0x|^\d+$/i.test(part) ? '{id}' : part))
    .join('/');
}

/** The pages that a page links to, as paths, one for each pattern and set of parameters. */
export async function linksOf(page) {
  const hrefs = await page.locator('a[href]').evaluateAll((links) =>
    links.filter((link) => !link.hasAttribute('download')).map((link) => link.href),
  );
  return hrefs
    .map((href) => new URL(href))
    .filter(({ origin }) => origin === home)
    .map(({ pathname, search }) => pathname + search);
}

/** The patterns of all pages that the source has a route for. */
export async function routesInSource() {
  const folder = join(process.env.SLUICE_SOURCE, 'src');
  const files = [join(folder, 'site.rs')];
  for (const name of await readdir(join(folder, 'site'), { recursive: true })) {
    if (name.endsWith('.rs') && !name.includes('tests')) files.push(join(folder, 'site', name));
  }
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
  const found = texts.flatMap((text) => [...text.matchAll(/\.route\(\s*"([^"]+)",\s*(?:web::)?get\(/g)]);
  return new Set(found.map(([, path]) => path.replaceAll(/\{[^}]+\}/g, '{id}')));
}
