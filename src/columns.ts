// Tables of text, for people.

/**
 * Rows as lines of aligned columns, two spaces apart.
 * @param right columns (from 0) that are aligned to the right: numbers
 */
export function columns(
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
  indent = "",
): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  const pad = (cell: string, index: number) =>
    right.includes(index) ? cell.padStart(widths[index]!) : cell.padEnd(widths[index]!);
  return rows.map((row) => (indent + row.map(pad).join("  ")).trimEnd()).join("\n");
}

/** A part of a whole: `12.3%`, with more digits where there is less. */
export function percent(part: number, whole: number): string {
  const share = whole === 0 ? 0 : (part / whole) * 100;
  return `${share.toFixed(share === 0 || share >= 1 ? 1 : 3)}%`;
}

/** `1 packet`, `2 packets`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
