import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { ConfigError, loadConfig, parseConfig } from "../../src/config/load.ts";

/** A configuration around the lines of one pool and one VIP. */
const WEB = `
pools:
  web: { backends: [{ address: 10.0.0.1, port: 80 }, { address: "FD00:0::2", port: 80 }] }
vips:
  - { name: web, address: 10.99.0.1, port: 80, pool: web }
`;
const EMPTY = "pools: {}\nvips: []\n";

const parse = (text: string) => parseConfig(text, "c.yaml").config;
const problems = (text: string) => {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split("\n");
    throw error;
  }
  return [];
};

suite("parseConfig", () => {
  test("fills in every default", () => {
    assert.deepEqual(parse(WEB), {
      machine: { name: "guideway", mac: "02:bb:00:00:00:01" },
      interfaces: [],
      frames: { size: 2048, count: "auto" },
      workers: { count: "auto", max: "auto", batch: 64, busyPoll: false },
      conntrack: {
        flows: 1_048_576,
        timeouts: { new: 60_000, established: 900_000, closing: 30_000, udp: 30_000 },
        newFlowsPerSecond: 0,
      },
      icmp: { errorsPerSecond: 1000 },
      hash: { seed: 0x5ca1ab1en },
      pools: {
        web: {
          algorithm: "maglev",
          tableSize: 65537,
          whenEmpty: "withdraw",
          backends: [
            { name: "10.0.0.1:80", address: "10.0.0.1", port: 80, weight: 1 },
            { name: "[fd00::2]:80", address: "fd00::2", port: 80, weight: 1 },
          ],
        },
      },
      vips: [
        {
          name: "web",
          address: "10.99.0.1",
          protocol: "tcp",
          port: [80],
          pool: "web",
          forward: "l2",
          tunnel: { ttl: 64, guePort: 6080, tooBig: "reply" },
          echo: true,
          quic: { routeBy: "none" },
        },
      ],
      change: { maxMoved: 1, watch: false, state: "/var/lib/guideway" },
      forwarder: {
        interval: 250,
        timeout: 250,
        rise: 2,
        fall: 2,
        probe: { interface: "gwprobe", firstPort: 20_000, ports: 12_768, table: 7867 },
      },
      admin: { socket: "/run/guideway/admin.sock" },
    });
  });

  test("takes every key that there is", () => {
    const config = parse(`
machine: { name: lb-1, address: 10.0.0.11, address6: "FD00::11", mac: "02-BB-00-00-00-0F" }
interfaces: [eth0, eth1]
frames: { size: 4096, count: 8192 }
workers: { count: 2, max: 4, cpus: [2, 3], batch: 32, busyPoll: true }
conntrack: { flows: 1000, timeouts: { new: 1s, established: 1h, closing: 1500ms, udp: 2m }, newFlowsPerSecond: 500 }
hash: { seed: 18446744073709551615 }
pools:
  web:
    algorithm: maglev
    tableSize: 7
    whenEmpty: open
    health:
      { type: http, port: 81, interval: 1s, jitter: 5%, timeout: 500ms, rise: 1, fall: 4, initial: down, via: direct,
        flap: { changes: 4, within: 30s, hold: 2m }, method: POST, path: /up, host: www, status: [200, "301-399"],
        body: /ok/i }
    backends:
      - { name: web-1, address: 10.0.0.21, port: 8080, weight: 0, mac: "02:00:00:00:00:21", healthPort: 82, quicServerId: "0A01" }
vips:
  - name: web
    address: 2001:DB8:0:0::1
    protocol: any
    port: [443, 80]
    pool: web
    forward: gre
    tunnel: { ttl: 1, guePort: 4754, tooBig: fragment, sourcePrefix: [172.16.0.0/16, "fd16::/64"] }
    echo: false
    guard: { allow: ["2001:DB8:0:1::/64", 192.0.2.1/32], deny: [::1], packetsPerSecond: { limit: 9, prefix: 0, prefix6: 48 } }
    quic: { routeBy: server-id }
admin: { socket: ./admin.sock }
`);
    assert.deepEqual(config.machine, {
      name: "lb-1",
      address: "10.0.0.11",
      address6: "fd00::11",
      mac: "02:bb:00:00:00:0f",
    });
    assert.deepEqual(config.interfaces, ["eth0", "eth1"]);
    assert.deepEqual(config.frames, { size: 4096, count: 8192 });
    assert.deepEqual(config.workers, { count: 2, max: 4, cpus: [2, 3], batch: 32, busyPoll: true });
    assert.deepEqual(config.conntrack, {
      flows: 1000,
      timeouts: { new: 1000, established: 3_600_000, closing: 1500, udp: 120_000 },
      newFlowsPerSecond: 500,
    });
    assert.equal(config.hash.seed, 0xffff_ffff_ffff_ffffn);
    assert.deepEqual(config.pools.web, {
      algorithm: "maglev",
      tableSize: 7,
      whenEmpty: "open",
      health: {
        ...{ type: "http", port: 81, interval: 1000, jitter: 50, timeout: 500, rise: 1, fall: 4 },
        ...{ initial: "down", via: "direct", flap: { changes: 4, within: 30_000, hold: 120_000 } },
        ...{ method: "POST", path: "/up", host: "www", body: "/ok/i" },
        status: [
          [200, 200],
          [301, 399],
        ],
      },
      backends: [
        {
          ...{ name: "web-1", address: "10.0.0.21", port: 8080, weight: 0, mac: "02:00:00:00:00:21" },
          healthPort: 82,
          quicServerId: "0a01",
        },
      ],
    });
    assert.deepEqual(config.vips[0], {
      name: "web",
      address: "2001:db8::1",
      protocol: "any",
      port: [443, 80],
      pool: "web",
      forward: "gre",
      tunnel: { ttl: 1, guePort: 4754, tooBig: "fragment", sourcePrefix: ["172.16.0.0/16", "fd16::/64"] },
      echo: false,
      guard: {
        allow: ["2001:db8:0:1::/64", "192.0.2.1"],
        deny: ["::1"],
        packetsPerSecond: { limit: 9, prefix: 0, prefix6: 48 },
      },
      quic: { routeBy: "server-id" },
    });
    assert.equal(config.admin.socket, "./admin.sock");
  });

  for (const [text, seed] of [
    ["0", 0n],
    ["1", 1n],
    ["0x5ca1ab1e", 0x5ca1ab1en],
    ['"0x5CA1AB1E"', 0x5ca1ab1en],
    ['"12345"', 12345n],
    ["9007199254740993", 9007199254740993n],
    ["0xffffffffffffffff", 0xffff_ffff_ffff_ffffn],
  ] as const)
    test(`hash.seed: ${text}`, () => {
      assert.equal(parse(`${EMPTY}hash: { seed: ${text} }`).hash.seed, seed);
    });

  test("keeps the order of pools, and names that objects have already", () => {
    const pools = ["zeta", "alpha", "constructor", "toString", "a.b"];
    const text = pools.map((name) => `  ${name}: { backends: [] }\n`).join("");
    assert.deepEqual(Object.keys(parse(`pools:\n${text}vips: []\n`).pools), pools);
  });

  test("a backend without a port is named by its address", () => {
    const { pools } = parse(
      'pools: { a: { backends: [{ address: 10.0.0.1 }, { address: "fd00::1" }] } }\nvips: []',
    );
    assert.deepEqual(
      pools.a?.backends.map((backend) => backend.name),
      ["10.0.0.1", "fd00::1"],
    );
  });

  test("anchors and aliases share text", () => {
    const { pools } = parse(
      "pools:\n  a: { backends: &all [{ address: 10.0.0.1 }] }\n  b: { backends: *all }\nvips: []\n",
    );
    assert.deepEqual(pools.a, pools.b);
  });

  test("an address may have a TCP VIP and a UDP VIP on one port", () => {
    const vip = (name: string, protocol: string) =>
      `  - { name: ${name}, address: 10.99.0.1, protocol: ${protocol}, port: 53, pool: web }\n`;
    assert.equal(parse(`${WEB}${vip("tcp", "tcp")}${vip("udp", "udp")}`).vips.length, 3);
  });

  test("l2 takes backends of either family for VIPs of either family, without any machine address", () => {
    assert.deepEqual(problems(`${WEB}  - { name: six, address: "2001:db8::1", port: 80, pool: web }\n`), []);
  });

  test("line ends of DOS and a byte order mark change neither values nor positions", () => {
    assert.deepEqual(parse(`\ufeff${WEB.replaceAll("\n", "\r\n")}`), parse(WEB));
    assert.match(
      problems("\ufeffpols: {}\r\nvips: []\r\nadmn: {}\r\n").join("\n"),
      /:3:1: admn: unknown key/,
    );
    assert.match(problems("\ufeffpols: {}\r\nvips: []\r\n").join("\n"), /:1:1: pols: unknown key "pols"/);
  });

  test("a version 1.1 directive brings back no yes and no sexagesimal", () => {
    assert.deepEqual(
      problems(`%YAML 1.1\n---\n${WEB.replace("port: 80, pool", "echo: yes, port: 80, pool")}`),
      ['c.yaml:7:44: vips[0].echo: "yes" is neither, expected true or false'],
    );
  });

  test("more than 100 errors are counted, and all are in issues", () => {
    const bad = Array.from({ length: 150 }, (_, index) => `k${index}: 1\n`).join("");
    assert.throws(
      () => parse(EMPTY + bad),
      (error) => {
        assert.ok(error instanceof ConfigError);
        assert.equal(error.issues.length, 150);
        assert.equal(error.message.split("\n").length, 101);
        assert.match(error.message, /… and 50 more$/);
        return true;
      },
    );
  });
});

suite("limits", () => {
  const backends = (count: number, from = 0) =>
    Array.from(
      { length: count },
      (_, index) =>
        `{ address: 10.${(index + from) >> 16}.${((index + from) >> 8) & 255}.${(index + from) & 255}, port: 1 }`,
    ).join(", ");
  const vip = (index: number, ports: string) =>
    `  - { name: v${index}, address: 11.0.${index >> 8}.${index & 255}, port: ${ports}, pool: web }\n`;

  test("4096 pools are allowed, one more is not", () => {
    const pools = (count: number) =>
      `pools: { ${Array.from({ length: count }, (_, index) => `p${index}: { backends: [] }`).join(", ")} }\nvips: []\n`;
    assert.deepEqual(problems(pools(4096)), []);
    assert.deepEqual(problems(pools(4097)), [
      "c.yaml:1:8: pools: 4097 pools are given, expected at most 4096",
    ]);
  });

  test("4096 VIPs are allowed, one more is not", () => {
    const vips = (count: number) =>
      `pools: { web: { backends: [] } }\nvips:\n${Array.from({ length: count }, (_, index) => vip(index, "1")).join("")}`;
    assert.deepEqual(problems(vips(4096)), []);
    assert.deepEqual(problems(vips(4097)), ["c.yaml:3:3: vips: 4097 VIPs are listed, expected at most 4096"]);
  });

  test("65535 backends in all pools are allowed, one more is not", () => {
    const pools = (last: number) =>
      `pools:\n  a: { backends: [${backends(65000)}] }\n  b: { backends: [${backends(last, 65000)}] }\nvips: []\n`;
    assert.deepEqual(problems(pools(535)), []);
    assert.deepEqual(problems(pools(536)), [
      "c.yaml:3:18: pools.b.backends: there are more than 65535 backends from here on, expected at most 65535 in all pools",
    ]);
  });

  test("65535 services are allowed, one more is not", () => {
    const ports = (count: number) => `[${Array.from({ length: count }, (_, index) => index + 1).join(",")}]`;
    const config = (last: number) =>
      `pools: { web: { backends: [] } }\nvips:\n${vip(0, ports(65000))}${vip(1, ports(last))}`;
    assert.deepEqual(problems(config(533)), []);
    assert.deepEqual(problems(config(534)), [
      "c.yaml:4:42: vips[1].port: there are more than 65535 services from here on, expected at most 65535: " +
        "one for each address, and one for each port or range and protocol of each VIP",
    ]);
  });

  for (const [what, text, message] of [
    [
      "brackets without end",
      "[".repeat(1 << 20),
      "values are nested more than 64 deep, expected a configuration",
    ],
    ["lists in lists", "- ".repeat(1 << 20), "values are nested more than 64 deep, expected a configuration"],
    [
      "values without end",
      "- a\n".repeat(2 << 20),
      "the file has more than 4000000 tokens, expected a configuration",
    ],
    [
      "text without end",
      "a".repeat((16 << 20) + 1),
      "the file is larger than 16 MiB, expected a configuration",
    ],
  ] as const)
    test(`${what} are refused before they are parsed`, () => {
      assert.deepEqual(problems(text), [`c.yaml: ${message}`]);
    });

  test("deep indentation and long chains of aliases are refused", () => {
    const deep = Array.from({ length: 3000 }, (_, index) => `${" ".repeat(index)}a:`).join("\n");
    assert.match(problems(deep)[0]!, /nested/);
    const chain = Array.from({ length: 5000 }, (_, index) => `a${index + 1}: &a${index + 1} [*a${index}]\n`);
    assert.match(problems(`a0: &a0 x\n${chain.join("")}`)[0]!, /nested more than 64 deep/);
  });

  test("a number of a million digits is refused without being written out", () => {
    assert.deepEqual(problems(`${EMPTY}hash: { seed: ${"9".repeat(1_000_000)} }`), [
      "c.yaml:3:15: hash.seed: the huge number is out of range, expected an integer of up to 64 bits, such as 0x5ca1ab1e",
    ]);
  });
});

suite("loadConfig", () => {
  test("files that cannot be read, each with its reason", (context) => {
    const directory = mkdtempSync(join(tmpdir(), "guideway-"));
    context.after(() => rmSync(directory, { recursive: true }));
    const latin = join(directory, "latin.yaml");
    writeFileSync(latin, Buffer.from("machine: { name: caf\xe9 }", "latin1"));
    for (const [file, message] of [
      [join(directory, "none.yaml"), "there is no such file, expected a readable YAML file"],
      [directory, "it is a directory, expected a readable YAML file"],
      [latin, "the file is not UTF-8, expected YAML text"],
      ["/dev/zero", "the file is larger than 16 MiB, expected a configuration"],
    ] as const)
      assert.throws(() => loadConfig(file), { name: "ConfigError", message: `${file}: ${message}` });
  });

  test("a file that is empty", () => {
    assert.throws(() => loadConfig("/dev/null"), {
      message: "/dev/null:1:1: the file is empty, expected at least the keys pools and vips",
    });
  });
});
