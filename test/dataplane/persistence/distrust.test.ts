// What is in the folder is not believed: other people's, another program's, damaged, half written. It is set aside, the log says
// why, and the machine begins without; it never crashes, and no flow goes to a backend that is not its own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import * as L from "../../../assembly/layout.ts";
import { parseConfig } from "../../../src/config/load.ts";
import {
  decodeHeader,
  encodeHeader,
  type Header,
  headerOf,
  Unsound,
} from "../../../src/dataplane/persistence/header.ts";
import { KeptFlows } from "../../../src/dataplane/persistence/kept-flows.ts";
import type { Logger } from "../../../src/log.ts";
import { entries } from "../../engine/entries.ts";
import { Rig } from "../../engine/rig.ts";
import { runs } from "../../runs.ts";
import { random } from "../random.ts";
import { document, Lives } from "./life.ts";

const WEB = "10.99.0.1";
const WRITER = fileURLToPath(new URL("./writer.ts", import.meta.url));
const CONFIG = parseConfig(stringify(document()), "distrust.yaml").config;
const SILENT = { info() {}, warn() {}, error() {} } as unknown as Logger;

/** What a process has left that ended with flows. */
function left(lives: Lives, end: "stop" | "kill" = "stop") {
  const life = lives.begin();
  life.pass(WEB, "S");
  life[end]();
  const header = join(lives.folder, "flows.json");
  const text = readFileSync(header, "utf8");
  const fields = JSON.parse(text.slice(text.indexOf("\n") + 1)) as Header;
  return { header, text, fields, table: join(lives.folder, `flows-${fields.table}`) };
}

/** Begins without the flows, having said why. */
function checkRefused(lives: Lives, why: RegExp): void {
  const next = lives.begin();
  const { setAside, kept, persistent } = next.kept.status();
  assert.match(setAside?.reason ?? "nothing was set aside", why);
  assert.deepEqual([kept, persistent, next.entries], [0, true, 0]);
  assert.deepEqual(
    next.warnings().map(({ level, reason }) => [level, reason]),
    [["warn", setAside!.reason]],
  );
  assert.ok(next.pass(WEB, "S").every(({ reason }) => reason === "new"));
  next.stop();
  const after = lives.begin();
  assert.deepEqual([after.kept.status().kept, after.warnings()], [500, []], "the next one is fine");
  after.stop();
}

suite("set aside", () => {
  const cases: Record<string, [why: RegExp, damage: (of: ReturnType<typeof left>) => void]> = {
    "an empty header": [/header's checksum is wrong/, ({ header }) => truncateSync(header)],
    "half a header": [/header's checksum is wrong/, ({ header }) => truncateSync(header, 300)],
    "a header that is no JSON": [
      /checksum is wrong/,
      ({ header }) => writeFileSync(header, Buffer.from([0xff, 0xfe, 0x0a, 0x80])),
    ],
    "a header that others may read": [
      /may use flows\.json \(mode 644\)/,
      ({ header }) => chmodSync(header, 0o644),
    ],
    "a table that others may write": [
      /may use flows-.* \(mode 620\)/,
      ({ table }) => chmodSync(table, 0o620),
    ],
    "a link in place of the header": [
      /header cannot be read: ELOOP/,
      ({ header }) => {
        renameSync(header, `${header}.real`);
        symlinkSync(`${header}.real`, header);
      },
    ],
    "a folder in place of the header": [
      /flows\.json is no regular file/,
      ({ header }) => {
        rmSync(header);
        mkdirSync(header, { mode: 0o700 });
      },
    ],
    "no table": [/table cannot be read: ENOENT/, ({ table }) => rmSync(table)],
    "a table that is too short": [
      /table has \d+ bytes, expected/,
      ({ table }) => truncateSync(table, L.PAGE * 3),
    ],
    "a table that is too long": [
      /table has \d+ bytes, expected/,
      ({ table }) => writeFileSync(table, "x", { flag: "a" }),
    ],
    "a table under another's name": [
      /is not the one that its header names/,
      ({ table }) => writeFileSync(table, Buffer.alloc(readFileSync(table).length)),
    ],
    "a table that changed after the end": [
      /table's checksum is wrong/,
      ({ table }) => {
        const bytes = readFileSync(table);
        bytes[bytes.length - 64 + L.WAY_FINGERPRINT]! ^= 1;
        writeFileSync(table, bytes);
      },
    ],
    "another layout": [
      /layout has version 99, this program's 1/,
      ({ header, fields }) => writeFileSync(header, encodeHeader({ ...fields, version: 99 as never })),
    ],
    "a backend twice": [
      /backends.*twice/,
      ({ header, fields }) => {
        fields.backends.named.push(["web\nb7\n10.0.0.27\n", 1]);
        writeFileSync(header, encodeHeader(fields));
      },
    ],
  };
  for (const [name, [why, damage]] of Object.entries(cases)) {
    test(name, (t) => {
      const lives = new Lives(t);
      damage(left(lives));
      checkRefused(lives, why);
    });
  }

  const root = { skip: process.geteuid!() === 0 ? false : "only root can give files away" };
  test("a table of somebody else's", root, (t) => {
    const lives = new Lives(t);
    chownSync(left(lives).table, 65_534, 65_534);
    checkRefused(lives, /flows-.* belongs to user 65534, expected 0/);
  });

  test("a flow of a backend that never was, after a kill", (t) => {
    const lives = new Lives(t);
    const { table, fields } = left(lives, "kill");
    const bytes = readFileSync(table);
    const line = fields.offset + L.SHARDS * L.SHARD_BYTES + 5 * L.LINE;
    bytes.writeUInt16LE(4321, line + L.WAY_BACKEND);
    writeFileSync(table, bytes);
    checkRefused(lives, /flow in shard 0, line 5 that no process has written/);
  });

  test("a clock of the future, after a kill", (t) => {
    const lives = new Lives(t);
    const { table, fields } = left(lives, "kill");
    const bytes = readFileSync(table);
    bytes.writeBigUInt64LE(1n << 50n, fields.offset + 7 * L.SHARD_BYTES + L.SHARD_SWEPT_AT);
    writeFileSync(table, bytes);
    checkRefused(lives, /clock lies in the future/);
  });

  test("more services than there are numbers, together with those that are new", (t) => {
    const lives = new Lives(t);
    const { header, fields } = left(lives);
    const used = new Set(fields.services.named.map(([, number]) => number));
    for (let number = 1; number <= L.MAX_SERVICES; number++)
      if (!used.has(number)) fields.services.named.push([`gone ${number}`, number]);
    fields.services.named.shift();
    writeFileSync(header, encodeHeader(fields));
    const next = lives.begin();
    assert.equal(next.kept.status().kept, 500, "as many as there are");
    next.stop();
    rmSync(lives.folder, { recursive: true });
    const { header: again, fields: more } = left(lives);
    for (let number = 1; number <= L.MAX_SERVICES; number++)
      if (!used.has(number)) more.services.named.push([`gone ${number}`, number]);
    more.services.named[0]![0] = "another";
    writeFileSync(again, encodeHeader(more));
    checkRefused(lives, /too many together/);
  });

  test("only what was set aside last is there", (t) => {
    const lives = new Lives(t);
    for (let i = 0; i < 3; i++) truncateSync(left(lives).header);
    lives.begin();
    const aside = lives.files().filter((name) => name.includes(".set-aside-"));
    assert.equal(aside.length, 2);
    assert.ok(aside.some((name) => /^flows\.json\.set-aside-\d{4}-\d\d-\d\dT[\d.-]+Z$/.test(name)));
    assert.ok(aside.some((name) => /^flows-[0-9a-f]{32}\.set-aside-/.test(name)));
  });
});

suite("refused", () => {
  const refuses = (lives: Lives, why: RegExp) =>
    assert.throws(() => lives.begin(), { code: "PERSIST", message: why });

  test("a folder that others may write to", (t) => {
    const lives = new Lives(t);
    mkdirSync(lives.folder);
    chmodSync(lives.folder, 0o777);
    refuses(lives, /conntrack\.persist: .* others than its owner may write to it \(mode 777\), expected 700/);
  });

  test("a link, and a file", (t) => {
    const lives = new Lives(t);
    symlinkSync("/tmp", lives.folder);
    refuses(lives, /it is no folder/);
    rmSync(lives.folder);
    writeFileSync(lives.folder, "");
    refuses(lives, /cannot be used: EEXIST/);
  });

  test("a folder that another process uses", (t) => {
    const lives = new Lives(t);
    const first = lives.begin();
    refuses(lives, new RegExp(`another process uses it \\(${process.pid}\\)`));
    first.stop();
    lives.begin();
  });
});

suite("damaged at random", () => {
  const next = random(runs.seed);
  const below = (end: number) => Math.floor(next() * end);

  test("headers: another byte, another length", (t) => {
    const lives = new Lives(t);
    const { header, text } = left(lives);
    for (let i = 0; i < runs.persistence.headers / 10; i++) {
      const bytes = Buffer.from(text);
      const at = below(bytes.length);
      bytes[at]! ^= 1 << below(8);
      writeFileSync(header, i & 1 ? bytes : bytes.subarray(0, at), { mode: 0o600 });
      assert.throws(() => decodeHeader(readFileSync(header, "utf8")), Unsound);
    }
    checkRefused(lives, /header's checksum is wrong/);
  });

  test("headers whose checksum is right: any value in any place", () => {
    const values = [null, -1, 0, 1, 2.5, 65_536, 2 ** 53, 1e300, "", "x", [], {}, [[]], true, "0".repeat(32)];
    let sound = 0;
    for (let i = 0; i < runs.persistence.headers; i++) {
      const fields = structuredClone(SOUND) as unknown as Record<string, unknown>;
      let at = fields;
      for (;;) {
        const keys = Object.keys(at);
        const key = keys[below(keys.length)]!;
        const inner = at[key];
        if (typeof inner === "object" && inner !== null && Object.keys(inner).length > 0 && below(3) > 0) {
          at = inner as Record<string, unknown>;
          continue;
        }
        if (below(4) === 0) delete at[key];
        else at[key] = values[below(values.length)];
        break;
      }
      try {
        decodeHeader(encodeHeader(fields as unknown as Header));
        sound++;
      } catch (error) {
        assert.ok(error instanceof Unsound, String(error));
      }
    }
    assert.ok(sound > 0 && sound < runs.persistence.headers / 2, `${sound} were sound`);
  });

  test("tables after a kill: never a crash, never a backend that is not there", (t) => {
    const lives = new Lives(t);
    const { header, text, table } = left(lives, "kill");
    const whole = readFileSync(table);
    let believed = 0;
    for (let i = 0; i < runs.persistence.tables; i++) {
      const bytes = Buffer.from(whole);
      for (let n = 0; n < 1 + (i % 40); n++) bytes[L.PAGE + below(bytes.length - L.PAGE)] = below(256);
      for (const name of lives.files()) rmSync(join(lives.folder, name));
      writeFileSync(header, text, { mode: 0o600 });
      writeFileSync(table, bytes, { mode: 0o600 });
      const life = lives.begin();
      believed += Number(life.kept.status().setAside === undefined);
      assert.deepEqual(life.faults(), []);
      const fates = life.pass(WEB, "A");
      assert.ok(fates.every(({ backend }) => backend !== undefined));
      assert.deepEqual(life.faults(), []);
      life.kill();
    }
    assert.ok(believed > 0 && believed < runs.persistence.tables, `${believed} were believed`);
  });

  test("processes killed while they write leave nothing that is not whole", async (t) => {
    const lives = new Lives(t);
    for (let i = 0; i < runs.persistence.kills; i++) {
      const writer = spawn(process.execPath, [WRITER, lives.folder], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const ended = once(writer, "exit");
      t.after(() => writer.kill("SIGKILL"));
      await once(writer.stdout!, "data");
      await sleep(below(20));
      writer.kill("SIGKILL");
      await ended;
      const kept = new KeptFlows(lives.folder, CONFIG, SILENT);
      const rig = new Rig(document(), { keep: () => kept });
      const { setAside, kept: flows } = kept.status();
      assert.equal(setAside, undefined);
      assert.ok(flows >= 500, `${flows} flows`);
      assert.equal(flows, entries(rig.engine.arena).length);
      kept.close();
    }
  });
});

/** A header as a process writes it. */
const SOUND = headerOf({
  table: "0123456789abcdef0123456789abcdef",
  offset: 8192,
  shardLines: 256,
  secret: ["0000000000000001", "0000000000000002", "0000000000000003", "0000000000000004"],
  timeouts: { new: 60_000, established: 900_000, closing: 30_000, udp: 30_000 },
  zero: { boot: "a", monotonicMs: -5.5, wallMs: 1e12 },
  clockMs: 7,
  backends: { named: [["web\nb1\n10.0.0.1\n", 1]], resting: [2, 3] },
  services: { named: [["10.99.0.1 6 80", 1]], resting: [] },
  digest: "0".repeat(64),
});
