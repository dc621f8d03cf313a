// The metrics in Prometheus' text format. All values are read at once; writing them down takes longer (a second for
// 100,000 samples), and lets others run after each family.

import { setImmediate as others } from "node:timers/promises";
import { Counter, Gauge, Registry } from "prom-client";
import { METRICS, type MetricSource } from "../metrics.ts";
import type { Family, Labels } from "./metric.ts";

type Sample = [value: number, labels: Labels];

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

  #read(): Map<Family, Sample[]> {
    const samples = new Map<Family, Sample[]>([...this.#metrics.keys()].map((family) => [family, []]));
    for (const { collect } of METRICS) {
      collect(this.#source, (family, value, labels = {}) => void samples.get(family)!.push([value, labels]));
    }
    return samples;
  }

  async #make(): Promise<string> {
    const parts: string[] = [];
    for (const [family, samples] of this.#read()) {
      const metric = this.#metrics.get(family)!;
      metric.reset();
      for (const [value, labels] of samples) metric.inc(labels, value);
      parts.push(await this.#registry.getSingleMetricAsString(family.name));
      metric.reset();
      await others();
    }
    return `${parts.join("\n\n")}\n`;
  }
}
