// Announcements as paths of GoBGP's API, and back.
import { canonicalAddress } from "../config/address.ts";
import { type Announcement, splitPrefix } from "./announcer.ts";
import type { PrefixState } from "./speaker.ts";

/** Messages of gobgp.proto, as @grpc/proto-loader gives and takes them. */
export interface Family {
  afi: "AFI_IP" | "AFI_IP6";
  safi: "SAFI_UNICAST";
}

interface Nlri {
  prefix?: { prefix: string; prefixLen: number };
}

export interface Path {
  family: Family;
  nlri: Nlri;
  pattrs: Attribute[];
  /** Of the peer that it was received from; empty for one that was announced here. */
  neighborIp?: string;
}

interface Attribute {
  origin?: { origin: number };
  nextHop?: { nextHop: string };
  communities?: { communities: number[] };
  mpReach?: { family: Family; nextHops: string[]; nlris: Nlri[] };
}

/** What all announcements of this machine have in common. */
export interface PathAttributes {
  nextHops: { 4: string | undefined; 6: string | undefined };
  communities: readonly number[];
}

/** IGP: it originates here (RFC 4271 §4.3). */
const ORIGIN_IGP = 0;

export function familyOf(family: 4 | 6): Family {
  return { afi: family === 4 ? "AFI_IP" : "AFI_IP6", safi: "SAFI_UNICAST" };
}

/**
 * The path of an announcement: IPv4 with NEXT_HOP (RFC 4271), IPv6 with MP_REACH_NLRI (RFC 4760).
 * @throws Error when there is no next hop of its family
 */
export function pathOf(announcement: Announcement, { nextHops, communities }: PathAttributes): Path {
  const { address, length } = splitPrefix(announcement);
  const family = familyOf(announcement.family);
  const nlri = { prefix: { prefix: address, prefixLen: length } };
  const hop = nextHops[announcement.family];
  if (hop === undefined) {
    const key = announcement.family === 4 ? "nextHop" : "nextHop6";
    throw new Error(`${announcement.prefix} has no next hop, expected announce.${key} to be set`);
  }
  const pattrs: Attribute[] = [
    { origin: { origin: ORIGIN_IGP } },
    announcement.family === 4
      ? { nextHop: { nextHop: hop } }
      : { mpReach: { family, nextHops: [hop], nlris: [nlri] } },
  ];
  if (communities.length > 0) pattrs.push({ communities: { communities: [...communities] } });
  return { family, nlri, pattrs };
}

/**
 * How it is with an announcement, by the paths that GoBGP has for its prefix. A path with our next hop is ours: left by
 * an earlier process perhaps, with other communities perhaps. One with another next hop is somebody else's.
 */
export function stateOf(
  announcement: Announcement,
  paths: readonly Path[],
  attributes: PathAttributes,
): PrefixState {
  const hop = attributes.nextHops[announcement.family];
  const own = paths.find((path) => !path.neighborIp && hop !== undefined && nextHopOf(path) === hop);
  if (own === undefined) return "withdrawn";
  const communities = own.pattrs.flatMap((each) => each.communities?.communities ?? []);
  const key = (values: readonly number[]) => [...new Set(values)].sort((a, b) => a - b).join();
  return key(communities) === key(attributes.communities) ? "announced" : "unknown";
}

/** In canonical text; undefined when it has none. */
function nextHopOf({ pattrs }: Path): string | undefined {
  for (const { nextHop, mpReach } of pattrs) {
    const hop = nextHop?.nextHop ?? mpReach?.nextHops[0];
    if (hop !== undefined) return canonicalAddress(hop);
  }
  return undefined;
}

/** `fd99::1/128`, in canonical text; undefined for what is no unicast prefix. */
export function prefixOf({ nlri: { prefix } }: Path): string | undefined {
  const address = prefix && canonicalAddress(prefix.prefix);
  return address && `${address}/${prefix.prefixLen}`;
}
