// The whole way, on a veth pair: packets sent on one end reach, by the XDP program, the socket of the worker that
// owns their flow, inside a WebAssembly memory; and come back.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { after, before, test } from "node:test";
import type { Socket, XdpProgram } from "../../build/native.d.ts";
import { native } from "./addon.ts";
import { type Descriptor, FRAME_BYTES, frameNumbers, HEADROOM, TestArena, until } from "./arena.ts";
import { type Find, flowKey, shardOf } from "./filter-model.ts";
import { createVeth, enterNamespace, ip, linkOf, withoutRoot } from "./namespace.ts";
import { build, DESTINATION_MAC, TCP, UDP } from "./packets.ts";
import { install, SECRET, VIPS_V4, VIPS_V6 } from "./services.ts";

enterNamespace(import.meta.filename);

const MAX_WORKERS = 32;
const QUEUES = [0, 1];
const WORKERS = [0, 1];
const FRAMES_PER_QUEUE = 400;
const SENDER_FRAME = 512;
const PACKETS_PER_QUEUE = 300;

const skip = withoutRoot || (native.hasProgram() ? false : "built without the XDP program");

/** The balancer's end: `sockets[queue][worker]`. */
const balancer = new TestArena();
const sockets: Socket[][] = [];
let program: XdpProgram;
let services: Find;
/** The other end: one socket per queue, that sends and gets back what is for a VIP. */
const peer = new TestArena();
const peers: Socket[] = [];
let peerProgram: XdpProgram;

/** Shards of worker 1: the odd ones. */
const owners = Uint8Array.from({ length: 256 }, (_, shard) => shard & 1);

function start(device: string, socketsOf: Socket[][]): XdpProgram {
  const loaded = native.XdpProgram.load({ sockets: 2 * MAX_WORKERS, services: 64, interfaces: 1 });
  install(loaded);
  loaded.setInterface(linkOf(device).ifindex, 0, 2, DESTINATION_MAC);
  for (const [queue, workers] of socketsOf.entries()) {
    for (const [worker, socket] of workers.entries())
      loaded.setSocket(queue * MAX_WORKERS + worker, socket.fd);
  }
  assert.equal(loaded.attach(device, "auto"), "native");
  return loaded;
}

before(() => {
  if (skip) return;
  createVeth("near", "far");
  for (const queue of QUEUES) {
    const first = balancer.open("near", queue);
    sockets.push([first, balancer.open("near", queue, first)]);
    balancer.fill(first.fill!, frameNumbers(queue * FRAMES_PER_QUEUE, FRAMES_PER_QUEUE));
    peers.push(peer.open("far", queue));
    peer.fill(peers[queue]!.fill!, frameNumbers(queue * 256, 256));
  }
  program = start("near", sockets);
  services = install(program);
  program.setShardOwners(owners);
  peerProgram = start(
    "far",
    peers.map((socket) => [socket]),
  );
});

after(() => {
  program?.detachAll();
  peerProgram?.detachAll();
  balancer.close();
  peer.close();
});

/** Packets of many flows to the VIPs, IPv4 and IPv6, all different. */
const packets = Array.from({ length: PACKETS_PER_QUEUE * QUEUES.length }, (_, index) =>
  build({
    source:
      index % 3
        ? [192, 0, 2, index & 255]
        : [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, index & 255],
    destination: index % 3 ? VIPS_V4[index & 1]! : VIPS_V6[index & 1]!,
    protocol: index & 2 ? TCP : UDP,
    sourcePort: 1024 + index,
    destinationPort: 443,
    payload: index % 50,
  }),
);
const packetsOf = (queue: number): Uint8Array[] =>
  packets.slice(queue * PACKETS_PER_QUEUE, (queue + 1) * PACKETS_PER_QUEUE);
const workerOf = (packet: Uint8Array): number => owners[shardOf(flowKey(packet, services, SECRET)!)]!;
const hex = (packet: Uint8Array): string => Buffer.from(packet).toString("hex");

/** What arrived, by queue and worker; held by the next test. */
const received: Descriptor[][][] = [];

test("a frame for another MAC address stays with the host", { skip }, async () => {
  const stranger = packets[0]!.slice();
  stranger[5] = 9;
  peer.send(peers[0]!, SENDER_FRAME, [...Array(10).fill(stranger), packets[0]!]);
  const [first] = sockets[0]!;
  const socket = sockets[0]![workerOf(packets[0]!)]!;
  assert.ok(await until(() => balancer.used(socket.rx) > 0));
  const arrived = balancer.popPackets(socket.rx);
  assert.deepEqual(
    arrived.map((descriptor) => hex(balancer.packet(descriptor))),
    [hex(packets[0]!)],
  );
  balancer.fill(
    first!.fill!,
    arrived.map(({ address }) => Math.floor(address / FRAME_BYTES)),
  );
});

test("every packet reaches the worker that owns its flow, byte for byte", { skip }, async () => {
  for (const queue of QUEUES) peer.send(peers[queue]!, SENDER_FRAME, packetsOf(queue));
  const arrived = (): number => sockets.flat().reduce((sum, socket) => sum + balancer.used(socket.rx), 0);
  assert.ok(await until(() => arrived() === packets.length), `${arrived()} of ${packets.length} arrived`);
  for (const queue of QUEUES) {
    received.push(WORKERS.map((worker) => balancer.popPackets(sockets[queue]![worker]!.rx)));
    for (const worker of WORKERS) {
      const here = received[queue]![worker]!;
      const expected = packetsOf(queue).filter((packet) => workerOf(packet) === worker);
      assert.ok(here.length > PACKETS_PER_QUEUE / 4, `only ${here.length} flows for worker ${worker}`);
      assert.deepEqual(
        here.map((descriptor) => hex(balancer.packet(descriptor))),
        expected.map(hex),
        `queue ${queue}, worker ${worker}`,
      );
      for (const { address } of here) assert.equal(address % FRAME_BYTES, HEADROOM);
    }
  }
});

test("every worker sends on its own socket, and no frame is lost", { skip }, async () => {
  for (const queue of QUEUES) {
    for (const worker of WORKERS) {
      const socket = sockets[queue]![worker]!;
      balancer.pushPackets(socket.tx, received[queue]![worker]!);
      balancer.drain(socket);
    }
  }
  const back = (): number => peers.reduce((sum, socket) => sum + peer.used(socket.rx), 0);
  // The far end has no room for more than its frames.
  assert.ok(await until(() => back() === 512), `${back()} came back`);
  const sent = new Set(packets.map(hex));
  for (const socket of peers) {
    for (const descriptor of peer.popPackets(socket.rx)) assert.ok(sent.has(hex(peer.packet(descriptor))));
  }
  const frames: number[] = [];
  for (const queue of QUEUES) {
    const [first] = sockets[queue]!;
    const completed = balancer.completed(first!.completion!);
    assert.equal(completed.length, PACKETS_PER_QUEUE);
    assert.equal(balancer.used(first!.fill!), FRAMES_PER_QUEUE - PACKETS_PER_QUEUE);
    frames.push(...completed);
  }
  assert.equal(new Set(frames).size, frames.length, "a frame completed twice");
  for (const socket of sockets.flat()) {
    const { rxDropped, rxInvalidDescriptors, txInvalidDescriptors, rxRingFull } = native.socketStatistics(
      socket.fd,
    );
    assert.deepEqual([rxDropped, rxInvalidDescriptors, txInvalidDescriptors, rxRingFull], [0, 0, 0, 0]);
  }
  for (const queue of QUEUES) {
    balancer.fill(sockets[queue]![0]!.fill!, frames.splice(0, PACKETS_PER_QUEUE));
    peer.fill(peers[queue]!.fill!, frameNumbers(queue * 256, 256));
  }
});

test("a shard follows its owner", { skip }, async () => {
  const [packet] = packetsOf(0);
  const next = 1 - workerOf(packet!);
  program.setShardOwners(new Uint8Array(256).fill(next));
  peer.send(peers[0]!, SENDER_FRAME, [packet!]);
  const { rx } = sockets[0]![next]!;
  assert.ok(await until(() => balancer.used(rx) === 1));
  balancer.fill(
    sockets[0]![0]!.fill!,
    balancer.popPackets(rx).map(({ address }) => Math.floor(address / FRAME_BYTES)),
  );
  program.setShardOwners(owners);
});

test("what is not for a VIP, or finds no socket, goes to the host", { skip }, async (context) => {
  ip("address add 10.1.0.1/24 dev near");
  const server = createSocket("udp4").bind(443, "0.0.0.0");
  context.after(() => server.close());
  await new Promise((resolve) => server.once("listening", resolve));
  const messages: number[] = [];
  server.on("message", (message) => messages.push(message.length));
  const mac = linkOf("near")
    .address.split(":")
    .map((byte) => Number.parseInt(byte, 16));
  const send = (destination: number[], payload: number): void => {
    const packet = build({
      source: [10, 1, 0, 2],
      destination,
      protocol: UDP,
      sourcePort: 9,
      destinationPort: 443,
      payload,
    });
    packet.set(mac);
    peer.send(peers[0]!, SENDER_FRAME, [withHeaderChecksum(packet)]);
  };

  send([10, 1, 0, 1], 21);
  assert.ok(await until(() => messages.includes(21)), "a packet for the host did not reach it");

  ip(`address add ${VIPS_V4[0]!.join(".")}/32 dev near`);
  for (const worker of WORKERS) program.clearSocket(worker);
  send(VIPS_V4[0]!, 22);
  assert.ok(await until(() => messages.includes(22)), "a packet without a socket did not reach the host");
  for (const worker of WORKERS) program.setSocket(worker, sockets[0]![worker]!.fd);
});

test("detached, the interface keeps nothing from the host", { skip }, () => {
  assert.ok(linkOf("near").xdp);
  program.detachAll();
  assert.equal(linkOf("near").xdp, undefined);
  assert.equal(program.attach("near", "native"), "native");
});

/** The host does look at the IPv4 header's checksum. */
function withHeaderChecksum(packet: Uint8Array): Uint8Array {
  let sum = 0;
  for (let offset = 14; offset < 34; offset += 2) sum += packet[offset]! * 256 + packet[offset + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  packet.set([~sum >> 8, ~sum], 24);
  return packet;
}
