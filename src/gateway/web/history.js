// Earlier conversations: a list to choose from, and what was said in one. Over REST, and not before it is asked for. What people
// and models said is only ever text.

import { authorization } from './door.js';

const LISTED = 50;
const MESSAGES = 100;
const AGAIN_MS = 400; // many changes are one new look

export class History {
  #dialog;
  #list;
  #open;
  #timer = 0;

  /** `open(id, messages)` shows a conversation that was chosen; `listen(is)` is told whether changes are of interest. */
  constructor(button, dialog, { open, listen }) {
    this.#dialog = dialog;
    this.#list = dialog.querySelector('ul');
    this.#open = open;
    button.addEventListener('click', () => {
      dialog.showModal();
      listen(true); // before the look: nothing falls in between
      this.#show();
    });
    dialog.addEventListener('close', () => listen(false));
    dialog.querySelector('[data-close]').addEventListener('click', () => dialog.close());
  }

  get isOpen() {
    return this.#dialog.open;
  }

  /** Something changed on the hub. */
  changed() {
    if (!this.isOpen) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#show(), AGAIN_MS);
  }

  async #show() {
    const conversations = await read(`/api/v1/conversations?limit=${LISTED}`);
    const focused = this.#list.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    this.#list.replaceChildren(...(conversations ?? []).map((one) => this.#entry(one)));
    if (!conversations?.length) this.#list.append(words('li', conversations ? 'Nothing has been said yet.' : 'The hub does not show its conversations.'));
    if (focused) this.#list.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  }

  #entry({ id, title, updated_at_ms }) {
    const [entry, button] = [document.createElement('li'), document.createElement('button')];
    button.type = 'button';
    button.dataset.id = id;
    button.append(words('span', title || 'Without a title'), words('time', new Date(updated_at_ms).toLocaleString()));
    button.addEventListener('click', async () => {
      const messages = await read(`/api/v1/conversations/${encodeURIComponent(id)}/messages?limit=${MESSAGES}`);
      if (messages === null) return this.#show(); // it may be gone
      this.#dialog.close();
      this.#open(id, messages);
    });
    entry.append(button);
    return entry;
  }
}

/** The one array of a list of the hub's; `null` where there is none. */
async function read(path) {
  try {
    const answer = await fetch(path, { headers: { accept: 'application/json', ...authorization() } });
    if (!answer.ok) return null;
    return Object.values(await answer.json()).find(Array.isArray) ?? null;
  } catch {
    return null;
  }
}

function words(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}
