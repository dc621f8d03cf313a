// The key `health` of a pool: what it becomes, by type, and the ports that checks go to.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { compilePattern, payloadBytes } from "../../src/config/expectation.ts";
import { formatIssue, parseConfig } from "../../src/config/load.ts";
import { healthTargets } from "../../src/health/targets.ts";

const parse = (
  health: string,
  backends = "{ address: 10.0.0.1 }",
  vips = "{ name: v, address: 10.99.0.1, port: 80, pool: p }",
) =>
  parseConfig(`pools: { p: { health: { ${health} }, backends: [${backends}] } }\nvips: [${vips}]`, "c.yaml");

const SCHEDULE = {
  ...{ interval: 2000, jitter: 200, timeout: 1000, rise: 2, fall: 3 },
  ...{ initial: "first-result", via: "direct" },
};

suite("health by type, with its defaults", () => {
  for (const [options, expected] of [
    ["type: tcp", {}],
    ["type: http", { method: "GET", path: "/", status: [[200, 299]] }],
    ["type: https", { method: "GET", path: "/", status: [[200, 299]], tls: { verify: true } }],
    ["type: dns, query: example.com", { query: "example.com", recordType: "A", rcode: ["NOERROR"] }],
    ["type: udp", { query: "" }],
    ["type: grpc", { service: "" }],
    ["type: exec, command: [/bin/true]", { command: ["/bin/true"] }],
  ] as [string, object][])
    test(options, () => {
      const { health } = parse(options).config.pools.p!;
      assert.deepEqual(health, { ...SCHEDULE, type: /type: (\w+)/.exec(options)![1], ...expected });
    });

  test("a timeout that is not given is no longer than the interval", () => {
    assert.equal(parse("type: tcp, interval: 300ms").config.pools.p!.health!.timeout, 300);
  });
});

suite("where checks go", () => {
  const targets = (health: string, backends: string, vips?: string) =>
    healthTargets(parse(health, backends, vips).config).map(
      ({ backend, check }) => `${backend} ${check.port}`,
    );

  test("the port: of the backend's healthPort, the check, the backend, the VIPs", () => {
    const backends =
      "{ name: a, address: 10.0.0.1, healthPort: 1, port: 3 }, { name: b, address: 10.0.0.2, port: 3 }, { name: c, address: 10.0.0.3 }";
    assert.deepEqual(targets("type: tcp, port: 2", backends), ["a 1", "b 2", "c 2"]);
    assert.deepEqual(targets("type: tcp", backends), ["a 1", "b 3", "c 80"]);
    assert.deepEqual(targets("type: exec, command: [/bin/true]", "{ name: c, address: 10.0.0.3 }", ""), [
      "c undefined",
    ]);
  });

  test("backends with the same port share the check, pools without health have none", () => {
    const { config } = parse("type: tcp", "{ address: 10.0.0.1 }, { address: 10.0.0.2 }");
    const [one, two] = healthTargets(config);
    assert.equal(one!.check, two!.check);
    assert.deepEqual(
      healthTargets(parseConfig("pools: { p: { backends: [{ address: 10.0.0.1 }] } }\nvips: []", "c").config),
      [],
    );
  });

  test("through the tunnel: to the pool's VIP with that port and protocol, from the backend's own port", () => {
    const vips =
      "{ name: t, address: 10.99.0.1, port: 53, pool: p }, { name: other, address: 10.99.0.2, protocol: udp, port: 53, pool: q }, " +
      "{ name: u, address: 10.99.0.3, protocol: any, port: [52, 53], pool: p }";
    const { config } = parseConfig(
      `pools: { q: { backends: [] }, p: { health: { type: dns, query: ., port: 53, via: tunnel }, backends: [{ name: a, address: 10.0.0.1 }, { name: b, address: 10.0.0.2 }] } }\nvips: [${vips}]`,
      "c",
    );
    const found = healthTargets(config, (pool, backend, vip) =>
      backend.name === "a" ? { localAddress: `${pool} ${vip.name}`, localPort: 7 } : undefined,
    );
    assert.deepEqual(
      found.map(({ check: { port }, ...rest }) => ({ ...rest, port })),
      [{ pool: "p", backend: "a", address: "10.99.0.3", localAddress: "p u", localPort: 7, port: 53 }],
    );
    assert.deepEqual(healthTargets(config), []);
  });

  test("a healthPort without health is worth a warning", () => {
    const { warnings } = parseConfig(
      "pools: { p: { backends: [{ address: 10.0.0.1, healthPort: 1 }, { address: 10.0.0.2 }] } }\nvips: [{ name: v, address: 10.99.0.1, port: 80, pool: p }]",
      "c",
    );
    assert.deepEqual(warnings.map(formatIssue), [
      "c:1:59: pools.p.backends[0].healthPort: the pool has no health: this port has no effect",
    ]);
  });
});

suite("patterns and payloads", () => {
  for (const [pattern, text, matches] of [
    ["ok", "looking ok", true],
    ["ok", "OK", false],
    ["/^ok$/i", "OK", true],
    ["/^b$/m", "a\nb", true],
    ["/a.b/s", "a\nb", true],
    ["/a/b", "x/a/b", true],
    ["/", "a/b", true],
    ["hex:0a 62", "a\nb", true],
    ["é", "café", true],
  ] as [string, string, boolean][])
    test(`${pattern} in ${JSON.stringify(text)}`, () => {
      assert.equal(compilePattern(pattern)(Buffer.from(text)), matches);
    });

  test("payloads", () => {
    assert.equal(payloadBytes("hex:00 fF").toString("hex"), "00ff");
    assert.equal(payloadBytes("hexagon").toString(), "hexagon");
    assert.throws(() => payloadBytes("hex:00f"), /hexadecimal/);
  });
});
