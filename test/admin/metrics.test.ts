// GET /metrics, read by a parser of others, against packets whose fate is known.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Exposition } from "../../src/admin/metrics/exposition.ts";
import { METRICS } from "../../src/admin/metrics.ts";
import { parseConfig } from "../../src/config/load.ts";
import { reasons, verdictOf } from "../../src/dataplane/reasons.ts";
import type { OfflinePacket } from "../../src/io/offline.ts";
import { packet } from "../packets/packet.ts";
import { countSamples, type Family, labelled, lint, readMetrics } from "./exposition.ts";
import { CONFIG, KERNEL, MemoryMachine } from "./machine.ts";
import { ANY_PORT, ask, serve } from "./serve.ts";

async function metricsOf(machine: MemoryMachine): Promise<Map<string, Family>> {
  const text = await new Exposition(machine).text();
  const families = readMetrics(text);
  const found = [...families.values()].reduce((sum, { samples }) => sum + samples.size, 0);
  assert.equal(found, countSamples(text), "the parser reads every sample");
  return families;
}

function value(
  families: Map<string, Family>,
  name: string,
  labels?: Record<string, string | number>,
): number {
  const found = families.get(name)?.samples.get(labelled(labels));
  assert.ok(found !== undefined, `${name}{${labelled(labels)}} is not there`);
  return found;
}

const ip = (port: number, dst: string) =>
  packet()
    .ethernet()
    .ipv4({ src: `192.0.2.${port % 200}`, dst });
const tcp = (port: number, payload = 0) =>
  ip(port, "10.99.0.1").tcp({ sport: port, dport: 80 }).payload(payload).bytes();
const udp = (port: number, payload = 0) =>
  ip(port, "10.99.0.2").udp({ sport: port, dport: 53 }).payload(payload).bytes();

/** Packets of known fates: 20 new TCP flows, each hit twice, 30 new UDP flows, and others. */
function traffic(): Uint8Array[] {
  const ports = Array.from({ length: 20 }, (_, n) => 1000 + n);
  return [
    ...ports.map((port) => tcp(port)),
    ...ports.map((port) => tcp(port, 10)),
    ...ports.map((port) => tcp(port, 100)),
    ...Array.from({ length: 30 }, (_, n) => udp(2000 + n, 8)),
    ip(1, "10.99.0.7").tcp({ dport: 80 }).bytes(),
    ip(1, "10.99.0.1").tcp({ dport: 81 }).bytes(),
    tcp(1).subarray(0, 30),
  ];
}

const EXPECTED = { new: 50, hit: 40, "not-vip": 2, truncated: 1 };
const TCP_BYTES = 20 * (40 + 50 + 140);
const UDP_BYTES = 30 * (28 + 8);

async function run(machine: MemoryMachine, packets = traffic()): Promise<OfflinePacket[]> {
  const timed = packets.map((bytes) => ({ bytes, timeMs: 0 }));
  await machine.offline.process(timed);
  return timed;
}

suite("metrics", () => {
  for (const workers of [1, 3]) {
    test(`are what the engine did, with ${workers} workers`, async () => {
      const machine = new MemoryMachine(CONFIG, workers);
      await run(machine);
      const metrics = await metricsOf(machine);
      for (const [code, reason] of reasons) {
        const expected = EXPECTED[reason as keyof typeof EXPECTED] ?? 0;
        const labels = { verdict: verdictOf(code), reason };
        assert.equal(value(metrics, "guideway_packets_total", labels), expected, reason);
      }
      assert.equal(metrics.get("guideway_packets_total")!.samples.size, reasons.size);
      const vips = ["web", "dns"].map((vip) => [
        value(metrics, "guideway_vip_packets_total", { vip }),
        value(metrics, "guideway_vip_bytes_total", { vip }),
      ]);
      assert.deepEqual(vips, [
        [60, TCP_BYTES],
        [30, UDP_BYTES],
      ]);
      const outcomes = (vip: string, reason: string) =>
        value(metrics, "guideway_vip_outcomes_total", { vip, reason });
      assert.deepEqual(
        [outcomes("web", "new"), outcomes("dns", "new"), outcomes("web", "echo")],
        [20, 30, 0],
      );
      const backends = ["web-1", "web-2"].map((backend) => {
        const of = (name: string) => value(metrics, `guideway_backend_${name}`, { pool: "web", backend });
        return ["packets_total", "bytes_total", "new_flows_total", "active_flows"].map(of);
      });
      const sums = backends[0]!.map((count, i) => count + backends[1]![i]!);
      assert.deepEqual(sums, [90, TCP_BYTES + UDP_BYTES, 50, 50]);
      assert.ok(backends.every((counts) => counts.every((count) => count > 0)));
      assert.equal(value(metrics, "guideway_conntrack_entries"), 50);
      const perWorker = (name: string) =>
        [...metrics.get(`guideway_worker_${name}`)!.samples.values()].reduce((a, b) => a + b, 0);
      assert.equal(metrics.get("guideway_worker_parked")!.samples.size, workers);
      assert.equal(perWorker("received_packets_total") - perWorker("handed_packets_total"), 93);
    });
  }

  test("counters only grow, and a second run adds to the first", async () => {
    const machine = new MemoryMachine();
    const exposition = new Exposition(machine);
    await run(machine);
    const first = readMetrics(await exposition.text());
    await run(machine);
    const second = readMetrics(await exposition.text());
    assert.equal(value(second, "guideway_vip_packets_total", { vip: "web" }), 120);
    for (const { name, type, samples } of first.values()) {
      if (type !== "counter") continue;
      for (const [key, before] of samples)
        assert.ok(second.get(name)!.samples.get(key)! >= before, `${name}{${key}}`);
    }
  });

  test("backends, tables and rings are what was configured", async () => {
    const machine = new MemoryMachine();
    const before = await metricsOf(machine);
    const share = (metrics: Map<string, Family>, backend: string) =>
      value(metrics, "guideway_backend_share_ratio", { pool: "web", backend });
    assert.equal(value(before, "guideway_backend_weight", { pool: "web", backend: "web-2" }), 3);
    assert.ok(Math.abs(share(before, "web-1") - 0.25) < 0.01);
    assert.equal(value(before, "guideway_table_slots", { pool: "web" }), 251);
    assert.equal(value(before, "guideway_table_slots", { pool: "spare" }), 0);
    const built = value(before, "guideway_table_build_duration_seconds", { pool: "web" });
    assert.ok(built > 0 && built < 1, `${built} s`);

    await machine.setBackendState("web", "web-1", { state: "draining" }, { by: "api" });
    const after = await metricsOf(machine);
    assert.deepEqual([share(after, "web-1"), share(after, "web-2")], [0, 1]);
    const states = ["active", "draining", "dead"].map((state) =>
      value(after, "guideway_backend_state", { pool: "web", backend: "web-1", state }),
    );
    assert.deepEqual(states, [0, 1, 0]);
    assert.equal(value(after, "guideway_table_builds_total", { pool: "web" }), 2);
    assert.equal(value(after, "guideway_table_epoch"), value(before, "guideway_table_epoch") + 1);

    const frames = machine.engine.arena.plan.frameCount;
    const queue = { interface: "eth0", queue: 0 };
    assert.equal(value(after, "guideway_ring_used_descriptors", { ...queue, ring: "fill" }), frames);
    assert.equal(value(after, "guideway_ring_used_descriptors", { ...queue, ring: "rx", worker: 0 }), 0);
    assert.equal(value(after, "guideway_ring_size_descriptors", { ...queue, ring: "tx", worker: 0 }), 2048);
  });

  test("after a change of the configuration, counters stay with the names that they are of", async () => {
    const machine = new MemoryMachine();
    await run(machine);
    const other = CONFIG.replace(/ {2}- \{ name: web, .*\n/, "").concat(
      "  - { name: new, address: 10.99.0.9, port: 80, pool: spare }\n",
    );
    machine.engine.directory.apply(parseConfig(other, "c.yaml").config);
    const metrics = await metricsOf(machine);
    const packets = (vip: string) =>
      metrics.get("guideway_vip_packets_total")!.samples.get(labelled({ vip }));
    assert.deepEqual(["web", "dns", "new"].map(packets), [undefined, 30, 0]);
  });

  test("what the kernel counted is there by interface", async () => {
    const metrics = await metricsOf(new MemoryMachine());
    const names = [
      "rx_dropped_packets",
      "rx_invalid_descriptors",
      "tx_invalid_descriptors",
      "rx_ring_full_packets",
      "rx_fill_ring_empty",
      "tx_ring_empty",
    ];
    const found = names.map((name) =>
      value(metrics, `guideway_interface_${name}_total`, { interface: "eth0" }),
    );
    assert.deepEqual(found, Object.values(KERNEL));
    assert.equal(value(metrics, "guideway_interface_attached", { interface: "eth0" }), 1);
  });

  test("what the machine found out about itself is there", async () => {
    const metrics = await metricsOf(new MemoryMachine());
    const forwarder = (name: string, labels = {}) => value(metrics, `guideway_forwarder_${name}`, labels);
    assert.equal(forwarder("healthy"), 0);
    assert.equal(forwarder("probes_total", { worker: "0" }), 20);
    assert.equal(forwarder("probe_failures_total", { worker: "1" }), 2);
    assert.equal(forwarder("probe_seconds", { worker: "0" }), 0.00125);
    assert.equal(forwarder("corruptions_total"), 1);
  });

  test("the process", async () => {
    const metrics = await metricsOf(new MemoryMachine());
    assert.ok(Math.abs(value(metrics, "process_start_time_seconds") - Date.now() / 1000) < 600);
    assert.ok(value(metrics, "process_cpu_seconds_total") > 0);
    assert.ok(value(metrics, "process_resident_memory_bytes") > 10e6);
  });

  test("names are as Prometheus wants them, and every family is documented and used", async () => {
    const metrics = await metricsOf(new MemoryMachine());
    assert.deepEqual([...metrics.values()].flatMap(lint), []);
    const declared = METRICS.flatMap(({ families }) => families);
    assert.deepEqual(
      [...metrics.keys()],
      declared.map(({ name }) => name),
    );
    for (const { name, labels } of declared) {
      const used = [...metrics.get(name)!.samples.keys()].flatMap((key) =>
        [...key.matchAll(/(\w+)="/g)].map(([, label]) => label!),
      );
      assert.deepEqual([...new Set(used)].sort(), [...labels].sort(), name);
      assert.ok(metrics.get(name)!.samples.size > 0, `${name} has no sample`);
    }
  });

  test("names with quotes and backslashes stay what they are", async () => {
    const odd = 'a"b\\n{c="d"},\\';
    const machine = new MemoryMachine(CONFIG.replace("name: web-1", `name: '${odd}'`));
    const metrics = await metricsOf(machine);
    assert.equal(value(metrics, "guideway_backend_weight", { pool: "web", backend: odd }), 1);
  });

  test("the number of samples depends on the configuration alone", async () => {
    const machine = new MemoryMachine();
    const exposition = new Exposition(machine);
    const before = countSamples(await exposition.text());
    await run(
      machine,
      Array.from({ length: 1000 }, (_, n) => tcp(1024 + n)),
    );
    assert.equal(countSamples(await exposition.text()), before);
  });

  test("an answer is made once for all who wait for it", async () => {
    const exposition = new Exposition(new MemoryMachine());
    const first = exposition.text();
    assert.equal(exposition.text(), first);
    await first;
    assert.notEqual(exposition.text(), first);
  });

  test("many who ask at once get whole answers, in the format's content type", async (t) => {
    const { server, machine } = await serve(t, { listen: ANY_PORT });
    await run(machine);
    const replies = await Promise.all(Array.from({ length: 20 }, () => ask(`${server.url}/metrics`)));
    for (const { status, headers, text } of replies) {
      assert.equal(status, 200);
      assert.match(String(headers["content-type"]), /^text\/plain; version=0\.0\.4/);
      assert.equal(value(readMetrics(text), "guideway_vip_packets_total", { vip: "web" }), 60);
    }
  });
});
