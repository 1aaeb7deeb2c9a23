// The hub's WebSocket protocol, version 2, for any page: connect, hello, chat, image, speak, tool, confirm, subscribe,
// cancel, resume.
// Knows no DOM. A dropped connection is taken up again where it broke: no chunk is lost, none is given twice.
// What the hub could not give back is never guessed: the request then ends with the error `interrupted`.

import { Streams } from './streams.js';

const SILENCE_MS = 10_000; // connecting, or taking a session up again, without a word from the hub
const IDLE_MS = 25_000; // connected and quiet: time to ask whether the hub is still there
const PONG_MS = 8_000;
const CANCEL_MS = 3_000; // after this a cancelled request ends here, whatever the hub says
const BACKOFF_FIRST_MS = 400;
const BACKOFF_MAX_MS = 15_000;
const BACKOFF_DOUBLINGS_MAX = 6;
const FLOOD_DOUBLINGS = 4; // the hub closed with 4429: come back later, not sooner
const MESSAGE_BYTES = 1_048_576; // until `hello` tells the hub's own limit
const CLOSE_FLOOD = 4429;
const CLOSE_UNAUTHENTICATED = 4401;

/**
 * const client = new HearthClient(url, { name, features, onState, onEvent, ticket });
 * client.connect();
 * const id = client.chat({ text }, { onStart, onChunk, onPicture, onSound, onSnapshot, onEnd });
 *
 * onState({ name, session, retry_ms, error }) has the names: connecting, ready, waiting, refused, closed.
 * onEvent(event)      something of a topic changed: see `subscribe`
 * ticket() gives what the handshake shows (or a promise of it), null for nothing; where it fails with the code
 * `unauthenticated`, the connection is refused until `connect` is called again.
 * onStart(metadata)   the hub has taken the request
 * onChunk(chunk)      { type, data, metadata, index }, each exactly once and in order
 * onPicture, onSound  see streams.js; their chunks do not come as such
 * onSnapshot(text, request)  all the text so far, instead of chunks that the hub no longer holds; what else it held
 * onEnd({ metadata }) or onEnd({ error }), exactly once
 */
export class HearthClient {
  #url;
  #options;
  #socket = null;
  #asking = null; // the ticket on its way
  #ready = false;
  #greeting = null; // request_id of the hello or resume that waits for its answer
  #session = null;
  #lastSeq = 0;
  #messageBytes = MESSAGE_BYTES;
  #streams = new Streams();
  #requests = new Map(); // request_id → what is known of a running request
  #cancels = new Set(); // stopped here while the hub was out of reach
  #topics = new Map(); // what is subscribed to → whether what is there is told first
  #doublings = 0;
  #timer = 0;
  #ids = idSource();

  constructor(url, options = {}) {
    this.#url = url;
    this.#options = options;
  }

  connect() {
    if (this.#socket || this.#asking) return;
    this.#state('connecting');
    const ticket = this.#options.ticket?.();
    if (!ticket) return this.#open([]);
    const asking = (this.#asking = Promise.resolve(ticket));
    asking.then(
      (ticket) => this.#asking === asking && this.#open([`hearth.auth.${ticket}`]),
      (error) => this.#asking === asking && (error.code === 'unauthenticated' ? this.#refuse(error) : this.#lost()),
    );
    this.#expectWithin(SILENCE_MS);
  }

  #open(protocols) {
    this.#asking = null;
    const socket = new WebSocket(this.#url, protocols);
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    socket.onopen = () => this.#greet();
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#lost(event.code);
    this.#expectWithin(SILENCE_MS);
  }

  /** The network or the page came back: connect now, or make sure that the connection is alive. */
  wake() {
    if (this.#ready) this.#ping();
    else if (!this.#socket) this.connect();
  }

  /** Ends every request. The hub is told, so that nothing runs on for nobody. */
  close() {
    for (const id of this.#requests.keys()) if (this.#ready) this.#send('cancel', { target: id });
    this.#drop(1000);
    this.#session = null;
    this.#state('closed');
    this.#finishAll(() => cancelled());
  }

  /** Asks. Without a connection the question waits for one. Returns the request_id. */
  chat(payload, handlers) {
    return this.ask('chat', payload, handlers);
  }

  /** The same for any action that is answered in pieces: chat, image, speak. */
  ask(action, payload, handlers) {
    const id = this.#ids();
    const request = { action, payload, handlers, taken: false, index: 0, cancelling: false };
    this.#requests.set(id, request);
    const bytes = new TextEncoder().encode(JSON.stringify(frame(action, payload, id))).length;
    if (bytes > this.#messageBytes) {
      const message = `This message has ${bytes} bytes; the hub takes ${this.#messageBytes}.`;
      queueMicrotask(() => this.#finish(id, { error: { code: 'too_large', message, retryable: false } }));
    } else if (this.#ready) {
      this.#send(action, payload, id);
    }
    return id;
  }

  /** The user's word about a tool that waits for it. `onEnd` as for all requests: an error says that nothing waits any more. */
  confirm(confirm_id, accept, onEnd) {
    return this.ask('confirm', { confirm_id, accept }, { onEnd });
  }

  /** From now on `onEvent` hears of these topics too, over every connection; with `snapshot` of what is there first. */
  subscribe(topics, { snapshot = false } = {}) {
    for (const topic of topics) this.#topics.set(topic, snapshot);
    if (this.#ready) this.#send('subscribe', { topics, snapshot });
  }

  unsubscribe(topics) {
    for (const topic of topics) this.#topics.delete(topic);
    if (this.#ready) this.#send('unsubscribe', { topics });
  }

  /** All of them, in a session that knows of none. One by one: a topic that this hub or this user does not have takes no other with it. */
  #subscribeAll() {
    for (const [topic, snapshot] of this.#topics) this.#send('subscribe', { topics: [topic], snapshot });
  }

  cancel(id) {
    const request = this.#requests.get(id);
    if (!request || request.cancelling) return;
    request.cancelling = true;
    this.#streams.close(id);
    if (this.#ready) {
      this.#send('cancel', { target: id });
      setTimeout(() => this.#finish(id, cancelled(), request), CANCEL_MS);
    } else {
      this.#cancels.add(id);
      this.#finish(id, cancelled());
    }
  }

  // ---- a connection begins

  #greet() {
    if (this.#session) {
      this.#greeting = this.#send('resume', { session_id: this.#session, last_seq: this.#lastSeq });
    } else {
      this.#lastSeq = 0;
      this.#greeting = this.#send('hello', {
        protocol: [2],
        client: { name: this.#options.name ?? 'page', lang: navigator.language, tz: timeZone() },
        features: this.#options.features ?? ['resume', 'reasoning', 'binary', 'events', 'confirm'],
      });
    }
  }

  #greeted(message) {
    this.#greeting = null;
    const resuming = this.#session !== null;
    if (message.status === 'error') {
      const { code, snapshot } = message.error ?? {};
      if (resuming && code === 'resume_gap' && snapshot) this.#takeSnapshot(message, snapshot);
      else if (resuming) return this.#startAnew();
      else if (message.error?.retryable) return this.#lost();
      else return this.#refuse(message.error ?? { code: 'unsupported' });
    } else if (!resuming) {
      const hub = message.chunk?.metadata ?? {};
      this.#session = hub.features?.includes('resume') ? hub.session_id : null;
      this.#streams.close(); // their numbers begin anew
      this.#messageBytes = hub.limits?.message_bytes ?? MESSAGE_BYTES;
      // What an older session had begun is out of reach: what was seen of it stays, and it says so.
      this.#finishAll(() => interrupted(), (request) => request.taken);
      this.#cancels.clear();
    }
    this.#nowReady(resuming);
  }

  #startAnew() {
    this.#session = null;
    this.#greet();
  }

  #refuse(error) {
    this.#drop(1000);
    this.#state('refused', { error });
    this.#finishAll(() => ({ error }));
  }

  #takeSnapshot(message, snapshot) {
    this.#lastSeq = Math.max(snapshot.last_seq ?? 0, message.seq ?? 0);
    const held = new Map((snapshot.requests ?? []).map((request) => [request.request_id, request]));
    for (const [id, request] of this.#requests) {
      const now = held.get(id);
      if (now) {
        request.taken = true;
        request.index = 0; // what follows is new by its seq
        this.#streams.close(id);
        request.handlers.onSnapshot?.(now.text ?? '', now);
        if (now.status === 'complete') this.#finish(id, { metadata: now.metadata ?? {} });
        if (now.status === 'error') this.#finish(id, { error: now.error ?? interrupted().error });
      } else if (request.taken) {
        this.#finish(id, interrupted());
      }
    }
  }

  #nowReady(resumed) {
    this.#ready = true;
    this.#doublings = 0;
    this.#state('ready', { session: resumed ? 'resumed' : 'new' });
    if (!resumed) this.#subscribeAll();
    for (const target of this.#cancels) this.#send('cancel', { target });
    this.#cancels.clear();
    // A question that the hub never answered with `processing` did not arrive. Its id makes a repeat harmless.
    for (const [id, request] of this.#requests) if (!request.taken) this.#send(request.action, request.payload, id);
    this.#expectWithin(IDLE_MS);
  }

  // ---- messages

  #receive(data) {
    this.#expectWithin(this.#ready ? IDLE_MS : SILENCE_MS);
    if (data instanceof ArrayBuffer) return this.#streams.frame(data);
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    const greets = this.#greeting !== null && message.request_id === this.#greeting;
    if (greets && message.status === 'error') return this.#greeted(message); // may stand outside the count
    if (typeof message.seq !== 'number') return; // the v1 welcome, before there is a session
    if (message.seq <= this.#lastSeq) return;
    if (message.seq !== this.#lastSeq + 1) return this.#lost(); // a hole: `resume` fills it
    this.#lastSeq = message.seq;
    if (greets) this.#greeted(message);
    else this.#deliver(message);
  }

  #deliver(message) {
    if (message.status === 'event') return message.event && this.#options.onEvent?.(message.event);
    const request = this.#requests.get(message.request_id);
    if (!request) return;
    request.taken = true;
    const chunk = message.chunk;
    switch (message.status) {
      case 'processing':
        return request.handlers.onStart?.(chunk?.metadata ?? {});
      case 'chunk':
        if (!chunk || chunk.index < request.index) return;
        if (typeof chunk.index === 'number') request.index = chunk.index + 1;
        if (chunk.type === 'image' || chunk.type === 'audio') {
          if (!request.cancelling) this.#streams.chunk(message.request_id, chunk, request.handlers);
          return;
        }
        return request.handlers.onChunk?.(chunk);
      case 'complete':
        return this.#finish(message.request_id, { metadata: chunk?.metadata ?? {} });
      case 'error':
        return this.#finish(message.request_id, { error: message.error ?? interrupted().error });
    }
  }

  #finish(id, result, only = this.#requests.get(id)) {
    const request = this.#requests.get(id);
    if (!request || request !== only) return;
    this.#requests.delete(id);
    this.#streams.close(id);
    request.handlers.onEnd?.(result);
  }

  #finishAll(result, which = () => true) {
    for (const [id, request] of [...this.#requests]) if (which(request)) this.#finish(id, result());
  }

  #send(action, payload, id = this.#ids()) {
    this.#socket.send(JSON.stringify(frame(action, payload, id)));
    return id;
  }

  #ping() {
    this.#send('ping', { t: Date.now() });
    this.#expectWithin(PONG_MS);
  }

  // ---- a connection ends

  #lost(code) {
    this.#drop();
    if (code === CLOSE_UNAUTHENTICATED) return this.#refuse({ code: 'unauthenticated', message: '', retryable: false });
    if (code === CLOSE_FLOOD) this.#doublings = Math.max(this.#doublings, FLOOD_DOUBLINGS);
    const ceiling_ms = Math.min(BACKOFF_FIRST_MS * 2 ** this.#doublings, BACKOFF_MAX_MS);
    // Jitter: when a hub restarts, the pages of the house do not all come back in the same instant.
    const retry_ms = Math.round(ceiling_ms * (0.5 + Math.random() / 2));
    this.#doublings = Math.min(this.#doublings + 1, BACKOFF_DOUBLINGS_MAX);
    this.#state('waiting', { retry_ms });
    this.#timer = setTimeout(() => this.connect(), retry_ms);
  }

  /** Lets the socket go without waiting for its goodbye, which on a dead network takes minutes. */
  #drop(code) {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    this.#asking = null;
    this.#ready = false;
    this.#greeting = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code);
  }

  /** One deadline at a time: on the hub's next word, whatever it is. */
  #expectWithin(ms) {
    clearTimeout(this.#timer);
    const quiet = ms === IDLE_MS;
    this.#timer = setTimeout(() => (quiet ? this.#ping() : this.#lost()), ms);
  }

  #state(name, detail = {}) {
    this.#options.onState?.({ name, ...detail });
  }
}

const frame = (action, payload, request_id) => ({ action, request_id, payload });

const cancelled = () => ({ error: { code: 'cancelled', message: '', retryable: false } });

const interrupted = () => ({ error: { code: 'interrupted', message: '', retryable: true } });

/** Random hex. `crypto.randomUUID` does not exist on a page that came over plain http; this does. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A random stem, so that no two pages share an id, and a counter. */
function idSource() {
  const stem = randomId();
  let count = 0;
  return () => `p-${stem}-${++count}`;
}

function timeZone() {
  try {
    return Intl.DateTimeFormat().resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}
