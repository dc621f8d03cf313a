// What the process may do, and that it may do no more.
//
// Capabilities belong to threads, and Node has several before the first line of JavaScript. So a process that was
// started with too much limits its main thread and executes itself anew, with the same process id:
//
//   state      told by                           next
//   started    more than NEEDED in some set, or   limit the main thread, execute the same command line again
//              no_new_privs is not set
//   limited    neither                           run: every thread, and every one made later, is born like this
//
// A service manager that gives just NEEDED and sets no_new_privs starts it limited. For a user other than root,
// who may not change the bounding set, no_new_privs makes that set harmless.

import { accessSync, constants, readFileSync } from "node:fs";
import { GuidewayError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { asking, loadNative } from "../native.ts";

/** What `run` needs, from its start to its end (docs/operations.md says for what), with include/uapi/linux/capability.h's numbers. */
export const NEEDED: Readonly<Record<string, number>> = {
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_IPC_LOCK: 14,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
};
const NEEDED_BITS = Object.values(NEEDED).reduce((mask, bit) => mask | (1n << BigInt(bit)), 0n);

/** Holds the process id in the environment of the program that is executed anew. */
const MARK = "GUIDEWAY_LIMITED";

/** A thread's sets, bit by bit, from /proc/PID/task/TID/status (proc_pid_status(5)). */
export interface ThreadPrivileges {
  inheritable: bigint;
  permitted: bigint;
  effective: bigint;
  bounding: bigint;
  ambient: bigint;
  noNewPrivileges: boolean;
}

export function parsePrivileges(status: string): ThreadPrivileges {
  const field = (name: string, digits: string): string => {
    const value = new RegExp(`^${name}:\\s*(${digits})$`, "m").exec(status)?.[1];
    if (value !== undefined) return value;
    throw new GuidewayError(
      "PRIVILEGES",
      `/proc/self/status has no usable line ${name}: is /proc the kernel's?`,
    );
  };
  const set = (name: string) => BigInt(`0x${field(name, "[0-9a-f]+")}`);
  return {
    inheritable: set("CapInh"),
    permitted: set("CapPrm"),
    effective: set("CapEff"),
    bounding: set("CapBnd"),
    ambient: set("CapAmb"),
    noNewPrivileges: field("NoNewPrivs", "[01]") === "1",
  };
}

/**
 * Whether a thread holds nothing but what is needed, and cannot get more. The bounding set does not matter then: only
 * an exec could use it, and with no_new_privs none does.
 */
export function isLimited({ inheritable, permitted, effective, noNewPrivileges }: ThreadPrivileges): boolean {
  return noNewPrivileges && ((inheritable | permitted | effective) & ~NEEDED_BITS) === 0n;
}

/** Names of those of NEEDED that a set has. */
function namesOf(set: bigint): string[] {
  return Object.keys(NEEDED).filter((name) => (set >> BigInt(NEEDED[name]!)) & 1n);
}

/**
 * Gives up what is not needed, in all threads. Does not return when that takes executing the program anew: the
 * command line starts over, with the same process id and environment.
 * @throws GuidewayError PRIVILEGES when it cannot be done
 */
export function limitPrivileges(): void {
  const anew = process.env[MARK] === String(process.pid);
  delete process.env[MARK];
  if (isLimited(ownPrivileges())) return;
  if (anew) {
    throw new GuidewayError(
      "PRIVILEGES",
      `privileges came back with the new program (${JSON.stringify(describe(ownPrivileges()))}), expected ` +
        `at most ${Object.keys(NEEDED).join(", ")}; start it with --privileges keep, and report this`,
    );
  }
  asking(() => loadNative().limitCapabilities(Object.values(NEEDED)));
  // What only root's powers over files made readable would now be missed in the middle of the start.
  for (const file of [process.execPath, process.argv[1]!]) {
    try {
      accessSync(file, file === process.execPath ? constants.X_OK : constants.R_OK);
    } catch (cause) {
      throw new GuidewayError(
        "PRIVILEGES",
        `${file} cannot be read without CAP_DAC_OVERRIDE, which guideway gives up: let user ${process.geteuid!()} ` +
          "read it and the folders above it, or start it with --privileges keep",
        { cause },
      );
    }
  }
  const argv = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  try {
    process.execve!(process.execPath, argv, { ...process.env, [MARK]: String(process.pid) } as Record<
      string,
      string
    >);
  } catch (cause) {
    throw new GuidewayError(
      "PRIVILEGES",
      `${process.execPath} cannot be executed anew, to give up privileges: ${(cause as Error).message}; ` +
        "--privileges keep does without",
      { cause },
    );
  }
}

function ownPrivileges(): ThreadPrivileges {
  try {
    // That of the main thread, which is the one that runs this.
    return parsePrivileges(readFileSync("/proc/self/status", "utf8"));
  } catch (cause) {
    if (cause instanceof GuidewayError) throw cause;
    throw new GuidewayError(
      "PRIVILEGES",
      `/proc/self/status cannot be read: ${(cause as Error).message}; mount /proc`,
      {
        cause,
      },
    );
  }
}

function describe(sets: ThreadPrivileges): Record<string, string | boolean> {
  return Object.fromEntries(
    Object.entries(sets).map(([name, set]) => [
      name,
      typeof set === "bigint" ? `0x${set.toString(16)}` : set,
    ]),
  );
}

/** Says in the log what the process may do, and warns of what it lacks or was told to keep. */
export function logPrivileges(log: Logger): void {
  const own = ownPrivileges();
  const held = namesOf(own.effective);
  const missing = Object.keys(NEEDED).filter((name) => !held.includes(name));
  if (!isLimited(own)) log.warn(describe(own), "privileges that are not needed are kept");
  else log.debug({ capabilities: held }, "privileges");
  if (missing.length > 0) {
    log.warn(
      { missing },
      "capabilities are missing: start it as root, or as a service with AmbientCapabilities= (docs/systemd/guideway.service)",
    );
  }
}
