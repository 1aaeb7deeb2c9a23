// Who sits before the page: asks for the first claim's code, a name and a password, or a token, where the hub wants to know.
// Keeps the token in this browser. Knows no conversation; the connection asks it for a ticket.

const KEPT = 'hearth.token';
/** The id of a token that was made by signing in here: signing out ends it. One that was brought is somebody's to keep. */
const OWN = 'hearth.token_id';

/** The three ways in; the hub says which of the first two. */
const WAYS = {
  claim: {
    title: 'This hub is new',
    text: 'Its console and its log show a code of eight letters. Whoever types it here owns the hub.',
    button: 'Claim this hub',
    other: 'token',
  },
  login: { title: 'Sign in', text: 'This hub asks who you are.', button: 'Sign in', other: 'token' },
  token: { title: 'Use a token', text: 'An owner makes one with `hearth tokens create`.', button: 'Come in', other: 'first' },
};

export class Door {
  #dialog;
  #form;
  #first = 'login';
  #way = 'login';
  #entered = null; // resolves when somebody has come in

  constructor(dialog) {
    this.#dialog = dialog;
    this.#form = dialog.querySelector('form');
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#form.elements.other.addEventListener('click', () => {
      this.#show(WAYS[this.#way].other === 'token' ? 'token' : this.#first);
    });
    // There is nothing behind it to go back to.
    dialog.addEventListener('cancel', (event) => event.preventDefault());
  }

  /** Ends when the hub can be talked to: at once where it asks for nothing, or a token is there. */
  async enter() {
    if (kept()) return;
    const door = await fetch('/api/v1/claim').then((answer) => answer.json()).catch(() => ({}));
    if (!door.required) return; // or out of reach, which the connection finds out by itself
    if (!this.#entered) {
      this.#first = door.claimable ? 'claim' : 'login';
      this.#show(this.#first);
      this.#scanned();
      this.#entered = resolvers();
    }
    return this.#entered.promise;
  }

  /** Whether somebody has signed in, and may sign out. */
  get isIn() {
    return kept() !== null;
  }

  /** Signs out: the token is forgotten here, and ends at the hub where it was made for this page. */
  async leave() {
    const id = own();
    const headers = authorization();
    forget();
    if (id) await fetch(`/api/v1/tokens/${encodeURIComponent(id)}`, { method: 'DELETE', headers }).catch(() => {});
  }

  /** A ticket for one connection; null where no token is there. An error with its `code`: the token is not good. */
  ticket() {
    if (!kept()) return null;
    return post('/api/v1/tickets').then(
      (body) => body.ticket,
      (error) => {
        if (error.code === 'unauthenticated') forget();
        throw error;
      },
    );
  }

  #show(way) {
    this.#way = way;
    const { title, text, button, other } = WAYS[way];
    const fields = this.#form.elements;
    this.#form.querySelector('h2').textContent = title;
    this.#form.querySelector('.why').textContent = text;
    fields.enter.textContent = button;
    fields.other.textContent = other === 'token' ? 'Use a token instead' : 'Back';
    for (const label of this.#form.querySelectorAll('[data-ways]')) {
      label.hidden = !label.dataset.ways.split(' ').includes(way);
      label.querySelector('input').disabled = label.hidden;
    }
    fields.password.autocomplete = way === 'claim' ? 'new-password' : 'current-password';
    this.#say('');
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#form.querySelector('input:enabled')?.focus();
  }

  /** Whoever scanned the code of a new hub has not to type it: `/claim#K7QM-2XWP`. */
  #scanned() {
    if (location.pathname !== '/claim') return;
    const code = location.hash.slice(1);
    history.replaceState(null, '', '/');
    if (this.#way !== 'claim' || !/^[0-9A-Za-z]{4}-?[0-9A-Za-z]{4}$/.test(code)) return;
    this.#form.elements.code.value = code;
    this.#form.elements.name.focus();
  }

  async #submit() {
    const { code, name, password, token, enter } = this.#form.elements;
    enter.disabled = true;
    this.#say('');
    try {
      if (this.#way === 'token') {
        keep(token.value.trim());
        await post('/api/v1/tickets');
      } else {
        const body = { name: name.value.trim(), password: password.value };
        if (this.#way === 'claim') body.code = code.value;
        if (this.#way === 'claim' && body.password === '') delete body.password;
        const { token, token_id } = await post(`/api/v1/${this.#way}`, body);
        keep(token, token_id);
      }
      this.#form.reset();
      this.#dialog.close();
      this.#entered?.resolve();
      this.#entered = null;
    } catch (error) {
      if (this.#way === 'token') forget();
      this.#say(error.message);
    } finally {
      enter.disabled = false;
    }
  }

  #say(text) {
    const problem = this.#form.querySelector('.problem');
    problem.textContent = text;
    problem.hidden = text === '';
  }
}

/** What a request to the hub carries, so that it knows who asks. */
export function authorization() {
  const token = kept();
  return token ? { authorization: `Bearer ${token}` } : {};
}

/** Where an <img> finds what the hub keeps at `path`: there, or in memory where the hub asks for a token. */
export function fromHub(path) {
  if (!kept()) return path;
  return fetch(path, { headers: authorization() })
    .then((answer) => (answer.ok ? answer.blob() : Promise.reject(new Error(`${answer.status}`))))
    .then((blob) => URL.createObjectURL(blob));
}

async function post(path, body) {
  const headers = { 'content-type': 'application/json', ...(body ? {} : authorization()) };
  const answer = await fetch(path, { method: 'POST', headers, body: body && JSON.stringify(body) });
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  throw Object.assign(new Error(said.detail ?? `The hub answered ${answer.status}.`), { code: said.code });
}

function resolvers() {
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}

// A browser may keep nothing for a page; then the token lives as long as the page.
let held = null;

function kept() {
  try {
    return localStorage.getItem(KEPT) ?? held;
  } catch {
    return held;
  }
}

function own() {
  try {
    return localStorage.getItem(OWN);
  } catch {
    return null;
  }
}

/** `id`: of a token that was made for this page. */
function keep(token, id = null) {
  held = token;
  try {
    localStorage.setItem(KEPT, token);
    if (id) localStorage.setItem(OWN, id);
    else localStorage.removeItem(OWN);
  } catch {
    // See above.
  }
}

function forget() {
  held = null;
  try {
    localStorage.removeItem(KEPT);
    localStorage.removeItem(OWN);
  } catch {
    // See above.
  }
}
