import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { LabError } from "../../src/lab/errors.ts";
import { Lab } from "../../src/lab/lab.ts";
import { startServer } from "../../src/lab/traffic.ts";
import { skipReason, testPrefix, traces } from "./machine.ts";

const OPTIONS = { skip: skipReason(), timeout: 60_000 };
const NOTHING = { namespaces: [], processes: [] };
const HOLDER = join(import.meta.dirname, "holder.ts");
const GUIDEWAY = join(import.meta.dirname, "guideway.ts");

const code = (expected: string) => (error: unknown) => error instanceof LabError && error.code === expected;

async function ended(child: ChildProcess): Promise<[number | null, string | null]> {
  const late = setTimeout(() => child.kill("SIGKILL"), 20_000);
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  clearTimeout(late);
  return [child.exitCode, child.signalCode];
}

/** Starts the holder and returns when its lab is up. */
async function holder(prefix: string, end: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [HOLDER, prefix, end], { stdio: ["ignore", "pipe", "ignore"] });
  await once(child.stdout!, "data");
  return child;
}

/** Runs the command line to its end. */
function guideway(...parameters: string[]) {
  return spawnSync(process.execPath, [GUIDEWAY, "lab", ...parameters], { encoding: "utf8", timeout: 30_000 });
}

test("up makes what the topology says, down leaves nothing", OPTIONS, async () => {
  const prefix = testPrefix();
  const before = traces(prefix);
  const lab = await Lab.up({
    prefix,
    balancers: 2,
    backends: 2,
    queues: 2,
    arms: 2,
    vips: ["10.99.0.0/24", "fd99::1"],
  });
  try {
    assert.deepEqual(
      Lab.leftovers(prefix).namespaces,
      lab
        .nodes()
        .map((node) => lab.namespace(node))
        .sort(),
    );
    const routes = (await lab.exec("router", ["ip", "route", "show", "10.99.0.0/24"])).stdout;
    assert.match(routes, /nexthop via 10\.0\.0\.11 .*\n.*nexthop via 10\.0\.0\.12 /);
    const link = (await lab.exec("lb2", ["ip", "-detail", "link", "show", "eth1"])).stdout;
    assert.match(link, new RegExp(`${lab.mac("lb2", "eth1")}.* numtxqueues 2 numrxqueues 2`, "s"));
    assert.match((await lab.exec("router", ["ip", "link", "show", "p-lb2-1"])).stdout, /xdp/);
    assert.equal(lab.address("be2", "v6"), "fd00:2::22");
    assert.equal(lab.address("lb1", "v4", "eth1"), "10.0.2.11");
    const features = (await lab.exec("lb1", ["ethtool", "-k", "eth0"])).stdout;
    for (const feature of ["tx-checksumming", "tcp-segmentation-offload", "generic-receive-offload"]) {
      assert.match(features, new RegExp(`^${feature}: off`, "m"));
    }
    // A child with a grandchild, and one that does not listen to SIGTERM.
    lab.spawn("be1", ["sh", "-c", "sleep 1000 & wait"]);
    lab.spawn("be2", ["sh", "-c", "trap '' TERM; sleep 1000; sleep 1000"]);
    await sleep(100);
    assert.ok(Lab.leftovers(prefix).processes.length >= 4);
    assert.throws(() => lab.namespace("be3"), code("LAB_UNKNOWN"));
    await assert.rejects(lab.exec("be1", ["false"]), code("LAB_COMMAND"));
    await assert.rejects(Lab.up({ prefix }), code("LAB_EXISTS"));
    assert.notDeepEqual(Lab.leftovers(prefix), NOTHING, "the refused one took nothing down");
  } finally {
    await lab.down();
  }
  assert.deepEqual(Lab.leftovers(prefix), NOTHING);
  assert.deepEqual(traces(prefix), before);
  await lab.down();
});

test("namespaces that are not the lab's stay, whatever they are called", OPTIONS, async (t) => {
  const prefix = testPrefix();
  const foreign = [`${prefix}-other`, `${prefix}x-be1`];
  for (const name of foreign) execFileSync("ip", ["netns", "add", name]);
  t.after(() => foreign.forEach((name) => void execFileSync("ip", ["netns", "delete", name])));
  const sleeper = spawn("ip", ["netns", "exec", foreign[0]!, "sleep", "1000"]);
  t.after(() => sleeper.kill());
  const lab = await Lab.up({ prefix, backends: 1 });
  await lab.down();
  const left = execFileSync("ip", ["netns", "list"], { encoding: "utf8" });
  for (const name of foreign) assert.match(left, new RegExp(`^${name}\\b`, "m"));
  assert.equal(sleeper.exitCode ?? sleeper.signalCode, null);
});

test("a failure half-way up leaves nothing", OPTIONS, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "guideway-test-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const object = join(folder, "broken.o");
  writeFileSync(object, "no ELF, but the marker: guideway-decap-1 and room for two addresses");
  for (const forward of ["l2", "gre"] as const) {
    const prefix = testPrefix();
    const before = traces(prefix);
    await assert.rejects(Lab.up({ prefix, forward, object }), code("LAB_COMMAND"));
    assert.deepEqual(Lab.leftovers(prefix), NOTHING);
    assert.deepEqual(traces(prefix), before);
  }
});

test("what is missing is said", async (t) => {
  await assert.rejects(
    Lab.up({ object: "/nonexistent.o" }),
    (error: unknown) => code("LAB_PRIVILEGE")(error) && /npm run setup|root/.test((error as Error).message),
  );
  t.mock.method(process as Required<typeof process>, "geteuid", () => 1000);
  await assert.rejects(
    Lab.up(),
    (error: unknown) => code("LAB_PRIVILEGE")(error) && /needs root/.test((error as Error).message),
  );
});

for (const [end, expected] of Object.entries<[number | null, string | null]>({
  SIGINT: [null, "SIGINT"],
  SIGTERM: [null, "SIGTERM"],
  SIGHUP: [null, "SIGHUP"],
  throw: [1, null],
  exit: [7, null],
})) {
  test(`the lab goes with the process that holds it: ${end}`, OPTIONS, async () => {
    const prefix = testPrefix();
    const child = await holder(prefix, end);
    if (end.startsWith("SIG")) child.kill(end as NodeJS.Signals);
    assert.deepEqual(await ended(child), expected);
    assert.deepEqual(Lab.leftovers(prefix), NOTHING);
  });
}

for (const delayMs of [0, 15, 30, 60, 90]) {
  test(`Ctrl-C ${delayMs} ms after the first namespace was there leaves nothing`, OPTIONS, async () => {
    const prefix = testPrefix();
    const child = spawn(process.execPath, [HOLDER, prefix, "wait"], { stdio: "ignore" });
    while (Lab.leftovers(prefix).namespaces.length === 0 && child.exitCode === null) await sleep(1);
    await sleep(delayMs);
    child.kill("SIGINT");
    await ended(child);
    assert.deepEqual(Lab.leftovers(prefix), NOTHING);
  });
}

test("what a killed process left is removed by `lab down`", OPTIONS, async () => {
  const prefix = testPrefix();
  const child = await holder(prefix, "wait");
  child.kill("SIGKILL");
  await ended(child);
  assert.equal(Lab.leftovers(prefix).namespaces.length, 5);
  const stray = spawn("ip", ["netns", "exec", `${prefix}-be1`, "sleep", "1000"]);
  await sleep(50);
  const { stdout, status } = guideway("down", "--prefix", prefix, "--json");
  assert.equal(status, 0);
  assert.deepEqual(JSON.parse(stdout).processes, [stray.pid]);
  assert.deepEqual(await ended(stray), [null, "SIGTERM"]);
  assert.deepEqual(Lab.leftovers(prefix), NOTHING);
  assert.equal(guideway("down", "--prefix", prefix).status, 0, "twice is fine");
});

test("lab up stays, status and exec see it, down removes it", OPTIONS, async (t) => {
  const prefix = testPrefix();
  t.after(() => Lab.down(prefix));
  const up = guideway(
    "up",
    "--prefix",
    prefix,
    "--backends",
    "2",
    "--forward",
    "gre",
    "--ports",
    "80,8080",
    "--json",
  );
  assert.equal(up.status, 0, up.stderr);
  assert.deepEqual(
    JSON.parse(up.stdout).nodes.map((node: { namespace: string }) => node.namespace),
    ["client", "router", "lb1", "be1", "be2"].map((node) => `${prefix}-${node}`),
  );
  const { labs } = JSON.parse(guideway("status", "--prefix", prefix, "--json").stdout);
  const be2 = labs[0].nodes.find((node: { name: string }) => node.name === "be2");
  assert.ok(be2.addresses.includes("fd00::22/64"));
  assert.match(be2.processes[0].command, /server\.(ts|js) --name be2/);
  const inside = (...command: string[]) => guideway("exec", "--prefix", prefix, "client", "--", ...command);
  assert.equal(inside("sh", "-c", "exit 5").status, 5);
  assert.equal(inside("sh", "-c", "kill -TERM $$").status, 143);
  assert.match(
    guideway("exec", "--prefix", prefix, "lb7", "--", "true").stderr,
    /LAB_UNKNOWN.*only be1, be2, client/,
  );
  assert.match(guideway("up", "--prefix", prefix).stderr, /LAB_EXISTS/);
  assert.match(guideway("up", "--prefix", "No").stderr, /LAB_OPTION/);
  assert.equal(guideway("down", "--prefix", prefix).status, 0);
  assert.deepEqual(Lab.leftovers(prefix), NOTHING);
});

test("lab up --hold ends with Ctrl-C", OPTIONS, async (t) => {
  const prefix = testPrefix();
  t.after(() => Lab.down(prefix));
  const parameters = ["lab", "up", "--hold", "--prefix", prefix, "--backends", "1"];
  const child = spawn(process.execPath, [GUIDEWAY, ...parameters], { stdio: ["ignore", "pipe", "inherit"] });
  const [text] = await once(child.stdout, "data");
  assert.match(String(text), /Ctrl-C removes it/);
  child.kill("SIGINT");
  assert.deepEqual(await ended(child), [0, null]);
  assert.deepEqual(Lab.leftovers(prefix), NOTHING);
});

test("a server that cannot start says why", OPTIONS, async (t) => {
  const lab = await Lab.up({ prefix: testPrefix(), balancers: 0, backends: 1 });
  t.after(() => lab.down());
  const first = await startServer(lab, "be1");
  await assert.rejects(
    startServer(lab, "be1"),
    (error: Error) => code("LAB_COMMAND")(error) && /EADDRINUSE/.test(error.message),
  );
  await first.stop();
  await (await startServer(lab, "be1")).stop("SIGKILL");
});
