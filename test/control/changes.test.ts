// The pipeline of changes: in which order, what refuses, what is undone, and what is kept of each in the audit log.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, type TestContext, test } from "node:test";
import { pino } from "pino";
import { stringify } from "yaml";
import { parseConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";
import { Changes, type Reloaded } from "../../src/control/changes.ts";
import { History, type Origin } from "../../src/control/history.ts";
import { GuidewayError } from "../../src/errors.ts";

const BY: Origin = { by: "command", user: "ann" };

interface Parts {
  names?: string[];
  weights?: Record<string, number>;
  maxMoved?: string;
  more?: object;
}

/** A configuration's text, with backends of these names. */
function textOf({ names = ["a", "b", "c", "d"], weights = {}, maxMoved = "100%", more = {} }: Parts = {}) {
  const address = (name: string) => `10.0.0.${name.charCodeAt(0)}`;
  const backends = names.map((name) => ({ name, address: address(name), weight: weights[name] ?? 1 }));
  return stringify({
    change: { maxMoved },
    pools: { web: { tableSize: 1009, backends } },
    vips: [{ name: "web", address: "10.99.0.1", port: 80, pool: "web" }],
    ...more,
  });
}

class Bed {
  readonly folder = mkdtempSync(join(tmpdir(), "guideway-changes-"));
  readonly own = join(this.folder, "own.yaml");
  readonly history: History;
  readonly log: { level: number; msg: string; code?: string }[] = [];
  readonly changes: Changes;
  /** What was done, in order. */
  readonly calls: string[] = [];
  inForce: Config;
  weights: Record<string, number> = {};
  problems: string[] = [];
  applying: () => unknown = () => {};
  undoing: () => unknown = () => {};

  constructor(test: TestContext, parts: Parts = {}) {
    test.after(() =>
      this.history.settled().then(() => rmSync(this.folder, { recursive: true, force: true })),
    );
    const text = textOf(parts);
    writeFileSync(this.own, text);
    const { config } = parseConfig(text, this.own);
    this.inForce = config;
    const log = pino({ level: "trace" }, { write: (line: string) => void this.log.push(JSON.parse(line)) });
    this.history = new History(join(this.folder, "state"), log);
    test.after(() => this.history.settled());
    this.changes = new Changes({
      config,
      document: { text, file: this.own },
      apply: (next) => this.#apply(next),
      verify: async () => {
        this.calls.push("verify");
        return this.problems;
      },
      keep: () => void this.calls.push("keep"),
      states: () => "active",
      weightOf: (_pool, name) => this.weights[name],
      history: this.history,
      log,
    });
  }

  async #apply(next: Config): Promise<() => Promise<void>> {
    const before = this.inForce;
    await this.applying();
    this.calls.push(`apply ${this.names(next)}`);
    this.inForce = next;
    return async () => {
      await this.undoing();
      this.calls.push(`undo ${this.names(before)}`);
      this.inForce = before;
    };
  }

  names({ pools } = this.inForce): string {
    return pools.web!.backends.map(({ name }) => name).join("");
  }

  reload(parts: Parts, force = false, file = "next.yaml"): Promise<Reloaded> {
    return this.changes.reload({ text: textOf(parts), file, force }, BY);
  }

  /** Rejects with an error of this code, and says why in the audit log and the status; nothing else has changed. */
  async refused(request: Promise<unknown>, code: string, message: RegExp): Promise<void> {
    const { generation, file, appliedAt } = this.changes.status;
    const { document } = this.changes;
    const before = this.inForce;
    await assert.rejects(request, (error: GuidewayError) => {
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      return true;
    });
    const [entry] = this.history.entries(1);
    assert.equal(entry!.outcome, code === "ROLLED_BACK" ? "rolled back" : "refused");
    assert.match(entry!.detail, message);
    const { refused, ...status } = this.changes.status;
    assert.deepEqual(status, { generation, file, appliedAt });
    assert.equal(refused!.code, code);
    assert.match(refused!.message, message);
    assert.equal(this.changes.document, document);
    assert.equal(this.inForce, before);
  }

  async audit(): Promise<{ action: string; outcome: string; detail: string; target: string }[]> {
    await this.history.settled();
    const lines = readFileSync(join(this.folder, "state", "audit.jsonl"), "utf8")
      .split("\n")
      .slice(0, -1);
    return lines.map((line) => JSON.parse(line));
  }
}

suite("changes", () => {
  test("applied: the generation, what moved, the text and the audit entry", async (t) => {
    const bed = new Bed(t);
    const text = textOf({ names: ["a", "b", "c"] });
    const result = await bed.changes.reload({ text, file: "next.yaml" }, BY);
    assert.deepEqual([result.outcome, result.generation, result.warnings], ["applied", 2, []]);
    assert.deepEqual(
      result.vips.map(({ name, change }) => [name, change]),
      [["web", "changed"]],
    );
    assert.ok(result.vips[0]!.slotsMoved > 0.24 && result.vips[0]!.slotsMoved < 0.3);
    assert.deepEqual(bed.calls, ["apply abc", "verify", "keep"]);
    assert.deepEqual(bed.changes.document, { text, file: "next.yaml" });
    const { generation, file, refused } = bed.changes.status;
    assert.deepEqual([generation, file, refused], [2, "next.yaml", undefined]);
    await bed.history.settled();
    assert.equal(readFileSync(join(bed.folder, "state", "last-good.yaml"), "utf8"), text);
    const [{ action, target, outcome, detail } = assert.fail()] = await bed.audit();
    assert.deepEqual([action, target, outcome], ["reload", "next.yaml", "applied"]);
    assert.match(detail, /^generation 2: web changed \(2\d\.\d% moved\)$/);
  });

  test("the start is an entry, and its text the last good one", async (t) => {
    const bed = new Bed(t);
    await bed.changes.start({ by: "start" }, async () => []);
    const [entry] = await bed.audit();
    assert.deepEqual([entry!.action, entry!.outcome, entry!.target], ["start", "applied", bed.own]);
    assert.equal(readFileSync(join(bed.folder, "state", "last-good.yaml"), "utf8"), textOf());
  });

  test("unchanged: nothing is applied, but the text is the one in force", async (t) => {
    const bed = new Bed(t);
    const text = `# other words\n${textOf()}`;
    const { outcome, generation } = await bed.changes.reload({ text, file: "next.yaml" }, BY);
    assert.deepEqual([outcome, generation, bed.calls], ["unchanged", 1, []]);
    assert.deepEqual([bed.changes.document.text, bed.changes.status.file], [text, "next.yaml"]);
    const [entry] = await bed.audit();
    assert.deepEqual([entry!.outcome, entry!.detail], ["unchanged", "no difference"]);
    assert.equal(readFileSync(join(bed.folder, "state", "last-good.yaml"), "utf8"), text);
  });

  test("warnings come with their place", async (t) => {
    const bed = new Bed(t);
    const more = { pools: { web: { backends: [{ name: "a", address: "10.0.0.1" }] } } };
    const { warnings } = await bed.reload({ more });
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /^next\.yaml:\d+:\d+: pools\.web\.backends: only one backend takes flows/);
  });

  suite("refused", () => {
    test("CONFIG: all errors with line and column", async (t) => {
      const bed = new Bed(t);
      const request = bed.changes.reload({ text: "pools: 5\nvisp: []\n", file: "next.yaml" }, BY);
      await bed.refused(
        request,
        "CONFIG",
        /^next\.yaml:1:1: vips: is missing.*\nnext\.yaml:1:8: pools: 5 is .*\nnext\.yaml:2:1: visp: unknown key/,
      );
      assert.deepEqual(bed.calls, []);
      await bed.reload({ names: ["a"] });
      assert.equal(bed.changes.status.refused, undefined, "what was refused before is over");
    });

    test("CONFIG: the machine's own file is not there", async (t) => {
      const bed = new Bed(t);
      rmSync(bed.own);
      await bed.refused(
        bed.changes.reload({ file: bed.own }, BY),
        "CONFIG",
        /own\.yaml: there is no such file/,
      );
    });

    test("RESTART_NEEDED: keys, values and what to do", async (t) => {
      const bed = new Bed(t);
      const more = { workers: { batch: 2 }, frames: { count: 8192 } };
      const says =
        /^next\.yaml: a running machine cannot change frames\.count \(.* > 8192\), workers\.batch \(64 > 2\): restart it/;
      await bed.refused(bed.reload({ more }), "RESTART_NEEDED", says);
      await bed.refused(bed.reload({ more }, true), "RESTART_NEEDED", says);
      assert.deepEqual(bed.calls, []);
    });

    test("MAX_MOVED: by what is in force, not by what is to come; forced it is done", async (t) => {
      const bed = new Bed(t, { maxMoved: "5%" });
      const parts = { names: ["a", "b", "c"], maxMoved: "100%" };
      const says =
        /^next\.yaml: more would move than change\.maxMoved in force \(5\.0%\) allows: web changed \(2\d\.\d% moved\);.*plan --live.*--force/;
      await bed.refused(bed.reload(parts), "MAX_MOVED", says);
      assert.deepEqual(bed.calls, []);
      await bed.reload({ names: ["a", "b", "c", "d"], maxMoved: "1%" });
      await bed.refused(bed.reload(parts), "MAX_MOVED", /in force \(1\.0%\)/);
      const { outcome } = await bed.reload(parts, true);
      assert.deepEqual([outcome, bed.names()], ["applied", "abc"]);
      await bed.reload({ names: ["a"] });
      assert.equal(bed.names(), "a", "now 100% may move");
    });

    test("MAX_MOVED: weights that were set by hand are what it moves from", async (t) => {
      const bed = new Bed(t, { maxMoved: "2%", weights: { a: 2 } });
      bed.weights = { a: 1, b: 1, c: 1, d: 1 };
      await bed.refused(bed.reload({ maxMoved: "2%", weights: { a: 4 } }), "MAX_MOVED", /web changed/);
      await bed.reload({ maxMoved: "2%", weights: { a: 1 } });
      assert.equal(bed.changes.status.generation, 2, "by hand it weighs 1 already: nothing moves");
    });

    test("many VIPs: five are named, the others counted", async (t) => {
      const bed = new Bed(t, { maxMoved: "1%" });
      const vips = Array.from({ length: 8 }, (_, i) => ({
        name: `v${i}`,
        address: `10.99.0.${i + 1}`,
        port: 80,
        pool: "web",
      }));
      await bed.reload({ maxMoved: "1%", more: { vips } }, true);
      await bed.refused(
        bed.reload({ names: ["a"], maxMoved: "1%", more: { vips } }),
        "MAX_MOVED",
        /v0 .*, v1 .*, v2 .*, v3 .*, v4 changed \(7\d\.\d% moved\) and 3 more;/,
      );
    });

    test("no room: as the engine says", async (t) => {
      const bed = new Bed(t);
      bed.applying = () => {
        throw new GuidewayError("TABLE_HEAP", "no room: restart");
      };
      await bed.refused(bed.reload({ names: ["a"] }), "TABLE_HEAP", /^no room: restart$/);
      assert.deepEqual(bed.calls, []);
    });

    test("what nobody foresaw is a defect, told as such", async (t) => {
      const bed = new Bed(t);
      bed.applying = () => {
        throw new TypeError("x is not a function");
      };
      await assert.rejects(bed.reload({ names: ["a"] }), TypeError);
      assert.equal(bed.changes.status.refused!.code, "INTERNAL");
      bed.applying = () => {};
      await bed.reload({ names: ["a"] });
      assert.equal(bed.names(), "a");
    });
  });

  test("ROLLED_BACK: the self-test fails, and what was in force is so again", async (t) => {
    const bed = new Bed(t);
    bed.problems = ["worker 0: came back wrong", "worker 1: no answer"];
    await bed.refused(
      bed.reload({ names: ["a"] }),
      "ROLLED_BACK",
      /^next\.yaml: .*failed its self-test \(worker 0: came back wrong; worker 1: no answer\): the one before is in force again$/,
    );
    assert.deepEqual(bed.calls, ["apply a", "verify", "undo abcd"]);
    await bed.history.settled();
    assert.throws(() => readFileSync(join(bed.folder, "state", "last-good.yaml")), { code: "ENOENT" });
    // The next change is compared with what is in force.
    bed.problems = [];
    assert.equal((await bed.reload({})).outcome, "unchanged");
  });

  test("ROLLBACK_FAILED: what is in force is the new one, and everything says so", async (t) => {
    const bed = new Bed(t);
    bed.problems = ["worker 0: no answer"];
    bed.undoing = () => {
      throw new GuidewayError("TABLE_HEAP", "no room");
    };
    await assert.rejects(bed.reload({ names: ["a"] }), {
      code: "ROLLBACK_FAILED",
      message:
        /worker 0: no answer\), and the one before cannot be put in force again \(no room\): restart guideway$/,
    });
    const { generation, file, refused } = bed.changes.status;
    assert.deepEqual(
      [generation, file, refused!.code, bed.names()],
      [2, "next.yaml", "ROLLBACK_FAILED", "a"],
    );
    assert.equal((await bed.audit()).at(-1)!.outcome, "applied");
    bed.problems = [];
    bed.undoing = () => {};
    const { outcome } = await bed.reload({ names: ["a"] }, false, "again.yaml");
    assert.equal(outcome, "unchanged");
  });

  test("one at a time, in the order in which they were asked for, whatever becomes of each", async (t) => {
    const bed = new Bed(t);
    let under = 0;
    bed.applying = async () => {
      assert.equal(++under, 1, "nobody else is at it");
      for (let i = 0; i < 5; i++) await new Promise(setImmediate);
      under--;
    };
    const results = await Promise.allSettled([
      bed.reload({ names: ["a"] }),
      bed.changes.one(BY, "drain", "web/a", async () => {
        bed.calls.push("drain");
        return { result: 1, detail: "2 active flows" };
      }),
      bed.changes.reload({ text: "nonsense", file: "bad.yaml" }, BY),
      bed.reload({ names: ["b"] }),
      bed.reload({ names: ["b"] }),
      bed.changes.one(BY, "weight", "web/b", async () => {
        bed.calls.push("weight");
        throw new GuidewayError("UNKNOWN", "there is no backend");
      }),
    ]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ["fulfilled", "fulfilled", "rejected", "fulfilled", "fulfilled", "rejected"],
    );
    assert.deepEqual(bed.calls, [
      ...["apply a", "verify", "keep", "drain"],
      ...["apply b", "verify", "keep", "weight"],
    ]);
    const outcomes = (await bed.audit()).map(({ action, outcome }) => `${action} ${outcome}`);
    assert.deepEqual(outcomes, [
      "reload applied",
      "drain applied",
      "reload refused",
      "reload applied",
      "reload unchanged",
      "weight refused",
    ]);
    assert.equal(bed.changes.status.generation, 3);
  });

  test("the file is read when its turn comes, not when it was asked for", async (t) => {
    const bed = new Bed(t);
    const { promise, resolve } = Promise.withResolvers<void>();
    bed.applying = () => promise;
    const first = bed.reload({ names: ["a"] });
    const second = bed.changes.reload({ file: bed.own }, { by: "signal" });
    writeFileSync(bed.own, textOf({ names: ["b"] }));
    resolve();
    await Promise.all([first, second]);
    assert.equal(bed.names(), "b");
    assert.deepEqual(
      (await bed.audit()).map(({ target }) => target),
      ["next.yaml", bed.own],
    );
  });

  test("stopped: the change under way ends, those that wait and those that come are refused", async (t) => {
    const bed = new Bed(t);
    const { promise, resolve } = Promise.withResolvers<void>();
    bed.applying = () => promise;
    const running = bed.reload({ names: ["a"] });
    const waiting = bed.reload({ names: ["b"] });
    // Until it is under way.
    for (let i = 0; i < 5; i++) await new Promise(setImmediate);
    let closed = false;
    const close = bed.changes.stop().then(() => {
      closed = true;
    });
    for (let i = 0; i < 5; i++) await new Promise(setImmediate);
    assert.equal(closed, false, "it waits for the one under way");
    resolve();
    await running;
    await assert.rejects(waiting, { code: "STOPPING" });
    await close;
    await assert.rejects(bed.reload({ names: ["c"] }), { code: "STOPPING", message: /the machine stops/ });
    assert.equal(bed.names(), "a");
  });

  test("a text that is larger than any configuration is refused at once", async (t) => {
    const bed = new Bed(t);
    const text = "# comment\n".repeat((17 << 20) / 10);
    const startMs = performance.now();
    const request = bed.changes.reload({ text, file: "large.yaml" }, BY);
    await bed.refused(request, "CONFIG", /^large\.yaml: the file is larger than 16 MiB/);
    assert.ok(performance.now() - startMs < 1000);
  });
});
