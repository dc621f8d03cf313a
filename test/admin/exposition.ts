// Metrics as Prometheus reads them: by a parser of others, and by the rules of `promtool check metrics` that are about
// names (prometheus/util/promlint).

import assert from "node:assert/strict";
import parse from "parse-prometheus-text-format";

export type Samples = Map<string, number>;

export interface Family {
  name: string;
  help: string;
  type: string;
  /** Values by their labels, as `a="1",b="2"` sorted by name; the empty text for none. */
  samples: Samples;
}

export function labelled(labels: Record<string, string | number> = {}): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${JSON.stringify(String(value))}`);
  return pairs.sort().join(",");
}

/** Families by name. Checks that each sample is its own, and has a value. */
export function readMetrics(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  for (const { name, help, type, metrics } of parse(text)) {
    assert.ok(!families.has(name), `${name} is there twice`);
    const samples: Samples = new Map();
    for (const { value, labels } of metrics) {
      const key = labelled(labels);
      assert.ok(!samples.has(key), `${name}{${key}} is there twice`);
      assert.ok(Number.isFinite(Number(value)), `${name}{${key}} is ${value}`);
      samples.set(key, Number(value));
    }
    families.set(name, { name, help, type: type.toLowerCase(), samples });
  }
  return families;
}

/** Lines of the text that are samples: the parser must have found as many. */
export function countSamples(text: string): number {
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).length;
}

/** promlint's abbreviations and units that are not base units. */
const ABBREVIATIONS = ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "m", "h", "d"];
const UNITS = [
  "milliseconds",
  "microseconds",
  "nanoseconds",
  "minutes",
  "hours",
  "days",
  "bits",
  "kilobytes",
  "megabytes",
  "gigabytes",
  "percent",
];
const TYPES = ["counter", "gauge", "histogram", "summary"];

/** What promlint would complain of. */
export function lint({ name, help, type, samples }: Family): string[] {
  const complaints: string[] = [];
  const complain = (wrong: boolean, what: string) => wrong && complaints.push(`${name}: ${what}`);
  const words = name.split("_");
  complain(!/^[a-z][a-z0-9_]*[a-z0-9]$/.test(name), "is not in snake case");
  complain(help.trim() === "", "has no help");
  complain(!["counter", "gauge"].includes(type), `has type ${type}`);
  complain(type === "counter" && !name.endsWith("_total"), "is a counter without _total");
  complain(type !== "counter" && name.endsWith("_total"), "has _total and is no counter");
  complain(/_(count|sum|bucket|info)$/.test(name), "ends like a part of another type");
  complain(
    words.some((word) => ABBREVIATIONS.includes(word)),
    "has an abbreviated unit",
  );
  complain(
    words.some((word) => UNITS.includes(word)),
    "has a unit that is no base unit",
  );
  complain(
    words.some((word) => TYPES.includes(word)),
    "has its type in its name",
  );
  for (const key of samples.keys()) {
    for (const [, label] of key.matchAll(/(\w+)="/g)) {
      complain(!/^[a-z][a-z0-9_]*$/.test(label!), `label ${label} is not in snake case`);
      complain(["le", "quantile", "job", "instance"].includes(label!), `label ${label} is Prometheus' own`);
    }
  }
  return complaints;
}
