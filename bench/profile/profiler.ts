// V8's CPU profiles of the threads that measure (node:inspector), each written as NAME.cpuprofile (Chrome, VS Code and speedscope
// open it) and, as a flame graph, NAME.svg.
//
// Whoever measures does so inside of profiled(). Whether profiles are wanted is in the environment, which threads and processes
// inherit: it is the beginning of the files' names.

import { mkdirSync, writeFileSync } from "node:fs";
import { type Profiler, Session } from "node:inspector";
import { dirname } from "node:path";
import { flameGraph } from "./flame.ts";
import { fold } from "./fold.ts";
import { namesOf } from "./names.ts";

const VARIABLE = "GUIDEWAY_BENCH_PROFILE";
/** What the pool that comes next does, for the names of its threads. */
const POOL = `${VARIABLE}_POOL`;
const INTERVAL_US = 200;
/** Profiles that the user was told of. */
const told = new Set<string>();

/** From here on profiles are wanted. @param prefix of their files, with the folder */
export function profileTo(prefix: string): void {
  process.env[VARIABLE] = prefix;
}

/** Beginning of the files' names; undefined when no profiles are wanted. */
function wanted(): string | undefined {
  return process.env[VARIABLE];
}

export function isWanted(): boolean {
  return wanted() !== undefined;
}

/** Names the threads that are started from here on. */
export function namePool(name: string): void {
  process.env[POOL] = name;
}

/** In a thread of a pool: what its profile is called. */
export function threadName(worker: number): string {
  return `${process.env[POOL] ?? "pool"}-worker${worker}`;
}

/**
 * Runs something under the profiler, if profiles are wanted. The profile of the last run with a name is the one that stays.
 * @param thread what the profile is of, the end of its files' names
 */
export function profiled<T>(thread: string, run: () => T): T {
  const prefix = wanted();
  if (prefix === undefined) return run();
  const session = begin();
  try {
    return run();
  } finally {
    end(session, `${prefix}-${thread}`);
  }
}

/** The same for what takes its time. */
export async function profiledAsync<T>(thread: string, run: () => Promise<T>): Promise<T> {
  const prefix = wanted();
  if (prefix === undefined) return run();
  const session = begin();
  try {
    return await run();
  } finally {
    end(session, `${prefix}-${thread}`);
  }
}

/** The same for all of this thread's life from here on. */
export function profiledToTheEnd(thread: string): void {
  const prefix = wanted();
  if (prefix === undefined) return;
  const session = begin();
  process.once("exit", () => end(session, `${prefix}-${thread}`));
}

/** In a session of one's own thread every answer comes at once. */
function begin(): Session {
  const session = new Session();
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.setSamplingInterval", { interval: INTERVAL_US });
  session.post("Profiler.start");
  return session;
}

function end(session: Session, name: string): void {
  session.post("Profiler.stop", (error, { profile }) => {
    if (error) throw error;
    write(name, profile);
  });
  session.disconnect();
}

function write(name: string, profile: Profiler.Profile): void {
  const names = namesOf();
  for (const { callFrame } of profile.nodes) {
    const { functionName, columnNumber } = callFrame;
    if (/^wasm-function\[/.test(functionName))
      callFrame.functionName = names.get(columnNumber) ?? functionName;
  }
  mkdirSync(dirname(name), { recursive: true });
  writeFileSync(`${name}.cpuprofile`, JSON.stringify(profile));
  writeFileSync(`${name}.svg`, flameGraph(fold(profile), name));
  if (told.has(name)) return;
  told.add(name);
  process.stderr.write(`bench: profile in ${name}.cpuprofile and .svg\n`);
}
