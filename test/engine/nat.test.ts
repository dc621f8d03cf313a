// What `forward: nat` does beyond single packets: counters, entries, ways to clients, answers to checks, changes of mode. The
// packets themselves are in test/fixtures/nat.md, and compared with the model in model.test.ts.

import assert from "node:assert/strict";
import { beforeEach, suite, test } from "node:test";
import { stringify } from "yaml";
import * as L from "../../assembly/layout.ts";
import { REASON_NO_ROUTE, REASON_RETURN, REASON_TOO_BIG, REASON_UNRESOLVED } from "../../assembly/reasons.ts";
import { parseConfig } from "../../src/config/load.ts";
import type { Way } from "../../src/dataplane/routes.ts";
import { ownSlot } from "../../src/dataplane/steering.ts";
import { offlineMac } from "../../src/io/offline.ts";
import { macBytes } from "../../src/mac.ts";
import { decode } from "../packets/decode.ts";
import { packet } from "../packets/packet.ts";
import { Rig } from "./rig.ts";

const CLIENT = "192.0.2.1";
const ROUTER = macBytes("02:aa:00:00:00:01");
const OTHER = macBytes("02:aa:00:00:00:02");

const document = {
  machine: { address: "10.0.0.11", address6: "fd00::11" },
  conntrack: { flows: 1000, timeouts: { new: "4s" } },
  pools: {
    web: { tableSize: 7, backends: [{ name: "b1", address: "10.0.0.31", port: 8080 }] },
    web6: { tableSize: 7, backends: [{ name: "b2", address: "fd00::31" }] },
  },
  vips: [
    { name: "web", address: "10.99.0.1", port: 80, pool: "web", forward: "nat" },
    { name: "web6", address: "fd99::1", port: 80, pool: "web6", forward: "nat" },
  ],
};

const request = (flags = "S") =>
  packet().ethernet().ipv4({ src: CLIENT, dst: "10.99.0.1" }).tcp({ sport: 4000, dport: 80, flags }).bytes();
const answer = (flags = "SA", to: { dst?: string; dport?: number } = {}) =>
  packet()
    .ethernet()
    .ipv4({ src: "10.0.0.31", dst: to.dst ?? CLIENT })
    .tcp({ sport: 8080, dport: to.dport ?? 4000, flags })
    .bytes();
const answer6 = (dst = "2001:db8::1") =>
  packet().ethernet().ipv6({ src: "fd00::31", dst }).tcp({ sport: 80, dport: 4000, flags: "SA" }).bytes();

suite("nat", () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig(document, { interfaces: 2 });
  });

  function pass(bytes: Uint8Array) {
    rig.deliver(0, bytes);
    rig.run(0);
    const [{ verdict, reason, track } = { verdict: "", reason: "", track: "" }] = rig.records();
    const [sent] = rig.collect();
    return { decided: `${verdict} ${reason} ${track}`, sent };
  }
  const routes = (...ways: Way[]) => rig.engine.routes.set(ways);
  const hop = (mac: Uint8Array, index = 0) => ({ mac, interface: index });

  test("VIP and backend count both directions; only the client's packets open flows", () => {
    for (const bytes of [request(), answer(), request("A"), answer("A")]) pass(bytes);
    assert.deepEqual(rig.statistics.vip(0), { packets: 4, bytes: 160 });
    const { packets, bytes, newFlows, activeFlows } = rig.statistics.backend(1);
    assert.deepEqual(
      { packets, bytes, newFlows, activeFlows },
      { packets: 4, bytes: 160, newFlows: 1, activeFlows: 1 },
    );
    assert.deepEqual(rig.statistics.reasons(), { hit: 1, new: 1, return: 2 });
    pass(answer("FA"));
    assert.equal(rig.statistics.backend(1).activeFlows, 0, "the backend's FIN closes");
  });

  test("a batch of both directions is decided in order", () => {
    const order = [answer("SA"), request(), answer("RA"), request(), answer("A"), request("A")];
    for (const bytes of order) rig.deliver(0, bytes);
    rig.run(0);
    assert.deepEqual(
      rig.records().map(({ reason, track }) => `${reason} ${track}`),
      ["return none", "new inserted", "return hit", "new replaced", "return hit", "hit hit"],
    );
  });

  test("the answer of a backend that the flow is not at any more leaves its entry alone", () => {
    pass(request());
    const { directory } = rig.engine;
    directory.apply(
      parseConfig(
        stringify({
          ...document,
          pools: {
            ...document.pools,
            web: {
              tableSize: 7,
              backends: [...document.pools.web.backends, { name: "b3", address: "10.0.0.32", port: 8080 }],
            },
          },
        }),
        "nat.yaml",
      ).config,
    );
    const added = directory.backend("web", "b3").id;
    directory.setNextHop(added, hop(offlineMac("10.0.0.32")));
    directory.setBackendState(1, "dead");
    assert.equal(pass(request("A")).decided, "forward new replaced");
    assert.equal(pass(answer("RA")).decided, "forward return none");
    directory.setBackendState(1, "active");
    assert.equal(pass(answer("RA")).decided, "forward return none");
    assert.equal(pass(request("A")).decided, "forward hit hit");
  });

  test("the longest prefix leads to the client, by the interface of its next hop", () => {
    routes(
      { prefix: "0.0.0.0/0", hop: hop(ROUTER) },
      { prefix: "192.0.2.0/24", hop: hop(OTHER, 1) },
      { prefix: "192.0.2.9", hop: undefined },
    );
    const near = pass(answer()).sent!;
    assert.equal(near.interface, 1);
    assert.match(decode(near.bytes)[0]!, /^ethernet 02:bb:00:00:00:02 > 02:aa:00:00:00:02 /);
    assert.match(decode(near.bytes)[1]!, /^ipv4 10\.99\.0\.1 > 192\.0\.2\.1 /);
    const far = pass(answer("SA", { dst: "198.51.100.1" })).sent!;
    assert.equal(far.interface, 0);
    assert.match(decode(far.bytes)[0]!, /^ethernet 02:bb:00:00:00:01 > 02:aa:00:00:00:01 /);
    assert.equal(pass(answer("SA", { dst: "192.0.2.9" })).decided, "drop unresolved none");
    assert.equal(pass(answer6()).decided, "drop no-route none");
    routes({ prefix: "2001:db8::/32", hop: hop(ROUTER) });
    assert.equal(pass(answer6()).decided, "forward return none");
    assert.equal(pass(answer()).decided, "drop no-route none");
  });

  test("an answer that is too big, and whose route goes while its packet is in hand: no-route", () => {
    const { arena } = rig.engine;
    pass(answer());
    const record = arena.workerBlock(0) + L.WORKER_BATCH;
    assert.equal(arena.u8[record + L.PACKET_REASON], REASON_RETURN, "it is still there");
    routes();
    // What the worker asks when it has found it too big: by then routes may be others.
    const { overcome } = rig.instance(0) as unknown as Record<"overcome", (...of: number[]) => number>;
    assert.equal(overcome(record, REASON_TOO_BIG), REASON_NO_ROUTE);
    routes({ prefix: "0.0.0.0/0", hop: undefined });
    assert.equal(overcome(record, REASON_TOO_BIG), REASON_UNRESOLVED);
  });

  test("a thousand routes replaced again and again leave no block behind", () => {
    for (let round = 0; round < 50; round++) {
      const ways = Array.from({ length: 1000 }, (_, i) => ({
        prefix: `198.${18 + (i & 1)}.${(i >> 1) & 255}.${round}`,
        hop: hop(ROUTER),
      }));
      assert.equal(rig.engine.routes.set(ways), true);
      assert.equal(rig.engine.routes.set(ways), false, "nothing to do");
    }
    assert.equal(pass(answer("SA", { dst: "198.18.7.49" })).decided, "forward return none");
    assert.equal(pass(answer("SA", { dst: "198.18.7.48" })).decided, "drop no-route none");
  });

  test("answers to checks are translated for the host, and counted nowhere", () => {
    const { directory } = rig.engine;
    directory.setOwn([
      ownSlot("10.0.0.11", { firstPort: 20_000, ports: 2 }),
      ownSlot("10.0.0.12", { firstPort: 0, ports: 0 }),
    ]);
    routes({ prefix: "0.0.0.0/0", hop: hop(ROUTER) }, { prefix: "10.0.0.11", hop: hop(OTHER, 1) });
    const own = (dport: number, dst = "10.0.0.11") => pass(answer("SA", { dst, dport }));
    for (const port of [20_000, 20_001]) {
      const { decided, sent } = own(port);
      assert.equal(decided, "forward probe none");
      assert.equal(sent!.interface, 1);
      assert.match(decode(sent!.bytes)[1]!, /^ipv4 10\.99\.0\.1 > 10\.0\.0\.11 /);
      assert.match(decode(sent!.bytes)[2]!, new RegExp(`^tcp 80 > ${port} `));
    }
    for (const port of [0, 19_999, 20_002, 65_535]) assert.equal(own(port).decided, "pass not-vip none");
    assert.equal(own(20_000, "10.0.0.12").decided, "pass not-vip none");
    const refused = (dport: number) => {
      const quoted = packet().ipv4({ src: "10.0.0.11", dst: "10.0.0.31" }).tcp({ sport: dport, dport: 8080 });
      const message = packet()
        .ethernet()
        .ipv4({ src: "10.0.0.31", dst: "10.0.0.11" })
        .icmp({ type: 3, code: 3 });
      return pass(message.payload(quoted.bytes()).bytes());
    };
    const { decided, sent } = refused(20_001);
    assert.equal(decided, "forward probe none");
    assert.match(decode(sent!.bytes)[1]!, /^ipv4 10\.99\.0\.1 > 10\.0\.0\.11 /);
    assert.equal(refused(20_002).decided, "pass not-vip none");
    assert.deepEqual(rig.statistics.vip(0), { packets: 0, bytes: 0 });
    assert.equal(rig.statistics.backend(1).packets, 0);
  });

  test("fragments of an answer reach the flow's worker, whatever comes first and wherever", () => {
    const at = (n: number) => {
      const ip = { src: "10.0.0.31", dst: CLIENT, id: 9, df: false, protocol: 6 };
      const part = packet()
        .ethernet()
        .ipv4({ ...ip, fragmentOffset: n * 3, moreFragments: n < 2 });
      return (
        n === 0 ? part.tcp({ sport: 8080, dport: 4000, flags: "PA" }).payload(4) : part.payload(24)
      ).bytes();
    };
    for (const order of [
      [0, 1, 2],
      [1, 2, 0],
      [2, 0, 1],
    ]) {
      const many = new Rig(document, { workers: 4 });
      many.deliver(many.owner(request()), request());
      many.runAll();
      many.collect();
      for (const n of order) {
        assert.equal(many.isApart(at(n)), true);
        many.deliver((many.owner(at(n)) + n) % 4, at(n));
        many.runAll();
      }
      assert.deepEqual(many.statistics.reasons(), { new: 1, return: 3 }, order.join());
      const sent = many.collect();
      assert.deepEqual([...new Set(sent.map(({ worker }) => worker))], [many.owner(request())]);
      for (const { bytes } of sent) assert.match(decode(bytes)[1]!, /^ipv4 10\.99\.0\.1 > 192\.0\.2\.1 /);
      assert.equal(many.statistics.backend(1).packets, 4);
    }
  });

  test("an ICMP error to a client is steered like its packets, and any worker may treat it", () => {
    const quoted = packet().ipv4({ src: CLIENT, dst: "10.0.0.31" }).tcp({ sport: 4000, dport: 8080 });
    const message = packet().ethernet().ipv4({ src: "10.0.0.9", dst: CLIENT }).icmp({ type: 3, code: 1 });
    const error = message.payload(quoted.bytes()).bytes();
    assert.equal(rig.steer(error), rig.steer(request()));
    assert.equal(pass(error).decided, "forward return none");
    assert.deepEqual(rig.statistics.vip(0), { packets: 1, bytes: 68 });
    assert.deepEqual(rig.statistics.reasons(), { return: 1 });
  });

  test("a VIP that gets another pool takes its flows along: the old one's answers would be nobody's", () => {
    const other = { tableSize: 7, backends: [{ name: "b3", address: "10.0.0.33", port: 8080 }] };
    const empty = { tableSize: 7, backends: [] };
    const use = (pool: string) => {
      const [web, web6] = document.vips as [object, object];
      rig.engine.directory.apply(
        parseConfig(
          stringify({
            ...document,
            pools: { ...document.pools, other, empty },
            // The old pool stays, and with it the flow's entry.
            vips: [{ ...web, pool }, web6, { name: "near", address: "10.99.0.9", port: 80, pool: "web" }],
          }),
          "nat.yaml",
        ).config,
      );
    };
    const active = (pool: string, name: string) =>
      rig.statistics.backend(rig.engine.directory.backend(pool, name).id).activeFlows;
    assert.equal(pass(request()).decided, "forward new inserted");
    use("other");
    const to = rig.engine.directory.backend("other", "b3").id;
    rig.engine.directory.setNextHop(to, hop(offlineMac("10.0.0.33")));
    for (const bytes of [request("A"), request("A")]) rig.deliver(0, bytes);
    rig.run(0);
    assert.deepEqual(
      rig.records().map(({ reason, track, backend }) => [reason, track, backend]),
      [
        ["hit", "hit", to],
        ["hit", "hit", to],
      ],
    );
    assert.match(decode(rig.collect()[0]!.bytes)[1]!, /^ipv4 192\.0\.2\.1 > 10\.0\.0\.33 /);
    assert.deepEqual([active("web", "b1"), active("other", "b3")], [0, 1], "the entry moved, too");
    const quoted = packet().ipv4({ src: "10.99.0.1", dst: CLIENT }).tcp({ sport: 80, dport: 4000 });
    const message = packet()
      .ethernet()
      .ipv4({ src: "192.0.2.7", dst: "10.99.0.1" })
      .icmp({ type: 3, code: 1 });
    use("web");
    const error = pass(message.payload(quoted.bytes()).bytes());
    assert.equal(error.decided, "forward icmp-error hit");
    assert.match(decode(error.sent!.bytes)[1]!, /> 10\.0\.0\.31 /);
    assert.deepEqual([active("web", "b1"), active("other", "b3")], [0, 1], "an error moves nothing");
    use("empty");
    assert.equal(pass(request("A")).decided, "drop no-backend hit");
    use("web");
    assert.equal(pass(request("FA")).decided, "forward hit hit");
    assert.deepEqual([active("web", "b1"), active("other", "b3")], [0, 0]);
  });

  test("when the mode changes, answers are turned back from then on, or no more", () => {
    const mode = (forward: string) =>
      rig.engine.directory.apply(
        parseConfig(
          stringify({ ...document, vips: document.vips.map((vip) => ({ ...vip, forward })) }),
          "nat.yaml",
        ).config,
      );
    const { slots } = mode("l2");
    assert.deepEqual(
      [slots.added.length, slots.removed.length],
      [0, 6],
      "two backends with a port each, two addresses",
    );
    assert.equal(pass(request()).decided, "forward new inserted");
    assert.equal(pass(answer()).decided, "pass not-vip none");
    assert.equal(mode("nat").slots.added.length, 6);
    assert.equal(pass(answer()).decided, "forward return hit");
    assert.equal(pass(request("A")).decided, "forward hit hit");
  });
});
