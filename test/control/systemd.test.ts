// What is said to systemd and when, message by message, against a clock of the test's.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Systemd } from "../../src/control/systemd.ts";
import type { Logger } from "../../src/log.ts";

const SOCKET = "/run/systemd/notify";

interface Rig {
  systemd: Systemd;
  messages: string[];
  logged: string[];
  env: NodeJS.ProcessEnv;
  /** What the machine says of itself. */
  machine: { alive: boolean; status: string };
  /** While it is true nobody is at the socket. */
  manager: { gone: boolean };
}

function rig(t: TestContext, variables: NodeJS.ProcessEnv): Rig {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const messages: string[] = [];
  const logged: string[] = [];
  const machine = { alive: true, status: "serving" };
  const manager = { gone: false };
  const note = (level: string) => (first: object | string, message?: string) =>
    void logged.push(`${level} ${message ?? first}`);
  const log = { info: note("info"), warn: note("warn"), error: note("error") } as unknown as Logger;
  const env = { ...variables };
  const systemd = new Systemd({
    alive: () => machine.alive,
    status: () => machine.status,
    log,
    env,
    send: (socket, message) => {
      assert.equal(socket, SOCKET);
      if (manager.gone) throw new Error("ECONNREFUSED");
      messages.push(message);
    },
  });
  return { systemd, messages, logged, env, machine, manager };
}

test("from ready to stopping", (t) => {
  const { systemd, messages, machine } = rig(t, { NOTIFY_SOCKET: SOCKET });
  assert.deepEqual(messages, [], "not ready yet");
  systemd.ready();
  assert.deepEqual(messages.splice(0), ["READY=1\nSTATUS=serving"]);
  t.mock.timers.tick(10_000);
  assert.deepEqual(messages, [], "the status is said when it changes");
  machine.status = "serving\nless";
  t.mock.timers.tick(1000);
  assert.deepEqual(messages.splice(0), ["STATUS=serving less"]);
  systemd.stopping();
  assert.deepEqual(messages.splice(0), ["STOPPING=1\nSTATUS=stopping"]);
  machine.status = "?";
  t.mock.timers.tick(10_000);
  assert.deepEqual(messages, [], "nothing is said after that");
});

test("the watchdog is fed at half of its time, only while the machine is well", (t) => {
  const { systemd, messages, machine, logged } = rig(t, { NOTIFY_SOCKET: SOCKET, WATCHDOG_USEC: "500000" });
  assert.equal(systemd.watchdogMs, 250);
  t.mock.timers.tick(1000);
  assert.deepEqual(messages, [], "not before it is ready");
  systemd.ready();
  messages.splice(0);
  t.mock.timers.tick(750);
  assert.deepEqual(messages.splice(0), Array(3).fill("WATCHDOG=1"));
  machine.alive = false;
  t.mock.timers.tick(5000);
  assert.deepEqual(messages.splice(0), []);
  machine.alive = true;
  t.mock.timers.tick(250);
  assert.deepEqual(messages.splice(0), ["WATCHDOG=1"]);
  assert.deepEqual(logged, ["error not well: watchdog not fed", "info well again: watchdog fed"]);
  systemd.stopping();
  messages.splice(0);
  t.mock.timers.tick(5000);
  assert.deepEqual(messages, []);
});

for (const [title, variables, expected] of [
  ["meant for this process", { WATCHDOG_USEC: "3000000", WATCHDOG_PID: String(process.pid) }, 1500],
  ["meant for another process", { WATCHDOG_USEC: "3000000", WATCHDOG_PID: "1" }, undefined],
  ["no number", { WATCHDOG_USEC: "3s" }, undefined],
  ["off", { WATCHDOG_USEC: "0" }, undefined],
  ["finer than timers are", { WATCHDOG_USEC: "1" }, 10],
  ["longer than timers are", { WATCHDOG_USEC: "18446744073709551615" }, 2 ** 31 - 1],
] as const) {
  test(`a watchdog that is ${title}`, (t) => {
    const { systemd } = rig(t, { NOTIFY_SOCKET: SOCKET, ...variables });
    assert.equal(systemd.watchdogMs, expected);
  });
}

test("a reload is told with the time of its start, and its end however it ends", async (t) => {
  const { systemd, messages } = rig(t, { NOTIFY_SOCKET: SOCKET });
  systemd.ready();
  messages.splice(0);
  const before = process.hrtime.bigint() / 1000n;
  const result = await systemd.reload(async () => {
    const [, usec] = /^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(messages.splice(0)[0]!)!;
    assert.ok(BigInt(usec!) >= before && BigInt(usec!) <= process.hrtime.bigint() / 1000n);
    return "done";
  });
  assert.equal(result, "done");
  assert.deepEqual(messages.splice(0), ["READY=1\nSTATUS=serving"]);
  await assert.rejects(
    systemd.reload(() => Promise.reject(new Error("refused"))),
    /refused/,
  );
  assert.equal(messages.at(-1), "READY=1\nSTATUS=serving");
  systemd.close();
});

test("without a manager nothing is said, and reloads are done all the same", async (t) => {
  for (const variables of [{}, { NOTIFY_SOCKET: "", WATCHDOG_USEC: "500000" }]) {
    const { systemd, messages } = rig(t, variables);
    assert.equal(systemd.watchdogMs, undefined);
    systemd.ready();
    assert.equal(await systemd.reload(async () => 1), 1);
    t.mock.timers.tick(10_000);
    systemd.stopping();
    assert.deepEqual(messages, []);
    t.mock.timers.reset();
  }
});

test("a manager that does not listen is complained of once, until it listens again", (t) => {
  const { systemd, manager, machine, logged, messages } = rig(t, { NOTIFY_SOCKET: SOCKET });
  manager.gone = true;
  systemd.ready();
  machine.status = "another";
  t.mock.timers.tick(1000);
  assert.deepEqual(logged.splice(0), ["warn the service manager cannot be told; this is said once"]);
  manager.gone = false;
  machine.status = "a third";
  t.mock.timers.tick(1000);
  assert.deepEqual(messages, ["STATUS=a third"]);
  manager.gone = true;
  systemd.stopping();
  assert.equal(logged.length, 1);
});

test("programs that the process starts do not get the protocol's variables", (t) => {
  const protocol = { NOTIFY_SOCKET: SOCKET, WATCHDOG_USEC: "500000", WATCHDOG_PID: String(process.pid) };
  const { env } = rig(t, { ...protocol, HOME: "/" });
  assert.deepEqual(env, { HOME: "/" });
});
