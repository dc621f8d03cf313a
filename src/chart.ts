// Charts as SVG, readable on light and dark pages: lines or bars, with error bars, and a legend where there are several series.
// The same chart is always the same text: a file of it changes when what it shows does.

import { GuidewayError } from "./errors.ts";

export interface Point {
  /** Of bars: which group it is in, from 0. */
  x: number;
  y: number;
  /** Ends of the error bar. */
  low?: number;
  high?: number;
  /** Written above it, and a ring is drawn around it. */
  label?: string;
}

export interface Series {
  name: string;
  points: readonly Point[];
}

export interface Axis {
  label: string;
  /** Logarithmic: values are above 0 then; else not below. */
  log?: boolean;
  /** How a tick is written; `1,000` by default. */
  format?: (value: number) => string;
}

export interface Chart {
  title: string;
  /** What a reader has to know to believe it: where the numbers are from, what error bars are. */
  note: string;
  kind: "lines" | "bars";
  x: Axis;
  /** Begins at 0, or at a power of ten. */
  y: Axis;
  series: readonly Series[];
}

const [WIDTH, HEIGHT, LEFT, TOP, MIDDLE, BOTTOM] = [760, 400, 64, 68, 208, 348];
const LEGEND_WIDTH = 170;
/** Between the axis and the first point. */
const PADDING = 28;
/** Of a group of bars, what is left free. */
const GAP = 0.25;
/** Pixels between two series at the same place. */
const DODGE = 4;
const Y_TICKS = 5;
const MOST_X_TICKS = 14;
/** On light and on dark; told apart with any colour vision (Okabe and Ito). */
const COLORS = [
  ["#0072b2", "#56b4e9"],
  ["#d55e00", "#ff8c42"],
  ["#00795a", "#2fc79a"],
  ["#a64d79", "#e08bbd"],
  ["#8a6d00", "#e6b422"],
  ["#57606a", "#a5afba"],
] as const;
const DASHES = ["none", "7 3", "2 3", "9 3 2 3", "4 2", "1 2"];

function style(): string {
  const colors = (side: 0 | 1) =>
    COLORS.map((pair, i) => `.s${i}{stroke:${pair[side]}}.f${i}{fill:${pair[side]}}`).join("");
  return (
    "text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-size:15px;font-weight:600}.faint{fill:#57606a}" +
    ".page{fill:#fff}.grid{stroke:#d8dee4}.axis{stroke:#57606a}.line{fill:none;stroke-width:2}.error{stroke-width:1.2}" +
    `.ring{fill:none;stroke-width:1.6}${colors(0)}@media(prefers-color-scheme:dark){text{fill:#e6edf3}` +
    `.faint{fill:#9da7b3}.page{fill:#0d1117}.grid{stroke:#30363d}.axis{stroke:#9da7b3}${colors(1)}}`
  );
}

const escaped = (text: string) =>
  text.replace(/[&<>"]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign]!);
const px = (value: number) => String(Number(value.toFixed(1)));
const plain = (value: number) => value.toLocaleString("en-US", { maximumFractionDigits: 6 });

/** @throws GuidewayError CHART for what has no place on an axis */
function checked({ title, x, y, series }: Chart): Point[] {
  const points = series.flatMap(({ points }) => points);
  const fail = (problem: string) => new GuidewayError("CHART", `${title}: ${problem}`);
  if (points.length === 0) throw fail("there is no point to draw");
  const check = (name: string, value: number, log = false) => {
    if (Number.isFinite(value) && (log ? value > 0 : value >= 0)) return;
    throw fail(`${name} of a point is ${value}, expected a number ${log ? "above 0" : "of 0 or more"}`);
  };
  for (const point of points) {
    check("x", point.x, x.log);
    for (const name of ["y", "low", "high"] as const) check(name, point[name] ?? point.y, y.log);
  }
  return points;
}

/** Where values are along an axis, from 0 to 1, and its ticks. */
interface Scale {
  at: (value: number) => number;
  ticks: number[];
}

function yScale({ log }: Axis, points: readonly Point[]): Scale {
  const most = Math.max(...points.map(({ y, high = y }) => high));
  if (log) {
    const first = Math.floor(Math.log10(Math.min(...points.map(({ y, low = y }) => low))));
    const last = Math.max(first + 1, Math.ceil(Math.log10(most)));
    const ticks = Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i));
    return { at: (value) => (Math.log10(value) - first) / (last - first), ticks };
  }
  const rough = (most || 1) / Y_TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((each) => each * power >= rough)!;
  const count = Math.ceil((most || 1) / step - 1e-9);
  const ticks = Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(12)));
  return { at: (value) => value / (count * step), ticks };
}

function xScale({ log }: Axis, points: readonly Point[], kind: Chart["kind"]): Scale {
  const all = [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b);
  if (kind === "bars") {
    const groups = all.at(-1)! + 1;
    return { at: (value) => (value + 0.5) / groups, ticks: Array.from({ length: groups }, (_, i) => i) };
  }
  const measure = log ? Math.log : (value: number) => value;
  const [first, last] = [measure(all[0]!), measure(all.at(-1)!)];
  const at = (value: number) => (first === last ? 0.5 : (measure(value) - first) / (last - first));
  return { at, ticks: all.filter((_, i) => i % Math.ceil(all.length / MOST_X_TICKS) === 0) };
}

/**
 * A chart as the text of an SVG file.
 * @throws GuidewayError CHART when there is nothing to draw, or a value has no place on its axis
 */
export function renderChart(chart: Chart): string {
  const { title, note, kind, series } = chart;
  const points = checked(chart);
  const [toX, toY] = [xScale(chart.x, points, kind), yScale(chart.y, points)];
  const right = WIDTH - (series.length > 1 ? LEGEND_WIDTH : 24);
  const padding = kind === "bars" ? 0 : PADDING;
  const xAt = (value: number) => LEFT + padding + toX.at(value) * (right - LEFT - 2 * padding);
  const yAt = (value: number) => BOTTOM - toY.at(value) * (BOTTOM - TOP);
  const out: string[] = [];
  const line = (kind: string, x1: number, y1: number, x2: number, y2: number) =>
    out.push(`<line class="${kind}" x1="${px(x1)}" y1="${px(y1)}" x2="${px(x2)}" y2="${px(y2)}"/>`);
  const text = (x: number, y: number, content: string, kind = "", anchor = "start", more = "") =>
    out.push(
      `<text x="${px(x)}" y="${px(y)}" text-anchor="${anchor}"${kind && ` class="${kind}"`}${more}>${escaped(content)}</text>`,
    );

  text(16, 26, title, "title");
  text(16, 46, note, "faint");
  for (const tick of toY.ticks) {
    line(tick === toY.ticks[0] ? "axis" : "grid", LEFT, yAt(tick), right, yAt(tick));
    text(LEFT - 8, yAt(tick) + 4, (chart.y.format ?? plain)(tick), "faint", "end");
  }
  for (const tick of toX.ticks) {
    if (kind === "lines") line("axis", xAt(tick), BOTTOM, xAt(tick), BOTTOM + 5);
    text(xAt(tick), BOTTOM + 19, (chart.x.format ?? plain)(tick), "faint", "middle");
  }
  text((LEFT + right) / 2, BOTTOM + 40, chart.x.label, "", "middle");
  text(16, MIDDLE, chart.y.label, "", "middle", ` transform="rotate(-90 16 ${MIDDLE})"`);

  const group = kind === "bars" ? ((right - LEFT) / toX.ticks.length) * (1 - GAP) : 0;
  for (const [index, { name, points }] of series.entries()) {
    const [color, dash] = [index % COLORS.length, DASHES[index % DASHES.length]!];
    const shift = (index - (series.length - 1) / 2) * (kind === "bars" ? group / series.length : DODGE);
    const sorted = points.toSorted((a, b) => a.x - b.x);
    if (kind === "lines" && sorted.length > 1) {
      const path = sorted.map(({ x, y }) => `${px(xAt(x) + shift)},${px(yAt(y))}`).join(" ");
      out.push(`<polyline class="line s${color}" stroke-dasharray="${dash}" points="${path}"/>`);
    }
    for (const { x, y, low, high, label } of sorted) {
      const [cx, cy] = [xAt(x) + shift, yAt(y)];
      if (kind === "bars") {
        const width = group / series.length;
        out.push(
          `<rect class="f${color}" x="${px(cx - width / 2)}" y="${px(cy)}" width="${px(width)}" height="${px(BOTTOM - cy)}"/>`,
        );
      } else out.push(`<circle class="f${color}" cx="${px(cx)}" cy="${px(cy)}" r="3"/>`);
      if (low !== undefined && high !== undefined) {
        const error = `error ${kind === "bars" ? "axis" : `s${color}`}`;
        line(error, cx, yAt(low), cx, yAt(high));
        for (const end of [low, high]) line(error, cx - 4, yAt(end), cx + 4, yAt(end));
      }
      if (label === undefined) continue;
      out.push(`<circle class="ring s${color}" cx="${px(cx)}" cy="${px(cy)}" r="8"/>`);
      text(cx, yAt(high ?? y) - 12, label, "", "middle");
    }
    if (series.length === 1) continue;
    const at = TOP + 10 + index * 20;
    const sample = kind === "bars" ? `stroke-width="12"` : `stroke-width="2" stroke-dasharray="${dash}"`;
    out.push(
      `<line class="s${color}" ${sample} x1="${right + 14}" y1="${at}" x2="${right + 38}" y2="${at}"/>`,
    );
    text(right + 44, at + 4, name);
  }
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img">` +
    `<title>${escaped(title)}</title><style>${style()}</style><rect class="page" width="${WIDTH}" height="${HEIGHT}"/>\n` +
    `${out.join("\n")}\n</svg>\n`
  );
}
