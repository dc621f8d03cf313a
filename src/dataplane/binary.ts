// The compiled modules, loaded once per process.

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as layout from "../../assembly/layout.ts";
import * as reasons from "../../assembly/reasons.ts";
import { GuidewayError } from "../errors.ts";

const modules = new Map<string, WebAssembly.Module>();

/** A module of package.json's imports, `#dataplane.wasm` or `#builder.wasm`. */
export function loadModule(name: "#dataplane.wasm" | "#builder.wasm"): WebAssembly.Module {
  const known = modules.get(name);
  if (known) return known;
  const path = fileURLToPath(import.meta.resolve(name));
  if (!existsSync(path)) {
    throw new GuidewayError(
      "NOT_BUILT",
      `${path} is missing: run "npm run setup", which compiles it from assembly/`,
    );
  }
  const module = new WebAssembly.Module(readFileSync(path));
  modules.set(name, module);
  return module;
}

/** Exports of assembly/dataplane.ts. */
export interface DataplaneExports {
  attach(worker: number): number;
  run(clockMs: number, passes: number): number;
  settle(): number;
  lean(): number;
  pending(): number;
  park(): void;
  abandon(): void;
  busy(ownNs: number, kernelNs: number): void;
  steer(start: number, length: number): number;
  flowOf(start: number, length: number): number;
  slotHash(address0: bigint, address1: bigint, tail: number): number;
  findPrefix(map: number, family: number, address0: bigint, address1: bigint): number;
}

/** System calls that the data plane asks for; see assembly/host.ts. */
export interface Host {
  kick(socket: number): number;
  wake(socket: number): number;
}

/** For workers whose ports are all in memory: there is no socket to kick. */
export const noSockets: Host = { kick: () => 0, wake: () => 0 };

/**
 * Binds the data plane to an arena.
 * @throws GuidewayError LAYOUT when the binary was compiled from another assembly/layout.ts
 */
export function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  host: Host,
): DataplaneExports {
  const { exports } = new WebAssembly.Instance(module, {
    env: { memory },
    host: { kick: host.kick, wake: host.wake },
  });
  for (const [name, expected] of Object.entries({ ...layout, ...reasons })) {
    const actual = (exports[name] as WebAssembly.Global | undefined)?.value;
    if (actual === undefined || actual >>> 0 !== expected) {
      throw new GuidewayError(
        "LAYOUT",
        `build/dataplane.wasm has ${name} = ${actual}, assembly/layout.ts says ${expected}: run "npm run setup" to compile it again`,
      );
    }
  }
  return exports as unknown as DataplaneExports;
}
