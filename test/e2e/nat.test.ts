// Addresses are translated: real clients and servers, both families, with the balancer on one network and between two. The
// servers know nothing of VIPs; over TCP they listen on a port of their own.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { Lab } from "../../src/lab/lab.ts";
import { runTransfer, startServers, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, eventually, startBalancer } from "./harness.ts";
import { checkCounters, checkFrames, e2ePrefix, requests, UDP_PORT, VIP } from "./setup.ts";
import type { UdpResult } from "./udp.ts";

const UDP = fileURLToPath(new URL("./udp.ts", import.meta.url));
const OPTIONS = { skip: skipReason(), timeout: 120_000 };
const BACKENDS = 3;
const SERVER_PORT = 8000;
const REQUESTS = 500;
const TRANSFER_BYTES = 20_000_000;
/** At which no server listens. */
const CLOSED_PORT = 5454;
/** Six fragments or so. */
const LARGE_BYTES = 8000;
/** MTU of the link to the client, which only the router knows of. */
const SMALL_MTU = 1320;
const FAMILIES = ["v4", "v6"] as const;

for (const arms of [1, 2]) {
  suite(`forward: nat, ${arms === 1 ? "one arm" : "two arms"}`, OPTIONS, () => {
    let lab: Lab;
    let balancer: Balancer;

    before(async () => {
      lab = await Lab.up({ prefix: e2ePrefix(), backends: BACKENDS, queues: 2, forward: "nat", arms });
      await Promise.all([startServers(lab, { ports: [SERVER_PORT] }), ...lab.nodes("backend").map(serveUdp)]);
      balancer = await startBalancer(lab, "lb1", config());
    });
    after(async () => {
      await balancer?.close();
      await lab?.down();
    });

    async function serveUdp(node: string): Promise<void> {
      const addresses = FAMILIES.flatMap((family) => ["--address", lab.address(node, family)]);
      const argv = [process.execPath, UDP, "server", "--name", node, "--port", `${UDP_PORT}`, ...addresses];
      const child = lab.spawn(node, argv);
      await new Promise((resolve, reject) => {
        child.stdout!.once("data", resolve);
        child.once("exit", (code) => reject(new Error(`the UDP server in ${node} ended with ${code}`)));
      });
    }

    /** Runs `udp.ts` at the client. */
    async function udp(mode: string, family: "v4" | "v6", port: number, ...more: string[]): Promise<string> {
      const target = ["--address", VIP[family], "--port", `${port}`];
      return (await lab.exec("client", [process.execPath, UDP, mode, ...target, ...more])).stdout;
    }

    /** Web servers are checked through the data plane, the others directly: at the port from which answers are turned back. */
    function config(): object {
      const pool = (family: "v4" | "v6", health: object, more: object = {}) => ({
        health: { type: "http", interval: "500ms", timeout: "450ms", ...health },
        backends: lab.nodes("backend").map((name) => ({ name, address: lab.address(name, family), ...more })),
      });
      const pools = Object.fromEntries(
        FAMILIES.flatMap((family) => [
          [`web-${family}`, pool(family, { via: "tunnel" }, { port: SERVER_PORT })],
          [`udp-${family}`, pool(family, { port: SERVER_PORT })],
        ]),
      );
      const vips = FAMILIES.flatMap((family) => {
        const address = VIP[family];
        return [
          { name: `web-${family}`, address, port: 80, pool: `web-${family}`, forward: "nat" },
          {
            name: `udp-${family}`,
            address,
            protocol: "udp",
            port: [UDP_PORT, CLOSED_PORT],
            pool: `udp-${family}`,
            forward: "nat",
          },
        ];
      });
      return {
        machine: { name: "lb1", address: lab.address("lb1", "v4"), address6: lab.address("lb1", "v6") },
        interfaces: arms === 1 ? ["eth0"] : ["eth0", "eth1"],
        workers: { count: 2 },
        conntrack: { flows: 100_000 },
        pools,
        vips,
      };
    }

    const states = async () =>
      (await balancer.status()).pools.flatMap(({ backends }) =>
        backends.map(({ state, health }) => `${health?.state} ${state}`),
      );

    test("checks pass, those through the data plane too", async () => {
      const all = Array(4 * BACKENDS).fill("up active");
      await eventually(
        "all are up",
        async () => JSON.stringify(await states()) === JSON.stringify(all),
      ).catch(async (error) => assert.deepEqual(await states(), all, error.message));
      await eventually("several checks of each pass", async () => {
        const { pools } = await balancer.status();
        return pools.every(({ backends }) =>
          backends.every(({ health }) => health!.checks - health!.failures >= 4),
        );
      });
      const { vips } = await balancer.status();
      assert.deepEqual(
        vips.map(({ packets }) => packets),
        [0, 0, 0, 0],
        "checks are no traffic",
      );
    });

    for (const family of FAMILIES) {
      test(`${family}: ${REQUESTS} requests`, async () => {
        const options = {
          urls: [vipUrl(VIP[family])],
          concurrency: 8,
          longLived: 6,
          longLivedIntervalMs: 10,
        };
        const { failed, reasons, backends, longLived } = await requests(lab, REQUESTS, options);
        assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
        assert.deepEqual(Object.keys(backends), lab.nodes("backend"));
        const { open, lost, moved } = longLived;
        assert.deepEqual({ open, lost, moved }, { open: 6, lost: 0, moved: 0 });
      });

      for (const mode of ["download", "upload"] as const) {
        test(`${family}: ${mode} of 20 MB, every byte`, async () => {
          const [result] = await runTransfer(lab, mode, {
            urls: [vipUrl(VIP[family])],
            bytes: TRANSFER_BYTES,
          });
          const { ok, reason, bytes } = result!;
          assert.deepEqual({ ok, reason, bytes }, { ok: true, reason: undefined, bytes: TRANSFER_BYTES });
        });
      }

      test(`${family}: curl`, async () => {
        const url = vipUrl(VIP[family]);
        const { stdout } = await lab.exec("client", [
          "curl",
          "--silent",
          "--show-error",
          "--globoff",
          "--max-time",
          "5",
          url,
        ]);
        assert.ok(lab.nodes("backend").includes(stdout.trim()), stdout);
      });

      test(`${family}: UDP`, async () => {
        const stdout = await udp("client", family, UDP_PORT, "--flows", "30", "--datagrams", "20");
        const { backends, ...counts } = JSON.parse(stdout) as UdpResult;
        assert.deepEqual(counts, { sent: 600, answered: 600, wrong: 0, moved: 0 });
        assert.deepEqual(Object.keys(backends).sort(), lab.nodes("backend"));
      });

      test(`${family}: UDP datagrams of up to ${LARGE_BYTES} bytes, in fragments both ways`, async () => {
        const before = (await balancer.status()).reasons;
        const sizes = ["--flows", "12", "--datagrams", "10", "--bytes", `${LARGE_BYTES}`];
        const { backends, ...counts } = JSON.parse(
          await udp("client", family, UDP_PORT, ...sizes),
        ) as UdpResult;
        assert.deepEqual(counts, { sent: 120, answered: 120, wrong: 0, moved: 0 });
        assert.ok(Object.keys(backends).length > 1, JSON.stringify(backends));
        const { reasons } = await balancer.status();
        const more = (...names: string[]) =>
          names.reduce((sum, name) => sum + (reasons[name] ?? 0) - (before[name] ?? 0), 0);
        assert.ok(more("hit", "new") > 240, `${more("hit", "new")} packets for 120 datagrams`);
        assert.ok(more("return") > 240, `${more("return")} packets for 120 answers`);
      });

      test(`${family}: a backend's port unreachable is the client's`, async () => {
        assert.equal((await udp("ask", family, CLOSED_PORT)).trim(), "ECONNREFUSED");
      });

      test(`${family}: a download of 20 MB by a link that is too small for its segments`, async (t) => {
        const set = (mtu: number) =>
          lab.exec("router", ["ip", "link", "set", "dev", "p-client", "mtu", String(mtu)]);
        await set(SMALL_MTU);
        t.after(() => set(1500));
        const before = (await balancer.status()).reasons["icmp-error"] ?? 0;
        const options = { urls: [vipUrl(VIP[family])], bytes: TRANSFER_BYTES };
        const [{ ok, reason, bytes } = {}] = await runTransfer(lab, "download", options);
        assert.deepEqual({ ok, reason, bytes }, { ok: true, reason: undefined, bytes: TRANSFER_BYTES });
        const told = ((await balancer.status()).reasons["icmp-error"] ?? 0) - before;
        assert.ok(told > 0, "the router has told the backend");
        assert.ok(told < 1000, `${told} times: it was heard`);
      });
    }

    if (arms === 1) {
      test("a route that goes and comes is followed", async () => {
        const answered = async () => {
          const argv = ["curl", "--silent", "--max-time", "1", vipUrl(VIP.v4)];
          return (await lab.exec("client", argv, { check: false })).stdout.trim() !== "";
        };
        await lab.exec("lb1", ["ip", "route", "del", "default"]);
        await eventually("answers find no way", async () => !(await answered()));
        await eventually(
          "that has a reason",
          async () => ((await balancer.status()).reasons["no-route"] ?? 0) > 0,
        );
        await lab.exec("lb1", ["ip", "route", "add", "default", "via", lab.address("router", "v4")]);
        await eventually("answers arrive again", answered);
      });

      test("a reload takes the mode away and brings it back, without a lost answer to what stays", async () => {
        const without = config() as { vips: { forward: string; pool: string; port: number }[] };
        for (const vip of without.vips) if (vip.port !== 80) vip.forward = "l2";
        const reload = async (document: object) => {
          writeFileSync(
            balancer.file,
            stringify({
              ...document,
              admin: { socket: balancer.socket },
              change: { state: `${balancer.folder}/state` },
            }),
          );
          const { code, stderr } = await balancer.command("reload", "--force");
          assert.equal(code, 0, stderr);
        };
        await reload(without);
        const load = requests(lab, REQUESTS, { urls: [vipUrl(VIP.v4)], concurrency: 4 });
        await reload(config());
        await reload(without);
        await reload(config());
        const { failed, reasons } = await load;
        assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
      });
    }

    test("both directions are counted, closed connections are closed, every frame is back", async () => {
      await checkFrames(balancer);
      await checkCounters(balancer);
      const { reasons } = await balancer.status();
      assert.deepEqual(
        Object.keys(reasons).sort(),
        ["hit", "icmp-error", "new", ...(arms === 1 ? ["no-route"] : []), "probe", "return"],
        JSON.stringify(reasons),
      );
      const { code, log } = await balancer.stop();
      assert.equal(code, 0);
      assert.deepEqual(
        log.filter(({ level }) => level >= 40),
        [],
      );
    });
  });
}
