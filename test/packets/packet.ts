// A fluent builder of packets: lengths, checksums and protocol numbers are right unless a field is given.
//
//     packet().ethernet().vlan(5).ipv4({ src: "192.0.2.1", dst: "10.99.0.1" }).tcp({ dport: 80, flags: "S" }).bytes()

import { concat } from "../model/bytes.ts";
import { type Ethernet, ethernetLayer, type Gre, greLayer, type Vlan, vlanLayer } from "./framing.ts";
import {
  type ExtensionHeader,
  extensionLayer,
  type FragmentHeader,
  fragmentLayer,
  type Ipv4,
  type Ipv6,
  ipv4Layer,
  ipv6Layer,
} from "./ip.ts";
import type { Layer } from "./layer.ts";
import { type Icmp, icmpLayer, type Tcp, tcpLayer, type Udp, udpLayer } from "./transport.ts";

export class PacketBuilder {
  readonly #layers: readonly Layer[];
  /** Applied to the finished frame, in order. */
  readonly #edits: readonly ((frame: Uint8Array) => Uint8Array)[];

  constructor(layers: readonly Layer[] = [], edits: readonly ((frame: Uint8Array) => Uint8Array)[] = []) {
    this.#layers = layers;
    this.#edits = edits;
  }

  ethernet = (fields: Ethernet = {}) => this.#with(ethernetLayer(fields));
  /** A tag of IEEE 802.1Q; of 802.1ad with `tpid: 0x88a8`. */
  vlan = (fields: number | Vlan = {}) =>
    this.#with(vlanLayer(typeof fields === "number" ? { id: fields } : fields));
  ipv4 = (fields: Ipv4) => this.#with(ipv4Layer(fields));
  ipv6 = (fields: Ipv6) => this.#with(ipv6Layer(fields));
  /** An IPv6 extension header of 8 bytes: 0 hop-by-hop, 43 routing, 60 destination options, … */
  extension = (fields: ExtensionHeader) => this.#with(extensionLayer(fields));
  /** An IPv6 fragment header. */
  fragment = (fields: FragmentHeader = {}) => this.#with(fragmentLayer(fields));
  tcp = (fields: Tcp = {}) => this.#with(tcpLayer(fields));
  udp = (fields: Udp = {}) => this.#with(udpLayer(fields));
  icmp = (fields: Icmp = {}) => this.#with(icmpLayer(1, fields));
  icmpv6 = (fields: Icmp = {}) => this.#with(icmpLayer(58, fields));
  gre = (fields: Gre = {}) => this.#with(greLayer(fields));

  /** Bytes, text, or so many zeros. */
  payload(content: Uint8Array | string | number): PacketBuilder {
    let bytes: Uint8Array;
    if (typeof content === "string") bytes = new TextEncoder().encode(content);
    else if (typeof content === "number") bytes = new Uint8Array(content);
    else bytes = content;
    return this.#with({ name: "payload", encode: (body) => concat(bytes, body) });
  }

  /** Ethernet's padding: zeros up to so many bytes (60 without FCS by IEEE 802.3). */
  pad(bytes = 60): PacketBuilder {
    return this.#edit((frame) => concat(frame, new Uint8Array(Math.max(0, bytes - frame.length))));
  }

  /** Only the first bytes of the frame. */
  cut(bytes: number): PacketBuilder {
    return this.#edit((frame) => frame.slice(0, bytes));
  }

  bytes(): Uint8Array {
    let body: Uint8Array = new Uint8Array(0);
    for (let i = this.#layers.length - 1; i >= 0; i--) {
      body = this.#layers[i]!.encode(body, this.#layers.slice(0, i), this.#layers[i + 1]);
    }
    return this.#edits.reduce((frame, edit) => edit(frame), body);
  }

  #with(layer: Layer): PacketBuilder {
    return new PacketBuilder([...this.#layers, layer], this.#edits);
  }

  #edit(edit: (frame: Uint8Array) => Uint8Array): PacketBuilder {
    return new PacketBuilder(this.#layers, [...this.#edits, edit]);
  }
}

export function packet(): PacketBuilder {
  return new PacketBuilder();
}
