// The state of a backend, from the results of its checks: rise and fall, then flap damping.
//
//   state     becomes   when
//   unknown   up, down  its first result says so (initial: first-result)
//   up        down      `fall` failures in a row; or it begins to flap
//   down      up        `rise` passes in a row, and it does not flap
//
// Flapping begins with the `changes`-th change within `within`, counted below the damping, and ends when nothing has
// changed there for `hold`. Meanwhile the state is down.
import type { Schedule } from "../config/health.ts";

export type State = "up" | "down" | "unknown";

/** What is known of a backend. */
export interface Judgement {
  state: State;
  /** When it became so, milliseconds since 1970. */
  since: number;
  /** Why: what the check that decided it found. */
  reason: string;
  flapping: boolean;
}

type Rules = Pick<Schedule, "rise" | "fall" | "initial" | "flap">;

/** What a backend starts as. @param now milliseconds since 1970 */
export function initialJudgement({ initial }: Pick<Rules, "initial">, now: number): Judgement {
  return initial === "first-result"
    ? { state: "unknown", since: now, reason: "no check yet", flapping: false }
    : { state: initial, since: now, reason: "initial state", flapping: false };
}

export class HealthState {
  readonly #rules: Rules;
  #judgement: Judgement;
  /** What the results say without damping, and since when. */
  #raw: State;
  #rawSince: number;
  /** Results in a row that contradict #raw. */
  #contrary = 0;
  /** Times of the latest changes of #raw. */
  #flips: number[] = [];

  constructor(rules: Rules, start: Judgement) {
    this.#rules = rules;
    this.#judgement = start;
    this.#raw = start.state;
    this.#rawSince = start.since;
  }

  get judgement(): Judgement {
    return this.#judgement;
  }

  /**
   * Takes a result into account.
   * @param at milliseconds since 1970
   * @returns whether the judgement has changed
   */
  record(passed: boolean, reason: string, at: number): boolean {
    this.#advance(passed, at);
    const { flap } = this.#rules;
    let { flapping } = this.#judgement;
    if (flap && flapping && at - this.#rawSince >= flap.hold) {
      flapping = false;
      this.#flips = [];
    } else if (flap && this.#flips.length >= flap.changes) flapping = true;
    const state = flapping ? "down" : this.#raw;
    const before = this.#judgement;
    if (state === before.state && flapping === before.flapping) return false;
    this.#judgement = {
      state,
      since: state === before.state ? before.since : at,
      reason: flapping ? `flapping, at last: ${reason}` : reason,
      flapping,
    };
    return true;
  }

  #advance(passed: boolean, at: number): void {
    const says = passed ? "up" : "down";
    if (says === this.#raw) {
      this.#contrary = 0;
      return;
    }
    if (this.#raw !== "unknown" && ++this.#contrary < (passed ? this.#rules.rise : this.#rules.fall)) return;
    const { flap } = this.#rules;
    if (flap && this.#raw !== "unknown")
      this.#flips = [...this.#flips.filter((time) => at - time <= flap.within), at].slice(-flap.changes);
    this.#raw = says;
    this.#rawSince = at;
    this.#contrary = 0;
  }
}
