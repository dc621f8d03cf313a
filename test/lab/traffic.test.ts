/** Real traffic through the lab without a balancer: the router sends the VIPs to backends itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Lab } from "../../src/lab/lab.ts";
import type { LoadReport } from "../../src/lab/load.ts";
import { runTransfer, startLoad, startServers, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason, testPrefix } from "./machine.ts";

const OPTIONS = { skip: skipReason(), timeout: 90_000 };
const V4 = vipUrl("10.99.0.1");
const V6 = vipUrl("fd99::1");

for (const forward of ["l2", "gre"] as const) {
  test(
    `${forward}: a VIP is served over IPv4 and IPv6, 20 MB each way arrive byte by byte`,
    OPTIONS,
    async (t) => {
      const lab = await Lab.up({ prefix: testPrefix(), balancers: 0, backends: 1, queues: 2, forward });
      t.after(() => lab.down());
      await startServers(lab);
      await lab.routeVips(["be1"]);
      for (const mode of ["download", "upload"] as const) {
        for (const { ok, reason, backend, bytes } of await runTransfer(lab, mode, { urls: [V4, V6] })) {
          assert.deepEqual(
            { ok, reason, backend, bytes },
            { ok: true, reason: undefined, backend: "be1", bytes: 20_000_000 },
          );
        }
      }
    },
  );
}

test("requests reach the backends that the router names, and failures are told", OPTIONS, async (t) => {
  const lab = await Lab.up({ prefix: testPrefix(), balancers: 1, backends: 2 });
  t.after(() => lab.down());
  const servers = await startServers(lab);
  const run = (urls: string[], during?: () => Promise<void>) => {
    const reports: LoadReport[] = [];
    const onReport = (report: LoadReport) => void reports.push(report);
    const options = {
      urls,
      concurrency: 2,
      longLived: 2,
      rate: 200,
      intervalMs: 200,
      timeoutMs: 500,
      onReport,
    };
    const load = startLoad(lab, { ...options, ...(during ? {} : { forMs: 1000 }) });
    return { load, reports, summary: during ? during().then(() => load.stop()) : load.summary };
  };

  await lab.routeVips(["be1", "be2"]);
  const both = run([V4, V6]);
  const fine = await both.summary;
  assert.equal(fine.failed, 0, JSON.stringify(fine.reasons));
  assert.deepEqual(Object.keys(fine.backends), ["be1", "be2"]);
  assert.deepEqual([fine.longLived.open, fine.longLived.lost, fine.longLived.moved], [2, 0, 0]);
  assert.ok(both.reports.length >= 3);
  assert.ok(both.reports.every((report) => report.type === "interval"));

  await lab.routeVips(["be2"]);
  const killed = await run([V4], async () => {
    await sleep(800);
    await servers[1]!.stop("SIGKILL");
    await sleep(500);
  }).summary;
  assert.ok(killed.ok > 0 && killed.reasons.ECONNREFUSED! > 0, JSON.stringify(killed.reasons));
  assert.equal(killed.longLived.lost, 2);

  await lab.routeVips([]);
  const unreachable = await run([V4, V6]).summary;
  assert.equal(unreachable.ok, 0);
  assert.ok(unreachable.reasons.EHOSTUNREACH! > 0);
  // The router's answer is back before connect() returns, and the kernel then defers it to the next try.
  assert.ok(
    Object.keys(unreachable.reasons).every((reason) => /^(EHOSTUNREACH|connect-timeout)$/.test(reason)),
  );
  await lab.routeVips(["lb1"]);
  // Nothing runs in lb1, and a balancer's kernel forwards nothing.
  assert.deepEqual(Object.keys((await run([V4, V6]).summary).reasons), ["connect-timeout"]);
});
