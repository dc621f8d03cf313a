// Any bytes of any length: the model's verdict, no trap, and not a byte read or written beside the packet.
//
// Two engines get the same packets. Everything else in their frames, in front of a packet, behind it and all around,
// differs between the two: random bytes, but in one of them what is behind a packet that was cut short is what was cut
// off. Whoever reads it decides differently.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { stringify } from "yaml";
import { MAX_EXTRAS } from "../../assembly/layout.ts";
import { parseConfig } from "../../src/config/load.ts";
import type { PacketRecord } from "../../src/dataplane/journal.ts";
import { planArena } from "../../src/dataplane/plan.ts";
import { reasons } from "../../src/dataplane/reasons.ts";
import { random } from "../dataplane/random.ts";
import { Model, type Outcome } from "../model/model.ts";
import { type Config, offlineSetup } from "../model/setup.ts";
import { decode } from "../packets/decode.ts";
import { hostilePacket, type TimedPacket } from "../packets/hostile.ts";
import { runs } from "../runs.ts";
import { compare } from "./compare.ts";
import { anyConfig, Rig, type Sent } from "./rig.ts";

const ROUND = 60;
const POISON_BYTES = 1 << 20;
const REASONS = new Set(reasons.values());

interface Hostile {
  bytes: Uint8Array;
  /** How the packet would go on, if it was cut short. */
  rest: Uint8Array;
}

/** Packets of the generator, and from them others with a few bytes changed, cut at any place or prolonged. */
function* packets(frameBytes: number, most: number, seed: number): Generator<Hostile> {
  const setup = offlineSetup(anyConfig({ frames: { size: frameBytes } }) as Config);
  const seeds = fc.sample(hostilePacket(setup), { seed, numRuns: Math.min(most, 2500) });
  const capacity = frameBytes - 256;
  const next = random(seed);
  const below = (n: number) => Math.floor(next() * n);
  for (let n = 0; n < most; n++) {
    const whole = (seeds[n] ?? seeds[below(seeds.length)]!).slice(0, capacity);
    // Most changes are where headers are; lengths and numbers are most interesting next to what they were.
    for (let left = n < seeds.length ? 0 : below(5); left > 0 && whole.length > 0; left--) {
      const at = below(Math.min(whole.length, below(10) > 0 ? 90 : capacity));
      whole[at] = [below(256), whole[at]! + 1, whole[at]! - 1, 0, 255][below(5)]!;
    }
    const kind = below(8);
    if (kind < 5) yield { bytes: whole, rest: new Uint8Array(0) };
    else if (kind < 7) {
      const length = below(Math.min(whole.length, below(4) > 0 ? 100 : capacity) + 1);
      yield { bytes: whole.subarray(0, length), rest: whole.subarray(length) };
    } else {
      const bytes = new Uint8Array(whole.length + below(capacity - whole.length + 1));
      bytes.set(whole);
      yield { bytes, rest: new Uint8Array(0) };
    }
  }
}

/** As few frames as it takes for the last one to end with the memory: what reads behind it traps. */
function framesToTheEnd(frameBytes: number): number {
  for (let count = 512; ; count++) {
    const { config } = parseConfig(
      stringify(anyConfig({ frames: { size: frameBytes, count } })),
      "hostile.yaml",
    );
    const { regions, bytes } = planArena(config, { queues: 1, workers: 1, journalRecords: 2048 });
    if (regions.frames.offset + regions.frames.bytes === bytes) return count;
  }
}

interface Fate {
  /** That of a fragment which waits is replaced by another. */
  record: Omit<PacketRecord, "worker" | "frame" | "line" | "extras">;
  out: Uint8Array | undefined;
  /** What left in other frames. */
  fragments: Uint8Array[] | undefined;
}

const isHeld = ({ record }: Fate) => record.reason === "held";

/** An engine whose frames are full of one kind of poison. */
class Poisoned {
  readonly #rig: Rig;
  readonly #poison = new Uint8Array(POISON_BYTES);
  readonly #next: () => number;
  readonly #frameBytes: number;
  readonly #goesOn: boolean;
  /** Packets without a verdict: their frame as it was, and their fate. */
  readonly #open = new Map<number, { before: Uint8Array; bytes: Uint8Array; fate: Fate }>();

  /** @param goesOn whether a packet that was cut short seems to go on behind its end */
  constructor(frameBytes: number, seed: number, goesOn: boolean) {
    this.#goesOn = goesOn;
    const count = framesToTheEnd(frameBytes);
    this.#rig = new Rig(anyConfig({ frames: { size: frameBytes, count } }), { reserve: MAX_EXTRAS });
    this.#frameBytes = frameBytes;
    this.#next = random(seed);
    for (let i = 0; i < POISON_BYTES; i++) this.#poison[i] = this.#next() * 256;
    const { frames } = this.#rig.engine.arena.plan.regions;
    for (let at = 0; at < frames.bytes; at += frameBytes) this.#fill(at);
  }

  #fill(frame: number): void {
    const from = Math.floor(this.#next() * (POISON_BYTES - this.#frameBytes));
    this.#frame(frame).set(this.#poison.subarray(from, from + this.#frameBytes));
  }

  #frame(frame: number): Uint8Array {
    const at = this.#rig.engine.arena.plan.regions.frames.offset + frame;
    return this.#rig.engine.arena.u8.subarray(at, at + this.#frameBytes);
  }

  /** Processes a round of packets, and checks that nothing was written where it must not be. */
  process(round: readonly Hostile[], clockMs: number): Fate[] {
    const rig = this.#rig;
    const [queue] = rig.queues;
    rig.clockMs = clockMs;
    const fates = round.map(({ bytes, rest }) => {
      const isApart = rig.isApart(bytes);
      if (isApart) this.#work();
      const frame = queue!.takeFrame()!;
      this.#fill(frame);
      rig.engine.arena.u8.set(bytes, queue!.address(frame));
      if (this.#goesOn) rig.engine.arena.u8.set(rest, queue!.address(frame) + bytes.length);
      const fate = { out: undefined } as unknown as Fate;
      this.#open.set(frame, { before: this.#frame(frame).slice(), bytes, fate });
      queue!.deliver(0, frame, bytes.length);
      if (isApart) this.#work();
      return fate;
    });
    this.#work();
    return fates;
  }

  /** Ends the wait of fragments. */
  flush(clockMs: number): void {
    this.#rig.clockMs = clockMs;
    this.#work();
  }

  #work(): void {
    const rig = this.#rig;
    rig.run(0);
    const all = rig.collect();
    const sent = new Map(all.map((each) => [each.frame, each]));
    // Fragments lie in other frames, in the order of the packets that they follow.
    const others = all.filter(({ frame }) => !this.#open.has(frame)).map(({ bytes }) => bytes);
    for (const { worker: _w, frame, line: _l, extras, ...record } of rig.records()) {
      const { before, bytes, fate } = this.#open.get(frame)!;
      fate.record = record;
      if (isHeld(fate)) continue;
      const leaves = sent.get(frame);
      this.#checkWritten(frame, before, bytes, leaves);
      fate.out = leaves?.bytes;
      fate.fragments = extras === 0 ? undefined : others.splice(0, extras);
      this.#open.delete(frame);
    }
    rig.settle();
  }

  #checkWritten(frame: number, before: Uint8Array, bytes: Uint8Array, sent: Sent | undefined): void {
    const now = this.#frame(frame);
    // What does not leave stays as it came; what leaves may be rewritten from its new start to where it ended.
    const from = sent ? Math.min(256, sent.offset) : before.length;
    const to = sent ? Math.max(256 + bytes.length, sent.offset + sent.bytes.length) : before.length;
    assert.equal(
      Buffer.compare(now.subarray(0, from), before.subarray(0, from)),
      0,
      "in front of the packet",
    );
    assert.equal(Buffer.compare(now.subarray(to), before.subarray(to)), 0, "behind the packet");
  }

  nameOf(id: number): string | undefined {
    return this.#rig.engine.directory.backends[id]?.config.name;
  }

  get traps(): number {
    return this.#rig.statistics.workers()[0]!.traps;
  }
}

suite("hostile packets", () => {
  const { packets: most } = runs.hostile;
  for (const frameBytes of [2048, 4096]) {
    test(`${most / 2} packets, frames of ${frameBytes} bytes`, () => {
      const engines = [new Poisoned(frameBytes, 1, true), new Poisoned(frameBytes, 2, false)] as const;
      const count = framesToTheEnd(frameBytes);
      const model = new Model(offlineSetup(anyConfig({ frames: { size: frameBytes, count } }) as Config));
      const names = (id: number) => engines[0].nameOf(id);
      const seen = new Map<string, number>();
      let clockMs = 1;
      let round: Hostile[] = [];
      let lengths = 0;
      let checked = 0;
      /** Packets whose fragment waits, with what the engines and the model have said so far. */
      let waiting: { packet: TimedPacket; fates: [Fate, Fate]; outcome: Outcome }[] = [];
      const check = ({ packet, fates: [first, second], outcome }: (typeof waiting)[number]) => {
        const { record, out, fragments } = first;
        assert.ok(REASONS.has(record.reason), `a reason for ${decode(packet.bytes).join("\n")}`);
        compare({ ...record, ...(out && { out }), ...(fragments && { fragments }) }, outcome, names, packet);
        if (!isDeepStrictEqual(second, first))
          assert.deepEqual(second, first, decode(packet.bytes).join("\n"));
        assert.equal(out !== undefined, record.verdict === "forward" || record.verdict === "reply");
        seen.set(record.reason, (seen.get(record.reason) ?? 0) + 1);
        checked++;
      };
      const checkAll = () => {
        for (const each of waiting) if (!isHeld(each.fates[0])) check(each);
        waiting = waiting.filter(({ fates: [first] }) => isHeld(first));
      };
      const processRound = () => {
        clockMs += 300;
        const [first, second] = engines.map((engine) => engine.process(round, clockMs)) as [Fate[], Fate[]];
        for (const [i, { bytes }] of round.entries()) {
          const outcome = model.process(bytes, clockMs);
          waiting.push({ packet: { bytes, clockMs }, fates: [first[i]!, second[i]!], outcome });
          lengths = Math.max(lengths, bytes.length);
        }
        checkAll();
        round = [];
      };
      for (const packet of packets(frameBytes, most / 2, frameBytes)) {
        round.push(packet);
        if (round.length === ROUND) processRound();
      }
      processRound();
      for (const engine of engines) engine.flush(clockMs + 1000);
      model.flush();
      checkAll();
      assert.deepEqual([checked, waiting], [most / 2, []]);
      assert.deepEqual(
        engines.map(({ traps }) => traps),
        [0, 0],
      );
      assert.equal(lengths, frameBytes - 256, "the longest packet fills its frame");
      console.log(`# ${most / 2} packets:`, Object.fromEntries(seen));
      for (const reason of [
        "hit",
        "new",
        "echo",
        "not-vip",
        "truncated",
        "bad-header",
        "bad-length",
        "too-big-replied",
        "fragment",
        "denied",
        "server-id",
        "spoofed-source",
        "icmp-error",
        "fragment-tiny",
        "fragment-timeout",
        "return",
        "ttl-expired",
        "bad-checksum",
      ]) {
        assert.ok(seen.has(reason), `no packet ended with ${reason}: the generator is too narrow`);
      }
    });
  }
});
