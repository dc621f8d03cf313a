// A balancer with a link for checks through the data plane, as a process of its own: `node probing-machine.ts CONFIG POOL…`.
// Its first line on stdout is a JSON object: for each pool a list of the ways to its backends. SIGTERM ends it; then it
// says how many packets it has forwarded as probes, and for VIPs.

import { once } from "node:events";
import { loadConfig } from "../../src/config/load.ts";
import { Machine } from "../../src/control/machine.ts";
import { createLogger } from "../../src/log.ts";

const [file = "", ...pools] = process.argv.slice(2);
const { config } = loadConfig(file);
const log = createLogger({ level: "warn", format: "json" });
const machine = new Machine(config, log);
const ending = once(process, "SIGTERM");
try {
  await machine.start();
  const ways = pools.map((pool) => [
    pool,
    config.pools[pool]!.backends.map(({ name }) => ({
      backend: name,
      ...machine.probes!.portOf(pool, name),
    })),
  ]);
  process.stdout.write(`${JSON.stringify(Object.fromEntries(ways))}\n`);
  await ending;
  const { reasons, vips, forwarder } = machine.status();
  const packets = vips.reduce((sum, vip) => sum + vip.packets, 0);
  process.stdout.write(`${JSON.stringify({ probe: reasons.probe ?? 0, packets, forwarder })}\n`);
} finally {
  await machine.stop();
}
