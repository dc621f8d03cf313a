// Processes that follow each other: what the next one knows of the flows of the one before, and what it must not believe.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { stringify } from "yaml";
import { parseConfig } from "../../../src/config/load.ts";
import { Engine } from "../../../src/dataplane/engine.ts";
import { KeptFlows } from "../../../src/dataplane/persistence/kept-flows.ts";
import type { Logger } from "../../../src/log.ts";
import { backends, document, type Fate, Lives } from "./life.ts";

const WEB = "10.99.0.1";
const WEB6 = "fd99::1";

/** How many of some packets had a reason. */
const reasons = (fates: Fate[]) => {
  const counts: Record<string, number> = {};
  for (const { reason } of fates) counts[reason] = (counts[reason] ?? 0) + 1;
  return counts;
};
const backendsOf = (fates: Fate[]) => fates.map(({ backend }) => backend);

for (const end of ["stop", "kill"] as const) {
  suite(`after a ${end}`, () => {
    test("every flow is where it was, though the table would send it elsewhere", (t) => {
      const lives = new Lives(t);
      const first = lives.begin();
      const opened = [first.pass(WEB, "S"), first.pass(WEB6, "S"), first.pass(WEB, "udp", { port: 53 })];
      first.pass(WEB, "A", { flows: 100 });
      first[end]();
      const second = lives.begin((next) => {
        next.pools.web!.backends.unshift(...backends(5, 6, 7));
      });
      assert.deepEqual(second.warnings(), []);
      assert.deepEqual(second.faults(), []);
      assert.equal(second.kept.status().kept, 1500);
      const later = [second.pass(WEB, "A"), second.pass(WEB6, "A"), second.pass(WEB, "udp", { port: 53 })];
      for (const [i, fates] of later.entries()) {
        assert.deepEqual(reasons(fates), { hit: 500 });
        assert.deepEqual(backendsOf(fates), backendsOf(opened[i]!));
      }
      const fresh = second.pass(WEB, "S", { first: 1000 });
      assert.deepEqual(reasons(fresh), { new: 500 });
      const elsewhere = fresh.filter(({ backend }) => ["web/b5", "web/b6", "web/b7"].includes(backend!));
      assert.ok(elsewhere.length > 150, `${elsewhere.length} new flows went to new backends`);
    });

    test("flows of a backend that has gone are new ones, and its id may be another's", (t) => {
      const lives = new Lives(t);
      const first = lives.begin();
      const opened = first.pass(WEB, "S");
      first[end]();
      const second = lives.begin((next) => {
        // Ids go by the order: every one is another's now.
        next.pools.web!.backends = [...backends(7), ...backends(4, 3, 2)];
      });
      const gone = opened.filter(({ backend }) => backend === "web/b1").length;
      assert.ok(gone > 50);
      assert.deepEqual(
        { ...second.kept.status(), folder: "" },
        {
          ...{ folder: "", persistent: true, error: undefined, setAside: undefined },
          kept: 500 - gone,
          expired: 0,
          forsaken: gone,
          crowded: 0,
        },
      );
      const later = second.pass(WEB, "A");
      assert.deepEqual(reasons(later), { hit: 500 - gone, new: gone });
      for (const [i, { reason, backend }] of later.entries()) {
        if (opened[i]!.backend === "web/b1") assert.equal(reason, "new");
        else assert.equal(backend, opened[i]!.backend);
      }
      assert.deepEqual(second.faults(), []);
    });

    test("the same name at another address is another backend", (t) => {
      const lives = new Lives(t);
      const first = lives.begin();
      const opened = first.pass(WEB, "S");
      first[end]();
      const second = lives.begin((next) => {
        next.pools.web!.backends[0]!.address = "10.0.0.99";
      });
      const gone = opened.filter(({ backend }) => backend === "web/b1").length;
      assert.equal(second.kept.status().forsaken, gone);
    });

    test("a VIP before the others takes nothing of theirs, and they keep their flows", (t) => {
      const lives = new Lives(t);
      const first = lives.begin();
      const opened = first.pass(WEB, "S");
      first[end]();
      const second = lives.begin((next) => {
        next.vips.unshift({ name: "first", address: "10.99.0.9", port: 80, pool: "other" });
      });
      const strange = second.pass("10.99.0.9", "A");
      assert.deepEqual(reasons(strange), { new: 500 });
      assert.ok(strange.every(({ backend }) => backend!.startsWith("other/")));
      const later = second.pass(WEB, "A");
      assert.deepEqual(reasons(later), { hit: 500 });
      assert.deepEqual(backendsOf(later), backendsOf(opened));
    });

    test("the number of a VIP that has gone is nobody's while its flows may be there, however often it ends", (t) => {
      const lives = new Lives(t);
      const first = lives.begin();
      first.pass(WEB, "S");
      first[end]();
      const gone = (next: { vips: { address: string }[] }) => {
        next.vips = next.vips.filter(({ address }) => address !== WEB) as never;
      };
      for (let i = 0; i < 3; i++) lives.begin(gone)[end]();
      const other = lives.begin((next) => {
        gone(next);
        next.vips.unshift({ name: "first", address: "10.99.0.9", port: 80, pool: "other" });
      });
      assert.deepEqual(reasons(other.pass("10.99.0.9", "A")), { new: 500 });
      other[end]();
      const back = lives.begin();
      assert.deepEqual(reasons(back.pass(WEB, "A")), { new: 500 }, "it is another VIP by now");
      assert.deepEqual(back.faults(), []);
    });

    test("what changed while it ran is known", (t) => {
      const lives = new Lives(t);
      const first = lives.begin();
      const opened = first.pass(WEB, "S");
      const change = (next: Parameters<Parameters<typeof first.apply>[0]>[0]) => {
        next.pools.web!.backends = backends(9, 2, 3, 4);
        next.vips.unshift({ name: "first", address: "10.99.0.9", port: 80, pool: "other" });
      };
      first.apply(change);
      const more = first.pass(WEB, "S", { first: 500 });
      const most = first.pass("10.99.0.9", "S");
      first[end]();
      const second = lives.begin(change);
      const gone = opened.filter(({ backend }) => backend === "web/b1").length;
      assert.deepEqual(reasons(second.pass(WEB, "A")), { hit: 500 - gone, new: gone });
      assert.deepEqual(backendsOf(second.pass(WEB, "A", { first: 500 })), backendsOf(more));
      assert.deepEqual(backendsOf(second.pass("10.99.0.9", "A")), backendsOf(most));
      assert.deepEqual(second.faults(), []);
    });

    test("time goes on: idle flows expire as if it had not ended", (t) => {
      const lives = new Lives(t);
      const first = lives.begin();
      first.pass(WEB, "S");
      first.pass(WEB, "A", { flows: 200 });
      first.pass(WEB, "FA", { flows: 100 });
      first.pass(WEB, "udp", { port: 53, flows: 50 });
      first[end]();
      lives.nowMs += 20_000;
      const second = lives.begin();
      assert.equal(second.kept.status().expired, 0);
      second[end]();
      lives.nowMs += 20_000;
      // 40 s: closing and UDP are over, new ones are not.
      const third = lives.begin();
      assert.deepEqual([third.kept.status().kept, third.kept.status().expired], [400, 150]);
      third[end]();
      lives.nowMs += 30_000;
      const fourth = lives.begin();
      assert.deepEqual([fourth.kept.status().kept, fourth.kept.status().expired], [100, 300]);
      assert.deepEqual(fourth.faults(), []);
      fourth[end]();
      lives.nowMs += 15 * 60_000;
      assert.deepEqual(lives.begin().entries, 0);
    });

    test("however often it ends, an idle flow lives no longer", (t) => {
      const lives = new Lives(t);
      const first = lives.begin();
      first.pass(WEB, "S");
      first[end]();
      let kept = 500;
      let lastedMs = 0;
      while (kept > 0 && lastedMs < 120_000) {
        lives.nowMs += 1500;
        lastedMs += 1500;
        const next = lives.begin();
        kept = next.kept.status().kept;
        next[end]();
      }
      assert.ok(lastedMs >= 60_000 && lastedMs <= 67_500, `${lastedMs} ms of a timeout of 60 s`);
    });

    test("other timeouts hold for what was there", (t) => {
      const lives = new Lives(t);
      const first = lives.begin();
      first.pass(WEB, "S");
      lives.nowMs += 25_000;
      first.pass(WEB, "S", { first: 500 });
      first[end]();
      lives.nowMs += 1000;
      const second = lives.begin((next) => {
        next.conntrack.timeouts.new = "20s";
      });
      assert.deepEqual([second.kept.status().kept, second.kept.status().expired], [500, 500]);
      assert.deepEqual(reasons(second.pass(WEB, "A", { first: 500 })), { hit: 500 });
    });

    test("a table of another size takes the flows over, as many as it has room for", (t) => {
      const lives = new Lives(t);
      let last = lives.begin();
      const opened = last.pass(WEB, "S", { flows: 2000 });
      const opened6 = last.pass(WEB6, "S", { flows: 2000 });
      for (const flows of [2_000_000, 300_000, 1000]) {
        last[end]();
        last = lives.begin((next) => {
          next.conntrack.flows = flows;
        });
        assert.deepEqual([last.kept.status().kept, last.faults(), last.warnings()], [4000, [], []]);
        assert.deepEqual(backendsOf(last.pass(WEB, "A", { flows: 2000 })), backendsOf(opened));
        const later = last.pass(WEB6, "A", { flows: 2000 });
        assert.deepEqual([reasons(later), backendsOf(later)], [{ hit: 2000 }, backendsOf(opened6)]);
      }
    });
  });
}

suite("what a process leaves", () => {
  test("is one header and one table, its own alone", (t) => {
    const lives = new Lives(t);
    for (let i = 0; i < 3; i++) {
      const life = lives.begin();
      life.pass(WEB, "S", { flows: 10 });
      const [table, header, ...more] = lives.files().sort();
      assert.deepEqual([/^flows-[0-9a-f]{32}$/.test(table!), header, more], [true, "flows.json", []]);
      for (const name of ["", table!, header!]) {
        const { mode } = statSync(join(lives.folder, name));
        assert.equal(mode & 0o777, name === "" ? 0o700 : 0o600);
      }
      life[i === 0 ? "stop" : "kill"]();
    }
  });

  test("is what was there before, while it has not begun", (t) => {
    const lives = new Lives(t);
    const first = lives.begin();
    first.pass(WEB, "S");
    first.stop();
    const { config } = parseConfig(stringify(document()), "unbegun.yaml");
    const log = { info() {}, warn() {}, error() {} } as unknown as Logger;
    const unbegun = new KeptFlows(lives.folder, config, log, lives.now);
    unbegun.map(new Engine(config, { queues: 1, workers: 1 }, [1n, 2n, 3n, 4n], unbegun));
    unbegun.close();
    assert.equal(lives.begin().kept.status().kept, 500);
  });

  test("keeps the secret, and is the only one that knows it", (t) => {
    const lives = new Lives(t);
    const first = lives.begin();
    const { secret } = first.kept;
    first.stop();
    const second = lives.begin();
    assert.deepEqual(second.kept.secret, secret);
    second.stop();
    rmSync(lives.folder, { recursive: true });
    assert.notDeepEqual(lives.begin().kept.secret, secret);
  });

  test("is of this boot or another: then clocks on the wall count", (t) => {
    const lives = new Lives(t);
    const first = lives.begin();
    first.pass(WEB, "S");
    first.stop();
    lives.boot = "two";
    lives.nowMs -= 500_000;
    const second = lives.begin();
    assert.deepEqual([second.kept.status().kept, second.warnings()], [500, []], "a clock that was set back");
    second.stop();
    lives.nowMs += 64_000;
    assert.equal(lives.begin().kept.status().expired, 500);
  });

  test("that cannot be written down is not believed, and is again when it can", (t) => {
    const lives = new Lives(t);
    const first = lives.begin();
    first.pass(WEB, "S");
    const blocker = join(lives.folder, "flows.json.new");
    mkdirSync(join(blocker, "full"), { recursive: true });
    first.apply((next) => {
      next.pools.web!.backends = backends(9, 2, 3, 4);
    });
    assert.equal(first.kept.status().persistent, false);
    assert.match(first.kept.status().error!, /flows\.json\.new/);
    assert.deepEqual(
      first.warnings().map(({ level, msg }) => [level, msg]),
      [["error", "connections will not outlive this process"]],
    );
    assert.equal(existsSync(join(lives.folder, "flows.json")), false);
    rmSync(blocker, { recursive: true });
    first.apply((next) => {
      next.pools.web!.backends = backends(9, 2, 3);
    });
    assert.deepEqual([first.kept.status().persistent, first.kept.status().error], [true, undefined]);
    first.kill();
    const second = lives.begin((next) => {
      next.pools.web!.backends = backends(9, 2, 3);
    });
    assert.ok(second.kept.status().kept > 200);
    assert.deepEqual(second.warnings(), []);
  });
});
