// A VIP's lookup table, without an arena: the same builder, the same order, the same names.

import { columns, percent } from "../columns.ts";
import type { PoolConfig } from "../config/schema.ts";
import { buildMaglev, tableDigest } from "../dataplane/table-builder.ts";

/** The object that `table --json` prints. */
export interface VipTable {
  vip: string;
  /** Slots. */
  size: number;
  /** SHA-256 over the size and the entries, each followed by a newline, in hex: equal tables, equal digests. */
  digest: string;
  /** Backends' names in slot order; none when no backend takes flows. */
  entries: string[];
}

export function tableOf(vip: string, { tableSize, backends }: PoolConfig): VipTable {
  const ids = buildMaglev(
    tableSize,
    backends.map(({ name, weight }, id) => ({ key: name, weight, id })),
  );
  const entries = Array.from(ids, (id) => backends[id]!.name);
  return { vip, size: tableSize, digest: tableDigest(tableSize, entries), entries };
}

/** Characters of the longest bar. */
const BAR = 32;

/** The text that `table` prints: how many slots each backend has. Without a final newline. */
export function renderTable(
  { vip, size, digest, entries }: VipTable,
  pool: string,
  { backends }: PoolConfig,
): string {
  const slots = new Map(backends.map(({ name }) => [name, 0]));
  for (const name of entries) slots.set(name, slots.get(name)! + 1);
  const heading = [`VIP ${vip}, pool ${pool}: ${size} slots`, `digest ${digest}`];
  if (entries.length === 0)
    return [...heading, "no backend takes flows: new ones are dropped (no-backend)"].join("\n");
  const taking = backends.filter(({ weight }) => weight > 0).map(({ name }) => slots.get(name)!);
  const most = Math.max(...slots.values());
  const rows = backends.map(({ name, weight }) => {
    const count = slots.get(name)!;
    return [name, String(weight), String(count), percent(count, size), bar(count / most)];
  });
  return [
    ...heading,
    `slots per backend that takes flows: least ${Math.min(...taking)}, most ${most}`,
    "",
    columns([["BACKEND", "WEIGHT", "SLOTS", "SHARE", ""], ...rows], [1, 2, 3]),
  ].join("\n");
}

/** A bar of up to BAR characters, in eighths of one. */
function bar(share: number): string {
  const eighths = Math.round(share * BAR * 8);
  const rest = eighths % 8;
  return "█".repeat(Math.floor(eighths / 8)) + (rest === 0 ? "" : String.fromCharCode(0x2590 - rest));
}
