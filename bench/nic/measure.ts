// `bench nic` inside its network namespace: one sender that never stops, and two forwarders that take turns on the
// very same socket, rings and frames at the other end.
//
// A turn is some warming up and then the time that counts: packets that came back to the sender, and what the
// forwarder's thread took of its processor. The result goes to the parent (bench/nic.ts) as JSON.

import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import * as L from "../../assembly/layout.ts";
import { WorkerPool } from "../../src/dataplane/pool.ts";
import { Statistics } from "../../src/dataplane/statistics.ts";
import { entryFile } from "../../src/entry.ts";
import { FlowTemplate } from "../../src/io/flow-template.ts";
import { loadBenchAddon, type Sender } from "./addon.ts";
import { createLink, Station, VIP } from "./link.ts";
import type { NicMeasurement, Turn } from "./result.ts";
import { allowedCpus, pinnedThreadsNs } from "./threads.ts";

const FLOWS = 1000;
const PACKET_BYTES = 64;
const PORT_OFFSET = 34;
const PAYLOAD_OFFSET = 42;
const UDP_CHECKSUM = 40;
/** The sender outlives every turn. */
const SENDING_MS = 600_000;
/** Passes without a packet before the native loop sleeps: about as long as a worker polls. */
const IDLE_SPINS = 500;
/** How long a forwarder may take to begin. */
const START_MS = 200;

interface Times {
  warmMs: number;
  measuredMs: number;
}

/** A forwarder at work. */
interface Forwarding {
  /** Ends it, or waits for its end. */
  end(): Promise<void>;
}

/** UDP without a checksum: the sender changes port and payload of every packet. */
function template(): Uint8Array {
  const { bytes } = new FlowTemplate(VIP, Station.mac("forwarder"), PACKET_BYTES);
  const packet = bytes.slice();
  packet.set(Station.mac("sender"), 6);
  packet.fill(0, UDP_CHECKSUM, UDP_CHECKSUM + 2);
  return packet;
}

async function turn(
  sender: Sender,
  cpu: number,
  { warmMs, measuredMs }: Times,
  start: () => Forwarding,
): Promise<Turn> {
  const forwarding = start();
  await sleep(START_MS + warmMs);
  const before = { ...sender.stats(), cpuNs: pinnedThreadsNs(cpu), ms: performance.now() };
  await sleep(measuredMs);
  const after = { ...sender.stats(), cpuNs: pinnedThreadsNs(cpu), ms: performance.now() };
  await forwarding.end();
  const received = after.received - before.received;
  const seconds = (after.ms - before.ms) / 1000;
  return {
    packetsPerSecond: received / seconds,
    offeredPerSecond: (after.sent - before.sent) / seconds,
    cpuNsPerPacket: (after.cpuNs - before.cpuNs) / received,
    busy: (after.cpuNs - before.cpuNs) / 1e9 / seconds,
  };
}

async function measure(repetitions: number, times: Times): Promise<NicMeasurement> {
  const [senderCpu, forwarderCpu] = allowedCpus();
  if (senderCpu === undefined || forwarderCpu === undefined) throw new Error("two processors are needed");
  createLink();
  const near = new Station("forwarder");
  const far = new Station("sender");
  near.engine.offerFrames();
  near.ports.attach();
  far.ports.attach();
  const thread = new Worker(entryFile(import.meta.url, "./native-thread"));
  await once(thread, "online");

  const native = (): Forwarding => {
    const { warmMs, measuredMs } = times;
    const millis = START_MS + warmMs + measuredMs + START_MS;
    const { socket, frames, engine } = near;
    thread.postMessage({
      cpu: forwarderCpu,
      bytes: engine.arena.u8,
      socket,
      frames,
      millis,
      idleSpins: IDLE_SPINS,
    });
    return { end: async () => void (await once(thread, "message")) };
  };
  const wasm = (): Forwarding => {
    near.engine.arena.setWord(L.HEADER_STOP, 0);
    const pool = new WorkerPool(near.engine, { sockets: near.ports.sockets, cpus: [forwarderCpu] });
    return { end: async () => void (await pool.stop()) };
  };

  const sender = loadBenchAddon().startSender(far.engine.arena.u8, far.socket, far.frames, {
    template: template(),
    portOffset: PORT_OFFSET,
    payloadOffset: PAYLOAD_OFFSET,
    flows: FLOWS,
    millis: SENDING_MS,
    cpu: senderCpu,
  });
  const turns: NicMeasurement["turns"] = { native: [], wasm: [] };
  for (let i = 1; i <= repetitions; i++) {
    for (const [name, start] of Object.entries({ native, wasm }) as ["native" | "wasm", () => Forwarding][]) {
      const result = await turn(sender, forwarderCpu, times, start);
      turns[name].push(result);
      process.stderr.write(
        `bench nic: ${i} of ${repetitions}, ${name}: ${(result.packetsPerSecond / 1000).toFixed(0)} kpps, ` +
          `${result.cpuNsPerPacket.toFixed(0)} ns of processor per packet\n`,
      );
    }
  }
  const { sent, received, corrupted } = sender.stop();
  const statistics = new Statistics(near.engine.arena);
  const [worker] = statistics.workers();
  await thread.terminate();
  const modes = { sockets: near.ports.interfaces[0]!.sockets, program: near.ports.interfaces[0]!.program! };
  const result = {
    turns,
    packets: { sent, received, verified: received - corrupted, wrong: corrupted },
    worker: {
      packets: worker!.packets,
      batches: worker!.batches,
      kicks: worker!.kicks,
      parks: worker!.parks,
      traps: worker!.traps,
      reasons: statistics.reasons(),
    },
    setup: { flows: FLOWS, packetBytes: PACKET_BYTES, senderCpu, forwarderCpu, ...modes },
  };
  near.ports.close();
  far.ports.close();
  return result;
}

const [repetitions, warmMs, measuredMs] = process.argv.slice(2).map(Number);
const result = await measure(repetitions!, { warmMs: warmMs!, measuredMs: measuredMs! });
process.stdout.write(JSON.stringify(result));
