// Configurations that differ in what reload.test.ts changes, and the ways to put them in force.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import type { Lab } from "../../src/lab/lab.ts";
import { type Balancer, eventually } from "./harness.ts";
import { SEED } from "./ownership.ts";
import { configOf, poolOf, VIP } from "./setup.ts";

/** A VIP that is there only at times. */
export const EXTRA = "10.99.0.3";
export const EVERYONE: Members = { be1: 4, be2: 4, be3: 4, be4: 4, be5: 4 };
const HEALTH = { type: "http", path: "/healthz", port: 80, interval: "500ms", fall: 3, rise: 2 };

export interface Members {
  /** Weights by name; who is not here is no member. */
  [name: string]: number;
}

/** What a test says of the configuration; the rest is the same in all. */
export interface Shape {
  members?: Members;
  tableSize?: number;
  forward?: "l2" | "gre";
  /** Of the VIP of IPv4. */
  pool?: "web" | "other";
  extra?: boolean;
}

/** A balancer of a lab with five backends. */
export function documentOf(lab: Lab, shape: Shape): object {
  const { members = EVERYONE, tableSize = 4099, forward = "l2", pool = "web", extra = false } = shape;
  const { backends } = poolOf(lab);
  const weighed = backends.flatMap((each) =>
    members[each.name] === undefined ? [] : [{ ...each, weight: members[each.name] }],
  );
  const vip = { protocol: "tcp", port: 80, forward };
  return {
    ...configOf(lab, { workers: 2, timeouts: { new: "1s" } }),
    hash: { seed: SEED },
    pools: {
      web: { tableSize, health: HEALTH, backends: weighed },
      other: { tableSize: 251, health: HEALTH, backends: backends.slice(0, 2) },
    },
    vips: [
      { ...vip, name: "web", address: VIP.v4, pool },
      { ...vip, name: "web6", address: VIP.v6, pool: "web" },
      { ...vip, name: "other", address: VIP.v4, port: 8080, pool: "other" },
      ...(extra ? [{ ...vip, name: "extra", address: EXTRA, pool: "other" }] : []),
    ],
  };
}

export type ReloadWay = "api" | "command" | "signal";

export class Reloader {
  /** How many were put in force. */
  applied = 0;
  readonly #lab: Lab;
  readonly #balancer: Balancer;

  constructor(lab: Lab, balancer: Balancer) {
    this.#lab = lab;
    this.#balancer = balancer;
  }

  /** The text of a configuration, with what the harness adds. */
  textOf(shape: Shape): string {
    const { socket, folder } = this.#balancer;
    const change = { state: join(folder, "state") };
    return stringify({ ...documentOf(this.#lab, shape), admin: { socket }, change });
  }

  async generation(): Promise<number> {
    return (await this.#balancer.status()).configuration.generation;
  }

  /** @returns milliseconds that it took */
  async reload(shape: Shape, way: ReloadWay = "api"): Promise<number> {
    const startMs = performance.now();
    await this.#by[way](this.textOf(shape));
    this.applied++;
    return performance.now() - startMs;
  }

  readonly #by: Record<ReloadWay, (text: string) => Promise<void>> = {
    api: async (text) => {
      await this.#balancer.admin.reload({ text, file: this.#balancer.file });
    },
    command: async (text) => {
      writeFileSync(this.#balancer.file, text);
      const { code, stdout, stderr } = await this.#balancer.command("reload");
      assert.equal(code, 0, stderr);
      assert.match(stdout, /generation \d+ is in force/);
    },
    signal: async (text) => {
      writeFileSync(this.#balancer.file, text);
      const next = (await this.generation()) + 1;
      process.kill(this.#balancer.pid, "SIGHUP");
      await eventually("it is in force", async () => (await this.generation()) === next);
    },
  };
}
