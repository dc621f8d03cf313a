// Many targets, targets that hang, and a thread that dies.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { HealthTarget } from "../../src/health/target.ts";
import { checkOf, Listener, LOCAL } from "./checks.ts";
import { Observer } from "./observer.ts";

const prober = fileURLToPath(new URL("./breakable-prober.ts", import.meta.url));

suite("targets that hang", () => {
  test("they do not pile up, and those that answer are asked in time", async (t) => {
    const observer = new Observer(t);
    let most = 0;
    const hanging = await Listener.start(t, () => {
      most = Math.max(most, hanging.sockets.size);
    });
    const good = await Listener.start(t);
    const hung = checkOf("type: http, interval: 200ms, timeout: 150ms, jitter: 0%", hanging.port);
    const fine = checkOf("type: tcp, interval: 200ms, timeout: 150ms, jitter: 0%", good.port);
    // As many addresses of the loopback; the listeners have one of them.
    const targets = Array.from({ length: 200 }, (_, index): HealthTarget => {
      const check = { ...hung, path: `/${index}` };
      return { pool: "p", backend: `h${index}`, address: LOCAL, check };
    });
    observer.monitor.apply([...targets, { pool: "p", backend: "good", address: LOCAL, check: fine }]);
    await observer.until((monitor) => monitor.status("p", "h0")!.checks >= 6);
    const { running, waiting, missed } = observer.monitor.totals();
    assert.ok(most <= 201 && running <= 201, `${most} connections at once, ${running} running`);
    assert.equal(waiting, 0);
    const { checks, state, failures } = observer.monitor.status("p", "good")!;
    assert.ok(checks >= 4, `${checks} checks of what answers`);
    assert.deepEqual([state, failures], ["up", 0]);
    t.diagnostic(`200 hang: at most ${most} connections, ${missed} turns missed`);
  });

  test("more than may run at once wait for their places, and nobody starves", {
    timeout: 30_000,
  }, async (t) => {
    const observer = new Observer(t);
    const slow = checkOf(
      'type: exec, interval: 300ms, timeout: 300ms, rise: 1, fall: 1, jitter: 0%, command: [/bin/sleep, "10"]',
    );
    const targets = Array.from({ length: 40 }, (_, index): HealthTarget => {
      return { pool: "p", backend: `e${index}`, address: `127.0.0.${index + 1}`, check: slow };
    });
    const good = await Listener.start(t);
    const fine = checkOf("type: tcp, interval: 200ms, timeout: 150ms", good.port);
    observer.monitor.apply([...targets, { pool: "p", backend: "good", address: LOCAL, check: fine }]);
    let most = 0;
    await observer.until((monitor) => {
      most = Math.max(most, monitor.totals().running);
      return targets.every(({ backend }) => monitor.status("p", backend)!.checks >= 2);
    });
    assert.ok(most <= 17, `${most} at once, expected 16 programs at most`);
    const { failures, checks } = observer.monitor.status("p", "good")!;
    assert.ok(checks >= 3 && failures === 0, `${checks} checks, ${failures} failures of what answers`);
    assert.ok(observer.monitor.totals().missed > 0);
  });
});

suite("a prober's thread that ends", () => {
  test("is said, started again, and states stay", { timeout: 60_000 }, async (t) => {
    const channel = new BroadcastChannel("break the prober");
    t.after(() => channel.close());
    const observer = new Observer(t, { prober });
    const [up, down] = [await Listener.start(t), await Listener.start(t)];
    const options = "type: tcp, interval: 100ms, timeout: 100ms, rise: 1, fall: 2";
    const ports = { up: up.port, down: down.port };
    await down.close();
    observer.monitor.apply(
      (["up", "down"] as const).map((backend) => ({
        ...{ pool: "p", backend, address: LOCAL },
        check: checkOf(options, ports[backend]),
      })),
    );
    await observer.take(2);
    const before = observer.monitor.status("p", "up")!;

    channel.postMessage("die");
    await observer.until(() => observer.log.length === 1);
    assert.match(observer.log[0]!, /^error: the thread of the health checks has ended by itself/);
    assert.equal(observer.monitor.status("p", "up")?.state, "up");
    assert.equal(observer.monitor.status("p", "down")?.state, "down");
    const { checks } = observer.monitor.status("p", "up")!;
    assert.ok(checks >= before.checks);
    await observer.until((monitor) => monitor.status("p", "up")!.checks > checks + 2);
    assert.equal(observer.monitor.totals().restarts, 1);
    assert.equal(observer.monitor.status("p", "up")!.since, before.since);
    assert.deepEqual(observer.changes, [], "nothing has changed");
    await up.close();
    assert.deepEqual(await observer.taken(1), ["up-"]);

    channel.postMessage("stuck");
    await observer.until(() => observer.log.length === 3);
    assert.match(observer.log[1]!, /^error: the thread of the health checks is stuck/);
    const stuckAt = observer.monitor.status("p", "up")!.checks;
    await Listener.start(t, () => {}, ports.down);
    assert.deepEqual(await observer.taken(1), ["down+"]);
    assert.ok(observer.monitor.status("p", "up")!.checks > stuckAt);
    assert.equal(observer.monitor.totals().restarts, 2);
  });

  test("a stop ends it, and nothing is said after", async (t) => {
    const observer = new Observer(t);
    const listener = await Listener.start(t);
    const check = checkOf("type: tcp, interval: 100ms, timeout: 100ms, fall: 1", listener.port);
    observer.monitor.apply([{ pool: "p", backend: "b", address: LOCAL, check }]);
    await observer.take(1);
    await observer.monitor.stop();
    await listener.close();
    await observer.monitor.stop();
    assert.deepEqual([observer.changes, observer.log], [[], []]);
  });
});
