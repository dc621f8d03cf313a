// What each reason means, in a sentence (cause and cure are in docs/verdicts.md).

/** By the reason's name. */
export const MEANINGS: Readonly<Record<string, string>> = {
  hit: "the connection table knows the flow",
  new: "the flow is new: the lookup table chose its backend",
  probe: "a probe of the balancer's own: no connection table, not counted for VIP and backend",
  table: "the flow is new, and more came in a second than are entered: the lookup table chose its backend",
  "server-id": "its QUIC connection id names the backend: no connection table",
  "icmp-error": "an ICMP error about a packet of a backend: it is told, and no entry changes",
  return:
    "a backend's answer, or an ICMP error about a client's packet to it: the client gets it from the VIP",
  echo: "an echo request to a VIP that answers",
  "too-big-replied": "larger than the MTU on the way to the backend: the sender is told how big it may be",
  "not-ip": "neither IPv4 nor IPv6: the host gets it",
  "not-vip": "not for a service of a VIP: the host gets it",
  truncated: "the frame ends before its headers do",
  "bad-header": "a version or a header length that cannot be",
  "bad-length": "a length field that contradicts the frame",
  "ttl-expired": "TTL or hop limit is 0, or would be behind this machine",
  fragment:
    "a fragment of a datagram that is not for a TCP or UDP service of the VIP, or of a backend's that is no answer",
  "extension-header": "its IPv6 extension headers are too many, too long or of a kind that hides the ports",
  "icmp-unsupported":
    "ICMP to a VIP that is neither an echo request that it answers nor an error about one of its flows",
  "no-backend": "the pool has no backend that takes flows",
  unresolved: "the MAC address of the next hop is not known",
  "too-big": "as it would leave it is larger than the MTU, and its sender cannot be told",
  "no-frame": "it was to leave in fragments, and there was no packet buffer for them",
  "tx-full": "the TX ring had no room",
  "handoff-full": "the ring to the worker that owns the flow had no room",
  trapped: "the data plane trapped, or its thread died: a defect",
  "spoofed-source": "no machine may have its source address, or the balancer itself has",
  land: "its source address is its destination",
  denied: "the VIP's guard does not take packets from its source",
  "rate-limited": "more packets a second came from its source's prefix than the VIP's guard takes",
  "fragment-tiny": "a fragment that holds a part of the TCP or UDP header: only attacks are cut so small",
  "fragment-timeout": "a fragment whose datagram's first one, which has the ports, did not come in time",
  "fragment-limit": "a fragment that would have had to wait for the first one, and too many did already",
  "bad-checksum": "the checksum of the IPv4 header is wrong",
  "no-route": "no route leads to the client",
  oversized: "larger than a frame: the kernel would not have received it",
};
