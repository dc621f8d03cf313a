// How far a replay is, on stderr.

/** Milliseconds between two reports; a replay that is shorter has none. */
const EVERY_MS = 1000;

export class Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #totalBytes: number | undefined;
  readonly #startMs = performance.now();
  #lastMs = this.#startMs;

  /** @param totalBytes of the file, where that is known */
  constructor(stream: NodeJS.WriteStream, totalBytes: number | undefined) {
    this.#stream = stream;
    this.#totalBytes = totalBytes;
  }

  update(packets: number, bytes: number): void {
    const now = performance.now();
    if (now - this.#lastMs < EVERY_MS) return;
    this.#lastMs = now;
    const part = this.#totalBytes === undefined ? "" : `${Math.floor((bytes / this.#totalBytes) * 100)}%, `;
    const rate = Math.round(packets / ((now - this.#startMs) / 1000));
    const text = `${part}${packets} packets, ${rate} per second`;
    // On a terminal the line is written over; elsewhere each report is a line.
    this.#stream.write(this.#stream.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
  }

  /** Clears the line. */
  end(): void {
    if (this.#stream.isTTY) this.#stream.write("\r\x1b[K");
  }
}
