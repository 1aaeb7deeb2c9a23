// Tools, the reader's word about them, pictures made on request and earlier conversations on the hub's page. The page comes
// from the real hub; its WebSocket is answered here, after docs/PROTOCOL.md.

import { Hub } from './page-media.mjs';

const HOSTILE = '<img src=x onerror="document.title=\'owned\'">';

const call = (turn, index, id, name, text) =>
  turn.chunk('tool_call', null, { tool_call: { index, id, name, arguments: text } });
const more = (turn, index, text) => turn.chunk('tool_call', null, { tool_call: { index, arguments: text } });
const result = (turn, id, text, is_error = false) =>
  turn.chunk('tool_result', text, { tool_result: { id, name: 'lights.set', is_error, ms: 12.4 } });
const confirm = (turn, confirm_id, expires_in_s = 60) =>
  turn.chunk('metadata', null, {
    confirm: { confirm_id, tool: 'files__delete', title: HOSTILE, arguments: { path: HOSTILE }, expires_in_s },
  });

const SCRIPTS = {
  'light the kitchen': (turn) => {
    turn.chunk('text', 'I look.');
    call(turn, 0, 'a', 'lights.list', '{"room":');
    more(turn, 0, '"kitchen"}');
    call(turn, 1, 'b', 'lights.set', HOSTILE);
  },
  'delete it': (turn) => confirm(turn, 'q-1'),
  'too late': (turn) => confirm(turn, 'q-late'),
  'nobody there': (turn) => confirm(turn, 'q-2', 0.3),
  'a cat': (turn) => turn.end({ blobs: ['b-cat'] }),
};

/** Runs the checks. `tools` are those of page.mjs. */
export async function toolCalls(tools) {
  const { check, same, holds, newPage, begin, idle, lastAnswer, noSidewaysScroll, shot } = tools;
  const asks = async (options = {}, routes = async () => {}) => {
    const hub = new Hub(SCRIPTS);
    const page = await newPage(options, null, hub.route);
    await routes(page);
    return { page, hub };
  };
  const said = (hub, action) => JSON.stringify(hub.said.filter((one) => one.action === action).map((one) => one.payload));
  // What the page says on its own account arrives a moment after what it shows.
  const arrived = async (hub, action, is) => {
    for (let i = 0; i < 100 && !is(said(hub, action)); i += 1) await new Promise((done) => setTimeout(done, 50));
    return said(hub, action);
  };

  await check('calls are folded lines with what was given and what came back, and only ever text', async () => {
    const { page, hub } = await asks();
    await begin(page, 'light the kitchen');
    const calls = lastAnswer(page).locator('.call');
    await calls.nth(1).waitFor();
    same(await calls.nth(0).locator('summary').textContent(), 'lights.list runs', 'a call that runs');
    same(await calls.nth(0).getAttribute('open'), null, 'open calls');
    const turn = hub.turns.at(-1);
    result(turn, 'a', '{"lamps":2}');
    result(turn, 'b', HOSTILE, true);
    turn.chunk('text', 'One lamp is broken.');
    call(turn, 2, 'c', 'lights.set', '{}');
    await calls.nth(2).waitFor();
    await calls.nth(0).locator('summary').focus();
    await page.keyboard.press('Enter');
    same(await calls.nth(0).getAttribute('open'), '', 'opened by a key');
    same((await calls.nth(0).locator('pre').allTextContents()).join('|'), '{\n  "room": "kitchen"\n}|{\n  "lamps": 2\n}', 'its words');
    same(await calls.nth(0).locator('summary').textContent(), 'lights.list done · 12 ms', 'a call that is done');
    same(await calls.nth(1).getAttribute('data-state'), 'failed', 'a call that failed');
    same((await calls.nth(1).locator('pre').allTextContents()).join('|'), `${HOSTILE}|${HOSTILE}`, 'hostile words');
    turn.end();
    await idle(page);
    same(await calls.nth(2).getAttribute('data-state'), 'failed', 'a call without a result');
    const order = await lastAnswer(page).locator('.text, .calls').evaluateAll((all) => all.map((one) => one.className || one.textContent));
    same(order.join(), 'text,calls,text,calls,text', 'the order');
    same((await lastAnswer(page).locator('.text').allTextContents()).join('|'), 'I look.|One lamp is broken.|', 'the text');
    same(await lastAnswer(page).locator('img').count(), 0, 'pictures');
    same(await page.title(), 'Hearth', 'title');
    await noSidewaysScroll(page, 'with calls');
    await shot(page, 'calls');
    same(page.problems.join('\n'), '', 'console');
    await page.context().close();
  });

  await check('a tool runs when the reader says so by mouse or key, once, and not when nobody does', async () => {
    const { page, hub } = await asks();
    await begin(page, 'delete it');
    const box = lastAnswer(page).locator('.confirm');
    await box.waitFor();
    holds((await box.textContent()).includes(HOSTILE) && (await box.locator('img').count()) === 0, 'its words are no text');
    holds((await page.locator('#spoken').textContent()).startsWith('May '), 'a screen reader is not told');
    await shot(page, 'confirm');
    await box.getByRole('button', { name: 'Run it', exact: true }).focus();
    await page.keyboard.press('Enter');
    await box.getByText('Allowed').waitFor();
    same(await box.locator('button').count(), 0, 'buttons that are left');
    same(await arrived(hub, 'confirm', (all) => all !== '[]'), '[{"confirm_id":"q-1","accept":true}]', 'what was said');
    confirm(hub.turns.at(-1), 'q-3');
    await box.nth(1).getByRole('button', { name: 'Do not run it' }).click();
    await box.nth(1).getByText('Not allowed').waitFor();
    const both = await arrived(hub, 'confirm', (all) => all.includes('q-3'));
    same(both, '[{"confirm_id":"q-1","accept":true},{"confirm_id":"q-3","accept":false}]', 'what was said');
    confirm(hub.turns.at(-1), 'q-4');
    await box.nth(2).locator('button').first().waitFor();
    hub.turns.at(-1).end();
    await idle(page);
    same(await box.locator('button').count(), 0, 'questions after the end');
    await begin(page, 'too late');
    await lastAnswer(page).getByRole('button', { name: 'Run it', exact: true }).click();
    await lastAnswer(page).getByText('Nothing waits for this any more').waitFor();
    hub.turns.at(-1).end();
    await idle(page);
    await begin(page, 'nobody there');
    await lastAnswer(page).getByText('Nobody answered in time').waitFor();
    same(hub.said.filter((one) => one.action === 'confirm').length, 3, 'answers');
    same(page.problems.join('\n'), '', 'console');
    await page.context().close();
  });

  await check('with the picture button a description becomes a picture', async () => {
    const { page, hub } = await asks();
    await page.getByLabel('Make a picture').click();
    same(await page.locator('#message').getAttribute('placeholder'), 'Describe a picture', 'the place of the words');
    await page.route('**/api/v1/blobs/*', (route) => route.fulfill({ contentType: 'image/png', body: Buffer.alloc(0) }));
    await page.locator('#message').fill('a cat');
    await page.locator('#message').press('Enter');
    await lastAnswer(page).locator('.pictures a[href="/api/v1/blobs/b-cat"]').waitFor();
    same(JSON.stringify(hub.asked), '[{"prompt":"a cat","partial_images":2}]', 'what was asked');
    await page.context().close();
  });

  await check('earlier conversations are listed, read and gone on with; a change shows', async () => {
    const conversations = [{ id: 'c-1', title: HOSTILE, updated_at_ms: 1_700_000_000_000 }];
    const messages = [
      { seq: 1, role: 'user', text: 'Is the door shut?' },
      { seq: 2, role: 'tool', text: '' },
      { seq: 3, role: 'assistant', text: 'It is **shut**.', provider: 'local', model: 'small' },
    ];
    const hub = new Hub(SCRIPTS);
    const page = await newPage({}, () => {
      const real = window.fetch;
      window.fetch = (path, options) => real(path.replace('/api/v1/conversations', '/scripted/conversations'), options);
    }, hub.route);
    await page.route('**/scripted/conversations?*', (route) => route.fulfill({ json: { conversations } }));
    await page.route('**/scripted/conversations/c-1/messages?*', (route) => route.fulfill({ json: { messages } }));
    await page.getByLabel('Earlier conversations').first().click();
    const entries = page.locator('#history li button');
    same(await entries.first().locator('span').textContent(), HOSTILE, 'its title');
    const wanted = '{"topics":["conversations"],"snapshot":false}';
    const subscribed = await arrived(hub, 'subscribe', (all) => all.includes(wanted));
    holds(subscribed.includes(wanted), `what is subscribed to: ${subscribed}`);
    conversations.push({ id: 'c-2', updated_at_ms: 1_700_000_000_001 });
    hub.event({ topic: 'conversations', kind: 'conversation', key: 'c-2', revision: 7, deleted: false, record: {} });
    await entries.nth(1).waitFor();
    await shot(page, 'history');
    await entries.first().click();
    await lastAnswer(page).waitFor();
    same(await page.locator('#history').getAttribute('open'), null, 'the list');
    same(await arrived(hub, 'unsubscribe', (all) => all !== '[]'), '[{"topics":["conversations"]}]', 'what is left again');
    same(await page.locator('.question').allTextContents().then((all) => all.join('|')), 'Is the door shut?', 'questions');
    same(await lastAnswer(page).locator('strong').textContent(), 'shut', 'the answer');
    await page.locator('#message').fill('delete it');
    await page.locator('#message').press('Enter');
    await lastAnswer(page).locator('.confirm').waitFor();
    same(hub.asked.at(-1).conversation_id, 'c-1', 'the conversation that goes on');
    await page.context().close();
  });

  await check('320: calls and questions fit', async () => {
    const { page, hub } = await asks({ viewport: { width: 320, height: 640 }, deviceScaleFactor: 2, hasTouch: true });
    await begin(page, 'light the kitchen');
    confirm(hub.turns.at(-1), 'q-1');
    await lastAnswer(page).locator('.confirm button').first().waitFor();
    for (const line of await lastAnswer(page).locator('.call summary').all()) await line.click();
    await noSidewaysScroll(page, 'with calls');
    const input = await page.locator('#message').boundingBox();
    holds(input.width >= 120, `the message has ${input.width} px`);
    await shot(page, 'calls-320');
    await page.context().close();
  });
}
