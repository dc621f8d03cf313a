// Two checkouts against each other, for work on the data plane:
//
//   node bench/compare.ts OTHER [PATTERN]
//
// Each side is a process with its own sources and its own build/. They take turns of some milliseconds, scenario by
// scenario, so that whatever else the machine does meets both. The ratio is the median of the turns' ratios.

import { spawn } from "node:child_process";
import { on } from "node:events";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { columns } from "../src/columns.ts";
import { packageRoot } from "../src/lab/paths.ts";
import { median, quantile } from "./statistics.ts";

const TURNS = 40;

class Side {
  readonly #child;
  readonly #lines;

  constructor(checkout: string, pattern: string) {
    const script = join(checkout, "bench", "engine", "turns.ts");
    this.#child = spawn(process.execPath, [script, pattern], { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = on(createInterface({ input: this.#child.stdout }), "line", { close: ["close"] });
  }

  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("a side ended");
    return value[0] as string;
  }

  /** @returns nanoseconds per packet */
  async turn(scenario: string): Promise<number> {
    this.#child.stdin.write(`${scenario}\n`);
    return Number(await this.line());
  }

  end(): void {
    this.#child.stdin.end();
  }
}

const [other, pattern = ""] = process.argv.slice(2);
if (other === undefined) throw new Error("usage: node bench/compare.ts OTHER [PATTERN]");
const here = new Side(packageRoot(), pattern);
const [names] = await Promise.all([here.line()]);
const there = new Side(resolve(other), pattern);
await there.line();
const rows: string[][] = [["scenario", "here ns", "other ns", "other / here", "p25", "p75"]];
for (const name of JSON.parse(names) as string[]) {
  const turns: [here: number, there: number][] = [];
  for (let i = 0; i < TURNS; i++) turns.push([await here.turn(name), await there.turn(name)]);
  const ratios = turns.map(([a, b]) => b / a);
  const row = [median(turns.map(([a]) => a)), median(turns.map(([, b]) => b))].map((ns) => ns.toFixed(1));
  rows.push([
    name,
    ...row,
    ...[median(ratios), quantile(ratios, 0.25), quantile(ratios, 0.75)].map((r) => r.toFixed(3)),
  ]);
}
here.end();
there.end();
process.stdout.write(`${columns(rows, [1, 2, 3, 4, 5])}\n`);
