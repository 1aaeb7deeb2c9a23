// The tools that a model calls for one answer: a folded line each, with what it was given and what came back; and the
// question whether one may run. Knows no protocol. What a model or a tool says is only ever text.

const STATES = { waits: 'is called', runs: 'runs', done: 'done', failed: 'failed' };
const SHOWN_CHARS_MAX = 20_000; // of arguments or of a result; a page is no place for more

export class Calls {
  #calls = new Map(); // index → what is shown of it
  #place;
  #row = null;

  /** `place()` gives the element into which the next calls go. It is asked once for each round of calls. */
  constructor(place) {
    this.#place = place;
  }

  get size() {
    return this.#calls.size;
  }

  /** A piece of a call; pieces of one index belong together. */
  piece({ index, id, name, arguments: text }) {
    const call = this.#call(index);
    if (id) call.id = id;
    if (name) call.name.textContent = name;
    call.text = (call.text + (text ?? '')).slice(0, SHOWN_CHARS_MAX);
    call.given.textContent = pretty(call.text);
    this.#show(call, 'runs');
  }

  /** What came of the call with this id. */
  result({ id, name, is_error, ms }, text) {
    const call = [...this.#calls.values()].find((one) => one.id === id && !one.result) ?? this.#call(this.#calls.size);
    if (!call.name.textContent) call.name.textContent = name ?? '';
    call.result = document.createElement('pre');
    call.result.textContent = pretty((text ?? '').slice(0, SHOWN_CHARS_MAX));
    call.element.append(label('Result'), call.result);
    this.#show(call, is_error ? 'failed' : 'done', ms);
    this.#row = null; // text may follow, and the calls after it are another round
  }

  /** What has no result when the answer ends never gets one. */
  end() {
    for (const call of this.#calls.values()) if (!call.result) this.#show(call, 'failed');
  }

  /** Text has come: the next call stands behind it. */
  close() {
    this.#row = null;
  }

  #call(index) {
    const known = this.#calls.get(index);
    if (known) return known;
    this.#row ??= this.#place();
    const element = document.createElement('details');
    element.className = 'call';
    const [summary, name, state] = ['summary', 'code', 'span'].map((tag) => document.createElement(tag));
    summary.append(name, ' ', state);
    const given = document.createElement('pre');
    element.append(summary, label('Given'), given);
    this.#row.append(element);
    const call = { element, name, state, given, text: '', id: null, result: null };
    this.#calls.set(index, call);
    this.#show(call, 'waits');
    return call;
  }

  #show(call, state, ms) {
    call.element.dataset.state = state;
    call.state.textContent = STATES[state] + (typeof ms === 'number' ? ` · ${Math.round(ms)} ms` : '');
  }
}

/** Asks whether a tool may run. `answer(accept)` is called once, with the element to be told what became of it. */
export function question({ tool, title, arguments: given, expires_in_s }, answer) {
  const box = document.createElement('section');
  box.className = 'confirm';
  box.setAttribute('role', 'group');
  const words = document.createElement('p');
  words.textContent = `May ${title || tool} run?`;
  box.setAttribute('aria-label', words.textContent);
  const what = document.createElement('code');
  what.textContent = tool;
  const details = document.createElement('pre');
  details.textContent = JSON.stringify(given ?? {}, null, 2).slice(0, SHOWN_CHARS_MAX);
  const row = document.createElement('div');
  const settle = (said) => {
    clearTimeout(timer);
    row.remove();
    words.textContent = said;
  };
  const button = (text, className, accept) => {
    const one = document.createElement('button');
    one.type = 'button';
    one.className = className;
    one.textContent = text;
    one.addEventListener('click', () => {
      settle(accept ? 'Allowed' : 'Not allowed');
      answer(accept, settle);
    });
    return one;
  };
  const timer = setTimeout(() => settle('Nobody answered in time, and it was not run'), (expires_in_s ?? 60) * 1000);
  row.append(button('Do not run it', 'refuse', false), button('Run it', 'retry', true));
  box.append(words, what, details, row);
  box.settle = settle;
  return box;
}

function label(text) {
  const element = document.createElement('p');
  element.textContent = text;
  return element;
}

/** JSON with line ends; anything else as it is. */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
