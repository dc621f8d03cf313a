// GET /v1/status: what a machine says of itself.

import { z } from "zod";
import type { MachineStatus } from "../../control/status.ts";
import { type App, answers, count } from "../route.ts";
import { places } from "./frames.ts";

const traffic = {
  packets: count("Packets forwarded."),
  bytes: count("Bytes of those, as IP packets before any tunnel header."),
};

const interfaceStatus = z.strictObject({
  name: z.string(),
  queues: count("Queues that packets are received from."),
  mtu: count("Bytes."),
  mac: z.string(),
  sockets: z.string().describe("`zero-copy` or `copy`."),
  program: z.string().optional().describe("`native` or `generic`; absent while none is attached."),
  kernel: z
    .strictObject({
      rxDropped: z.number(),
      rxInvalidDescriptors: z.number(),
      txInvalidDescriptors: z.number(),
      rxRingFull: z.number(),
      rxFillRingEmpty: z.number(),
      txRingEmpty: z.number(),
    })
    .describe("What the kernel counted on the sockets (XDP_STATISTICS)."),
});

const worker = z.strictObject({
  worker: count("Number."),
  packets: count("Packets taken from its rings, those handed to it included."),
  bytes: count("Bytes of those, as Ethernet frames."),
  batches: count("Batches of packets."),
  handed: count("Packets handed to the worker that owns their flow."),
  kicks: count("System calls that asked the kernel to send."),
  parks: count("Times that it went to sleep."),
  traps: count("Batches given up because of a defect."),
  entries: z
    .number()
    .int()
    .describe("Flows in the connection table that it put there, less those it took out."),
  expired: count("Flows that the sweep took out."),
  evicted: count("Flows that had to make room for others."),
  busyNs: count("Nanoseconds of passes that found packets, without the kernel's part."),
  kernelNs: count("Nanoseconds of those passes in which the kernel sent."),
  nsPerPacket: z.number().describe("Nanoseconds of its own per packet, since the start."),
  heartbeat: count("Passes of its loop."),
  parked: z.boolean().describe("Whether it sleeps."),
});

const vip = z.strictObject({
  name: z.string(),
  address: z.string(),
  protocol: z.string(),
  ports: z.array(z.number().int()),
  forward: z.string(),
  pool: z.string(),
  ...traffic,
});

const backend = z.strictObject({
  name: z.string(),
  id: count("Number in the engine."),
  address: z.string(),
  state: z.enum(["active", "draining", "dead"]),
  weight: count("Weight in its pool."),
  share: z.number().describe("Part of the pool's slots, 0 … 1."),
  nextHop: z
    .strictObject({
      dev: z.string(),
      address: z.string().optional().describe("The neighbour; absent where the configuration gives the MAC."),
      mac: z.string().optional().describe("Absent while it is not resolved."),
    })
    .optional()
    .describe("Where its packets go; absent while there is no route."),
  ...traffic,
  newFlows: count("Flows that the lookup table gave to it."),
  activeFlows: z.number().int().describe("Flows that are not closing."),
});

const pool = z.strictObject({
  name: z.string(),
  algorithm: z.string(),
  tableSize: count("Slots, as configured."),
  digest: z.string().describe("Equal on machines with equal tables."),
  backends: z.array(backend),
});

const forwarder = z
  .strictObject({
    healthy: z.boolean(),
    since: z.iso.datetime().describe("When it became so."),
    reasons: z.array(z.string()).describe("What is wrong; none when healthy."),
    degraded: z.array(z.string()).describe("What is not as it should be and no reason to stop."),
    workers: z.array(
      z.strictObject({
        worker: count("Number."),
        healthy: z.boolean(),
        lastProbeUs: z
          .number()
          .int()
          .optional()
          .describe(
            "Microseconds until the last test packet was seen to be back; it is looked for every millisecond.",
          ),
        probes: count("Test packets sent."),
        failures: count("Tests that failed."),
        reason: z.string().optional().describe("Why the last one failed; absent when healthy."),
      }),
    ),
    interfaces: z.array(
      z.strictObject({
        name: z.string(),
        healthy: z.boolean(),
        operstate: z.string().optional().describe("As the kernel calls it; absent when it is gone."),
        reason: z.string().optional(),
      }),
    ),
    tables: z.strictObject({
      verified: count("Bytes of the arena compared with what they should be."),
      rounds: count("Times that all of it was."),
      corrupted: count("Parts found damaged."),
      repaired: count("Parts written once more."),
    }),
  })
  .describe("Whether it forwards, by its own tests (docs/forwarder.md).");

const body = z
  .strictObject({
    machine: z.string().describe("Its configured name."),
    pid: count("Process."),
    startedAt: z.iso.datetime(),
    uptimeSeconds: z.number(),
    arenaBytes: count("Size of the arena."),
    epoch: count("Publications so far."),
    forwarder,
    interfaces: z.array(interfaceStatus),
    workers: z.array(worker),
    reasons: z.record(z.string(), z.number().int()).describe("Packets by reason (docs/verdicts.md)."),
    vips: z.array(vip),
    pools: z.array(pool),
    frames: z.strictObject({ total: count("Frames in all."), places }),
  })
  .describe("The machine");

export function statusRoute(app: App, machine: { status(): MachineStatus }): void {
  app.get(
    "/v1/status",
    { schema: { summary: "What the machine says of itself", response: answers(body) } },
    () => machine.status(),
  );
}
