// Announces by commands: the way to any BGP speaker that is not GoBGP. No shell reads them.
//
//   state     reached by                                      next
//   running   announce or withdraw of a prefix                done, failed, late
//   done      exit code 0
//   failed    another exit code, a signal, no such program    tried again by the reconciler
//   late      the time is up                                  it and all that it started are killed; failed
import { spawn } from "node:child_process";
import type { ExecPlaceholder } from "../config/announce.ts";
import { formatDuration } from "../config/duration.ts";
import { type Announcement, splitPrefix } from "./announcer.ts";
import type { Speaker, SpeakerEvents } from "./speaker.ts";

/** What is kept of a command's stderr, for its error. */
const STDERR_BYTES = 2000;
/** A command may leave a process that keeps its stderr open: it is not waited for longer than this. */
const CLOSE_MS = 100;

export interface ExecOptions {
  announce: readonly string[];
  withdraw: readonly string[];
  timeout: number;
  nextHops: { 4: string | undefined; 6: string | undefined };
  communities: readonly number[];
}

export class ExecSpeaker implements Speaker {
  readonly kind = "exec";
  readonly parallel = 4;
  readonly #options: ExecOptions;
  readonly #killers = new Set<() => void>();
  #closed = false;

  constructor(options: ExecOptions) {
    this.#options = options;
  }

  /** Commands need no connection. What an earlier process left cannot be looked up: every prefix is unknown. */
  start(events: SpeakerEvents): void {
    queueMicrotask(() => {
      if (!this.#closed) events.connected(new Map());
    });
  }

  change(action: "announce" | "withdraw", announcement: Announcement): Promise<void> {
    const values = placeholderValues(announcement, this.#options);
    const argv = this.#options[action].map((argument) => fill(argument, values));
    return this.#run(argv, { GUIDEWAY_ACTION: action, ...environment(values) });
  }

  peers(): [] {
    return [];
  }

  close(): void {
    this.#closed = true;
    for (const kill of this.#killers) kill();
  }

  #run([program = "", ...parameters]: string[], env: Record<string, string>): Promise<void> {
    const { timeout } = this.#options;
    return new Promise((resolve, reject) => {
      const child = spawn(program, parameters, {
        env: { ...process.env, ...env },
        stdio: ["ignore", "ignore", "pipe"],
        // A process group of its own, which can be killed as a whole.
        detached: true,
      });
      let told = "";
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        told = (told + text).slice(-STDERR_BYTES);
      });
      let late = false;
      const kill = () => {
        try {
          if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
        } catch {
          // It has ended just now.
        }
      };
      const timer = setTimeout(() => {
        late = true;
        kill();
      }, timeout);
      this.#killers.add(kill);
      const settle = (problem: string | undefined) => {
        clearTimeout(timer);
        this.#killers.delete(kill);
        child.stderr.destroy();
        const words = told.trim().replaceAll(/\s+/g, " ");
        if (problem === undefined) resolve();
        else reject(new Error(`${program}: ${problem}${words ? `: ${words}` : ""}`));
      };
      child.on("error", (error: NodeJS.ErrnoException) =>
        settle(error.code === "ENOENT" ? "there is no such program" : error.message),
      );
      child.on("exit", (code, signal) => {
        const problem = late
          ? `no end within ${formatDuration(timeout)}`
          : signal
            ? `ended by ${signal}`
            : code !== 0
              ? `exit code ${code}`
              : undefined;
        const rest = setTimeout(settle, CLOSE_MS, problem);
        child.on("close", () => {
          clearTimeout(rest);
          settle(problem);
        });
      });
    });
  }
}

function placeholderValues(
  announcement: Announcement,
  options: ExecOptions,
): Record<ExecPlaceholder, string> {
  const { address, length } = splitPrefix(announcement);
  const communities = options.communities.map((value) => `${value >>> 16}:${value & 0xffff}`);
  return {
    prefix: announcement.prefix,
    address,
    length: String(length),
    family: String(announcement.family),
    nextHop: options.nextHops[announcement.family] ?? "",
    communities: communities.join(","),
  };
}

function fill(argument: string, values: Record<ExecPlaceholder, string>): string {
  return argument.replaceAll(/\{([a-z0-9]+)\}/gi, (whole, name: string) =>
    Object.hasOwn(values, name) ? values[name as ExecPlaceholder] : whole,
  );
}

/** GUIDEWAY_PREFIX, GUIDEWAY_NEXT_HOP and so on. */
function environment(values: Record<ExecPlaceholder, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      `GUIDEWAY_${name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`,
      value,
    ]),
  );
}
