// The opponents of `bench nic`, from the addon built with the feature `bench`: what they count must be true.
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { Frames, Socket, XdpProgram } from "../../build/native.d.ts";
import { native } from "./addon.ts";
import { FRAME_BYTES, frameNumbers, TestArena } from "./arena.ts";
import { createVeth, enterNamespace, linkOf, withoutRoot } from "./namespace.ts";
import { build, DESTINATION_MAC, SOURCE_MAC, UDP } from "./packets.ts";
import { install, VIPS_V4 } from "./services.ts";

enterNamespace(import.meta.filename);

interface Statistics {
  sent: number;
  received: number;
  corrupted: number;
  sendingMs: number;
  receivingMs: number;
  done: boolean;
}
interface Sender {
  stats(): Statistics;
  stop(): Statistics;
}
interface Bench {
  startSender(memory: Uint8Array, socket: Socket, frames: Frames, options: object): Sender;
}

const file = fileURLToPath(new URL("../../build/bench/guideway.node", import.meta.url));
const skip =
  withoutRoot ||
  (native.hasProgram() ? false : "built without the XDP program") ||
  (existsSync(file) ? false : "the addon was not built with the feature `bench`");
const bench = skip ? undefined : (createRequire(import.meta.url)(file) as Bench);

const near = new TestArena();
const far = new TestArena();
const programs: XdpProgram[] = [];
let forwarder: Socket;
let feeder: Socket;

/** Payload at 42: Ethernet, IPv4 and UDP in front of it. */
const template = build({
  source: [192, 0, 2, 1],
  destination: VIPS_V4[0]!,
  protocol: UDP,
  sourcePort: 0,
  destinationPort: 53,
  payload: 18,
});
const options = { template, portOffset: 34, payloadOffset: 42, flows: 1000, millis: 300 };

before(() => {
  if (skip) return;
  createVeth("near", "far", 1);
  forwarder = near.open("near", 0);
  near.fill(forwarder.fill!, frameNumbers(0, 500));
  feeder = far.open("far", 0);
  for (const [device, socket] of [
    ["near", forwarder],
    ["far", feeder],
  ] as const) {
    const program = native.XdpProgram.load({ sockets: 32, services: 64, interfaces: 1 });
    install(program);
    program.setInterface(linkOf(device).ifindex, 0, 2, device === "near" ? DESTINATION_MAC : SOURCE_MAC);
    program.setSocket(0, socket.fd);
    assert.equal(program.attach(device, "auto"), "native");
    programs.push(program);
  }
});
after(() => {
  for (const program of programs) program.detachAll();
  near.close();
  far.close();
});

/** Runs the native loop in a thread of its own, as it blocks. Resolves when it is about to start. */
async function forward(millis: number): Promise<{ forwarded: Promise<number> }> {
  const worker = new Worker(
    `const { workerData: { file, bytes, socket, frames, millis }, parentPort } = require("node:worker_threads");
     const { nativeForward } = require(file);
     parentPort.postMessage(0);
     parentPort.postMessage(nativeForward(bytes, socket, frames, millis, 0));`,
    { eval: true, workerData: { file, bytes: near.bytes, socket: forwarder, frames: near.frames, millis } },
  );
  await once(worker, "message");
  return { forwarded: once(worker, "message").then(([count]) => count as number) };
}

test("what is sent comes back through the native loop, unchanged", { skip }, async (context) => {
  const forwarding = await forward(700);
  const sender = bench!.startSender(far.bytes, feeder, far.frames, { ...options, rate: 20_000 });
  const forwarded = await forwarding.forwarded;
  const { sent, received, corrupted, sendingMs, done } = sender.stop();
  context.diagnostic(`${sent} sent, ${forwarded} forwarded, ${received} back`);
  assert.equal(done, true);
  assert.equal(corrupted, 0);
  assert.ok(sent > 3000 && sent <= 6100, `${sent} sent`);
  assert.ok(sendingMs <= 310, `${sendingMs} ms of 300`);
  assert.ok(received <= forwarded && forwarded <= sent);
  assert.ok(received > sent * 0.9, `${received} of ${sent}`);
  assert.equal(near.used(forwarder.fill!) + near.used(forwarder.completion!), 500, "a frame was lost");
});

test("full speed loses packets, never changes one", { skip }, async (context) => {
  const forwarding = await forward(700);
  const sender = bench!.startSender(far.bytes, feeder, far.frames, options);
  const forwarded = await forwarding.forwarded;
  const { sent, received, corrupted } = sender.stop();
  context.diagnostic(`${sent} sent, ${forwarded} forwarded, ${received} back in 300 ms`);
  assert.equal(corrupted, 0);
  assert.ok(received > 0 && received <= forwarded && forwarded <= sent);
});

test("a changed packet is noticed", { skip }, async () => {
  const sender = bench!.startSender(far.bytes, feeder, far.frames, { ...options, rate: 100, millis: 50 });
  const deadline = performance.now() + 2000;
  let returned = 0;
  while (returned < 4 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    const packets = near.popPackets(forwarder.rx);
    for (const packet of packets) {
      const bytes = near.packet(packet);
      bytes.set([...SOURCE_MAC, ...DESTINATION_MAC]);
      // Payload of the first, sequence number of the second, source port of the third; the others stay.
      const offset = [55, 48, 35][returned];
      if (offset !== undefined) bytes[offset]! ^= 1;
      returned++;
    }
    near.pushPackets(forwarder.tx, packets);
    near.drain(forwarder);
    near.fill(forwarder.fill!, near.completed(forwarder.completion!));
  }
  while (!sender.stats().done && performance.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 5));
  const { received, corrupted } = sender.stop();
  assert.equal(received, returned);
  assert.equal(corrupted, 3);
});

test("options that do not fit are refused", { skip }, () => {
  const refused = (change: object, message: RegExp): void =>
    assert.throws(() => bench!.startSender(far.bytes, feeder, far.frames, { ...options, ...change }), {
      code: "ERR_NATIVE_ARGUMENT",
      message,
    });
  refused({ flows: 0 }, /flows is 0, expected 1 to 65536/);
  refused({ payloadOffset: 53 }, /payloadOffset is 53/);
  refused({ portOffset: 41 }, /portOffset is 41/);
  refused({ template: new Uint8Array(FRAME_BYTES) }, /template is 2048, expected at most 1792 bytes/);
});
