// The connection table in a file, so that it outlives the process, also one that is killed.
//
//   state      entered by     in the folder                                  under the arena's table
//   opened     constructor    what a process before has left, or nothing     ordinary memory
//   mapped     map()          the same, and a new table without a header     the new table
//   in force   inherit()      the new table and its header                   the new table
//   sealed     seal()         the same, the header with a checksum of it     the new table; nobody may write there
//   closed     close()        the lock is given back
//
// The header's replacement is the one step from old to new: before it a process that is killed leaves all as it was. Each entry of
// the table is whole at any time (assembly/conntrack.ts writes its backend and its state last), and what the header says is
// written before an entry can need it. Where a file cannot be had, flows are kept in memory, and the log says why.

import { createHash, randomBytes } from "node:crypto";
import { closeSync } from "node:fs";
import { performance } from "node:perf_hooks";
import * as L from "../../../assembly/layout.ts";
import type { Config } from "../../config/schema.ts";
import { expandServices, numberName } from "../../config/services.ts";
import type { Logger } from "../../log.ts";
import { asking, loadNative } from "../../native.ts";
import type { Engine } from "../engine.ts";
import type { Numbering } from "../numbers.ts";
import { type Succession, serviceNumbers } from "../succession.ts";
import { FlowsFolder } from "./folder.ts";
import { type Header, headerOf, Unsound } from "./header.ts";
import { before, between, type Instant, instant } from "./instant.ts";
import { OldTable } from "./old-table.ts";
import { type Inheritance, inherit } from "./successor-table.ts";

const SECRET_BYTES = 32;
const HUGE_PAGE = 2 << 20;

export interface KeptFlowsStatus extends Inheritance {
  folder: string;
  /** Whether the flows of this process will be there for the next one. */
  persistent: boolean;
  /** Why not; undefined when they will. */
  error: string | undefined;
  /** What could not be used at the start, and why; undefined when there was nothing wrong. */
  setAside: { file: string; reason: string } | undefined;
}

export class KeptFlows implements Succession {
  readonly #folder: FlowsFolder;
  readonly #log: Logger;
  readonly #now: () => Instant;
  /** Keys the connection table: four words, little-endian. */
  readonly secret: Buffer;
  readonly services = serviceNumbers();
  readonly epochMs: number;
  /** Zero of the workers' clock. */
  readonly #zero: Instant;
  #old: OldTable | undefined;
  #oldFd: number | undefined;
  #backends: Numbering = { named: [], resting: [] };
  #table: { fd: number; token: string; offset: number } | undefined;
  #engine: Engine | undefined;
  /** Last header that was written, but for its digest. */
  #written: string | undefined;
  #inheritance: Inheritance = { kept: 0, expired: 0, forsaken: 0, crowded: 0 };
  #setAside: KeptFlowsStatus["setAside"];
  #error: string | undefined;

  /**
   * Opens the folder and looks at what is there.
   * @throws GuidewayError PERSIST for a folder that cannot be used, or that another process uses
   */
  constructor(folder: string, config: Pick<Config, "vips">, log: Logger, now = instant) {
    this.#log = log;
    this.#now = now;
    this.#folder = new FlowsFolder(folder);
    if (!this.#folder.isMemory)
      log.warn({ folder }, "conntrack.persist is not on a tmpfs: each packet may wait for a disk");
    const header = this.#readOld(config);
    this.secret = header ? secretOf(header) : randomBytes(SECRET_BYTES);
    // The clock goes on where it was, so that ages mean what they did.
    const ranMs = header ? between(header.zero, now()) : 0;
    const clockMs = Math.max(0, ranMs, this.#old?.clockMs ?? 0);
    this.#zero = before(now(), clockMs);
    this.epochMs = performance.timeOrigin + performance.now() - clockMs;
  }

  #readOld({ vips }: Pick<Config, "vips">): Header | undefined {
    try {
      const left = this.#folder.read();
      if (!left) return undefined;
      const { header } = left;
      this.#oldFd = left.table;
      this.#old = new OldTable(left.table, header, between(header.zero, this.#now()));
      const known = new Set(header.services.named.map(([name]) => name));
      const added = new Set(
        expandServices({ vips })
          .map(numberName)
          .filter((name) => !known.has(name)),
      );
      if (known.size + header.services.resting.length + added.size > L.MAX_SERVICES)
        throw new Unsound("its services and those of this configuration are too many together");
      this.services.reserve(header.services);
      return header;
    } catch (error) {
      this.#refuse(error);
      return undefined;
    }
  }

  /** Sets aside what is there. Its flows are not taken over. @throws what neither it nor the system is to blame for */
  #refuse(error: unknown): void {
    const { code, message: reason } = error as NodeJS.ErrnoException;
    if (!(error instanceof Unsound) && code === undefined) throw error;
    this.#closeOld();
    let file = "";
    try {
      file = this.#folder.setAside(this.#table?.token);
    } catch (cause) {
      this.#fail(`what is there cannot be set aside: ${(cause as Error).message}`);
    }
    this.#setAside = { file, reason };
    this.#log.warn({ file, reason }, "connections of the process before cannot be taken over: set aside");
  }

  #closeOld(): void {
    if (this.#oldFd !== undefined) closeSync(this.#oldFd);
    this.#oldFd = undefined;
    this.#old = undefined;
  }

  #fail(reason: string): void {
    if (this.#error !== reason)
      this.#log.error({ folder: this.#folder.path, reason }, "connections will not outlive this process");
    this.#error = reason;
  }

  // ── The table ──────────────────────────────────────────────────────────────────────────────────

  /** Puts a new file under the arena's shards and connection table. Before anybody uses them; what is there is zero. */
  map(engine: Engine): void {
    this.#engine = engine;
    if (this.#error !== undefined) return;
    const native = loadNative();
    const { u8 } = engine.arena;
    const { offset: at, bytes } = this.#region();
    let fd: number | undefined;
    try {
      // Where the file's pages can be huge they are: places in the file and in memory agree.
      const offset =
        ((asking(() => native.hugePageOffset(u8, at)) + HUGE_PAGE - L.PAGE) % HUGE_PAGE) + L.PAGE;
      const token = randomBytes(16).toString("hex");
      fd = this.#folder.create(token, offset + bytes);
      asking(() => native.mapFile(u8, at, bytes, fd!, offset));
      this.#table = { fd, token, offset };
    } catch (error) {
      if (fd !== undefined) closeSync(fd);
      this.#fail((error as Error).message);
    }
  }

  /** Shards and connection table lie one after the other (plan.ts). */
  #region(): { offset: number; bytes: number } {
    const { shards, conntrack } = this.#engine!.arena.plan.regions;
    return { offset: shards.offset, bytes: conntrack.offset + conntrack.bytes - shards.offset };
  }

  /** Takes the flows of the process before over. Before the workers start, and not long before. */
  inherit(): void {
    const engine = this.#engine!;
    const fromMs = performance.now();
    if (this.#old) {
      try {
        this.#inheritance = inherit(this.#old, engine.arena, this.#backendsOf(this.#old), this.clockMs);
      } catch (error) {
        this.#refuse(error);
      }
    }
    this.#closeOld();
    if (this.#table) this.#write();
    else this.#clear();
    const tookMs = Math.round(performance.now() - fromMs);
    this.#log.info({ folder: this.#folder.path, ...this.#inheritance, tookMs }, "connections taken over");
  }

  /** What a process before knew under an id, and what has its name now. */
  #backendsOf({ header: { backends } }: OldTable) {
    const now = new Map(this.#backends.named);
    const known = new Uint8Array(L.MAX_BACKENDS + 1);
    const idOf = new Uint16Array(L.MAX_BACKENDS + 1);
    for (const id of backends.resting) known[id] = 1;
    for (const [key, id] of backends.named) {
      known[id] = 1;
      idOf[id] = now.get(key) ?? 0;
    }
    return { idOf, isPossible: (id: number) => known[id] === 1 };
  }

  #clear(): void {
    try {
      this.#folder.clear();
    } catch (error) {
      this.#fail((error as Error).message);
    }
  }

  /** Of the workers, milliseconds. */
  get clockMs(): number {
    return Math.max(0, between(this.#zero, this.#now()));
  }

  // ── The header ─────────────────────────────────────────────────────────────────────────────────

  record(backends: Numbering): void {
    this.#backends = backends;
    if (this.#written !== undefined) this.#write();
  }

  #header(token: string, offset: number): Header {
    const { config, secret, arena } = this.#engine!;
    return headerOf({
      table: token,
      offset,
      shardLines: arena.plan.shardLines,
      secret: secret.map((word) => word.toString(16).padStart(16, "0")),
      timeouts: config.conntrack.timeouts,
      zero: this.#zero,
      clockMs: this.clockMs,
      backends: this.#backends,
      services: this.services.numbering(),
    });
  }

  /** Writes the header. Where that fails the table is made useless: entries may come that the old one would misread. */
  #write(digest?: string): void {
    const { fd, token, offset } = this.#table!;
    const header = this.#header(token, offset);
    const content = JSON.stringify([header.backends, header.services]);
    if (this.#error === undefined && digest === undefined && content === this.#written) return;
    this.#written = content;
    try {
      this.#folder.commit(digest === undefined ? header : { ...header, digest });
      if (this.#error !== undefined) {
        this.#folder.reinstate(fd, token);
        this.#log.info({ folder: this.#folder.path }, "connections will outlive this process again");
      }
      this.#error = undefined;
    } catch (error) {
      this.#folder.revoke(fd);
      this.#fail((error as Error).message);
    }
  }

  /** Closes the table: what changes in it afterwards is not trusted. No worker may run any more. */
  seal(): void {
    if (!this.#table || this.#written === undefined) return;
    this.#write(digestOf(this.#engine!.arena.u8, this.#region()));
  }

  status(): KeptFlowsStatus {
    return {
      folder: this.#folder.path,
      persistent: this.#error === undefined,
      error: this.#error,
      setAside: this.#setAside,
      ...this.#inheritance,
    };
  }

  /** Gives the folder to whoever comes next. */
  close(): void {
    this.#closeOld();
    if (this.#table) closeSync(this.#table.fd);
    this.#folder.close();
  }
}

function secretOf({ secret }: Header): Buffer {
  const words = Buffer.alloc(SECRET_BYTES);
  for (const [i, word] of secret.entries()) words.writeBigUInt64LE(BigInt(`0x${word}`), 8 * i);
  return words;
}

function digestOf(memory: Uint8Array, { offset, bytes }: { offset: number; bytes: number }): string {
  return createHash("sha256")
    .update(memory.subarray(offset, offset + bytes))
    .digest("hex");
}
