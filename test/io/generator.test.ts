// Generated traffic: as many flows as asked for, to the workers that own them; every frame comes back.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parseConfig } from "../../src/config/load.ts";
import { auditFrames } from "../../src/dataplane/audit.ts";
import { type DataplaneExports, instantiate, loadModule, noSockets } from "../../src/dataplane/binary.ts";
import { Engine } from "../../src/dataplane/engine.ts";
import { PACKET_RING_ENTRIES } from "../../src/dataplane/plan.ts";
import { Statistics } from "../../src/dataplane/statistics.ts";
import { FlowTemplate, type Service } from "../../src/io/flow-template.ts";
import { Generator, type GeneratorOptions } from "../../src/io/generator.ts";
import { macBytes } from "../../src/mac.ts";

const MAC = macBytes("02:00:00:00:00:21");
const SERVICES: Service[] = [
  { address: "10.99.0.1", protocol: "tcp", port: 80 },
  { address: "fd99::1", protocol: "udp", port: 53 },
];
const CLOCK_MS = 16;
const PASSES = 1024;

class Rig {
  readonly engine: Engine;
  readonly generator: Generator;
  readonly #workers: DataplaneExports[];

  constructor(options: Partial<GeneratorOptions>, workers = 1) {
    const document = {
      conntrack: { flows: 100_000 },
      pools: { web: { tableSize: 251, backends: [{ address: "10.0.0.21" }] } },
      vips: SERVICES.map((service, i) => ({ name: `v${i}`, ...service, pool: "web" })),
    };
    const { config } = parseConfig(JSON.stringify(document), "test");
    this.engine = new Engine(config, { queues: 1, workers }, [1n, 2n, 3n, 4n]);
    this.engine.directory.setInterface(0, { mac: macBytes("02:bb:00:00:00:01"), mtu: 1500 });
    this.engine.directory.setNextHop(1, { mac: MAC, interface: 0 });
    this.generator = new Generator(this.engine, { services: SERVICES, flows: 1000, ...options });
    this.engine.offerFrames();
    this.#workers = Array.from({ length: workers }, (_, worker) => {
      const exports = instantiate(loadModule("#dataplane.wasm"), this.engine.arena.memory, noSockets);
      exports.attach(worker);
      return exports;
    });
  }

  /** Lets the workers take all there is. @returns packets that left */
  run(look?: (packet: Uint8Array) => void): number {
    for (const exports of this.#workers) exports.run(CLOCK_MS, PASSES);
    const sent = this.generator.collect((start, length) => look?.(this.engine.arena.read(start, length)));
    for (const exports of this.#workers) exports.settle();
    return sent;
  }

  get reasons(): Record<string, number> {
    return new Statistics(this.engine.arena).reasons();
  }
}

suite("generator", () => {
  test("opens flows, then comes to each of them once in a round", () => {
    const rig = new Rig({});
    assert.equal(rig.generator.open(1000), 1000);
    assert.equal(rig.run(), 1000);
    assert.deepEqual(rig.reasons, { new: 1000 });
    assert.equal(rig.generator.offer(1000), 1000);
    const flows = new Set<number>();
    const templates = SERVICES.map((service) => new FlowTemplate(service, MAC, 64));
    rig.run((packet) => flows.add(templates[packet[12] === 0x08 ? 0 : 1]!.flowOf(packet)));
    assert.equal(flows.size, 1000);
    assert.equal(Math.max(...flows), 999);
    assert.deepEqual(rig.reasons, { new: 1000, hit: 1000 });
  });

  test("opens flows by its own when none is open", () => {
    const rig = new Rig({ flows: 10 });
    rig.generator.offer(1000);
    rig.run();
    assert.deepEqual(rig.reasons, { new: 1, hit: 999 });
  });

  test("churn is the share of packets that open a flow", () => {
    const rig = new Rig({ flows: 100, churn: 0.1 });
    rig.generator.open(100);
    rig.run();
    rig.generator.offer(2000);
    rig.run();
    const { new: opened = 0, hit = 0 } = rig.reasons;
    assert.ok(Math.abs(opened - 300) <= 1, `${opened} opened`);
    assert.equal(opened + hit, 2100);
  });

  test("flows go to the services in turn", () => {
    const rig = new Rig({});
    rig.generator.open(1000);
    rig.run();
    const statistics = new Statistics(rig.engine.arena);
    assert.deepEqual(
      [0, 1].map((vip) => statistics.vip(vip).packets),
      [500, 500],
    );
  });

  test("steers like the XDP program: no worker hands a packet on", () => {
    const rig = new Rig({}, 3);
    rig.generator.open(1000);
    assert.equal(rig.run(), 1000);
    const workers = new Statistics(rig.engine.arena).workers();
    assert.deepEqual(
      workers.map(({ handed }) => handed),
      [0, 0, 0],
    );
    for (const { packets } of workers) assert.ok(packets > 250, `${packets}`);
  });

  test("a full RX ring loses packets, not frames", () => {
    const rig = new Rig({});
    assert.equal(rig.generator.open(3000), PACKET_RING_ENTRIES);
    assert.equal(rig.generator.lost, 3000 - PACKET_RING_ENTRIES);
    assert.equal(rig.run(), PACKET_RING_ENTRIES);
    const { missing, duplicated, invalid } = auditFrames(rig.engine);
    assert.deepEqual({ missing, duplicated, invalid }, { missing: [], duplicated: [], invalid: [] });
    assert.equal(rig.generator.open(1), 1);
  });

  test("options that do not fit are refused", () => {
    assert.throws(() => new Rig({ flows: 0 }), { code: "GENERATOR", message: /flows is 0/ });
    assert.throws(() => new Rig({ packetBytes: 1793 }), {
      code: "GENERATOR",
      message: /packetBytes is 1793/,
    });
  });
});
