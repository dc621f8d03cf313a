import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parseConfig } from "../../src/config/load.ts";
import { expandServices, serviceKey, serviceOfPort } from "../../src/config/services.ts";

const services = (vips: string) =>
  expandServices(parseConfig(`pools: { p: { backends: [] } }\nvips: [${vips}]`, "c.yaml").config);

suite("services", () => {
  test("a VIP has a service for its address, then one for each protocol and port, tcp before udp", () => {
    const found = services("{ name: a, address: 10.99.0.1, protocol: any, port: [443, 80], pool: p }");
    assert.deepEqual(
      found.map(({ number, protocol, port }) => [number, protocol, port]),
      [
        [1, 1, 0],
        [2, 6, 443],
        [3, 6, 80],
        [4, 17, 443],
        [5, 17, 80],
      ],
    );
  });

  test("the service of a shared address belongs to the first VIP that has it", () => {
    const found = services(
      "{ name: a, address: 10.99.0.1, port: 80, pool: p }, " +
        '{ name: b, address: "2001:db8::1", protocol: udp, port: 53, pool: p }, ' +
        "{ name: c, address: 10.99.0.1, protocol: udp, port: 80, pool: p }",
    );
    assert.deepEqual(found, [
      { number: 1, address: "10.99.0.1", family: 4, protocol: 1, port: 0, vipIndex: 0 },
      { number: 2, address: "10.99.0.1", family: 4, protocol: 6, port: 80, vipIndex: 0 },
      { number: 3, address: "2001:db8::1", family: 6, protocol: 58, port: 0, vipIndex: 1 },
      { number: 4, address: "2001:db8::1", family: 6, protocol: 17, port: 53, vipIndex: 1 },
      { number: 5, address: "10.99.0.1", family: 4, protocol: 17, port: 80, vipIndex: 2 },
    ]);
  });

  test("wildcards of one prefix and protocol have one number, whosever they are", () => {
    const found = services(
      "{ name: a, address: 10.99.0.0/24, port: [80, 8000-8099], pool: p }, " +
        "{ name: b, address: 10.99.0.0/24, protocol: any, port: [443, 9000-9001], pool: p }, " +
        "{ name: c, address: 10.99.0.1, port: [80, 8000-8099], pool: p }, " +
        "{ name: d, address: 10.99.0.1, port: 0, pool: p }",
    );
    assert.deepEqual(
      found.map(({ number, address, protocol, port }) => `${number}: ${address} ${protocol} ${port}`),
      [
        "1: 10.99.0.0/24 1 0",
        "2: 10.99.0.0/24 6 80",
        "2: 10.99.0.0/24 6 8000-8099",
        "2: 10.99.0.0/24 6 443",
        "2: 10.99.0.0/24 6 9000-9001",
        "3: 10.99.0.0/24 17 443",
        "3: 10.99.0.0/24 17 9000-9001",
        "4: 10.99.0.1 1 0",
        "5: 10.99.0.1 6 80",
        "6: 10.99.0.1 6 8000-8099",
        "6: 10.99.0.1 6 0",
      ],
    );
    const of = (number: number, port: number) => serviceOfPort(found, number, port)?.port;
    assert.deepEqual(
      [of(2, 80), of(2, 8099), of(2, 8100), of(6, 8000), of(6, 81), of(4, 0)],
      [80, "8000-8099", undefined, "8000-8099", 0, 0],
    );
  });

  test("no VIPs, no services", () => {
    assert.deepEqual(services(""), []);
  });

  test("a key is the address, the port in network order, the protocol and the family", () => {
    const hex = (key: Uint8Array) => Buffer.from(key).toString("hex");
    assert.equal(
      hex(serviceKey({ address: "10.99.0.1", protocol: 6, port: 0x1f90 })),
      "0a630001000000000000000000000000" + "1f90" + "06" + "04",
    );
    assert.equal(
      hex(serviceKey({ address: "2001:db8::1", protocol: 58, port: 0 })),
      "20010db8000000000000000000000001" + "0000" + "3a" + "06",
    );
  });
});
