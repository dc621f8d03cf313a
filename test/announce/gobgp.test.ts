import assert from "node:assert/strict";
import { afterEach, beforeEach, suite, test } from "node:test";
import { announcementOf } from "../../src/announce/announcer.ts";
import { type AnnounceSources, createReconciler } from "../../src/announce/create.ts";
import { familyOf } from "../../src/announce/gobgp-path.ts";
import type { Reconciler } from "../../src/announce/reconciler.ts";
import { eventually, Gobgpd, keptLog, skipReason } from "./gobgpd.ts";

const A = "10.99.0.1";
const B = "10.99.0.2";
const SIX = "fd99::1";
const ALL = [`${A}/32`, `${B}/32`, `${SIX}/128`];
const PREFIXES = ["10.99.1.0/24", "fd99:1::/64"];
const COMMUNITY = 65_000 * 65_536 + 1;
const want = (...addresses: string[]) => addresses.map(announcementOf);

suite("announcing through GoBGP", { skip: skipReason(), timeout: 60_000 }, () => {
  let daemon: Gobgpd;
  let announcer: Reconciler;
  let lines: string[];

  /** One that runs until the end of the test. */
  function create(announce: Partial<NonNullable<AnnounceSources["announce"]>> = {}): Reconciler {
    const config: AnnounceSources = {
      machine: { name: "lb-1", mac: "02:bb:00:00:00:01", address: "10.0.0.11", address6: "fd00::11" },
      vips: [A, B, SIX, ...PREFIXES].map((address) => ({ address })),
      announce: { gobgp: daemon.target, communities: [COMMUNITY], drain: 0, ...announce },
    };
    const kept = keptLog();
    lines = kept.lines;
    announcer = createReconciler(config, kept.log);
    return announcer;
  }

  beforeEach(async () => {
    daemon = await Gobgpd.started();
  });
  afterEach(async () => {
    await announcer?.stop();
    await daemon.close();
  });

  test("prefixes: announced as such, and none of them is another's", async () => {
    create();
    announcer.want(want(A, ...PREFIXES));
    await announcer.settled();
    const all = [...ALL, ...PREFIXES, "10.99.1.0/32"];
    assert.deepEqual(await daemon.paths(...all), [
      `${A}/32 10.0.0.11 ${COMMUNITY}`,
      `${PREFIXES[0]} 10.0.0.11 ${COMMUNITY}`,
      `${PREFIXES[1]} fd00::11 ${COMMUNITY}`,
    ]);
    announcer.want(want(PREFIXES[0]!));
    await announcer.settled();
    assert.deepEqual(await daemon.paths(...all), [`${PREFIXES[0]} 10.0.0.11 ${COMMUNITY}`]);
  });

  test("both families, with next hop and communities; then only what is wanted", async () => {
    create();
    announcer.want(want(A, SIX));
    await announcer.settled();
    assert.deepEqual(await daemon.paths(...ALL), [
      `${A}/32 10.0.0.11 ${COMMUNITY}`,
      `${SIX}/128 fd00::11 ${COMMUNITY}`,
    ]);
    announcer.want(want(B));
    await announcer.settled();
    assert.deepEqual(await daemon.paths(...ALL), [`${B}/32 10.0.0.11 ${COMMUNITY}`]);
    const { since, ...status } = { since: 0, ...announcer.status() };
    assert.deepEqual(status, {
      kind: "gobgp",
      connected: true,
      error: undefined,
      announced: [{ prefix: `${B}/32`, since: status.announced[0]?.since }],
      wanted: [`${B}/32`],
      peers: [],
      changes: { announced: 3, withdrawn: 2, failed: 0 },
    });
    assert.ok(Math.abs(Date.parse(status.announced[0]!.since) - Date.now()) < 5000);
  });

  test("configured next hops go before the machine's addresses", async () => {
    create({ nextHop: "10.0.0.99", nextHop6: "fd00::99", communities: [] });
    announcer.want(want(A, SIX));
    await announcer.settled();
    assert.deepEqual(await daemon.paths(...ALL), [`${A}/32 10.0.0.99`, `${SIX}/128 fd00::99`]);
  });

  test("the last wish wins, and a thousand in between cost nothing", async () => {
    create();
    announcer.want(want(A));
    await announcer.settled();
    for (let turn = 0; turn < 1000; turn++) announcer.want(turn % 2 ? want(A, B) : []);
    announcer.want(want(SIX));
    await announcer.settled();
    assert.deepEqual(await daemon.paths(...ALL), [`${SIX}/128 fd00::11 ${COMMUNITY}`]);
    const { announced, withdrawn, failed } = announcer.status().changes;
    assert.ok(announced + withdrawn < 10, `${announced} + ${withdrawn} changes`);
    assert.equal(failed, 0);
  });

  test("stop withdraws everything, and nothing is wanted afterwards", async () => {
    create();
    announcer.want(want(A, B, SIX));
    await announcer.settled();
    await announcer.stop();
    announcer.want(want(A));
    assert.deepEqual(await daemon.paths(...ALL), []);
    assert.deepEqual(announcer.status().wanted, []);
    assert.deepEqual(announcer.status().announced, []);
  });

  test("GoBGP killed and started again hears it all again within a second", async (t) => {
    create();
    announcer.want(want(A, SIX));
    await announcer.settled();
    await daemon.kill();
    await eventually("it is noticed", () => !announcer.status().connected, 500);
    assert.match(announcer.status().error!, /cannot be reached/);
    assert.deepEqual(announcer.status().announced, []);
    await daemon.start();
    const startedMs = performance.now();
    await eventually("all is back", async () => (await daemon.paths(...ALL)).length === 2);
    const ms = performance.now() - startedMs;
    t.diagnostic(`announced again ${Math.round(ms)} ms after the start of GoBGP`);
    assert.ok(ms < 1500, `${ms} ms`);
  });

  test("one that is not there is said once, and found within a second", async () => {
    await daemon.kill();
    create();
    announcer.want(want(A));
    await announcer.settled();
    const { connected, error, announced } = announcer.status();
    assert.deepEqual([connected, announced], [false, []]);
    assert.match(error!, /unix:\/\/.* cannot be reached.*is gobgpd running\?/);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.equal(lines.length, 1, lines.join("\n"));
    await daemon.start();
    await eventually("it is announced", async () => (await daemon.paths(`${A}/32`)).length === 1, 2000);
  });

  test("one that has not started BGP is told from one that has", async () => {
    await daemon.kill();
    await daemon.start({ bgp: false });
    create();
    announcer.want(want(A));
    await announcer.settled();
    assert.match(announcer.status().error!, /has not started BGP/);
  });

  test("one that hangs is told, is not waited for at the end, and is forgiven", async () => {
    create();
    announcer.want(want(A));
    await announcer.settled();
    await daemon.pause();
    announcer.want(want(A, B));
    await announcer.settled();
    assert.match(announcer.status().error!, /has not answered within 2000 ms/);
    daemon.resume();
    await eventually("both are announced", async () => (await daemon.paths(...ALL)).length === 2);
    await daemon.pause();
    const beganMs = performance.now();
    await announcer.stop();
    assert.ok(performance.now() - beganMs < 6000);
    assert.match(lines.at(-1)!, /not withdrawn/);
    daemon.resume();
  });

  test("what an earlier process left is withdrawn or put right, and what is not ours stays", async () => {
    const path = (address: string, hop: string) => ({
      family: familyOf(4),
      nlri: { prefix: { prefix: address, prefixLen: 32 } },
      pattrs: [{ origin: { origin: 0 } }, { nextHop: { nextHop: hop } }],
    });
    await daemon.with(async (client) => {
      await client.addPath(path(A, "10.0.0.11"));
      await client.addPath(path(B, "10.0.0.11"));
      await client.addPath(path("10.99.0.3", "10.0.0.11"));
      await client.addPath(path("10.99.0.4", "10.0.0.77"));
    });
    create();
    await eventually("it is connected", () => announcer.status().connected);
    assert.equal((await daemon.paths(`${B}/32`)).length, 1, "nothing is touched before the first wish");
    announcer.want(want(A));
    await announcer.settled();
    assert.deepEqual(await daemon.paths(...ALL, "10.99.0.3/32", "10.99.0.4/32"), [
      `${A}/32 10.0.0.11 ${COMMUNITY}`,
      "10.99.0.3/32 10.0.0.11",
      "10.99.0.4/32 10.0.0.77",
    ]);
  });

  test("what somebody else deletes comes back", async () => {
    create();
    announcer.want(want(A));
    await announcer.settled();
    await daemon.with((client) =>
      client.deletePath({
        family: familyOf(4),
        nlri: { prefix: { prefix: A, prefixLen: 32 } },
        pattrs: [{ nextHop: { nextHop: "10.0.0.11" } }],
      }),
    );
    assert.deepEqual(await daemon.paths(...ALL), []);
    await eventually("it is back", async () => (await daemon.paths(...ALL)).length === 1, 2500);
    assert.ok(lines.includes("somebody else changed an announcement"));
  });

  test("thousands of prefixes", async (t) => {
    create();
    const many = Array.from({ length: 4000 }, (_, index) => `10.98.${index >> 8}.${index & 255}`);
    const beganMs = performance.now();
    announcer.want(want(...many));
    await announcer.settled();
    t.diagnostic(`${many.length} announced in ${Math.round(performance.now() - beganMs)} ms`);
    assert.equal((await daemon.paths(...many.map((each) => `${each}/32`))).length, many.length);
    announcer.want([]);
    await announcer.settled();
    assert.deepEqual(await daemon.paths(...many.map((each) => `${each}/32`)), []);
  });
});
