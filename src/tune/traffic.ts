// What `tune` sends: flows to the configuration's own VIPs, or the packets of a capture, each to the worker that owns its shard.

import * as L from "../../assembly/layout.ts";
import type { Config } from "../config/schema.ts";
import { expandServices, isAddressService } from "../config/services.ts";
import { GuidewayError } from "../errors.ts";
import type { Service } from "../io/flow-template.ts";
import type { PcapReader } from "../io/pcap-reader.ts";
import { flowTraffic, shuffled } from "../measure/flows.ts";
import type { Sharing } from "../measure/rig.ts";
import type { PacketTraffic } from "../measure/traffic.ts";
import { destinationsOf } from "../plan/flow-sample.ts";

/** Bytes of a capture that are kept in memory. */
const MOST_BYTES = 256 << 20;

/** Traffic, and what it is, for people. */
export interface Source {
  sharing: Sharing;
  text: string;
}

/** Flows to all VIPs, evenly over their services. @throws GuidewayError TUNE without a VIP */
export function generated(config: Config, flows: number, packetBytes: number): Source {
  const services: Service[] = expandServices(config)
    .filter((service) => !isAddressService(service))
    .flatMap(destinationsOf);
  if (services.length === 0)
    throw new GuidewayError("TUNE", "the configuration has no VIP, expected one at least", { exitCode: 2 });
  const vips = config.vips.length;
  const text = `${flows.toLocaleString("en-US")} generated flows to ${vips === 1 ? "the VIP" : `${vips} VIPs`}`;
  return { sharing: flowTraffic({ services, flows, packetBytes }), text };
}

/** The packets of a capture, over and over. @throws PcapError, GuidewayError TUNE when none of them is for a VIP */
export async function captured(reader: PcapReader, file: string, capacity: number): Promise<Source> {
  const packets: Uint8Array[] = [];
  let bytes = 0;
  let left = 0;
  for await (const batch of reader.batches()) {
    for (const packet of batch) {
      if (packet.bytes.length > capacity || bytes + packet.bytes.length > MOST_BYTES) left++;
      else {
        packets.push(packet.bytes.slice());
        bytes += packet.bytes.length;
      }
    }
  }
  const [all, ends] = inSharedMemory(packets, bytes);
  const sharing: Sharing = (rig, workers): PacketTraffic[] => {
    const { arena } = rig.engine;
    // Nobody runs: the first frame is anybody's.
    const at = arena.plan.regions.frames.offset + L.HEADROOM;
    const own = Array.from({ length: workers }, (): number[] => []);
    let ours = 0;
    for (const [i, packet] of packets.entries()) {
      arena.u8.set(packet, at);
      if (rig.engine.exports.steer(at, packet.length) !== 0) {
        ours++;
        own[rig.steer(at, packet.length)]!.push(i);
      }
    }
    if (ours === 0)
      throw new GuidewayError("TUNE", `${file} has no packet for a VIP of the configuration, expected some`, {
        exitCode: 2,
      });
    return own.map((order) => ({ kind: "packets", bytes: all, ends, order: shuffled(order) }));
  };
  const rest = left === 0 ? "" : ` (${left.toLocaleString("en-US")} more do not fit)`;
  return {
    sharing,
    text: `${packets.length.toLocaleString("en-US")} packets of ${file}, those for a VIP${rest}`,
  };
}

function inSharedMemory(packets: readonly Uint8Array[], bytes: number): [all: Uint8Array, ends: Uint32Array] {
  const all = new Uint8Array(new SharedArrayBuffer(bytes));
  const ends = new Uint32Array(new SharedArrayBuffer(4 * packets.length));
  let end = 0;
  for (const [i, packet] of packets.entries()) {
    all.set(packet, end);
    end += packet.length;
    ends[i] = end;
  }
  return [all, ends];
}
