// What an owner does in the page of a new hub, with a picture of each step: the claim by the address of the QR code, a device that comes
// in, a sentence that switches it. Run by `pictures.py`, with the hub's address and code.

import path from 'node:path';
import { pathToFileURL } from 'node:url';

const { HUB_URL, CODE, SHOTS, CHROMIUM, PLAYWRIGHT_AT } = process.env;
const STEP_MS = 60_000;
const JOIN_MS = 300_000; // an interview, by an emulated processor
const FLAGS = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update'];

const { chromium } = (await import(pathToFileURL(PLAYWRIGHT_AT))).default;
const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 720 } });
  page.setDefaultTimeout(STEP_MS);
  const shot = (name) => page.screenshot({ path: path.join(SHOTS, `${name}.png`) });

  await page.goto(`${HUB_URL}/claim#${CODE}`);
  await page.locator('#door[open]').waitFor();
  const code = page.locator('#door input[name=code]');
  if ((await code.inputValue()).replace('-', '') !== CODE.replace('-', '')) throw new Error(`the address has not filled in its code: ${await code.inputValue()}`);
  await page.locator('#door input[name=name]').fill('Mina');
  await page.locator('#door input[name=password]').fill('correct horse battery');
  await shot('claim');
  await page.locator('#door .enter').click();
  await page.locator('#door').waitFor({ state: 'hidden' });

  if (!(await page.locator('#house').isVisible())) await page.locator('#home').click();
  await page.locator('#pair:enabled').waitFor({ timeout: JOIN_MS });
  await page.locator('#pair').click();
  await page.locator('#pairing li').first().waitFor({ timeout: JOIN_MS });
  await shot('add-device');
  const lamp = page.locator('#rooms li:has(input[aria-label$="brightness"])').first();
  await lamp.waitFor({ timeout: JOIN_MS });
  for (let i = 0; i < 3; i += 1) await page.locator('#pairing li[data-state=done]').nth(i).waitFor({ timeout: JOIN_MS });
  await page.locator('#pair').click();

  const name = await lamp.getAttribute('data-name');
  await page.locator('#message').fill(`turn on the ${name}`);
  await page.locator('#message').press('Enter');
  await page.locator(`#rooms li[data-name="${name}"] .switch[aria-checked="true"]`).first().waitFor();
  await shot('say');
} catch (error) {
  await browser.contexts()[0]?.pages()[0]?.screenshot({ path: path.join(SHOTS, 'failed.png') });
  throw error;
} finally {
  await browser.close();
}
