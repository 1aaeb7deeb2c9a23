// "Add a device": for how long devices may join, who has joined, and how far each has told what it is. Knows no protocol.

const SECONDS = 180;
const SHOWN_MAX = 8; // devices of one search
const STEPS = {
  node: 'what it is made of',
  endpoints: 'its parts',
  clusters: 'what it can do',
  basic: 'its model',
  binding: 'how it reports',
  reporting: 'how often it reports',
};

export class Pairing {
  #button;
  #place;
  #wish;
  #name;
  #until = 0;
  #timer = 0;
  #rows = new Map(); // id → its line

  /** `wish(seconds, onEnd)` opens or (0) closes the house for new devices; `name(id)` is what a device is called by now. */
  constructor(button, place, { wish, name }) {
    this.#button = button;
    this.#place = place;
    this.#wish = wish;
    this.#name = name;
    button.addEventListener('click', () => {
      button.disabled = true;
      this.#problem('');
      if (!this.#until) this.#list().replaceChildren();
      wish(this.#until ? 0 : SECONDS, (error) => {
        button.disabled = false;
        this.#problem(error ?? '');
      });
    });
  }

  /** News of the search, as the hub tells them. */
  heard(news) {
    if (news.event === 'open') this.#count(news.seconds_left);
    else if (news.event === 'closed') this.#count(0);
    else if (news.event === 'joined') this.#say(news.id, 'has joined', 'runs');
    else if (news.event === 'step') this.#say(news.id, `tells ${STEPS[news.step] ?? news.step} (${news.number} of ${news.of})`, 'runs');
    else if (news.event === 'interviewed') this.#say(news.id, 'is ready', 'done');
    else if (news.event === 'failed') this.#say(news.id, `did not tell ${STEPS[news.step] ?? news.step}: ${news.why}`, 'failed');
  }

  #count(seconds) {
    clearInterval(this.#timer);
    this.#until = seconds > 0 ? Date.now() + seconds * 1000 : 0;
    if (this.#until) this.#timer = setInterval(() => this.#tick(), 1000);
    this.#tick();
  }

  #tick() {
    const left = Math.max(0, Math.round((this.#until - Date.now()) / 1000));
    if (this.#until && left === 0) {
      clearInterval(this.#timer);
      this.#until = 0;
    }
    this.#button.textContent = this.#until ? 'Stop' : 'Add a device';
    this.#button.setAttribute('aria-pressed', String(this.#until > 0));
    const head = this.#place.querySelector('.count');
    head.hidden = !this.#until;
    head.textContent = this.#until ? `Devices may join for ${left} s. Switch the new one on, or press its button as its manual says.` : '';
    this.#place.hidden = head.hidden && this.#list().childElementCount === 0 && this.#place.querySelector('.problem').hidden;
  }

  #say(id, text, state) {
    let row = this.#rows.get(id);
    if (!row?.isConnected) {
      row = document.createElement('li');
      this.#rows.set(id, row);
      this.#list().append(row);
      while (this.#list().childElementCount > SHOWN_MAX) this.#list().firstElementChild.remove();
    }
    row.dataset.state = state;
    row.textContent = `${this.#name(id)} ${text}`;
    this.#place.hidden = false;
  }

  #problem(text) {
    const problem = this.#place.querySelector('.problem');
    problem.textContent = text;
    problem.hidden = text === '';
    this.#tick();
  }

  #list() {
    return this.#place.querySelector('ul');
  }
}
