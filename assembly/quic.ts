// QUIC packets by the server id in their connection id (draft-ietf-quic-load-balancers, plaintext form; docs/datapath.md §9):
// a client that changes its address keeps its backend.
//
//   long header (RFC 8999 §5.1)    ├ 1… flags ┼ version, 4 ┼ length ┼ destination connection id ┼ …
//   short header                   ├ 0… flags ┼ destination connection id ┼ …
//   connection id                  ├ 3 bits: configuration, 5 bits: any ┼ server id ┼ nonce …

import { takesPackets } from "./conntrack";
import { NO_PREFIX } from "./layout";
import { findPrefix } from "./prefix-map";
import { REASON_SERVER_ID } from "./reasons";
import { Packet, Vip } from "./records";
import { services } from "./services";
import { refuseSource } from "./sources";
import { PROTOCOL_UDP } from "./wire/ipv4";
import * as udp from "./wire/udp";

/** Bytes in front of the connection id, its length included. */
const LONG_BYTES: u32 = 6;
const SHORT_BYTES: u32 = 1;
/** The configuration that says that an id names no server. */
const UNROUTABLE: u32 = 7;

/** Sends a packet to the backend that its connection id names, if it names one that takes packets. */
export function route(packet: Packet, vip: Vip): void {
  if (packet.protocol != PROTOCOL_UDP) return;
  const datagram: usize = packet.start + packet.l4;
  const backend = backendOf(
    datagram + udp.UDP_BYTES,
    udp.length(datagram) - udp.UDP_BYTES,
    services + vip.serverIds,
    vip.serverIdBytes,
  );
  if (backend == 0 || refuseSource(packet)) return;
  packet.backend = <u16>backend;
  packet.reason = <u8>REASON_SERVER_ID;
}

/** @param ids prefix map of the server ids, each of `idBytes` bytes @returns a backend's id, or 0 */
function backendOf(payload: usize, length: u32, ids: usize, idBytes: u32): u32 {
  // What a server id takes of a connection id, the byte in front of it included.
  const least: u32 = 1 + idBytes;
  if (length < SHORT_BYTES + least) return 0;
  let connection = payload + SHORT_BYTES;
  if (load<u8>(payload) >>> 7 != 0) {
    if (length < LONG_BYTES + least) return 0;
    const bytes: u32 = load<u8>(payload, 5);
    // Version 0 is version negotiation, which servers send.
    if (load<u32>(payload, 1) == 0 || least > bytes || LONG_BYTES + bytes > length) return 0;
    connection = payload + LONG_BYTES;
  }
  if (load<u8>(connection) >>> 5 == UNROUTABLE) return 0;
  let id0: u64 = 0;
  let id1: u64 = 0;
  for (let i: u32 = 0; i < idBytes; i++) {
    const byte = <u64>load<u8>(connection + i, 1);
    if (i < 8) id0 |= byte << (i << 3);
    else id1 |= byte << ((i - 8) << 3);
  }
  const backend = findPrefix(ids, 6, id0, id1);
  return backend != NO_PREFIX && takesPackets(backend) ? backend : 0;
}
