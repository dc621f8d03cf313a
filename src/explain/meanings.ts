// What each reason means, in a sentence (cause and cure are in docs/verdicts.md).

/** By the reason's name. */
export const MEANINGS: Readonly<Record<string, string>> = {
  hit: "the connection table knows the flow",
  new: "the flow is new: the lookup table chose its backend",
  probe: "a probe of the balancer's own: no connection table, not counted for VIP and backend",
  return: "a backend's answer: the client gets it from the VIP",
  echo: "an echo request to a VIP that answers",
  "not-ip": "neither IPv4 nor IPv6: the host gets it",
  "not-vip": "not for a service of a VIP: the host gets it",
  truncated: "the frame ends before its headers do",
  "bad-header": "a version or a header length that cannot be",
  "bad-length": "a length field that contradicts the frame",
  "ttl-expired": "TTL or hop limit is 0, or would be behind this machine",
  fragment: "a fragment: only the first has ports, so its flow is not known",
  "extension-header": "an IPv6 extension header hides the ports",
  "icmp-unsupported": "ICMP to a VIP that is no echo request, or the VIP does not answer those",
  "no-backend": "the pool has no backend that takes flows",
  unresolved: "the MAC address of the next hop is not known",
  "too-big": "as it would leave it is larger than the MTU",
  "tx-full": "the TX ring had no room",
  "handoff-full": "the ring to the worker that owns the flow had no room",
  trapped: "the data plane trapped: a defect",
  "bad-checksum": "the checksum of the IPv4 header is wrong",
  "no-route": "no route leads to the client",
  oversized: "larger than a frame: the kernel would not have received it",
};
