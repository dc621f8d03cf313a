// A result file: written under another name, and moved to its own when it is complete. A command that fails,
// or is interrupted, leaves no half of one.
//
//   state      entered by               leads to
//   open       openOutput()             committed, discarded
//   committed  commit()                 —                      the file is there
//   discarded  discard(), process exit  —                      nothing is there
//
// What is no regular file (a pipe, /dev/null, standard output) cannot be moved into place and is written directly.

import { closeSync, openSync, realpathSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { GuidewayError } from "../errors.ts";

/** Files to remove if the process exits before they are committed. */
const unfinished = new Set<OutputFile>();
process.on("exit", () => {
  for (const file of unfinished) file.discard();
});

/** An output that is open; see the table above. */
export class OutputFile {
  /** As the user named it. */
  readonly name: string;
  readonly #path: string;
  readonly #temporary: string | undefined;
  #descriptor: number | undefined;

  constructor(name: string, path: string, temporary: string | undefined, descriptor: number) {
    this.name = name;
    this.#path = path;
    this.#temporary = temporary;
    this.#descriptor = descriptor;
    unfinished.add(this);
  }

  /** Appends. @throws GuidewayError OUTPUT when the file cannot be written */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#descriptor === process.stdout.fd) return writeStdout(bytes);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#descriptor!, bytes, at);
    } catch (error) {
      throw unwritable(this.name, error);
    }
  }

  /** Gives the file its name. @throws GuidewayError OUTPUT */
  commit(): void {
    this.#close();
    if (this.#temporary === undefined) return;
    try {
      renameSync(this.#temporary, this.#path);
    } catch (error) {
      rmSync(this.#temporary, { force: true });
      throw unwritable(this.name, error);
    }
  }

  /** Gives it up. Does nothing after commit(). */
  discard(): void {
    if (this.#descriptor === undefined) return;
    this.#close();
    if (this.#temporary !== undefined) rmSync(this.#temporary, { force: true });
  }

  #close(): void {
    unfinished.delete(this);
    if (this.#descriptor !== undefined && this.#descriptor !== process.stdout.fd) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

/** Opens an output; `-` is standard output. @throws GuidewayError OUTPUT when it cannot be written */
export function openOutput(name: string): OutputFile {
  if (name === "-") return new OutputFile("standard output", name, undefined, process.stdout.fd);
  try {
    const stat = statSync(name, { throwIfNoEntry: false });
    if (stat !== undefined && !stat.isFile())
      return new OutputFile(name, name, undefined, openSync(name, "w"));
    // A link stays a link: what it points to is replaced.
    const path = stat === undefined ? name : realpathSync(name);
    const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
    return new OutputFile(name, path, temporary, openSync(temporary, "wx"));
  } catch (error) {
    throw unwritable(name, error);
  }
}

/** Standard output may be a pipe that is full: wait for its reader. */
async function writeStdout(bytes: Uint8Array): Promise<void> {
  if (!process.stdout.write(bytes))
    await new Promise<void>((resolve) => process.stdout.once("drain", resolve));
}

function unwritable(name: string, error: unknown): GuidewayError {
  const reasons: Record<string, string> = {
    ENOENT: "its folder does not exist",
    ENOTDIR: "a part of its path is no directory",
    EISDIR: "it is a directory",
    EACCES: "it may not be written by this user",
    EPERM: "it may not be written by this user",
    EROFS: "the file system is read-only",
    ENOSPC: "the disk is full",
  };
  const { code = "", message } = error as NodeJS.ErrnoException;
  const reason = reasons[code] ?? `it cannot be written (${message})`;
  return new GuidewayError("OUTPUT", `${name}: ${reason}, expected a file that can be written`, {
    cause: error,
  });
}
