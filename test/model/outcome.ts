// What the model says of a packet.

export interface Outcome {
  verdict: "forward" | "reply" | "pass" | "drop";
  /** As the document writes it: hit, new, echo, not-ip, truncated, … */
  reason: string;
  /** Number of the service, or of the address service when an address rule or ICMP's asked for it; else 0. */
  service: number;
  vip: string | undefined;
  backend: string | undefined;
  /** The flow was in the connection table. */
  tracked: boolean;
  /** TRACK_*. */
  track: number;
  /** Flow key; 0 when there is no service. */
  key: bigint;
  /** Slot of the lookup table; on a miss only. */
  slot?: number;
  /** The frame that leaves; forward and reply only. */
  out?: Uint8Array;
  /** What follows it, when it is the first of several fragments. */
  fragments?: Uint8Array[];
}
