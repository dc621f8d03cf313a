/**
 * Finding and removing the namespaces of a lab. Everything derives from names in /run/netns and from /proc, so that
 * any process can remove what another one left behind; there is no state file that could be wrong.
 */
import { spawnSync } from "node:child_process";
import { type BigIntStats, readdirSync, readFileSync, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { environment, findTool, run } from "./process.ts";
import { parseNamespace } from "./topology.ts";

const FOLDER = "/run/netns";
/** How long processes have to end by themselves before they are killed. */
const GRACE_MS = 1000;
/** How long a killed process may take to disappear. */
const KILL_MS = 5000;
const STEP_MS = 10;

/** The namespaces of the lab with this prefix, or of every lab, in the order of their names. */
export function labNamespaces(prefix?: string): string[] {
  let names: string[];
  try {
    names = readdirSync(FOLDER);
  } catch {
    return [];
  }
  return names
    .filter((name) => {
      const parsed = parseNamespace(name);
      return parsed !== undefined && (prefix === undefined || parsed.prefix === prefix);
    })
    .sort();
}

/** The processes in these namespaces, never this one and never those of the host's namespace. */
export function processesIn(namespaces: string[]): number[] {
  const wanted = new Set(namespaces.map((name) => identity(`${FOLDER}/${name}`)));
  for (const own of ["self", "1"]) wanted.delete(identity(`/proc/${own}/ns/net`));
  wanted.delete(undefined);
  if (wanted.size === 0) return [];
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry) && wanted.has(identity(`/proc/${entry}/ns/net`)))
    .map(Number);
}

/** The command line of a process, empty when it is gone. */
export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}

/** Ends the processes in the lab's namespaces and removes them. Does nothing where nothing is. */
export async function removeNamespaces(prefix: string): Promise<void> {
  const namespaces = labNamespaces(prefix);
  if (namespaces.length === 0) return;
  signal(processesIn(namespaces), "SIGTERM");
  await until(GRACE_MS, () => processesIn(namespaces).length === 0);
  await until(KILL_MS, () => signal(processesIn(namespaces), "SIGKILL") === 0);
  await run([findTool("ip") ?? "ip", "-force", "-batch", "-"], {
    input: deletion(labNamespaces(prefix)),
    check: false,
  });
}

/** The same at once and without yielding, for a process that is about to end. */
export function removeNamespacesNow(prefix: string): void {
  // A command that was killed just now may still have added a namespace: look again until there is none.
  for (let attempt = 0; attempt < 5; attempt++) {
    const namespaces = labNamespaces(prefix);
    if (namespaces.length === 0) return;
    for (let waitedMs = 0; waitedMs < KILL_MS; waitedMs += STEP_MS) {
      if (signal(processesIn(namespaces), "SIGKILL") === 0) break;
      pause(STEP_MS);
    }
    spawnSync(findTool("ip") ?? "ip", ["-force", "-batch", "-"], {
      input: deletion(namespaces),
      env: environment(),
      timeout: KILL_MS,
    });
    pause(STEP_MS);
  }
}

function deletion(namespaces: string[]): string {
  return namespaces.map((name) => `netns delete ${name}\n`).join("");
}

/** Signals processes; returns how many there were. */
function signal(pids: number[], name: NodeJS.Signals): number {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch {
      // It ended meanwhile.
    }
  }
  return pids.length;
}

/** What tells one namespace from another: device and inode. Undefined when it, or the process, is gone. */
function identity(path: string): string | undefined {
  let stats: BigIntStats | undefined;
  try {
    stats = statSync(path, { bigint: true });
  } catch {
    return undefined;
  }
  return `${stats.dev}:${stats.ino}`;
}

async function until(limitMs: number, done: () => boolean): Promise<void> {
  for (let waitedMs = 0; !done() && waitedMs < limitMs; waitedMs += STEP_MS) await sleep(STEP_MS);
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
