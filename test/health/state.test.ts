// Rise, fall, initial states and flap damping, by table and against a plain model.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { HealthState, initialJudgement, type Judgement } from "../../src/health/state.ts";

type Rules = ConstructorParameters<typeof HealthState>[0];
const RULES: Rules = { rise: 2, fall: 3, initial: "first-result" };

/** States after each result, `+` or `-`, one second apart: U up, D down, ? unknown, F down and flapping. */
function trace(rules: Rules, results: string): string {
  const state = new HealthState(rules, initialJudgement(rules, 0));
  return [...results]
    .map((result, index) => {
      const before = state.judgement;
      const changed = state.record(result === "+", result, (index + 1) * 1000);
      const now = state.judgement;
      assert.equal(changed, before.state !== now.state || before.flapping !== now.flapping);
      return letter(now);
    })
    .join("");
}

function letter({ state, flapping }: Judgement): string {
  if (flapping) assert.equal(state, "down");
  return flapping ? "F" : { up: "U", down: "D", unknown: "?" }[state];
}

suite("states by table", () => {
  for (const [what, rules, results, expected] of [
    ["the first result decides alone: up", {}, "+", "U"],
    ["the first result decides alone: down", {}, "-", "D"],
    ["three failures in a row bring it down", {}, "+--+--+---", "UUUUUUUUUD"],
    ["two passes in a row bring it up", {}, "-+-+-++", "DDDDDDU"],
    ["initially up: the first failures count", { initial: "up" }, "---", "UUD"],
    ["initially down: the first passes count", { initial: "down" }, "++", "DU"],
    ["rise and fall of one", { rise: 1, fall: 1 }, "+-+-", "UDUD"],
    [
      "four changes are flapping, held until nothing changed for 5 s",
      { rise: 1, fall: 1, flap: { changes: 4, within: 60_000, hold: 5000 } },
      "+-+-++++++++",
      "UDUDFFFFFUUU",
    ],
    [
      "a change starts the hold anew",
      { rise: 1, fall: 1, flap: { changes: 4, within: 60_000, hold: 3000 } },
      "+-+-+-+++++",
      "UDUDFFFFFUU",
    ],
    [
      "flapping that settles below is down, not flapping",
      { rise: 1, fall: 1, flap: { changes: 3, within: 60_000, hold: 3000 } },
      "+-+------",
      "UDUFFFDDD",
    ],
    [
      "changes that are long ago do not count",
      { rise: 1, fall: 1, flap: { changes: 4, within: 3000, hold: 5000 } },
      "+-++-++-++-+",
      "UDUUDUUDUUDU",
    ],
  ] as [string, Partial<Rules>, string, string][])
    test(what, () => assert.equal(trace({ ...RULES, ...rules }, results), expected));

  test("since and reason are those of the check that decided", () => {
    const state = new HealthState(RULES, initialJudgement(RULES, 5));
    assert.deepEqual(state.judgement, {
      state: "unknown",
      since: 5,
      reason: "no check yet",
      flapping: false,
    });
    state.record(true, "status 200", 10);
    for (const at of [20, 30, 40]) state.record(false, `failure at ${at}`, at);
    assert.deepEqual(state.judgement, { state: "down", since: 40, reason: "failure at 40", flapping: false });
    state.record(false, "another", 50);
    assert.equal(state.judgement.reason, "failure at 40");
  });

  test("a state that is taken over goes on as it was", () => {
    const up = new HealthState(RULES, { state: "up", since: 1, reason: "x", flapping: false });
    assert.equal(up.record(false, "-", 10), false);
    assert.equal(up.record(false, "-", 20), false);
    assert.equal(up.record(false, "-", 30), true);
  });
});

/** The same rules, looking at the whole history for every answer. */
function model(
  { rise, fall, initial, flap }: Rules,
  results: readonly { passed: boolean; at: number }[],
): string[] {
  const raw: { state: "up" | "down" | "unknown"; since: number; flip: boolean }[] = [];
  let state: "up" | "down" | "unknown" = initial === "first-result" ? "unknown" : initial;
  let since = 0;
  let from = 0;
  for (let index = 0; index < results.length; index++) {
    const count = state === "unknown" ? 1 : state === "up" ? fall : rise;
    const last = results.slice(Math.max(from, index + 1 - count), index + 1);
    const wanted = state === "unknown" ? results[index]!.passed : state !== "up";
    let flip = false;
    if (last.length === count && last.every(({ passed }) => passed === wanted)) {
      flip = state !== "unknown";
      state = wanted ? "up" : "down";
      since = results[index]!.at;
      from = index + 1;
    }
    raw.push({ state, since, flip });
  }
  let flapping = false;
  let forgiven = -1;
  return raw.map(({ state, since }, index) => {
    if (flap) {
      const at = results[index]!.at;
      if (flapping && at - since >= flap.hold) {
        flapping = false;
        forgiven = index;
      } else {
        // The changes up to the latest one that lie within the time before it.
        const flips = raw
          .slice(0, index + 1)
          .flatMap(({ flip }, each) => (flip && each > forgiven ? [results[each]!.at] : []));
        const latest = flips.at(-1) ?? 0;
        if (flips.filter((time) => latest - time <= flap.within).length >= flap.changes) flapping = true;
      }
    }
    return flapping ? "F" : { up: "U", down: "D", unknown: "?" }[state];
  });
}

test("any results give what the model says", () => {
  const rules = fc.record({
    rise: fc.integer({ min: 1, max: 3 }),
    fall: fc.integer({ min: 1, max: 3 }),
    initial: fc.constantFrom("first-result", "up", "down"),
    flap: fc.option(
      fc.record({
        changes: fc.integer({ min: 2, max: 5 }),
        within: fc.integer({ min: 1000, max: 20_000 }),
        hold: fc.integer({ min: 1000, max: 10_000 }),
      }),
      { nil: undefined },
    ),
  }) as fc.Arbitrary<Rules>;
  const results = fc.array(fc.record({ passed: fc.boolean(), gap: fc.integer({ min: 1, max: 3000 }) }), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(rules, results, (each, sequence) => {
      let at = 0;
      const history = sequence.map(({ passed, gap }) => {
        at += gap;
        return { passed, at };
      });
      const state = new HealthState(each, initialJudgement(each, 0));
      const letters = history.map(({ passed, at }) => {
        state.record(passed, "", at);
        return letter(state.judgement);
      });
      assert.deepEqual(letters, model(each, history));
    }),
    { numRuns: 2000 },
  );
});
