// What a metric is made of. A group of them is read together, from one source, when Prometheus asks: nothing is counted
// here, and no value is older than the question.
//
// Names follow https://prometheus.io/docs/practices/naming/: base units, `_total` for counters. Labels have as many
// values as the configuration has things, never as many as there are clients.

export interface Family {
  name: string;
  type: "counter" | "gauge";
  /** A sentence without its full stop. */
  help: string;
  labels: readonly string[];
}

export type Labels = Record<string, string | number>;

/** Sets a sample. A thing that has none any more vanishes with it. */
export type Put = (family: Family, value: number, labels?: Labels) => void;

export interface MetricGroup<S> {
  families: readonly Family[];
  collect: (source: S, put: Put) => void;
}

/** Something that only grows, until the process starts again. */
export function counter(name: string, help: string, ...labels: string[]): Family {
  return { name, type: "counter", help, labels };
}

export function gauge(name: string, help: string, ...labels: string[]): Family {
  return { name, type: "gauge", help, labels };
}
