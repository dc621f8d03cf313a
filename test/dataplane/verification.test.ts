// What is compared with what, while what is published changes.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as L from "../../assembly/layout.ts";
import { parseConfig } from "../../src/config/load.ts";
import { Verification } from "../../src/dataplane/verification.ts";
import { OfflineEngine } from "../../src/io/offline.ts";

const CONFIG = `
conntrack: { flows: 1000 }
pools:
  web: { tableSize: 251, backends: [{ name: a, address: 10.0.0.1 }, { name: b, address: 10.0.0.2 }] }
vips: [{ name: web, address: 10.99.0.1, port: 80, pool: web }]
`;

suite("verification", () => {
  test("a table in the place of an older one, replaced in the middle of a round, is no damage", async (t) => {
    const offline = new OfflineEngine(parseConfig(CONFIG, "c.yaml").config, { inline: true });
    t.after(() => offline.close());
    const { arena, directory, publication } = offline.engine;
    const cell = directory.poolRecord("web") + L.POOL_TABLE;
    const verification = new Verification(arena, directory);
    const block = arena.word(cell);
    // The worker is past its start, so that each replaced block is free at once.
    await offline.process([{ bytes: new Uint8Array(60), timeMs: 10 }]);
    const { id } = directory.backend("web", "a");
    verification.look(1);
    for (const weight of [2, 3, 4, 5]) {
      directory.update([{ id, weight }]);
      await offline.process([{ bytes: new Uint8Array(60), timeMs: 10 }]);
      publication.reclaim();
      if (arena.word(cell) === block) break;
    }
    assert.equal(arena.word(cell), block, "the place of the first table is used again");
    const slots = [...directory.table("web").slots];
    assert.deepEqual(verification.look(1 << 20), []);
    assert.deepEqual(verification.look(1 << 20), []);
    // It is compared all the same: a byte of it that differs is found, and repaired.
    arena.u16[(block + L.TABLE_SLOTS) / 2 + 7]! ^= 0x100;
    const [found] = [...verification.look(1 << 20), ...verification.look(1 << 20)];
    assert.match(found!.what, /^the table of pool web: slot 7: a byte is \d+, expected \d+$/);
    found!.repair();
    assert.deepEqual([...directory.table("web").slots], slots);
    assert.equal(arena.u16[(arena.word(cell) + L.TABLE_SLOTS) / 2 + 7], slots[7]);
  });
});
