// Who sits before the hub's page: the first claim, a reload, a token that is revoked, and signing in again.

/** `world` is what page.mjs has; the hub that it starts asks for tokens and belongs to nobody. */
export async function door({ check, same, holds, newContext, pageHost, connected, ask, shot, hubLog, noSidewaysScroll }) {
  const code = () => /"code":"([A-Z2-9]{4}-[A-Z2-9]{4})"/.exec(hubLog())?.[1] ?? '';
  const owner = { name: 'ann', password: 'correct horse' };
  const context = await newContext({ viewport: { width: 320, height: 640 } });
  const page = await context.newPage();
  const field = (name) => page.locator(`#door input[name=${name}]`);
  const enter = () => page.locator('#door .enter').click();
  const title = () => page.locator('#door h2').textContent();

  await check('a hub that nobody owns asks for the code of its log, and makes an owner', async () => {
    await page.goto(`http://${pageHost()}/`);
    await page.locator('#door[open]').waitFor();
    same(await title(), 'This hub is new', 'the title');
    await noSidewaysScroll(page, 'with the door');
    await shot(page, 'door-claim');
    await page.keyboard.press('Escape');
    holds(await page.locator('#door[open]').isVisible(), 'Escape leads nowhere');
    await field('code').fill('2222-2222');
    await field('name').fill(owner.name);
    await field('password').fill(owner.password);
    await enter();
    await page.getByText('this is not the code').waitFor();
    await field('code').fill(code().toLowerCase());
    await enter();
    await connected(page);
    holds(!(await page.locator('#door').isVisible()), 'the door is open');
    holds((await ask(page, 'hello')).length > 0, 'an answer comes');
  });

  await check('a page that comes again is known, and one whose token was revoked is not', async () => {
    await page.reload();
    await connected(page);
    holds(!(await page.locator('#door').isVisible()), 'nobody asks again');
    await page.evaluate(() => localStorage.setItem('hearth.token', `hth_${'A'.repeat(43)}`));
    await page.reload();
    await page.locator('#door[open]').waitFor();
    same(await title(), 'Sign in', 'the title');
    await shot(page, 'door-login');
  });

  await check('a password opens, a wrong one does not, and a token does as well', async () => {
    await field('name').fill(owner.name);
    await field('password').fill('wrong horse');
    await enter();
    await page.getByText('the name or the password is wrong').waitFor();
    await field('password').fill(owner.password);
    await enter();
    await connected(page);
    const token = await page.evaluate(() => localStorage.getItem('hearth.token'));
    await page.evaluate(() => localStorage.clear());
    await page.reload();
    await page.locator('#door[open]').waitFor();
    await page.locator('#door button[name=other]').click();
    await field('token').fill(token);
    await enter();
    await connected(page);
    holds((await ask(page, 'hello')).length > 0, 'an answer comes');
  });

  await check('who signs out is out: the page forgets, and the token opens nothing any more', async () => {
    await page.evaluate(() => localStorage.clear());
    await page.reload();
    await page.locator('#door[open]').waitFor();
    await field('name').fill(owner.name);
    await field('password').fill(owner.password);
    await enter();
    await connected(page);
    const token = await page.evaluate(() => localStorage.getItem('hearth.token'));
    await noSidewaysScroll(page, 'with the button');
    await page.locator('#leave').click();
    await page.locator('#door[open]').waitFor();
    same(await page.evaluate(() => localStorage.length), 0, 'what is kept');
    const headers = { authorization: `Bearer ${token}` };
    same((await page.request.get(`http://${pageHost()}/api/v1/status`, { headers })).status(), 401, 'the old token');
  });
  await context.close();
}
