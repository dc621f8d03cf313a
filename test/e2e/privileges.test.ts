// What the balancer may do: what it needs and no more, in every thread, however it was started; and what it says to a
// service manager meanwhile.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { NEEDED, parsePrivileges } from "../../src/control/privileges.ts";
import { Lab } from "../../src/lab/lab.ts";
import { startServers, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { Receiver } from "../native/receiver.ts";
import { type Balancer, type BalancerOptions, eventually, newFolder, startBalancer } from "./harness.ts";
import {
  checkCounters,
  checkFrames,
  configOf,
  e2ePrefix,
  hasProgram,
  poolOf,
  requests,
  VIP,
} from "./setup.ts";
import { asUser, inReach, USER } from "./user.ts";

const OPTIONS = { skip: skipReason("setpriv"), timeout: 60_000 };
// net_admin, net_raw, ipc_lock, perfmon, bpf: bits 12, 13, 14, 38 and 39.
const LEAST = "000000c000007000";
const NO_AMBIENT = { CapAmb: "0".repeat(16) };
const NAMES = Object.keys(NEEDED);
const WORKERS = 2;

interface Thread {
  name: string;
  [field: string]: string;
}

/** The kernel's account of every thread of a process. */
function threadsOf(pid: number): Thread[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const lines = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8").split("\n");
    const fields = Object.fromEntries(lines.map((line) => line.split(":\t")));
    return { name: `${fields.Name} ${thread}`, ...fields };
  });
}

/** Checks that in each of these sets every thread has the same; but that of the health checks hands nothing on. */
function checkThreads(pid: number, expected: Record<string, string>): void {
  const threads = threadsOf(pid);
  assert.equal(threads.filter(({ name }) => name.startsWith("health ")).length, 1);
  assert.ok(threads.length > WORKERS, `${threads.length} threads`);
  for (const thread of threads) {
    const found = Object.fromEntries(Object.keys(expected).map((field) => [field, thread[field]]));
    const own = thread.name.startsWith("health ")
      ? { ...expected, ...("CapAmb" in expected && NO_AMBIENT) }
      : expected;
    assert.deepEqual(found, own, thread.name);
  }
}

/** The program that the balancer has started to follow its neighbours: it runs as long as the balancer does. */
function monitorOf(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  const lists = threads.map((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8"));
  const children = lists.join(" ").split(" ").filter(Boolean).map(Number);
  const monitor = children.find((child) => {
    try {
      return readFileSync(`/proc/${child}/cmdline`, "utf8").includes("monitor");
    } catch {
      return false; // one that has done its work
    }
  });
  assert.ok(monitor, `none of ${children.join(", ")}`);
  return monitor;
}

suite("privileges", OPTIONS, () => {
  let lab: Lab;
  let config: object;

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 2, queues: 2 });
    config = configOf(lab, { workers: WORKERS, pools: { web: poolOf(lab) } });
    await startServers(lab);
  });
  after(() => lab?.down());

  async function checkServed(balancer: Balancer): Promise<void> {
    const urls = [vipUrl(VIP.v4), vipUrl(VIP.v6)];
    const { failed, reasons, backends } = await requests(lab, 200, { urls, concurrency: 4 });
    assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
    assert.deepEqual(Object.keys(backends), ["be1", "be2"]);
    await checkCounters(balancer);
    await checkFrames(balancer);
  }

  const STARTS: { title: string; launcher?: string[]; user: number; bounding?: string }[] = [
    { title: "root with all there is", user: 0 },
    {
      title: "a service with what it needs",
      launcher: asUser(
        NAMES,
        `--bounding-set=-all,${NAMES.map((name) => `+${name.slice(4).toLowerCase()}`).join(",")}`,
        "--no-new-privs",
      ),
      user: USER,
    },
    {
      title: "a service with more than it needs",
      launcher: asUser([...NAMES, "CAP_SETPCAP", "CAP_SYS_ADMIN", "CAP_NET_BIND_SERVICE"]),
      user: USER,
    },
    {
      title: "a service that may not change its bounding set",
      launcher: asUser([...NAMES, "CAP_SYS_ADMIN"]),
      user: USER,
      bounding: threadsOf(process.pid)[0]!.CapBnd!,
    },
  ];
  for (const { title, launcher, user, bounding = LEAST } of STARTS) {
    test(`started as ${title}, every thread has just what is needed, and it serves`, async (t) => {
      const folder = newFolder();
      t.after(() => rmSync(folder, { recursive: true, force: true }));
      const manager = await Receiver.listen(join(folder, "notify"));
      t.after(() => manager.close());
      const options: BalancerOptions = {
        folder,
        env: { NOTIFY_SOCKET: manager.address, WATCHDOG_USEC: "200000" },
        ...(launcher && { wrap: inReach(folder, launcher) }),
      };
      const account = join(folder, "account");
      const script = `cp /proc/self/status ${account}-$GUIDEWAY_ADDRESS`;
      const health = { type: "exec", timeout: "900ms", command: ["/bin/sh", "-c", script] };
      const checked = { ...config, pools: { web: { ...poolOf(lab), health } } };
      const starting = startBalancer(lab, "lb1", checked, options);
      t.after(async () => (await starting.catch(() => undefined))?.stop());
      // A start that fails says why, and a message is missing only after that.
      const ready = await Promise.race([
        manager.find(/^READY=1$/m),
        starting.then(() => manager.find(/^READY=1$/m)),
      ]);
      assert.ok(await hasProgram(lab, "lb1"), "it is ready when packets reach it");
      assert.match(ready, /^STATUS=serving 2 VIPs on eth0, 2 of 2 backends active$/m);
      const balancer = await starting;

      const text = () => {
        const file = `${account}-${lab.address("be1", "v4")}`;
        return existsSync(file) ? readFileSync(file, "utf8") : "";
      };
      await eventually("a health check has run", () => text().includes("nonvoluntary_ctxt_switches:"));
      const program = parsePrivileges(text());
      assert.deepEqual([program.effective, program.permitted, program.noNewPrivileges], [0n, 0n, true]);

      const sets = { CapPrm: LEAST, CapEff: LEAST, CapInh: LEAST, CapAmb: LEAST, CapBnd: bounding };
      const ids = { Uid: Array(4).fill(user).join("\t"), NoNewPrivs: "1" };
      checkThreads(balancer.pid, { ...sets, ...ids });
      assert.equal((await balancer.status()).pid, balancer.pid);
      const child = monitorOf(balancer.pid);
      const environment = readFileSync(`/proc/${child}/environ`, "utf8");
      assert.doesNotMatch(environment, /NOTIFY_SOCKET|WATCHDOG|GUIDEWAY_LIMITED/);
      assert.equal(threadsOf(child)[0]!.CapEff, LEAST, "what changes neighbours may do so");

      await checkServed(balancer);
      const socket = statSync(balancer.socket);
      assert.deepEqual([socket.uid, socket.mode & 0o777], [user, 0o600]);
      assert.deepEqual(
        balancer.log.filter(({ level }) => level >= 40),
        [],
      );
      checkThreads(balancer.pid, { ...sets, ...ids });
      const seen = manager.messages.length;
      await manager.find(/^WATCHDOG=1$/, seen);

      const { code } = await balancer.stop("SIGTERM");
      assert.equal(code, 0, balancer.text);
      assert.match(await manager.find(/^STOPPING=1$/m), /STATUS=stopping/);
      assert.equal(manager.messages.filter((message) => message.includes("READY=1")).length, 1);
      await eventually("the program is off the interface", async () => !(await hasProgram(lab, "lb1")));
    });
  }

  test("what an administrator wants to keep is kept", async (t) => {
    const balancer = await startBalancer(lab, "lb1", config, { parameters: ["--privileges", "keep"] });
    t.after(() => balancer.close());
    const own = threadsOf(process.pid)[0]!;
    const { CapEff, CapBnd, NoNewPrivs } = own as unknown as Record<string, string>;
    checkThreads(balancer.pid, { CapEff: CapEff!, CapBnd: CapBnd!, NoNewPrivs: NoNewPrivs! });
    assert.equal(balancer.logged("privileges that are not needed are kept")?.level, 40);
  });

  test("a user without capabilities is told which are missing", async (t) => {
    const folder = newFolder();
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const wrap = inReach(folder, asUser([]));
    await assert.rejects(startBalancer(lab, "lb1", config, { folder, wrap }), ({ message }: Error) => {
      assert.match(message, /ended with 1/);
      for (const name of NAMES) assert.ok(message.includes(name), `${name} in ${message}`);
      assert.match(message, /loading the XDP program: Operation not permitted/);
      assert.doesNotMatch(message, /"msg":" +at /, "no stack");
      return true;
    });
    assert.equal(await hasProgram(lab, "lb1"), false);
  });

  test("a program that root could read by its powers alone is named before anything is opened", async (t) => {
    const folder = newFolder();
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    // Of another user, and for that user alone: node is found there, but not without CAP_DAC_OVERRIDE.
    const wrap = (argv: string[]) => [
      ...[
        "sh",
        "-c",
        'cp "$1" "$2" && chown 65534 "$2" && chmod 700 "$2" && node=$2 && shift 3 && exec "$node" "$@"',
        "sh",
      ],
      argv[0]!,
      join(folder, "node"),
      "-",
      ...argv.slice(1),
    ];
    await assert.rejects(
      startBalancer(lab, "lb1", config, { folder, wrap }),
      /ended with 1[\s\S]*node cannot be read without CAP_DAC_OVERRIDE.*--privileges keep/,
    );
  });
});
