// To which flow a packet belongs: its service, and its place in the connection table by the flow's key (docs/datapath.md §2).

import { flowKey4, flowKey6, foldDestination, lineOf, shardOf } from "./hash";
import { lineAt } from "./instance";
import { Packet } from "./records";
import { findService, isWide, latestVip, serviceNumber, tailOf } from "./services";

export function setKey(packet: Packet, key: u64): void {
  packet.key = key;
  packet.line = <u32>lineAt(shardOf(key), lineOf(key));
}

/** @param service the one that findService found last @returns its number */
export function belongTo(packet: Packet, service: usize): u32 {
  const number = serviceNumber(service);
  packet.service = <u16>number;
  packet.vip = latestVip;
  return number;
}

/**
 * Finds the flow of a client's packets to an address of IPv4.
 * @param ports as tcp.ports gives them, in that direction
 * @returns whether there is a service: if so, the packet has it, its VIP, ports, key and line
 */
export function findFlow4(packet: Packet, client: u32, address: u64, ports: u32, protocol: u32): bool {
  const service = inline.always(findService(address, 0, tailOf(ports >>> 16, protocol, 4)));
  if (service == 0) return false;
  const number = belongTo(packet, service);
  packet.ports = ports;
  const target = isWide(service) ? foldDestination(address, 0, ports >>> 16) : 0;
  setKey(packet, flowKey4(client, ports & 0xffff, number, target));
  return true;
}

/** As findFlow4(). */
export function findFlow6(
  packet: Packet,
  client0: u64,
  client1: u64,
  address0: u64,
  address1: u64,
  ports: u32,
  protocol: u32,
): bool {
  const service = inline.always(findService(address0, address1, tailOf(ports >>> 16, protocol, 6)));
  if (service == 0) return false;
  const number = belongTo(packet, service);
  packet.ports = ports;
  const target = isWide(service) ? foldDestination(address0, address1, ports >>> 16) : 0;
  setKey(packet, flowKey6(client0, client1, ports & 0xffff, number, target));
  return true;
}
