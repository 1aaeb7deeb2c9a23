// Drives the hub's page in a real Chromium against the real hub, as `.ci/peers/page` starts it.
// The hub's provider is a small scripted one of ours, and its socket goes through a wire that can be cut.
// Never leaves a process behind: every wait has a deadline and the whole run has one.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

import { door } from './page-door.mjs';
import { house } from './page-house.mjs';
import { pictures } from './page-media.mjs';
import { toolCalls } from './page-tools.mjs';

const RUN_MS = 420_000;
const WAIT_MS = 15_000;
const STOP_MS = 8_000;
const { HEARTH_BIN, CHROMIUM, PLAYWRIGHT_AT, PYTHON_AT, HEARTH_SHOTS } = process.env;
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

const { chromium } = (await import(pathToFileURL(PLAYWRIGHT_AT))).default;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hearth-page-'));
let [passed, failed, hub, browser] = [0, 0, null, null];

// ---- the scripted provider: OpenAI's streaming format, one script a question

const COUNT = Array.from({ length: 160 }, (_, i) => `${i + 1} `).join('').trim();
const LONG = Array.from({ length: 12_000 }, (_, i) => `${i} `).join('').trim();
const HOSTILE = 'Look: <img src="x" onerror="document.title=\'owned\'"><script>document.title=\'owned\'</script> ' +
  '[click](javascript:alert(1)) <b>bold</b> `<i>code</i>` ' + 'W'.repeat(400) + ' &lt;end&gt;';
const RICH = `Keep it **simple**. A room stays warm for longer when the heat has time to spread:

1. Set the radiator to *19 °C* half an hour before you come home.
2. Close the shutters once it is dark.
   - North windows first.
   - The kitchen can wait.
3. Turn it down again at \`22:30\`.

### As a scene

\`\`\`yaml
scene: evening
living_room: { temperature: 19, shutters: closed }
\`\`\`

Shall I do this every weekday?`;

const words = (text) => text.match(/\S+\s*|\s+/g);
const SCRIPTS = {
  'hello there': { pieces: words('Hello! What can I do for you?'), every_ms: 40 },
  'count slowly': { pieces: words(COUNT), every_ms: 15 },
  'never end': { pieces: words('word '.repeat(4000)), every_ms: 25 },
  'a long one': { pieces: words(LONG), every_ms: 0 },
  'be hostile': { pieces: HOSTILE.match(/.{1,7}/gs), every_ms: 1 },
  'no key': { status: 401, error: 'Incorrect API key provided.' },
  'too fast': { status: 429, error: 'Rate limit reached.', once: true, pieces: ['All', ' well.'] },
  'How do I keep the living room warm in the evening?': {
    thoughts: words('The question is about the evening, so heat must be there before the people are. Shutters help at night.'),
    pieces: words(RICH), every_ms: 6,
  },
};
const provider = { asked: [], closedEarly: 0, spent: new Set() };

const providerServer = http.createServer(async (request, response) => {
  if (request.method === 'GET' && request.url.startsWith('/browser.html')) {
    response.setHeader('content-type', 'text/html; charset=utf-8');
    return response.end(fs.readFileSync('examples/browser.html'));
  }
  if (request.method !== 'POST') {
    response.setHeader('content-type', 'application/json');
    return response.end('{"object":"list","data":[{"id":"small","object":"model"}]}');
  }
  const body = JSON.parse(Buffer.concat(await request.toArray()).toString());
  const content = body.messages.at(-1).content;
  const text = typeof content === 'string' ? content : content.map((part) => part.text ?? '').join('');
  provider.asked.push(text);
  const script = SCRIPTS[text] ?? { pieces: ['I have no script for this.'], every_ms: 0 };
  if (script.status && !(script.once && provider.spent.has(text))) {
    provider.spent.add(text);
    response.writeHead(script.status, { 'content-type': 'application/json', ...(script.once && { 'retry-after': '1' }) });
    return response.end(JSON.stringify({ error: { message: script.error, type: 'error' } }));
  }
  let open = true;
  response.on('close', () => {
    if (!response.writableFinished) provider.closedEarly += 1;
    open = false;
  });
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const say = (delta, finish_reason = null) => {
    const event = { id: 'x', object: 'chat.completion.chunk', model: 'small', choices: [{ index: 0, delta, finish_reason }] };
    return response.write(`data: ${JSON.stringify(event)}\n\n`);
  };
  for (const reasoning_content of script.thoughts ?? []) {
    say({ reasoning_content });
    await sleep(10);
  }
  for (const [i, piece] of script.pieces.entries()) {
    if (!open) return;
    say({ content: piece });
    if (script.every_ms || i % 100 === 0) await sleep(script.every_ms);
  }
  say({}, 'stop');
  response.end('data: [DONE]\n\n');
});

// ---- the wire between the page and the hub

const wire = { sockets: new Set(), up: true, to: 0 };
const wireServer = net.createServer((near) => {
  if (!wire.up) return near.destroy();
  const far = net.connect(wire.to, '127.0.0.1');
  for (const [one, other] of [[near, far], [far, near]]) {
    wire.sockets.add(one);
    one.on('error', () => {});
    one.on('close', () => {
      wire.sockets.delete(one);
      other.destroy();
    });
    one.pipe(other);
  }
});
const cut = () => wire.sockets.forEach((socket) => socket.destroy());

// ---- the hub

async function startHub(active, auth = 'auto', radio = 'off') {
  const config = path.join(folder, `${active}-${auth}-${radio}.yaml`);
  fs.writeFileSync(config, `gateway:
  host: 127.0.0.1
  port: ${wire.to}
  auth: ${auth}
providers:
  active: ${active}
  fallback: []
  retries: 0
  local:
    model: small
    base_url: "http://127.0.0.1:${providerServer.address().port}/v1"
zigbee:
  backend: ${radio}
store:
  path: "${path.join(folder, 'hearth.redb')}"
`);
  const log = fs.openSync(path.join(folder, 'hub.log'), 'a');
  hub = spawn(HEARTH_BIN, ['serve', '--config', config], { stdio: ['ignore', log, log] });
  hub.ended = once(hub, 'exit');
  hub.on('error', () => {});
  fs.closeSync(log);
  const end = Date.now() + WAIT_MS;
  while (Date.now() < end) {
    if (hub.exitCode !== null || hub.signalCode !== null) break;
    const answer = await fetch(`http://127.0.0.1:${wire.to}/healthz`).catch(() => null);
    if (answer?.ok) return;
    await sleep(30);
  }
  throw new Error(`the hub does not serve: ${hubLog()}`);
}

async function stopHub(signal = 'SIGTERM') {
  if (!hub || hub.exitCode !== null || hub.signalCode !== null) return;
  const going = hub;
  const patience = setTimeout(() => going.kill('SIGKILL'), STOP_MS);
  going.kill(signal);
  await going.ended;
  clearTimeout(patience);
}

const hubLog = () => {
  try {
    return fs.readFileSync(path.join(folder, 'hub.log'), 'utf8').slice(-2000);
  } catch {
    return '';
  }
};

const listen = async (server) => (await once(server.listen(0, '127.0.0.1'), 'listening'), server.address().port);
const freePort = async () => {
  const server = net.createServer();
  const port = await listen(server);
  await once(server.close(), 'close');
  return port;
};

// ---- what a check is made of

async function check(name, body) {
  wire.up = true;
  try {
    await body();
    passed += 1;
    console.log(`ok    ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n      ${String(error.message).split('\n').slice(0, 6).join('\n      ')}`);
  }
}

function same(seen, expected, what) {
  if (seen !== expected) throw new Error(`${what}: ${cutShort(seen)}, not ${cutShort(expected)}`);
}

const cutShort = (value) => {
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length > 200 ? `${text.slice(0, 120)} … ${text.slice(-60)} (${text.length})` : text;
};

function holds(is, what) {
  if (!is) throw new Error(what);
}

/** `prepare` runs in the page before its scripts; `socket` answers its WebSocket instead of the hub. */
async function newPage(options = {}, prepare = null, socket = null) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 760 }, ...options });
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  page.problems = [];
  page.hosts = new Set();
  page.on('console', (line) => line.type() === 'error' && page.problems.push(line.text()));
  page.on('pageerror', (error) => page.problems.push(error.message));
  page.on('request', (request) => page.hosts.add(new URL(request.url()).host));
  page.on('websocket', (socket) => page.hosts.add(new URL(socket.url()).host));
  if (prepare) await page.addInitScript(prepare);
  if (socket) await page.routeWebSocket('**/ws/chat', socket);
  await page.goto(`http://${pageHost()}/`);
  await connected(page);
  return page;
}

const pageHost = () => `127.0.0.1:${wireServer.address().port}`;
const connected = (page) => page.locator('#link[data-state=ready]').waitFor();
const idle = (page) => page.locator('#log[aria-busy=false]').waitFor();
const lastAnswer = (page) => page.locator('.answer').last();
const wordsOf = (page) => lastAnswer(page).locator('.text').evaluate((text) => text.textContent);

async function begin(page, text) {
  await page.locator('#message').fill(text);
  await page.locator('#message').press('Enter');
  await page.locator('#log[aria-busy=true]').waitFor();
}

async function ask(page, text) {
  const before = await page.locator('.answer').count();
  await page.locator('#message').fill(text);
  await page.locator('#message').press('Enter');
  await page.locator('.answer').nth(before).waitFor({ state: 'attached' });
  await idle(page);
  return wordsOf(page);
}

async function noSidewaysScroll(page, when) {
  const [wide, inner, log] = await page.evaluate(() => {
    const log = document.getElementById('log');
    return [document.documentElement.scrollWidth, innerWidth, log.scrollWidth - log.clientWidth];
  });
  holds(wide <= inner, `${when}: the page is ${wide} wide in a window of ${inner}`);
  holds(log <= 0, `${when}: the log is ${log} px wider than its frame`);
}

async function shot(page, name) {
  if (!HEARTH_SHOTS) return;
  fs.mkdirSync(HEARTH_SHOTS, { recursive: true });
  await page.screenshot({ path: path.join(HEARTH_SHOTS, `${name}.png`) });
}

// ---- the checks

async function withTheAssistant() {
  await startHub('assistant');
  const page = await newPage();

  await check('the page loads with a strict policy, no console error and no request to another host', async () => {
    const answer = await fetch(`http://${pageHost()}/`);
    const policy = answer.headers.get('content-security-policy') ?? '';
    holds(policy.includes("default-src 'none'") && policy.includes("script-src 'self'"), `its policy is: ${policy}`);
    holds(!policy.includes('unsafe'), `its policy is: ${policy}`);
    same(page.problems.join('\n'), '', 'console');
    same([...page.hosts].join(), pageHost(), 'hosts');
    await shot(page, 'welcome');
  });

  await check('typing hello streams an answer of the built-in assistant', async () => {
    holds((await ask(page, 'hello')).trim().length > 3, 'the answer is empty');
    holds((await lastAnswer(page).locator('.facts').textContent()).includes('assistant'), 'the small print does not say who answered');
    same(await page.locator('.trouble').count(), 0, 'errors');
    same(page.problems.join('\n'), '', 'console');
  });

  if (!PYTHON_AT) console.log('skip  examples/websocket_client.py: no Python with websockets');
  else await check('examples/websocket_client.py prints an answer and ends at the end of its input', async () => {
    const client = spawn(PYTHON_AT, ['examples/websocket_client.py', `ws://127.0.0.1:${wire.to}/ws/chat`]);
    let [out, err] = ['', ''];
    client.stdout.on('data', (bytes) => (out += bytes));
    client.stderr.on('data', (bytes) => (err += bytes));
    client.stdin.end('hello\n');
    const over = await Promise.race([once(client, 'close'), sleep(WAIT_MS, null, { ref: false })]);
    client.kill('SIGKILL');
    same(`${over?.[0]} ${err}`, '0 ', 'exit code and errors');
    holds(out.replaceAll('> ', '').trim().length > 3, `it printed ${JSON.stringify(out)}`);
  });

  await page.context().close();
  await stopHub();
}

async function withTheScriptedProvider() {
  await startHub('local');
  let page = await newPage();

  await check('words are shown as they come, and the log is busy meanwhile', async () => {
    await begin(page, 'count slowly');
    const lengths = new Set();
    while ((await page.locator('#log').getAttribute('aria-busy')) === 'true') {
      lengths.add((await wordsOf(page).catch(() => '')).length);
      await sleep(60);
    }
    same(await wordsOf(page), COUNT, 'the answer');
    holds(lengths.size >= 6, `only ${lengths.size} lengths were seen`);
    holds((await lastAnswer(page).locator('.facts').textContent()).includes('first word after'), 'the small print has no first token time');
    same(await page.locator('#spoken').textContent(), COUNT, 'what a screen reader gets');
  });

  await check('Shift+Enter begins a line, and Enter does not send while a word is being composed', async () => {
    await page.locator('#message').fill('one');
    await page.locator('#message').press('Shift+Enter');
    await page.keyboard.type('two');
    await page.locator('#message').evaluate((input) => {
      input.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true, cancelable: true }));
    });
    same(await page.locator('#message').inputValue(), 'one\ntwo', 'the draft');
    same(await page.locator('.question').count(), 1, 'questions');
    await page.locator('#message').fill('');
  });

  await check('the stop button and Escape end an answer, and the provider is let go', async () => {
    const before = provider.closedEarly;
    for (const stop of [() => page.locator('#stop').click(), () => page.keyboard.press('Escape')]) {
      await begin(page, 'never end');
      await page.waitForFunction(() => [...document.querySelectorAll('.answer .text')].at(-1)?.textContent.length > 50);
      await stop();
      await idle(page);
      const text = await wordsOf(page);
      holds(text.length > 50 && text.length < 4000, `${text.length} characters were kept`);
      holds((await lastAnswer(page).locator('.facts').textContent()).includes('Stopped'), 'it does not say that it was stopped');
    }
    for (let i = 0; i < 40 && provider.closedEarly < before + 2; i += 1) await sleep(50);
    same(provider.closedEarly - before, 2, 'provider streams closed early');
    same(await page.locator('.trouble').count(), 0, 'errors');
  });

  await check('the log follows the end only while the reader is there', async () => {
    await begin(page, 'a long one');
    await idle(page);
    const gap = () => page.evaluate(() => {
      const log = document.getElementById('log');
      return log.scrollHeight - log.scrollTop - log.clientHeight;
    });
    await page.waitForFunction(() => document.getElementById('latest').hidden);
    holds((await gap()) < 50, `it is ${await gap()} px from the end`);
    await begin(page, 'count slowly');
    await page.mouse.move(500, 300);
    await page.mouse.wheel(0, -600);
    await page.locator('#latest').waitFor();
    const top = await page.evaluate(() => document.getElementById('log').scrollTop);
    await idle(page);
    same(await page.evaluate(() => document.getElementById('log').scrollTop), top, 'where the reader is');
    await page.locator('#latest').click();
    await page.waitForFunction(() => {
      const log = document.getElementById('log');
      return log.scrollHeight - log.scrollTop - log.clientHeight < 50;
    });
  });

  await check('an error that stays has words and no retry; one that passes has a retry that works', async () => {
    await ask(page, 'no key');
    const box = lastAnswer(page).locator('.trouble');
    holds((await box.textContent()).includes('did not accept the key'), `it says: ${await box.textContent()}`);
    same(await box.locator('.retry').count(), 0, 'retry buttons');
    await ask(page, 'too fast');
    const questions = await page.locator('.question').count();
    await lastAnswer(page).locator('.retry:enabled').click();
    await page.waitForFunction(() => [...document.querySelectorAll('.answer .text')].at(-1)?.textContent === 'All well.');
    await idle(page);
    same(await page.locator('.question').count(), questions, 'questions');
  });

  await check('hostile text stays text', async () => {
    same(await ask(page, 'be hostile'), HOSTILE.replaceAll('`', ''), 'the answer');
    same(await lastAnswer(page).locator('.text img, .text script, .text a, .text b, .text i').count(), 0, 'its elements');
    same(await page.title(), 'Hearth', 'title');
    same(page.problems.join('\n'), '', 'console');
    await ask(page, HOSTILE);
    same(await page.locator('.question').last().textContent(), HOSTILE, 'the question');
  });

  await check('streamed markup is the same however it is cut, and its cost is linear', async () => {
    const { cuts, slow } = await page.evaluate(async (rich) => {
      const { Markdown } = await import('/markdown.js');
      const render = (text, size) => {
        const root = document.createElement('div');
        const markdown = new Markdown(root);
        for (let i = 0; i < text.length; i += size) markdown.write(text.slice(i, i + size));
        markdown.end();
        return root.innerHTML;
      };
      const odd = rich + '\n\n***both*** a ** b *c **d* `e **f** 2*3*4\n> said\n> twice\n\n````\n```\n````\n---\n####### no\n- \n1.\n``x` y``';
      const cuts = [1, 2, 3, 5, 17].filter((size) => render(odd, size) !== render(odd, odd.length));
      const time = (text) => {
        const from = performance.now();
        render(text, 4);
        return performance.now() - from;
      };
      const slow = {};
      for (const [name, unit] of Object.entries({ plain: 'word ', stars: '**a ', ticks: '`a ', lines: '- a\n', code: '```\na\n', deep: ' ' })) {
        time(unit.repeat(2000));
        const [small, large] = [time(unit.repeat(10_000)), time(unit.repeat(80_000))];
        if (large > 400 && large > 40 * small) slow[name] = [small, large];
      }
      return { cuts, slow };
    }, RICH);
    same(JSON.stringify(cuts), '[]', 'sizes of pieces that changed the result');
    same(JSON.stringify(slow), '{}', 'more than linear');
  });

  await check('a new conversation is empty, and its answers work', async () => {
    await page.locator('#new').click();
    same(await page.locator('.turns > *').count(), 0, 'turns');
    same(await ask(page, 'hello there'), 'Hello! What can I do for you?', 'the answer');
  });

  await check('three cuts of the connection lose nothing and show nothing twice', async () => {
    await begin(page, 'count slowly');
    for (let i = 0; i < 3; i += 1) {
      await sleep(350);
      cut();
    }
    await idle(page);
    same(await wordsOf(page), COUNT, 'the answer');
    same(await page.locator('.trouble').count(), 0, 'errors');
  });

  await check('a cut that outlives the hub\'s memory goes on from its snapshot', async () => {
    await begin(page, 'a long one');
    wire.up = false;
    cut();
    await sleep(2500);
    wire.up = true;
    await idle(page);
    same(await wordsOf(page), LONG, 'the answer');
  });

  await check('a question asked while the hub is away is answered once it is back', async () => {
    wire.up = false;
    cut();
    await page.locator('#link[data-state=waiting]').waitFor();
    const before = provider.asked.length;
    await page.locator('#message').fill('hello there');
    await page.locator('#message').press('Enter');
    await page.locator('#banner').waitFor();
    await page.waitForFunction(() => {
      const log = document.getElementById('log');
      return log.scrollHeight - log.scrollTop - log.clientHeight < 50;
    });
    await shot(page, 'away');
    wire.up = true;
    await page.locator('#try-now').click();
    await idle(page);
    same(await wordsOf(page), 'Hello! What can I do for you?', 'the answer');
    same(provider.asked.length - before, 1, 'times that it was asked');
  });

  await check('the hub is killed in mid-answer and starts again: the page comes back by itself and works', async () => {
    await begin(page, 'never end');
    await page.waitForFunction(() => [...document.querySelectorAll('.answer .text')].at(-1)?.textContent.length > 50);
    await page.locator('#message').fill('a draft');
    await stopHub('SIGKILL');
    await page.locator('#link:not([data-state=ready])').waitFor();
    await startHub('local');
    await connected(page);
    await idle(page);
    holds((await wordsOf(page)).length > 50, 'what had been seen is gone');
    same(await lastAnswer(page).locator('.retry').count(), 1, 'retry buttons');
    same(await page.locator('#message').inputValue(), 'a draft', 'the draft');
    same(await ask(page, 'hello there'), 'Hello! What can I do for you?', 'the answer');
  });
  await page.context().close();

  await check('a browser without crypto.randomUUID and without a clipboard chats and copies', async () => {
    page = await newPage({}, () => {
      delete Crypto.prototype.randomUUID;
      Object.defineProperty(Navigator.prototype, 'clipboard', { get: () => undefined });
    });
    same(await page.evaluate(() => typeof crypto.randomUUID + typeof navigator.clipboard), 'undefinedundefined', 'what it has');
    same(await ask(page, 'hello there'), 'Hello! What can I do for you?', 'the answer');
    await lastAnswer(page).locator('.quiet').click();
    await lastAnswer(page).getByText('Copied').waitFor();
    same(page.problems.join('\n'), '', 'console');
    await page.context().close();
  });

  const question = 'How do I keep the living room warm in the evening?';
  for (const [name, options] of Object.entries({
    light: { colorScheme: 'light' },
    dark: { colorScheme: 'dark', reducedMotion: 'reduce' },
    '320': { colorScheme: 'light', viewport: { width: 320, height: 640 }, deviceScaleFactor: 2, hasTouch: true },
    '320-dark': { colorScheme: 'dark', viewport: { width: 320, height: 640 }, deviceScaleFactor: 2 },
  })) {
    await check(`${name}: reasoning is folded, markup is shown, nothing scrolls sideways`, async () => {
      page = await newPage(options);
      await noSidewaysScroll(page, 'empty');
      if (name === '320') await shot(page, '320-welcome');
      await ask(page, 'hello there');
      await ask(page, question);
      same(await lastAnswer(page).locator('details').getAttribute('open'), null, 'open reasoning');
      holds((await lastAnswer(page).locator('summary').textContent()).startsWith('Thought for'), 'the reasoning has no title');
      same(await lastAnswer(page).locator('ol > li > ul > li').count(), 2, 'inner list items');
      same(await lastAnswer(page).locator('pre code').textContent(), RICH.split('```')[1].replace('yaml\n', '').trimEnd(), 'code');
      await noSidewaysScroll(page, 'with markup');
      await shot(page, `chat-${name}`);
      await page.locator('#log').evaluate((log) => (log.scrollTop = 0));
      await shot(page, `chat-${name}-top`);
      await ask(page, 'be hostile');
      await noSidewaysScroll(page, 'with a long word');
      await ask(page, 'no key');
      await noSidewaysScroll(page, 'with an error');
      await begin(page, 'never end');
      await sleep(400);
      await noSidewaysScroll(page, 'streaming');
      await shot(page, `trouble-${name}`);
      await page.keyboard.press('Escape');
      await idle(page);
      await page.context().close();
    });
  }

  await check('examples/browser.html shows an answer', async () => {
    const context = await browser.newContext();
    context.setDefaultTimeout(WAIT_MS);
    page = await context.newPage();
    await page.goto(`http://127.0.0.1:${providerServer.address().port}/browser.html?hub=ws://127.0.0.1:${wire.to}/ws/chat`);
    await sleep(300);
    await page.locator('input').fill('hello there');
    await page.locator('button').click();
    await page.getByText('Hello! What can I do for you?').waitFor();
    await page.getByText('(local, ').waitFor();
    await context.close();
  });
  const tools = { check, same, holds, newPage, ask, begin, idle, lastAnswer, noSidewaysScroll, shot };
  await pictures(tools);
  await toolCalls(tools);
  await stopHub();
}

async function withAHouse() {
  const start = () => startHub('assistant', 'off', 'simulated');
  const restartHub = async () => {
    await stopHub('SIGKILL');
    await start();
  };
  await start();
  await house({ check, same, holds, newPage, idle, lastAnswer, connected, noSidewaysScroll, shot, restartHub, pageHost });
  await stopHub();
}

async function withADoor() {
  await startHub('assistant', 'required');
  const newContext = async (options) => {
    const context = await browser.newContext(options);
    context.setDefaultTimeout(WAIT_MS);
    return context;
  };
  await door({ check, same, holds, newContext, pageHost, connected, ask, shot, hubLog, noSidewaysScroll });
  await stopHub();
}

async function finish(code) {
  await browser?.close().catch(() => {});
  await stopHub('SIGKILL');
  if (failed) console.log(`the hub's last words:\n${hubLog()}`);
  fs.rmSync(folder, { recursive: true, force: true });
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(code ?? (failed ? 1 : 0));
}

const watchdog = setTimeout(() => {
  console.log(`FAIL  the whole run did not end within ${RUN_MS / 1000} s`);
  failed += 1;
  finish(1);
}, RUN_MS);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => finish(130));

try {
  await listen(providerServer);
  await listen(wireServer);
  wire.to = await freePort();
  browser = await chromium.launch({ executablePath: CHROMIUM, headless: true, args: FLAGS, timeout: 30_000 });
  await withTheAssistant();
  await withTheScriptedProvider();
  await withAHouse();
  await withADoor();
} catch (error) {
  failed += 1;
  console.log(`FAIL  ${error.message}`);
}
clearTimeout(watchdog);
await finish();
