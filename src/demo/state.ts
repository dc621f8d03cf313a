// What the demo shows, whichever way it runs.

import { percent } from "../columns.ts";
import { reasonCode, verdictOf } from "../dataplane/reasons.ts";

export interface DemoBackend {
  name: string;
  state: string;
  /** Requests it answered so far, and in the last interval per second. */
  requests: number;
  perSecond: number;
}

export interface DemoWorker {
  packets: number;
  nsPerPacket: number;
  /** Part of the last interval that it spent on packets, 0 … 1. */
  load: number;
}

export interface DemoPackets {
  received: number;
  forwarded: number;
  passed: number;
  dropped: number;
}

export interface DemoState {
  mode: "lab" | "memory";
  seconds: number;
  /** In the lab HTTP requests; in memory packets, of which one failed that came out wrong or not at all. */
  requests: { total: number; failed: number; perSecond: number };
  packets: DemoPackets & { perSecond: number };
  backends: DemoBackend[];
  /** Packets by reason. */
  reasons: Record<string, number>;
  workers: DemoWorker[];
  /** Long-lived connections: open ones, and those that were lost or changed their backend. */
  connections: { open: number; lost: number; moved: number };
  /** What happened, latest last. */
  events: string[];
}

/** Sums of packets by verdict. */
export function packetsOf(reasons: Record<string, number>): DemoPackets {
  const sum = { forward: 0, reply: 0, pass: 0, drop: 0 };
  for (const [reason, count] of Object.entries(reasons)) sum[verdictOf(reasonCode(reason))] += count;
  const { forward, reply, pass, drop } = sum;
  return { received: forward + reply + pass + drop, forwarded: forward, passed: pass, dropped: drop };
}

/** The `--json` summary. */
export interface DemoSummary {
  mode: "lab" | "memory";
  seconds: number;
  requests: { total: number; failed: number };
  packets: DemoPackets;
  /** Part of the requests that each backend answered. */
  backends: Record<string, number>;
  workers: { packets: number; nsPerPacket: number }[];
}

export function summarize(state: DemoState): DemoSummary {
  const { mode, seconds, requests, packets, backends, workers } = state;
  const answered = backends.reduce((sum, backend) => sum + backend.requests, 0);
  const { received, forwarded, passed, dropped } = packets;
  return {
    mode,
    seconds: Math.round(seconds * 10) / 10,
    requests: { total: requests.total, failed: requests.failed },
    packets: { received, forwarded, passed, dropped },
    backends: Object.fromEntries(
      backends.map(({ name, requests }) => [
        name,
        answered === 0 ? 0 : Math.round((requests / answered) * 1e4) / 1e4,
      ]),
    ),
    workers: workers.map(({ packets, nsPerPacket }) => ({
      packets,
      nsPerPacket: Math.round(nsPerPacket * 10) / 10,
    })),
  };
}

/** A change of the backends in the middle of the demo, and what it moved. */
export interface DemoStep {
  /** Seconds after the start. */
  atSeconds: number;
  backend: string;
  state: "draining" | "active";
}

/** One backend is taken out, and put back: at 30% and 65% of the time, or at 5 and 11 seconds without an end. */
export function script(backend: string, forSeconds: number | undefined): DemoStep[] {
  const [out, back] = forSeconds === undefined ? [5, 11] : [forSeconds * 0.3, forSeconds * 0.65];
  return [
    { atSeconds: out, backend, state: "draining" },
    { atSeconds: back, backend, state: "active" },
  ];
}

/** "be2 takes no new flows: 25.0% of the table's slots changed, 0.2% among the other backends". */
export function describeChange(
  step: Pick<DemoStep, "backend" | "state">,
  before: readonly string[],
  after: readonly string[],
): string {
  let changed = 0;
  let others = 0;
  before.forEach((name, slot) => {
    if (name === after[slot]) return;
    changed++;
    if (name !== step.backend && after[slot] !== step.backend) others++;
  });
  const part = (slots: number) => percent(slots, before.length);
  const what = step.state === "draining" ? "taken out (it keeps its connections)" : "back";
  return `${step.backend} ${what}: ${part(changed)} of the table's slots changed, ${part(others)} from one of the others to another`;
}
