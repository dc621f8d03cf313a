// The kernel's monitor with a program in the place of `ip`, which says what the test has it say and ends when it is to.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, type TestContext, test } from "node:test";
import { pino } from "pino";
import { KernelMonitor } from "../../src/control/kernel-monitor.ts";
import { eventually } from "../e2e/harness.ts";

const KINDS = ["link", "route", "neigh"] as const;

class Bed {
  readonly monitor: KernelMonitor;
  readonly log: { msg: string; reason: string; retryMs: number }[] = [];
  /** How often was told of each kind. */
  readonly told = { link: 0, route: 0, neigh: 0 };
  readonly #folder = mkdtempSync(join(tmpdir(), "guideway-monitor-"));
  readonly #starts = join(this.#folder, "starts");
  readonly #words: number;

  /** @param program what `ip` does after it has told that it was started; by default it says what `say` is given */
  constructor(t: TestContext, program?: string) {
    const words = join(this.#folder, "words");
    execFileSync("mkfifo", [words]);
    // Also for reading: so it never ends, and nobody waits for the other end.
    this.#words = openSync(words, constants.O_RDWR);
    const script = `#!/bin/sh\necho $$ "$@" >>${this.#starts}\n${program ?? `exec cat <${words}`}\n`;
    writeFileSync(join(this.#folder, "ip"), script, { mode: 0o755 });
    const path = process.env.PATH;
    process.env.PATH = `${this.#folder}:${path}`;
    const log = pino({ level: "trace" }, { write: (line: string) => void this.log.push(JSON.parse(line)) });
    this.monitor = new KernelMonitor(log);
    for (const what of KINDS) this.monitor.on(what, () => this.told[what]++);
    t.after(() => {
      process.env.PATH = path;
      this.monitor.stop();
      closeSync(this.#words);
      rmSync(this.#folder, { recursive: true, force: true });
    });
  }

  say(line: string): void {
    writeSync(this.#words, `${line}\n`);
  }

  /** Its calls: process id and arguments. */
  get starts(): string[] {
    return existsSync(this.#starts) ? readFileSync(this.#starts, "utf8").trim().split("\n") : [];
  }

  get pid(): number {
    return Number.parseInt(this.starts.at(-1)!, 10);
  }

  /** Waits until it listens, so that everyone has been told. */
  async started(times = 1): Promise<void> {
    const { link } = this.told;
    await eventually(`start ${times}`, () => this.starts.length === times);
    await eventually("all are told", () => this.told.link > link);
  }
}

suite("the kernel's monitor", { timeout: 30_000 }, () => {
  test("is one process, and tells of each kind those who asked for it", async (t) => {
    const bed = new Bed(t);
    bed.monitor.start();
    await bed.started();
    assert.deepEqual(bed.starts, [`${bed.pid} monitor label link route neigh address`]);
    assert.deepEqual(bed.told, { link: 1, route: 1, neigh: 1 });
    bed.say("[NEIGH]10.0.0.21 dev eth0 lladdr 02:00:00:00:00:21 REACHABLE");
    bed.say("[ROUTE]Deleted 10.1.0.0/16 via 10.0.0.1 dev eth0 ");
    bed.say("    link/ether 02:00:00:00:00:11 brd ff:ff:ff:ff:ff:ff");
    bed.say("[ROUTE]10.1.0.0/16 via 10.0.0.2 dev eth0 ");
    bed.say("[LINK]2: eth0: <BROADCAST,MULTICAST> mtu 1500 qdisc noqueue state DOWN group default");
    await eventually("it has told", () => bed.told.link === 2);
    assert.deepEqual(bed.told, { link: 2, route: 3, neigh: 2 });
  });

  test("is started again when it ends, and then all may have changed", async (t) => {
    const bed = new Bed(t);
    bed.monitor.start();
    await bed.started();
    const first = bed.pid;
    process.kill(first, "SIGKILL");
    await bed.started(2);
    assert.notEqual(bed.pid, first);
    assert.deepEqual(bed.told, { link: 2, route: 2, neigh: 2 });
    assert.deepEqual(
      bed.log.map(({ reason, retryMs }) => ({ reason, retryMs })),
      [{ reason: "SIGKILL", retryMs: 100 }],
    );
    bed.say("[ROUTE]10.1.0.0/16 via 10.0.0.2 dev eth0 ");
    await eventually("it tells again", () => bed.told.route === 3);
  });

  test("waits longer and longer when it ends at once, and says why it does", async (t) => {
    const bed = new Bed(t, "echo no netlink here >&2; exit 3");
    const beganMs = performance.now();
    bed.monitor.start();
    await eventually("it has ended four times", () => bed.log.length === 4);
    assert.ok(performance.now() - beganMs >= 100 + 200 + 400);
    assert.deepEqual(
      bed.log.map(({ reason, retryMs }) => ({ reason, retryMs })),
      [100, 200, 400, 800].map((retryMs) => ({ reason: "no netlink here", retryMs })),
    );
  });

  test("that cannot be started is tried again", async (t) => {
    const bed = new Bed(t);
    process.env.PATH = "/nowhere";
    bed.monitor.start();
    await eventually("it has failed twice", () => bed.log.length === 2);
    assert.match(bed.log[0]!.reason, /spawn ip ENOENT/);
  });

  test("that loses events says so, and all may have changed", async (t) => {
    const bed = new Bed(
      t,
      "sleep 0.6; echo netlink receive error No buffer space available >&2; exec sleep 20",
    );
    bed.monitor.start();
    await bed.started();
    await bed.started();
    assert.deepEqual(bed.told, { link: 2, route: 2, neigh: 2 });
    assert.equal(bed.log.length, 0);
  });

  test("ends when it is told to, and is not started again", async (t) => {
    const bed = new Bed(t);
    bed.monitor.start();
    await bed.started();
    const { pid } = bed;
    bed.monitor.stop();
    await eventually("the process is gone", () => !existsSync(`/proc/${pid}`));
    bed.say("[LINK]2: eth0: <BROADCAST>");
    await once(AbortSignal.timeout(300), "abort");
    assert.equal(bed.starts.length, 1);
    assert.deepEqual(bed.told, { link: 1, route: 1, neigh: 1 });
  });
});
