// The watch that every other test has: that it sees what it is there for.

import { baseUrl } from './gateway.mjs';
import { expect, test } from './person.mjs';
import { Watch } from './watch.mjs';

test('a request to another host, an inline script, and an error are noticed @script', async ({ browser }) => {
  const context = await browser.newContext();
  const watch = new Watch(context);
  const page = await context.newPage();
  const body = `<img src="http://example.org/pixel.png"><p onclick="nothing()" style="color: red">Hello
    <script>window.isInline = true</script><script src="/broken.js"></script>`;
  const headers = { 'content-security-policy': "default-src 'self'; img-src http: 'self'" };
  await page.route(`${baseUrl}/watched`, (route) =>
    route.fulfill({ body, headers, contentType: 'text/html' }),
  );
  await page.route(`${baseUrl}/broken.js`, (route) =>
    route.fulfill({ body: 'throw new Error("broken")', contentType: 'text/javascript' }),
  );
  await page.goto(`${baseUrl}/watched`);
  await expect.poll(() => watch.failures).toEqual([expect.stringContaining('broken')]);
  await expect.poll(() => watch.foreign).toEqual(['http://example.org/pixel.png']);
  // An attribute of style, and a script.
  await expect.poll(() => watch.policy.length).toBeGreaterThanOrEqual(2);
  expect(() => watch.check()).toThrow();
  await context.close();
});
