// One answer in the chat log: its words and pictures as they come, its folded reasoning, its end, its small print.
// Knows no socket. Adds to the page and never draws a part again; what a model says is only ever text.

import { Calls, question as confirmation } from './calls.js';
import { explain } from './errors.js';
import { shown } from './attachments.js';
import { Markdown } from './markdown.js';
import { Pictures } from './pictures.js';

const SPOKEN_CHARS_MAX = 4000; // what a screen reader is given at the end of an answer
const COPIED_MS = 1500;

let lastNotice = ''; // what was told with an answer before is not told again with each

export class Answer {
  #body;
  #thoughts;
  #dots;
  #pictures = new Pictures((row) => this.element.insertBefore(row, this.#body.nextSibling));
  #calls = new Calls(() => this.#placeCalls());
  #questions = new Map(); // confirm_id → its element
  #onConfirm;
  #progress = null;
  #message = 0; // which message of the answer comes: more than 0 where another provider went on
  #markdown;
  #parts = []; // the text as it came, for copying
  #thinkingSince = 0;

  /** `onConfirm(id, accept, settle)` carries the reader's word about a tool; `settle(text)` says what became of it. */
  constructor(onConfirm) {
    this.#onConfirm = onConfirm;
    this.element = make('article', 'answer');
    this.element.setAttribute('aria-label', 'Answer');
    this.element.setAttribute('aria-live', 'off'); // not word by word; `end` has it spoken in one piece
    this.#dots = make('p', 'dots');
    this.#dots.append(make('span'), make('span'), make('span'));
    this.#dots.setAttribute('aria-hidden', 'true');
    this.#clear();
    this.element.append(this.#body, this.#dots);
  }

  get text() {
    return this.#parts.join('');
  }

  chunk({ type, data, metadata }) {
    if (type === 'metadata' && metadata?.progress) this.#showProgress(metadata.progress);
    const message = metadata?.message ?? 0;
    if (message > this.#message) this.#goOn(message);
    if (type === 'metadata' && metadata?.confirm) this.#confirm(metadata.confirm);
    if (type === 'tool_call' && metadata?.tool_call) return this.#calls.piece(metadata.tool_call);
    if (type === 'tool_result' && metadata?.tool_result) return this.#calls.result(metadata.tool_result, data);
    if (typeof data !== 'string' || data === '') return;
    if (type === 'text') this.#addText(data);
    else if (type === 'reasoning') this.#addThought(data);
    else if (type === 'notice' && data !== lastNotice) this.#body.before(make('p', 'notice', (lastNotice = data)));
  }

  /** A picture, or a preview of one. */
  picture(picture) {
    this.#contentComes();
    this.#pictures.show(picture);
  }

  /** All the text so far and all calls, in place of what is shown. */
  replace(text, { tool_calls = [], confirm = [] } = {}) {
    const old = this.#body;
    for (const part of this.element.querySelectorAll('.text, .continued, .calls')) if (part !== old) part.remove();
    this.#clear();
    old.replaceWith(this.#body);
    this.#calls = new Calls(() => this.#placeCalls());
    for (const { result, ...call } of tool_calls) {
      this.#calls.piece(call);
      if (result) this.#calls.result({ id: call.id, name: call.name, ...result }, result.text);
    }
    for (const asked of confirm) this.#confirm(asked);
    if (text) this.#addText(text);
  }

  /** Shows how it ended. `retry` is called when the reader asks for another attempt. */
  end({ metadata, error }, { retry, announce }) {
    this.#markdown.end();
    this.#contentComes();
    this.#calls.end();
    for (const box of this.#questions.values()) if (box.querySelector('button')) box.settle('This is not asked any more');
    if (Array.isArray(metadata?.blobs)) this.#pictures.keep(metadata.blobs);
    if (error && error.code !== 'cancelled') this.element.append(trouble(error, retry));
    announce(this.text.slice(0, SPOKEN_CHARS_MAX));
    const remarks = [];
    if (error?.code === 'cancelled') remarks.push('Stopped');
    if (metadata && this.#parts.length === 0 && this.#pictures.size === 0) remarks.push('The model gave an empty answer');
    if (metadata?.finish_reason === 'length') remarks.push('Cut off at the length limit of the model');
    this.#smallPrint([...remarks, ...facts(metadata ?? {})]);
  }

  #clear() {
    this.#body = make('div', 'text');
    this.#markdown = new Markdown(this.#body);
    this.#parts = [];
  }

  #addText(text) {
    this.#contentComes();
    this.#calls.close();
    this.#parts.push(text);
    this.#markdown.write(text);
  }

  /** Nothing is waited for any more. */
  #contentComes() {
    this.#dots.remove();
    this.#progress?.remove();
    this.#progress = null;
    this.#endThoughts();
  }

  /** How far the model is with reading the question. */
  #showProgress({ done, total }) {
    if (!(total > 0) || this.#parts.length > 0) return;
    if (!this.#progress) {
      this.#progress = make('progress', 'reading');
      this.#progress.setAttribute('aria-label', 'Reading');
      this.#dots.before(this.#progress);
    }
    this.#progress.max = total;
    this.#progress.value = Math.min(done, total);
  }

  /** The provider broke off, and what follows is the next one's. */
  #goOn(message) {
    this.#message = message;
    this.#calls.close();
    this.#interrupt(make('p', 'continued', 'Continued by another provider'));
  }

  /** Puts something behind the text so far; what comes then stands behind that. */
  #interrupt(element) {
    this.#markdown.end();
    if (this.#parts.length > 0) this.#parts.push('\n\n');
    const before = this.#body;
    this.#body = make('div', 'text');
    this.#markdown = new Markdown(this.#body);
    before.after(element, this.#body);
    return element;
  }

  #placeCalls() {
    this.#contentComes();
    return this.#interrupt(make('div', 'calls'));
  }

  /** A tool waits for the reader's word. */
  #confirm(asked) {
    if (this.#questions.has(asked.confirm_id)) return;
    this.#contentComes();
    const box = confirmation(asked, (accept, settle) => this.#onConfirm(asked.confirm_id, accept, settle));
    this.#questions.set(asked.confirm_id, box);
    this.#body.before(box);
  }

  #addThought(text) {
    if (!this.#thoughts) {
      const details = make('details', 'thoughts');
      const title = make('summary', 'active', 'Thinking');
      const words = make('div', 'words');
      details.append(title, words);
      this.#body.before(details);
      this.#thoughts = { title, words };
      this.#thinkingSince = performance.now();
    }
    // A node a chunk: nothing that is already there is copied.
    this.#thoughts.words.append(text);
  }

  #endThoughts() {
    const title = this.#thoughts?.title;
    if (!title?.classList.contains('active')) return;
    title.classList.remove('active');
    title.textContent = `Thought for ${spell(performance.now() - this.#thinkingSince)}`;
  }

  #smallPrint(words) {
    if (words.length === 0 && this.#parts.length === 0) return;
    const line = make('footer', 'small-print');
    if (words.length > 0) line.append(make('span', 'facts', words.join(' · ')));
    if (this.#parts.length > 0) {
      const copy = make('button', 'quiet', 'Copy');
      copy.type = 'button';
      copy.addEventListener('click', () => {
        copyText(this.text).then((done) => {
          copy.textContent = done ? 'Copied' : 'Select the text to copy it';
          setTimeout(() => (copy.textContent = 'Copy'), COPIED_MS);
        });
      });
      line.append(copy);
    }
    this.element.append(line);
  }
}

/** The question, as the reader typed it, and what was sent along. */
export function question(text, attached = []) {
  const element = make('article', 'question', text);
  element.setAttribute('aria-label', 'You');
  element.dir = 'auto';
  if (attached.length > 0) {
    const row = make('div', 'attached');
    row.append(...attached.map(shown));
    element.append(row);
  }
  return element;
}

function trouble(error, retry) {
  const { title, tip } = explain(error);
  const box = make('div', 'trouble');
  box.setAttribute('role', 'alert');
  box.append(make('strong', '', title), make('p', '', tip));
  if (error.message) box.append(make('p', 'detail', error.message));
  if (error.retryable) box.append(retryButton(error.retry_after_ms ?? 0, retry));
  return box;
}

/** Counts down where the provider said how long to wait. */
function retryButton(wait_ms, retry) {
  const button = make('button', 'retry');
  button.type = 'button';
  button.addEventListener('click', retry);
  const from = performance.now();
  const tick = () => {
    const left_s = Math.ceil((wait_ms - (performance.now() - from)) / 1000);
    button.disabled = left_s > 0;
    button.textContent = left_s > 0 ? `Try again in ${left_s} s` : 'Try again';
    if (left_s > 0) setTimeout(tick, 500);
  };
  tick();
  return button;
}

function facts({ provider, model, first_token_ms }) {
  const words = [provider, model !== provider && model].filter(Boolean);
  if (typeof first_token_ms === 'number') words.push(`first word after ${duration(first_token_ms)}`);
  return words;
}

const spell = (ms) => (ms < 1000 ? 'a moment' : duration(ms));

function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** On plain http there is no clipboard API; the older way still works there. */
async function copyText(text) {
  try {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
      return true;
    }
  } catch {
    // Refused: the older way may still be allowed.
  }
  const area = make('textarea', 'visually-hidden');
  area.value = text;
  document.body.append(area);
  const focused = document.activeElement;
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  focused?.focus();
  return done;
}

function make(tag, className = '', text = '') {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}
