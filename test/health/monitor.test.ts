// The monitor and the prober's thread, against real listeners.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { suite, type TestContext, test } from "node:test";
import type { HealthTarget } from "../../src/health/target.ts";
import { checkOf, deafPort, Listener, LOCAL } from "./checks.ts";
import { Observer } from "./observer.ts";

const FAST = "interval: 100ms, timeout: 100ms, rise: 1, fall: 2";

const target = (
  pool: string,
  backend: string,
  port: number,
  options = `type: tcp, ${FAST}`,
): HealthTarget => ({
  pool,
  backend,
  address: LOCAL,
  check: checkOf(options, port),
});

suite("the monitor", () => {
  test("says what the first check found, then what changes, at once", async (t: TestContext) => {
    const observer = new Observer(t);
    const [one, two] = [await Listener.start(t), await Listener.start(t)];
    const { port } = two;
    await two.close();
    observer.monitor.apply([target("p", "one", one.port), target("p", "two", port)]);
    assert.equal(observer.monitor.status("p", "one")?.state, "unknown");
    assert.equal(observer.monitor.status("p", "three"), undefined);
    const first = await observer.take(2);
    assert.deepEqual(
      first.map(({ pool, backend, healthy, reason }) => [pool, backend, healthy, reason]).sort(),
      [
        ["p", "one", true, "connected"],
        ["p", "two", false, "connect ECONNREFUSED"],
      ],
    );
    const started = performance.now();
    const closedAt = Date.now();
    await one.close();
    const [down] = await observer.take(1);
    const took = performance.now() - started;
    t.diagnostic(`closed → onChange: ${took.toFixed(0)} ms (interval 100 ms, fall 2)`);
    assert.deepEqual([down?.backend, down?.healthy, down?.reason], ["one", false, "connect ECONNREFUSED"]);
    assert.ok(took < 5000);
    assert.ok(down!.at >= closedAt && down!.at <= Date.now());
    const status = observer.monitor.status("p", "one")!;
    assert.deepEqual(
      [status.state, status.since, status.reason, status.flapping],
      ["down", down!.at, "connect ECONNREFUSED", false],
    );
    assert.ok(status.checks >= 3 && status.failures >= 2 && status.lastCheckAt >= down!.at);
    await Listener.start(t, () => {}, port);
    assert.deepEqual(await observer.taken(1), ["two+"]);
    assert.deepEqual(observer.monitor.totals().backends, { up: 1, down: 1, unknown: 0, flapping: 0 });
  });

  test("asks once for several pools, and tells each of them", async (t) => {
    const observer = new Observer(t);
    const listener = await Listener.start(t);
    const port = listener.port;
    observer.monitor.apply([target("a", "x", port), target("b", "y", port), target("c", "z", port)]);
    assert.deepEqual(await observer.taken(3), ["x+", "y+", "z+"]);
    assert.equal(observer.calls, 1);
    await observer.until((monitor) => monitor.status("a", "x")!.checks >= 5);
    const { checks } = observer.monitor.status("b", "y")!;
    assert.ok(
      Math.abs(listener.accepted - checks) <= 1,
      `${listener.accepted} connections, ${checks} checks`,
    );
    assert.equal(observer.monitor.totals().probes, 1);
    // A fourth one hears at once what is known, without a check of its own.
    observer.monitor.apply(["a x", "b y", "c z", "d w"].map((each) => target(each[0]!, each[2]!, port)));
    assert.deepEqual(await observer.taken(1), ["w+"]);
    assert.equal(observer.monitor.totals().probes, 1);
    await listener.close();
    assert.deepEqual(await observer.taken(4), ["w-", "x-", "y-", "z-"]);
  });

  test("changes of one turn come in one call", async (t) => {
    const observer = new Observer(t);
    const targets = await Promise.all(
      Array.from({ length: 50 }, async (_, index) =>
        target("p", `b${index}`, (await Listener.start(t)).port),
      ),
    );
    observer.monitor.apply(targets);
    await observer.take(50);
    assert.ok(observer.calls < 50, `${observer.calls} calls`);
  });

  test("a change of targets leaves the others alone, and ends what is gone", async (t) => {
    const observer = new Observer(t);
    const [kept, gone] = [await Listener.start(t), await Listener.start(t)];
    observer.monitor.apply([target("p", "kept", kept.port), target("p", "gone", gone.port)]);
    await observer.take(2);
    const before = observer.monitor.status("p", "kept")!;
    const fresh = await Listener.start(t);
    observer.monitor.apply([target("p", "kept", kept.port), target("p", "fresh", fresh.port)]);
    assert.equal(observer.monitor.status("p", "gone"), undefined);
    assert.deepEqual(await observer.taken(1), ["fresh+"]);
    const { accepted } = gone;
    const after = observer.monitor.status("p", "kept")!;
    assert.equal(after.since, before.since);
    assert.ok(after.checks >= before.checks);
    await observer.until((monitor) => monitor.status("p", "kept")!.checks >= before.checks + 3);
    assert.equal(gone.accepted, accepted, "a target that is gone is still asked");
    observer.monitor.apply([]);
    assert.equal(observer.monitor.totals().probes, 0);
    assert.deepEqual(observer.changes, []);
  });

  test("a hanging check ends with its target", async (t) => {
    const observer = new Observer(t);
    const silent = await Listener.start(t);
    observer.monitor.apply([target("p", "b", silent.port, "type: http, interval: 1h, timeout: 1h")]);
    await observer.until(() => silent.accepted === 1);
    observer.monitor.apply([]);
    await silent.idle();
    await observer.until((monitor) => monitor.totals().running === 0);
  });

  test("a backend keeps its state when its check changes, and starts anew when its address does", async (t) => {
    const observer = new Observer(t);
    const listener = await Listener.start(t);
    observer.monitor.apply([target("p", "b", listener.port, `type: http, ${FAST}`)]);
    await observer.take(1);
    assert.equal(observer.monitor.status("p", "b")?.state, "down");
    observer.monitor.apply([target("p", "b", listener.port)]);
    assert.equal(observer.monitor.status("p", "b")?.state, "down");
    assert.deepEqual(await observer.taken(1), ["b+"]);
    await listener.close();
    assert.deepEqual(await observer.taken(1), ["b-"]);
    observer.monitor.apply([
      {
        ...target("p", "b", await deafPort(t), "type: tcp, interval: 1h, timeout: 1h"),
        address: "127.0.0.3",
      },
    ]);
    assert.equal(observer.monitor.status("p", "b")?.state, "unknown");
    const [change] = await observer.take(1);
    assert.deepEqual([change?.healthy, change?.reason], [true, "no check yet"]);
  });

  test("initial states are told", async (t) => {
    const observer = new Observer(t);
    const port = await deafPort(t);
    const slow = "interval: 1h, timeout: 1h";
    observer.monitor.apply([
      target("p", "u", port, `type: tcp, ${slow}, initial: up`),
      target("p", "d", port, `type: tcp, ${slow}, initial: down`),
      target("p", "f", port, `type: tcp, ${slow}`),
    ]);
    assert.deepEqual(await observer.taken(2), ["d-", "u+"]);
    assert.deepEqual(observer.monitor.totals().backends, { up: 1, down: 1, unknown: 1, flapping: 0 });
  });

  test("what only this machine lacks is said, and changes nothing", async (t) => {
    const observer = new Observer(t);
    const listener = await Listener.start(t);
    const good = target("p", "b", listener.port);
    observer.monitor.apply([good]);
    await observer.take(1);
    observer.monitor.apply([{ ...good, localAddress: "192.0.2.1" }]);
    await observer.until((monitor) => monitor.status("p", "b")!.inconclusive >= 4 && observer.log.length > 0);
    assert.equal(observer.monitor.status("p", "b")?.state, "up");
    assert.match(observer.log[0]!, /^warn: health checks said nothing/);
  });

  test("changes that come while onChange works are told in one call", async (t) => {
    const names = Array.from({ length: 20 }, (_, n) => `b${n}`);
    const down: string[][] = [];
    let up = 0;
    const observer = new Observer(t, {
      onChange(changes) {
        const dead = changes.filter(({ healthy }) => !healthy).map(({ backend }) => backend);
        up += changes.length - dead.length;
        if (dead.length === 0) return;
        // Longer than an interval: all others are checked meanwhile.
        if (down.push(dead) === 1) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 700);
      },
    });
    const server = createServer((socket) => socket.destroy()).listen(0, "0.0.0.0");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const options = "type: tcp, interval: 400ms, timeout: 100ms, fall: 1";
    observer.monitor.apply(
      names.map((name, n) => ({ ...target("p", name, port, options), address: `127.0.0.${n + 2}` })),
    );
    await observer.until(() => up === names.length);
    server.close();
    await observer.until(() => down.flat().length === names.length);
    assert.deepEqual(down.flat().sort(), names.toSorted());
    assert.ok(down.length <= 2, `calls with ${down.map((each) => each.length)}`);
  });

  test("an onChange that throws is said, and the next one is called", async (t) => {
    let calls = 0;
    const observer = new Observer(t, {
      onChange() {
        calls++;
        throw new Error("no");
      },
    });
    const listener = await Listener.start(t);
    observer.monitor.apply([target("p", "b", listener.port)]);
    await observer.until(() => calls === 1);
    await listener.close();
    await observer.until(() => calls === 2);
    assert.match(observer.log[0]!, /^error: changes of backends' health were not applied/);
  });
});
