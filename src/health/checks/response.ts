// An HTTP/1.1 response, as far as a check needs it (RFC 9112): the status, and the first 64 KiB of the body on
// request. Whatever a server sends costs no more memory than that, and time in proportion to what it sends.

/** Longest header, interim responses included. */
const MAX_HEADER_BYTES = 16_384;
const MAX_BODY_BYTES = 65_536;
/** Longest line that announces a chunk. */
const MAX_CHUNK_LINE_BYTES = 1024;
const HEADER_END = "\r\n\r\n";

export class Response {
  /** Of the final response; 0 until its header is complete. */
  status = 0;
  /** Why it is not HTTP; nothing is read after that. */
  problem: string | undefined;
  /** Whether all that is wanted is there. */
  complete = false;
  readonly #wantsBody: boolean;
  #header = Buffer.alloc(0);
  #headerBytes = 0;
  #body = Buffer.alloc(0);
  #bodyBytes = 0;
  /** Bytes of the body, or of the current chunk, that are to come. */
  #remaining = Number.POSITIVE_INFINITY;
  #chunked = false;
  /** The line that announces the next chunk, as far as it is there. */
  #line = "";

  constructor(wantsBody: boolean) {
    this.#wantsBody = wantsBody;
  }

  get body(): Uint8Array {
    return this.#body.subarray(0, this.#bodyBytes);
  }

  /** Takes bytes as they come. */
  push(bytes: Buffer): void {
    if (this.complete || this.problem !== undefined) return;
    const rest = this.status === 0 ? this.#readHeader(bytes) : bytes;
    if (this.status === 0 || this.complete || rest.length === 0) return;
    if (this.#chunked) this.#readChunks(rest);
    else {
      this.#keep(rest.subarray(0, this.#remaining));
      this.#remaining -= Math.min(this.#remaining, rest.length);
      this.complete ||= this.#remaining === 0;
    }
  }

  /** The server has closed its end. */
  end(): void {
    if (this.complete || this.problem !== undefined) return;
    if (this.status === 0) this.problem = "closed before a complete response";
    else if (this.#chunked || this.#remaining !== Number.POSITIVE_INFINITY)
      this.problem = "closed before the end of the body";
    else this.complete = true;
  }

  /** @returns what follows the header */
  #readHeader(bytes: Buffer): Buffer {
    let all = this.#headerBytes === 0 ? bytes : this.#append(bytes);
    let from = Math.max(0, this.#headerBytes - bytes.length - HEADER_END.length);
    for (;;) {
      const end = all.indexOf(HEADER_END, from, "latin1");
      if (end < 0 || end > MAX_HEADER_BYTES) break;
      this.#parseHeader(all.toString("latin1", 0, end));
      const rest = all.subarray(end + HEADER_END.length);
      if (this.status !== 0 || this.problem !== undefined) return rest;
      // An interim response (RFC 9110 §15.2): the next header follows.
      all = rest;
      from = 0;
      this.#headerBytes = 0;
    }
    if (all.length > MAX_HEADER_BYTES) this.problem = `a header of more than ${MAX_HEADER_BYTES} bytes`;
    else if (
      !"HTTP/1.".startsWith(all.toString("latin1", 0, 7)) &&
      !all.toString("latin1", 0, 7).startsWith("HTTP/1.")
    )
      this.problem = "what was received is not HTTP/1";
    else if (this.#headerBytes === 0) this.#append(all);
    return all.subarray(0, 0);
  }

  #append(bytes: Buffer): Buffer {
    const end = this.#headerBytes + bytes.length;
    if (this.#header.length < end) {
      const larger = Buffer.allocUnsafe(Math.max(end, 2 * this.#header.length));
      this.#header.copy(larger, 0, 0, this.#headerBytes);
      this.#header = larger;
    }
    bytes.copy(this.#header, this.#headerBytes);
    this.#headerBytes = end;
    return this.#header.subarray(0, end);
  }

  #parseHeader(header: string): void {
    const status = /^HTTP\/1\.[01] ([1-5]\d\d)(?:[ \r]|$)/.exec(header)?.[1];
    if (status === undefined) {
      this.problem = "what was received is not HTTP/1";
      return;
    }
    if (status.startsWith("1") && status !== "101") return;
    this.status = Number(status);
    if (!this.#wantsBody || status === "204" || status === "304") {
      this.complete = true;
      return;
    }
    this.#chunked = /^transfer-encoding:.*\bchunked[ \t]*$/im.test(header);
    if (this.#chunked) {
      this.#remaining = 0;
      return;
    }
    const length = /^content-length:[ \t]*(\d{1,15})[ \t]*\r?$/im.exec(header)?.[1];
    if (length !== undefined) this.#remaining = Number(length);
    this.complete = this.#remaining === 0;
  }

  #readChunks(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length && !this.complete && this.problem === undefined) {
      if (this.#remaining > 0) {
        const taken = Math.min(this.#remaining, bytes.length - at);
        this.#keep(bytes.subarray(at, at + taken));
        this.#remaining -= taken;
        at += taken;
        continue;
      }
      const end = bytes.indexOf(10, at);
      this.#line += bytes.toString("latin1", at, end < 0 ? bytes.length : end);
      if (this.#line.length > MAX_CHUNK_LINE_BYTES) this.problem = "a chunk is announced by too long a line";
      if (end < 0) return;
      at = end + 1;
      // A chunk ends with an empty line.
      const line = this.#line.trim();
      this.#line = "";
      if (line === "") continue;
      const size = /^([0-9a-f]{1,12})(?:[ \t]*;.*)?$/i.exec(line)?.[1];
      if (size === undefined) this.problem = "a chunk is not announced by its size";
      else if (Number.parseInt(size, 16) === 0) this.complete = true;
      else this.#remaining = Number.parseInt(size, 16);
    }
  }

  #keep(bytes: Buffer): void {
    const taken = bytes.subarray(0, MAX_BODY_BYTES - this.#bodyBytes);
    const end = this.#bodyBytes + taken.length;
    if (this.#body.length < end) {
      const larger = Buffer.allocUnsafe(Math.min(MAX_BODY_BYTES, Math.max(end, 2 * this.#body.length)));
      this.#body.copy(larger, 0, 0, this.#bodyBytes);
      this.#body = larger;
    }
    taken.copy(this.#body, this.#bodyBytes);
    this.#bodyBytes = end;
    if (end === MAX_BODY_BYTES) this.complete = true;
  }
}
