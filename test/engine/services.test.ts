// Where services lie in their hash table: those that differ in little must lie apart, or a lookup walks past all of them.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { SERVICE_PORT } from "../../assembly/layout.ts";
import { serviceKey } from "../../src/config/services.ts";
import { instantiate, loadModule, noSockets } from "../../src/dataplane/binary.ts";

const SERVICES = 2048;
const SLOTS = 8192;
/** Slots that differ among 2048 of 8192 drawn at random: 1812 on average, less than 1740 once in millions. */
const LEAST_DISTINCT = 1740;

const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
const { slotHash } = instantiate(loadModule("#dataplane.wasm"), memory, noSockets);

type One = { address: string; family: 4 | 6; protocol: number; port: number };

function distinctSlots(service: (i: number) => Partial<One>): number {
  const slots = new Set<number>();
  for (let i = 0; i < SERVICES; i++) {
    const base = { address: "10.99.0.1", family: 4, protocol: 6, port: 80 } as const;
    const words = new DataView(serviceKey({ ...base, ...service(i) }).buffer);
    const tail = words.getUint32(SERVICE_PORT, true);
    slots.add(slotHash(words.getBigUint64(0, true), words.getBigUint64(8, true), tail) & (SLOTS - 1));
  }
  return slots.size;
}

suite("services spread over the hash table when they differ", () => {
  const hex = (i: number) => (i + 1).toString(16);
  const cases: Record<string, (i: number) => Partial<One>> = {
    "in the last bytes of an IPv4 address": (i) => ({ address: `10.99.${i >> 8}.${i & 255}` }),
    "in the first bytes of an IPv4 address": (i) => ({ address: `${i >> 8}.${i & 255}.0.1` }),
    "in the last bytes of an IPv6 address": (i) => ({ address: `fd99::${hex(i)}`, family: 6 }),
    "in the third word of an IPv6 address": (i) => ({ address: `fd99::${hex(i)}:0:0:1`, family: 6 }),
    "in the subnet of an IPv6 address": (i) => ({ address: `2001:db8:0:${hex(i)}::1`, family: 6 }),
    "in the port": (i) => ({ port: i + 1 }),
    "in the port, over IPv6": (i) => ({ address: "fd99::1", family: 6, port: i + 1 }),
  };
  for (const [name, service] of Object.entries(cases)) {
    test(name, () => {
      const distinct = distinctSlots(service);
      assert.ok(distinct >= LEAST_DISTINCT, `${distinct} slots for ${SERVICES} services`);
    });
  }
});
