// Whether packets left as docs/datapath.md §5 says, byte for byte. It knows nothing of the engine's code.

import { addressBytes } from "../../src/config/address.ts";
import type { Config } from "../../src/config/schema.ts";
import { GuidewayError } from "../../src/errors.ts";
import { FlowTemplate } from "../../src/io/flow-template.ts";
import { macBytes, macText } from "../../src/mac.ts";
import { addedBytes, expectedOf } from "./expected.ts";
import { packetBytes, type Scenario, servicesOf } from "./scenario.ts";

const LINK_BYTES = 14;

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
    const { mode } = this.#scenario;
    const inside = packet.subarray(LINK_BYTES + addedBytes(mode, backend));
    const [first] = this.#templates;
    const flow = first!.flowOf(Buffer.concat([first!.bytes.subarray(0, LINK_BYTES), inside]));
    const received = this.#received(flow);
    const expected = Buffer.concat([
      macBytes(mac),
      this.#mac,
      expectedOf(mode, received, backend, this.#config.machine, packet),
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

  #wrong(packet: Uint8Array, how: string): GuidewayError {
    const hex = Buffer.from(packet).toString("hex");
    return new GuidewayError("BENCH", `${this.#scenario.name}: a packet left as ${hex}, ${how}`);
  }
}
