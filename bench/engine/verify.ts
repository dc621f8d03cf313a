// Whether packets left as docs/datapath.md §5 says, byte for byte. It knows nothing of the engine's code.

import { addressBytes } from "../../src/config/address.ts";
import type { Config } from "../../src/config/schema.ts";
import { GuidewayError } from "../../src/errors.ts";
import { FlowTemplate } from "../../src/io/flow-template.ts";
import { macBytes, macText } from "../../src/mac.ts";
import { packetBytes, type Scenario, servicesOf } from "./scenario.ts";

const LINK_BYTES = 14;
const TYPE = 12;
const GRE_BYTES = 4;
const PROTOCOL_GRE = 47;

export class Verifier {
  readonly #scenario: Scenario;
  readonly #config: Config;
  /** Of each service that flows go to. */
  readonly #templates: readonly FlowTemplate[];
  readonly #mac: Uint8Array;
  /** Addresses of the backends by their MAC address. */
  readonly #backends: ReadonlyMap<string, Uint8Array>;
  /** MAC addresses of the backends that flows went to. */
  readonly #seen = new Map<number, string>();

  constructor(scenario: Scenario, config: Config) {
    this.#scenario = scenario;
    this.#config = config;
    this.#mac = macBytes(config.machine.mac);
    const backends = Object.values(config.pools).flatMap((pool) => pool.backends);
    this.#backends = new Map(backends.map(({ mac, address }) => [mac!, addressBytes(address)]));
    this.#templates = servicesOf(scenario).map(
      (service) => new FlowTemplate(service, this.#mac, packetBytes(scenario)),
    );
  }

  /** @throws GuidewayError BENCH when the packet is wrong */
  check(packet: Uint8Array): void {
    const mac = macText(packet);
    const backend = this.#backends.get(mac);
    if (!backend) throw this.#wrong(packet, "its destination MAC address is no backend's");
    const outer = this.#scenario.mode === "gre" ? this.#tunnel(backend) : undefined;
    const inside = packet.subarray(LINK_BYTES + (outer?.header.length ?? 0));
    const [first] = this.#templates;
    const flow = first!.flowOf(Buffer.concat([first!.bytes.subarray(0, LINK_BYTES), inside]));
    const received = this.#received(flow);
    const expected = Buffer.concat([
      macBytes(mac),
      this.#mac,
      outer?.type ?? received.subarray(TYPE, LINK_BYTES),
      outer?.header ?? new Uint8Array(),
      received.subarray(LINK_BYTES),
    ]);
    if (!expected.equals(packet)) throw this.#wrong(packet, `expected ${expected.toString("hex")}`);
    if ((this.#seen.get(flow) ?? mac) !== mac)
      throw this.#wrong(packet, "its flow went to another backend before");
    this.#seen.set(flow, mac);
  }

  /** The packet of a flow as it came in. */
  #received(flow: number): Uint8Array {
    const template = this.#templates[flow % this.#templates.length]!;
    const { bytes } = template;
    const words = new Uint32Array(Math.ceil(bytes.length / 4));
    template.write(words, new Uint16Array(words.buffer), 0, flow, this.#scenario.opens);
    return new Uint8Array(words.buffer, 0, bytes.length);
  }

  /** What a tunnel puts in front of the packet, from the EtherType on. */
  #tunnel(backend: Uint8Array): { type: Uint8Array; header: Uint8Array } {
    const { address, address6 } = this.#config.machine;
    const { bytes } = this.#templates[0]!;
    const payload = GRE_BYTES + bytes.length - LINK_BYTES;
    const v4 = backend.length === 4;
    const ip = new Uint8Array(v4 ? 20 : 40);
    const view = new DataView(ip.buffer);
    if (v4) {
      ip.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, PROTOCOL_GRE, 0, 0, ...addressBytes(address!), ...backend]);
      view.setUint16(2, ip.length + payload);
      let sum = 0;
      for (let at = 0; at < ip.length; at += 2) sum += view.getUint16(at);
      view.setUint16(10, ~((sum & 0xffff) + (sum >>> 16)));
    } else {
      ip.set([0x60, 0, 0, 0, 0, 0, PROTOCOL_GRE, 64, ...addressBytes(address6!), ...backend]);
      view.setUint16(4, payload);
    }
    const gre = [0, 0, ...bytes.subarray(TYPE, LINK_BYTES)];
    return {
      type: Uint8Array.from(v4 ? [0x08, 0x00] : [0x86, 0xdd]),
      header: Uint8Array.from([...ip, ...gre]),
    };
  }

  #wrong(packet: Uint8Array, how: string): GuidewayError {
    const hex = Buffer.from(packet).toString("hex");
    return new GuidewayError("BENCH", `${this.#scenario.name}: a packet left as ${hex}, ${how}`);
  }
}
