// Photographs pages: node take.js < [{"url": …, "file": …}, …] with headless Chromium.
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const WITHIN_MS = 120_000;

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
try {
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  page.on('pageerror', (error) => console.error(`page: ${error}`));
  for (const { url, file } of JSON.parse(readFileSync(0))) {
    await page.goto(url);
    const drawn = await (await page.waitForFunction('window.drawn', null, { timeout: WITHIN_MS })).jsonValue();
    if (typeof drawn !== 'number') {
      throw new Error(drawn);
    }
    await page.setViewportSize({ width: 1400, height: drawn });
    await page.screenshot({ path: file });
  }
} finally {
  await browser.close();
}
