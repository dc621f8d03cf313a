// The folder of a connection table that outlives its process.
//
//   flows.json       the header (header.ts), replaced as a whole
//   flows-TOKEN      the table that it names: a page with the token, then shards and lines as they are in the arena
//   lock             locked by the process whose table this is; has its process id
//   *.set-aside-DATE what could not be used, the latest of each kind
//
// Everything is the process's own and nobody else's to write: what is not is refused or set aside, never read.

import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  statfsSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { PAGE } from "../../../assembly/layout.ts";
import { GuidewayError } from "../../errors.ts";
import { asking, loadNative } from "../../native.ts";
import { decodeHeader, encodeHeader, type Header, tableBytes, Unsound } from "./header.ts";

const HEADER = "flows.json";
const TABLE = "flows-";
const SET_ASIDE = ".set-aside-";
const MOST_HEADER_BYTES = 256 << 20;
/** Mode bits of group and others: all, and those to write. */
const OTHERS = 0o077;
const OTHERS_WRITE = 0o022;
/** statfs(2) of a tmpfs. */
const TMPFS = 0x01021994;

/** What is in a table's first page, so that it belongs to one header. */
const seal = (token: string) => Buffer.from(`guideway flows ${token}\n`);

export interface Left {
  header: Header;
  /** Open for reading. */
  table: number;
}

export class FlowsFolder {
  readonly path: string;
  readonly #lock: number;

  /**
   * Makes the folder if it is not there, and locks it.
   * @throws GuidewayError PERSIST for a folder that cannot be used, or that another process uses
   */
  constructor(path: string) {
    this.path = path;
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      this.#check();
      this.#lock = openSync(
        join(path, "lock"),
        constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW,
        0o600,
      );
    } catch (cause) {
      if (cause instanceof GuidewayError) throw cause;
      throw refusal(path, (cause as Error).message, cause);
    }
    if (!asking(() => loadNative().tryLock(this.#lock))) {
      const pid = readFileSync(this.#lock, "utf8").trim().slice(0, 20);
      closeSync(this.#lock);
      throw refusal(
        path,
        `another process uses it${pid === "" ? "" : ` (${pid})`}: a folder is one machine's`,
      );
    }
    ftruncateSync(this.#lock, 0);
    writeSync(this.#lock, `${process.pid}\n`, 0);
  }

  #check(): void {
    const { mode, uid, isDirectory } = describe(lstatSync(this.path));
    if (!isDirectory) throw refusal(this.path, "it is no folder");
    if (uid !== process.geteuid!() && uid !== 0)
      throw refusal(
        this.path,
        `it belongs to user ${uid}, expected ${process.geteuid!()}, who runs this, or root`,
      );
    if ((mode & OTHERS_WRITE) !== 0)
      throw refusal(
        this.path,
        `others than its owner may write to it (mode ${mode.toString(8)}), expected 700`,
      );
  }

  /** Whether its files are memory. */
  get isMemory(): boolean {
    return statfsSync(this.path).type === TMPFS;
  }

  #file(name: string): string {
    return join(this.path, name);
  }

  /** Opens a file that is this process's alone. @throws Unsound, or Error with ENOENT */
  #openOwn(name: string): { fd: number; bytes: number } {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const fd = openSync(this.#file(name), flags);
    const { mode, uid, isFile, bytes } = describe(fstatSync(fd));
    const fault = !isFile
      ? `${name} is no regular file`
      : uid !== process.geteuid!()
        ? `${name} belongs to user ${uid}, expected ${process.geteuid!()}`
        : (mode & OTHERS) !== 0
          ? `others than its owner may use ${name} (mode ${mode.toString(8)}), expected 600`
          : undefined;
    if (fault === undefined) return { fd, bytes };
    closeSync(fd);
    throw new Unsound(fault);
  }

  /** What a process before has left; undefined when there is nothing. @throws Unsound for what cannot be used */
  read(): Left | undefined {
    let header: Header;
    try {
      header = this.#readHeader();
    } catch (error) {
      if (error instanceof Unsound) throw error;
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw new Unsound(`its header cannot be read: ${(error as Error).message}`);
    }
    try {
      return { header, table: this.#openTable(header) };
    } catch (error) {
      if (error instanceof Unsound) throw error;
      throw new Unsound(`its table cannot be read: ${(error as Error).message}`);
    }
  }

  #readHeader(): Header {
    const { fd, bytes } = this.#openOwn(HEADER);
    try {
      if (bytes > MOST_HEADER_BYTES) throw new Unsound(`its header has ${bytes} bytes`);
      return decodeHeader(readFileSync(fd, "utf8"));
    } finally {
      closeSync(fd);
    }
  }

  #openTable(header: Header): number {
    const { fd, bytes } = this.#openOwn(TABLE + header.table);
    const expected = header.offset + tableBytes(header);
    const wanted = seal(header.table);
    const found = Buffer.alloc(wanted.length);
    readSync(fd, found, 0, found.length, 0);
    if (bytes === expected && found.equals(wanted)) return fd;
    closeSync(fd);
    throw new Unsound(
      bytes === expected
        ? "its table is not the one that its header names"
        : `its table has ${bytes} bytes, expected ${expected}`,
    );
  }

  /** Makes a table, all zero and with room for it reserved. @returns its descriptor. @throws GuidewayError, Error: no room, no right */
  create(token: string, bytes: number): number {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const fd = openSync(this.#file(TABLE + token), flags, 0o600);
    try {
      ftruncateSync(fd, bytes);
      asking(() => loadNative().reserveFile(fd, bytes));
      writeSync(fd, seal(token), 0, undefined, 0);
      return fd;
    } catch (error) {
      closeSync(fd);
      rmSync(this.#file(TABLE + token), { force: true });
      throw error;
    }
  }

  /** Puts a header in force; tables of others go. @throws Error: no room, no right; the one before stays then */
  commit(header: Header): void {
    const file = this.#file(HEADER);
    rmSync(`${file}.new`, { force: true });
    writeFileSync(`${file}.new`, encodeHeader(header), { mode: 0o600, flag: "wx" });
    renameSync(`${file}.new`, file);
    this.#removeTables(header.table);
  }

  #removeTables(but: string): void {
    for (const name of this.#tables()) {
      if (name !== TABLE + but) rmSync(this.#file(name), { force: true, recursive: true });
    }
  }

  #tables(): string[] {
    return readdirSync(this.path).filter((name) => name.startsWith(TABLE) && !name.includes(SET_ASIDE));
  }

  /** From here on the table belongs to no header. Needs no room, and does not throw. @param table descriptor */
  revoke(table: number): void {
    const attempts = [
      () => rmSync(this.#file(HEADER), { force: true, recursive: true }),
      () => writeSync(table, Buffer.alloc(PAGE), 0, PAGE, 0),
    ];
    for (const attempt of attempts) {
      try {
        attempt();
      } catch {
        // The other one will do.
      }
    }
  }

  /** After revoke(): the table is its header's again. @throws Error */
  reinstate(table: number, token: string): void {
    writeSync(table, seal(token), 0, undefined, 0);
  }

  /** Nothing is left for a process after this one. */
  clear(): void {
    rmSync(this.#file(HEADER), { force: true, recursive: true });
    this.#removeTables("");
  }

  /**
   * Renames what is there, so that nobody takes it for good; what was set aside before goes.
   * @param but token of a table that stays
   * @returns the header's new name
   */
  setAside(but: string | undefined, now = new Date()): string {
    for (const name of readdirSync(this.path).filter((each) => each.includes(SET_ASIDE)))
      rmSync(this.#file(name), { force: true, recursive: true });
    const suffix = SET_ASIDE + now.toISOString().replaceAll(":", "-");
    for (const name of [HEADER, ...this.#tables()]) {
      if (but !== undefined && name === TABLE + but) continue;
      try {
        renameSync(this.#file(name), this.#file(name + suffix));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
    }
    return this.#file(HEADER + suffix);
  }

  /** Gives the lock back. */
  close(): void {
    closeSync(this.#lock);
  }
}

function describe(stat: Stats) {
  const { mode, uid, size } = stat;
  return {
    mode: mode & 0o7777,
    uid,
    bytes: size,
    isFile: stat.isFile(),
    isDirectory: stat.isDirectory(),
  };
}

function refusal(path: string, why: string, cause?: unknown): GuidewayError {
  return new GuidewayError("PERSIST", `conntrack.persist: ${path} cannot be used: ${why}`, { cause });
}
