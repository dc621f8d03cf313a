// What the tunnels of a VIP need to know.

import { type Prefix, parsePrefix } from "./prefix.ts";
import { choice, integer, oneOrMore, portNumber, section, unicastPrefix } from "./values.ts";

/** The modes that put a packet into another one. */
export const TUNNEL_MODES = ["gre", "ipip", "gue"] as const;

export const isTunnel = (forward: string | undefined): boolean =>
  (TUNNEL_MODES as readonly (string | undefined)[]).includes(forward);

export const tunnel = section({
  ttl: integer(1, 255).prefault(64).describe("TTL or hop limit of the outer header."),
  guePort: portNumber().prefault(6080).describe("UDP port of the backends that `gue` goes to."),
  tooBig: choice("reply", "fragment")
    .prefault("reply")
    .describe(
      "What becomes of a packet that is larger than the MTU with the tunnel's headers. `reply`: its sender is told how big it may be " +
        "(ICMP Fragmentation Needed, ICMPv6 Packet Too Big; `icmp.errorsPerSecond`), and where it does not care (IPv4 without " +
        "DF), the outer packet is sent in fragments. `fragment`: always in fragments, which the backend has to put together.",
    ),
  sourcePrefix: oneOrMore("an IPv4 prefix, an IPv6 prefix, or a list of one of each", unicastPrefix())
    .optional()
    .describe(
      "Outer source addresses instead of the machine's own: the prefix with 16 bits of each flow's key in its host bits, so that " +
        "backends spread tunnel packets over their queues. A prefix, or one of each family. Nothing is ever sent to them; " +
        "backends must take packets from them (`rp_filter`).",
    ),
});

/** The source prefix of a family, if there is one. */
export function sourcePrefixOf(
  prefixes: readonly (string | undefined)[] | undefined,
  family: 4 | 6,
): Prefix | undefined {
  const parsed = (prefixes ?? []).flatMap((prefix) => (prefix === undefined ? [] : [parsePrefix(prefix)]));
  return parsed.find((prefix) => prefix.family === family);
}
