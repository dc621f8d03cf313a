// Processes that follow each other on one folder of connections: each is an engine with workers that run in this thread, and a
// clock in the test's hands.

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { stringify } from "yaml";
import { parseConfig } from "../../../src/config/load.ts";
import type { Instant } from "../../../src/dataplane/persistence/instant.ts";
import { KeptFlows } from "../../../src/dataplane/persistence/kept-flows.ts";
import type { Logger } from "../../../src/log.ts";
import { activeFlows, countedEntries, entries } from "../../engine/entries.ts";
import { Rig } from "../../engine/rig.ts";
import { packet } from "../../packets/packet.ts";

/** What a line of the log says. */
export interface Said {
  level: "info" | "warn" | "error";
  msg: string;
  reason?: string;
}

export interface Document {
  conntrack: { flows: number; timeouts: Record<string, string> };
  pools: Record<string, { tableSize: number; backends: { name: string; address: string }[] }>;
  vips: { name: string; address: string; port: number; pool: string; protocol?: string }[];
}

export const backends = (...numbers: number[]) =>
  numbers.map((n) => ({ name: `b${n}`, address: `10.0.0.${20 + n}` }));

export function document(change: (document: Document) => void = () => {}): Document {
  const whole: Document = {
    conntrack: { flows: 1000, timeouts: { new: "60s", established: "15m", closing: "30s", udp: "30s" } },
    pools: {
      web: { tableSize: 1009, backends: backends(1, 2, 3, 4) },
      other: { tableSize: 251, backends: backends(8, 9) },
    },
    vips: [
      { name: "web", address: "10.99.0.1", port: 80, pool: "web" },
      { name: "web6", address: "fd99::1", port: 80, pool: "web" },
      { name: "dns", address: "10.99.0.1", port: 53, protocol: "udp", pool: "web" },
      { name: "other", address: "10.99.0.2", port: 80, pool: "other" },
    ],
  };
  change(whole);
  return whole;
}

/** What became of a packet. */
export interface Fate {
  reason: string;
  /** `pool/backend`; undefined for none. */
  backend: string | undefined;
}

const BATCH = 512;

export class Lives {
  readonly folder: string;
  /** Milliseconds, of every clock. */
  nowMs = 1_000_000;
  boot = "one";
  #running: Life[] = [];

  constructor(t: TestContext) {
    const above = mkdtempSync(join(tmpdir(), "guideway-flows-"));
    this.folder = join(above, "flows");
    t.after(() => {
      for (const life of this.#running) life.kill();
      rmSync(above, { recursive: true, force: true });
    });
  }

  begin(change?: (document: Document) => void, workers = 2): Life {
    const life = new Life(this, document(change), workers);
    this.#running.push(life);
    return life;
  }

  now = (): Instant => ({ boot: this.boot, monotonicMs: this.nowMs, wallMs: this.nowMs });

  /** Files of the folder, but for the lock. */
  files(): string[] {
    return readdirSync(this.folder).filter((name) => name !== "lock");
  }
}

export class Life {
  readonly rig: Rig;
  readonly kept: KeptFlows;
  readonly said: Said[] = [];
  #ended = false;

  constructor(lives: Lives, document: Document, workers: number) {
    const log = Object.fromEntries(
      (["info", "warn", "error"] as const).map((level) => [
        level,
        (fields: { reason?: string }, msg: string) => this.said.push({ level, msg, ...fields }),
      ]),
    ) as unknown as Logger;
    let kept: KeptFlows | undefined;
    this.rig = new Rig(document, {
      workers,
      keep: (config) => {
        kept = new KeptFlows(lives.folder, config, log, lives.now);
        return kept;
      },
    });
    this.kept = kept!;
    this.tick();
  }

  /** The workers learn what time it is. */
  tick(): void {
    this.rig.clockMs = this.kept.clockMs;
    this.rig.runAll();
  }

  /** A packet of each of so many flows to a VIP. */
  pass(address: string, flags: string, { flows = 500, first = 0, port = 80 } = {}): Fate[] {
    this.rig.clockMs = this.kept.clockMs;
    const fates: Fate[] = [];
    for (let n = first; n < first + flows; n += BATCH) {
      const frames = new Map<number, number>();
      for (let i = n; i < Math.min(n + BATCH, first + flows); i++) {
        const bytes = packetTo(address, port, flags, i);
        frames.set(this.rig.deliver(this.rig.owner(bytes), bytes)!, i - first);
      }
      this.rig.runAll();
      for (const { frame, reason, backend } of this.rig.records()) {
        const known = this.rig.engine.directory.backends[backend];
        fates[frames.get(frame)!] = { reason, backend: known && `${known.pool}/${known.config.name}` };
      }
      this.rig.collect();
    }
    return fates;
  }

  /** Another configuration while it runs. */
  apply(change: (document: Document) => void): void {
    const { directory } = this.rig.engine;
    const { pools, vips } = parsed(change);
    for (const { id } of directory.admit({ pools })) {
      directory.setNextHop(id, { mac: Uint8Array.of(2, 0, 0, 0, 0, 1), interface: 0 });
    }
    directory.apply({ pools, vips });
  }

  /** Ends as a machine that is told to. */
  stop(): void {
    this.kept.seal();
    this.kill();
  }

  /** Ends without a word. */
  kill(): void {
    if (!this.#ended) this.kept.close();
    this.#ended = true;
  }

  warnings(): Said[] {
    return this.said.filter(({ level, msg }) => level !== "info" && !msg.includes("tmpfs"));
  }

  /** Whether what is counted of the table is what is in it, and all of it is of backends that are there. */
  faults(): string[] {
    const { engine } = this.rig;
    const { counted, found } = activeFlows(engine);
    const all = entries(engine.arena);
    const strays = all.filter(({ backend }) => !engine.directory.backends[backend]);
    return [
      ...(counted.join() === found.join() ? [] : [`active flows: counted ${counted}, found ${found}`]),
      ...(countedEntries(engine.arena) === all.length
        ? []
        : [`${countedEntries(engine.arena)} of ${all.length}`]),
      ...strays.map(({ backend }) => `an entry of backend ${backend}`),
    ];
  }

  get entries(): number {
    return entries(this.rig.engine.arena).length;
  }
}

function parsed(change: (document: Document) => void) {
  return parseConfig(stringify(document(change)), "life.yaml").config;
}

/** A packet of the n-th flow to a service. */
export function packetTo(address: string, port: number, flags: string, n: number): Uint8Array {
  const sport = 1024 + (n % 60_000);
  const v6 = address.includes(":");
  const ip = v6
    ? packet().ethernet().ipv6({ src: "2001:db8::7", dst: address })
    : packet().ethernet().ipv4({ src: "192.0.2.7", dst: address });
  return (flags === "udp" ? ip.udp({ sport, dport: port }) : ip.tcp({ sport, dport: port, flags })).bytes();
}
