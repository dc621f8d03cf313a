// exec: a program of the operator's. It gets no shell, little of our environment, and a process group of its own,
// which is killed when the time is up.
import { spawn } from "node:child_process";
import type { Question } from "../../config/health.ts";
import type { Attempt } from "../attempt.ts";
import type { ProbeTarget } from "../target.ts";

/** What of its first line of output goes into the reason. */
const MAX_WORDS = 200;

export function prepareExec(target: ProbeTarget<Extract<Question, { type: "exec" }>>) {
  const { address, check } = target;
  const [program, ...args] = check.command;
  const env = {
    PATH: process.env.PATH ?? "/usr/bin:/bin",
    GUIDEWAY_ADDRESS: address,
    GUIDEWAY_TIMEOUT_MS: String(check.timeout),
    ...(check.port !== undefined && { GUIDEWAY_PORT: String(check.port) }),
  };
  return (attempt: Attempt): void => {
    attempt.phase = "the program is running";
    const child = spawn(program!, args, {
      detached: true,
      cwd: "/",
      env,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let words = "";
    attempt.onEnd(() => {
      child.stderr.destroy();
      // Until its exit has been seen, the id is its own.
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
        killGroup(child.pid);
    });
    child.stderr.on("data", (bytes: Buffer) => {
      if (words.length < MAX_WORDS) words += bytes.toString("utf8", 0, MAX_WORDS);
    });
    // Whatever keeps a program from being run is not the backend's.
    child.once("error", (error) => attempt.inconclusive(`${program}: ${error.message}`));
    child.once("exit", (code, signal) => {
      // What it wrote may still be on its way.
      setImmediate(() => {
        if (code === 0) attempt.pass("exit code 0");
        else {
          const line = words.trim().split("\n", 1)[0]!.slice(0, MAX_WORDS);
          attempt.fail(
            `${code === null ? `ended by ${signal}` : `exit code ${code}`}${line ? `: ${line}` : ""}`,
          );
        }
      });
    });
  };
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, "SIGKILL");
  } catch {
    // It has ended by itself meanwhile.
  }
}
