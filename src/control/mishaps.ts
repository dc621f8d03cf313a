// What becomes of workers' mishaps: they are logged, and the packets that were in a worker's hands are kept for a report, as captures
// in the state folder: one of them was its last.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Mishap } from "../dataplane/pool.ts";
import { encodePcapHeader, encodePcapRecords } from "../io/pcap.ts";
import type { Logger } from "../log.ts";

/** Captures of one run of the machine: more say the same. */
const MOST_CAPTURES = 16;
const MODE = 0o600;

export class Mishaps {
  readonly #folder: string;
  readonly #log: Logger;
  #captures = 0;

  /** @param state the state folder */
  constructor(state: string, log: Logger) {
    this.#folder = join(state, "mishaps");
    this.#log = log;
  }

  note({ worker, kind, cause, packets, replacedInMs }: Mishap): void {
    const capture = packets.length > 0 ? this.#keep(packets, `worker-${worker}-${kind}`) : undefined;
    const facts = {
      worker,
      cause,
      ...(packets.length > 0 && { packets: packets.length }),
      ...(capture && { capture }),
    };
    if (kind === "trapped")
      this.#log.error(facts, "a worker trapped, which is a defect: it goes on with its next batch");
    else {
      const ms = replacedInMs === undefined ? undefined : Math.round(replacedInMs);
      const what = kind === "stuck" ? "a worker's loop stood still" : "a worker's thread has ended by itself";
      this.#log.error(
        { ...facts, replacedInMs: ms },
        `${what}: another thread has taken over; flows stay where they are`,
      );
    }
  }

  /** @returns the file; undefined when there are enough, or it cannot be written */
  #keep(packets: readonly Uint8Array[], name: string): string | undefined {
    if (this.#captures >= MOST_CAPTURES) return undefined;
    const at = new Date();
    const file = join(this.#folder, `${at.toISOString().replaceAll(":", "-")}-${name}.pcap`);
    try {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      writeFileSync(file, captureOf(packets, at), { mode: MODE, flag: "wx" });
    } catch (error) {
      this.#log.warn(
        { file, reason: (error as Error).message },
        "the packets of a worker's mishap cannot be kept",
      );
      return undefined;
    }
    this.#captures++;
    return file;
  }
}

/** A capture of whole packets, all of them of one second. */
function captureOf(packets: readonly Uint8Array[], at: Date): Buffer {
  const seconds = Math.floor(at.getTime() / 1000);
  const records = packets.map((bytes) => ({ bytes, originalBytes: bytes.length, seconds, fraction: 0 }));
  return Buffer.concat([encodePcapHeader(false), encodePcapRecords(records)]);
}
