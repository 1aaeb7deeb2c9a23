// What is sent along with a question: picked, pasted or dropped; shown above the composer until it goes.
// Small files go within the message, large ones to the hub first. Knows no socket.

import { authorization } from './door.js';

const KINDS = ['image/png', 'image/jpeg', 'image/webp', 'image/gif', 'audio/wav', 'audio/mpeg'];
const ALIKE = { 'audio/x-wav': 'audio/wav', 'audio/wave': 'audio/wav', 'audio/mp3': 'audio/mpeg', 'image/jpg': 'image/jpeg' };
const FILES_MAX = 8;
const INLINE_BYTES = 700_000; // of one message together; in base64 it is a third more, and the hub takes 1 MiB
const FILE_BYTES_MAX = 16 * 1024 * 1024;

export class Attachments {
  #list;
  #onChange;
  #items = [];
  #problem = '';

  /** `list`: where they are shown. `onChange(problem)` is called when there are more, fewer, or one is ready or bad. */
  constructor(list, onChange) {
    this.#list = list;
    this.#onChange = onChange;
  }

  get busy() {
    return this.#items.some((item) => !item.sent);
  }

  add(files) {
    this.#problem = '';
    for (const file of files) {
      const mime = ALIKE[file.type] ?? file.type;
      if (this.#items.length >= FILES_MAX) this.#problem = `One message takes ${FILES_MAX} files.`;
      else if (!KINDS.includes(mime)) this.#problem = `${file.name} is neither a picture nor a sound that a model takes.`;
      else if (file.size > FILE_BYTES_MAX) this.#problem = `${file.name} has more than 16 MB.`;
      else this.#take(file, mime);
    }
    this.#onChange(this.#problem);
  }

  /** Takes all out: what the hub is to get, and what the page shows. */
  take() {
    const items = this.#items;
    this.#items = [];
    this.#list.replaceChildren();
    this.#list.hidden = true;
    return { sent: items.map((item) => item.sent), shown: items.map(({ url, mime, name }) => ({ url, mime, name })) };
  }

  #take(file, mime) {
    const inline = this.#items.reduce((sum, item) => sum + item.inline, 0) + file.size <= INLINE_BYTES;
    const item = { name: file.name, mime, url: URL.createObjectURL(file), inline: inline ? file.size : 0, sent: null };
    item.element = this.#entry(item);
    this.#items.push(item);
    this.#list.append(item.element);
    this.#list.hidden = false;
    (inline ? spell(file, mime) : post(file, mime)).then(
      (sent) => {
        item.sent = sent;
        item.element.classList.remove('busy');
        this.#onChange(this.#problem);
      },
      (error) => {
        if (!this.#items.includes(item)) return;
        this.#remove(item);
        this.#problem = `${file.name} could not be sent to the hub: ${error.message}`;
        this.#onChange(this.#problem);
      },
    );
  }

  #entry(item) {
    const element = document.createElement('li');
    element.className = 'busy';
    const remove = document.createElement('button');
    remove.type = 'button';
    remove.textContent = '×';
    remove.setAttribute('aria-label', `Remove ${item.name}`);
    remove.addEventListener('click', () => {
      this.#remove(item);
      this.#onChange('');
    });
    element.append(shown(item), remove);
    return element;
  }

  #remove(item) {
    this.#items = this.#items.filter((other) => other !== item);
    item.element.remove();
    URL.revokeObjectURL(item.url);
    this.#list.hidden = this.#items.length === 0;
  }
}

/** A small picture of it, or its name. */
export function shown({ url, mime, name }) {
  if (!mime.startsWith('image/')) {
    const words = document.createElement('span');
    words.textContent = name;
    return words;
  }
  const image = document.createElement('img');
  image.src = url;
  image.alt = name;
  return image;
}

async function spell(file, mime) {
  const url = await new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });
  return { mime, data: url.slice(url.indexOf(',') + 1) };
}

async function post(file, mime) {
  const answer = await fetch('/api/v1/blobs', { method: 'POST', headers: { 'content-type': mime, ...authorization() }, body: file });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.detail ?? `it answered ${answer.status}`);
  return { blob_id: body.blob_id };
}
