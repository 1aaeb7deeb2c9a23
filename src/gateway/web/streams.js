// Pictures and sound of the protocol: binary frames put together by their streams, or base64 taken apart.
// Knows no socket and no DOM. A frame that is no frame, or of a stream that nobody announced, is passed over.

const HEADER_BYTES = 16;
const VERSION = 1;
const KIND = { audio: 1, image: 3 };
const LAST = 2;
const PICTURES = ['image/png', 'image/jpeg', 'image/webp', 'image/gif']; // others could be documents with a will of their own

export class Streams {
  #open = new Map(); // stream_id → what is known of it

  /**
   * An `image` or `audio` chunk of a request. `handlers` get
   * onPicture({ image, partial, blob })  a whole picture or preview, as a Blob
   * onSound({ format, sample_rate, bytes })  a piece of speech, as an ArrayBuffer, in order
   */
  chunk(id, { type, data, metadata = {} }, handlers) {
    if (typeof metadata.stream_id !== 'number') {
      const bytes = unspell(data);
      if (bytes) (type === 'image' ? picture : sound)(metadata, [bytes.buffer], handlers);
      return;
    }
    const known = this.#open.get(metadata.stream_id);
    if (known) known.metadata = metadata; // the next sentence of the same speech
    else this.#open.set(metadata.stream_id, { id, type, metadata, handlers, next: null, parts: [] });
  }

  frame(buffer) {
    if (buffer.byteLength < HEADER_BYTES) return;
    const view = new DataView(buffer);
    const stream = this.#open.get(view.getUint32(4, true));
    if (view.getUint8(0) !== VERSION || !stream || view.getUint8(1) !== KIND[stream.type]) return;
    const index = view.getUint32(8, true);
    if (stream.next !== null && index < stream.next) return; // again, after a lost connection
    // A picture has no use without its beginning.
    if (stream.type === 'image' && index !== (stream.next ?? 0)) return;
    stream.next = index + 1;
    const bytes = buffer.slice(HEADER_BYTES);
    if (stream.type === 'audio') return sound(stream.metadata, [bytes], stream.handlers);
    stream.parts.push(bytes);
    if (view.getUint8(2) & LAST) {
      picture(stream.metadata, stream.parts, stream.handlers);
      stream.parts = [];
    }
  }

  /** A request has ended, or all have. */
  close(id = null) {
    for (const [stream_id, stream] of this.#open) if (id === null || stream.id === id) this.#open.delete(stream_id);
  }
}

function picture({ mime, image = 0, partial = false }, parts, handlers) {
  if (!PICTURES.includes(mime)) return;
  handlers.onPicture?.({ image, partial, blob: new Blob(parts, { type: mime }) });
}

function sound({ format = 'pcm', sample_rate = 24_000 }, [bytes], handlers) {
  if (bytes.byteLength > 0) handlers.onSound?.({ format, sample_rate, bytes });
}

function unspell(base64) {
  if (typeof base64 !== 'string' || base64 === '') return null;
  try {
    return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  } catch {
    return null;
  }
}
