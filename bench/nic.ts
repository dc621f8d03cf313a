// `bench nic`: the real worker on a veth pair against a loop in Rust on the same socket that does nothing but swap
// MAC addresses. The loop is the limit: what remains of it is what the engine, WebAssembly and Node cost.
//
// Everything happens in a process of its own in a network namespace of its own, and goes with it.

import { spawnSync } from "node:child_process";
import { entryFile } from "../src/entry.ts";
import { GuidewayError } from "../src/errors.ts";
import { median, rounded, spread } from "../src/quantiles.ts";
import { buildBenchAddon } from "./nic/addon.ts";
import type { NicMeasurement, Turn } from "./nic/result.ts";
import type { SuiteOptions } from "./suite.ts";

const REPETITIONS = 5;
/** Slices of each forwarder in a repetition, and what counts of each: two seconds altogether. */
const SLICES = 4;
const SLICE_MS = 500;
const QUICK = [1, 1, 500];
const LIMIT_MS = 180_000;
/** A sysfs shows the interfaces of the namespace in which it was mounted. */
const OWN_SYSFS = 'mount -t sysfs sysfs /sys && exec "$@"';

export interface NicResult extends Omit<NicMeasurement, "turns"> {
  /** Packets per second that came back, by repetition. */
  native: number[];
  wasm: number[];
  /** Median of wasm by median of native. */
  ratio: number;
  /** Spread of both, (p90 − p10) / median. */
  spread: { native: number; wasm: number };
  /** Processor time of the forwarding thread, kernel included: medians. */
  cpuNsPerPacket: { native: number; wasm: number };
  turns: NicMeasurement["turns"];
}

/** @throws GuidewayError BENCH when a packet was changed or the measurement fails; NOT_BUILT, PRIVILEGE */
export function benchNic({ quick, say }: SuiteOptions): NicResult {
  if (process.geteuid?.() !== 0) {
    throw new GuidewayError(
      "PRIVILEGE",
      "bench nic needs root, for a network namespace, AF_XDP sockets and an XDP program: run it with sudo",
    );
  }
  buildBenchAddon(say);
  say("in a network namespace of its own");
  const node = [process.execPath, ...process.execArgv, entryFile(import.meta.url, "./nic/measure")];
  const { status, signal, stdout, error } = spawnSync(
    "unshare",
    [
      "--net",
      "--mount",
      "sh",
      "-c",
      OWN_SYSFS,
      "sh",
      ...node,
      ...(quick ? QUICK : [REPETITIONS, SLICES, SLICE_MS]).map(String),
    ],
    { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8", timeout: LIMIT_MS, killSignal: "SIGKILL" },
  );
  if (status !== 0) {
    throw new GuidewayError(
      "BENCH",
      `bench nic failed: ${error?.message ?? signal ?? `exit code ${status}`}`,
    );
  }
  return summarize(JSON.parse(stdout) as NicMeasurement);
}

function summarize(measurement: NicMeasurement): NicResult {
  const { turns, packets } = measurement;
  if (packets.wrong > 0) {
    throw new GuidewayError("BENCH", `${packets.wrong} of ${packets.received} packets came back changed`);
  }
  const rates = (all: Turn[]) => all.map(({ packetsPerSecond }) => Math.round(packetsPerSecond));
  const cpu = (all: Turn[]) => rounded(median(all.map(({ cpuNsPerPacket }) => cpuNsPerPacket)));
  const [native, wasm] = [rates(turns.native), rates(turns.wasm)];
  return {
    native,
    wasm,
    ratio: rounded(median(wasm) / median(native), 3),
    spread: { native: rounded(spread(native), 2), wasm: rounded(spread(wasm), 2) },
    cpuNsPerPacket: { native: cpu(turns.native), wasm: cpu(turns.wasm) },
    ...measurement,
  };
}
