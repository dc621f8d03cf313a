// The health of backends, as the main thread sees it. The checks run in a thread of their own (prober.ts).
//
//   life of a probe   in this thread          in the prober's
//   wanted            apply() gives it a row  is sent, and scheduled
//   judged            keeps the judgement     reports changes of it
//   thread is gone    keeps the judgement     a new one gets all probes with their judgements
//   unwanted          apply() forgets it      is cancelled
import { entryFile } from "../entry.ts";
import type { Logger } from "../log.ts";
import { Board, BUCKETS_MS } from "./board.ts";
import type { ProbeOrder, Report } from "./messages.ts";
import { initialJudgement, type Judgement } from "./state.ts";
import { type HealthTarget, probeKey } from "./target.ts";
import { ProberThread } from "./thread.ts";

export type { HealthTarget, ResolvedCheck } from "./target.ts";

/** A backend went up or down, or its first check has decided. */
export interface HealthChange {
  pool: string;
  backend: string;
  healthy: boolean;
  /** What the check found: "connect ECONNREFUSED", "status 503, expected 200-299". */
  reason: string;
  /** Milliseconds since 1970. */
  at: number;
}

export interface HealthStatus extends Judgement {
  /** Of the probe, which may stand for backends of several pools. */
  checks: number;
  failures: number;
  /** Checks that said nothing, because something is wrong on this machine. */
  inconclusive: number;
  lastLatencyMs: number;
  /** Milliseconds since 1970; 0 before the first. */
  lastCheckAt: number;
}

/** Counters since the start, for metrics. */
export interface HealthTotals {
  backends: { up: number; down: number; unknown: number; flapping: number };
  /** Distinct checks; fewer than backends where several pools ask the same. */
  probes: number;
  passed: number;
  failed: number;
  inconclusive: number;
  /** Turns that passed by while an earlier check of the target was still waiting or running. */
  missed: number;
  running: number;
  waiting: number;
  /** Of the prober's present thread. */
  cpuUserUs: number;
  cpuSystemUs: number;
  restarts: number;
  /** Start of a check after its turn, and how long checks took: counts by bucket with these upper bounds, ms. */
  bucketsMs: readonly number[];
  lateness: number[];
  latency: number[];
  worstLatenessMs: number;
}

export interface HealthMonitorOptions {
  log: Logger;
  /**
   * Called at once with all changes that have come by then; never with none. While it works, more may come: they are the
   * next call's, so that a burst of changes makes few calls.
   */
  onChange(changes: HealthChange[]): void;
  /** File of the prober's thread. */
  prober?: string;
}

/** A distinct check, and the backends that it stands for. */
interface Probe {
  readonly order: ProbeOrder;
  judgement: Judgement;
  subjects: Subject[];
}

/** A backend of a pool. */
interface Subject {
  readonly pool: string;
  readonly backend: string;
  readonly address: string;
  readonly probe: Probe;
  /** What onChange has said last. */
  told: boolean | undefined;
}

/** Between two warnings of the same. */
const WARN_MS = 10_000;

const subjectKey = (pool: string, backend: string): string => `${pool} ${backend}`;

export class HealthMonitor {
  readonly #options: HealthMonitorOptions;
  readonly #board = new Board();
  readonly #thread: ProberThread;
  #subjects = new Map<string, Subject>();
  /** By key and by id. */
  readonly #probes = new Map<string, Probe>();
  readonly #byId = new Map<number, Probe>();
  /** Rows that no probe has, the one that has been free for longest first. */
  readonly #freeRows: number[] = [];
  #rows = 0;
  #lastId = 0;
  #changes: HealthChange[] = [];
  /** Whether #deliver() is going to be called. */
  #delivering = false;
  #stopped = false;
  /** Inconclusive checks that no warning has counted yet, and when the last warning was. */
  #troubled = 0;
  #warnedAt = Number.NEGATIVE_INFINITY;

  /** Starts the prober's thread, which has nothing to do before apply(). */
  constructor(options: HealthMonitorOptions) {
    this.#options = options;
    this.#thread = new ProberThread({
      file: options.prober ?? entryFile(import.meta.url, "./prober"),
      board: this.#board,
      log: options.log,
      started: (send) => {
        const add = [...this.#byId.values()].map(({ order, judgement }) => ({ ...order, judgement }));
        if (add.length > 0) send({ kind: "apply", add, remove: [] });
      },
      received: (report) => this.#receive(report),
    });
  }

  /**
   * Makes these the targets. Those that are there already keep their state and their turns; checks of others end at
   * once. A backend whose check has changed, but not its address, keeps its state until the new check says otherwise.
   */
  apply(targets: readonly HealthTarget[]): void {
    const before = this.#subjects;
    const add: ProbeOrder[] = [];
    this.#subjects = new Map();
    for (const probe of this.#probes.values()) probe.subjects = [];
    for (const target of targets) {
      const { pool, backend, address } = target;
      const known = before.get(subjectKey(pool, backend));
      const probe = this.#probeFor(target, known, add);
      const subject: Subject = { pool, backend, address, probe, told: known?.told };
      probe.subjects.push(subject);
      this.#subjects.set(subjectKey(pool, backend), subject);
    }
    const remove: number[] = [];
    for (const [key, { order, subjects }] of this.#probes) {
      if (subjects.length > 0) continue;
      this.#probes.delete(key);
      this.#byId.delete(order.id);
      this.#freeRows.push(order.row);
      remove.push(order.id);
    }
    this.#board.reserve(this.#rows);
    if (add.length > 0 || remove.length > 0) this.#thread.send({ kind: "apply", add, remove });
    const now = Date.now();
    for (const subject of this.#subjects.values()) this.#tell(subject, now);
    this.#deliverSoon();
  }

  #probeFor(target: HealthTarget, known: Subject | undefined, add: ProbeOrder[]): Probe {
    const key = probeKey(target);
    const same = this.#probes.get(key);
    if (same) return same;
    const { pool: _, backend: __, ...rest } = target;
    const inherited = known?.address === target.address ? known.probe.judgement : undefined;
    const judgement =
      inherited && inherited.state !== "unknown" ? inherited : initialJudgement(target.check, Date.now());
    const row = this.#freeRows.shift() ?? this.#rows++;
    const order: ProbeOrder = { id: ++this.#lastId, row, key, target: rest, judgement };
    const probe: Probe = { order, judgement, subjects: [] };
    this.#probes.set(key, probe);
    this.#byId.set(order.id, probe);
    add.push(order);
    return probe;
  }

  /** What is known of a backend; undefined when it is not checked. */
  status(pool: string, backend: string): HealthStatus | undefined {
    const probe = this.#subjects.get(subjectKey(pool, backend))?.probe;
    if (!probe) return undefined;
    const { id, row } = probe.order;
    // Before the prober knows of it, its row may still show another one.
    const ready = this.#board.field(row, "owner") === id;
    const field = (name: Parameters<Board["field"]>[1]) => (ready ? this.#board.field(row, name) : 0);
    return {
      ...probe.judgement,
      checks: field("checks"),
      failures: field("failures"),
      inconclusive: field("inconclusive"),
      lastLatencyMs: field("lastLatencyMs"),
      lastCheckAt: field("lastCheckAt"),
    };
  }

  totals(): HealthTotals {
    const backends = { up: 0, down: 0, unknown: 0, flapping: 0 };
    for (const { judgement, subjects } of this.#probes.values()) {
      backends[judgement.state] += subjects.length;
      if (judgement.flapping) backends.flapping += subjects.length;
    }
    const total = (name: Parameters<Board["total"]>[0]) => this.#board.total(name);
    return {
      backends,
      probes: this.#probes.size,
      passed: total("passed"),
      failed: total("failed"),
      inconclusive: total("inconclusive"),
      missed: total("missed"),
      running: total("running"),
      waiting: total("waiting"),
      cpuUserUs: total("cpuUserUs"),
      cpuSystemUs: total("cpuSystemUs"),
      restarts: this.#thread.restarts,
      bucketsMs: BUCKETS_MS,
      lateness: this.#board.histogram("lateness"),
      latency: this.#board.histogram("latency"),
      worstLatenessMs: total("worstLatenessMs"),
    };
  }

  /** Ends all checks; onChange is not called any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#thread.stop();
  }

  #receive(report: Report): void {
    if (report.kind === "trouble") {
      this.#warn(report.count, report.example);
      return;
    }
    for (const { id, judgement, at } of report.changes) {
      const probe = this.#byId.get(id);
      if (!probe) continue;
      probe.judgement = judgement;
      for (const subject of probe.subjects) this.#tell(subject, at);
    }
    this.#deliverSoon();
  }

  #warn(count: number, example: string): void {
    this.#troubled += count;
    const now = performance.now();
    if (now - this.#warnedAt < WARN_MS) return;
    this.#options.log.warn(
      { checks: this.#troubled, example },
      "health checks said nothing about their backends: something is wrong on this machine",
    );
    this.#warnedAt = now;
    this.#troubled = 0;
  }

  /** Notes a change for onChange. A backend that nothing is known of counts as up. */
  #tell(subject: Subject, at: number): void {
    const { state, reason } = subject.probe.judgement;
    if (state === "unknown" && subject.told !== false) return;
    const healthy = state !== "down";
    if (subject.told === healthy) return;
    subject.told = healthy;
    this.#changes.push({ pool: subject.pool, backend: subject.backend, healthy, reason, at });
  }

  /** After all reports that wait by now: each is an event of its own. */
  #deliverSoon(): void {
    if (this.#delivering || this.#changes.length === 0) return;
    this.#delivering = true;
    setImmediate(() => {
      this.#delivering = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    if (this.#stopped || this.#changes.length === 0) return;
    const changes = this.#changes;
    this.#changes = [];
    try {
      this.#options.onChange(changes);
    } catch (err) {
      this.#options.log.error(
        { err, changes: changes.length },
        "changes of backends' health were not applied",
      );
    }
  }
}
