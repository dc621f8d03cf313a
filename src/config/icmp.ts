// ICMP of the machine's own.
import { integer, section } from "./values.ts";

export const icmp = section({
  errorsPerSecond: integer(0, 1_000_000)
    .prefault(1000)
    .describe(
      "ICMP errors that the machine sends (Fragmentation Needed, Packet Too Big), a second in all; each 256th of the flows has its " +
        "part. Packets that would need more are dropped (`too-big`). 0 sends none.",
    ),
});
