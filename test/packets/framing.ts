// Ethernet (IEEE 802.3), VLAN tags (802.1Q, 802.1ad) and GRE (RFC 2784).

import { concat, macBytes, setField } from "../model/bytes.ts";
import type { Layer } from "./layer.ts";

export interface Ethernet {
  src?: string;
  dst?: string;
  type?: number;
}

export interface Vlan {
  id?: number;
  /** Priority, 0 to 7. */
  pcp?: number;
  /** Drop eligible. */
  dei?: number;
  /** The EtherType in front of this tag. */
  tpid?: number;
  /** The EtherType behind it. */
  type?: number;
}

export interface Gre {
  /** Flags and version. */
  flags?: number;
  type?: number;
}

/** EtherType of an unknown layer: IEEE 802's first one for local experiments. */
const EXPERIMENTAL = 0x88b5;

export function ethernetLayer(fields: Ethernet): Layer {
  return {
    name: "ethernet",
    etherType: 0x6558,
    encode: (body, _below, above) => {
      const header = new Uint8Array(14);
      header.set(macBytes(fields.dst ?? "02:bb:00:00:00:01"));
      header.set(macBytes(fields.src ?? "02:aa:00:00:00:01"), 6);
      setField(header, 12, 2, fields.type ?? above?.etherType ?? EXPERIMENTAL);
      return concat(header, body);
    },
  };
}

export function vlanLayer(fields: Vlan): Layer {
  return {
    name: "vlan",
    etherType: fields.tpid ?? 0x8100,
    encode: (body, _below, above) => {
      const tag = new Uint8Array(4);
      setField(tag, 0, 2, ((fields.pcp ?? 0) << 13) | ((fields.dei ?? 0) << 12) | (fields.id ?? 1));
      setField(tag, 2, 2, fields.type ?? above?.etherType ?? EXPERIMENTAL);
      return concat(tag, body);
    },
  };
}

export function greLayer(fields: Gre): Layer {
  return {
    name: "gre",
    protocol: 47,
    encode: (body, _below, above) => {
      const header = new Uint8Array(4);
      setField(header, 0, 2, fields.flags ?? 0);
      setField(header, 2, 2, fields.type ?? above?.etherType ?? EXPERIMENTAL);
      return concat(header, body);
    },
  };
}
