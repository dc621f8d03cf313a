import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { formatIssue, parseConfig } from "../../src/config/load.ts";

const warnings = (text: string) => parseConfig(text, "c.yaml").warnings.map(formatIssue);
const VIPS = "vips: [{ name: web, address: 10.99.0.1, port: 80, pool: web }]\n";
const backends = (count: number, weight = 1) =>
  Array.from({ length: count }, (_, index) => `{ address: 10.0.0.${index + 1}, weight: ${weight} }`).join(
    ", ",
  );
const web = (pool: string) => warnings(`pools: { web: { ${pool} } }\n${VIPS}`);

suite("warnings", () => {
  test("none for a sound configuration", () => {
    assert.deepEqual(web(`backends: [${backends(2)}]`), []);
  });

  test("a table below 100 slots for each backend names the next prime", () => {
    assert.deepEqual(web(`tableSize: 251, backends: [${backends(3)}]`), [
      "c.yaml:1:28: pools.web.tableSize: 251 slots are few for 3 backends: shares become uneven. " +
        "Use at least 100 for each, such as 307",
    ]);
    assert.deepEqual(web(`tableSize: 307, backends: [${backends(3)}]`), []);
  });

  test("backends of weight 0 take no slots", () => {
    assert.deepEqual(web(`tableSize: 211, backends: [${backends(2)}, { address: 10.0.1.1, weight: 0 }]`), []);
  });

  test("a default table size that is too small is at its pool", () => {
    const found = web(
      `backends: [${Array.from({ length: 656 }, (_, i) => `{ address: 10.0.${i >> 8}.${i & 255} }`)}]`,
    );
    assert.equal(found.length, 1);
    assert.match(
      found[0]!,
      /^c\.yaml:1:15: pools\.web\.tableSize: 65537 slots are few for 656 backends.* 65609$/,
    );
  });

  test("a VIP that contains an address of the machine", () => {
    const machine = 'machine: { address: 10.0.0.11, address6: "fd00::11" }\n';
    const pools = `pools: { web: { backends: [${backends(2)}] } }\n`;
    const vip = (address: string, more: string) =>
      warnings(`${machine}${pools}vips: [{ name: web, address: ${address}, pool: web, ${more} }]\n`);
    assert.deepEqual(vip("10.0.0.0/24", "port: [22, 80-90]"), [
      "c.yaml:3:30: vips[0].address: the machine's own address 10.0.0.11 is among these: what is sent to it over " +
        "TCP 22, 80-90 goes to backends, and not to programs here",
    ]);
    assert.deepEqual(vip('"fd00::11"', "protocol: any, port: 0"), [
      "c.yaml:3:30: vips[0].address: the machine's own address fd00::11 is among these: what is sent to it over " +
        "TCP and UDP any goes to backends, and not to programs here",
    ]);
    assert.deepEqual(vip("10.0.1.0/24", "port: 0"), []);
  });

  test("a guard that lets nobody through", () => {
    const guarded = (guard: string) =>
      warnings(
        `pools: { web: { backends: [${backends(2)}] } }\n${VIPS.replace(" }]", `, guard: ${guard} }]`)}`,
      );
    assert.deepEqual(guarded('{ allow: ["2001:db8::/32"] }'), [
      "c.yaml:2:78: vips[0].guard.allow: no prefix is of IPv4, the VIP's family: all packets to it are dropped (denied)",
    ]);
    assert.deepEqual(guarded('{ allow: ["2001:db8::/32", 10.0.0.0/8], deny: ["::/0"] }'), []);
  });

  test("server ids that nobody looks at, and a backend without one", () => {
    const pool =
      "pools: { web: { backends: [{ address: 10.0.0.1 }, { address: 10.0.0.2, quicServerId: aa }] } }\n";
    assert.deepEqual(warnings(pool + VIPS), [
      "c.yaml:1:86: pools.web.backends[1].quicServerId: no VIP of this pool has quic.routeBy: server-id: the id has no effect",
    ]);
    const looking = VIPS.replace(" }]", ", protocol: udp, quic: { routeBy: server-id } }]");
    assert.deepEqual(warnings(pool + looking), [
      "c.yaml:1:28: pools.web.backends[0]: it has no quicServerId: its clients lose it when they change their address",
    ]);
  });

  test("all weights 0", () => {
    assert.deepEqual(web(`backends: [${backends(2, 0)}]`), [
      "c.yaml:1:27: pools.web.backends: all weights are 0: new flows are dropped (no-backend)",
    ]);
  });

  test("an empty pool", () => {
    assert.deepEqual(web("backends: []"), [
      "c.yaml:1:27: pools.web.backends: the pool is empty: new flows are dropped (no-backend)",
    ]);
  });

  test("only one backend that takes flows", () => {
    assert.deepEqual(web("backends: [{ address: 10.0.0.1 }, { address: 10.0.0.2, weight: 0 }]"), [
      "c.yaml:1:27: pools.web.backends: only one backend takes flows: nothing takes over when it fails",
    ]);
  });

  test("no VIPs, and a pool that none uses", () => {
    assert.deepEqual(warnings(`pools: { web: { backends: [${backends(2)}] } }\nvips: []\n`), [
      "c.yaml:1:10: pools.web: no VIP uses this pool: it has no effect",
      "c.yaml:2:7: vips: there are no VIPs: every packet is passed to the host",
    ]);
  });

  test("a GoBGP that is not on this machine", () => {
    const announced = (gobgp: string) =>
      warnings(
        `machine: { address: 10.0.0.9 }\npools: { web: { backends: [${backends(2)}] } }\n${VIPS}announce: { gobgp: "${gobgp}" }\n`,
      );
    for (const local of ["unix:///run/gobgp.sock", "127.0.0.1:50051", "[::1]:50051", "localhost:50051"])
      assert.deepEqual(announced(local), []);
    for (const remote of ["10.0.0.3:50051", "[fd00::3]:50051", "gobgp.example:50051"]) {
      const found = announced(remote);
      assert.equal(found.length, 1, remote);
      assert.match(found[0]!, /^c\.yaml:4:20: announce\.gobgp: this is not on this machine/);
    }
  });

  const admin = (text: string) =>
    warnings(`admin: { ${text} }\npools: { web: { backends: [${backends(2)}] } }\n${VIPS}`);

  test("an admin API that others can listen in on", () => {
    const token = "token: { file: /t }";
    assert.deepEqual(admin(`listen: "0.0.0.0:9180", ${token}`), [
      "c.yaml:1:18: admin.listen: without admin.tls the token and all answers can be read on their way",
    ]);
    assert.deepEqual(admin(`listen: "127.0.0.1:9180"`), []);
    assert.deepEqual(admin(`listen: "0.0.0.0:9180", ${token}, tls: { certificate: /c, key: /k }`), []);
  });

  test("a token and TLS for a socket that has neither", () => {
    const message = "there is no admin.listen: it has no effect on the unix socket";
    assert.deepEqual(admin("token: { file: /t }, tls: { certificate: /c, key: /k }"), [
      `c.yaml:1:10: admin.token: ${message}`,
      `c.yaml:1:31: admin.tls: ${message}`,
    ]);
  });
});
