// What is drawn of each suite's result.

import type { Chart, Series } from "../../src/chart.ts";
import { type Kept, nameOf, numberOf, pointOf, type Row, rowsOf } from "./results.ts";

export interface Plot {
  /** Of the file, without `.svg`. */
  name: string;
  chart: Chart;
}

/** By suite. None where a result has no rows that can be drawn. */
export const PLOTS: Record<string, (kept: Kept) => Plot[]> = { engine, scale, tune, table, latency };

const SPREAD = "bars: p90 − p10, about the median";
const noteOf = ({ file, where }: Kept, ...more: string[]) =>
  [file, where, ...more].filter(Boolean).join("; ");

/** Rows by a key, in the order in which keys come, as series of points. */
function seriesOf<T>(
  rows: readonly T[],
  nameOf: (row: T) => string,
  pointOf: (row: T) => Series["points"][number],
): Series[] {
  return [...Map.groupBy(rows, nameOf)].map(([name, own]) => ({ name, points: own.map(pointOf) }));
}

/** A plot, unless it would be empty. */
function plot(name: string, chart: Chart): Plot[] {
  return chart.series.some(({ points }) => points.length > 0) ? [{ name, chart }] : [];
}

/** `1k` is 1,024 flows. */
const MULTIPLES: Record<string, number> = { k: 1 << 10, m: 1 << 20 };

function flowsLabel(flows: number): string {
  const [sign, multiple] = Object.entries(MULTIPLES).findLast(([, multiple]) => flows >= multiple) ?? ["", 1];
  return `${flows / multiple}${sign === "m" ? "M" : sign}`;
}

/** Throughput against flows, by family. */
function engine(kept: Kept): Plot[] {
  const rows = rowsOf(kept.result).flatMap((row) => {
    const [family, mode, count, unit] = nameOf(row, /^(ipv[46])-(\w+)-hit-(\d+)([km])$/);
    const mpps = numberOf(row, "mpps");
    if (!family || mpps === undefined) return [];
    return [{ family, mode: mode!, point: pointOf(Number(count) * MULTIPLES[unit!]!, mpps, row) }];
  });
  return ["ipv4", "ipv6"].flatMap((family) =>
    plot(`flows-${family}`, {
      title: `One worker, ${family === "ipv4" ? "IPv4" : "IPv6"}: throughput against flows`,
      note: noteOf(kept, SPREAD),
      kind: "lines",
      x: {
        label: "flows in the connection table, packets of all of them in turn",
        log: true,
        format: flowsLabel,
      },
      y: { label: "Mpps" },
      series: seriesOf(
        rows.filter((row) => row.family === family),
        ({ mode }) => mode,
        ({ point }) => point,
      ),
    }),
  );
}

/** Throughput against workers, and what as many times one worker would be. */
function scale(kept: Kept): Plot[] {
  const points = rowsOf(kept.result).flatMap((row) => {
    const workers = numberOf(row, "workers") ?? Number(nameOf(row, /(\d+)/)[0] ?? Number.NaN);
    const mpps = numberOf(row, "mpps", "median");
    return workers > 0 && mpps !== undefined ? [pointOf(workers, mpps, row)] : [];
  });
  const one = points.find(({ x }) => x === 1);
  const ideal = one && { name: "as many times one", points: points.map(({ x }) => ({ x, y: x * one.y })) };
  return plot("workers", {
    title: "Throughput against workers",
    note: noteOf(kept, SPREAD),
    kind: "lines",
    x: { label: "workers" },
    y: { label: "Mpps" },
    series: [{ name: "measured", points }, ...(ideal && points.length > 1 ? [ideal] : [])],
  });
}

/** Throughput against batch size: what `guideway tune --json` says, kept as a result. */
function tune(kept: Kept): Plot[] {
  const rows = rowsOf(kept.result).flatMap((row) => {
    const [workers, batch, mpps] = ["workers", "batch", "mpps"].map((key) => numberOf(row, key));
    if (workers === undefined || batch === undefined || mpps === undefined) return [];
    return [{ name: nameOfSetting(workers, row), point: pointOf(batch, mpps, row) }];
  });
  return plot("batch", {
    title: "Throughput against batch size",
    note: noteOf(kept, "bars: 95% confidence of the median"),
    kind: "lines",
    x: { label: "packets of a batch", log: true },
    y: { label: "Mpps" },
    series: seriesOf(
      rows,
      ({ name }) => name,
      ({ point }) => point,
    ),
  });
}

const nameOfSetting = (workers: number, { pinned }: Row) =>
  `${workers} ${workers === 1 ? "worker" : "workers"}${pinned === true ? ", pinned" : ""}`;

/** What building a table takes, against backends (N) and against slots (M). */
function table(kept: Kept): Plot[] {
  const rows = rowsOf(kept.result).flatMap((row) => {
    const [slots, backends] = nameOf(row, /^build-(\d+)-(\d+)$/).map(Number);
    const ns = numberOf(row, "nsPerOperation");
    return slots && backends && ns !== undefined ? [{ slots, backends, row, ms: ns / 1e6 }] : [];
  });
  const against = (x: "slots" | "backends", by: "slots" | "backends", title: string, label: string) =>
    plot(`table-${x}`, {
      title,
      note: noteOf(kept, SPREAD),
      kind: "lines",
      x: { label, log: true },
      y: { label: "milliseconds", log: true },
      series: seriesOf(
        rows,
        (each) => `${each[by].toLocaleString("en-US")} ${by}`,
        (each) => pointOf(each[x], each.ms, each.row),
      ),
    });
  return [
    ...against("backends", "slots", "Building a lookup table, against backends", "backends (N)"),
    ...against("slots", "backends", "Building a lookup table, against its size", "slots (M)"),
  ];
}

/** Which share of the packets took how long. Bins without an upper end hold what is above all others. */
function latency(kept: Kept): Plot[] {
  const cases = rowsOf(kept.result).flatMap((row) => {
    const bins = Array.isArray(row.histogram)
      ? (row.histogram as unknown[]).filter((bin) => bin !== null && typeof bin === "object")
      : [];
    const counts = (bins as Row[]).flatMap((bin) => {
      const packets = numberOf(bin, "packets");
      return packets === undefined
        ? []
        : [{ belowUs: numberOf(bin, "belowUs") ?? Number.POSITIVE_INFINITY, packets }];
    });
    const all = counts.reduce((sum, { packets }) => sum + packets, 0);
    return all > 0 ? [{ name: String(row.name ?? "packets"), counts, all }] : [];
  });
  const bounds = [...new Set(cases.flatMap(({ counts }) => counts.map(({ belowUs }) => belowUs)))].sort(
    (a, b) => a - b,
  );
  const label = (i: number) => (Number.isFinite(bounds[i]) ? `< ${bounds[i]}` : "more");
  return plot("latency", {
    title: "From the RX ring to the TX ring, one packet at a time",
    note: noteOf(kept),
    kind: "bars",
    x: { label: "microseconds, and not below the bound before", format: label },
    y: { label: "% of the packets" },
    series: cases.map(({ name, counts, all }) => ({
      name,
      points: counts.map(({ belowUs, packets }) => ({
        x: bounds.indexOf(belowUs),
        y: (100 * packets) / all,
      })),
    })),
  });
}
