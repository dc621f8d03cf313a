// The XDP program's services of more than one address or port against the plain model, by BPF_PROG_TEST_RUN.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parseConfig } from "../../src/config/load.ts";
import { expandServices, isWildcard, type Service, serviceKey } from "../../src/config/services.ts";
import { WildcardSteering } from "../../src/io/wildcard-steering.ts";
import { addressBytes } from "../model/bytes.ts";
import { Services } from "../model/services.ts";
import { offlineSetup } from "../model/setup.ts";
import { native } from "./addon.ts";
import { type Find, flowKey, shardOf } from "./filter-model.ts";
import { withoutRoot } from "./namespace.ts";
import { build, ICMP, ICMPV6, TCP, UDP } from "./packets.ts";
import { generator } from "./random.ts";
import { SECRET } from "./services.ts";

const skip = withoutRoot || (native.hasProgram() ? false : "built without the XDP program");

interface Vip {
  address: string;
  protocol?: "tcp" | "udp" | "any";
  port: number | string | (number | string)[];
}

const VIPS: Vip[] = [
  { address: "10.99.0.1", protocol: "any", port: [80, "1000-1499"] },
  { address: "10.99.0.0/30", port: [443, "1000-1999"] },
  { address: "10.99.0.0/24", protocol: "any", port: 0 },
  { address: "10.99.0.0/24", port: ["1200-1300", 80] },
  { address: "10.96.0.0/11", protocol: "udp", port: ["1-65535"] },
  { address: "10.99.1.7", port: 0 },
  { address: "fd99::1", protocol: "any", port: [80, 443] },
  { address: "fd99::/125", protocol: "udp", port: "1000-1499" },
  { address: "fd99::/64", protocol: "any", port: [53, "1000-1999"] },
  { address: "fd00::/16", port: 0 },
];

function bed() {
  const program = native.XdpProgram.load({ sockets: 1, services: 1024, interfaces: 1 });
  program.setSecret(new Uint8Array(BigUint64Array.from(SECRET).buffer));
  const steering = new WildcardSteering(program);
  let services: Service[] = [];
  let find: Find = () => undefined;
  /** Puts VIPs in force, in the order of a reload. */
  const follow = (vips: Vip[]) => {
    const document = {
      pools: { p: { backends: [] } },
      vips: vips.map((vip, i) => ({ name: `v${i}`, pool: "p", ...vip })),
    };
    const next = expandServices(parseConfig(JSON.stringify(document), "c.yaml").config);
    const key = ({ address, protocol, port }: Service) =>
      serviceKey({ address, protocol, port: Number(port) });
    const names = (list: Service[]) => new Set(list.map((each) => JSON.stringify({ ...each, vipIndex: 0 })));
    const [old, now] = [names(services), names(next)];
    const removed = services.filter((each) => !now.has(JSON.stringify({ ...each, vipIndex: 0 })));
    const added = next.filter((each) => !old.has(JSON.stringify({ ...each, vipIndex: 0 })));
    for (const each of removed) if (!isWildcard(each)) program.deleteService(key(each));
    steering.remove(removed.filter(isWildcard));
    for (const each of added) if (!isWildcard(each)) program.setService(key(each), each.number);
    steering.add(added.filter(isWildcard));
    services = next;
    const model = new Services(offlineSetup(document).vips);
    find = (address, protocol, port) => model.find(Uint8Array.from(address), protocol, port);
  };
  /** What the program says about packets at the edges of prefixes and ranges. @returns how many were for a VIP */
  const compare = (packets: number, seed: number) => {
    const below = generator(seed);
    const pick = <T>(values: readonly T[]): T => values[below(values.length)]!;
    const v4 = [
      "10.99.0.0",
      "10.99.0.1",
      "10.99.0.3",
      "10.99.0.4",
      "10.99.0.255",
      "10.99.1.7",
      "10.127.255.255",
    ];
    const v6 = [
      "fd99::",
      "fd99::1",
      "fd99::7",
      "fd99::8",
      "fd99::ffff:ffff:ffff:ffff",
      "fd99:0:0:1::",
      "fd00::",
    ];
    const strangers = { 4: ["10.128.0.0", "10.95.255.255"], 6: ["fd9a::1", "fc99::1"] };
    const ports = [0, 1, 53, 80, 443, 999, 1000, 1199, 1200, 1300, 1301, 1499, 1500, 1999, 2000, 65535];
    let ours = 0;
    for (let i = 0; i < packets; i++) {
      const family = below(2) === 0 ? 4 : 6;
      const known = family === 4 ? v4 : v6;
      const packet = build({
        source: Array.from({ length: family === 4 ? 4 : 16 }, () => below(256)),
        destination: [...addressBytes(below(8) === 0 ? pick(strangers[family]) : pick(known))],
        protocol: below(8) === 0 ? (family === 4 ? ICMP : ICMPV6) : pick([TCP, UDP]),
        sourcePort: below(65536),
        destinationPort: below(8) === 0 ? below(65536) : pick(ports),
      });
      const key = flowKey(packet, find, SECRET);
      const expected = key === null ? 0 : 0x100 | shardOf(key);
      assert.equal(program.testRun("shard", packet), expected, Buffer.from(packet).toString("hex"));
      if (key !== null) ours++;
    }
    return ours;
  };
  return { follow, compare };
}

suite("wildcards in the XDP program", { skip }, () => {
  test("agree with the model on 10,000 packets", () => {
    const { follow, compare } = bed();
    follow(VIPS);
    const ours = compare(10_000, 7);
    assert.ok(ours > 5000 && ours < 9000, `one-sided input: ${ours} ours`);
  });

  test("come and go with reloads", () => {
    const { follow, compare } = bed();
    const below = generator(11);
    for (let round = 0; round < 12; round++) {
      follow(VIPS.filter(() => below(3) > 0));
      compare(300, round + 1);
    }
    follow([]);
    assert.equal(compare(300, 5), 0);
  });

  test("the longest nesting that there can be", () => {
    const { follow, compare } = bed();
    const nested = Array.from({ length: 113 }, (_, i) => ({
      address: i === 112 ? "fd99::" : `fd99::/${16 + i}`,
      port: [5000 + i, "6000-6001"],
    }));
    follow([...nested, { address: "fd99::/16", protocol: "udp", port: 0 }]);
    assert.ok(compare(1000, 3) > 0);
  });

  test("arguments that make no sense are refused by name", () => {
    const program = native.XdpProgram.load({ sockets: 1, services: 4, interfaces: 1 });
    const wildcard = { id: 1, tcpNumber: 1, udpNumber: 0, addressNumber: 2 };
    const refused = (message: RegExp) => ({ code: "ERR_NATIVE_ARGUMENT", message });
    assert.throws(() => program.setWildcard(new Uint8Array(5), 8, wildcard), refused(/address is 5 bytes/));
    assert.throws(() => program.setWildcard(new Uint8Array(4), 33, wildcard), refused(/length is 33/));
    assert.throws(
      () => program.setWildcard(new Uint8Array(4), 8, { ...wildcard, tcpNumber: 65536 }),
      refused(/number is 65536/),
    );
    assert.throws(() => program.addPorts(1, TCP, 80, 17), refused(/bits is 17/));
    assert.equal(program.deleteWildcard(new Uint8Array(4), 8), false);
    assert.equal(program.deletePorts(1, TCP, 80, 16), false);
  });
});
