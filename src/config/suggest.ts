import { distance } from "fastest-levenshtein";

/** The candidate that was probably meant: the nearest by edits, if at most about half of its letters differ. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const edits = distance(word.toLowerCase(), candidate.toLowerCase());
    if (edits < fewest) [best, fewest] = [candidate, edits];
  }
  if (best === undefined) return undefined;
  const longest = Math.max(word.length, best.length);
  return fewest <= Math.min(longest - 1, Math.max(2, Math.floor(longest / 2))) ? best : undefined;
}

/** `did you mean "x"?` for a near miss, else all the words: `expected a, b or c`. */
export function expectation(word: string, known: readonly string[]): string {
  const near = nearest(word.slice(0, 64), known);
  return near === undefined ? `expected ${oneOf(known)}` : `did you mean ${JSON.stringify(near)}?`;
}

/** Words of a choice, as they stand after "expected": `a, b or c`. */
export function oneOf(known: readonly string[]): string {
  if (known.length > 20) return `${known.slice(0, 20).join(", ")} or one of ${known.length - 20} more`;
  return known.length < 2 ? known.join("") : `${known.slice(0, -1).join(", ")} or ${known.at(-1)}`;
}
