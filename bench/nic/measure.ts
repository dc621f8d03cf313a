// `bench nic` inside its network namespace: one sender that never stops, and two forwarders that take turns on the
// very same socket, rings and frames at the other end.
//
// A repetition is made of short slices, one forwarder's and then the other's, so that a machine that is faster at one time
// than at another is so for both. What counts of a slice are the packets that came back to the sender, and what the
// forwarder's thread took of its processor. The result goes to the parent (bench/nic.ts) as JSON.

import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import * as L from "../../assembly/layout.ts";
import { WorkerPool } from "../../src/dataplane/pool.ts";
import { Statistics } from "../../src/dataplane/statistics.ts";
import { entryFile } from "../../src/entry.ts";
import { FlowTemplate } from "../../src/io/flow-template.ts";
import { allowedCpus } from "../../src/measure/cpus.ts";
import { workerFile } from "../profile/worker-file.ts";
import { loadBenchAddon, type Sender } from "./addon.ts";
import { createLink, Station, VIP } from "./link.ts";
import type { NicMeasurement, Turn } from "./result.ts";
import { pinnedThreadsNs } from "./threads.ts";

const FLOWS = 1000;
const PACKET_BYTES = 64;
const PORT_OFFSET = 34;
const PAYLOAD_OFFSET = 42;
const UDP_CHECKSUM = 40;
/** The sender outlives every turn. */
const SENDING_MS = 600_000;
/** Passes without a packet before the native loop sleeps: about as long as a worker polls. */
const IDLE_SPINS = 500;
/** Before a slice counts: the forwarder starts, and empties what its predecessor left in the rings. */
const LEAD_MS = 300;
/** The first slices are not counted: V8 compiles. */
const WARM_MS = 1000;

/** A forwarder at work. */
interface Forwarding {
  /** Ends it, or waits for its end. */
  end(): Promise<void>;
}

/** Starts a forwarder for a slice of so many milliseconds. */
type Start = (millis: number) => Forwarding;

/** UDP without a checksum: the sender changes port and payload of every packet. */
function template(): Uint8Array {
  const { bytes } = new FlowTemplate(VIP, Station.mac("forwarder"), PACKET_BYTES);
  const packet = bytes.slice();
  packet.set(Station.mac("sender"), 6);
  packet.fill(0, UDP_CHECKSUM, UDP_CHECKSUM + 2);
  return packet;
}

/** What happened in a slice, or in several. */
interface Counted {
  ms: number;
  sent: number;
  received: number;
  cpuNs: number;
}

async function slice(sender: Sender, cpu: number, millis: number, start: Start): Promise<Counted> {
  const now = (): Counted => ({ ...sender.stats(), cpuNs: pinnedThreadsNs(cpu), ms: performance.now() });
  const forwarding = start(millis);
  await sleep(LEAD_MS);
  const before = now();
  await sleep(millis);
  const after = now();
  await forwarding.end();
  return {
    ms: after.ms - before.ms,
    sent: after.sent - before.sent,
    received: after.received - before.received,
    cpuNs: after.cpuNs - before.cpuNs,
  };
}

function turnOf(slices: readonly Counted[]): Turn {
  const sum = (key: keyof Counted) => slices.reduce((total, each) => total + each[key], 0);
  const seconds = sum("ms") / 1000;
  return {
    packetsPerSecond: sum("received") / seconds,
    offeredPerSecond: sum("sent") / seconds,
    cpuNsPerPacket: sum("cpuNs") / sum("received"),
    busy: sum("cpuNs") / 1e9 / seconds,
  };
}

async function measure(repetitions: number, slices: number, millis: number): Promise<NicMeasurement> {
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

  const native: Start = (counted) => {
    const { socket, frames, engine } = near;
    thread.postMessage({
      cpu: forwarderCpu,
      bytes: engine.arena.u8,
      socket,
      frames,
      millis: LEAD_MS + counted + LEAD_MS,
      idleSpins: IDLE_SPINS,
    });
    return { end: async () => void (await once(thread, "message")) };
  };
  const wasm: Start = () => {
    near.engine.arena.setWord(L.HEADER_STOP, 0);
    const pool = new WorkerPool(near.engine, {
      sockets: near.ports.sockets,
      cpus: [forwarderCpu],
      file: workerFile("wasm"),
    });
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
  const forwarders = { native, wasm };
  const names = ["native", "wasm"] as const;
  for (const name of names) await slice(sender, forwarderCpu, WARM_MS, forwarders[name]);
  const turns: NicMeasurement["turns"] = { native: [], wasm: [] };
  for (let i = 1; i <= repetitions; i++) {
    const counted: Record<(typeof names)[number], Counted[]> = { native: [], wasm: [] };
    for (let j = 0; j < slices; j++) {
      for (const name of names)
        counted[name].push(await slice(sender, forwarderCpu, millis, forwarders[name]));
    }
    for (const name of names) turns[name].push(turnOf(counted[name]));
    const told = names.map((name) => {
      const { packetsPerSecond, cpuNsPerPacket } = turns[name].at(-1)!;
      return `${name} ${(packetsPerSecond / 1000).toFixed(0)} kpps, ${cpuNsPerPacket.toFixed(0)} ns of processor per packet`;
    });
    process.stderr.write(`bench nic: ${i} of ${repetitions}: ${told.join("; ")}\n`);
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

const [repetitions, slices, millis] = process.argv.slice(2).map(Number);
const result = await measure(repetitions!, slices!, millis!);
process.stdout.write(JSON.stringify(result));
