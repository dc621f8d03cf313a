// The packets of the self-test: which one comes next. VIPs take turns, families and protocols with them, and each packet is of
// another flow, so that in time every slot of a table and every backend is met. The order is fixed.

import { ServiceLookup } from "../../config/service-lookup.ts";
import { isWildcard, PROTOCOL_TCP, PROTOCOL_UDP, type Service } from "../../config/services.ts";
import type { Directory } from "../../dataplane/directory.ts";
import { FlowTemplate, MAX_FLOWS, smallestPacket } from "../../io/flow-template.ts";
import { type Expected, expectedOf, type Knowledge } from "./expected.ts";

/** IEEE 802 local experimental EtherType 1: never a VIP's. */
const LOOP_ETHERTYPE = 0x88b5;
const LOOP_BYTES = 60;
/** Bytes of a probe. */
const PROBE_BYTES = 128;
/** Prime to MAX_FLOWS: a stride from flow to flow that leaves none out. */
const STRIDE = 2_654_435_761;

export interface Probe {
  bytes: Uint8Array;
  /** Which packet it is, for messages. */
  what: string;
  /** What must come back, as far as is known now: routes and tables may change while it is under way. */
  expected: () => Expected;
}

export class ProbeSequence {
  readonly #directory: Directory;
  readonly #knowledge: Knowledge;
  readonly #mac: Uint8Array;
  #turn: number;
  #flow: number;
  #lookup: { services: readonly Service[]; lookup: ServiceLookup } = {
    services: [],
    lookup: new ServiceLookup([]),
  };

  /**
   * @param mac for the destination of the frames, six bytes
   * @param start where to begin: each worker elsewhere
   */
  constructor(directory: Directory, knowledge: Knowledge, mac: Uint8Array, start: number) {
    this.#directory = directory;
    this.#knowledge = knowledge;
    this.#mac = mac;
    this.#turn = start;
    this.#flow = start;
  }

  next(): Probe {
    const turn = this.#turn++;
    this.#flow = (this.#flow + STRIDE) % MAX_FLOWS;
    const flow = this.#flow;
    const { services, vips } = this.#directory;
    for (let i = 0; i < services.length; i++) {
      const service = services[(turn + i) % services.length]!;
      const { protocol, vipIndex } = service;
      const vip = vips[vipIndex]!;
      if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP) continue;
      if (this.#knowledge.slots(vip.pool).length === 0) continue;
      const name = protocol === PROTOCOL_TCP ? "tcp" : "udp";
      const destination = this.#lookupIn(services).destinationOf(service);
      if (!destination) continue;
      const bytes = packetOf({ ...destination, protocol: name }, this.#mac, flow);
      return {
        bytes,
        what: `flow ${flow} to ${vip.name} (${destination.address} ${name} ${destination.port})`,
        expected: () =>
          expectedOf(bytes, { number: service.number, wide: isWildcard(service) }, vip, this.#knowledge),
      };
    }
    return this.#loop(turn);
  }

  /** Built anew when there are other services. */
  #lookupIn(services: readonly Service[]): ServiceLookup {
    if (this.#lookup.services !== services) this.#lookup = { services, lookup: new ServiceLookup(services) };
    return this.#lookup.lookup;
  }

  /** When no VIP has a usable backend: a frame that is for nobody must at least come back as it was. */
  #loop(turn: number): Probe {
    const bytes = new Uint8Array(LOOP_BYTES);
    bytes.set(this.#mac);
    const view = new DataView(bytes.buffer);
    view.setUint16(12, LOOP_ETHERTYPE);
    view.setUint32(14, turn);
    return { bytes, what: "a frame that is for no VIP", expected: () => ({ bytes, backend: undefined }) };
  }
}

type Destination = ConstructorParameters<typeof FlowTemplate>[0];

function packetOf(service: Destination, mac: Uint8Array, flow: number): Uint8Array {
  const template = new FlowTemplate(service, mac, Math.max(PROBE_BYTES, smallestPacket(service)));
  const words = new Uint32Array(Math.ceil(template.bytes.length / 4));
  template.write(words, new Uint16Array(words.buffer), 0, flow, true);
  return new Uint8Array(words.buffer, 0, template.bytes.length);
}
