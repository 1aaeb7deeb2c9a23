// The hub's first page: a conversation with the model of the owner's choice.
// Wires the composer, the log and the connection. Speaks no protocol itself and keeps nothing after it is closed.

import { Answer, question } from './answer.js';
import { explain } from './errors.js';
import { HearthClient, randomId } from './protocol.js';

const TURNS_MAX = 200; // older turns leave the page; the hub keeps them
const BOTTOM_PX = 48; // this close to the end counts as reading along
const TROUBLE_AFTER_MS = 1200; // a short reconnect is nobody's business

const $ = (id) => document.getElementById(id);
const [log, turns, welcome, latest] = [$('log'), $('turns'), $('welcome'), $('latest')];
const [form, input, send, stop] = [$('composer'), $('message'), $('send'), $('stop')];
const [link, linkText, banner, spoken] = [$('link'), $('link-text'), $('banner'), $('spoken')];

let conversation = newConversationId();
let running = null; // { id, answer } of the answer that streams

// ---- the connection

const address = new URL('/ws/chat', location.href);
address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
const client = new HearthClient(address, { name: 'page', onState: showConnection });
let bannerTimer = 0;

const CONNECTION = {
  connecting: 'Connecting',
  ready: 'Connected',
  waiting: 'Reconnecting',
  refused: 'Not connected',
  closed: 'Not connected',
};

function showConnection({ name, error }) {
  link.dataset.state = name;
  if (linkText.textContent !== CONNECTION[name]) linkText.textContent = CONNECTION[name];
  if (name === 'ready') {
    clearTimeout(bannerTimer);
    bannerTimer = 0;
    banner.hidden = true;
  } else if (!bannerTimer) {
    bannerTimer = setTimeout(() => (banner.hidden = false), TROUBLE_AFTER_MS);
  }
  const refusal = error && explain(error);
  $('banner-text').textContent = refusal
    ? `${refusal.title}. ${refusal.tip}`
    : 'The hub is out of reach. This page keeps trying and goes on where it was.';
}

// ---- a turn

function ask(text) {
  welcome.hidden = true;
  turns.append(question(text));
  answerTo(text);
  following = true;
}

function answerTo(text) {
  const answer = new Answer();
  turns.append(answer.element);
  while (turns.childElementCount > TURNS_MAX * 2) turns.firstElementChild.remove();
  const retry = () => {
    if (running) return;
    if (answer.element !== turns.lastElementChild) return ask(text); // the talk has gone on since
    answer.element.remove();
    following = true;
    answerTo(text);
  };
  const turn = { id: '', answer };
  running = turn;
  showRunning(true);
  turn.id = client.chat(
    { text, conversation_id: conversation },
    {
      onChunk(chunk) {
        answer.chunk(chunk);
        follow();
      },
      onSnapshot(soFar) {
        answer.replace(soFar);
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

function showRunning(is) {
  log.setAttribute('aria-busy', String(is));
  const hadFocus = document.activeElement === stop || document.activeElement === send;
  send.hidden = is;
  stop.hidden = !is;
  stop.disabled = false;
  if (hadFocus) (is ? stop : input).focus();
  showSendable();
}

function stopAnswer() {
  if (!running) return;
  stop.disabled = true;
  client.cancel(running.id);
}

/** A whole answer for a screen reader, which was spared the single words. */
function announce(text) {
  spoken.textContent = text;
}

function newConversation() {
  stopAnswer();
  running = null;
  showRunning(false);
  conversation = newConversationId();
  turns.replaceChildren();
  spoken.textContent = '';
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
  send.disabled = input.value.trim() === '';
  if (!growsByItself) {
    input.style.height = 'auto';
    input.style.height = `${input.scrollHeight}px`;
  }
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const text = input.value;
  if (running || text.trim() === '') return;
  input.value = '';
  ask(text);
});

input.addEventListener('input', showSendable);

input.addEventListener('keydown', (event) => {
  // 229: some keyboards say nothing but this while a word is being composed.
  const composing = event.isComposing || event.keyCode === 229;
  if (event.key !== 'Enter' || event.shiftKey || composing) return;
  event.preventDefault();
  form.requestSubmit();
});

document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !event.isComposing) stopAnswer();
});

stop.addEventListener('click', stopAnswer);
$('new').addEventListener('click', newConversation);
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
addEventListener('pagehide', () => client.close());
addEventListener('pageshow', (event) => event.persisted && client.connect());
document.addEventListener('visibilitychange', () => document.hidden || client.wake());

greet();
showSendable();
client.connect();
