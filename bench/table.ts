// `bench table`: building a lookup table (assembly/builder), and its digest.

import { buildMaglev, tableDigest } from "../src/dataplane/table-builder.ts";
import { GuidewayError } from "../src/errors.ts";
import { type Case, type MicroResult, runCases } from "./micro.ts";
import type { SuiteOptions } from "./suite.ts";

/** The paper's two sizes (§5.3), and what the design wants them to take at 1,000 backends. */
const SIZES = [
  { size: 65_537, targetNs: 1.06e6 },
  { size: 655_373, targetNs: 15e6 },
];
const BACKENDS = [10, 100, 1000];
const MOST_BACKENDS = 1000;

export function benchTable(options: SuiteOptions): MicroResult {
  return runCases(
    SIZES.flatMap((each) => casesOf(each)),
    options,
  );
}

function casesOf({ size, targetNs }: (typeof SIZES)[number]): Case[] {
  const builds = BACKENDS.map((count) => {
    const backends = backendsOf(count);
    return {
      name: `build-${size}-${count}`,
      operations: 1,
      run: () => {
        const { length } = buildMaglev(size, backends);
        if (length !== size) throw new GuidewayError("BENCH", `a table of ${size} slots has ${length}`);
      },
      ...(count === MOST_BACKENDS && { targetNs }),
    };
  });
  const backends = backendsOf(MOST_BACKENDS);
  const names = Array.from(buildMaglev(size, backends), (id) => backends[id - 1]!.key);
  return [...builds, { name: `digest-${size}`, operations: 1, run: () => void tableDigest(size, names) }];
}

function backendsOf(count: number): { key: string; weight: number; id: number }[] {
  return Array.from({ length: count }, (_, i) => ({
    key: `10.0.${i >> 8}.${i & 255}:80`,
    weight: 1,
    id: i + 1,
  }));
}
