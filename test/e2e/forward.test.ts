// Real clients and servers through the balancer: the ways of forwarding with direct server return, both families, one worker and
// two.

import assert from "node:assert/strict";
import { after, before, suite, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Lab } from "../../src/lab/lab.ts";
import { TUNNELS } from "../../src/lab/topology.ts";
import { runTransfer, startServers, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, startBalancer } from "./harness.ts";
import {
  checkCounters,
  checkFrames,
  configOf,
  e2ePrefix,
  requests,
  sentPackets,
  UDP_PORT,
  VIP,
} from "./setup.ts";
import type { UdpResult } from "./udp.ts";

const UDP = fileURLToPath(new URL("./udp.ts", import.meta.url));
const OPTIONS = { skip: skipReason(), timeout: 120_000 };
const BACKENDS = 4;
const REQUESTS = 1000;
const LONG_LIVED = 8;
const TRANSFER_BYTES = 20_000_000;
const UDP_FLOWS = 40;
const UDP_DATAGRAMS = 25;
/** Address resolution and the like: what the client's kernel sends besides. */
const OTHER_PACKETS = 60;
/** Part of the packets that a busy machine may lose on its way through the lab's queues; TCP sends them again. */
const LOST = 0.01;

for (const forward of ["l2", ...TUNNELS] as const) {
  suite(`forward: ${forward}`, OPTIONS, () => {
    let lab: Lab;
    before(async () => {
      lab = await Lab.up({ prefix: e2ePrefix(), backends: BACKENDS, queues: 2, forward });
      await Promise.all([startServers(lab, { ports: [80, 8080] }), ...lab.nodes("backend").map(serveUdp)]);
    });
    after(() => lab?.down());

    async function serveUdp(node: string): Promise<void> {
      const addresses = Object.values(VIP).flatMap((address) => ["--address", address]);
      const argv = [
        process.execPath,
        UDP,
        "server",
        "--name",
        node,
        "--port",
        String(UDP_PORT),
        ...addresses,
      ];
      const child = lab.spawn(node, argv);
      await new Promise((resolve, reject) => {
        child.stdout!.once("data", resolve);
        child.once("exit", (code) => reject(new Error(`the UDP server in ${node} ended with ${code}`)));
      });
    }

    // What workers do together is the same in every tunnel.
    for (const workers of forward === "ipip" || forward === "gue" ? [2] : [1, 2]) {
      test(`${workers === 1 ? "one worker" : "two workers"}`, async (t) => {
        const balancer = await startBalancer(lab, "lb1", configOf(lab, { workers }));
        t.after(() => balancer.close());
        assert.equal((await balancer.status()).workers.length, workers);
        const sentBefore = await sentPackets(lab, "client");

        let flows = 0;
        for (const family of ["v4", "v6"] as const) {
          // Port 8080 is the tunnel through the other family; without tunnels it is the same as port 80.
          const urls = (forward === "l2" ? [80] : [80, 8080]).map((port) => vipUrl(VIP[family], port));
          flows += await curl(t, family, urls);
          flows += await manyRequests(t, `${family}: ${REQUESTS} requests`, urls);
          flows += await transfers(t, family, urls);
          flows += await datagrams(t, family);
        }

        await t.test("every packet and every flow is counted, every frame is back", async () => {
          await checkFrames(balancer);
          const status = await balancer.status();
          await checkCounters(balancer);
          assert.deepEqual(
            Object.keys(status.reasons).sort(),
            ["hit", "new", "probe"],
            JSON.stringify(status.reasons),
          );
          // A client's port may come again while its last flow is remembered.
          const { new: entered = 0, hit = 0 } = status.reasons;
          assert.ok(
            entered <= flows && entered >= flows * 0.99,
            `${entered} new flows for ${flows} connections`,
          );
          const sent = (await sentPackets(lab, "client")) - sentBefore;
          const others = sent - entered - hit;
          assert.ok(
            others >= 0 && others <= OTHER_PACKETS + sent * LOST,
            `the client sent ${sent}, ${entered + hit} were forwarded`,
          );
          const idle = status.workers.filter(({ packets }) => packets < 1000);
          assert.deepEqual(idle, [], "workers without traffic");
          await cleanEnd(balancer);
        });
      });
    }

    /** @returns connections made */
    async function manyRequests(t: TestContext, title: string, urls: string[]): Promise<number> {
      let connections = 0;
      await t.test(title, async () => {
        const options = { urls, concurrency: 12, longLived: LONG_LIVED, longLivedIntervalMs: 10 };
        const { ok, failed, reasons, backends, longLived } = await requests(lab, REQUESTS, options);
        assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
        assert.ok(ok >= REQUESTS);
        assert.deepEqual(Object.keys(backends), lab.nodes("backend"));
        for (const [name, count] of Object.entries(backends)) {
          assert.ok(count > (ok / BACKENDS) * 0.5, `${name} answered ${count} of ${ok}`);
        }
        assert.ok(longLived.ok >= LONG_LIVED * 5, `${longLived.ok} requests on long-lived connections`);
        const { open, lost, moved } = longLived;
        assert.deepEqual({ open, lost, moved }, { open: LONG_LIVED, lost: 0, moved: 0 });
        connections = ok - longLived.ok + LONG_LIVED;
      });
      return connections;
    }

    async function curl(t: TestContext, family: "v4" | "v6", urls: string[]): Promise<number> {
      await t.test(`${family}: curl`, async () => {
        for (const url of urls) {
          const argv = ["curl", "--silent", "--show-error", "--globoff", "--max-time", "5", url];
          const { stdout } = await lab.exec("client", argv);
          assert.ok(lab.nodes("backend").includes(stdout.trim()), stdout);
        }
      });
      return urls.length;
    }

    async function transfers(t: TestContext, family: "v4" | "v6", urls: string[]): Promise<number> {
      for (const mode of ["download", "upload"] as const) {
        await t.test(`${family}: ${mode} of 20 MB, every byte`, async () => {
          for (const { ok, reason, bytes } of await runTransfer(lab, mode, { urls, bytes: TRANSFER_BYTES })) {
            assert.deepEqual({ ok, reason, bytes }, { ok: true, reason: undefined, bytes: TRANSFER_BYTES });
          }
        });
      }
      return 2 * urls.length;
    }

    async function datagrams(t: TestContext, family: "v4" | "v6"): Promise<number> {
      await t.test(`${family}: UDP`, async () => {
        const size = ["--flows", String(UDP_FLOWS), "--datagrams", String(UDP_DATAGRAMS)];
        const argv = [
          process.execPath,
          UDP,
          "client",
          "--address",
          VIP[family],
          "--port",
          String(UDP_PORT),
          ...size,
        ];
        const result = JSON.parse((await lab.exec("client", argv)).stdout) as UdpResult;
        const { backends, ...counts } = result;
        const sent = UDP_FLOWS * UDP_DATAGRAMS;
        assert.deepEqual(counts, { sent, answered: sent, wrong: 0, moved: 0 });
        assert.deepEqual(Object.keys(backends).sort(), lab.nodes("backend"));
      });
      return UDP_FLOWS;
    }
  });
}

/** Workers that did all their work have nothing to say at the end. */
async function cleanEnd(balancer: Balancer): Promise<void> {
  const { code, log } = await balancer.stop();
  assert.equal(code, 0);
  const complaints = log.filter(({ level }) => level >= 40);
  assert.deepEqual(complaints, []);
}
