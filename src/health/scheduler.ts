// Starts probes when their turns come, and judges what they find.
//
//   a probe is   where                    leaves when
//   due later    in the queue of turns    its time has come
//   waiting      in a lane of admission   a place is free
//   running      nowhere but its attempt  the attempt ends, by its time limit at the latest
//   gone         wherever it was          it comes up there
//
// It is in exactly one of these places, so it never runs twice at once, and what hangs does not pile up.
import { Admission, type Lane, type Limits } from "./admission.ts";
import type { Attempt, Outcome } from "./attempt.ts";
import type { Board } from "./board.ts";
import { type Check, prepareCheck, run } from "./check.ts";
import { DueQueue } from "./heap.ts";
import type { ProbeOrder } from "./messages.ts";
import { HealthState, type Judgement } from "./state.ts";
import { Turns } from "./turns.ts";

interface Probe {
  readonly order: ProbeOrder;
  readonly check: Check;
  readonly turns: Turns;
  readonly state: HealthState;
  due: number;
  failing: boolean;
  running: { attempt: Attempt; lane: Lane } | undefined;
  gone: boolean;
}

function laneOf({ order, failing }: Probe): Lane {
  if (order.target.check.type === "exec") return "exec";
  return failing ? "failing" : "passing";
}

/** Checks started in a turn of the loop: what was received meanwhile is seen to before more are. */
const STARTS_PER_TURN = 64;

export interface SchedulerEvents {
  /** A judgement has changed. */
  changed(id: number, judgement: Judgement, at: number): void;
  /** A check said nothing about its target. */
  inconclusive(target: ProbeOrder["target"], reason: string): void;
}

export class Scheduler {
  readonly #board: Board;
  readonly #events: SchedulerEvents;
  readonly #admission: Admission<Probe>;
  readonly #probes = new Map<number, Probe>();
  readonly #turns = new DueQueue<Probe>();
  #timer: NodeJS.Timeout | undefined;
  #wakeAt = Number.POSITIVE_INFINITY;
  /** Checks that may still be started in this turn of the loop. */
  #starts = STARTS_PER_TURN;

  constructor(board: Board, limits: Limits, events: SchedulerEvents) {
    this.#board = board;
    this.#admission = new Admission(limits);
    this.#events = events;
  }

  /** Starts and ends probes; the others are not disturbed. */
  apply(add: readonly ProbeOrder[], remove: readonly number[]): void {
    for (const id of remove) this.#remove(id);
    const now = performance.now();
    for (const order of add) {
      const { key, target, judgement, id, row } = order;
      this.#board.own(row, id);
      const turns = new Turns(key, target.check, now, add.length);
      const probe: Probe = {
        order,
        check: prepareCheck(target),
        turns,
        state: new HealthState(target.check, judgement),
        due: turns.due,
        failing: judgement.state === "down",
        running: undefined,
        gone: false,
      };
      this.#probes.set(id, probe);
      this.#turns.push(probe);
    }
    // Those that were removed have left places.
    this.#start();
    this.#wake();
  }

  /** Ends everything. */
  stop(): void {
    for (const id of [...this.#probes.keys()]) this.#remove(id);
    clearTimeout(this.#timer);
  }

  #remove(id: number): void {
    const probe = this.#probes.get(id);
    if (!probe) return;
    this.#probes.delete(id);
    probe.gone = true;
    if (!probe.running) return;
    probe.running.attempt.cancel();
    this.#admission.leave(probe.running.lane);
    probe.running = undefined;
  }

  /** Sees to it that the next turn is not overslept. */
  #wake(): void {
    const due = this.#turns.first()?.due ?? Number.POSITIVE_INFINITY;
    if (due >= this.#wakeAt) return;
    clearTimeout(this.#timer);
    this.#wakeAt = due;
    this.#timer = setTimeout(() => this.#tick(), Math.max(0, due - performance.now()));
  }

  #tick(): void {
    this.#wakeAt = Number.POSITIVE_INFINITY;
    const now = performance.now();
    for (let first = this.#turns.first(); first && first.due <= now; first = this.#turns.first()) {
      this.#turns.shift();
      if (!first.gone) this.#admission.enter(first, laneOf(first));
    }
    this.#start();
    this.#wake();
  }

  /** Runs whoever may. */
  #start(): void {
    while (this.#starts > 0) {
      const next = this.#admission.next();
      if (!next) break;
      if (this.#starts-- === STARTS_PER_TURN) setImmediate(() => this.#nextTurn());
      const { item: probe, lane } = next;
      if (probe.gone) {
        this.#admission.leave(lane);
        continue;
      }
      const lateness = performance.now() - probe.due;
      this.#board.observe("lateness", lateness);
      this.#board.raise("worstLatenessMs", lateness);
      const attempt = run(probe.check, probe.order.target.check.timeout, (outcome) =>
        this.#finish(probe, outcome),
      );
      probe.running = { attempt, lane };
    }
    this.#board.set("running", this.#admission.running);
    this.#board.set("waiting", this.#admission.waiting);
  }

  #nextTurn(): void {
    this.#starts = STARTS_PER_TURN;
    this.#start();
  }

  #finish(probe: Probe, outcome: Outcome): void {
    this.#admission.leave(probe.running!.lane);
    probe.running = undefined;
    this.#count(probe, outcome);
    const { id, target } = probe.order;
    if (outcome.verdict === "inconclusive") this.#events.inconclusive(target, outcome.reason);
    else {
      const at = Date.now();
      probe.failing = outcome.verdict === "failed";
      if (probe.state.record(!probe.failing, outcome.reason, at))
        this.#events.changed(id, probe.state.judgement, at);
    }
    this.#board.add("missed", probe.turns.advance(performance.now()));
    probe.due = probe.turns.due;
    this.#turns.push(probe);
    this.#start();
    this.#wake();
  }

  #count({ order: { row } }: Probe, { verdict, latencyMs }: Outcome): void {
    const board = this.#board;
    board.add(verdict);
    board.observe("latency", latencyMs);
    board.addField(row, "checks");
    if (verdict === "failed") board.addField(row, "failures");
    if (verdict === "inconclusive") board.addField(row, "inconclusive");
    board.setField(row, "lastLatencyMs", latencyMs);
    board.setField(row, "lastCheckAt", Date.now());
  }
}
