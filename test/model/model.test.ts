import assert from "node:assert/strict";
import { test } from "node:test";
import * as layout from "../../assembly/layout.ts";
import { packet } from "../packets/packet.ts";
import { toHex } from "./bytes.ts";
import { Model, type Outcome } from "./model.ts";
import { type Config, type ModelSetup, offlineMac, offlineSetup, shardLinesFor } from "./setup.ts";

const config: Config = {
  machine: { address: "10.0.0.11" },
  pools: {
    web: {
      tableSize: 251,
      backends: [
        { name: "web-1", address: "10.0.0.21" },
        { name: "web-2", address: "10.0.0.22" },
      ],
    },
  },
  vips: [{ name: "web", address: "10.99.0.1", protocol: "tcp", port: [80, 443], pool: "web" }],
};

const setup = (): ModelSetup => offlineSetup(config);
const client = (sport: number, flags = "S") =>
  packet().ethernet().ipv4({ src: "192.0.2.1", dst: "10.99.0.1" }).tcp({ sport, flags }).bytes();
const short = (outcome: Outcome) => `${outcome.verdict} ${outcome.reason}`;

test("the offline setup of §6", () => {
  const made = setup();
  assert.equal(made.pools[0]?.backends[1]?.mac, "02:00:0a:00:00:16");
  assert.equal(offlineMac("fd00::1:2"), "02:06:00:01:00:02");
  assert.equal(made.pools[0]?.backends[1]?.id, 2);
  assert.equal(made.shardLines, 2048);
  assert.equal(shardLinesFor(1), 256);
  assert.equal(shardLinesFor(7 * 256 * 0.5 * 256), 256);
  assert.equal(shardLinesFor(7 * 256 * 0.5 * 256 + 1), 512);
});

test("a new flow takes its slot's backend and stays with it", () => {
  const model = new Model(setup());
  const first = model.process(client(1000), 0);
  assert.equal(short(first), "forward new");
  assert.equal(first.service, 2, "after the address service");
  assert.equal(first.vip, "web");
  assert.equal(first.track, layout.TRACK_INSERTED);
  assert.equal(first.backend, `web-${model.table("web")[first.slot!]}`);
  const second = model.process(client(1000, "A"), 16);
  assert.equal(short(second), "forward hit");
  assert.equal(second.backend, first.backend);
  assert.equal(second.slot, undefined);
  assert.equal(second.key, first.key);
  assert.ok(second.tracked);
});

test("a draining backend keeps its flows and a dead one loses them", () => {
  const model = new Model(setup());
  const { backends } = setup().pools[0]!;
  const first = model.process(client(1000), 0);
  const id = Number(first.backend!.slice(-1));
  model.setBackendState(id, "draining");
  model.setTable(
    "web",
    backends.map((b) => ({ ...b, state: b.id === id ? "draining" : "active" }) as const),
  );
  assert.equal(model.process(client(1000, "A"), 16).backend, first.backend);
  model.setBackendState(id, "dead");
  const moved = model.process(client(1000, "A"), 32);
  assert.equal(short(moved), "forward new");
  assert.equal(moved.track, layout.TRACK_REPLACED);
  assert.equal(moved.backend, `web-${3 - id}`);
});

test("an empty table drops new flows and remembers nothing of them", () => {
  const model = new Model(setup());
  const known = model.process(client(1000), 0);
  model.setTable("web", []);
  const refused = model.process(client(1001), 0);
  assert.equal(short(refused), "drop no-backend");
  assert.equal(refused.track, layout.TRACK_NONE);
  assert.equal(model.process(client(1000, "A"), 0).backend, known.backend, "known flows go on");
});

test("without a next hop the packet is dropped, after the table has learnt the flow", () => {
  const model = new Model(setup());
  model.setNextHop(1, undefined);
  model.setNextHop(2, undefined);
  assert.equal(short(model.process(client(1000), 0)), "drop unresolved");
  const again = model.process(client(1000, "A"), 0);
  assert.equal(short(again), "drop unresolved");
  assert.ok(again.tracked);
});

test("each backend leaves by its own interface", () => {
  const made = setup();
  made.interfaces.push({ mac: "02:bb:00:00:00:02", mtu: 1500 });
  for (const backend of made.pools[0]!.backends) backend.interface = 1;
  const { out } = new Model(made).process(client(1000), 0);
  assert.equal(toHex(out!.subarray(6, 12)), "02bb00000002");
});

test("a packet longer than a frame less its headroom never reaches the engine", () => {
  const long = packet().ethernet().ipv4({ src: "192.0.2.1", dst: "10.99.0.1" }).tcp().payload(1738);
  assert.equal(short(new Model(setup()).process(long.bytes(), 0)), "reply too-big-replied");
  assert.equal(short(new Model(setup()).process(long.payload(1).bytes(), 0)), "drop oversized");
});

test("of VIPs that share an address the first has the address service", () => {
  const made = offlineSetup({
    ...config,
    vips: [
      { ...config.vips[0]!, name: "a", echo: false },
      { ...config.vips[0]!, name: "b", port: 8080, protocol: "any" },
      { ...config.vips[0]!, name: "c", address: "2001:db8::1" },
    ],
  });
  const model = new Model(made);
  const to = (dst: string) => packet().ethernet().ipv4({ src: "192.0.2.1", dst });
  const services = [
    to("10.99.0.1").icmp(),
    to("10.99.0.1").tcp({ dport: 443 }),
    to("10.99.0.1").tcp({ dport: 8080 }),
    to("10.99.0.1").udp({ dport: 8080 }),
    packet().ethernet().ipv6({ src: "2001:db8::2", dst: "2001:db8::1" }).icmpv6(),
  ].map((sent) => model.process(sent.bytes(), 0));
  assert.deepEqual(
    services.map((outcome) => `${outcome.service} ${outcome.vip} ${outcome.reason}`),
    ["1 a icmp-unsupported", "3 a new", "4 b new", "5 b new", "6 c echo"],
  );
});
