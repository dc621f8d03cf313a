// The destination that belongs to a service, against the plain model.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { parseConfig } from "../../src/config/load.ts";
import { Destinations, ServiceLookup } from "../../src/config/service-lookup.ts";
import { expandServices, isAddressService } from "../../src/config/services.ts";
import { addressBytes } from "../model/bytes.ts";
import { Services } from "../model/services.ts";
import { type ConfigVip, offlineSetup } from "../model/setup.ts";
import { addressesOf, portsOf, vipAddress, vipPorts } from "../packets/services.ts";
import { runs } from "../runs.ts";

const documentOf = (vips: Omit<ConfigVip, "name" | "pool">[]) => ({
  pools: { p: { backends: [] } },
  vips: vips.map((vip, i) => ({ name: `v${i}`, pool: "p", ...vip })),
});
const configured = (vips: Omit<ConfigVip, "name" | "pool">[]) =>
  parseConfig(JSON.stringify(documentOf(vips)), "c.yaml").config;

const vips = fc
  .array(
    fc.record({
      address: vipAddress,
      protocol: fc.constantFrom<"tcp" | "udp" | "any">("tcp", "udp", "any"),
      port: vipPorts,
    }),
    { minLength: 1, maxLength: 8 },
  )
  .map((all) => {
    const used = new Set<string>();
    return all.flatMap(({ port, ...rest }) => {
      const free = port.filter((each) => !used.has(`${rest.address} ${each}`));
      for (const each of free) used.add(`${rest.address} ${each}`);
      return free.length === 0 ? [] : [{ ...rest, port: free }];
    });
  });

suite("lookup of services", () => {
  test("finds what the model finds, and chooses destinations that belong to the service", () => {
    let [found, chosen] = [0, 0];
    fc.assert(
      fc.property(vips, (list) => {
        const services = expandServices(configured(list));
        const lookup = new ServiceLookup(services);
        const model = new Services(offlineSetup(documentOf(list)).vips);
        for (const address of new Set(list.flatMap((each) => addressesOf(each.address)))) {
          for (const port of new Set(list.flatMap((each) => each.port.flatMap(portsOf)))) {
            for (const protocol of [6, 17]) {
              const expected = model.find(addressBytes(address), protocol, port);
              const actual = lookup.find(address, protocol, port);
              assert.equal(
                actual && `v${actual.vipIndex}`,
                expected?.vip.name,
                `${address} ${protocol} ${port}`,
              );
              assert.equal(actual?.number, expected?.number);
              if (actual) found++;
            }
          }
        }
        for (const service of services.filter((each) => !isAddressService(each))) {
          const destination = lookup.destinationOf(service);
          if (!destination) continue;
          chosen++;
          const { address, port } = destination;
          const expected = model.find(addressBytes(address), service.protocol, port);
          assert.equal(expected?.vip.name, `v${service.vipIndex}`);
        }
      }),
      { numRuns: 100, seed: runs.seed },
    );
    assert.ok(found > 1000 && chosen > 200, `${found} found, ${chosen} chosen`);
  });

  test("chooses another address where a more specific VIP has the second one", () => {
    const config = configured([
      { address: "10.99.0.0/24", port: [80, 443] },
      { address: "10.99.0.1", port: 80 },
    ]);
    const [prefix] = config.vips;
    const destinations = new Destinations(config);
    assert.equal(destinations.addressOf(prefix!, "tcp", 443), "10.99.0.1");
    assert.equal(destinations.addressOf(prefix!, "tcp", 80), "10.99.0.0");
    const services = expandServices(config);
    assert.deepEqual(new ServiceLookup(services).destinationOf(services[1]!), {
      address: "10.99.0.0",
      port: 80,
    });
  });

  test("says so when others have all of a service", () => {
    const services = expandServices(
      configured([
        { address: "10.99.0.0/31", port: 80 },
        { address: "10.99.0.0", port: 80 },
        { address: "10.99.0.1", port: 80 },
      ]),
    );
    assert.equal(new ServiceLookup(services).destinationOf(services[1]!), undefined);
  });

  test("every port: 80, unless another VIP has that", () => {
    const services = expandServices(
      configured([
        { address: "10.99.0.1", port: 0 },
        { address: "10.99.0.2", port: 0 },
        { address: "10.99.0.2", port: 80 },
      ]),
    );
    const lookup = new ServiceLookup(services);
    const of = (i: number) => lookup.destinationOf(services[i]!);
    assert.deepEqual(of(1), { address: "10.99.0.1", port: 80 });
    assert.deepEqual(of(3), { address: "10.99.0.2", port: 0 });
  });
});
