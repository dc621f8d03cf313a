/** One forwarder's turn. */
export interface Turn {
  /** Packets that came back to the sender. */
  packetsPerSecond: number;
  /** Packets that the sender sent. */
  offeredPerSecond: number;
  /** Processor time of the forwarding thread, kernel included. */
  cpuNsPerPacket: number;
  /** Share of the time that the forwarding thread ran. */
  busy: number;
}

/** What the measuring process tells its parent. */
export interface NicMeasurement {
  turns: { native: Turn[]; wasm: Turn[] };
  /** Of the whole run, between turns too. */
  packets: { sent: number; received: number; verified: number; wrong: number };
  /** The WASM worker's own counters. */
  worker: {
    packets: number;
    batches: number;
    kicks: number;
    parks: number;
    traps: number;
    reasons: Record<string, number>;
  };
  setup: {
    flows: number;
    packetBytes: number;
    senderCpu: number;
    forwarderCpu: number;
    /** How the kernel hands packets over, and where the XDP program runs. */
    sockets: "zero-copy" | "copy";
    program: "native" | "generic";
  };
}
