// The order of turns: the queue, the phases, and who may run.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Admission, type Lane } from "../../src/health/admission.ts";
import { DueQueue } from "../../src/health/heap.ts";
import { Turns } from "../../src/health/turns.ts";

test("the queue gives what a sorted list would", () => {
  const step = fc.oneof(fc.double({ min: 0, max: 100, noNaN: true }), fc.constant("shift" as const));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new DueQueue<{ due: number }>();
      const model: number[] = [];
      for (const each of steps) {
        if (each !== "shift") {
          queue.push({ due: each });
          model.push(each);
          model.sort((a, b) => a - b);
        } else assert.equal(queue.shift()?.due, model.shift());
        assert.equal(queue.first()?.due, model[0]);
        assert.equal(queue.size, model.length);
      }
    }),
  );
});

suite("turns", () => {
  const check = { interval: 1000, jitter: 100 };

  test("10,000 of them spread evenly over the interval, at the first turn and later", () => {
    const turns = Array.from(
      { length: 10_000 },
      (_, index) => new Turns(`10.0.${index >> 8}.${index & 255}`, check, 500, 10_000),
    );
    for (let round = 0; round < 3; round++) {
      const buckets = new Array<number>(10).fill(0);
      for (const each of turns) {
        const bucket = Math.floor(((((each.due - 500) % 1000) + 1000) % 1000) / 100);
        buckets[bucket] = buckets[bucket]! + 1;
      }
      for (const count of buckets) assert.ok(count > 850 && count < 1150, buckets.join());
      for (const each of turns) each.advance(each.due);
    }
  });

  test("a few start at once, whatever the interval", () => {
    for (let index = 0; index < 100; index++) {
      const { due } = new Turns(`target ${index}`, { interval: 60_000, jitter: 0 }, 0, 100);
      assert.ok(due >= 0 && due <= 10, `${due}`);
    }
  });

  test("turns are an interval apart, within the jitter, and the same every time", () => {
    const [one, two] = [new Turns("key", check, 0, 1), new Turns("key", check, 0, 1)];
    const dues = Array.from({ length: 200 }, () => {
      assert.equal(one.advance(one.due), 0);
      two.advance(two.due);
      assert.equal(one.due, two.due);
      return one.due;
    });
    const phases = dues.map((due, index) => due - index * 1000);
    const [least, greatest] = [Math.min(...phases), Math.max(...phases)];
    assert.ok(greatest - least <= 200 && greatest - least > 150, `${greatest - least}`);
  });

  test("turns that have passed are missed, not made up for", () => {
    const turns = new Turns("key", { interval: 1000, jitter: 0 }, 0, 1);
    turns.advance(turns.due);
    const { due } = turns;
    assert.equal(turns.advance(due + 3500), 3);
    assert.equal(turns.due, due + 4000);
  });
});

suite("admission", () => {
  const LIMITS = { total: 8, failing: 6, exec: 2 };

  test("what fails leaves room for what does not, and nobody is passed over", () => {
    const admission = new Admission<string>(LIMITS);
    for (let index = 0; index < 100; index++) admission.enter(`f${index}`, "failing");
    const running = [];
    for (let next = admission.next(); next; next = admission.next()) running.push(next.item);
    assert.deepEqual(running, ["f0", "f1", "f2", "f3", "f4", "f5"]);
    admission.enter("p0", "passing");
    assert.equal(admission.next()?.item, "p0");
    admission.leave("failing");
    assert.equal(admission.next()?.item, "f6");
    assert.deepEqual([admission.running, admission.waiting], [7, 93]);
  });

  test("limits hold and order is kept in each lane, whatever happens", () => {
    const lane = fc.constantFrom<Lane>("passing", "failing", "exec");
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom("enter", "next", "leave"), lane), { maxLength: 300 }),
        (steps) => {
          const admission = new Admission<number>(LIMITS);
          const waiting: Record<Lane, number[]> = { passing: [], failing: [], exec: [] };
          const running: Record<Lane, number> = { passing: 0, failing: 0, exec: 0 };
          const total = () => running.passing + running.failing + running.exec;
          let number = 0;
          for (const [what, where] of steps) {
            if (what === "enter") {
              admission.enter(number, where);
              waiting[where].push(number++);
            } else if (what === "leave") {
              if (running[where] === 0) continue;
              admission.leave(where);
              running[where]--;
            } else {
              const next = admission.next();
              if (!next) {
                const free = total() < LIMITS.total;
                assert.ok(!free || waiting.passing.length === 0);
                assert.ok(!free || waiting.failing.length === 0 || running.failing === LIMITS.failing);
                assert.ok(!free || waiting.exec.length === 0 || running.exec === LIMITS.exec);
                continue;
              }
              assert.equal(next.item, waiting[next.lane].shift());
              running[next.lane]++;
            }
            assert.ok(
              total() <= LIMITS.total && running.failing <= LIMITS.failing && running.exec <= LIMITS.exec,
            );
            assert.equal(admission.running, total());
          }
        },
      ),
    );
  });
});
