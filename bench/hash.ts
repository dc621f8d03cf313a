// `bench hash`: from a packet's bytes to the shard of its flow. Parsing, the lookup of the service and the flow key are
// one function of the data plane, steer(); it is called here once per packet, from JavaScript.

import { parseConfig } from "../src/config/load.ts";
import { Engine } from "../src/dataplane/engine.ts";
import { GuidewayError } from "../src/errors.ts";
import { FlowTemplate, type Service, smallestPacket } from "../src/io/flow-template.ts";
import { macBytes } from "../src/mac.ts";
import { type Case, type MicroResult, runCases } from "./micro.ts";
import type { SuiteOptions } from "./suite.ts";

const SECRET = [1n, 2n, 3n, 4n];
/** Packets of a call. */
const PACKETS = 128;
/** Bytes from packet to packet: all of them fit into the first-level cache, which frames as far apart as a NIC's do not. */
const STRIDE = 128;
const FLOW_STEP = 7919;
/** Services of each family. */
const MANY = 2000;
const FOREIGN = { ipv4: "192.0.2.1", ipv6: "2001:db8::1" } as const;

type Family = keyof typeof FOREIGN;

export function benchHash(options: SuiteOptions): MicroResult {
  return runCases([...cases("1-service", 1), ...cases(`${MANY}-services`, MANY)], options);
}

function services(count: number, family: Family): Service[] {
  const address = (i: number) =>
    family === "ipv4" ? `10.99.${i >> 8}.${i & 255}` : `fd99::${(i + 1).toString(16)}`;
  return Array.from({ length: count }, (_, i) => ({ address: address(i), protocol: "tcp", port: 80 }));
}

function engineFor(list: readonly Service[]): Engine {
  const vips = list.map((service, i) => ({ name: `v${i}`, ...service, pool: "web" }));
  const document = {
    conntrack: { flows: 1 },
    pools: { web: { tableSize: 251, backends: [{ address: "10.0.0.21" }] } },
    vips,
  };
  const { config } = parseConfig(JSON.stringify(document), "bench");
  return new Engine(config, { queues: 1, workers: 1 }, SECRET);
}

/** @param count services of each family */
function cases(name: string, count: number): Case[] {
  const own = { ipv4: services(count, "ipv4"), ipv6: services(count, "ipv6") };
  const engine = engineFor([...own.ipv4, ...own.ipv6]);
  const { frames } = engine.arena.plan.regions;
  return (["ipv4", "ipv6"] as const).flatMap((family, i) => {
    const foreign: Service = { address: FOREIGN[family], protocol: "tcp", port: 80 };
    const place = (part: number) => frames.offset + (2 * i + part) * PACKETS * STRIDE;
    return [
      steering(engine, place(0), `steer-${family}-${name}`, own[family], true),
      steering(engine, place(1), `steer-${family}-not-ours-${name}`, [foreign], false),
    ];
  });
}

/**
 * @param at arena address for the packets
 * @param list services that they are for, in turn
 * @param ours whether these are the balancer's
 */
function steering(engine: Engine, at: number, name: string, list: readonly Service[], ours: boolean): Case {
  const { arena, exports, config } = engine;
  const length = smallestPacket(list[0]!);
  const mac = macBytes(config.machine.mac);
  for (let i = 0; i < PACKETS; i++) {
    const service = list[Math.floor((i * list.length) / PACKETS)]!;
    new FlowTemplate(service, mac, length).write(arena.u32, arena.u16, at + i * STRIDE, i * FLOW_STEP, false);
  }
  const expected = ours ? PACKETS : 0;
  return {
    name,
    operations: PACKETS,
    run: () => {
      let steered = 0;
      for (let i = 0; i < PACKETS; i++) if (exports.steer(at + i * STRIDE, length) !== 0) steered++;
      if (steered === expected) return;
      throw new GuidewayError(
        "BENCH",
        `${name}: ${steered} of ${PACKETS} packets were for a VIP, expected ${expected}`,
      );
    },
  };
}
