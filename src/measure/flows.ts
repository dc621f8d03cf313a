// Generated traffic for the workers of a rig: flows to services, each at the worker that owns its shard.

import * as L from "../../assembly/layout.ts";
import { FlowTemplate, type Service, smallestPacket } from "../io/flow-template.ts";
import { macBytes } from "../mac.ts";
import type { Sharing } from "./rig.ts";
import type { FlowTraffic } from "./traffic.ts";

export interface FlowsOptions {
  services: readonly Service[];
  /** Flows of all workers together. */
  flows: number;
  packetBytes: number;
  opening?: FlowTraffic["opening"];
}

/** Flows to services, shared out to the workers that own their shards. */
export function flowTraffic({ services, flows, packetBytes, opening }: FlowsOptions): Sharing {
  return (rig, workers): FlowTraffic[] => {
    const { arena, config } = rig.engine;
    const mac = macBytes(config.machine.mac);
    const bytes = Math.max(packetBytes, ...services.map(smallestPacket));
    const templates = services.map((service) => new FlowTemplate(service, mac, bytes));
    // Nobody runs: the first frame is anybody's.
    const at = arena.plan.regions.frames.offset + L.HEADROOM;
    const own = Array.from({ length: workers }, (): number[] => []);
    for (let flow = 0; flow < flows; flow++) {
      templates[flow % templates.length]!.write(arena.u32, arena.u16, at, flow, true);
      own[rig.steer(at, bytes)]!.push(flow);
    }
    return own.map((numbers) => {
      const shared = shuffled(numbers);
      return { kind: "flows", services, mac, packetBytes: bytes, flows: shared, ...(opening && { opening }) };
    });
  };
}

/** Numbers in shared memory, in an order that is the same every time (Fisher and Yates). */
export function shuffled(numbers: readonly number[]): Uint32Array {
  const values = new Uint32Array(new SharedArrayBuffer(4 * numbers.length));
  values.set(numbers);
  let state = 0x2545f491;
  for (let i = values.length - 1; i > 0; i--) {
    // xorshift32 (Marsaglia 2003).
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const j = (state >>> 0) % (i + 1);
    const kept = values[i]!;
    values[i] = values[j]!;
    values[j] = kept;
  }
  return values;
}
