// A worker: the Piscina thread that runs the data plane until it is told to stop.
//
//   state     enters when                      leaves when
//   running   started, woken                   idle for spinUs, and every frame is back; never when it busy-polls
//   parked    shows "offline"; sleeps          a packet, a wake, or the time is up
//   draining  a stop word is set               its rings are empty, and those of others that stop, or DRAIN_MS have passed
//   done      reported                         —
//
// Loop and sleep are here; every decision about a packet is in assembly/.

import { performance } from "node:perf_hooks";
import { threadId } from "node:worker_threads";
import * as L from "../../assembly/layout.ts";
import { loadNative, type Native } from "../native.ts";
import { type Host, instantiate, noSockets } from "./binary.ts";
import { packetsInHand } from "./in-hand.ts";
import { MemoryParking, type Parking, SocketParking } from "./parking.ts";
import { PARK_MS, type WorkerNotice, type WorkerReport, type WorkerTask } from "./worker-task.ts";

/** Batches between two looks at the clock. */
const PASSES = 16;
/** Sleep while frames are still on their way back. */
const NAP_US = 1000;
/** Naps in a row over a FILL ring that runs dry: a driver that keeps the frames in its own ring has it so all the time. */
const LEAN_NAPS = 100;
/** Traps whose packets are told; of a thread that traps all the time, no more. */
const MOST_TOLD = 4;
/** How long a stopping worker waits for the last completions. */
const DRAIN_MS = 500;

export default function work(task: WorkerTask): WorkerReport {
  const words = new Uint32Array(task.memory.buffer);
  const { host, parking, poll } = connect(task, words);
  const kernel = timed(host);
  const exports = instantiate(task.module, task.memory, kernel);
  exports.attach(task.worker);
  const block = blockOf(words, task.worker);
  const wakeWord = (block + L.WORKER_WAKE) / 4;
  const tell = (notice: WorkerNotice): void => task.notices.postMessage(notice);
  let traps = 0;
  let naps = 0;
  let trap: string | undefined;

  const clock = (): number => performance.timeOrigin + performance.now() - task.epochMs;

  /** One round of the loop. @returns packets taken */
  const round = (): number => {
    const ms = clock();
    try {
      return exports.run(ms, PASSES);
    } catch (error) {
      // A trap is a defect of the data plane: the batch is given up and counted, the worker goes on.
      const stack = (error as Error).stack ?? String(error);
      if (traps < MOST_TOLD) tell({ kind: "trapped", stack, packets: inHand(task.memory, words, block) });
      exports.abandon();
      traps++;
      trap ??= stack;
      return 1;
    } finally {
      wakeOthers(words, wakeWord, parking);
    }
  };

  const stopWord = (block + L.WORKER_STOP) / 4;
  const stopping = () => Atomics.load(words, L.HEADER_STOP / 4) !== 0 || Atomics.load(words, stopWord) !== 0;
  tell({ kind: "started", thread: threadId });
  let before = performance.now();
  let idleSince = before;
  while (!stopping()) {
    kernel.ms = 0;
    const packets = round();
    const now = performance.now();
    if (packets > 0) {
      exports.busy((now - before - kernel.ms) * 1e6, kernel.ms * 1e6);
      idleSince = now;
    } else if (poll) {
      poll();
      exports.settle();
    } else if ((now - idleSince) * 1000 >= task.spinUs) {
      const settled = exports.settle() !== 0 && (exports.lean() === 0 || naps >= LEAN_NAPS);
      naps = settled ? 0 : naps + 1;
      exports.park();
      if (exports.pending() === 0) parking.wait(settled ? PARK_MS * 1000 : NAP_US);
      idleSince = performance.now();
    }
    before = performance.now();
  }
  const drained = drain(round, exports.settle, parking, { words, worker: task.worker });
  exports.park();
  task.notices.close();
  return { worker: task.worker, drained, traps, ...(trap && { trap }) };
}

function inHand(memory: WebAssembly.Memory, words: Uint32Array, block: number): Uint8Array[] {
  const [offset, frameBytes] = [words[L.HEADER_FRAMES / 4]!, words[L.HEADER_FRAME_BYTES / 4]!];
  const bytes = words[L.HEADER_FRAME_COUNT / 4]! * frameBytes;
  return packetsInHand(memory, block, { offset, bytes, frameBytes });
}

/**
 * Lets the rings run empty: first this worker's own, then, when all stop, what others have handed to it before theirs were.
 * @returns whether nothing was left
 */
function drain(
  round: () => number,
  settle: () => number,
  parking: Parking,
  { words, worker }: { words: Uint32Array; worker: number },
): boolean {
  const until = performance.now() + DRAIN_MS;
  const wordOf = (worker: number) => (blockOf(words, worker) + L.WORKER_DRAINED) / 4;
  const allStop = Atomics.load(words, L.HEADER_STOP / 4) !== 0;
  const others = Array.from({ length: allStop ? words[L.HEADER_RUNNING / 4]! : 0 }, (_, worker) =>
    wordOf(worker),
  );
  const isEmpty = () => round() === 0 && settle() !== 0;
  let empty = false;
  while (performance.now() < until) {
    empty = isEmpty();
    if (empty) {
      Atomics.store(words, wordOf(worker), 1);
      if (others.every((word) => Atomics.load(words, word) === 1) && isEmpty()) return true;
    }
    parking.wait(NAP_US);
  }
  return empty;
}

function blockOf(words: Uint32Array, worker: number): number {
  return words[L.HEADER_WORKERS / 4]! + worker * L.WORKER_BYTES;
}

/** Wakes the workers that were handed packets, if they sleep. */
function wakeOthers(words: Uint32Array, wakeWord: number, parking: Parking): void {
  let handed = words[wakeWord]!;
  if (handed === 0) return;
  words[wakeWord] = 0;
  for (let worker = 0; handed !== 0; worker++, handed >>>= 1) {
    if ((handed & 1) === 0) continue;
    const epoch = Atomics.load(words, (blockOf(words, worker) + L.WORKER_EPOCH) / 4);
    if (epoch === L.WORKER_OFFLINE) parking.wake(worker);
  }
}

/** A host that adds up the milliseconds spent in it. */
function timed(host: Host): Host & { ms: number } {
  const measured = {
    ms: 0,
    kick(socket: number): number {
      const from = performance.now();
      const result = host.kick(socket);
      measured.ms += performance.now() - from;
      return result;
    },
    wake: host.wake,
  };
  return measured;
}

/** The two system calls. Polling a socket makes its driver look at the FILL ring. */
function socketHost(native: Native, sockets: number[]): Host {
  const lists = new Map(sockets.map((socket) => [socket, Int32Array.of(socket)]));
  return { kick: native.kick, wake: (socket) => native.wait(lists.get(socket)!, -1, 0) };
}

interface Connection {
  host: Host;
  parking: Parking;
  /** What an idle worker does instead of sleeping. */
  poll?: (() => void) | undefined;
}

function connect(task: WorkerTask, words: Uint32Array): Connection {
  if (task.cpu !== undefined || task.native) {
    const native = loadNative();
    if (task.cpu !== undefined) native.pinThread(task.cpu);
    if (task.native) {
      const { sockets, events, busyPoll } = task.native;
      const all = Int32Array.from(sockets);
      return {
        host: socketHost(native, sockets),
        parking: new SocketParking(native, task.worker, sockets, events),
        poll: busyPoll ? () => native.busyPoll(all) : undefined,
      };
    }
  }
  const blocks = Array.from({ length: words[L.HEADER_WORKER_COUNT / 4]! }, (_, worker) =>
    blockOf(words, worker),
  );
  return { host: noSockets, parking: new MemoryParking(task.memory, task.worker, blocks) };
}
