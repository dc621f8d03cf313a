// docs/datapath.md §3: a sweep changes no decision. Checked on few lines' worth of flows, so that ways run out.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Conntrack } from "./conntrack.ts";

const timeoutsMs = { new: 1600, established: 4800, closing: 1600, udp: 3200 };
/** No flags, FIN, SYN, RST, ACK, SYN ACK, and UDP. */
const FLAGS = [0, 0x01, 0x02, 0x04, 0x10, 0x12, undefined];

const step = fc.record({
  flow: fc.nat(39),
  flags: fc.constantFrom(...FLAGS),
  pauseMs: fc.oneof(fc.constant(0), fc.nat(400), fc.constantFrom(1600, 1700, 4800, 5200, 6400, 100_000)),
  dies: fc.option(fc.nat(9), { freq: 20 }),
});

test("sweeping never or always makes no difference, down to what the table did", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 200, size: "max" }), (steps) => {
      const dead = new Set<number>();
      const [lazy, eager] = [false, true].map(
        (eager) => new Conntrack({ shardLines: 256, timeoutsMs, eager }, (id) => !dead.has(id)),
      );
      let clockMs = 0;
      for (const { flow, flags, pauseMs, dies } of steps) {
        clockMs += pauseMs;
        if (dies) dead.add(dies);
        const key = (BigInt(flow) << 48n) | BigInt((flow & 1) << 8);
        const backend = 1 + ((flow + dead.size) % 12);
        const [a, b] = [lazy!, eager!].map((table) => {
          table.advance(clockMs);
          return table.hit(key, flags) ?? table.insert(key, backend, flags);
        });
        assert.deepEqual(a, b);
      }
    }),
    { numRuns: 300, seed: 1 },
  );
});
