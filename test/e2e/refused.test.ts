// Configurations that a running balancer refuses: each with its reason, and without a lost request.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { stringify } from "yaml";
import type { AuditEntry } from "../../src/control/history.ts";
import type { Overview } from "../../src/control/overview.ts";
import { Lab } from "../../src/lab/lab.ts";
import { type LabClient, startLoad, startServers, vipUrl } from "../../src/lab/traffic.ts";
import { ask, json, type Reply } from "../admin/serve.ts";
import { readErrorCases } from "../config/error-cases.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, eventually, startBalancer } from "./harness.ts";
import { checkCounters, checkFrames, configOf, e2ePrefix, poolOf, VIP } from "./setup.ts";

const OPTIONS = { skip: skipReason(), timeout: 120_000 };
const FILE = "c.yaml";

/** A configuration as plain data. */
interface Document {
  interfaces: string[];
  machine: Record<string, unknown>;
  pools: Record<string, { backends: object[]; [key: string]: unknown }>;
  vips: { forward?: string; [key: string]: unknown }[];
  [section: string]: unknown;
}

/** What a running machine cannot do, though the text has no error. */
const REFUSED: [
  what: string,
  code: string,
  reason: RegExp,
  change: (next: Document) => void,
  force?: true,
][] = [
  restart("interfaces", "interfaces", (next) => void next.interfaces.push("lo")),
  restart("workers", "workers.batch", (next) => Object.assign(next, { workers: { batch: 32 } })),
  restart("frames", "frames.count", (next) => Object.assign(next, { frames: { count: 32_768 } })),
  restart("connection table", "conntrack.flows", (next) =>
    Object.assign(next, { conntrack: { flows: 100_000 } }),
  ),
  restart("hash seed", "hash.seed", (next) => Object.assign(next, { hash: { seed: 7 } })),
  restart("source of tunnels", "machine.address", (next) =>
    Object.assign(next.machine, { address: "10.0.0.99" }),
  ),
  restart("self-tests", "forwarder.interval", (next) =>
    Object.assign(next, { forwarder: { interval: "1s" } }),
  ),
  restart("announcement", "announce", (next) =>
    Object.assign(next, {
      announce: { gobgp: "127.0.0.1:50051", nextHop: "10.0.0.10", nextHop6: "fd00::10" },
    }),
  ),
  restart("admin socket", "admin.socket", (next) =>
    Object.assign(next, { admin: { socket: "/run/other.sock" } }),
  ),
  [
    "another entrance of the admin API",
    "RESTART_NEEDED",
    /^c\.yaml: a running machine cannot change admin\.listen \(none > .*\): restart it/,
    (next) => Object.assign(next, { admin: { ...(next.admin as object), listen: "127.0.0.1:9999" } }),
  ],
  [
    "a backend less",
    "MAX_MOVED",
    /^c\.yaml: more would move than change\.maxMoved in force \(1\.0%\) allows: web changed \(\d+\.\d% moved\), web-v6 /,
    (next) => void next.pools.web!.backends.pop(),
  ],
  [
    "a VIP less, with a higher maxMoved of its own",
    "MAX_MOVED",
    /in force \(1\.0%\) allows: web-v6 removed \(100\.0% moved\)/,
    (next) => {
      next.vips.pop();
      next.change = { ...(next.change as object), maxMoved: "100%" };
    },
  ],
  [
    "more backends than fit",
    "CAPACITY",
    /^this process has room for \d+ backends, .* restart with the new configuration/,
    (next) => {
      const backends = Array.from({ length: 1100 }, (_, i) => ({
        name: `x${i}`,
        address: `10.1.${i >> 8}.${i & 255 || 1}`,
      }));
      next.pools.many = { backends };
    },
  ],
  [
    "larger tables than fit",
    "TABLE_HEAP",
    /^the table heap of \d+ bytes has no room for a block of \d+: .* restart with the new configuration/,
    (next) => Object.assign(next.pools.web!, { tableSize: 1_000_003 }),
    true,
  ],
  [
    "checks through tunnels, for which the link is not there",
    "RESTART_NEEDED",
    /^pools\.tunnelled\.health\.via: a machine that was started without "via: tunnel" checks cannot begin them: restart it/,
    (next) => {
      next.pools.tunnelled = {
        backends: next.pools.web!.backends,
        health: { type: "tcp", port: 81, via: "tunnel" },
      };
      next.vips.push({
        name: "tunnelled",
        address: "10.99.0.3",
        port: 81,
        pool: "tunnelled",
        forward: "gre",
      });
    },
  ],
];

/** A key that takes a restart. */
function restart(what: string, key: string, change: (next: Document) => void): (typeof REFUSED)[number] {
  const path = key.replaceAll(".", "\\.");
  const reason = new RegExp(
    `^c\\.yaml: a running machine cannot change ${path}[^ ]* \\(.* > .*\\): restart it`,
  );
  return [what, "RESTART_NEEDED", reason, change];
}

suite("configurations that a running balancer refuses", OPTIONS, () => {
  const cases = readErrorCases();
  let lab: Lab;
  let balancer: Balancer;
  let load: LabClient;
  let document: Document;
  let calm: Overview;
  /** Targets of the audit log, as they must be. */
  const refused: string[] = [];

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 3, queues: 1 });
    await startServers(lab);
    const health = { type: "tcp", interval: "250ms", timeout: "200ms" };
    const config = configOf(lab, { pools: { web: { ...poolOf(lab), health } } });
    const change = { maxMoved: "1%" };
    balancer = await startBalancer(lab, "lb1", config, { change });
    document = {
      ...(config as Document),
      admin: { socket: balancer.socket },
      change: { state: join(balancer.folder, "state"), ...change },
    };
    await eventually("the forwarder is healthy", async () => (await balancer.status()).forwarder.healthy);
    const urls = [vipUrl(VIP.v4), vipUrl(VIP.v6)];
    load = startLoad(lab, { urls, concurrency: 2, longLived: 10, longLivedIntervalMs: 50, rate: 300 });
    await eventually("the load reaches it", async () => ((await balancer.status()).reasons.new ?? 0) > 50);
    calm = (await balancer.status()) as Overview;
  });
  after(async () => {
    await load?.stop();
    await balancer?.close();
    await lab?.down();
  });

  function reload(text: string, force = false): Promise<Reply> {
    const connect = { socketPath: balancer.socket };
    return ask("http://localhost/v1/reload", {
      method: "POST",
      connect,
      ...json({ text, file: FILE, force }),
    });
  }

  /** What must be as it was. */
  const kept = ({ configuration, pools }: Overview) => ({
    generation: configuration.generation,
    appliedAt: configuration.appliedAt,
    pools: pools.map(({ name, digest, backends }) => [
      name,
      digest,
      ...backends.map(({ id, state }) => `${id} ${state}`),
    ]),
  });

  async function checkRefused({ status, json }: Reply, code: string): Promise<string> {
    const { error } = json as { error: { code: string; message: string } };
    assert.equal(error.code, code, error.message);
    assert.ok(status === 422 || status === 409, `${status}`);
    refused.push(error.message);
    const now = (await balancer.status()) as Overview;
    assert.deepEqual(kept(now), kept(calm));
    assert.equal(now.configuration.refused!.message, error.message);
    return error.message;
  }

  test(`${cases.length} texts with errors: each names line, column and cause`, async () => {
    assert.ok(cases.length >= 60);
    for (const { sentence, yaml, expected } of cases) {
      const message = await checkRefused(await reload(yaml), "CONFIG");
      const errors = message.split("\n").map((line) => line.replace(/^c\.yaml: ?/, ""));
      const wanted = expected.map((line) => (/^\d/.test(line) ? `c.yaml:${line}` : line));
      assert.deepEqual(
        errors,
        wanted.map((line) => line.replace(/^c\.yaml: ?/, "")),
        sentence,
      );
    }
  });

  for (const [what, code, reason, change, force] of REFUSED) {
    test(`${code}: ${what}`, async () => {
      const next = structuredClone(document);
      change(next);
      assert.match(await checkRefused(await reload(stringify(next), force), code), reason);
    });
  }

  test("large texts: the balancer goes on meanwhile", async () => {
    const comments = "# nothing to see here\n".repeat((2 << 20) / 22);
    const late = await checkRefused(await reload(`${comments}pools: {}\nvips: []\nvisp: []\n`), "CONFIG");
    assert.match(late, /^c\.yaml:\d+:1: visp: unknown key "visp", did you mean "vips"\?$/);
    const large = await checkRefused(await reload(comments.repeat(9)), "CONFIG");
    assert.equal(large, "c.yaml: the file is larger than 16 MiB, expected a configuration");
    const { forwarder } = await balancer.status();
    assert.deepEqual([forwarder.healthy, forwarder.since], [true, calm.forwarder.since]);
  });

  test("none of it has cost a request, and all of it is in the audit log", async () => {
    const { ok, failed, reasons, longLived } = await load.stop();
    assert.ok(ok > 200, `${ok}`);
    assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
    assert.deepEqual([longLived.lost, longLived.moved, longLived.failed], [0, 0, 0]);
    await checkCounters(balancer);
    await checkFrames(balancer);
    const lines = readFileSync(join(balancer.folder, "state", "audit.jsonl"), "utf8")
      .split("\n")
      .slice(0, -1);
    const entries = lines
      .map((line) => JSON.parse(line) as AuditEntry)
      .filter(({ action }) => action === "reload");
    assert.deepEqual(
      entries.map(({ detail }) => detail),
      refused,
    );
    assert.ok(
      entries.every(({ outcome, by, target }) => outcome === "refused" && by === "api" && target === FILE),
    );
    assert.equal(entries.length, cases.length + REFUSED.length + 2);
  });

  test("and what is right is taken over", async () => {
    const next = structuredClone(document);
    next.change = { ...(next.change as object), maxMoved: "50%" };
    const { status, json } = await reload(stringify(next));
    assert.deepEqual([status, json.outcome, json.generation], [200, "applied", 2]);
    const { refused, generation } = ((await balancer.status()) as Overview).configuration;
    assert.deepEqual([refused, generation], [undefined, 2]);
  });
});
