// The metrics in Prometheus' text format.

import { Counter, Gauge, Registry } from "prom-client";
import { METRICS, type MetricSource } from "../metrics.ts";
import type { Family } from "./metric.ts";

export class Exposition {
  readonly #source: MetricSource;
  readonly #registry = new Registry();
  readonly #metrics = new Map<Family, Counter | Gauge>();
  /** The answer that is being made. */
  #making: Promise<string> | undefined;

  constructor(source: MetricSource) {
    this.#source = source;
    for (const family of METRICS.flatMap(({ families }) => families)) {
      const { name, help, type, labels } = family;
      const Metric = type === "counter" ? Counter : Gauge;
      const options = { name, help, labelNames: [...labels], registers: [this.#registry] };
      this.#metrics.set(family, new Metric(options));
    }
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All metrics as they are now. Who asks while an answer is being made gets the same. */
  text(): Promise<string> {
    this.#making ??= this.#make().finally(() => {
      this.#making = undefined;
    });
    return this.#making;
  }

  async #make(): Promise<string> {
    this.#registry.resetMetrics();
    const put = (family: Family, value: number, labels: Record<string, string | number> = {}) =>
      this.#metrics.get(family)!.inc(labels, value);
    for (const { collect } of METRICS) collect(this.#source, put);
    return this.#registry.metrics();
  }
}
