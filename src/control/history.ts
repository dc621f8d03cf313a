// What was changed, by whom and when, and the last configuration that worked: two files in the state folder.
//
//   audit.jsonl     one JSON object a line, only ever appended to
//   last-good.yaml  the text of the configuration in force, replaced as a whole
//
// Neither may cost traffic: what cannot be written (a full disk) is said in the status and tried again with the next change.

import { appendFile, mkdir, open, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Logger } from "../log.ts";

/** Who asked for a change. */
export interface Origin {
  /** `command` and `api` came by the admin socket, `file` from the watch on the configuration. */
  by: "start" | "command" | "api" | "signal" | "file";
  /** What a client of the admin API calls itself: not proven. */
  user?: string;
}

export interface AuditEntry extends Origin {
  at: string;
  /** reload, drain, undrain, weight, … */
  action: string;
  /** What it was done to: a file, or pool/backend. */
  target: string;
  outcome: "applied" | "unchanged" | "refused" | "rolled back";
  /** What changed, or why it did not. */
  detail: string;
}

export interface FileStatus {
  file: string;
  /** When it was last written; undefined before. */
  writtenAt: string | undefined;
  /** Why it could not be written last time. */
  error: string | undefined;
}

export interface HistoryStatus {
  /** `pending` entries wait to be written, `lost` ones were given up because too many waited. */
  audit: FileStatus & { pending: number; lost: number };
  lastGood: FileStatus;
}

/** Entries that are kept in memory, to be shown and while they cannot be written. */
const KEPT = 1000;
const MODE = 0o600;

export class History {
  readonly #log: Logger;
  readonly #audit: FileStatus;
  readonly #lastGood: FileStatus;
  readonly #entries: AuditEntry[] = [];
  /** Entries that are not in the file yet. */
  #pending: AuditEntry[] = [];
  #lost = 0;
  #writing: Promise<void> = Promise.resolve();

  /** @param folder is made when something is written to it */
  constructor(folder: string, log: Logger) {
    this.#log = log;
    const file = (name: string) => ({ file: join(folder, name), writtenAt: undefined, error: undefined });
    this.#audit = file("audit.jsonl");
    this.#lastGood = file("last-good.yaml");
  }

  /** Notes a change. */
  note(entry: Omit<AuditEntry, "at">): void {
    const whole = { at: new Date().toISOString(), ...entry };
    this.#entries.push(whole);
    this.#pending.push(whole);
    if (this.#entries.length > KEPT) this.#entries.shift();
    if (this.#pending.length > KEPT) {
      this.#pending.shift();
      this.#lost++;
    }
    this.#soon(() => this.#append());
  }

  /** The latest entries of this process, oldest first. */
  entries(limit: number): AuditEntry[] {
    return this.#entries.slice(-limit);
  }

  /** Keeps a configuration that works. */
  keep(text: string): void {
    this.#soon(() => this.#try(this.#lastGood, () => replaceFile(this.#lastGood.file, text)));
  }

  status(): HistoryStatus {
    return {
      audit: { ...this.#audit, pending: this.#pending.length, lost: this.#lost },
      lastGood: { ...this.#lastGood },
    };
  }

  /** Resolves when what was noted and kept so far is written, or could not be. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  #soon(write: () => Promise<void>): void {
    this.#writing = this.#writing.then(write);
  }

  async #append(): Promise<void> {
    const entries = this.#pending;
    if (entries.length === 0) return;
    // A disk that ran full may have kept half a line: the next one begins afresh.
    const torn = this.#audit.error === undefined ? "" : "\n";
    const text = torn + entries.map((entry) => `${JSON.stringify(entry)}\n`).join("");
    await this.#try(this.#audit, async () => {
      await appendFile(this.#audit.file, text, { mode: MODE });
      this.#pending = this.#pending.filter((entry) => !entries.includes(entry));
    });
  }

  async #try(status: FileStatus, write: () => Promise<void>): Promise<void> {
    try {
      await mkdir(dirname(status.file), { recursive: true, mode: 0o700 });
      await write();
      if (status.error !== undefined) this.#log.info({ file: status.file }, "can be written again");
      status.error = undefined;
      status.writtenAt = new Date().toISOString();
    } catch (error) {
      const { message } = error as Error;
      if (status.error !== message)
        this.#log.error({ file: status.file, reason: message }, "cannot be written; traffic goes on");
      status.error = message;
    }
  }
}

/** Replaces a file as a whole: a reader, also after a crash, finds the old text or the new one. */
async function replaceFile(file: string, text: string): Promise<void> {
  const next = `${file}.next`;
  const handle = await open(next, "w", MODE);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(next, file);
}
