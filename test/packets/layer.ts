// What the layers of a packet have to know of each other.

export interface Layer {
  name: string;
  /** EtherType by which Ethernet, VLAN and GRE announce this layer. */
  etherType?: number;
  /** Number by which IP headers announce this layer. */
  protocol?: number;
  /** IP headers only: pseudo-header of a layer above (RFC 9293 §3.1, RFC 8200 §8.1). */
  pseudoHeader?: (protocol: number, length: number) => Uint8Array;
  /** This layer's bytes with those above behind them. `below` from the outside in, `above` the next one. */
  encode: (body: Uint8Array, below: readonly Layer[], above: Layer | undefined) => Uint8Array;
}
