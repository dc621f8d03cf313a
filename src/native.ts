// The addon (native/): loaded when something needs the kernel, never before.

import { createRequire } from "node:module";
import type * as addon from "../build/native.d.ts";
import { GuidewayError } from "./errors.ts";

export type Native = typeof addon;
export type { Socket, SocketOptions, SocketStatistics, XdpProgram } from "../build/native.d.ts";

/** Passes on what the addon refuses: its messages say what is missing and what to do. */
export function asking<T>(call: () => T): T {
  try {
    return call();
  } catch (cause) {
    const { code, message } = cause as { code?: unknown; message?: string };
    if (typeof code !== "string" || cause instanceof GuidewayError) throw cause;
    throw new GuidewayError(code, message ?? code, { cause });
  }
}

const require = createRequire(import.meta.url);

/**
 * The addon; it loads without privileges.
 * @throws GuidewayError NOT_BUILT when it is missing or does not load
 */
export function loadNative(): Native {
  try {
    return require("#native") as Native;
  } catch (cause) {
    throw new GuidewayError(
      "NOT_BUILT",
      `build/guideway.node does not load (${(cause as Error).message}): run "npm run setup", which compiles it from native/`,
      { cause },
    );
  }
}
