// One side of bench/compare.ts: all scenarios stand ready, each line of stdin is the name of one that has its turn.

import { createInterface } from "node:readline";
import { median } from "../../src/quantiles.ts";
import { Bed } from "./bed.ts";
import { scenarios } from "./scenario.ts";

const WARM_ROUNDS = 20;
const ROUNDS = 40;
const FIRST_ROUNDS = 600;

const pattern = new RegExp(process.argv[2] ?? "");
const beds = new Map<string, Bed>();
for (const scenario of scenarios(false)) {
  if (!pattern.test(scenario.name)) continue;
  const bed = new Bed(scenario);
  bed.fill();
  for (let i = 0; i < FIRST_ROUNDS; i++) bed.round();
  beds.set(scenario.name, bed);
}
process.stdout.write(`${JSON.stringify([...beds.keys()])}\n`);
for await (const name of createInterface({ input: process.stdin })) {
  const bed = beds.get(name)!;
  for (let i = 0; i < WARM_ROUNDS; i++) bed.round();
  process.stdout.write(`${median(Array.from({ length: ROUNDS }, () => bed.round()))}\n`);
}
