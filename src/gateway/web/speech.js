// Plays speech while it still comes: pieces of PCM, one after the other without a gap. Knows no protocol.

const LEAD_S = 0.08; // what is held before the first piece sounds, so that a late second one leaves no hole

export class Speech {
  #context = null;
  #sources = new Set();
  #until = 0;

  /** To be called from a click or a key: before one, browsers let no page be heard. */
  unlock() {
    this.#context ??= new AudioContext();
    if (this.#context.state === 'suspended') this.#context.resume().catch(() => {});
  }

  /** 16 bit, little-endian, one channel; other formats were not asked for. */
  push({ format, sample_rate, bytes }) {
    const length = bytes.byteLength >> 1;
    if (!this.#context || format !== 'pcm' || length === 0) return;
    const buffer = this.#context.createBuffer(1, length, sample_rate);
    const [view, samples] = [new DataView(bytes), buffer.getChannelData(0)];
    for (let i = 0; i < length; i += 1) samples[i] = view.getInt16(2 * i, true) / 32_768;
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#context.destination);
    source.onended = () => this.#sources.delete(source);
    this.#until = Math.max(this.#until, this.#context.currentTime + (this.#sources.size ? 0 : LEAD_S));
    source.start(this.#until);
    this.#until += buffer.duration;
    this.#sources.add(source);
  }

  /** Silence, at once. */
  stop() {
    for (const source of this.#sources) source.stop();
    this.#sources.clear();
    this.#until = 0;
  }
}
