// The pictures of one answer: a preview gives way to the next one of its number, and in the end the hub keeps them.
// Knows no protocol. What is shown is only ever an <img>.

import { fromHub } from './door.js';

const NAMES = { 'image/png': 'png', 'image/jpeg': 'jpg', 'image/webp': 'webp', 'image/gif': 'gif' };

export class Pictures {
  #row = null;
  #figures = new Map(); // number → its link, which holds the <img>
  #place;

  /** `place(row)` puts the row of pictures where it belongs, once there is one. */
  constructor(place) {
    this.#place = place;
  }

  get size() {
    return this.#figures.size;
  }

  show({ image, partial, blob }) {
    const link = this.#link(image);
    release(link);
    const url = URL.createObjectURL(blob);
    link.download = `picture-${image + 1}.${NAMES[blob.type] ?? 'bin'}`;
    link.classList.toggle('partial', partial);
    point(link, url, url);
  }

  /** Where the hub keeps them, in order. Those that have not come, or not whole, are shown from there. */
  keep(blobs) {
    blobs.forEach((blob_id, image) => {
      const url = `/api/v1/blobs/${encodeURIComponent(blob_id)}`;
      const link = this.#link(image);
      const whole = link.firstChild.src && !link.classList.contains('partial');
      if (!whole) release(link);
      if (!link.download) link.download = `picture-${image + 1}`;
      link.classList.remove('partial');
      const from = fromHub(url);
      if (from === url) point(link, url, whole ? null : url);
      // A link shows no token: what is in memory stays, and the rest is brought there.
      else if (!whole) from.then((held) => point(link, held, held), () => {});
    });
  }

  #link(image) {
    const known = this.#figures.get(image);
    if (known) return known;
    if (!this.#row) {
      this.#row = document.createElement('div');
      this.#row.className = 'pictures';
      this.#place(this.#row);
    }
    const link = document.createElement('a');
    const picture = document.createElement('img');
    picture.alt = `Picture ${image + 1} of the answer`;
    link.title = 'Save this picture';
    link.append(picture);
    const after = [...this.#figures].filter(([other]) => other < image).at(-1)?.[1];
    if (after) after.after(link);
    else this.#row.prepend(link);
    this.#figures.set(image, link);
    return link;
  }
}

/** Lets go of the pictures that the page holds in memory for this part of it. */
export function release(element) {
  for (const image of element.querySelectorAll('img[src^="blob:"]')) URL.revokeObjectURL(image.src);
}

function point(link, href, src) {
  link.href = href;
  if (src) link.firstChild.src = src;
}
