// A process that dies without a word leaves no announcement behind.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { eventually, Gobgpd, newFolder, skipReason } from "./gobgpd.ts";
import { guardsOf, isReady } from "./guards.ts";

const HOLDER = fileURLToPath(new URL("holder.ts", import.meta.url));
const PREFIXES = ["10.99.0.1/32", "fd99::1/128"];
const MACHINE = { name: "lb-1", mac: "02:bb:00:00:00:01", address: "10.0.0.11", address6: "fd00::11" };
const VIPS = [{ address: "10.99.0.1" }, { address: "fd99::1" }];

async function hold(announce: object): Promise<ChildProcess> {
  const config = JSON.stringify({
    machine: MACHINE,
    vips: VIPS,
    announce: { communities: [], drain: 0, ...announce },
  });
  const child = spawn(process.execPath, [HOLDER, config, ...PREFIXES], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  after(() => child.kill("SIGKILL"));
  const [line] = await once(child.stdout!, "data");
  assert.equal(String(line), "announced 2\n");
  await eventually("its guard is ready", () => guardsOf(child.pid!).some(isReady));
  return child;
}

async function die(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const ended = once(child, "exit");
  child.kill(signal);
  await ended;
}

suite("the guard", { skip: skipReason(), timeout: 60_000 }, () => {
  test("withdraws through GoBGP what a killed process announced, and ends", async (t) => {
    const daemon = await Gobgpd.started();
    t.after(() => daemon.close());
    const holder = await hold({ gobgp: daemon.target });
    assert.equal((await daemon.paths(...PREFIXES)).length, 2);
    const guards = guardsOf(holder.pid!);
    assert.equal(guards.length, 1);
    const killedMs = performance.now();
    await die(holder, "SIGKILL");
    await eventually("it is withdrawn", async () => (await daemon.paths(...PREFIXES)).length === 0);
    const ms = performance.now() - killedMs;
    t.diagnostic(`withdrawn ${Math.round(ms)} ms after the kill`);
    assert.ok(ms < 1000, `${ms} ms`);
    await eventually("it has ended", () => !existsSync(`/proc/${guards[0]}`));
  });

  test("is started again when it dies, and signals for the service do not end it", async (t) => {
    const daemon = await Gobgpd.started();
    t.after(() => daemon.close());
    const holder = await hold({ gobgp: daemon.target });
    const [first] = guardsOf(holder.pid!);
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.kill(first!, signal);
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.deepEqual(guardsOf(holder.pid!), [first]);
    process.kill(first!, "SIGKILL");
    await eventually("there is another", () =>
      guardsOf(holder.pid!).some((pid) => pid !== first && isReady(pid)),
    );
    await die(holder, "SIGKILL");
    await eventually("it is withdrawn", async () => (await daemon.paths(...PREFIXES)).length === 0);
  });

  test("goes without a deed when the process stops in order", async (t) => {
    const daemon = await Gobgpd.started();
    t.after(() => daemon.close());
    const holder = await hold({ gobgp: daemon.target });
    const guards = guardsOf(holder.pid!);
    await die(holder, "SIGTERM");
    assert.deepEqual(await daemon.paths(...PREFIXES), []);
    assert.deepEqual(
      guards.filter((pid) => existsSync(`/proc/${pid}`)),
      [],
    );
  });
});

test("the guard runs the commands that withdraw", { timeout: 30_000 }, async () => {
  const folder = newFolder();
  const journal = join(folder, "journal");
  writeFileSync(join(folder, "script"), `echo "$@" >>${journal}\n`);
  const command = (action: string) => ["/bin/sh", join(folder, "script"), action, "{prefix}"];
  const holder = await hold({
    exec: { announce: command("announce"), withdraw: command("withdraw"), timeout: 5000 },
  });
  await die(holder, "SIGKILL");
  const lines = () => readFileSync(journal, "utf8").trim().split("\n");
  await eventually("both are withdrawn", () => lines().length >= 4);
  assert.deepEqual(lines().sort(), [
    ...PREFIXES.map((prefix) => `announce ${prefix}`),
    ...PREFIXES.map((prefix) => `withdraw ${prefix}`),
  ]);
});
