// What a change owes to those outside: routers hear first of what goes, hear nothing of what does not work, and a change that
// fails half-way leaves nothing behind.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, type TestContext, test } from "node:test";
import { stringify } from "yaml";
import { AdminClient } from "../../src/admin/client.ts";
import { Lab } from "../../src/lab/lab.ts";
import { startLoad, startServers, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, eventually, newFolder, startBalancer } from "./harness.ts";
import { configOf, e2ePrefix, poolOf, requests, VIP } from "./setup.ts";

const DRAIN_MS = 800;
const [V4, V6] = [`${VIP.v4}/32`, `${VIP.v6}/128`];

suite("a machine that changes", { skip: skipReason(), timeout: 60_000 }, () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 2 });
    await startServers(lab);
  });
  after(() => lab?.down());

  interface Started {
    balancer: Balancer;
    client: AdminClient;
    config: { vips: { name: string }[] };
    /** What routers were told so far, in order. */
    told: () => string[];
  }

  async function start(t: TestContext, pool: object = {}): Promise<Started> {
    const folder = newFolder();
    const file = join(folder, "told");
    const tell = ["/bin/sh", "-c", `echo "$GUIDEWAY_ACTION $GUIDEWAY_PREFIX" >> ${file}`];
    const config = {
      ...configOf(lab, { pools: { web: { ...poolOf(lab), ...pool } } }),
      announce: { exec: { announce: tell, withdraw: tell }, drain: `${DRAIN_MS}ms` },
    } as unknown as Started["config"];
    const balancer = await startBalancer(lab, "lb1", config, { folder });
    t.after(() => balancer.close());
    const client = new AdminClient(balancer.socket);
    t.after(() => client.close());
    const told = () => (existsSync(file) ? readFileSync(file, "utf8").split("\n").filter(Boolean) : []);
    return { balancer, client, config, told };
  }

  const textOf = ({ balancer, config }: Started, change: object) =>
    stringify({
      ...config,
      admin: { socket: balancer.socket },
      change: { state: join(balancer.folder, "state") },
      ...change,
    });

  test("a VIP that leaves is withdrawn first, and served until that has reached everybody", async (t) => {
    const started = await start(t);
    const { client, config, told } = started;
    await eventually("both are announced", () => told().length === 2);
    let answered = 0;
    const load = startLoad(lab, {
      urls: [vipUrl(VIP.v6)],
      concurrency: 2,
      intervalMs: 50,
      onReport: ({ ok }) => {
        answered += ok;
      },
    });
    await eventually("it is served", () => answered > 0);
    let done = false;
    const vips = config.vips.filter(({ name }) => name !== "web-v6");
    const began = performance.now();
    const reload = client.reload({ text: textOf(started, { vips }) }).finally(() => {
      done = true;
    });
    await eventually("it is withdrawn", () => told().includes(`withdraw ${V6}`));
    assert.equal(done, false);
    // By now the router would send nothing more.
    const { failed, ok } = await load.stop();
    assert.deepEqual([failed, ok > 0, done], [0, true, false]);
    assert.equal((await reload).outcome, "applied");
    assert.ok(performance.now() - began >= DRAIN_MS);
    const status = await client.status();
    assert.deepEqual(
      status.vips.map(({ name, announced }) => [name, announced]),
      [["web", true]],
    );
    assert.deepEqual(told().slice(0, 2).toSorted(), [`announce ${V4}`, `announce ${V6}`].toSorted());
    assert.deepEqual(told().slice(2), [`withdraw ${V6}`]);
  });

  test("a VIP none of whose backends is up at the start is never announced", async (t) => {
    const { client, told } = await start(t, {
      health: {
        type: "exec",
        command: ["/bin/sh", "-c", "sleep 0.7; exit 1"],
        interval: "10s",
        timeout: "2s",
      },
    });
    assert.deepEqual(
      (await client.status()).vips.map(({ usable, announced }) => [usable, announced]),
      [
        [false, false],
        [false, false],
      ],
    );
    await eventually("routers were told", () => told().length === 2);
    assert.deepEqual(told().toSorted(), [`withdraw ${V4}`, `withdraw ${V6}`].toSorted());
  });

  test("initial: down holds before the first packet, also for backends that are checked through the data plane", async (t) => {
    const health = { type: "tcp", via: "tunnel", initial: "down", interval: "200ms", timeout: "200ms" };
    const [first, second] = poolOf(lab).backends;
    const started = await start(t, { health, backends: [first] });
    const { balancer, client, config } = started;
    const changes = (backend: string) =>
      balancer.log.filter(({ msg, ...line }) => msg === "backend state" && line.backend === backend);
    await eventually("it is up", () => changes("be1").length === 2);
    assert.deepEqual(
      changes("be1").map(({ state }) => state),
      ["dead", "active"],
    );
    const [dead, attached] = [changes("be1")[0]!, balancer.logged("attached")!];
    assert.ok(balancer.log.indexOf(dead) < balancer.log.indexOf(attached), "dead before packets come");
    // One that comes later gets nothing either.
    const pools = { web: { health, backends: [first, second] } };
    const text = textOf({ ...started, config: { ...config, pools } as Started["config"] }, {});
    await client.reload({ text });
    await eventually("it is up, too", () => changes("be2").length > 0);
    assert.deepEqual(
      changes("be2").map(({ state }) => state),
      ["active"],
    );
  });

  test("a machine that stops finishes its change and takes no other", async (t) => {
    const started = await start(t);
    const { balancer, client, config, told } = started;
    await eventually("both are announced", () => told().length === 2);
    const vips = config.vips.filter(({ name }) => name !== "web-v6");
    const last = client.reload({ text: textOf(started, { vips }) });
    await eventually("it is withdrawn", () => told().includes(`withdraw ${V6}`));
    const ending = balancer.stop("SIGTERM");
    await eventually("all is withdrawn", () => told().includes(`withdraw ${V4}`));
    const other = new AdminClient(balancer.socket);
    t.after(() => other.close());
    await assert.rejects(other.setWeight("web", "be1", 3), { code: "STOPPING" });
    assert.equal((await last).outcome, "applied");
    const { code, log } = await ending;
    assert.deepEqual([code, log.filter(({ level }) => level >= 50)], [0, []]);
  });

  test("what fails after tables were swapped is put back as a whole", async (t) => {
    const health = { type: "tcp", via: "tunnel", fall: 100, interval: "10s", timeout: "1s" };
    const started = await start(t, { health });
    const { client, config } = started;
    // Then the routes of checks to a new VIP cannot be made.
    await lab.exec("lb1", ["ip", "link", "del", "gwprobe0"]);
    const more = { ...config.vips[0], name: "more", address: "10.99.0.77" };
    const text = textOf(started, { vips: [...config.vips, more] });
    await assert.rejects(client.reload({ text }), { code: "PROBE_LINK" });
    const status = await client.status();
    assert.deepEqual(
      [
        status.vips.map(({ name }) => name),
        status.configuration.generation,
        status.configuration.refused?.code,
      ],
      [["web", "web-v6"], 1, "PROBE_LINK"],
    );
    assert.equal((await client.audit()).at(-1)?.outcome, "refused");
    const { failed } = await requests(lab, 50, { urls: [vipUrl(VIP.v4)], concurrency: 2 });
    assert.equal(failed, 0);
    // The machine still knows what is in force: what it is asked for next is compared with that.
    assert.equal((await client.reload({ text: textOf(started, {}) })).outcome, "unchanged");
  });
});
