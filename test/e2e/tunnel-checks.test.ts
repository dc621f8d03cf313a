// Health checks that take the way of the traffic: a backend that answers directly but not through its tunnel gets no packets.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { CheckedBackend, Overview } from "../../src/control/overview.ts";
import { Lab } from "../../src/lab/lab.ts";
import type { Forward } from "../../src/lab/topology.ts";
import { startServers } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, eventually, startBalancer } from "./harness.ts";
import { checkCounters, checkFrames, configOf, e2ePrefix, poolOf, requests, VIP } from "./setup.ts";

const OPTIONS = { skip: skipReason(), timeout: 60_000 };
const CHECK = { type: "http", interval: "200ms", timeout: "150ms", rise: 2, fall: 2, jitter: "0%" };

for (const forward of ["l2", "gre"] as Forward[]) {
  suite(`checks through the tunnel: ${forward}`, OPTIONS, () => {
    let lab: Lab;
    let balancer: Balancer;

    before(async () => {
      lab = await Lab.up({ prefix: e2ePrefix(), backends: 3, forward });
      await startServers(lab);
      const vip = (name: string, pool: string, address: string) => ({
        name,
        pool,
        address,
        port: 80,
        forward,
      });
      balancer = await startBalancer(lab, "lb1", {
        ...configOf(lab, { workers: 2 }),
        pools: {
          direct: { ...poolOf(lab), health: { ...CHECK, port: 80 } },
          v4: { ...poolOf(lab), health: { ...CHECK, via: "tunnel" } },
          v6: { ...poolOf(lab, "v6"), health: { ...CHECK, via: "tunnel" } },
        },
        vips: [
          vip("v4", "v4", VIP.v4),
          vip("v6", "v6", VIP.v6),
          { ...vip("direct", "direct", VIP.v4), port: 81 },
        ],
      });
    });
    after(async () => {
      await balancer?.close();
      await lab?.down();
    });

    const backendsOf = async (pool: string): Promise<CheckedBackend[]> => {
      const { pools } = (await balancer.status()) as Overview;
      return pools.find(({ name }) => name === pool)!.backends;
    };

    const states = async (pool: string) => {
      const backends = await backendsOf(pool);
      return backends.map(({ health, state }) => `${health?.state} ${state}`);
    };

    const become = (pool: string, wanted: string[]) =>
      eventually(`${pool} becomes ${wanted}`, async () => {
        return JSON.stringify(await states(pool)) === JSON.stringify(wanted);
      });

    const ALL = ["up active", "up active", "up active"];

    test("all are up, and checked again and again", async () => {
      for (const pool of ["direct", "v4", "v6"]) {
        await become(pool, ALL);
        await eventually("several checks of each", async () => {
          const backends = await backendsOf(pool);
          return backends.every(({ health }) => health!.checks >= 5);
        });
      }
      for (const pool of ["v4", "v6"]) {
        const failures = (await backendsOf(pool)).map(({ health }) => health!.failures);
        assert.deepEqual(failures, [0, 0, 0]);
      }
    });

    test("what breaks the traffic breaks the check, and nothing else", async () => {
      // On layer 2 the VIP's address on the backend, in a tunnel its decapsulator.
      const breaking =
        forward === "l2"
          ? ["addr", "del", `${VIP.v4}/32`, "dev", "lo"]
          : ["link", "set", "dev", "eth0", "xdp", "off"];
      await lab.exec("be2", ["ip", ...breaking]);
      await become("v4", ["up active", "down dead", "up active"]);
      assert.deepEqual(await states("direct"), ALL, "it answers directly");
      const report = await requests(lab, 200, { urls: [`http://${VIP.v4}/`], concurrency: 4 });
      assert.deepEqual([report.failed, Object.keys(report.backends)], [0, ["be1", "be3"]]);
      if (forward === "l2") {
        assert.deepEqual(await states("v6"), ALL);
        await lab.exec("be2", ["ip", "addr", "add", `${VIP.v4}/32`, "dev", "lo"]);
        await become("v4", ALL);
      }
    });

    test("checks count as traffic nowhere, and no frame is lost", async () => {
      await checkCounters(balancer);
      await checkFrames(balancer);
      const { reasons, vips } = await balancer.status();
      assert.ok((reasons.probe ?? 0) > 50);
      assert.equal(vips.find(({ name }) => name === "v6")!.packets, 0);
    });

    test("a stop leaves nothing of the link", async () => {
      assert.equal((await balancer.stop()).code, 0);
      const { stdout } = await lab.exec("lb1", [
        "sh",
        "-c",
        "ip link; ip rule; ip -6 rule; ip route show table all",
      ]);
      assert.doesNotMatch(stdout, /gwprobe|7867/);
    });
  });
}
