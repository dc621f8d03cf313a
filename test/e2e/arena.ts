// The arena of a running balancer, from outside: through /proc/PID/mem, as a stray write would reach it.

import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import * as L from "../../assembly/layout.ts";

export class ForeignArena {
  readonly #fd: number;
  readonly #base: number;

  /** @throws Error when the process has no arena */
  constructor(pid: number) {
    this.#fd = openSync(`/proc/${pid}/mem`, "r+");
    this.#base = this.#find(pid);
  }

  /** The arena's first page is unused, and its header follows. The rings of sockets are mappings of their own, further on. */
  #find(pid: number): number {
    for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
      const [, from = "", to = "", mode = ""] = /^(\w+)-(\w+) (\S+)/.exec(line) ?? [];
      const at = Number.parseInt(from, 16);
      if (!mode.startsWith("rw") || Number.parseInt(to, 16) - at < 2 * L.PAGE) continue;
      const header = Buffer.alloc(8);
      try {
        readSync(this.#fd, header, 0, 8, at + L.HEADER_MAGIC);
      } catch {
        continue;
      }
      if (header.readUInt32LE(0) === L.MAGIC && header.readUInt32LE(4) === L.LAYOUT_VERSION) return at;
    }
    throw new Error(`process ${pid} has no arena`);
  }

  word(address: number): number {
    const bytes = Buffer.alloc(4);
    readSync(this.#fd, bytes, 0, 4, this.#base + address);
    return bytes.readUInt32LE(0);
  }

  setWord(address: number, value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value >>> 0);
    writeSync(this.#fd, bytes, 0, 4, this.#base + address);
  }

  /** Address of the services that are in force. */
  services(): number {
    return this.word(L.HEADER_SERVICES);
  }

  /** Address of the lookup table of a VIP, by its place in the configuration. */
  table(vip: number): number {
    const services = this.services();
    const record = services + this.word(services + L.SERVICES_VIPS) + vip * L.VIP_BYTES;
    return this.word(this.word(record + L.VIP_POOL) + L.POOL_TABLE);
  }

  /** Address of the lookup table of the first VIP. */
  firstTable(): number {
    return this.table(0);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
