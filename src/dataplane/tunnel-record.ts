// What a VIP's record says of its tunnels (VIP_GUE_PORT, VIP_SOURCE_* of layout.ts).

import * as L from "../../assembly/layout.ts";
import type { Prefix } from "../config/prefix.ts";
import type { VipConfig } from "../config/schema.ts";
import { isTunnel, sourcePrefixOf } from "../config/tunnel.ts";
import type { Arena } from "./arena.ts";

/** The machine's addresses, 4 and 16 bytes: outer source addresses of tunnels without a prefix of their own. */
export interface Sources {
  v4: Uint8Array;
  v6: Uint8Array;
}

/** Bits of an outer source address that tell flows apart, of its last four bytes: as many as the engine has for it. */
const ENTROPY_BITS = 16;

/** Those that the arena was made with; zeros where there is none. */
export function machineSources(arena: Arena): Sources {
  return { v4: arena.read(L.HEADER_SOURCE_V4, 4), v6: arena.read(L.HEADER_SOURCE_V6, 16) };
}

/** Whether packets of a VIP may leave in fragments: where they grow. */
export function mayFragment({ forward }: VipConfig): boolean {
  return isTunnel(forward);
}

/** VIP_FLAG_* that are the tunnel's. */
export function tunnelFlags({ tunnel }: VipConfig): number {
  return tunnel.tooBig === "fragment" ? L.VIP_FLAG_FRAGMENT_OUTER : 0;
}

/** Writes the fields of a VIP. */
export function writeTunnel({ tunnel }: VipConfig, sources: Sources, record: DataView): void {
  record.setUint16(L.VIP_GUE_PORT, tunnel.guePort);
  const source = (family: 4 | 6, own: Uint8Array, address: number, bits: number) => {
    const prefix = sourcePrefixOf(tunnel.sourcePrefix, family);
    (prefix?.bytes ?? own).forEach((byte, i) => {
      record.setUint8(address + i, byte);
    });
    record.setUint32(bits, prefix ? entropyBits(prefix) : 0);
  };
  source(4, sources.v4, L.VIP_SOURCE_V4, L.VIP_SOURCE_V4_BITS);
  source(6, sources.v6, L.VIP_SOURCE_V6, L.VIP_SOURCE_V6_BITS);
}

/** The last of a prefix's host bits, as a number. */
function entropyBits({ bytes, length }: Prefix): number {
  return 2 ** Math.min(ENTROPY_BITS, bytes.length * 8 - length) - 1;
}
