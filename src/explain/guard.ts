// What a VIP's guard says of a source: which of its prefixes decides, and its bucket.

import { addressFamily } from "../config/address.ts";
import { containsPrefix, parsePrefix } from "../config/prefix.ts";
import type { VipConfig } from "../config/schema.ts";

export interface GuardExplanation {
  /** The prefix that decides, and the list that it is in; null when none contains the source. */
  decides: { list: "allow" | "deny"; prefix: string } | null;
  allowed: boolean;
  /** Packets a second for the sources of one prefix of a length; null without a limit. */
  limit: { packetsPerSecond: number; prefixLength: number } | null;
}

/** The guard of a VIP on a source address, by docs/datapath.md §8; null when it has none. */
export function explainGuard({ guard }: VipConfig, source: string): GuardExplanation | null {
  if (!guard) return null;
  const address = parsePrefix(source);
  const listed = (list: "allow" | "deny") => (guard[list] ?? []).map((prefix) => ({ list, prefix }));
  const [decides = null] = [...listed("allow"), ...listed("deny")]
    .filter(({ prefix }) => containsPrefix(parsePrefix(prefix), address))
    .sort((a, b) => parsePrefix(b.prefix).length - parsePrefix(a.prefix).length);
  const { limit, prefix, prefix6 } = guard.packetsPerSecond;
  return {
    decides,
    allowed: decides ? decides.list === "allow" : guard.allow === undefined,
    limit:
      limit === 0
        ? null
        : { packetsPerSecond: limit, prefixLength: addressFamily(source) === 4 ? prefix : prefix6 },
  };
}

/** As a line for people. */
export function guardText({ decides, allowed, limit }: GuardExplanation): string {
  const why = decides
    ? `${decides.list} ${decides.prefix} is the longest prefix`
    : "no prefix contains the source";
  const rate = limit ? `; ${limit.packetsPerSecond} packets/s for each source /${limit.prefixLength}` : "";
  return `${allowed ? "allowed" : "denied"}: ${why}${allowed ? rate : ""}`;
}
