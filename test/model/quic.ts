// docs/datapath.md §9: QUIC packets by the server id in their connection id.

import { field, toHex } from "./bytes.ts";
import type { Ip } from "./parse.ts";
import type { Service } from "./services.ts";
import type { BackendSetup } from "./setup.ts";

/** The usable backend whose server id a packet has; undefined for none. `tcpFlags` is undefined for UDP. */
export function namedBackend<B extends BackendSetup & { pool: string }>(
  packet: Uint8Array,
  { service: { vip }, ip, tcpFlags }: { service: Service; ip: Ip; tcpFlags: number | undefined },
  backends: readonly B[],
): B | undefined {
  if (!vip.byServerId || tcpFlags !== undefined) return undefined;
  const pool = backends.filter(({ pool }) => pool === vip.pool);
  const length = pool.find(({ quicServerId }) => quicServerId)?.quicServerId?.length;
  if (length === undefined) return undefined;
  const datagram = packet.subarray(ip.l4 + 8, ip.l4 + field(packet, ip.l4 + 4, 2));
  const id = serverIdOf(datagram, length / 2);
  const backend = pool.find(({ quicServerId }) => quicServerId !== undefined && quicServerId === id);
  return backend?.state === "dead" ? undefined : backend;
}

/** The server id of a QUIC packet, in hexadecimal; undefined when there is none. */
function serverIdOf(datagram: Uint8Array, idBytes: number): string | undefined {
  const long = datagram.length > 0 && datagram[0]! >= 0x80;
  let connectionId = datagram.subarray(1);
  if (long) {
    // RFC 8999 §5.1.
    const version = toHex(datagram.subarray(1, 5));
    const length = datagram[5];
    if (length === undefined || version === "00000000" || datagram.length < 6 + length) return undefined;
    connectionId = datagram.subarray(6, 6 + length);
  }
  if (connectionId.length < 1 + idBytes || connectionId[0]! >> 5 === 7) return undefined;
  return toHex(connectionId.subarray(1, 1 + idBytes));
}
