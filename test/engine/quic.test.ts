// QUIC packets while backends come and go. What packets look like is test/fixtures/quic.md.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { stringify } from "yaml";
import { parseConfig } from "../../src/config/load.ts";
import { OfflineEngine } from "../../src/io/offline.ts";
import { packet } from "../packets/packet.ts";
import { runs } from "../runs.ts";

const BACKENDS = 5;

function engineWith(backends: { name: string; quicServerId: string }[], workers = 1): OfflineEngine {
  const config = {
    conntrack: { flows: 1000 },
    pools: {
      h3: { tableSize: 251, backends: backends.map((each, i) => ({ ...each, address: `10.0.0.${21 + i}` })) },
    },
    vips: [
      {
        ...{ name: "h3", address: "10.99.0.1", protocol: "udp", port: 443, pool: "h3" },
        quic: { routeBy: "server-id" },
      },
    ],
  };
  return new OfflineEngine(parseConfig(stringify(config), "quic.yaml").config, { workers, inline: true });
}

const backends = Array.from({ length: BACKENDS }, (_, i) => ({
  name: `b${i + 1}`,
  quicServerId: (i + 1).toString(16).padStart(8, "c0"),
}));

/** A packet with a short header of the connection to the n-th backend, from the m-th address. */
function shortPacket(n: number, m: number): Uint8Array {
  const id = Buffer.from(`5a${backends[n - 1]!.quicServerId}0011223344`, "hex");
  const ip = packet()
    .ethernet()
    .ipv4({ src: `192.0.2.${1 + (m % 250)}`, dst: "10.99.0.1" });
  return ip
    .udp({ sport: 1024 + m, dport: 443 })
    .payload(Buffer.concat([Uint8Array.of(0x41), id]))
    .bytes();
}

suite("QUIC by server id", () => {
  const send = async (engine: OfflineEngine, packets: Uint8Array[]) =>
    (await engine.process(packets.map((bytes) => ({ bytes, timeMs: 0 })))).map(
      ({ reason, backend }) => `${reason} ${backend}`,
    );

  test("connections stay at their backend whatever their address, and leave no entry", async () => {
    const engine = engineWith(backends, 2);
    const moves = Array.from({ length: runs.flows.flows }, (_, m) => 1 + (m % BACKENDS));
    const results = await send(engine, moves.map(shortPacket));
    assert.deepEqual(
      results,
      moves.map((n) => `server-id ${n}`),
    );
    assert.equal(
      engine.engine.statistics.workers().reduce((sum, { entries }) => sum + entries, 0),
      0,
    );
    const { packets, newFlows } = engine.engine.statistics.backend(1);
    assert.deepEqual([packets, newFlows], [moves.filter((n) => n === 1).length, 0]);
    const { directory, statistics } = engine.engine;
    assert.deepEqual(statistics.vipReasons(directory.vipNumbers[0]!), { "server-id": moves.length });
    assert.equal(statistics.vip(directory.vipNumbers[0]!).packets, moves.length);
  });

  test("a draining backend keeps its connections, a dead one's go elsewhere as flows, and come back to it", async () => {
    const engine = engineWith(backends);
    const { directory } = engine.engine;
    directory.setBackendState(3, "draining");
    assert.deepEqual(await send(engine, [shortPacket(3, 1)]), ["server-id 3"]);
    directory.setBackendState(3, "dead");
    const [first, again] = await send(engine, [shortPacket(3, 1), shortPacket(3, 1)]);
    assert.match(first!, /^new [^3]$/);
    assert.equal(again, first!.replace("new", "hit"));
    directory.setBackendState(3, "active");
    assert.deepEqual(await send(engine, [shortPacket(3, 1)]), ["server-id 3"]);
  });

  test("a backend that leaves the configuration is not found any more, nor is one under its old id", async () => {
    const engine = engineWith(backends);
    const { directory, config } = engine.engine;
    const pool = config.pools.h3!;
    const others = pool.backends.filter(({ name }) => name !== "b2");
    const renamed = others.map((each) =>
      each.name === "b4" ? { ...each, quicServerId: backends[1]!.quicServerId } : each,
    );
    directory.apply({ ...config, pools: { h3: { ...pool, backends: others } } });
    assert.match((await send(engine, [shortPacket(2, 7)]))[0]!, /^new [^2]$/);
    directory.apply({ ...config, pools: { h3: { ...pool, backends: renamed } } });
    const [two, four] = await send(engine, [shortPacket(2, 7), shortPacket(4, 8)]);
    assert.equal(two, "server-id 4");
    assert.match(four!, /^new /);
  });
});
