// Kick, wait and events, alone and between threads.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Worker } from "node:worker_threads";
import { native } from "./addon.ts";
import { frameNumbers, TestArena } from "./arena.ts";
import { createVeth, enterNamespace, ip, linkOf, withoutRoot } from "./namespace.ts";
import { build, DESTINATION_MAC, UDP } from "./packets.ts";
import { install, VIPS_V4 } from "./services.ts";

enterNamespace(import.meta.filename);

const skip = withoutRoot || (native.hasProgram() ? false : "built without the XDP program");
const NONE = new Int32Array(0);
const EBADF = 9;
const ENETDOWN = 100;

const near = new TestArena();
const far = new TestArena();
const cleanups: (() => void)[] = [];

before(() => {
  if (!skip) createVeth("near", "far", 1);
});
after(() => {
  for (const cleanup of cleanups) cleanup();
});

const elapsedMs = (since: number): number => performance.now() - since;

test("wait ends when the time is over", () => {
  const event = native.createEvent();
  const start = performance.now();
  assert.equal(native.wait(NONE, event, 20_000), 0);
  assert.ok(elapsedMs(start) >= 19);
  assert.equal(native.wait(NONE, -1, 0), 0);
  native.closeEvent(event);
});

test("a signal given before is not lost, and is taken once", () => {
  const event = native.createEvent();
  native.signalEvent(event);
  native.signalEvent(event);
  assert.equal(native.wait(NONE, event, -1), 1);
  assert.equal(native.wait(NONE, event, 0), 0);
  native.closeEvent(event);
  assert.throws(() => native.signalEvent(event), {
    code: "EBADF",
    message: /signalling event \d+.*was it closed/,
  });
  assert.throws(() => native.closeEvent(event), { code: "EBADF" });
});

test("too many sockets are refused, negative ones skipped", () => {
  assert.throws(() => native.wait(new Int32Array(65), -1, 0), {
    code: "ERR_NATIVE_ARGUMENT",
    message: /65 long, expected at most 64/,
  });
  assert.equal(native.wait(new Int32Array(64).fill(-1), -1, 0), 0);
});

test("a signal wakes another thread, which has the same addon", async () => {
  const event = native.createEvent();
  const worker = new Worker(
    `const { workerData, parentPort } = require("node:worker_threads");
     const native = require(workerData.addon);
     parentPort.postMessage("waiting");
     parentPort.postMessage(native.wait(new Int32Array(0), workerData.event, 5_000_000));`,
    { eval: true, workerData: { addon: new URL(import.meta.resolve("#native")).pathname, event } },
  );
  const messages: unknown[] = [];
  const done = new Promise((resolve) => worker.once("exit", resolve));
  worker.on("message", (message) => {
    messages.push(message);
    if (message === "waiting") native.signalEvent(event);
  });
  await done;
  assert.deepEqual(messages, ["waiting", 1]);
  native.closeEvent(event);
});

test("the addon loads and unloads in several threads at once", async () => {
  const addon = new URL(import.meta.resolve("#native")).pathname;
  const source = `const native = require(require("node:worker_threads").workerData);
                  native.pinThread(0); native.capabilities();`;
  const exits = Array.from({ length: 6 }, () => {
    const worker = new Worker(source, { eval: true, workerData: addon });
    return new Promise((resolve, reject) => worker.once("exit", resolve).once("error", reject));
  });
  assert.deepEqual(await Promise.all(exits), [0, 0, 0, 0, 0, 0]);
});

test("wait returns when a packet arrives", { skip }, () => {
  const socket = near.open("near", 0);
  near.fill(socket.fill!, frameNumbers(0, 16));
  const program = native.XdpProgram.load({ sockets: 32, services: 64, interfaces: 1 });
  install(program);
  program.setInterface(linkOf("near").ifindex, 0, 2, DESTINATION_MAC);
  program.setSocket(0, socket.fd);
  program.attach("near", "auto");
  cleanups.push(
    () => near.close(),
    () => program.detachAll(),
  );

  const sockets = Int32Array.of(socket.fd);
  assert.equal(native.wait(sockets, -1, 1000), 0);
  const sender = far.open("far", 0);
  cleanups.push(() => far.close());
  const packet = build({
    source: [192, 0, 2, 1],
    destination: VIPS_V4[0]!,
    protocol: UDP,
    sourcePort: 5,
    destinationPort: 53,
  });
  far.send(sender, 0, [packet]);
  assert.equal(native.wait(sockets, -1, 1_000_000), 1);
  assert.equal(near.used(socket.rx), 1);
});

test("busy polling takes no packet, and does not mind what it is given", { skip }, () => {
  const arena = new TestArena();
  ip("link add polled type veth peer name polling");
  const socket = arena.openWith({ ...arena.options("polled", 0), busyPollUs: 20 });
  native.busyPoll(Int32Array.of(socket.fd, -1));
  assert.equal(arena.used(socket.rx), 0);
  arena.close();
});

test("kick reports an errno, never throws", { skip }, () => {
  assert.equal(native.kick(-1), EBADF);
  const arena = new TestArena();
  ip("link add lone type veth peer name other");
  ip("link set dev lone up");
  const socket = arena.open("lone", 0);
  ip("link set dev lone down");
  assert.equal(native.kick(socket.fd), ENETDOWN);
  arena.close();
});

test("one kick empties a TX ring that is longer than the kernel's budget", { skip }, () => {
  const arena = new TestArena();
  ip("link add wide type veth peer name wider");
  for (const name of ["wide", "wider"]) ip(`link set dev ${name} up`);
  const socket = arena.open("wide", 0);
  arena.pushPackets(
    socket.tx,
    frameNumbers(0, 400).map((frame) => arena.write(frame, new Uint8Array(60).fill(2))),
  );
  assert.equal(native.kick(socket.fd), 0);
  assert.equal(arena.used(socket.tx), 0);
  assert.equal(arena.completed(socket.completion!).length, 400);
  arena.close();
});
