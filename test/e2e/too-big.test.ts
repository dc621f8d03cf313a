// Tunnels on a segment without room for their headers: its MTU is that of the client's packets. Senders are told, or the outer
// packets are fragmented.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { Lab } from "../../src/lab/lab.ts";
import { TUNNELS } from "../../src/lab/topology.ts";
import { runTransfer, startServers, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, startBalancer } from "./harness.ts";
import { reassembled, startReassembler } from "./reassembler.ts";
import { checkCounters, checkFrames, configOf, e2ePrefix, poolOf, VIP } from "./setup.ts";

const OPTIONS = { skip: skipReason("python3"), timeout: 120_000 };
const FAMILIES = ["v4", "v6"] as const;
type Family = (typeof FAMILIES)[number];
/** With both headers of one version, and with two. */
const TRANSFER_BYTES = 20_000_000;
const MIXED_BYTES = 4_000_000;
/**
 * Packets of a flight that were sent before its sender was told, at most. A flow's part of `icmp.errorsPerSecond` is a few; those
 * above are dropped without a word.
 */
const FLIGHT = 200;
const MTU = 1500;
const OUTER_BYTES = { v4: 20, v6: 40 };
const SHIM_BYTES = { gre: 4, ipip: 0, gue: 8 };
/** A segment at most, and less than what a full one carries. */
const SEGMENT_BYTES = 1460;

/** Every way in which a VIP's packets can travel, each at a port of its own. */
const WAYS = TUNNELS.flatMap((mode) =>
  FAMILIES.flatMap((outer) => (["reply", "fragment"] as const).map((tooBig) => ({ mode, outer, tooBig }))),
).map((way, index) => ({ ...way, port: 8000 + index }));

suite("tunnels without room", OPTIONS, () => {
  let lab: Lab;
  let balancer: Balancer;

  before(async () => {
    // Its backends decapsulate all of the tunnels.
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 2, queues: 2, forward: "gre", mtu: MTU });
    for (const node of lab.nodes("backend")) await offerFullSegments(node);
    await startServers(lab, { ports: WAYS.map(({ port }) => port) });
    await Promise.all(lab.nodes("backend").map((node) => startReassembler(lab, node)));
    const vips = WAYS.flatMap(({ mode, outer, tooBig, port }) =>
      FAMILIES.map((family) => ({
        name: `${family}-${port}`,
        ...{ address: VIP[family], port, forward: mode, pool: outer, tunnel: { tooBig } },
      })),
    );
    const pools = { v4: poolOf(lab, "v4"), v6: poolOf(lab, "v6") };
    balancer = await startBalancer(lab, "lb1", { ...configOf(lab, { workers: 2 }), pools, vips });
  });
  after(async () => {
    await balancer?.close();
    await lab?.down();
  });

  /** The lab's backends leave room for a tunnel otherwise. */
  async function offerFullSegments(node: string): Promise<void> {
    for (const family of FAMILIES) {
      const flag = family === "v4" ? "-4" : "-6";
      const via = lab.address("router", family, "br0");
      await lab.exec(node, ["ip", flag, "route", "replace", "default", "via", via]);
    }
  }

  const route = (family: Family, ...argv: string[]) =>
    lab.exec("client", ["ip", family === "v4" ? "-4" : "-6", "route", ...argv]);

  /** What the client knows of the way to a VIP: the MTU that it was told. */
  async function learnedMtu(family: Family): Promise<number | undefined> {
    const { stdout } = await route(family, "get", VIP[family]);
    const [, mtu] = / mtu (\d+)/.exec(stdout) ?? [];
    return mtu === undefined ? undefined : Number(mtu);
  }

  const allReassembled = async () => {
    const counts = await Promise.all(lab.nodes("backend").map((node) => reassembled(lab, node)));
    return counts.reduce((a, b) => a + b, 0);
  };

  for (const family of FAMILIES) {
    for (const { mode, outer, tooBig, port } of WAYS) {
      const size = outer === family ? TRANSFER_BYTES : MIXED_BYTES;
      test(`IP${family} in IP${outer} by ${mode}, tooBig: ${tooBig}: an upload of ${size / 1e6} MB`, async () => {
        await route(family, "flush", "cache");
        const before = await balancer.status();
        const reassembledBefore = await allReassembled();
        const urls = [vipUrl(VIP[family], port)];
        const [result] = await runTransfer(lab, "upload", { urls, bytes: size });
        const { ok, reason, bytes } = result!;
        assert.deepEqual({ ok, reason, bytes }, { ok: true, reason: undefined, bytes: size });

        const { reasons } = await balancer.status();
        const of = (name: string) => (reasons[name] ?? 0) - (before.reasons[name] ?? 0);
        const fragmented = (await allReassembled()) - reassembledBefore;
        if (tooBig === "reply") {
          assert.equal(await learnedMtu(family), MTU - OUTER_BYTES[outer] - SHIM_BYTES[mode]);
          const told = of("too-big-replied");
          const unsaid = of("too-big");
          assert.ok(told > 0 && told + unsaid < FLIGHT, `told ${told} times, ${unsaid} times not`);
          assert.equal(fragmented, 0);
        } else {
          assert.equal(await learnedMtu(family), undefined);
          assert.deepEqual([of("too-big-replied"), of("too-big")], [0, 0]);
          assert.ok(fragmented >= size / SEGMENT_BYTES, `${fragmented} packets were put together`);
        }
      });
    }
  }

  test("every packet is counted, every frame is back", async () => {
    await checkFrames(balancer);
    await checkCounters(balancer);
  });
});
