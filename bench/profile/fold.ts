// A CPU profile as folded stacks: for each stack, from the outermost function to the innermost, the time spent in it.

import type { Profiler } from "node:inspector";

/** Between the functions of a stack. */
export const SEPARATOR = ";";

/** Microseconds by stack. */
export type FoldedStacks = ReadonlyMap<string, number>;

/** V8 has a sample of what ran before each delta. */
export function fold({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): FoldedStacks {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(
    nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)),
  );
  const stacks = new Map<number, string>();
  const stackOf = (id: number): string => {
    const known = stacks.get(id);
    if (known !== undefined) return known;
    const parent = parents.get(id);
    const { functionName } = byId.get(id)!.callFrame;
    const name = (functionName || "(anonymous)").replaceAll(SEPARATOR, ",");
    // The root is nobody's function.
    const above = parent === undefined ? "" : stackOf(parent);
    const stack = parent === undefined ? "" : above === "" ? name : `${above}${SEPARATOR}${name}`;
    stacks.set(id, stack);
    return stack;
  };
  const folded = new Map<string, number>();
  samples.forEach((id, i) => {
    const stack = stackOf(id);
    if (stack !== "") folded.set(stack, (folded.get(stack) ?? 0) + Math.max(0, timeDeltas[i] ?? 0));
  });
  return folded;
}
