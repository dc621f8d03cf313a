// The addon with the opponents (cargo feature `bench`): never installed, built when it is wanted.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Ring } from "../../src/dataplane/rings.ts";
import { GuidewayError } from "../../src/errors.ts";
import { packageRoot } from "../../src/lab/paths.ts";
import type { Say } from "../suite.ts";

const BUILD_MS = 600_000;

/** An AF_XDP socket with its four rings. */
export interface SocketRings {
  fd: number;
  mode: "zero-copy" | "copy";
  rx: Ring;
  tx: Ring;
  fill: Ring;
  completion: Ring;
}

export interface Frames {
  offset: number;
  bytes: number;
  frameBytes: number;
}

export interface SenderCounts {
  sent: number;
  received: number;
  /** Of those received, not what was sent. */
  corrupted: number;
}

export interface Sender {
  stats(): SenderCounts;
  stop(): SenderCounts;
}

export interface SenderOptions {
  template: Uint8Array;
  portOffset: number;
  payloadOffset: number;
  flows: number;
  millis: number;
  cpu: number;
}

/** See native/src/bench. */
export interface BenchAddon {
  startSender(memory: Uint8Array, socket: SocketRings, frames: Frames, options: SenderOptions): Sender;
  /** Blocks its thread. @returns packets forwarded */
  nativeForward(
    memory: Uint8Array,
    socket: SocketRings,
    frames: Frames,
    millis: number,
    idleSpins: number,
  ): number;
  pinThread(cpu: number): void;
}

export const ADDON = join(packageRoot(), "build", "bench", "guideway.node");

export function loadBenchAddon(): BenchAddon {
  return createRequire(import.meta.url)(ADDON) as BenchAddon;
}

/** Builds it where it is missing or older than its sources. @throws GuidewayError NOT_BUILT */
export function buildBenchAddon(say: Say): void {
  const script = join(packageRoot(), "scripts", "setup.sh");
  if (!existsSync(script)) {
    if (existsSync(ADDON)) return;
    throw new GuidewayError(
      "NOT_BUILT",
      `${ADDON} is missing: bench nic needs a checkout, where it is compiled from native/`,
    );
  }
  if (!existsSync(ADDON)) say("building the addon with the native forwarder (a minute or two)");
  const { status, error } = spawnSync("sh", [script, "bench"], {
    stdio: ["ignore", 2, 2],
    timeout: BUILD_MS,
    env: { ...process.env, npm_lifecycle_event: "bench" },
  });
  if (status === 0 && existsSync(ADDON)) return;
  const how = error?.message ?? `exit code ${status}`;
  throw new GuidewayError("NOT_BUILT", `sh scripts/setup.sh bench did not build ${ADDON}: ${how}`);
}
