// The keys `guard` and `quic` of a VIP, and `quicServerId` of a backend. docs/datapath.md §8 and §9 say what the data plane
// does with them.
import { choice, hexBytes, integer, listOf, prefix, section } from "./values.ts";

/** Most packets a second that a limit can be: the interval between two of them still has two significant digits. */
export const MAX_LIMIT = 10_000_000;
/** Longest server id of draft-ietf-quic-load-balancers §3. */
const MAX_SERVER_ID_BYTES = 15;

const prefixes = () => listOf("prefixes", prefix());

export const guard = section({
  allow: prefixes()
    .optional()
    .describe(
      "Sources that may send. With it, all others are dropped (`denied`). Of all prefixes here and in `deny` that contain a " +
        "source, the longest decides. Prefixes of the other address family do no harm.",
    ),
  deny: prefixes().prefault([]).describe("Sources that may not send; their packets are dropped (`denied`)."),
  packetsPerSecond: section({
    limit: integer(0, MAX_LIMIT)
      .prefault(0)
      .describe(
        "Packets a second from one source prefix; as many may come at once. Those above it are dropped (`rate-limited`). " +
          "0 is no limit.",
      ),
    prefix: integer(0, 32).prefault(24).describe("Length of the source prefixes that are told apart, IPv4."),
    prefix6: integer(0, 128)
      .prefault(64)
      .describe("Length of the source prefixes that are told apart, IPv6."),
  })
    .prefault({})
    .describe("A limit for each source prefix, kept by all workers together."),
});

export const quic = section({
  routeBy: choice("none", "server-id")
    .prefault("none")
    .describe(
      "`server-id`: a QUIC packet goes to the backend whose `quicServerId` is in its connection id " +
        "(draft-ietf-quic-load-balancers, plaintext), ahead of its flow's entry, so that a client that changes its address " +
        "keeps its backend. What names no such backend is treated like any UDP.",
    ),
});

export const quicServerId = () =>
  hexBytes(1, MAX_SERVER_ID_BYTES).describe(
    "What connection ids of this backend have behind their first octet, in hexadecimal digits, in quotes. All of a pool are of " +
      "the same length. Only VIPs with `quic.routeBy: server-id` look at it.",
  );
