// The guards of processes that announce, as /proc knows them.
import { readdirSync, readFileSync } from "node:fs";

/** Whether a process catches SIGHUP, which Node itself does not: the guard does from its first line on. */
export function isReady(pid: number): boolean {
  const caught = /^SigCgt:\t(\w+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return (BigInt(`0x${caught}`) & 1n) !== 0n;
}

/** Processes that guard a process: its children, and later nobody's, with the guard's program. */
export function guardsOf(pid: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const parent = Number(/\) \w (\d+)/.exec(readFileSync(`/proc/${name}/stat`, "utf8"))?.[1]);
        return parent === pid && readFileSync(`/proc/${name}/cmdline`, "utf8").includes("guard-process");
      } catch {
        return false;
      }
    })
    .map(Number);
}
