// Reads the whole list of devices where news of single ones are not enough. What stood in the list stays until the new one is
// there: a list that is away for a blink is a list that cannot be touched.

const AFTER_MS = 300; // many reasons to look are one look
const AGAIN_AFTER_MS = 5_000; // the hub could not say
const AT_ONCE = 50; // devices of one answer, with everything about each

export class Look {
  #list;
  #house;
  #onEnd;
  #timer = 0;
  #isOn = false;
  #isStale = false;

  /** `list(given, onEnd)` asks the hub for one page of its devices; `onEnd()` comes when `house` has them all. */
  constructor(list, house, onEnd) {
    this.#list = list;
    this.#house = house;
    this.#onEnd = onEnd;
  }

  /** There is a reason to look. */
  soon(ms = AFTER_MS) {
    if (this.#isOn) this.#isStale = true;
    if (this.#isOn || this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      this.#isOn = true;
      this.#isStale = false;
      this.#page([]);
    }, ms);
  }

  /** A device has come, has gone or is another now: a list that is being read may not have it. */
  changed() {
    if (this.#isOn) this.#isStale = true;
  }

  #page(before, cursor) {
    this.#list({ detail: true, limit: AT_ONCE, ...(cursor && { cursor }) }, (error, listed) => {
      const devices = [...before, ...(listed?.devices ?? [])];
      if (!error && listed?.next_cursor) return this.#page(devices, listed.next_cursor);
      this.#isOn = false;
      if (error) return this.soon(AGAIN_AFTER_MS);
      if (this.#isStale) return this.soon();
      this.#house.whole(devices);
      this.#onEnd();
    });
  }
}
