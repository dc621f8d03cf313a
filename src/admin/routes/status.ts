// GET /v1/status: what a machine says of itself.

import { z } from "zod";
import type { Overview } from "../../control/overview.ts";
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
  fragments: count("Fragments of outer packets sent, behind the first of each."),
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
  address: z.string().describe("Or a prefix."),
  protocol: z.string(),
  ports: z
    .array(z.union([z.number().int(), z.string()]))
    .describe("Ports and ranges such as `8000-8099`; 0 is every port."),
  forward: z.string(),
  pool: z.string(),
  usable: z.boolean().describe("Whether its pool has a backend that takes new flows."),
  draining: z.boolean().describe("Whether none does, and some have flows still: new ones are dropped."),
  announced: z.boolean().describe("Whether routers were told that its packets come here."),
  ...traffic,
  reasons: z
    .record(z.string(), z.number().int())
    .describe("Packets to it by what became of them, hits apart (docs/verdicts.md)."),
});

const check = z
  .strictObject({
    state: z.enum(["up", "down", "unknown"]),
    since: z.number().describe("When it became that, milliseconds since 1970."),
    reason: z.string().describe("What the last check found."),
    flapping: z.boolean().describe("Whether it is held down because it changed too often."),
    checks: count("Checks so far."),
    failures: count("Those of them that failed."),
    inconclusive: count("Those that said nothing, because something is wrong on this machine."),
    lastLatencyMs: z.number(),
    lastCheckAt: z.number().describe("Milliseconds since 1970; 0 before the first."),
  })
  .describe("What health checks found; absent where the pool has none.");

const backendState = z.enum(["active", "draining", "dead"]);

const backend = z.strictObject({
  name: z.string(),
  id: count("Number in the engine."),
  address: z.string(),
  state: backendState,
  asked: backendState.describe("What operators asked for."),
  health: check.optional(),
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
  usable: z.boolean().describe("Whether a backend takes new flows."),
  draining: z.boolean().describe("Whether none does, and some have flows still: new ones are dropped."),
  open: z.boolean().describe("Whether all are down, and get packets nevertheless (whenEmpty: open)."),
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

const persistence = z
  .strictObject({
    folder: z.string(),
    persistent: z.boolean().describe("Whether the next process will find the connections of this one."),
    error: z.string().optional().describe("Why not; absent when it will."),
    setAside: z
      .strictObject({ file: z.string().describe("Empty when it could not be renamed."), reason: z.string() })
      .optional()
      .describe("What could not be used at the start; absent when nothing was wrong."),
    kept: count("Connections of the process before that were taken over at the start."),
    expired: count("Those of it that had been idle for too long by then."),
    forsaken: count("Those of it whose backend is not there any more."),
    crowded: count("Those of it for which a smaller table has no room."),
  })
  .describe("Connections that outlive the process (docs/restart.md); absent without `conntrack.persist`.");

const file = {
  file: z.string(),
  writtenAt: z.iso.datetime().optional().describe("Absent before the first time."),
  error: z.string().optional().describe("Why it could not be written last time."),
};

const configuration = z.strictObject({
  file: z.string(),
  generation: count("Configurations that were in force since the start."),
  appliedAt: z.iso.datetime(),
  refused: z
    .strictObject({ at: z.iso.datetime(), file: z.string(), code: z.string(), message: z.string() })
    .optional()
    .describe("Why the last change was refused; absent when it was not."),
});

const history = z.strictObject({
  audit: z.strictObject({
    ...file,
    pending: count("Entries that wait to be written."),
    lost: count("Entries that were given up because too many waited."),
  }),
  lastGood: z.strictObject(file),
});

const announcement = z.strictObject({
  kind: z.enum(["gobgp", "exec", "none"]),
  connected: z.boolean(),
  error: z.string().optional().describe("Why something that is wanted has not come true."),
  announced: z.array(z.strictObject({ prefix: z.string(), since: z.iso.datetime() })),
  wanted: z.array(z.string()),
  peers: z.array(
    z.strictObject({
      address: z.string(),
      asn: z.number().int(),
      state: z.string().describe("RFC 4271 §8.2.2."),
      uptimeSeconds: z.number().optional(),
      receivedPrefixes: z.number().optional(),
      advertisedPrefixes: z.number().optional(),
    }),
  ),
  changes: z.strictObject({
    announced: count("Announcements accepted."),
    withdrawn: count("Withdrawals accepted."),
    failed: count("Attempts that failed."),
  }),
});

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
    workerCapacity: count("Most workers that there may be without a restart."),
    workerRestarts: count("Threads of workers that have died and were replaced."),
    reasons: z.record(z.string(), z.number().int()).describe("Packets by reason (docs/verdicts.md)."),
    configuration,
    history,
    announcement,
    vips: z.array(vip),
    pools: z.array(pool),
    frames: z.strictObject({ total: count("Frames in all."), places }),
    persistence: persistence.optional(),
  })
  .describe("The machine");

export function statusRoute(app: App, machine: { status(): Overview }): void {
  app.get(
    "/v1/status",
    { schema: { summary: "What the machine says of itself", response: answers(body) } },
    () => machine.status(),
  );
}
