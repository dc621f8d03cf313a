// The offline engine with worker threads against the same engine in one thread: who works when must not show.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parseConfig } from "../../src/config/load.ts";
import { OfflineEngine, type OfflinePacket } from "../../src/io/offline.ts";
import { packet } from "../packets/packet.ts";

const { config } = parseConfig(
  `frames: { count: 64 }
conntrack: { flows: 1, timeouts: { new: 1s, established: 1s, closing: 1s, udp: 1s } }
pools:
  web: { tableSize: 251, backends: [{ name: a, address: 10.0.0.21 }, { name: b, address: 10.0.0.22 }] }
vips:
  - { name: web, address: 10.99.0.1, port: 80, pool: web }
`,
  "offline.yaml",
);

/** A flow of the VIP, one that is passed, an echo or a drop: what becomes of frames differs. */
function nth(i: number): Uint8Array {
  const ip = packet()
    .ethernet()
    .ipv4({ src: `192.0.2.${i % 50}`, dst: i % 7 === 0 ? "10.99.0.9" : "10.99.0.1" });
  if (i % 5 === 0) return ip.icmp({ type: i % 2 === 0 ? 8 : 13 }).bytes();
  return ip.tcp({ sport: 40000, dport: 80, flags: "A" }).bytes();
}

async function results(packets: OfflinePacket[], options: { workers: number; inline?: boolean }) {
  const engine = new OfflineEngine(config, options);
  try {
    return await engine.process(packets);
  } finally {
    await engine.close();
  }
}

suite("offline engine", () => {
  // Few frames, so that rounds are short; and at each second a flow's fate depends on the clock being the right one.
  const packets = Array.from({ length: 3000 }, (_, i) => ({
    bytes: nth(i),
    timeMs: Math.floor(i / 100) * 1070 + (i % 100) * 0.2,
  }));

  for (const workers of [1, 2, 4]) {
    test(`${workers} worker threads decide what one thread decides`, async () => {
      assert.deepEqual(
        await results(packets, { workers }),
        await results(packets, { workers: 1, inline: true }),
      );
    });
  }

  test("every packet that leaves has its bytes, every other none", async () => {
    for (const { verdict, out } of await results(packets, { workers: 2 })) {
      assert.equal(out !== undefined, verdict === "forward" || verdict === "reply");
    }
  });
});
