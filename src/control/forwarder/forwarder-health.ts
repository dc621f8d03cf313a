// Whether this machine forwards: every worker tested end to end, what is published compared with what should be, the
// links, and what the kernel could not hand over (docs/forwarder.md). All VIPs depend on the answer.
//
//   state      enters when                                               leaves when
//   unhealthy  at first; a part has failed `fall` rounds in a row;       all parts were well `rise` rounds in a row
//              a link is down or the arena damaged (at once)
//   healthy    all parts were well `rise` rounds in a row                see above
//
// One thread, the controller's: nothing here waits for anything.

import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../../config/schema.ts";
import type { Engine } from "../../dataplane/engine.ts";
import type { Corruption } from "../../dataplane/verification.ts";
import { Verification } from "../../dataplane/verification.ts";
import type { MemoryQueue } from "../../io/memory-queue.ts";
import type { Logger } from "../../log.ts";
import { Hysteresis } from "./hysteresis.ts";
import { knowledgeOf } from "./knowledge.ts";
import type { LinkStatus } from "./links.ts";
import { Losses, type LossSource } from "./losses.ts";
import { ProbeSequence } from "./probes.ts";
import { Progress } from "./progress.ts";
import { WorkerProbe } from "./worker-probe.ts";

/** Bytes of published blocks that are compared in a second, in the controller's thread: it takes some milliseconds of it. */
const VERIFIED_BYTES_PER_SECOND = 16 << 20;
/** Packets that every worker is tested with before a change counts as done. */
const VERIFY_ROUNDS = 3;
/** A worker that sleeps makes ten passes a second at least; one that has a processor to itself makes thousands. */
const STUCK_MS = 2000;
/** First wait for an answer; each further one is twice as long. */
const ANSWER_MS = 1;

export interface WorkerHealth {
  worker: number;
  healthy: boolean;
  /** From the delivery of the last answered probe until the controller saw the answer, microseconds: it looks every millisecond. */
  lastProbeUs?: number;
  probes: number;
  failures: number;
  /** Of the last failure, while it is not healthy. */
  reason?: string;
}

export interface ForwarderStatus {
  healthy: boolean;
  /** When it became what it is. */
  since: string;
  /** What is wrong; empty when it is healthy. */
  reasons: string[];
  /** What is not as it should be and no reason to stop. */
  degraded: string[];
  workers: WorkerHealth[];
  interfaces: LinkStatus[];
  /** Published blocks: bytes compared, complete rounds, damage found and damage repaired. */
  tables: { verified: number; rounds: number; corrupted: number; repaired: number };
}

export interface ForwarderOptions {
  engine: Engine;
  /** Made with "self-test", before frames were offered. */
  queue: MemoryQueue;
  /** Wakes a worker if it sleeps (WorkerPool.wake). */
  wake: (worker: number) => void;
  settings: Pick<Config["forwarder"], "interval" | "timeout" | "rise" | "fall">;
  log: Logger;
  /** What is wrong with the interfaces now; without it there are none. */
  links?: () => LinkStatus[];
  /** Calls back when links change, until the function that it returns is called. */
  watchLinks?: (changed: () => void) => () => void;
  losses?: LossSource;
}

interface Watched {
  probe: WorkerProbe;
  state: Hysteresis;
  reason: string | undefined;
}

export class ForwarderHealth {
  readonly #options: ForwarderOptions;
  readonly #verification: Verification;
  /** Of all that there may be. */
  readonly #all: Watched[];
  readonly #links = new Map<string, Hysteresis>();
  readonly #tables: Hysteresis;
  readonly #callbacks: ((status: ForwarderStatus) => void)[] = [];
  #progress: Progress | undefined;
  #losses: Losses | undefined;
  #interfaces: LinkStatus[] = [];
  /** The last damage, while the tables are not healthy. */
  #damage: string | undefined;
  #corrupted = 0;
  #repaired = 0;
  #healthy = false;
  #since = new Date();
  #round: NodeJS.Timeout | undefined;
  #answer: NodeJS.Timeout | undefined;
  #unwatch: (() => void) | undefined;

  constructor(options: ForwarderOptions) {
    const { engine, queue, settings } = options;
    const { arena, directory, config, secret } = engine;
    this.#options = options;
    this.#verification = new Verification(arena, directory);
    this.#tables = new Hysteresis(settings.rise, 1, true);
    const knowledge = knowledgeOf(config, directory, secret);
    const mac = Uint8Array.from([2, 0, 0, 0, 0, 0]);
    this.#all = Array.from({ length: engine.workers }, (_, worker) => ({
      probe: new WorkerProbe(engine, queue, worker, new ProbeSequence(directory, knowledge, mac, worker)),
      state: new Hysteresis(settings.rise, settings.fall),
      reason: "not tested yet",
    }));
  }

  /** Those that run. */
  get #workers(): Watched[] {
    return this.#all.slice(0, this.#options.engine.owners.running);
  }

  /** So many workers are going to run. Newcomers count as well until they fail: those that are there do forward. */
  expect(workers: number): void {
    const { settings, engine } = this.#options;
    for (const watched of this.#all.slice(engine.owners.running, workers)) {
      watched.state = new Hysteresis(settings.rise, settings.fall, true);
      watched.reason = undefined;
    }
  }

  /** Calls back whenever it becomes healthy or unhealthy. */
  onChange(callback: (status: ForwarderStatus) => void): void {
    this.#callbacks.push(callback);
  }

  /** Begins. Workers run, and ports are all there. */
  start(): void {
    const { settings, watchLinks } = this.#options;
    this.round(performance.now());
    this.#round = setInterval(() => this.round(performance.now()), settings.interval);
    this.#unwatch = watchLinks?.(() => this.#lookAtLinks());
  }

  /** Ends. Nothing is reported any more. */
  stop(): void {
    clearInterval(this.#round);
    clearTimeout(this.#answer);
    this.#unwatch?.();
    for (const { probe } of this.#all) probe.collect(performance.now());
  }

  /** Workers whose loops stand still, which only a restart helps. To be asked again and again; nobody is before the start. */
  stuck(nowMs = performance.now()): number[] {
    const { running } = this.#options.engine.owners;
    return (this.#progress?.silent(nowMs, STUCK_MS) ?? []).filter((worker) => worker < running);
  }

  /** One round of everything; start() has it every interval. */
  round(nowMs: number): void {
    const { engine, settings, losses, wake } = this.#options;
    this.#progress ??= new Progress(engine, nowMs);
    if (losses) this.#losses ??= new Losses(losses, nowMs);
    const stuck = this.#progress.look(nowMs, settings.timeout);
    for (const [worker, watched] of this.#workers.entries()) {
      watched.probe.collect(nowMs);
      const result = watched.probe.judge(nowMs, settings.timeout);
      const reason = [result?.reason, stuck[worker]].filter(Boolean).join("; ") || undefined;
      if (result || reason) {
        watched.state.note(reason === undefined);
        watched.reason = reason ?? (watched.state.healthy ? undefined : watched.reason);
      }
      if (watched.probe.send(nowMs)) wake(worker);
    }
    this.#losses?.look(nowMs);
    this.#refreshLinks();
    const found = this.#verification.look((VERIFIED_BYTES_PER_SECOND * settings.interval) / 1000);
    this.#tables.note(found.length === 0);
    if (found.length > 0) {
      this.#corrupted += found.length;
      this.#damage = found.map(({ what }) => what).join("; ");
    }
    this.#report();
    // After it was reported: what depends on the answer has heard of it by now.
    for (const each of found) this.#repair(each);
    this.#awaitAnswers(ANSWER_MS);
  }

  /**
   * Tests every worker a few times, now. On a busy machine an answer may be late, which says nothing about what is published:
   * when nothing worse has happened, it tests once more.
   * @returns what is wrong; empty when every test packet came back as it should
   */
  async verify(): Promise<string[]> {
    const wrong = () => this.#workers.reduce((sum, { probe }) => sum + probe.failures - probe.late, 0);
    const before = wrong();
    const problems = await this.#test();
    if (problems.length === 0 || wrong() > before || !this.#tables.healthy) return problems;
    return this.#test();
  }

  async #test(): Promise<string[]> {
    const { settings } = this.#options;
    const before = this.#workers.map(({ probe }) => probe.failures);
    for (let i = 0; i <= VERIFY_ROUNDS; i++) {
      this.round(performance.now());
      const until = performance.now() + settings.timeout;
      while (i < VERIFY_ROUNDS && this.#workers.some(({ probe }) => probe.isUnderWay)) {
        await sleep(ANSWER_MS);
        for (const { probe } of this.#workers) probe.collect(performance.now());
        if (performance.now() > until) break;
      }
    }
    const failed = this.#workers.flatMap(({ probe }, worker) =>
      probe.failures > before[worker]! ? [`worker ${worker}: ${probe.lastFailure}`] : [],
    );
    return this.#tables.healthy ? failed : [...failed, this.#damage ?? "the arena is damaged"];
  }

  /** Looks for answers soon, then less and less often until the next round. */
  #awaitAnswers(ms: number): void {
    clearTimeout(this.#answer);
    if (ms >= this.#options.settings.interval) return;
    this.#answer = setTimeout(() => {
      const now = performance.now();
      for (const { probe } of this.#workers) probe.collect(now);
      if (this.#workers.some(({ probe }) => probe.isUnderWay)) this.#awaitAnswers(2 * ms);
    }, ms);
    this.#answer.unref();
  }

  #lookAtLinks(): void {
    this.#refreshLinks(true);
    this.#report();
  }

  /** @param onlyDown whether links that are up count only in the next round */
  #refreshLinks(onlyDown = false): void {
    this.#interfaces = this.#options.links?.() ?? [];
    for (const { name, healthy } of this.#interfaces) {
      const known = this.#links.get(name) ?? new Hysteresis(this.#options.settings.rise, 1, healthy);
      this.#links.set(name, known);
      if (!healthy || !onlyDown) known.note(healthy);
    }
  }

  #repair({ what, repair }: Corruption): void {
    const { log } = this.#options;
    log.error({ what }, "the arena is damaged: failing memory, or a defect");
    try {
      repair();
      this.#repaired++;
      log.warn({ what }, "repaired: published once more");
    } catch (error) {
      log.error({ what, reason: (error as Error).message }, "cannot be repaired: restart guideway");
    }
  }

  #reasons(): string[] {
    const workers = this.#workers.flatMap(({ state, reason }, worker) =>
      state.healthy ? [] : [`worker ${worker}: ${reason ?? "not well for long enough yet"}`],
    );
    const links = this.#interfaces.flatMap(({ name, reason }) =>
      this.#links.get(name)!.healthy ? [] : [`interface ${name}: ${reason ?? "not up for long enough yet"}`],
    );
    const tables = this.#tables.healthy ? [] : [this.#damage ?? "the arena was damaged"];
    return [...workers, ...links, ...tables, ...(this.#losses?.failed ? [this.#losses.failed] : [])];
  }

  /** Finds out what the parts amount to, and tells those who want to know. */
  #report(): void {
    const reasons = this.#reasons();
    const healthy = reasons.length === 0;
    if (healthy === this.#healthy) return;
    this.#healthy = healthy;
    this.#since = new Date();
    if (healthy) this.#options.log.info("the forwarder is healthy");
    else this.#options.log.error({ reasons }, "the forwarder is not healthy");
    const status = this.status();
    for (const callback of this.#callbacks) callback(status);
  }

  status(): ForwarderStatus {
    return {
      healthy: this.#healthy,
      since: this.#since.toISOString(),
      reasons: this.#reasons(),
      degraded: this.#losses?.degraded ?? [],
      workers: this.#workers.map(({ probe, state, reason }, worker) => ({
        worker,
        healthy: state.healthy,
        ...(probe.lastUs !== undefined && { lastProbeUs: probe.lastUs }),
        probes: probe.sent,
        failures: probe.failures,
        ...(!state.healthy && reason !== undefined && { reason }),
      })),
      interfaces: this.#interfaces.map((each) => ({ ...each, healthy: this.#links.get(each.name)!.healthy })),
      tables: {
        verified: this.#verification.bytes,
        rounds: this.#verification.rounds,
        corrupted: this.#corrupted,
        repaired: this.#repaired,
      },
    };
  }
}
