// The prober's thread: runs all checks, and tells the main thread what has changed.
//
//   state     enters when            leaves when
//   running   started by a monitor   it is told to stop, or dies
//   done      all checks are ended   —
import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { endpoint } from "../config/address.ts";
import { GuidewayError } from "../errors.ts";
import { loadNative } from "../native.ts";
import type { Limits } from "./admission.ts";
import { Board } from "./board.ts";
import type { Order, ProberData, Report } from "./messages.ts";
import { Scheduler } from "./scheduler.ts";

/** Checks at once: sockets take memory, and a descriptor each. */
const MAX_AT_ONCE = 4096;
const MAX_PROGRAMS = 16;
const HEARTBEAT_MS = 250;

/** At most half of the descriptors that the process may have: the rest of it needs some too. */
function limits(): Limits {
  const text = readFileSync("/proc/self/limits", "utf8");
  const descriptors = Number(/^Max open files\s+(\d+)/m.exec(text)?.[1] ?? Number.POSITIVE_INFINITY);
  const total = Math.max(MAX_PROGRAMS, Math.min(MAX_AT_ONCE, Math.floor(descriptors / 2)));
  return { total, failing: Math.ceil((total * 3) / 4), exec: MAX_PROGRAMS };
}

/** Programs of `exec` checks start without the capabilities of this process, which are handed on by thread. */
function handOnNoCapabilities(): void {
  try {
    loadNative().clearAmbientCapabilities();
  } catch (error) {
    // Without the addon there is no machine to run, and nothing was ever made ambient.
    if (!(error instanceof GuidewayError && error.code === "NOT_BUILT")) throw error;
  }
}

handOnNoCapabilities();
const port = parentPort!;
const board = new Board((workerData as ProberData).board);
const report = (message: Report): void => port.postMessage(message);

let changes: Extract<Report, { kind: "changes" }>["changes"] = [];
let trouble: Extract<Report, { kind: "trouble" }> | undefined;

/** What changed in a turn of the loop goes in one message at its end. */
function flush(): void {
  report({ kind: "changes", changes });
  changes = [];
}

const scheduler = new Scheduler(board, limits(), {
  changed(id, judgement, at) {
    if (changes.push({ id, judgement, at }) === 1) setImmediate(flush);
  },
  inconclusive({ address, check }, reason) {
    const example = `${check.type} ${endpoint(address, check.port)}: ${reason}`;
    trouble = { kind: "trouble", count: (trouble?.count ?? 0) + 1, example };
  },
});

function beat(): void {
  const { user, system } = process.threadCpuUsage();
  board.set("cpuUserUs", user);
  board.set("cpuSystemUs", system);
  board.add("heartbeat");
  if (trouble) report(trouble);
  trouble = undefined;
}
beat();
const heartbeat = setInterval(beat, HEARTBEAT_MS);

port.on("message", (order: Order) => {
  if (order.kind === "apply") scheduler.apply(order.add, order.remove);
  else {
    scheduler.stop();
    clearInterval(heartbeat);
    port.close();
  }
});
