// A plan as text for people.

import { columns, counted } from "../columns.ts";
import type { ConfigChange } from "../config/diff.ts";
import type { Plan, VipPlan } from "./plan.ts";
import type { ConnectionPlan } from "./pools.ts";

/** Rows of a list; the rest is counted. */
const ROWS = 8;
/** Characters of a value. */
const VALUE = 60;

/** A fraction as a percentage with two digits, so that columns line up. */
export function part(fraction: number): string {
  return fraction > 0 && fraction < 0.00005 ? "<0.01%" : `${(fraction * 100).toFixed(2)}%`;
}

const number = (value: number) => value.toLocaleString("en-US");

/** The text that `plan` prints, without a final newline. */
export function renderPlan(plan: Plan, connections?: ConnectionPlan): string {
  const sections = [overview(plan, connections)];
  for (const vip of plan.vips) if (vip.change !== "same") sections.push(renderVip(vip));
  if (connections && connections.backends.length > 0) {
    const rows = connections.backends.map(({ pool, backend, connections }) => [
      pool,
      backend,
      number(connections),
    ]);
    sections.push(
      list("connections that lose their backend:", ["POOL", "BACKEND", "CONNECTIONS"], rows, [2]),
    );
  }
  sections.push(renderChanges(plan.changes));
  if (plan.restart.length > 0)
    sections.push(`${counted(plan.restart.length, "change")} of these only by a restart.`);
  return sections.join("\n\n");
}

function overview({ vips, sample }: Plan, connections: ConnectionPlan | undefined): string {
  const changed = vips.filter(({ change }) => change !== "same").length;
  const flows = `${number(sample.flows)} flows${sample.source === "generated" ? ", generated" : ` of ${sample.source}`}`;
  const live =
    connections && `, ${counted(connections.present, "present connection")}, ${part(connections.moved)} move`;
  const heading = `${changed} of ${counted(vips.length, "VIP")} changed; tried on ${flows}${live ?? ""}`;
  if (vips.length === 0) return heading;
  const rows = vips.map((vip) => [
    vip.nameBefore !== null && vip.nameBefore !== vip.name ? `${vip.name} (was ${vip.nameBefore})` : vip.name,
    vip.change,
    poolsOf(vip),
    part(vip.slotsMoved),
    vip.flows === 0 ? "-" : part(vip.flowsMoved),
    ...(connections ? [vip.nameBefore === null ? "-" : part(connections.vips[vip.nameBefore]!)] : []),
  ]);
  const titles = [
    "VIP",
    "",
    "POOL",
    "SLOTS MOVED",
    "FLOWS MOVED",
    ...(connections ? ["CONNECTIONS MOVED"] : []),
  ];
  return `${heading}\n\n${columns([titles, ...rows], [3, 4, 5])}`;
}

function poolsOf({ pools: { before, after } }: VipPlan): string {
  return before === null || after === null || before === after ? (after ?? before)! : `${before} > ${after}`;
}

/** From where to where, and the shares, those that change most first. */
function renderVip({ name, change, moves, shares, sharesBefore }: VipPlan): string {
  const parts = [`VIP ${name}, ${change}:`];
  if (moves.length > 0) {
    const rows = moves.map(({ from, to, slots, flows }) => [from, to ?? "nowhere", part(slots), part(flows)]);
    parts.push(list("", ["FROM", "TO", "SLOTS", "FLOWS"], rows, [2, 3]));
  }
  const backends = [...new Set([...Object.keys(sharesBefore), ...Object.keys(shares)])]
    .map((backend) => ({ backend, before: sharesBefore[backend], after: shares[backend] }))
    .sort((a, b) => difference(b) - difference(a));
  if (backends.length > 0) {
    const shown = (share: number | undefined) => (share === undefined ? "-" : part(share));
    const rows = backends.map(({ backend, before, after }) => [backend, shown(before), shown(after)]);
    parts.push(list("", ["BACKEND", "SHARE BEFORE", "AFTER"], rows, [1, 2]));
  }
  if (moves.length === 0) parts.splice(1, 0, "  no flow goes elsewhere");
  return parts.join("\n");
}

function difference({
  before = 0,
  after = 0,
}: {
  before: number | undefined;
  after: number | undefined;
}): number {
  return Math.abs(after - before);
}

function renderChanges(changes: readonly ConfigChange[]): string {
  if (changes.length === 0) return "The configurations mean the same.";
  const rows = changes.map(({ path, before, after, effect }) => [
    path,
    before === null
      ? `added: ${shown(after)}`
      : after === null
        ? "removed"
        : `${shown(before)} > ${shown(after)}`,
    effect === "restart" ? "needs a restart" : "",
  ]);
  return list("changes:", [], rows);
}

function shown(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > VALUE ? `${text.slice(0, VALUE)}…` : text;
}

/** Up to ROWS rows, and how many there are besides. */
function list(
  title: string,
  titles: readonly string[],
  rows: readonly string[][],
  right: readonly number[] = [],
): string {
  const lines = title === "" ? [] : [title];
  lines.push(columns([...(titles.length > 0 ? [titles] : []), ...rows.slice(0, ROWS)], right, "  "));
  if (rows.length > ROWS) lines.push(`  … and ${number(rows.length - ROWS)} more`);
  return lines.join("\n");
}
