// A small process that outlives this one by seconds at most: when this process dies without stopping (a kill -9, a
// defect, no memory), nobody else would withdraw the VIPs, and the routers would go on sending packets to a machine
// that does not forward them.
//
//   state      reached by                               in it
//   watching   spawned, and after its death again       knows what may be announced: every `expose` is told at once
//   bereft     its standard input ended, undismissed    withdraws all that, within 5 s, and ends
//   dismissed  `dismiss`: all is withdrawn              ends
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { entryFile } from "../entry.ts";
import type { Logger } from "../log.ts";
import type { AnnounceSources } from "./create.ts";

/** Before it is started again when it has died. */
const RESPAWN_MS = 1000;
/** How long it may take to end once it was told to. */
const END_MS = 2000;

/** A line of the guard's standard input, as JSON. */
export type GuardMessage =
  | { type: "expose"; config: Pick<AnnounceSources, "announce" | "machine">; prefixes: readonly string[] }
  | { type: "dismiss" };

export class Guard {
  readonly #config: Pick<AnnounceSources, "announce" | "machine">;
  readonly #log: Logger;
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #prefixes: readonly string[] = [];
  #dismissed = false;

  constructor({ announce, machine }: AnnounceSources, log: Logger) {
    this.#config = { announce, machine };
    this.#log = log;
    this.#spawn();
  }

  /** These may be announced from now on. */
  expose(prefixes: readonly string[]): void {
    this.#prefixes = prefixes;
    this.#tell();
  }

  /** All is withdrawn, or what is not is left to the guard. Waits until it has ended, but not long. */
  async dismiss(): Promise<void> {
    this.#dismissed = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    if (this.#prefixes.length === 0) this.#send({ type: "dismiss" });
    child.stdin?.end();
    child.ref();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, END_MS);
    });
    await Promise.race([ended, late]);
    clearTimeout(timer);
    // Past that it may still be withdrawing, and ends by itself.
    child.unref();
  }

  #spawn(): void {
    const child = spawn(process.execPath, [entryFile(import.meta.url, "./guard-process")], {
      stdio: ["pipe", "ignore", "ignore"],
      // Signals of the terminal are for this process, whose end tells the guard what to do.
      detached: true,
    });
    this.#child = child;
    // Nothing waits for it: the program ends when it has nothing else to do.
    child.unref();
    (child.stdin as unknown as { unref?: () => void }).unref?.();
    let ended = false;
    const onEnd = (reason: string) => {
      if (ended || this.#dismissed) return;
      ended = true;
      this.#log.warn({ reason }, "the announcer's guard has ended; starting another one");
      this.#timer = setTimeout(() => this.#spawn(), RESPAWN_MS);
      this.#timer.unref();
    };
    child.on("error", (error) => onEnd(error.message));
    child.on("exit", (code, signal) => onEnd(signal ?? `exit code ${code}`));
    // Its end is told by "exit".
    child.stdin?.on("error", () => {});
    this.#tell();
  }

  #tell(): void {
    this.#send({ type: "expose", config: this.#config, prefixes: this.#prefixes });
  }

  #send(message: GuardMessage): void {
    this.#child?.stdin?.write(`${JSON.stringify(message)}\n`);
  }
}
