// The guard as a process: see guard.ts. Run by it, with messages of one line each on standard input.
import { createInterface } from "node:readline";
import { createLogger } from "../log.ts";
import { createReconciler } from "./create.ts";
import type { GuardMessage } from "./guard.ts";

// Whoever stops a service signals all of its processes; this one ends after the one that it guards.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});

let last: GuardMessage | undefined;
for await (const line of createInterface({ input: process.stdin })) {
  try {
    last = JSON.parse(line) as GuardMessage;
  } catch {
    // The process died while it wrote: the line before it holds.
  }
}
if (last?.type === "expose" && last.prefixes.length > 0) {
  const vips = last.prefixes.map((address) => ({ address }));
  await createReconciler({ ...last.config, vips }, createLogger({ level: "silent" })).stop();
}
process.exit();
