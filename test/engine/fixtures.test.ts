// Every case of test/fixtures through the engine: as the model decides it and as it is written down.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { parseConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";
import { OfflineEngine, type OfflineResult } from "../../src/io/offline.ts";
import { type FixtureCase, readFixtures } from "../fixtures/parse.ts";
import { decode } from "../packets/decode.ts";

/** A result as the fixtures write it. */
function written({ verdict, reason, backend }: OfflineResult, engine: OfflineEngine): string {
  const name = engine.engine.directory.backends[backend]?.config.name;
  return [verdict, reason, ...(verdict === "forward" ? [name] : [])].join(" ");
}

async function check(engine: OfflineEngine, file: string, each: FixtureCase, fromMs: number): Promise<void> {
  const packets = each.packets.map(({ bytes, atMs }) => ({ bytes, timeMs: fromMs + atMs }));
  const results = await engine.process(packets);
  await engine.flush();
  for (const [index, { verdict, out, fragments }] of each.packets.entries()) {
    const where = `${file}:${each.line}, packet ${index + 1}`;
    const result = results[index]!;
    assert.equal(written(result, engine), verdict, where);
    if (!out) continue;
    assert.deepEqual(result.out && decode(result.out), decode(out), where);
    assert.deepEqual(result.out, out, where);
    assert.deepEqual(result.fragments, fragments, where);
  }
}

const fixtures = readFixtures().map(({ file, setupYaml, cases }) => {
  return { file, cases, config: parseConfig(setupYaml, file).config };
});

for (const { file, config, cases } of fixtures) {
  suite(`${file}: an engine for each case`, () => {
    for (const each of cases) {
      test(each.title, () => check(new OfflineEngine(config, { inline: true }), file, each, 0));
    }
  });
}

/**
 * A time that is at a whole number of every timeout, so that its ticks begin together as they do at 0 ms, and long enough
 * after another that every flow of it has expired.
 */
function fresh(config: Config, afterMs: number): number {
  const timeouts = Object.values(config.conntrack.timeouts);
  const period = timeouts.reduce(leastMultiple);
  return Math.ceil((afterMs + 2 * Math.max(...timeouts)) / period) * period;
}

function leastMultiple(a: number, b: number): number {
  let multiple = a;
  while (multiple % b !== 0) multiple += a;
  return multiple;
}

for (const { file, config, cases } of fixtures) {
  suite(`${file}: all cases one after the other through two worker threads`, () => {
    let engine: OfflineEngine;
    let fromMs = 0;
    before(() => {
      engine = new OfflineEngine(config, { workers: 2 });
    });
    after(() => engine?.close());
    for (const each of cases) {
      test(each.title, async () => {
        const begin = fromMs;
        fromMs = fresh(config, begin + each.packets.at(-1)!.atMs);
        await check(engine, file, each, begin);
      });
    }
  });
}
