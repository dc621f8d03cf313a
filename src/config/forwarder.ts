// The key `forwarder`: how the machine tests itself, and how probes of backends enter the data plane. docs/forwarder.md
// says what it does with it.
import { duration, integer, interfaceName, section } from "./values.ts";

const probe = section({
  interface: interfaceName()
    .prefault("gwprobe")
    .describe(
      "Name of the pair of veth interfaces by which `via: tunnel` checks reach the workers, without the last digit: `gwprobe0` " +
        "is the host's end, `gwprobe1` the workers'. Interfaces of these names are replaced.",
    ),
  firstPort: integer(1024, 65535)
    .prefault(20_000)
    .describe(
      "First of the source ports that checks use. Nothing else should: outside of `ip_local_port_range`.",
    ),
  ports: integer(1, 64_512)
    .prefault(12_768)
    .describe("How many source ports: one for each backend that is checked `via: tunnel`."),
  table: integer(256, 32_765)
    .prefault(7867)
    .describe("Number of the routing table, and of the rules' preference, that lead the checks to it."),
});

export const forwarder = section({
  interval: duration(50, 10_000, "from 50ms to 10s")
    .prefault("250ms")
    .describe("From one test of every worker to the next."),
  timeout: duration(50, 10_000, "from 50ms to 10s")
    .prefault("250ms")
    .describe("How long a worker may take to answer, and packets may wait in a ring."),
  rise: integer(1, 100).prefault(2).describe("Rounds in a row without a failure that make it healthy."),
  fall: integer(1, 100)
    .prefault(2)
    .describe(
      "Failed tests of a worker in a row that make it unhealthy. A link that is down does so at once.",
    ),
  probe: probe.prefault({}).describe("How `via: tunnel` health checks reach the workers."),
});
