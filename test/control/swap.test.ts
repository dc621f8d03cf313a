// From the result of a check to a packet that goes elsewhere, with a thousand backends: real checks by the prober's thread, real
// workers in threads of theirs. Only what is between them, control/controller.ts, is here.

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { after, before, suite, test } from "node:test";
import { stringify } from "yaml";
import { parseConfig } from "../../src/config/load.ts";
import { Availability } from "../../src/control/availability.ts";
import { type HealthChange, HealthMonitor } from "../../src/health/monitor.ts";
import { healthTargets } from "../../src/health/targets.ts";
import { OfflineEngine, type OfflineResult } from "../../src/io/offline.ts";
import { createLogger } from "../../src/log.ts";
import { nthFlow, packetOf } from "../engine/collisions.ts";

const BACKENDS = 1000;
/** Each dies by itself. */
const SINGLE = 5;
/** These die at the same moment, and are found within an interval. */
const BURST = 900;
const FLOWS = 16_000;
const INTERVAL_MS = 1000;
/** Wanted, and what is a failure: the machine may be busy. */
const WANTED_MS = 50;
const LIMIT_MS = 10 * WANTED_MS;
const VIP = { number: 1, address: "10.99.0.1", protocol: "tcp", port: 80 } as const;

interface Told {
  change: HealthChange;
  /** Milliseconds since 1970, when the tables were swapped. */
  swappedAt: number;
}

suite(`a check's result, with ${BACKENDS} backends`, { timeout: 60_000 }, () => {
  const log = createLogger({ level: "silent" });
  const told = new Map<string, Told>();
  let wake = () => {};
  let servers: Server[];
  let offline: OfflineEngine;
  let monitor: HealthMonitor;

  const nameOf = (n: number) => `b${n}`;
  /** Of the SINGLE first each has a server of its own, then BURST share one, then the rest. */
  const serverOf = (n: number) => (n < SINGLE ? n : n < SINGLE + BURST ? SINGLE : SINGLE + 1);

  before(async () => {
    servers = Array.from({ length: SINGLE + 2 }, () => createServer((socket) => socket.destroy()));
    await Promise.all(
      servers.map((server) => once(server.listen({ host: "0.0.0.0", port: 0, backlog: 4096 }), "listening")),
    );
    const health = { type: "tcp", interval: `${INTERVAL_MS}ms`, fall: 1, rise: 1 };
    const backends = Array.from({ length: BACKENDS }, (_, n) => ({
      name: nameOf(n),
      address: `10.0.${n >> 8}.${n & 255}`,
      healthPort: (servers[serverOf(n)]!.address() as AddressInfo).port,
    }));
    const { address, protocol, port } = VIP;
    const { config } = parseConfig(
      stringify({
        conntrack: { flows: 4 * FLOWS },
        pools: { web: { health, backends } },
        vips: [{ name: "web", address, protocol, port, pool: "web" }],
      }),
      "swap.yaml",
    );
    offline = new OfflineEngine(config, { workers: 2 });
    const availability = new Availability({
      activeFlows: () => 0,
      directory: offline.engine.directory,
      isUp: (pool, backend) => monitor.status(pool, backend)?.state !== "down",
      log,
      onChange: () => {},
    });
    monitor = new HealthMonitor({
      log,
      onChange(changes) {
        availability.refresh([...new Set(changes.map(({ pool }) => pool))]);
        const swappedAt = Date.now();
        for (const change of changes) told.set(change.backend, { change, swappedAt });
        wake();
      },
    });
    // Distinct addresses make distinct checks; a configuration has no loopback addresses.
    const targets = healthTargets(config, () => undefined);
    monitor.apply(targets.map((target) => ({ ...target, address: target.address.replace("10.", "127.") })));
    await until(() => told.size === BACKENDS);
    assert.equal(monitor.totals().backends.up, BACKENDS);
  });
  after(async () => {
    await monitor?.stop();
    await offline?.close();
    for (const server of servers) server.close();
  });

  async function until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }

  const send = (flows: number[], flags: string): Promise<OfflineResult[]> =>
    offline.process(flows.map((n) => ({ bytes: packetOf(nthFlow(VIP, n), flags), timeMs: 0 })));

  const id = (name: string) => offline.engine.directory.backend("web", name).id;

  /** A flow of each of these backends. */
  async function flowsOf(names: string[]): Promise<Map<string, number>> {
    const results = await send([...Array(FLOWS).keys()], "S");
    const byId = new Map(results.map(({ backend }, flow) => [backend, flow]));
    return new Map(names.map((name) => [name, byId.get(id(name))!]));
  }

  test("one that dies gets no packet any more", async (t) => {
    const names = Array.from({ length: SINGLE }, (_, n) => nameOf(n));
    const flows = await flowsOf(names);
    const times: string[] = [];
    for (const [n, name] of names.entries()) {
      const flow = flows.get(name)!;
      const [held] = await send([flow], "A");
      assert.deepEqual([held!.reason, held!.backend], ["hit", id(name)]);
      const closedAt = Date.now();
      servers[n]!.close();
      await until(() => told.get(name)?.change.healthy === false);
      const { change, swappedAt } = told.get(name)!;
      const [moved] = await send([flow], "A");
      const elsewhereMs = Date.now() - change.at;
      assert.ok(
        moved!.verdict === "forward" && moved!.backend !== id(name),
        `${moved!.verdict} ${moved!.reason}`,
      );
      assert.match(change.reason, /ECONNREFUSED/);
      assert.ok(elsewhereMs < LIMIT_MS, `${elsewhereMs} ms`);
      times.push(
        `${elsewhereMs} (swapped after ${swappedAt - change.at}, found after ${change.at - closedAt})`,
      );
    }
    t.diagnostic(
      `ms from the result to a packet that went elsewhere, wanted ${WANTED_MS}: ${times.join(", ")}`,
    );
  });

  test(`${BURST} that die at once get none`, async (t) => {
    const names = Array.from({ length: BURST }, (_, n) => nameOf(SINGLE + n));
    const flows = [...(await flowsOf(names)).values()];
    const { generation } = offline.engine.directory.table("web");
    servers[SINGLE]!.close();
    await until(() => names.every((name) => told.get(name)?.change.healthy === false));
    const times = names.map((name) => told.get(name)!.swappedAt - told.get(name)!.change.at);
    const moved = await send(flows, "A");
    const dead = new Set(names.map(id));
    assert.ok(moved.every(({ verdict, backend }) => verdict === "forward" && !dead.has(backend)));
    const worst = Math.max(...times);
    const tables = offline.engine.directory.table("web").generation - generation;
    t.diagnostic(`ms from a result to the swap, at most: ${worst}, wanted ${WANTED_MS}; ${tables} tables`);
    assert.ok(worst < LIMIT_MS, `${worst} ms`);
    assert.equal(monitor.totals().backends.up, BACKENDS - SINGLE - BURST);
  });
});
