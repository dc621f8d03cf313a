// Which VIPs routers send here: those that this machine can serve, from the end of its start to the beginning of its stop.
//
//   state      entered by  announced are
//   starting   new         what an earlier process has left, untouched
//   serving    begin()     addresses of VIPs whose pool is usable or draining, while the forwarder is healthy; not those that leave()
//   stopped    stop()      none
//
// What goes is withdrawn first and forwarded for `drain` more: a router may still be sending.

import { setTimeout as sleep } from "node:timers/promises";
import { type Announcement, type Announcer, announcementOf } from "../announce/announcer.ts";
import type { Config } from "../config/schema.ts";
import type { Availability } from "./availability.ts";
import type { Machine } from "./machine.ts";

/** Until it is looked again whether the last flow of a draining pool has ended: nothing else tells. */
const DRAINING_MS = 500;

export interface AnnouncedVipsOptions {
  announcer: Announcer;
  machine: Machine;
  availability: Availability;
}

export class AnnouncedVips {
  readonly #options: AnnouncedVipsOptions;
  #serving = false;
  /** Addresses that are about to leave the configuration. */
  #leaving: ReadonlySet<string> = new Set();
  #draining: NodeJS.Timeout | undefined;

  constructor(options: AnnouncedVipsOptions) {
    this.#options = options;
  }

  begin(): void {
    this.#serving = true;
    this.update();
  }

  /** To be called whenever the answer may be another. */
  update(): void {
    clearTimeout(this.#draining);
    if (!this.#serving) return;
    const { announcer, availability, machine } = this.#options;
    announcer.want(this.#servable());
    if (machine.engine.directory.poolNames.some((pool) => availability.isDraining(pool)))
      this.#draining = setTimeout(() => this.update(), DRAINING_MS).unref();
  }

  /** Withdraws the addresses that no VIP of another configuration has; resolves when their packets have ceased. */
  async leave(next: Config): Promise<void> {
    const staying = new Set(next.vips.map(({ address }) => address));
    const all = this.#options.machine.config.vips.map(({ address }) => address);
    this.#leaving = new Set(all.filter((address) => !staying.has(address)));
    if (this.#serving && this.#leaving.size > 0) await this.#reduce(this.#servable());
  }

  /** What was to leave has left, or stays after all. */
  left(): void {
    this.#leaving = new Set();
    this.update();
  }

  /** Withdraws everything. */
  async stop(): Promise<void> {
    this.#serving = false;
    clearTimeout(this.#draining);
    await this.#reduce([]);
    await this.#options.announcer.stop();
  }

  /** Leaves these announced, and waits until packets for others have ceased. */
  async #reduce(staying: readonly Announcement[]): Promise<void> {
    const { announcer, machine } = this.#options;
    const prefixes = new Set(staying.map(({ prefix }) => prefix));
    const goes = announcer.status().announced.some(({ prefix }) => !prefixes.has(prefix));
    announcer.want(staying);
    if (!goes) return;
    await announcer.settled();
    await sleep(machine.config.announce?.drain ?? 0);
  }

  /** Addresses of VIPs that this machine can serve now. Of several VIPs that share one, some must be served. */
  #servable(): Announcement[] {
    const { machine, availability } = this.#options;
    if (!machine.attached || !machine.forwarder.status().healthy) return [];
    const served = machine.config.vips.filter(
      ({ pool, address }) =>
        (availability.isUsable(pool) || availability.isDraining(pool)) && !this.#leaving.has(address),
    );
    return [...new Set(served.map(({ address }) => address))].map(announcementOf);
  }
}
