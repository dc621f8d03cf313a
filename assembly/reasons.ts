// Reasons: every packet ends with exactly one (docs/verdicts.md). Ranges decide the verdict: forwarded up to
// REASON_ECHO, replied up to REASON_NOT_IP, passed up to REASON_DROP, dropped above.
//
// Like layout.ts, this file is TypeScript and AssemblyScript at once, and written by the same rules.

export const REASON_NONE: u32 = 0;
/** Forwarded: found in the connection table. */
export const REASON_HIT: u32 = 1;
/** Forwarded: chosen by the lookup table. */
export const REASON_NEW: u32 = 2;
/** Forwarded: a probe, which leaves no trace in the connection table or in the counters of VIPs and backends. */
export const REASON_PROBE: u32 = 3;
/** Forwarded: chosen by the lookup table, and not entered: too many new flows a second. */
export const REASON_TABLE: u32 = 4;
/** Forwarded: to the backend whose server id is in the QUIC connection id, without an entry. */
export const REASON_SERVER_ID: u32 = 5;
/** Forwarded: an ICMP error about a packet of a backend, delivered to that backend. */
export const REASON_ICMP_ERROR: u32 = 6;
/** Forwarded: a backend's answer, translated back for the client. */
export const REASON_RETURN: u32 = 7;
/** Replied. */
export const REASON_ECHO: u32 = 8;
/** Too big for the way to the backend: the client was told how big packets may be. */
export const REASON_TOO_BIG_REPLIED: u32 = 9;
/** Passed to the host. */
export const REASON_NOT_IP: u32 = 12;
export const REASON_NOT_VIP: u32 = 13;
/** Dropped. */
export const REASON_DROP: u32 = 16;
export const REASON_TRUNCATED: u32 = 16;
export const REASON_BAD_HEADER: u32 = 17;
export const REASON_BAD_LENGTH: u32 = 18;
export const REASON_TTL_EXPIRED: u32 = 19;
export const REASON_FRAGMENT: u32 = 20;
export const REASON_EXTENSION_HEADER: u32 = 21;
export const REASON_ICMP_UNSUPPORTED: u32 = 22;
export const REASON_NO_BACKEND: u32 = 23;
export const REASON_UNRESOLVED: u32 = 24;
export const REASON_TOO_BIG: u32 = 25;
export const REASON_TX_FULL: u32 = 26;
export const REASON_HANDOFF_FULL: u32 = 27;
export const REASON_TRAPPED: u32 = 28;
/** Given by a port, not by the pipeline: the packet is larger than a frame. */
export const REASON_OVERSIZED: u32 = 29;
/** It was to be sent in fragments, and there was no frame for them. */
export const REASON_NO_FRAME: u32 = 30;
/** Fragments: a header that is not whole in the first fragment, waited in vain for the first, too many that wait. */
export const REASON_FRAGMENT_TINY: u32 = 34;
export const REASON_FRAGMENT_TIMEOUT: u32 = 35;
export const REASON_FRAGMENT_LIMIT: u32 = 36;
/** Its source address is nobody's, or the balancer's own. */
export const REASON_SPOOFED_SOURCE: u32 = 40;
/** Its source address is its destination. */
export const REASON_LAND: u32 = 41;
/** The VIP's guard denies its source. */
export const REASON_DENIED: u32 = 42;
/** More packets a second from its source's prefix than the VIP's guard allows. */
export const REASON_RATE_LIMITED: u32 = 43;
/** The checksum of an IPv4 header that was to be rewritten is wrong. */
export const REASON_BAD_CHECKSUM: u32 = 48;
/** No route leads to the client that a backend answers. */
export const REASON_NO_ROUTE: u32 = 49;
/** Not a verdict: the fragment waits for the first one of its datagram, and gets one later. */
export const REASON_HELD: u32 = 62;
/** Not a verdict: the packet went to the worker that owns its shard, which gives one. */
export const REASON_HANDED: u32 = 63;
