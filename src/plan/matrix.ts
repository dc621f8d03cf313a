// Who gives how much to whom: what moves from one backend to another.

import { type PoolTable, samePlace, sameTable, type Target } from "./tables.ts";

/** What moves between two backends; parts of all slots and of all sampled flows of the VIP, 0 to 1. */
export interface Move {
  /** A backend's name; with its address where the other side has another one by that name. */
  from: string;
  /** null for what then goes to no backend. */
  to: string | null;
  slots: number;
  flows: number;
}

interface Cell {
  slots: number;
  flows: number;
}

/** Whether a flow that goes from one to the other notices. What went nowhere can only win. */
function moves(from: Target | undefined, to: Target | undefined): from is Target {
  return from !== undefined && !(to !== undefined && samePlace(from, to));
}

export class Matrix {
  readonly #cells = new Map<Target, Map<Target | undefined, Cell>>();

  /** Counts a part that goes from one place to another, if that is a move. @returns what it adds to all that moved */
  add(kind: keyof Cell, from: Target | undefined, to: Target | undefined, part: number): number {
    if (!moves(from, to)) return 0;
    let row = this.#cells.get(from);
    if (!row) {
      row = new Map();
      this.#cells.set(from, row);
    }
    const cell = row.get(to);
    if (cell) cell[kind] += part;
    else row.set(to, { slots: 0, flows: 0, [kind]: part });
    return part;
  }

  /** The moves, largest first, with the counts divided by what all would be. */
  moves(slots: number, flows: number): Move[] {
    const label = labels(
      [...this.#cells.keys()],
      [...this.#cells.values()].flatMap((row) => [...row.keys()]),
    );
    const merged = new Map<string, Move>();
    for (const [from, row] of this.#cells) {
      for (const [to, cell] of row) {
        const move = { from: label(from), to: to ? label(to) : null };
        const key = JSON.stringify(move);
        const known = merged.get(key) ?? { ...move, slots: 0, flows: 0 };
        known.slots += slots === 0 ? 0 : cell.slots / slots;
        known.flows += flows === 0 ? 0 : cell.flows / flows;
        merged.set(key, known);
      }
    }
    return [...merged.values()].sort((a, b) => b.slots + b.flows - a.slots - a.flows);
  }
}

/** Names of backends, with addresses where one name stands for several. */
function labels(...sides: (Target | undefined)[][]): (target: Target) => string {
  const targets = sides.flat().filter((target) => target !== undefined);
  const addresses = Map.groupBy(targets, ({ name }) => name);
  const unclear = ({ name, address }: Target) =>
    addresses.get(name)!.some((other) => other.address !== address);
  return (target) => (unclear(target) ? `${target.name} (${target.address})` : target.name);
}

/**
 * Counts the slots that move. Slots of tables of different sizes are compared by the hashes that lead to them, in
 * units of 1 / (size × size).
 * @param after undefined for a VIP that vanishes
 * @returns units that moved, and units in all; none of an empty table
 */
export function compareTables(
  matrix: Matrix,
  before: PoolTable,
  after: PoolTable | undefined,
): { moved: number; whole: number } {
  const old = before.slots;
  if (after && sameTable(before, after)) return { moved: 0, whole: old.length };
  const next = after?.slots ?? new Uint16Array(0);
  const to = (slot: number) => after?.targets[next[slot]!];
  const from = (slot: number) => before.targets[old[slot]!];
  let moved = 0;
  if (next.length === 0 || next.length === old.length) {
    for (let slot = 0; slot < old.length; slot++) moved += matrix.add("slots", from(slot), to(slot), 1);
    return { moved, whole: old.length };
  }
  // Slot i of the old table is [i × next.length, (i + 1) × next.length), slot j of the new one likewise.
  let at = 0;
  for (let i = 0, j = 0; i < old.length; ) {
    const [ends, nextEnds] = [(i + 1) * next.length, (j + 1) * old.length];
    const end = Math.min(ends, nextEnds);
    moved += matrix.add("slots", from(i), to(j), end - at);
    at = end;
    if (ends === end) i++;
    if (nextEnds === end) j++;
  }
  return { moved, whole: old.length * next.length };
}
