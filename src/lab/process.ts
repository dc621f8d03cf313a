/** Running commands to their end: bounded in time, output collected, failures told with what the command wrote. */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { LabError } from "./errors.ts";

export interface RunOptions {
  /** Written to the command's stdin, which is empty otherwise. */
  input?: string;
  /** The command is killed after this time. Default 30,000. */
  timeoutMs?: number;
  env?: Record<string, string>;
  cwd?: string;
  /** Whether a non-zero exit code is an error. Default true. */
  check?: boolean;
}

export interface RunResult {
  /** Exit code; 128 + n for signal number n is not made up here: a killed command has null. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Where tools are looked for: root's PATH may lack the sbin folders when it came by su or a service. */
const PATH = [process.env.PATH ?? "", "/usr/local/sbin", "/usr/sbin", "/sbin"].join(delimiter);

/** Commands that run now: a sudden end of this process takes them along. */
const running = new Set<ChildProcess>();

export function environment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  return { ...process.env, ...extra, PATH: extra.PATH ?? PATH };
}

/** The full path of a program on the PATH (or in sbin), undefined when there is none. */
export function findTool(name: string): string | undefined {
  for (const folder of PATH.split(delimiter)) {
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {}
  }
  return undefined;
}

/** Runs a command to its end. Throws LAB_COMMAND when it fails (unless `check` is false), runs late or does not start. */
export function run(argv: string[], options: RunOptions = {}): Promise<RunResult> {
  const [program = "", ...parameters] = argv;
  const { input = "", timeoutMs = 30_000, check = true } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(program, parameters, {
      cwd: options.cwd,
      env: environment(options.env),
      stdio: ["pipe", "pipe", "pipe"],
    });
    running.add(child);
    const output = { stdout: "", stderr: "" };
    for (const stream of ["stdout", "stderr"] as const) {
      child[stream].setEncoding("utf8");
      child[stream].on("data", (text: string) => {
        output[stream] += text;
      });
    }
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, timeoutMs);
    const settle = (code: number | null, problem?: string, cause?: unknown) => {
      clearTimeout(timer);
      running.delete(child);
      if (problem === undefined && (code === 0 || !check)) resolve({ code, ...output });
      else reject(commandError(argv, problem ?? `exit code ${code}`, output.stderr, cause));
    };
    child.on("error", (error) => settle(null, error.message, error));
    child.on("close", (code, signal) =>
      settle(code, late ? `no end within ${timeoutMs} ms` : signal ? `ended by ${signal}` : undefined),
    );
    // A command may end without reading all of its input; its exit code tells what matters.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}

/** Kills the commands that `run` has not seen the end of. */
export function killRunning(): void {
  for (const child of running) child.kill("SIGKILL");
}

export function commandError(argv: string[], problem: string, stderr: string, cause?: unknown): LabError {
  const told = stderr.trim();
  const privilege = /operation not permitted|permission denied/i.test(told);
  return new LabError(
    privilege ? "LAB_PRIVILEGE" : "LAB_COMMAND",
    `${argv.join(" ")}: ${problem}${told ? `: ${told}` : ""}` +
      (privilege ? " (a lab needs root with CAP_NET_ADMIN, CAP_SYS_ADMIN and CAP_BPF)" : ""),
    cause,
  );
}
