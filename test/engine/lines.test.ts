// The engine against the model where lines of the connection table are crowded: all traffic is in a handful of them, while
// backends come and go, tables are swapped and next hops change. Evictions depend on the order of everything, so that one
// wrong step shows in all that follow. One worker and four decide alike.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { stringify } from "yaml";
import { parseConfig } from "../../src/config/load.ts";
import type { BackendState } from "../../src/dataplane/backend-records.ts";
import { OfflineEngine } from "../../src/io/offline.ts";
import { macBytes } from "../../src/mac.ts";
import { random } from "../dataplane/random.ts";
import { Model } from "../model/model.ts";
import { type BackendSetup, type Config, offlineMac, offlineSetup } from "../model/setup.ts";
import type { TimedPacket } from "../packets/hostile.ts";
import { runs } from "../runs.ts";
import { type Flow, flowsAt, homeOf, neighbourOf, nthFlow, packetOf, type Service } from "./collisions.ts";
import { compare } from "./compare.ts";
import { activeFlows, countedEntries, entries } from "./entries.ts";
import { republish } from "./republish.ts";

const FLAGS = ["S", "S", "S", "A", "A", "PA", "FA", "R", "SA", ""];
const STATES: BackendState[] = ["active", "active", "draining", "dead", "dead"];
/** Milliseconds between packets, now and then: short, close to a timeout, beyond all of them. */
const PAUSES = [1, 5, 10, 20, 40, 100, 400, 1040, 3200, 20_000];
const CHECK_EVERY = 16;

const setup: Config = {
  conntrack: { flows: 1, timeouts: { new: "1s", established: "3s", closing: "1s", udp: "2s" } },
  pools: {
    web: {
      tableSize: 13,
      backends: Array.from({ length: 6 }, (_, i) => ({ name: `b${i + 1}`, address: `10.0.0.2${i + 1}` })),
    },
  },
  vips: [
    { name: "web", address: "10.99.0.1", port: 80, pool: "web" },
    { name: "dns", address: "10.99.0.1", protocol: "udp", port: 53, pool: "web" },
    { name: "web6", address: "fd99::1", port: 80, pool: "web" },
  ],
};
const SERVICES: Service[] = [
  { number: 2, address: "10.99.0.1", protocol: "tcp", port: 80 },
  { number: 3, address: "10.99.0.1", protocol: "udp", port: 53 },
  { number: 5, address: "fd99::1", protocol: "tcp", port: 80 },
];

/** Engines and a model to which everything happens at the same time. */
class Several {
  readonly engines: OfflineEngine[];
  readonly #model: Model;
  readonly #backends: BackendSetup[];
  readonly tracks = new Map<string, number>();

  constructor(workers: number[]) {
    const { config } = parseConfig(stringify(setup), "lines.yaml");
    this.engines = workers.map((count) => new OfflineEngine(config, { workers: count, inline: true }));
    const offline = offlineSetup(setup);
    this.#model = new Model(offline);
    this.#backends = offline.pools[0]!.backends;
  }

  setBackendState(id: number, state: BackendState): void {
    for (const { engine } of this.engines) engine.directory.setBackendState(id, state);
    this.#backends[id - 1]!.state = state;
    this.#model.setTable("web", this.#backends);
  }

  publishTable(): void {
    for (const { engine } of this.engines) republish(engine.directory, "web");
  }

  setNextHop(id: number, resolved: boolean): void {
    const backend = this.#backends[id - 1]!;
    const mac = offlineMac(backend.address);
    if (resolved) backend.mac = mac;
    else delete backend.mac;
    for (const { engine } of this.engines) {
      engine.directory.setNextHop(id, resolved ? { mac: macBytes(mac), interface: 0 } : undefined);
    }
    this.#model.setNextHop(id, backend.mac);
  }

  async process(packets: TimedPacket[]): Promise<void> {
    const results = await Promise.all(
      this.engines.map((engine) =>
        engine.process(packets.map(({ bytes, clockMs }) => ({ bytes, timeMs: clockMs }))),
      ),
    );
    const names = (id: number) => this.engines[0]!.engine.directory.backends[id]?.config.name;
    for (const [i, packet] of packets.entries()) {
      const outcome = this.#model.process(packet.bytes, packet.clockMs);
      for (const each of results) compare(each[i]!, outcome, names, packet);
      const { track } = results[0]![i]!;
      this.tracks.set(track, (this.tracks.get(track) ?? 0) + 1);
    }
  }

  /** Each backend's active flows are those that are in the table, and none that the model has is missing. */
  checkActiveFlows(): void {
    for (const { engine } of this.engines) {
      const { counted, found } = activeFlows(engine);
      assert.deepEqual(counted, found);
      assert.equal(countedEntries(engine.arena), entries(engine.arena).length);
      for (const { id } of this.#backends) {
        assert.ok(found[id]! >= this.#model.activeFlows(id), "the model counts no expired ones");
      }
    }
  }
}

/** Flows of all services in two pairs of neighbouring lines, twice as many as there is room for. */
function crowds(): Flow[] {
  const homes = [homeOf(nthFlow(SERVICES[0]!, 0).key), homeOf(nthFlow(SERVICES[0]!, 1).key)];
  const lines = homes.flatMap((home) => [home, neighbourOf(home)]);
  const [tcp, udp, tcp6] = SERVICES as [Service, Service, Service];
  return [...flowsAt(tcp, lines, 30), ...flowsAt(udp, lines, 10), ...flowsAt(tcp6, lines, 14)];
}

suite("crowded lines", () => {
  const { packets: most } = runs.lines;
  test(`${most} packets: model, one worker and four agree, whatever changes meanwhile`, async () => {
    const all = new Several([1, 4]);
    const flows = crowds();
    const next = random(runs.seed);
    const below = (n: number) => Math.floor(next() * n);
    let clockMs = 0;
    for (let sent = 0, round = 0; sent < most; round++) {
      const packets: TimedPacket[] = [];
      for (let n = 1 + below(60); n > 0; n--) {
        if (below(5) === 0) clockMs += PAUSES[below(below(20) === 0 ? PAUSES.length : 5)]!;
        const flow = flows[below(flows.length)]!;
        packets.push({ bytes: packetOf(flow, FLAGS[below(FLAGS.length)]), clockMs });
      }
      await all.process(packets);
      sent += packets.length;
      const id = 1 + below(6);
      const what = below(8);
      if (what < 3) all.setBackendState(id, STATES[below(STATES.length)]!);
      if (what === 3) all.publishTable();
      if (what === 4) all.setNextHop(id, below(4) > 0);
      if (round % CHECK_EVERY === 0) all.checkActiveFlows();
    }
    console.log(`# ${most} packets:`, Object.fromEntries(all.tracks));
    for (const track of ["hit", "hit-away", "inserted", "inserted-away", "evicted", "replaced"]) {
      const times = all.tracks.get(track) ?? 0;
      assert.ok(times > most / 200, `${track} happened ${times} times: not crowded enough`);
    }
  });
});
