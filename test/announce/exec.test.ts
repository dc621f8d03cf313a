// Announcing by a real command: a shell script that keeps a journal.
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { announcementOf } from "../../src/announce/announcer.ts";
import { createReconciler } from "../../src/announce/create.ts";
import type { Reconciler } from "../../src/announce/reconciler.ts";
import { eventually, keptLog, newFolder } from "./gobgpd.ts";

const A = "10.99.0.1";
const SIX = "fd99::1";

let folder: string;
let announcer: Reconciler;
let lines: string[];

beforeEach(() => {
  folder = newFolder();
});
afterEach(async () => {
  // Whatever the test did to it, the script lets go of everything now.
  writeFileSync(join(folder, "script"), "exit 0\n");
  await announcer.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** An announcer whose commands are this shell text, with the action and more as arguments; it runs in `folder`. */
function create(script: string, { timeout = 5000, vips = [A, SIX], parameters = ["{prefix}"] } = {}): void {
  writeFileSync(join(folder, "script"), `cd ${folder}\n${script}\n`);
  const command = (action: string) => ["/bin/sh", join(folder, "script"), action, ...parameters];
  const { log, lines: kept } = keptLog();
  lines = kept;
  announcer = createReconciler(
    {
      machine: { name: "lb-1", mac: "02:bb:00:00:00:01", address: "10.0.0.11" },
      vips: vips.map((address) => ({ address })),
      announce: {
        exec: { announce: command("announce"), withdraw: command("withdraw"), timeout },
        communities: [65_000 * 65_536 + 1, 65_000 * 65_536 + 2],
        drain: 0,
      },
    },
    log,
  );
}

const journal = () => {
  const file = join(folder, "journal");
  return existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n") : [];
};

test("arguments and environment say everything, and no shell reads them", async () => {
  const words = [
    "{address}",
    "{length}",
    "{family}",
    "{nextHop}",
    "{communities}",
    "$(touch evil) {prefix}{prefix}",
  ];
  create(
    'for word; do printf "%s|" "$word"; done >>"journal"; env | grep ^GUIDEWAY_ | grep -v ^GUIDEWAY_TEST= | sort | paste -sd , >>journal',
    {
      vips: [A],
      parameters: words,
    },
  );
  announcer.want([announcementOf(A)]);
  await announcer.settled();
  const env = (action: string) =>
    [
      `GUIDEWAY_ACTION=${action}`,
      `GUIDEWAY_ADDRESS=${A}`,
      "GUIDEWAY_COMMUNITIES=65000:1,65000:2",
      "GUIDEWAY_FAMILY=4",
      "GUIDEWAY_LENGTH=32",
      "GUIDEWAY_NEXT_HOP=10.0.0.11",
      `GUIDEWAY_PREFIX=${A}/32`,
    ].join();
  const line = (action: string) =>
    `${action}|${A}|32|4|10.0.0.11|65000:1,65000:2|$(touch evil) ${A}/32${A}/32|${env(action)}`;
  assert.deepEqual(journal(), [line("announce")]);
  announcer.want([]);
  await announcer.settled();
  assert.deepEqual(journal(), [line("announce"), line("withdraw")]);
  assert.equal(existsSync(join(folder, "evil")), false);
});

test("at the first wish, what an earlier process may have left is withdrawn", async () => {
  create('echo "$@" >>journal');
  announcer.want([announcementOf(SIX)]);
  await announcer.settled();
  assert.deepEqual(journal().sort(), [`announce ${SIX}/128`, `withdraw ${A}/32`]);
  const { kind, connected, error, announced, changes } = announcer.status();
  assert.deepEqual(
    { kind, connected, error, announced: announced.map(({ prefix }) => prefix), changes },
    {
      kind: "exec",
      connected: true,
      error: undefined,
      announced: [`${SIX}/128`],
      changes: { announced: 1, withdrawn: 1, failed: 0 },
    },
  );
});

test("a command that fails is told with its words, and tried again until it works", async () => {
  create('test -e works || { echo "no such\n neighbour" >&2; exit 3; }', { vips: [A] });
  announcer.want([announcementOf(A)]);
  await announcer.settled();
  assert.equal(announcer.status().error, "/bin/sh: exit code 3: no such neighbour");
  assert.deepEqual(announcer.status().announced, []);
  assert.equal(announcer.status().changes.failed, 1);
  await eventually("it was tried again", () => announcer.status().changes.failed >= 3);
  writeFileSync(join(folder, "works"), "");
  await eventually("it is announced", () => announcer.status().announced.length === 1);
  assert.equal(announcer.status().error, undefined);
  assert.equal(lines.filter((line) => line.startsWith("cannot announce")).length, 1, "said once");
});

test("one that does not end is killed in time, with what it started", async () => {
  create("sleep 1000 & echo $! >child; wait", { vips: [A], timeout: 300 });
  announcer.want([announcementOf(A)]);
  const beganMs = performance.now();
  await announcer.settled();
  assert.ok(performance.now() - beganMs < 1500);
  assert.match(announcer.status().error!, /no end within 300ms/);
  writeFileSync(join(folder, "script"), "exit 0\n");
  const child = Number(readFileSync(join(folder, "child"), "utf8"));
  await eventually("its child is gone", () => {
    const file = `/proc/${child}/stat`;
    return !existsSync(file) || /\) Z/.test(readFileSync(file, "utf8"));
  });
});

test("one that leaves a daemon behind is not waited for", async () => {
  create("sleep 5 & exit 0", { vips: [A] });
  const beganMs = performance.now();
  announcer.want([announcementOf(A)]);
  await announcer.settled();
  assert.equal(announcer.status().announced.length, 1);
  assert.ok(performance.now() - beganMs < 3000);
});

test("a program that is not there", async () => {
  create("", { vips: [A] });
  await announcer.stop();
  const { log } = keptLog();
  announcer = createReconciler(
    {
      machine: { name: "lb-1", mac: "02:bb:00:00:00:01" },
      vips: [{ address: A }],
      announce: {
        exec: { announce: ["/nonexistent/announce"], withdraw: ["/bin/true"], timeout: 1000 },
        communities: [],
        drain: 0,
      },
    },
    log,
  );
  announcer.want([announcementOf(A)]);
  await announcer.settled();
  assert.equal(announcer.status().error, "/nonexistent/announce: there is no such program");
});

test("for one prefix one command at a time, and the last one is what was wanted last", async () => {
  create(
    'mkdir "busy-$(echo "$2" | tr -d :./)" || echo overlap >>journal\nsleep 0.05\necho "$1 $2" >>journal\nrmdir "busy-$(echo "$2" | tr -d :./)"',
  );
  const both = [announcementOf(A), announcementOf(SIX)];
  const toggles = 30;
  for (let turn = 0; turn < toggles; turn++) {
    announcer.want(turn % 2 ? both : []);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  announcer.want(both);
  await announcer.settled();
  const told = journal();
  assert.ok(!told.includes("overlap"));
  for (const prefix of [`${A}/32`, `${SIX}/128`]) {
    const own = told.filter((line) => line.endsWith(` ${prefix}`));
    assert.equal(own.at(-1), `announce ${prefix}`);
    assert.ok(own.length < toggles / 2, `${own.length} commands for ${toggles} wishes`);
    for (const [index, line] of own.slice(1).entries())
      assert.notEqual(line, own[index], "each changes something");
  }
});
