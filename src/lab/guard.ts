/**
 * No lab outlives the process that holds it, however that process ends (SIGKILL apart: then `guideway lab down` helps).
 *
 * | end | what happens |
 * |---|---|
 * | `process.exit`, end of the program, uncaught exception | the exit hook removes every held lab |
 * | SIGINT, SIGTERM, SIGHUP, nobody else listens | the labs are removed, then the signal does what it would have done |
 * | the same, somebody else listens | nothing here: whoever listens calls `down`, or exits and the hook removes |
 */
import { removeNamespacesNow } from "./namespaces.ts";
import { killRunning } from "./process.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Prefixes of the labs that this process holds. */
const held = new Set<string>();

export function hold(prefix: string): void {
  if (held.size === 0) {
    process.on("exit", removeHeld);
    for (const name of SIGNALS) process.on(name, onSignal);
  }
  held.add(prefix);
}

export function release(prefix: string): void {
  if (!held.delete(prefix) || held.size > 0) return;
  process.off("exit", removeHeld);
  for (const name of SIGNALS) process.off(name, onSignal);
}

function removeHeld(): void {
  killRunning();
  for (const prefix of held) removeNamespacesNow(prefix);
  held.clear();
}

function onSignal(name: NodeJS.Signals): void {
  if (process.listenerCount(name) > 1) return;
  removeHeld();
  process.off(name, onSignal);
  process.kill(process.pid, name);
}
