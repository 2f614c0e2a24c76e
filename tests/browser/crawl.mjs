// Finds every page: by the links from where people begin, and by the table of routes in the source, so that a new
// page is looked at as soon as it is there.

import { readFile } from 'node:fs/promises';
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
    links.filter((link) => !link.hasAttribute('download')).map((link) => new URL(link.getAttribute('href'), document.baseURI).href),
  );
  return hrefs
    .map((href) => new URL(href))
    .filter(({ origin }) => origin === home)
    .map(({ pathname, search }) => pathname + search);
}

/** The patterns of all pages that the source's table of routes has. */
export async function routesInSource() {
  const table = await readFile(join(process.env.SLUICE_SOURCE, 'src/site/routes.rs'), 'utf8');
  const found = [...table.matchAll(/\b(?:page|form)\(\s*"([^"]+)"/g)];
  return new Set(found.map(([, path]) => path.replaceAll(/\{[^}]+\}/g, '{id}')));
}
