// Reads a QR code as a phone does: from what is on the screen.

import jsQR from 'jsqr';
import { PNG } from 'pngjs';

/** The text of the code that an element shows. */
export async function readQr(element) {
  const { data, width, height } = PNG.sync.read(await element.screenshot());
  const code = jsQR(new Uint8ClampedArray(data), width, height);
  if (!code) throw new Error('there is no QR code that can be read');
  return code.data;
}
