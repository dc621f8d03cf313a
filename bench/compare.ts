// `bench engine` of two checkouts against each other, for work on the data plane:
//
//   node bench/compare.ts OTHER [PATTERN]
//
// `guideway bench engine --baseline COMMIT` does the same with a checkout that it makes itself.

import { resolve } from "node:path";
import { packageRoot } from "../src/lab/paths.ts";
import { pairedRows, renderPairs } from "./baseline/pairs.ts";
import { engineTurns } from "./baseline/sides.ts";

const TURNS = 40;

const [other, pattern = ""] = process.argv.slice(2);
if (other === undefined) throw new Error("usage: node bench/compare.ts OTHER [PATTERN]");
const rows = await engineTurns(packageRoot(), resolve(other), pattern, TURNS);
process.stdout.write(`${renderPairs(pairedRows(rows), "there")}\n`);
