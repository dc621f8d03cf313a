// The command line as its users have it: a process of its own.

import { execFile, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The program. */
export const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

export interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `guideway` to its end. */
export function guideway(args: readonly string[], input?: Uint8Array): Ended {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    ...(input && { input }),
  });
  return { status, stdout, stderr };
}

/** The same while this process goes on: it may have the server that the command asks. */
export function guidewayAside(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], (error, stdout, stderr) => {
      resolve({ status: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}
