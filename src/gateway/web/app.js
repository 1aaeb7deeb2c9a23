// The hub's first page: a conversation with the model of the owner's choice.
// Wires the composer, the log and the connection. Speaks no protocol itself and keeps nothing after it is closed.

import { Answer, question } from './answer.js';
import { Attachments } from './attachments.js';
import { Door } from './door.js';
import { explain, explainDevice } from './errors.js';
import { History } from './history.js';
import { House } from './house.js';
import { Look } from './look.js';
import { Pairing } from './pairing.js';
import { release } from './pictures.js';
import { HearthClient, randomId } from './protocol.js';
import { Speech } from './speech.js';

const TURNS_MAX = 200; // older turns leave the page; the hub keeps them
const BOTTOM_PX = 48; // this close to the end counts as reading along
const PREVIEWS = 2; // of a picture while it is made
const HOUSE_TOPICS = ['devices', 'rooms', 'pairing'];
const WIDE = matchMedia('(min-width: 62rem)'); // room for the house beside the talk
const TROUBLE_AFTER_MS = 1200; // a short reconnect is nobody's business

const $ = (id) => document.getElementById(id);
const [log, turns, welcome, latest] = [$('log'), $('turns'), $('welcome'), $('latest')];
const [form, input, send, stop] = [$('composer'), $('message'), $('send'), $('stop')];
const [attach, files, speaker, paint, problem] = [$('attach'), $('files'), $('speaker'), $('paint'), $('problem')];
const [link, linkText, banner, spoken] = [$('link'), $('link-text'), $('banner'), $('spoken')];

const speech = new Speech();
const attachments = new Attachments($('attachments'), (text) => {
  problem.textContent = text;
  problem.hidden = text === '';
  showSendable();
});
let conversation = newConversationId();
let running = null; // { id, answer } of the answer that streams

// ---- the connection

const address = new URL('/ws/chat', location.href);
address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
const door = new Door($('door'));
const client = new HearthClient(address, {
  name: 'page',
  ticket: () => door.ticket(),
  onState: showConnection,
  onEvent: heard,
});
const history = new History($('past'), $('history'), {
  open: showConversation,
  listen: (is) => (is ? client.subscribe(['conversations']) : client.unsubscribe(['conversations'])),
});
const house = new House($('rooms'), (id, set, onEnd) => call('devices.set', { targets: [id], set }, (error, result) => {
  onEnd(error ?? refused(result?.results?.[0]));
}));
const look = new Look((given, onEnd) => call('devices.list', given, onEnd), house, showHouse);
const pairing = new Pairing($('pair'), $('pairing'), {
  wish: (seconds, onEnd) => (seconds ? call('pairing.start', { seconds }, onEnd) : call('pairing.stop', {}, onEnd)),
  name: (id) => house.name(id),
});
client.subscribe(HOUSE_TOPICS, { snapshot: true });
let bannerTimer = 0;

const CONNECTION = {
  connecting: 'Connecting',
  ready: 'Connected',
  waiting: 'Reconnecting',
  refused: 'Not connected',
  closed: 'Not connected',
};

function showConnection({ name, error, session }) {
  link.dataset.state = name;
  if (linkText.textContent !== CONNECTION[name]) linkText.textContent = CONNECTION[name];
  if (name === 'ready') {
    clearTimeout(bannerTimer);
    bannerTimer = 0;
    banner.hidden = true;
    if (session === 'new' && house.size > 0) look.soon(); // what went meanwhile, nobody tells
  } else if (!bannerTimer) {
    bannerTimer = setTimeout(() => (banner.hidden = false), TROUBLE_AFTER_MS);
  }
  if (error?.code === 'unauthenticated') enter();
  const refusal = error && explain(error);
  $('banner-text').textContent = refusal
    ? `${refusal.title}. ${refusal.tip}`
    : 'The hub is out of reach. This page keeps trying and goes on where it was.';
}

/** Connects, once the hub knows who sits here. */
async function enter() {
  await door.enter();
  $('leave').hidden = !door.isIn;
  client.connect();
}

// ---- the house

/** Calls a tool of the hub; `onEnd(error, result)` with what to tell the user, or what the tool gave back. */
function call(name, given, onEnd) {
  client.ask('tool', { name, arguments: given }, {
    onEnd({ error, metadata }) {
      const result = metadata?.result;
      const why = error ?? result?.structured?.error; // where there is a structure, the text is the same as JSON
      if (why) onEnd(explainDevice(why));
      else if (result?.is_error) onEnd(result.content?.map((one) => one.text).join(' ') || 'It failed.');
      else onEnd(null, result?.structured);
    },
  });
}

/** Why a device did not do it; null where it has confirmed. */
function refused(result) {
  if (result?.ok) return null;
  return result?.error ? explainDevice(result.error) : 'It has not confirmed.';
}

function heard(event) {
  const { topic, kind, key, record, changes, deleted, reread, snapshot } = event;
  if (topic === 'conversations') return history.changed();
  if (reread || (topic === 'rooms' && !snapshot)) return look.soon(); // something was missed, or a room has another name
  if (kind === 'device' && (record || deleted)) look.changed();
  if (kind === 'device') house.device(key, deleted ? null : record, deleted ? null : changes);
  else if (kind === 'pairing' && record) pairing.heard(record);
  else if (kind === 'radio' && record) showRadio(key, record);
  showHouse();
}

const radios = new Map(); // backend → how it is

/** A radio that works is nobody's business; where the hub looks for several, one is enough, and a stick is what is told of first. */
function showRadio(backend, record) {
  radios.set(backend, record);
  const all = [...radios.values()];
  const shown = all.find(({ status }) => status === 'starting') ?? radios.get('zigbee') ?? record;
  const isFine = all.some(({ status }) => status === 'up');
  $('radio').hidden = isFine;
  $('radio').textContent = isFine ? '' : radioText(shown);
}

function radioText({ status, why }) {
  if (status === 'starting') return 'The radio is starting.';
  return status === 'absent' ? `There is no radio yet: ${why}` : `The radio does not work: ${why}`;
}

let houseWish = null; // what the user wants to see, once they have said it

function showHouse() {
  $('nothing').hidden = house.size > 0;
  const lamp = house.light();
  if (lamp) $('suggestion').textContent = `Turn ${lamp.isOn ? 'off' : 'on'} the ${lamp.name}`;
  const shows = houseWish ?? (WIDE.matches && house.size > 0);
  $('house').hidden = !shows;
  $('home').setAttribute('aria-expanded', String(shows));
}

$('home').addEventListener('click', () => {
  houseWish = $('house').hidden;
  showHouse();
});
$('house-close').addEventListener('click', () => {
  $('home').click();
  $('home').focus();
});
WIDE.addEventListener('change', () => {
  houseWish = null;
  showHouse();
});

// ---- a turn

function ask(text, { sent, shown, action = 'chat' } = { sent: [], shown: [] }) {
  welcome.hidden = true;
  turns.append(question(text, shown));
  answerTo(text, sent, action);
  following = true;
}

function answerTo(text, attached, action) {
  speech.stop(); // a new question is not talked over
  if (speaks()) speech.unlock();
  const answer = new Answer((id, accept, settle) => {
    client.confirm(id, accept, ({ error }) => error && settle('Nothing waits for this any more'));
    input.focus();
  });
  turns.append(answer.element);
  while (turns.childElementCount > TURNS_MAX * 2) forget(turns.firstElementChild);
  const retry = () => {
    if (running) return;
    if (answer.element !== turns.lastElementChild) return ask(text, { sent: attached, shown: [], action }); // the talk has gone on since
    forget(answer.element);
    following = true;
    answerTo(text, attached, action);
  };
  const turn = { id: '', answer };
  running = turn;
  showRunning(true);
  turn.id = client.ask(
    action,
    action === 'image' ? { prompt: text, partial_images: PREVIEWS } : toSay(text, attached),
    {
      onChunk(chunk) {
        answer.chunk(chunk);
        if (chunk.metadata?.confirm) announce(`May ${chunk.metadata.confirm.title || chunk.metadata.confirm.tool} run?`);
        follow();
      },
      onPicture(picture) {
        answer.picture(picture);
        follow();
      },
      onSound(piece) {
        if (running === turn && speaks()) speech.push(piece);
      },
      onSnapshot(soFar, held) {
        answer.replace(soFar, held);
        follow();
      },
      onEnd(result) {
        if (running !== turn) return; // its conversation has been left
        running = null;
        answer.end(result, { retry, announce });
        showRunning(false);
        follow();
      },
    },
  );
  follow();
}

function toSay(text, attached) {
  const payload = { text, conversation_id: conversation };
  if (attached.length > 0) payload.attachments = attached;
  if (speaks()) payload.voice = { speak: true };
  return payload;
}

function showRunning(is) {
  log.setAttribute('aria-busy', String(is));
  const hadFocus = document.activeElement === stop || document.activeElement === send;
  send.hidden = is;
  stop.hidden = !is;
  stop.disabled = false;
  if (hadFocus) (is ? stop : input).focus();
  showSendable();
}

function forget(element) {
  release(element);
  element.remove();
}

function stopAnswer() {
  speech.stop();
  if (!running) return;
  stop.disabled = true;
  client.cancel(running.id);
}

/** A whole answer for a screen reader, which was spared the single words. */
function announce(text) {
  spoken.textContent = text;
}

/** Leaves what is on the page for this conversation. */
function turnTo(id) {
  stopAnswer();
  running = null;
  showRunning(false);
  conversation = id;
  while (turns.firstElementChild) forget(turns.firstElementChild);
  spoken.textContent = '';
}

/** A conversation of before: what was said, and it goes on from there. */
function showConversation(id, messages) {
  turnTo(id);
  welcome.hidden = true;
  for (const { role, text, provider, model } of messages.slice(-TURNS_MAX)) {
    if (!text) continue; // a tool's part of a turn
    if (role === 'user') turns.append(question(text));
    if (role !== 'assistant') continue;
    const answer = new Answer(() => {});
    turns.append(answer.element);
    answer.chunk({ type: 'text', data: text });
    answer.end({ metadata: { provider, model } }, { retry: () => {}, announce: () => {} });
  }
  following = true;
  follow();
  input.focus();
}

function newConversation() {
  turnTo(newConversationId());
  welcome.hidden = false;
  greet();
  input.focus();
}

function newConversationId() {
  return `c-${randomId()}`;
}

// ---- following the end of the log, only while the reader is there

let following = true;
let lastTop = 0;
let frame = 0;

function follow() {
  if (frame) return;
  // Measuring once a frame, not once a chunk, keeps a fast stream cheap.
  frame = requestAnimationFrame(() => {
    frame = 0;
    if (following) log.scrollTop = log.scrollHeight;
    showLatest();
  });
}

function showLatest() {
  latest.hidden = following || log.scrollHeight <= log.clientHeight;
}

log.addEventListener(
  'scroll',
  () => {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < BOTTOM_PX;
    // Only going up lets go: the end also runs away from a reader who stays.
    if (log.scrollTop < lastTop) following = atEnd;
    else if (atEnd) following = true;
    lastTop = log.scrollTop;
    showLatest();
  },
  { passive: true },
);

// The log gets smaller when the draft grows, a banner shows or a keyboard slides in.
new ResizeObserver(follow).observe(log);

latest.addEventListener('click', () => {
  following = true;
  follow();
  input.focus();
});

// ---- the composer

const growsByItself = CSS.supports('field-sizing', 'content');

function showSendable() {
  send.disabled = input.value.trim() === '' || attachments.busy;
  if (!growsByItself) {
    input.style.height = 'auto';
    input.style.height = `${input.scrollHeight}px`;
  }
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const text = input.value;
  if (running || text.trim() === '' || attachments.busy) return;
  input.value = '';
  problem.hidden = true;
  // What is attached is for a conversation; a picture is made from words.
  if (paints()) ask(text, { sent: [], shown: [], action: 'image' });
  else ask(text, attachments.take());
});

input.addEventListener('input', showSendable);

input.addEventListener('keydown', (event) => {
  // 229: some keyboards say nothing but this while a word is being composed.
  const composing = event.isComposing || event.keyCode === 229;
  if (event.key !== 'Enter' || event.shiftKey || composing) return;
  event.preventDefault();
  form.requestSubmit();
});

// ---- what is sent along, and whether answers are spoken

attach.addEventListener('click', () => files.click());
files.addEventListener('change', () => {
  attachments.add(files.files);
  files.value = '';
  input.focus();
});

input.addEventListener('paste', (event) => {
  if (event.clipboardData.files.length === 0) return;
  event.preventDefault();
  attachments.add(event.clipboardData.files);
});

const carriesFiles = (event) => event.dataTransfer?.types.includes('Files');
document.addEventListener('dragover', (event) => carriesFiles(event) && event.preventDefault());
document.addEventListener('drop', (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault(); // or the browser would leave the page for the file
  attachments.add(event.dataTransfer.files);
  input.focus();
});

const speaks = () => speaker.getAttribute('aria-pressed') === 'true';
speaker.addEventListener('click', () => {
  speaker.setAttribute('aria-pressed', String(!speaks()));
  if (speaks()) speech.unlock();
  else speech.stop();
});

const paints = () => paint.getAttribute('aria-pressed') === 'true';
paint.addEventListener('click', () => {
  paint.setAttribute('aria-pressed', String(!paints()));
  input.placeholder = paints() ? 'Describe a picture' : 'Ask Hearth';
  input.focus();
});

document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || history.isOpen || event.isComposing) return;
  if (!WIDE.matches && !$('house').hidden) return $('home').click(); // it lies over the talk
  stopAnswer();
});

stop.addEventListener('click', stopAnswer);
$('new').addEventListener('click', newConversation);
$('leave').addEventListener('click', async () => {
  await door.leave();
  // What was said here is not for whoever comes next.
  location.reload();
});
$('try-now').addEventListener('click', () => client.wake());

for (const suggestion of document.querySelectorAll('[data-ask]')) {
  suggestion.addEventListener('click', () => {
    if (!running) ask(suggestion.textContent);
    input.focus();
  });
}

// ---- the page itself

function greet() {
  const hour = new Date().getHours();
  const part = hour < 5 ? 'evening' : hour < 12 ? 'morning' : hour < 18 ? 'afternoon' : 'evening';
  $('greeting').textContent = `Good ${part}.`;
}

addEventListener('online', () => client.wake());
addEventListener('pagehide', () => {
  speech.stop();
  client.close();
});
addEventListener('pageshow', (event) => event.persisted && client.connect());
document.addEventListener('visibilitychange', () => document.hidden || client.wake());

greet();
showSendable();
enter();
