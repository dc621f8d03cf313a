// The reconciler with a speaker that does what each test says.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { type Announcement, announcementOf } from "../../src/announce/announcer.ts";
import { Reconciler } from "../../src/announce/reconciler.ts";
import type { Speaker, SpeakerEvents } from "../../src/announce/speaker.ts";
import { eventually, keptLog } from "./gobgpd.ts";

const A = announcementOf("10.99.0.1");
const B = announcementOf("10.99.0.2");

interface Change {
  text: string;
  done: (error?: Error) => void;
}

class ScriptedSpeaker implements Speaker {
  readonly kind = "exec";
  readonly parallel = 2;
  readonly changes: Change[] = [];
  events!: SpeakerEvents;
  closed = false;

  start(events: SpeakerEvents): void {
    this.events = events;
  }

  change(action: "announce" | "withdraw", { prefix }: Announcement): Promise<void> {
    return new Promise((resolve, reject) => {
      this.changes.push({
        text: `${action} ${prefix}`,
        done: (error) => (error ? reject(error) : resolve()),
      });
    });
  }

  peers(): [] {
    return [];
  }

  close(): void {
    this.closed = true;
  }

  get texts(): string[] {
    return this.changes.map(({ text }) => text);
  }
}

function create(owned: Announcement[] = []) {
  const speaker = new ScriptedSpeaker();
  const exposed: string[][] = [];
  const { log, lines } = keptLog();
  const onExposed = (prefixes: readonly string[]) => void exposed.push([...prefixes]);
  return { speaker, exposed, lines, reconciler: new Reconciler(speaker, { owned, log, onExposed }) };
}

test("nothing is done before the first wish, nor before the speaker is there", () => {
  const { speaker, reconciler } = create([A, B]);
  speaker.events.connected(new Map([[A.prefix, "announced"]]));
  assert.deepEqual(speaker.texts, []);
  reconciler.want([]);
  assert.deepEqual(speaker.texts, ["withdraw 10.99.0.1/32", "withdraw 10.99.0.2/32"]);
});

test("a change under way is finished, and followed by one to what is wanted by then", async () => {
  const { speaker, reconciler } = create();
  speaker.events.connected(new Map());
  reconciler.want([A]);
  reconciler.want([]);
  reconciler.want([A]);
  reconciler.want([]);
  assert.deepEqual(speaker.texts, ["announce 10.99.0.1/32"]);
  let settled = false;
  void reconciler.settled().then(() => {
    settled = true;
  });
  speaker.changes[0]!.done();
  await turn();
  await turn();
  assert.equal(settled, false);
  assert.deepEqual(speaker.texts, ["announce 10.99.0.1/32", "withdraw 10.99.0.1/32"]);
  speaker.changes[1]!.done();
  await reconciler.settled();
  assert.deepEqual(reconciler.status().changes, { announced: 1, withdrawn: 1, failed: 0 });
});

test("wanted again while it is being withdrawn is not yet announced", async () => {
  const { speaker, reconciler } = create([A]);
  speaker.events.connected(new Map([[A.prefix, "announced"]]));
  reconciler.want([]);
  reconciler.want([A]);
  let settled = false;
  void reconciler.settled().then(() => {
    settled = true;
  });
  await turn();
  assert.equal(settled, false);
  speaker.changes[0]!.done();
  await turn();
  await turn();
  assert.deepEqual(speaker.texts, ["withdraw 10.99.0.1/32", "announce 10.99.0.1/32"]);
});

test("no more at once than the speaker takes", async () => {
  const { speaker, reconciler } = create();
  speaker.events.connected(new Map());
  reconciler.want(["10.99.0.1", "10.99.0.2", "10.99.0.3"].map(announcementOf));
  assert.equal(speaker.changes.length, 2);
  speaker.changes[1]!.done();
  await turn();
  await turn();
  assert.deepEqual(speaker.texts.slice(2), ["announce 10.99.0.3/32"]);
});

test("what fails is tried again, later each time, and said once", async () => {
  const { speaker, reconciler, lines } = create();
  speaker.events.connected(new Map());
  const times = [performance.now()];
  reconciler.want([A]);
  for (let failure = 0; failure < 3; failure++) {
    speaker.changes[failure]!.done(new Error("no"));
    await eventually("it is tried again", () => speaker.changes.length === failure + 2);
    times.push(performance.now());
    assert.equal(reconciler.status().error, "no");
  }
  await reconciler.settled();
  const waits = times.slice(1).map((time, index) => time - times[index]!);
  for (const [index, least] of [100, 200, 400].entries()) assert.ok(waits[index]! > least - 5, `${waits}`);
  speaker.changes[3]!.done();
  await turn();
  assert.deepEqual(reconciler.status().changes, { announced: 1, withdrawn: 0, failed: 3 });
  assert.equal(reconciler.status().error, undefined);
  assert.deepEqual(lines, ["announcer connected", "cannot announce, trying again: no", "announced"]);
});

test("a change that ends after the speaker was lost says nothing", async () => {
  const { speaker, reconciler } = create();
  speaker.events.connected(new Map());
  reconciler.want([A]);
  speaker.events.disconnected(new Error("gone"));
  speaker.changes[0]!.done();
  await turn();
  await turn();
  assert.deepEqual(reconciler.status().announced, []);
  assert.equal(reconciler.status().error, "gone");
  speaker.events.connected(new Map([[A.prefix, "withdrawn"]]));
  assert.deepEqual(speaker.texts, ["announce 10.99.0.1/32", "announce 10.99.0.1/32"]);
});

test("what may be announced is told before it is, and until it surely is not", async () => {
  const { speaker, reconciler, exposed } = create();
  reconciler.want([A, B]);
  assert.deepEqual(exposed, [[A.prefix, B.prefix]]);
  speaker.events.connected(new Map());
  for (const { done } of speaker.changes) done();
  await reconciler.settled();
  reconciler.want([A]);
  assert.equal(exposed.length, 1);
  speaker.changes[2]!.done();
  await reconciler.settled();
  assert.deepEqual(exposed.at(-1), [A.prefix]);
  const stopped = reconciler.stop();
  await turn();
  speaker.changes[3]!.done();
  await stopped;
  assert.deepEqual(exposed.at(-1), []);
  assert.ok(speaker.closed);
});

test("stop asks again until the speaker accepts", async () => {
  const { speaker, reconciler } = create();
  speaker.events.connected(new Map());
  reconciler.want([A]);
  speaker.changes[0]!.done();
  await reconciler.settled();
  const stopped = reconciler.stop();
  speaker.changes[1]!.done(new Error("busy"));
  await eventually("it is tried again", () => speaker.changes.length === 3);
  speaker.changes[2]!.done();
  await stopped;
  assert.deepEqual(speaker.texts.slice(1), ["withdraw 10.99.0.1/32", "withdraw 10.99.0.1/32"]);
});

test("stop does not wait for a speaker that is not there", async () => {
  const { speaker, reconciler, lines } = create([A]);
  const stopped = reconciler.stop();
  speaker.events.disconnected(new Error("gone"));
  const late = sleep(1000, "late", { ref: false });
  assert.notEqual(await Promise.race([stopped, late]), "late");
  assert.ok(speaker.closed);
  assert.match(lines.at(-1)!, /not withdrawn: the routers may still send packets here: gone/);
});
