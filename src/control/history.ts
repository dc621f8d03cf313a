// What was changed, by whom and when, and the last configuration that worked: two files in the state folder.
//
//   audit.jsonl     one JSON object a line, only ever appended to
//   last-good.yaml  the text of the configuration in force, replaced as a whole
//
// Neither may cost traffic: what cannot be written (a full disk) is said in the status and tried again, with the next change and
// every few seconds. What a failed write has left of its own is taken back.
//
//   entry    noted by   in memory              in the file
//   pending  note()     yes                    no
//   written  #append()  while it is among the  yes
//   lost     note()     latest KEPT            no: more than KEPT were pending

import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
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
/** Until what could not be written is tried again. */
const RETRY_MS = 5000;
const MODE = 0o600;
const NEWLINE = 0x0a;

export class History {
  readonly #log: Logger;
  readonly #retryMs: number;
  readonly #audit: FileStatus;
  readonly #lastGood: FileStatus;
  readonly #entries: AuditEntry[] = [];
  /** Entries that are not in the file yet. */
  readonly #pending = new Set<AuditEntry>();
  #lost = 0;
  /** A configuration that is not in its file yet. */
  #unkept: string | undefined;
  #writing: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;

  /** @param folder is made when something is written to it */
  constructor(folder: string, log: Logger, retryMs = RETRY_MS) {
    this.#log = log;
    this.#retryMs = retryMs;
    const file = (name: string) => ({ file: join(folder, name), writtenAt: undefined, error: undefined });
    this.#audit = file("audit.jsonl");
    this.#lastGood = file("last-good.yaml");
  }

  /** Notes a change. */
  note(entry: Omit<AuditEntry, "at">): void {
    const whole = { at: new Date().toISOString(), ...entry };
    this.#entries.push(whole);
    this.#pending.add(whole);
    if (this.#entries.length > KEPT) this.#entries.shift();
    if (this.#pending.size > KEPT) {
      const [oldest] = this.#pending;
      this.#pending.delete(oldest!);
      this.#lost++;
    }
    this.#write();
  }

  /** The latest entries of this process, oldest first. */
  entries(limit: number): AuditEntry[] {
    return this.#entries.slice(-limit);
  }

  /** Keeps a configuration that works. */
  keep(text: string): void {
    this.#unkept = text;
    this.#write();
  }

  status(): HistoryStatus {
    return {
      audit: { ...this.#audit, pending: this.#pending.size, lost: this.#lost },
      lastGood: { ...this.#lastGood },
    };
  }

  /** Resolves when what was noted and kept so far is written, or could not be. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  /** Tries once more to write what could not be written so far: nothing is tried afterwards but what is noted then. */
  async stop(): Promise<void> {
    await this.#writing;
    if (this.#unwritten) this.#write();
    await this.#writing;
    clearTimeout(this.#retry);
  }

  get #unwritten(): boolean {
    return this.#pending.size > 0 || this.#unkept !== undefined;
  }

  #write(): void {
    this.#writing = this.#writing.then(async () => {
      await this.#append();
      await this.#replace();
      clearTimeout(this.#retry);
      if (this.#unwritten) this.#retry = setTimeout(() => this.#write(), this.#retryMs).unref();
    });
  }

  async #append(): Promise<void> {
    if (this.#pending.size === 0) return;
    await this.#try(this.#audit, async () => {
      const handle = await open(this.#audit.file, "a+", MODE);
      try {
        if (await isTorn(handle)) await handle.appendFile("\n");
        // One by one: a disk that runs full takes as many as fit, and no entry is there twice.
        for (const entry of [...this.#pending]) {
          await appendWhole(handle, `${JSON.stringify(entry)}\n`);
          this.#pending.delete(entry);
        }
      } finally {
        await handle.close();
      }
    });
  }

  async #replace(): Promise<void> {
    const text = this.#unkept;
    if (text === undefined) return;
    await this.#try(this.#lastGood, async () => {
      await replaceFile(this.#lastGood.file, text);
      if (this.#unkept === text) this.#unkept = undefined;
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

/** Appends a text, or nothing: what a full disk has taken of it is cut off again, where the file allows that (chattr(1) +a does not). */
async function appendWhole(file: FileHandle, text: string): Promise<void> {
  const { size } = await file.stat();
  try {
    await file.appendFile(text);
  } catch (error) {
    await file.truncate(size).catch(() => {});
    throw error;
  }
}

/** Whether a file ends with half a line, as a crash leaves one. */
async function isTorn(file: FileHandle): Promise<boolean> {
  const { size } = await file.stat();
  if (size === 0) return false;
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer[0] !== NEWLINE;
}

/** Replaces a file as a whole: a reader, also after a crash, finds the old text or the new one. */
async function replaceFile(file: string, text: string): Promise<void> {
  const next = `${file}.next`;
  try {
    const handle = await open(next, "w", MODE);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(next, file);
  } catch (error) {
    // Half of it would take the room that is missing.
    await rm(next, { force: true }).catch(() => {});
    throw error;
  }
}
