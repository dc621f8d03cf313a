// Metrics of a balancer with real traffic, scraped over TCP with a token, against what tcpdump has seen.

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { Lab } from "../../src/lab/lab.ts";
import { startServers, vipUrl } from "../../src/lab/traffic.ts";
import { type Family, labelled, lint, readMetrics } from "../admin/exposition.ts";
import { AnswerChecker, type ApiDocument } from "../admin/openapi.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, eventually, newFolder, startBalancer } from "./harness.ts";
import { configOf, e2ePrefix, requests, VIP } from "./setup.ts";

const OPTIONS = { skip: skipReason("tcpdump"), timeout: 120_000 };
const PORT = 9180;
const TOKEN = "correct-horse-battery-staple";
const REQUESTS = 300;
const BACKENDS = 3;

/** tcpdump of what comes in for the VIPs at a backend, into a file. */
interface Capture {
  node: string;
  file: string;
  child: ChildProcess;
}

interface Answer {
  status: number;
  text: string;
  type: string;
}

const ASK = `
const [url, authorization] = process.argv.slice(1);
const reply = await fetch(url, { headers: authorization ? { authorization } : {}, signal: AbortSignal.timeout(10000) });
const { status, headers } = reply;
console.log(JSON.stringify({ status, type: headers.get("content-type"), text: await reply.text() }));
`;

interface Counted {
  packets: number;
  /** As their IP headers say. */
  bytes: number;
}

suite("metrics of real traffic", OPTIONS, () => {
  const folder = newFolder();
  const token = join(folder, "token");
  let lab: Lab;
  let balancer: Balancer;

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: BACKENDS, queues: 2 });
    await startServers(lab);
    writeFileSync(token, TOKEN, { mode: 0o600 });
    const address = lab.address("lb1", "v4");
    balancer = await startBalancer(lab, "lb1", configOf(lab, { workers: 2 }), {
      folder,
      admin: { listen: `${address}:${PORT}`, token: { file: token } },
    });
  });
  after(async () => {
    await balancer?.close();
    await lab?.down();
  });

  /** Asks from another machine, as Prometheus would. */
  async function get(path: string, authorization?: string): Promise<Answer> {
    const url = `http://${lab.address("lb1", "v4")}:${PORT}${path}`;
    const { stdout } = await lab.exec("be1", [process.execPath, "-e", ASK, url, authorization ?? ""]);
    return JSON.parse(stdout) as Answer;
  }
  const withToken = (path: string) => get(path, `Bearer ${TOKEN}`);

  async function scrape(): Promise<Map<string, Family>> {
    const { status, text } = await withToken("/metrics");
    assert.equal(status, 200, text);
    return readMetrics(text);
  }

  async function capture(node: string): Promise<Capture> {
    const file = join(folder, `${node}.pcap`);
    const filter = `dst host ${VIP.v4} or dst host ${VIP.v6}`;
    const argv = [
      "tcpdump",
      "-i",
      "eth0",
      "-n",
      "-p",
      "-Q",
      "in",
      "-s",
      "64",
      "-B",
      "8192",
      "--immediate-mode",
      "-U",
      "-w",
      file,
      filter,
    ];
    const child = lab.spawn(node, argv);
    let said = "";
    await new Promise<void>((resolve, reject) => {
      child.stderr!.on("data", (chunk: Buffer) => {
        said += chunk;
        if (said.includes("listening on")) resolve();
      });
      child.once("exit", (code) => reject(new Error(`tcpdump ended with ${code}: ${said}`)));
    });
    return { node, file, child };
  }

  /** Ends a capture and counts its packets by destination. @throws Error when the kernel kept some from it */
  async function counted({ child, file }: Capture): Promise<Map<string, Counted>> {
    let said = "";
    child.stderr!.on("data", (chunk: Buffer) => {
      said += chunk;
    });
    const ended = once(child, "close");
    child.kill("SIGINT");
    await ended;
    assert.match(said, /\b0 packets dropped by kernel/, said);
    return countPcap(readFileSync(file));
  }

  test("without the token there are none, but health is there", async () => {
    assert.deepEqual([(await get("/metrics")).status, (await get("/v1/status")).status], [401, 401]);
    for (const [path, body] of [
      ["/healthz", { healthy: true, reasons: [] }],
      ["/readyz", { ready: true, reasons: [] }],
    ] as const) {
      const { status, text } = await get(path);
      assert.deepEqual([status, JSON.parse(text)], [200, body]);
    }
  });

  test("VIPs and backends have exactly the packets and bytes that backends got", async () => {
    const captures = await Promise.all(lab.nodes("backend").map(capture));
    const urls = [vipUrl(VIP.v4), vipUrl(VIP.v6)];
    const { ok, failed } = await requests(lab, REQUESTS, { urls, concurrency: 3 });
    assert.equal(failed, 0);
    assert.ok(ok >= REQUESTS);
    let last = -1;
    let metrics = await scrape();
    await eventually(
      "counters settle",
      async () => {
        metrics = await scrape();
        const packets = sum(metrics, "guideway_vip_packets_total");
        const settled = packets === last;
        last = packets;
        return settled;
      },
      20_000,
      300,
    );

    const seen = await Promise.all(captures.map(counted));
    const total = (address: string) =>
      seen.reduce(
        (sum, each) => ({
          packets: sum.packets + (each.get(address)?.packets ?? 0),
          bytes: sum.bytes + (each.get(address)?.bytes ?? 0),
        }),
        { packets: 0, bytes: 0 },
      );
    for (const family of ["v4", "v6"] as const) {
      const { packets, bytes } = total(VIP[family]);
      assert.ok(packets > REQUESTS, `${packets} packets to the ${family} VIP`);
      assert.deepEqual(
        [
          value(metrics, "guideway_vip_packets_total", { vip: family }),
          value(metrics, "guideway_vip_bytes_total", { vip: family }),
        ],
        [packets, bytes],
        family,
      );
      for (const [index, { node }] of captures.entries()) {
        const labels = { pool: family === "v4" ? "web4" : "web6", backend: node };
        const { packets, bytes } = seen[index]!.get(VIP[family])!;
        assert.deepEqual(
          [
            value(metrics, "guideway_backend_packets_total", labels),
            value(metrics, "guideway_backend_bytes_total", labels),
          ],
          [packets, bytes],
          `${family} ${node}`,
        );
      }
    }
    const forwarded = ["hit", "new"].map((reason) =>
      value(metrics, "guideway_packets_total", { verdict: "forward", reason }),
    );
    assert.equal(forwarded[0]! + forwarded[1]!, total(VIP.v4).packets + total(VIP.v6).packets);
    assert.equal(sum(metrics, "guideway_backend_new_flows_total"), forwarded[1]);
    const workers =
      sum(metrics, "guideway_worker_received_packets_total") -
      sum(metrics, "guideway_worker_handed_packets_total");
    // A worker may be at its self-test while the one is read and then the other.
    assert.ok(Math.abs(workers - sum(metrics, "guideway_packets_total")) <= 2);
    assert.ok(sum(metrics, "guideway_worker_busy_seconds_total") > 0);
    assert.equal(
      metrics.get("guideway_ring_used_descriptors")!.samples.size,
      3 * (2 + 2 * 2),
      "(queues and the self-test's) × (2 + workers × 2)",
    );
    assert.deepEqual([...metrics.values()].flatMap(lint), []);
  });

  test("what a running machine answers is what its OpenAPI document says", async () => {
    const checker = new AnswerChecker(JSON.parse((await withToken("/v1/openapi.json")).text) as ApiDocument);
    for (const path of [
      "/v1/status",
      "/v1/frames",
      "/v1/pools/web4/table",
      "/healthz",
      "/readyz",
      "/metrics",
    ]) {
      const { status, text, type } = await withToken(path);
      const json = type.startsWith("application/json") ? JSON.parse(text) : undefined;
      checker.check("GET", path, { status, text, json, headers: { "content-type": type } });
    }
  });

  test("a machine whose pools are all dead is not ready, and says why to those with the token", async () => {
    const change = (state: "active" | "dead") =>
      Promise.all(
        ["web4", "web6"].flatMap((pool) =>
          lab.nodes("backend").map((name) => balancer.setBackendState(pool, name, state, true)),
        ),
      );
    await change("dead");
    assert.equal((await get("/readyz")).status, 503);
    const { status, text } = await withToken("/readyz");
    assert.equal(status, 503);
    assert.deepEqual(JSON.parse(text).reasons, ["no pool of a VIP has a backend that takes flows"]);
    assert.equal((await get("/healthz")).status, 200);
    await change("active");
    assert.equal((await get("/readyz")).status, 200);
  });
});

function value(metrics: Map<string, Family>, name: string, labels: Record<string, string>): number {
  return metrics.get(name)!.samples.get(labelled(labels))!;
}

function sum(metrics: Map<string, Family>, name: string): number {
  return [...metrics.get(name)!.samples.values()].reduce((a, b) => a + b, 0);
}

/** Packets of a capture (draft-ietf-opsawg-pcap) by IP destination. */
function countPcap(pcap: Buffer): Map<string, Counted> {
  const counts = new Map<string, Counted>();
  for (let at = 24; at + 16 <= pcap.length; ) {
    const captured = pcap.readUInt32LE(at + 8);
    const ip = pcap.subarray(at + 16 + 14, at + 16 + captured);
    const v6 = ip[0]! >> 4 === 6;
    const address = v6 ? VIP.v6 : ip.subarray(16, 20).join(".");
    const { packets, bytes } = counts.get(address) ?? { packets: 0, bytes: 0 };
    const length = v6 ? 40 + ip.readUInt16BE(4) : ip.readUInt16BE(2);
    counts.set(address, { packets: packets + 1, bytes: bytes + length });
    at += 16 + captured;
  }
  return counts;
}
