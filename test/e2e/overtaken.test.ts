// Reloads of a running balancer that meet each other, operators, health checks, backends that are not there, and its end.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { stringify } from "yaml";
import { AdminClient } from "../../src/admin/client.ts";
import type { CheckedBackend, Overview } from "../../src/control/overview.ts";
import { Lab } from "../../src/lab/lab.ts";
import { type LabServer, startServers, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, eventually, startBalancer } from "./harness.ts";
import { configOf, e2ePrefix, requests, VIP } from "./setup.ts";

const OPTIONS = { skip: skipReason(), timeout: 120_000 };
/** docs/reload.md: two seconds for the first checks and two for neighbours; the rest is for a busy machine. */
const PROMISED_MS = 4000;
const SLACK_MS = 1500;
/** On the lab's network, and nobody. */
const NOBODY = "10.0.0.250";
const HEALTH = { type: "tcp", port: 80, interval: "200ms", timeout: "150ms", fall: 1, rise: 1 };

suite("reloads that are overtaken", OPTIONS, () => {
  let lab: Lab;
  let balancer: Balancer;
  let servers: LabServer[];

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 3, queues: 1 });
    servers = await startServers(lab);
    balancer = await startBalancer(lab, "lb1", documentOf(["be1", "be2", "be3"]));
    await eventually("all backends are up", async () =>
      (await backends()).every(({ health }) => health?.state === "up"),
    );
  });
  after(async () => {
    await balancer?.close();
    await lab?.down();
  });

  /** @param at addresses of backends that are not in the lab, or are elsewhere */
  function documentOf(names: string[], at: Record<string, string> = {}, health: object | null = HEALTH) {
    const list = names.map((name) => ({ name, address: at[name] ?? lab.address(name, "v4") }));
    return configOf(lab, { pools: { web: { backends: list, ...(health && { health }) } } });
  }

  /** By a connection of its own: on one, requests wait for each other. */
  async function ask<T>(call: (client: AdminClient) => Promise<T>): Promise<T> {
    const client = new AdminClient(balancer.socket);
    try {
      return await call(client);
    } finally {
      await client.close();
    }
  }

  const textOf = (document: object) =>
    stringify({
      ...document,
      admin: { socket: balancer.socket },
      change: { state: join(balancer.folder, "state") },
    });

  const reload = (...args: Parameters<typeof documentOf>) =>
    ask((client) => client.reload({ text: textOf(documentOf(...args)), file: "next.yaml" }));

  const drain = (name: string) => ask((client) => client.setBackendState("web", name, "draining"));

  const overview = (): Promise<Overview> => ask((client) => client.status());

  const backends = async (): Promise<CheckedBackend[]> => (await overview()).pools[0]!.backends;

  async function backend(name: string): Promise<CheckedBackend> {
    return (await backends()).find((each) => each.name === name)!;
  }

  /** Waits until a reload is under way that has such a backend. */
  async function lookedFor(address: string): Promise<void> {
    await eventually(`${address} is looked for`, async () => {
      const { stdout } = await lab.exec("lb1", ["ip", "-json", "neigh", "show", address]);
      return (JSON.parse(stdout) as object[]).length > 0;
    });
  }

  async function checkServed(...names: string[]): Promise<void> {
    const report = await requests(lab, 150, { urls: [vipUrl(VIP.v4)], concurrency: 4 });
    assert.deepEqual([report.failed, Object.keys(report.backends).sort()], [0, names]);
  }

  test("two at once, and a signal among them: one after the other, and the last one stays", async () => {
    const { generation } = (await overview()).configuration;
    writeFileSync(join(balancer.folder, "guideway.yaml"), textOf(documentOf(["be1", "be2"])));
    const all = await Promise.all([reload(["be1"]), reload(["be2"]), reload(["be1", "be3"])]);
    assert.deepEqual(
      all.map((each) => each.generation).sort(),
      [1, 2, 3].map((n) => generation + n),
    );
    const slow = reload(["be1", "be2", "be3"], { be2: "10.0.0.253" }, null);
    await lookedFor("10.0.0.253");
    process.kill(balancer.pid, "SIGHUP");
    assert.equal((await slow).outcome, "applied");
    await eventually("the file is in force", async () => {
      const { configuration, pools } = await overview();
      return configuration.generation === generation + 5 && pools[0]!.backends.length === 2;
    });
    const entries = (await ask((client) => client.audit())).filter(({ action }) => action === "reload");
    assert.deepEqual(
      entries.map(({ by, outcome }) => `${by} ${outcome}`),
      [...Array(4).fill("command applied"), "signal applied"],
    );
    await checkServed("be1", "be2");
    await reload(["be1", "be2", "be3"]);
  });

  test("a backend that nobody finds: it is in force in time, gets nothing while it is checked, and harms nobody", async () => {
    const startMs = performance.now();
    const { outcome } = await reload(["be1", "be2", "be3", "ghost"], { ghost: NOBODY });
    const ms = performance.now() - startMs;
    assert.equal(outcome, "applied");
    assert.ok(ms < PROMISED_MS + SLACK_MS, `${ms} ms`);
    const { state, nextHop, health } = await backend("ghost");
    assert.deepEqual([state, nextHop?.mac, health?.state], ["dead", undefined, "down"]);
    await checkServed("be1", "be2", "be3");
    assert.equal((await overview()).reasons.unresolved ?? 0, 0);
  });

  test("one that nobody checks: its packets are dropped and counted, until it is there", async (t) => {
    const startMs = performance.now();
    await reload(["be1", "ghost"], { ghost: NOBODY }, null);
    assert.ok(performance.now() - startMs < PROMISED_MS + SLACK_MS);
    const ghost = await backend("ghost");
    assert.deepEqual([ghost.state, ghost.nextHop?.mac, ghost.share > 0.4], ["active", undefined, true]);
    const { ok, failed } = await requests(lab, 30, {
      urls: [vipUrl(VIP.v4)],
      concurrency: 4,
      timeoutMs: 300,
    });
    assert.ok(ok > 0 && failed > 0, `${ok}, ${failed}`);
    assert.ok((await overview()).reasons.unresolved! > 0);
    // It comes.
    await lab.exec("be2", ["ip", "address", "add", `${NOBODY}/24`, "dev", "eth0"]);
    t.after(() => lab.exec("be2", ["ip", "address", "del", `${NOBODY}/24`, "dev", "eth0"], { check: false }));
    await eventually(
      "its MAC address is found",
      async () => (await backend("ghost")).nextHop?.mac !== undefined,
    );
    await checkServed("be1", "be2");
    await reload(["be1", "be2", "be3"]);
  });

  test("a backend moves to an address where nobody is: the old one serves until then", async () => {
    const { id } = await backend("be3");
    const moving = reload(["be1", "be2", "be3"], { be3: NOBODY });
    const seen = new Set<string>();
    let done = false;
    const moved = moving.then(() => {
      done = true;
    });
    while (!done) {
      const { id: now, state } = await backend("be3");
      seen.add(now === id ? `old ${state}` : `new ${state}`);
    }
    await moved;
    seen.delete("new dead");
    assert.deepEqual([...seen], ["old active"]);
    assert.equal((await backend("be3")).state, "dead");
    await checkServed("be1", "be2");
    await reload(["be1", "be2", "be3"]);
    await eventually("be3 is back", async () => (await backend("be3")).state === "active");
  });

  test("a backend goes down while a reload waits: it is out at once, and stays out", async () => {
    const { id } = await backend("be1");
    const waiting = reload(["be1", "be2", "be3", "ghost"], { ghost: NOBODY });
    await servers.find(({ node }) => node === "be1")!.stop("SIGKILL");
    await waiting;
    await eventually("be1 is out", async () => (await backend("be1")).state === "dead");
    assert.equal((await backend("be1")).id, id);
    await checkServed("be2", "be3");
    assert.equal((await backend("be1")).state, "dead");
  });

  test("a reload leaves a drain alone, and one during a reload waits for it", async () => {
    await drain("be2");
    const waiting = reload(["be2", "be3", "ghost"], { ghost: "10.0.0.251" });
    await lookedFor("10.0.0.251");
    await Promise.all([waiting, drain("ghost")]);
    const entries = (await ask((client) => client.audit())).slice(-2);
    assert.deepEqual(
      entries.map(({ action, outcome }) => `${action} ${outcome}`),
      ["reload applied", "drain applied"],
    );
    const { state, asked } = await backend("be2");
    assert.deepEqual([state, asked, (await backend("ghost")).asked], ["draining", "draining", "draining"]);
    await checkServed("be3");
  });

  test("the end of the machine: the reload under way ends first, and nothing is left", async () => {
    const waiting = reload(["be2", "be3", "late"], { late: "10.0.0.252" }, null);
    const settled = waiting.then(
      ({ outcome }) => outcome,
      ({ code }: { code: string }) => code,
    );
    await lookedFor("10.0.0.252");
    const { code, log } = await balancer.stop("SIGTERM");
    assert.equal(code, 0);
    assert.deepEqual(
      log.filter(({ level }) => level >= 50),
      [],
    );
    assert.ok(["applied", "NOT_RUNNING"].includes(await settled), await settled);
    const { stdout } = await lab.exec("lb1", ["ip", "-json", "neigh", "show", "nud", "all", "dev", "eth0"]);
    const left = (JSON.parse(stdout) as { dst: string }[]).map(({ dst }) => dst);
    assert.ok(!left.includes("10.0.0.252"), left.join(" "));
  });
});
