// Pictures, sound and attachments on the hub's page. The page comes from the real hub; its WebSocket is answered here, word
// for word and frame for frame after docs/PROTOCOL.md, so that every step of a picture can be looked at.

import zlib from 'node:zlib';

const SAMPLE_RATE = 24_000;
const PIECE_MS = 50;
const FRAME_BYTES_MAX = 256 * 1024;
const KIND = { audio: 1, image: 3 };
const [FIRST, LAST] = [1, 2];

/** A PNG of this size; `noisy` ones do not compress. */
function png(width, height, noisy = false) {
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(zlib.crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2, 0, 0, 0], 8); // 8 bit, RGB
  let state = 1;
  const noise = () => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) >> 16;
  const rows = Buffer.alloc(height * (1 + width * 3));
  for (let i = 0; i < rows.length; i += 1) rows[i] = i % (1 + width * 3) === 0 ? 0 : noisy ? noise() : 0xa8;
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const parts = [chunk('IHDR', head), chunk('IDAT', zlib.deflateSync(rows)), chunk('IEND', Buffer.alloc(0))];
  return Buffer.concat([signature, ...parts]);
}

/** The hub's side of one WebSocket. `scripts` by the text of the question; each gets a Turn. */
export class Hub {
  asked = [];
  said = []; // whatever is not asked in pieces
  turns = [];
  #seq = 0;
  #streams = 0;
  #socket;
  #scripts;

  constructor(scripts) {
    this.#scripts = scripts;
  }

  route = (socket) => {
    this.#socket = socket;
    this.#seq = 0;
    socket.onMessage((text) => this.#take(JSON.parse(text)));
  };

  #take({ action, request_id, payload }) {
    if (action === 'hello') {
      const features = payload.features;
      const metadata = { protocol: 2, session_id: 's-1', resume_ttl_s: 90, features, limits: { message_bytes: 1_048_576 } };
      return this.tell(request_id, 'complete', { type: 'metadata', data: null, index: 0, metadata });
    }
    if (action === 'cancel') {
      this.tell(request_id, 'complete', { type: 'metadata', data: null, index: 0, metadata: { target: payload.target, cancelled: true } });
      const error = { code: 'cancelled', message: 'stopped', retryable: false };
      return this.tell(payload.target, 'error', undefined, error);
    }
    if (!['chat', 'image'].includes(action)) this.said.push({ action, payload });
    if (action === 'confirm' && payload.confirm_id === 'q-late') {
      return this.tell(request_id, 'error', undefined, { code: 'not_found', message: 'nothing waits', retryable: false });
    }
    if (!['chat', 'image'].includes(action)) return this.tell(request_id, 'complete', { type: 'metadata', data: null, index: 0, metadata: {} });
    this.asked.push(payload);
    this.tell(request_id, 'processing', { type: 'metadata', data: null, metadata: {} });
    const turn = new Turn(this, request_id);
    this.turns.push(turn);
    this.#scripts[payload.text ?? payload.prompt]?.(turn);
  }

  tell(request_id, status, chunk, error) {
    this.#socket.send(JSON.stringify({ request_id, status, seq: ++this.#seq, chunk, error }));
  }

  frame(kind, flags, stream_id, index, at_ms, payload) {
    const head = Buffer.alloc(16);
    head.set([1, kind, flags, 0]);
    [stream_id, index, at_ms].forEach((number, i) => head.writeUInt32LE(number, 4 + 4 * i));
    this.#socket.send(Buffer.concat([head, payload]));
  }

  stream() {
    return ++this.#streams;
  }

  event(event) {
    this.#socket.send(JSON.stringify({ request_id: null, status: 'event', seq: ++this.#seq, event }));
  }
}

class Turn {
  #hub;
  #id;
  #index = 0;
  #sound = null;

  constructor(hub, id) {
    this.#hub = hub;
    this.#id = id;
  }

  chunk(type, data, metadata = {}) {
    this.#hub.tell(this.#id, 'chunk', { type, data, index: this.#index++, metadata });
  }

  picture(image, bytes, { partial = false, mime = 'image/png', again = false } = {}) {
    const stream_id = this.#hub.stream();
    this.chunk('image', null, { mime, image, partial, bytes: bytes.length, stream_id });
    const payload = FRAME_BYTES_MAX - 16;
    const frames = Math.ceil(bytes.length / payload);
    for (let i = 0; i < frames; i += 1) {
      const flags = (i === 0 ? FIRST : 0) | (i === frames - 1 ? LAST : 0);
      const send = () => this.#hub.frame(KIND.image, flags, stream_id, i, 0, bytes.subarray(i * payload, (i + 1) * payload));
      send();
      if (again) send(); // as after a lost connection
    }
  }

  /** One piece of speech: a tone, so that it can be told from silence. */
  sound(sentence = null) {
    this.#sound ??= { stream_id: this.#hub.stream(), index: 0 };
    const { stream_id, index } = this.#sound;
    const at_ms = index * PIECE_MS;
    if (sentence) {
      const of = { mime: 'audio/pcm', format: 'pcm', sample_rate: SAMPLE_RATE, channels: 1, at_ms, stream_id };
      this.chunk('audio', null, { ...of, sentence: 0, text: sentence });
    }
    const samples = Buffer.alloc((SAMPLE_RATE * PIECE_MS) / 1000 * 2);
    for (let i = 0; i < samples.length; i += 2) samples.writeInt16LE(i % 200 < 100 ? 8000 : -8000, i);
    this.#hub.frame(KIND.audio, index === 0 ? FIRST : 0, stream_id, index, at_ms, samples);
    this.#sound.index += 1;
  }

  end(metadata = {}) {
    const whole = { provider: 'painter', model: 'small', finish_reason: 'stop', ...metadata };
    this.#hub.tell(this.#id, 'complete', { type: 'metadata', data: null, index: this.#index++, metadata: whole });
  }
}

const PREVIEW = png(16, 16);
const WHOLE = png(480, 360, true);
const HOSTILE = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" onload="document.title=\'owned\'"/>');

const SCRIPTS = {
  'paint me a cat': (turn) => turn.picture(0, PREVIEW, { partial: true }),
  'two of them': (turn) => {
    turn.chunk('text', 'Here they are.');
    turn.picture(0, PREVIEW);
    turn.end({ blobs: ['b-one', 'b-two'] });
  },
  'be hostile': (turn) => {
    turn.picture(0, HOSTILE, { mime: 'image/svg+xml' });
    turn.chunk('image', '!no base64!', { mime: 'image/png', image: 0, partial: false, bytes: 3 });
    turn.chunk('text', '<img src=x onerror="document.title=\'owned\'">');
    turn.end();
  },
  'say it': (turn) => {
    turn.chunk('text', 'Good evening.');
    turn.sound('Good evening.');
    for (let i = 1; i < 20; i += 1) turn.sound();
    turn.end();
  },
  'talk on': (turn) => {
    turn.chunk('text', 'On and on.');
    turn.sound('On and on.');
    for (let i = 1; i < 100; i += 1) turn.sound();
  },
  'read a long letter': (turn) => turn.chunk('metadata', null, { progress: { stage: 'prompt', done: 25, total: 100 } }),
  'go on elsewhere': (turn) => {
    turn.chunk('text', 'The first half');
    turn.chunk('notice', 'local broke off; openai goes on');
    turn.chunk('text', 'and the second.', { message: 1 });
    turn.end({ messages: 2 });
  },
};

/** Runs the checks. `tools` are those of page.mjs. */
export async function pictures(tools) {
  const { check, same, holds, newPage, ask, begin, idle, lastAnswer, noSidewaysScroll, shot } = tools;
  const asks = async (options = {}, prepare = null) => {
    const hub = new Hub(SCRIPTS);
    const page = await newPage(options, prepare, hub.route);
    await page.route('**/api/v1/blobs', (route) => {
      hub.posted = { mime: route.request().headers()['content-type'], bytes: route.request().postDataBuffer()?.length };
      return route.fulfill({ status: 201, json: { blob_id: 'b-posted', mime: hub.posted.mime, bytes: hub.posted.bytes } });
    });
    await page.route('**/api/v1/blobs/*', (route) => route.fulfill({ contentType: 'image/png', body: PREVIEW }));
    return { page, hub };
  };
  const width = (page, width) =>
    page.waitForFunction((width) => [...document.querySelectorAll('.answer .pictures img')].at(-1)?.naturalWidth === width, width);

  const { page, hub } = await asks();

  await check('a preview is shown and gives way to the picture, from memory and in one place', async () => {
    await begin(page, 'paint me a cat');
    await width(page, 16);
    same(await lastAnswer(page).locator('.pictures .partial').count(), 1, 'previews');
    hub.turns.at(-1).picture(0, WHOLE, { again: true });
    await width(page, 480);
    same(await lastAnswer(page).locator('.pictures img').count(), 1, 'pictures');
    same(await lastAnswer(page).locator('.pictures .partial').count(), 0, 'previews');
    holds((await lastAnswer(page).locator('.pictures img').getAttribute('src')).startsWith('blob:'), 'it is not from memory');
    hub.turns.at(-1).end({ blobs: ['b-cat'] });
    await idle(page);
    same(await lastAnswer(page).locator('.pictures a').getAttribute('href'), '/api/v1/blobs/b-cat', 'where it is kept');
    holds((await lastAnswer(page).locator('.pictures img').getAttribute('alt')).includes('Picture 1'), 'it has no words');
    same(page.problems.join('\n'), '', 'console');
    await shot(page, 'picture');
  });

  await check('a picture that did not come is shown from where the hub keeps it', async () => {
    same(await ask(page, 'two of them'), 'Here they are.', 'the text');
    const sources = await lastAnswer(page).locator('.pictures img').evaluateAll((images) => images.map((image) => image.getAttribute('src')));
    holds(sources.length === 2 && sources[0].startsWith('blob:') && sources[1] === '/api/v1/blobs/b-two', sources.join());
  });

  await check('what is no picture is none, and what is text stays text', async () => {
    same(await ask(page, 'be hostile'), '<img src=x onerror="document.title=\'owned\'">', 'the text');
    same(await lastAnswer(page).locator('img').count(), 0, 'pictures');
    same(await page.title(), 'Hearth', 'title');
  });

  await check('progress is a bar until the first word, and what goes on elsewhere says so', async () => {
    await begin(page, 'read a long letter');
    await lastAnswer(page).locator('progress').waitFor();
    same(await lastAnswer(page).locator('progress').evaluate((bar) => bar.value / bar.max), 0.25, 'progress');
    hub.turns.at(-1).chunk('text', 'Done.');
    hub.turns.at(-1).end();
    await idle(page);
    same(await lastAnswer(page).locator('progress').count(), 0, 'bars');
    await page.locator('#message').fill('go on elsewhere');
    await page.locator('#message').press('Enter');
    await lastAnswer(page).locator('.continued').waitFor();
    same((await lastAnswer(page).locator('.text').allTextContents()).join('|'), 'The first half|and the second.', 'its parts');
    same(await lastAnswer(page).locator('.notice').count(), 1, 'notices');
  });

  await check('files are picked, pasted and dropped; small ones go along, large ones ahead', async () => {
    const chips = page.locator('#attachments li');
    const file = (name, mimeType, buffer) => ({ name, mimeType, buffer });
    await page.locator('#files').setInputFiles([file('cat.png', 'image/png', PREVIEW), file('notes.txt', 'text/plain', Buffer.from('x'))]);
    same(await chips.count(), 1, 'files');
    holds((await page.locator('#problem').textContent()).includes('notes.txt'), 'the other one is not named');
    const give = (type, bytes) =>
      page.evaluate(([type, bytes]) => {
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(bytes)], `${type}.png`, { type: 'image/png' }));
        const options = { bubbles: true, cancelable: true };
        const event = type === 'paste'
          ? new ClipboardEvent(type, { ...options, clipboardData: files })
          : new DragEvent(type, { ...options, dataTransfer: files });
        document.getElementById('message').dispatchEvent(event);
        return event.defaultPrevented;
      }, [type, [...bytes]]);
    holds((await give('paste', PREVIEW)) && (await give('drop', PREVIEW)), 'the browser would have taken them');
    same(await chips.count(), 3, 'files');
    await page.getByLabel('Remove drop.png').click();
    await page.locator('#files').setInputFiles([file('large.png', 'image/png', Buffer.concat([PREVIEW, Buffer.alloc(800_000)]))]);
    await page.waitForFunction(() => !document.querySelector('#attachments .busy'));
    same(`${hub.posted?.mime} ${hub.posted?.bytes}`, `image/png ${PREVIEW.length + 800_000}`, 'what was posted');
    await shot(page, 'attachments');
    await page.locator('#message').fill('two of them');
    await page.locator('#message').press('Enter');
    await idle(page);
    const inline = { mime: 'image/png', data: PREVIEW.toString('base64') };
    same(JSON.stringify(hub.asked.at(-1).attachments), JSON.stringify([inline, inline, { blob_id: 'b-posted' }]), 'attachments');
    same(await page.locator('.question').last().locator('img').count(), 3, 'pictures in the question');
    same(await page.locator('#attachments:not([hidden])').count(), 0, 'what is left');
    same(page.problems.join('\n'), '', 'console');
  });
  await page.context().close();

  await check('answers are spoken without a gap, and a stop is silence at once', async () => {
    const listen = () => {
      window.heard = { samples: 0, loud: 0, starts: [], stopped: 0 };
      const node = AudioBufferSourceNode.prototype;
      const [start, stop] = [node.start, node.stop];
      node.start = function (at) {
        const samples = this.buffer.getChannelData(0);
        heard.samples += samples.length;
        heard.loud += samples.filter((sample) => Math.abs(sample) > 0.2).length;
        heard.starts.push(at);
        return start.call(this, at);
      };
      node.stop = function () {
        heard.stopped += 1;
        return stop.call(this);
      };
    };
    const { page, hub } = await asks({}, listen);
    const heard = () => page.evaluate(() => window.heard);
    await ask(page, 'say it');
    same(hub.asked.at(-1).voice, undefined, 'a voice that was not asked for');
    same((await heard()).samples, 0, 'samples');
    await page.getByLabel('Speak answers').click();
    same(await ask(page, 'say it'), 'Good evening.', 'the text');
    same(JSON.stringify(hub.asked.at(-1).voice), '{"speak":true}', 'the voice asked for');
    const { samples, loud, starts } = await heard();
    same(samples, 20 * 1200, 'samples');
    same(loud, samples, 'samples that can be heard');
    const late = starts.slice(1).filter((at, i) => Math.abs(at - starts[i] - PIECE_MS / 1000) > 0.001);
    same(late.length, 0, 'pieces that do not follow the one before');
    await begin(page, 'talk on');
    await page.waitForFunction(() => window.heard.samples >= 120 * 1200);
    const before = await heard();
    holds(before.stopped > 0, 'a new question was talked over');
    await page.keyboard.press('Escape');
    const stopped = (await heard()).stopped - before.stopped;
    holds(stopped > 50, `only ${stopped} pieces were stopped`);
    hub.turns.at(-1).sound();
    await idle(page);
    hub.turns.at(-1).sound();
    await page.waitForTimeout(100);
    same((await heard()).samples, before.samples, 'samples after the stop');
    same(page.problems.join('\n'), '', 'console');
    await page.context().close();
  });

  for (const [name, options] of Object.entries({
    '320': { colorScheme: 'light', viewport: { width: 320, height: 640 }, deviceScaleFactor: 2, hasTouch: true },
    '320-dark': { colorScheme: 'dark', viewport: { width: 320, height: 640 }, deviceScaleFactor: 2, reducedMotion: 'reduce' },
  })) {
    await check(`${name}: pictures and attachments fit`, async () => {
      const { page, hub } = await asks(options);
      await page.locator('#files').setInputFiles(['a', 'b', 'c', 'd', 'e'].map((name) => ({ name: `${name}.png`, mimeType: 'image/png', buffer: PREVIEW })));
      await noSidewaysScroll(page, 'with attachments');
      const input = await page.locator('#message').boundingBox();
      holds(input.width >= 120, `the message has ${input.width} px`);
      await begin(page, 'paint me a cat');
      hub.turns.at(-1).picture(0, WHOLE);
      await width(page, 480);
      await noSidewaysScroll(page, 'with a picture');
      hub.turns.at(-1).end();
      await idle(page);
      await shot(page, `picture-${name}`);
      const unnamed = await page.locator('button, input:not([hidden]), textarea').evaluateAll((all) =>
        all.filter((one) => !(one.getAttribute('aria-label') ?? one.textContent.trim()) && one.labels?.length === 0).length);
      same(unnamed, 0, 'controls without a name');
      await page.context().close();
    });
  }
}
