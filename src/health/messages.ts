// What the main thread and the prober's thread say to each other.
import type { BoardBuffers } from "./board.ts";
import type { Judgement } from "./state.ts";
import type { ProbeTarget } from "./target.ts";

/** A distinct check: one for all backends of all pools that it stands for. */
export interface ProbeOrder {
  /** From 1, never used again. */
  id: number;
  /** Its row of the board. */
  row: number;
  /** Equal for equal targets: its turns follow from it. */
  key: string;
  target: ProbeTarget;
  /** What it starts from. */
  judgement: Judgement;
}

export interface ProberData {
  board: BoardBuffers;
}

/** To the prober. */
export type Order =
  | { kind: "apply"; add: ProbeOrder[]; remove: number[] }
  /** Ends all checks and then the thread. */
  | { kind: "stop" };

/** From the prober. */
export type Report =
  /** Judgements that have changed, at most one message in each turn of its loop. */
  | { kind: "changes"; changes: { id: number; judgement: Judgement; at: number }[] }
  /** Checks that said nothing about a backend, because something is wrong here: at most one message in each beat. */
  | { kind: "trouble"; count: number; example: string };
