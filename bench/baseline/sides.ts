// Two checkouts in turns, for `bench engine`: each side is a process with its own sources and its own build/, and has a turn of
// some milliseconds when it is told the name of a scenario (bench/engine/turns.ts). Whatever else the machine does meets both.

import { spawn } from "node:child_process";
import { on } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Pairs } from "./pairs.ts";

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

/**
 * @param pattern of the scenarios' names
 * @returns nanoseconds per packet of the scenarios that both sides have
 */
export async function engineTurns(
  here: string,
  there: string,
  pattern: string,
  turns: number,
): Promise<Pairs[]> {
  const sides: Side[] = [];
  try {
    const scenarios: string[][] = [];
    // One after the other: filling takes all of a core.
    for (const checkout of [here, there]) {
      const side = new Side(checkout, pattern);
      sides.push(side);
      scenarios.push(JSON.parse(await side.line()) as string[]);
    }
    const common = scenarios[0]!.filter((name) => scenarios[1]!.includes(name));
    const rows: Pairs[] = [];
    for (const name of common) {
      const pairs: [number, number][] = [];
      for (let i = 0; i < turns; i++) pairs.push([await sides[0]!.turn(name), await sides[1]!.turn(name)]);
      rows.push({ name, unit: "ns/packet", better: "less", pairs });
    }
    return rows;
  } finally {
    for (const side of sides) side.end();
  }
}
