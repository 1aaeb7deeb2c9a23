// The house in the hub's page: devices by room, a lamp that is spoken to and one that is touched, a new device coming in, a hub
// that is killed meanwhile. The devices are those of the simulated stick.

const JOIN_MS = 60_000; // an interview of a device that sleeps

/** `world` is what page.mjs has; its hub runs with the simulated stick. */
export async function house({ check, same, holds, newPage, idle, lastAnswer, connected, noSidewaysScroll, shot, restartHub, pageHost }) {
  // An answer has words before and after its calls: the last ones tell what came of them.
  const ask = async (page, text) => {
    const before = await page.locator('.answer').count();
    await page.locator('#message').fill(text);
    await page.locator('#message').press('Enter');
    await page.locator('.answer').nth(before).waitFor({ state: 'attached' });
    await idle(page);
    return lastAnswer(page).locator('.text').last().textContent();
  };
  let page = await newPage();
  const rows = () => page.locator('#rooms li');
  const row = (name) => page.locator(`#rooms li[data-name="${name}"]`);
  const isOn = (name) => row(name).locator('.switch').first().getAttribute('aria-checked');
  const turns = (name, on) => row(name).locator(`.switch[aria-checked="${on}"]`).first().waitFor();
  let lamp = '';

  await check('the devices of the house come in by the button, each with the steps of its interview', async () => {
    await page.locator('#home').click();
    if (!(await page.locator('#house').isVisible())) await page.locator('#home').click();
    // The hub lets its simulated devices in by itself at first; then the button says Stop already.
    const pair = page.locator('#pair');
    for (let i = 0; i < 40 && !(await page.locator('#pairing .count').isVisible()); i += 1) {
      if ((await pair.textContent()) === 'Add a device') await pair.click();
      await new Promise((done) => setTimeout(done, 250));
    }
    holds((await page.locator('#pairing .count').textContent()).includes('Devices may join for'), 'no countdown');
    // Whoever was quicker than the button stands in the list already.
    await page.locator('#pairing li[data-state=done], #rooms li').first().waitFor({ timeout: JOIN_MS });
    await rows().locator('.switch').first().waitFor({ timeout: JOIN_MS });
    await page.locator('#rooms input[type=range]').first().waitFor({ timeout: JOIN_MS });
    await shot(page, 'house-pairing');
    for (let i = 0; i < 40 && (await pair.textContent()) !== 'Add a device'; i += 1) {
      if (await pair.isEnabled()) await pair.click();
      await new Promise((done) => setTimeout(done, 250));
    }
    same(await pair.textContent(), 'Add a device', 'the button');
    lamp = await page.locator('#rooms li:has(input[aria-label$="brightness"])').first().getAttribute('data-name');
    same(page.problems.join('\n'), '', 'console');
  });

  await check('a typed sentence switches a lamp, and the list shows it', async () => {
    for (const [word, state] of [['on', 'true'], ['off', 'false'], ['on', 'true']]) {
      const said = await ask(page, `turn ${word} the ${lamp}`);
      holds(said.includes(`is ${word}`), `it says: ${said}`);
      await turns(lamp, state);
    }
    const said = await ask(page, `turn on the swimming pool`);
    holds(said.includes('nothing was done') || said.includes('Nothing was done'), `it says: ${said}`);
    await shot(page, 'house-spoken');
  });

  await check('a touched switch moves once the lamp has confirmed it', async () => {
    const before = await isOn(lamp);
    await row(lamp).locator('.switch').first().click();
    await turns(lamp, before === 'true' ? 'false' : 'true');
    await row(lamp).locator('.switch').first().click();
    await turns(lamp, before);
    same(await row(lamp).locator('.problem').isVisible(), false, 'a problem');
  });

  await check('a slider sets the brightness, and a second page hears of it', async () => {
    const other = await newPage();
    const value = (of) => of.locator(`#rooms li[data-name="${lamp}"] input[aria-label$="brightness"]`).inputValue();
    await row(lamp).locator('input[aria-label$="brightness"]').fill('100');
    for (let i = 0; i < 60 && (await value(other)) !== '100'; i += 1) await new Promise((done) => setTimeout(done, 50));
    same(await value(other), '100', 'brightness in the other page');
    same(await value(page), '100', 'brightness here');
    await other.context().close();
  });

  await check('a room gets another name: the list says it and is never away meanwhile', async () => {
    const tool = async (name, data) => {
      const answer = await page.request.post(`http://${pageHost()}/api/v1/tools/${name}`, { data });
      holds(answer.ok(), `${name}: ${answer.status()} ${await answer.text()}`);
    };
    const rooms = () => page.locator('#rooms section').evaluateAll((all) => all.map((one) => one.dataset.room));
    const shows = async (room) => {
      for (let i = 0; i < 100 && !(await rooms()).includes(room); i += 1) await new Promise((done) => setTimeout(done, 50));
      holds((await rooms()).includes(room), `${room} is not in ${await rooms()}`);
    };
    await tool('rooms.set', { room: 'Loft' });
    await tool('devices.rename', { device: lamp, room: 'Loft' });
    await shows('Loft');
    await page.evaluate(() => {
      window.fewest = Infinity;
      const count = () => (window.fewest = Math.min(window.fewest, document.querySelectorAll('#rooms li').length));
      new MutationObserver(count).observe(document.getElementById('rooms'), { childList: true, subtree: true });
    });
    await tool('rooms.set', { room: 'Loft', name: 'Attic' });
    await shows('Attic');
    same(await row(lamp).evaluate((one) => one.closest('section').dataset.room), 'Attic', 'the room of the lamp');
    holds(!(await rooms()).includes('Loft'), 'both names stand there');
    const [fewest, now] = [await page.evaluate(() => window.fewest), await rows().count()];
    holds(fewest >= now - 1, `${fewest} of ${now} devices were left in between`);
  });

  await check('after a kill of the hub the list comes back with the same devices', async () => {
    const names = async () => (await rows().evaluateAll((all) => all.map((one) => one.dataset.name))).sort().join();
    // Who is still being asked what it is gets its name a moment later.
    const isAsked = (all) => all.includes('New device');
    for (let i = 0; i * 50 < JOIN_MS && isAsked(await names()); i += 1) await new Promise((done) => setTimeout(done, 50));
    const before = await names();
    holds(!isAsked(before), `not all of it has been asked what it is: ${before}`);
    holds(before.includes(lamp), `the list is ${before}`);
    await restartHub();
    await connected(page);
    await row(lamp).waitFor();
    for (let i = 0; i < 100 && (await names()) !== before; i += 1) await new Promise((done) => setTimeout(done, 50));
    same(await names(), before, 'devices');
    // The simulated stick remembers nothing: its devices join anew, and until then the hub claims nothing of them.
    let said = '';
    for (let i = 0; i < 20 && !said.includes('is off'); i += 1) {
      await new Promise((done) => setTimeout(done, 300));
      said = await ask(page, `turn off the ${lamp}`);
      holds(said.includes('is off') || said.toLowerCase().includes('nothing was done') || said.includes('did not do it'), `it says: ${said}`);
    }
    holds(said.includes('is off'), `it says: ${said}`);
    await turns(lamp, 'false');
  });
  await page.context().close();

  for (const [name, options] of Object.entries({
    '320': { viewport: { width: 320, height: 640 }, deviceScaleFactor: 2, hasTouch: true },
    dark: { colorScheme: 'dark' },
  })) {
    await check(`${name}: the house fits, and can be left`, async () => {
      page = await newPage(options);
      if (name === '320') await page.locator('#home').click();
      await rows().first().waitFor();
      await noSidewaysScroll(page, 'with the house');
      const [wide, inner] = await page.locator('#house').evaluate((panel) => [panel.scrollWidth, panel.clientWidth]);
      holds(wide <= inner, `the panel is ${wide} wide in ${inner}`);
      await shot(page, `house-${name}`);
      if (name === '320') await page.locator('#house-close').click();
      else await page.locator('#home').click();
      await page.locator('#house').waitFor({ state: 'hidden' });
      await page.context().close();
    });
  }
}
