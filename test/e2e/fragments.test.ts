// Packets that do not show their flow: fragments of large datagrams, and what a router says about packets that are too big.

import assert from "node:assert/strict";
import { after, before, suite, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Lab } from "../../src/lab/lab.ts";
import { runTransfer, startServers, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, startBalancer } from "./harness.ts";
import { checkCounters, checkFrames, configOf, e2ePrefix, UDP_PORT, VIP } from "./setup.ts";
import type { UdpResult } from "./udp.ts";

const UDP = fileURLToPath(new URL("./udp.ts", import.meta.url));
const OPTIONS = { skip: skipReason(), timeout: 120_000 };
const FAMILIES = ["v4", "v6"] as const;
const FLOWS = 12;
const DATAGRAMS = 10;
/** Fifteen fragments or so. */
const MOST_BYTES = 20_000;
const TRANSFER_BYTES = 20_000_000;
/** MTU of the client's packets: of fragments there is no telling that a tunnel needs room. */
const CLIENT_MTU = 1400;
/** MTU of the link to the client, which only the router knows of. */
const SMALL_MTU = 1320;

for (const forward of ["l2", "gre"] as const) {
  suite(`fragments and path MTU, forward: ${forward}`, OPTIONS, () => {
    let lab: Lab;
    let balancer: Balancer;
    before(async () => {
      lab = await Lab.up({ prefix: e2ePrefix(), backends: 4, queues: 2, forward });
      for (const family of FAMILIES) {
        const via = lab.address("client", family).replace(/2$/, "1");
        const argv = ["ip", family === "v4" ? "-4" : "-6", "route", "change", "default", "via", via];
        await lab.exec("client", [...argv, "mtu", String(CLIENT_MTU)]);
      }
      await Promise.all([startServers(lab), ...lab.nodes("backend").map(serveUdp)]);
      balancer = await startBalancer(lab, "lb1", configOf(lab, { workers: 2 }));
    });
    after(async () => {
      await balancer?.close();
      await lab?.down();
    });

    async function serveUdp(node: string): Promise<void> {
      const addresses = Object.values(VIP).flatMap((address) => ["--address", address]);
      const argv = [process.execPath, UDP, "server", "--name", node, "--port", String(UDP_PORT)];
      const child = lab.spawn(node, [...argv, ...addresses]);
      await new Promise((resolve, reject) => {
        child.stdout!.once("data", resolve);
        child.once("exit", (code) => reject(new Error(`the UDP server in ${node} ended with ${code}`)));
      });
    }

    for (const family of FAMILIES) {
      test(`${family}: datagrams of up to ${MOST_BYTES} bytes arrive whole, each at its flow's backend`, async () => {
        const before = await balancer.status();
        const sizes = ["--flows", FLOWS, "--datagrams", DATAGRAMS, "--bytes", MOST_BYTES].map(String);
        const target = ["--address", VIP[family], "--port", String(UDP_PORT)];
        const { stdout } = await lab.exec("client", [process.execPath, UDP, "client", ...target, ...sizes]);
        const result = JSON.parse(stdout) as UdpResult;
        const { sent, answered, wrong, moved } = result;
        assert.deepEqual(
          { sent, answered, wrong, moved },
          { sent: FLOWS * DATAGRAMS, answered: FLOWS * DATAGRAMS, wrong: 0, moved: 0 },
        );
        assert.ok(Object.keys(result.backends).length > 1, JSON.stringify(result.backends));
        const { reasons } = await balancer.status();
        const forwarded = (of: Record<string, number>) => (of.hit ?? 0) + (of.new ?? 0);
        const packets = forwarded(reasons) - forwarded(before.reasons);
        assert.ok(packets > sent * 4, `${packets} packets for ${sent} datagrams: they were fragmented`);
        assert.deepEqual(dropped(reasons), {});
      });
    }

    for (const family of FAMILIES) {
      test(`${family}: a download of 20 MB by a link that is too small for its segments`, async (t) => {
        await shrink(t);
        const before = (await balancer.status()).reasons["icmp-error"] ?? 0;
        const urls = [vipUrl(VIP[family])];
        for (const { ok, reason, bytes } of await runTransfer(lab, "download", {
          urls,
          bytes: TRANSFER_BYTES,
        })) {
          assert.deepEqual({ ok, reason, bytes }, { ok: true, reason: undefined, bytes: TRANSFER_BYTES });
        }
        const { reasons } = await balancer.status();
        const told = (reasons["icmp-error"] ?? 0) - before;
        assert.ok(told > 0, "the router has told the backend");
        assert.ok(told < 1000, `${told} times: it was heard`);
        assert.deepEqual(dropped(reasons), {});
      });
    }

    /** Makes the link to the client small for the duration of a test. The client itself still offers large segments. */
    async function shrink(t: TestContext): Promise<void> {
      const set = (mtu: number) =>
        lab.exec("router", ["ip", "link", "set", "dev", "p-client", "mtu", String(mtu)]);
      await set(SMALL_MTU);
      t.after(() => set(1500));
    }

    test("every packet is counted, every frame is back", async () => {
      await checkFrames(balancer);
      await checkCounters(balancer);
    });
  });
}

/** What did not go to a backend. */
function dropped(reasons: Record<string, number>): Record<string, number> {
  const good = ["hit", "new", "probe", "icmp-error"];
  return Object.fromEntries(Object.entries(reasons).filter(([name]) => !good.includes(name)));
}
