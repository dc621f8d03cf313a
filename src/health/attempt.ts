// One run of a check: its time limit, its end, and what must be closed then.
//
//   state     leaves by
//   running   pass, fail, inconclusive, the time limit; cancel (which reports nothing)
//   settled   —: whatever is said later is ignored

/** What came of a check. */
export interface Outcome {
  /** `inconclusive`: something is wrong here, which says nothing about the backend. */
  verdict: "passed" | "failed" | "inconclusive";
  /** What was found: "status 200", "connect ECONNREFUSED", … */
  reason: string;
  latencyMs: number;
}

/**
 * Error codes of what only this machine lacks: descriptors, memory, ports, addresses, permission to send
 * (errno(3)).
 */
const OURS = new Set([
  ...["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EAGAIN"],
  ...["EADDRNOTAVAIL", "EADDRINUSE", "EACCES", "EPERM", "EINVAL", "EAFNOSUPPORT"],
]);

export class Attempt {
  readonly #started = performance.now();
  readonly #timer: NodeJS.Timeout;
  readonly #done: (outcome: Outcome) => void;
  #cleanup: (() => void) | undefined;
  #settled = false;
  /** What it is waiting for, in the words of a message. */
  phase = "connecting";

  /** @param done is called once, unless the attempt is cancelled */
  constructor(timeoutMs: number, done: (outcome: Outcome) => void) {
    this.#done = done;
    // An immediate comes after what has been received by now: when this thread was late, the answer may be there.
    this.#timer = setTimeout(() => setImmediate(() => this.#expire(timeoutMs)), timeoutMs);
  }

  /** What is called when it ends, however it ends; replaces what was to be called. */
  onEnd(cleanup: () => void): void {
    if (this.#settled) cleanup();
    else this.#cleanup = cleanup;
  }

  pass(reason: string): void {
    this.#settle("passed", reason);
  }

  fail(reason: string): void {
    this.#settle("failed", reason);
  }

  inconclusive(reason: string): void {
    this.#settle("inconclusive", reason);
  }

  /** Ends with what the system says, such as "connect ECONNREFUSED". */
  error(error: Error): void {
    const { code, syscall } = error as NodeJS.ErrnoException;
    const reason = code ? `${syscall ? `${syscall} ` : ""}${code}` : error.message;
    if (code !== undefined && OURS.has(code)) this.inconclusive(reason);
    else this.fail(reason);
  }

  /** Ends it without an outcome. */
  cancel(): void {
    if (this.#settled) return;
    this.#end();
  }

  /** What the end of the time means where silence is no failure. */
  onTimeout: (() => void) | undefined;

  #expire(timeoutMs: number): void {
    if (this.#settled) return;
    if (this.onTimeout) this.onTimeout();
    else this.fail(`timed out after ${timeoutMs} ms (${this.phase})`);
  }

  #settle(verdict: Outcome["verdict"], reason: string): void {
    if (this.#settled) return;
    this.#end();
    this.#done({ verdict, reason, latencyMs: performance.now() - this.#started });
  }

  #end(): void {
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#cleanup?.();
    this.#cleanup = undefined;
  }
}
