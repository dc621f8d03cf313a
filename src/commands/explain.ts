import { type Command, InvalidArgumentError } from "commander";
import { GuidewayError } from "../errors.ts";

interface ExplainCommandOptions {
  config: string;
  packet?: string;
  flow?: string;
  repeat?: number;
  json?: true;
}

/** Where a packet made from --flow comes from: a router that no configuration knows. */
const ROUTER_MAC = "02:aa:00:00:00:01";

/** `guideway explain`: what becomes of one packet, and why. */
export function register(program: Command): void {
  program
    .command("explain")
    .description("show every decision that the engine takes about a packet, offline")
    .requiredOption("-c, --config <file>", "the configuration, YAML (docs/configuration.md)")
    .option("--packet <hex>", "the packet: an Ethernet frame in hexadecimal digits")
    .option(
      "--flow <flow>",
      'or the first packet of a flow: "tcp 1.2.3.4:5 > 10.99.0.1:80", udp too, "icmp A > B"',
    )
    .option("--repeat [times]", "send it again, once or so often, and explain the last", times)
    .option("--json", "one JSON object on stdout")
    .action(async (options: Omit<ExplainCommandOptions, "repeat"> & { repeat?: number | true }) => {
      const { repeat, ...rest } = options;
      await run({ ...rest, repeat: repeat === true ? 1 : (repeat ?? 0) });
    });
}

function times(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1 || count > 1000)
    throw new InvalidArgumentError("Expected an integer from 1 to 1000.");
  return count;
}

/** Throws ConfigError, and GuidewayError `USAGE` for a packet or flow that cannot be read. */
async function run({ config: file, packet, flow, repeat = 0, json }: ExplainCommandOptions): Promise<void> {
  if ((packet === undefined) === (flow === undefined)) {
    throw new GuidewayError("USAGE", "expected either --packet or --flow", { exitCode: 2 });
  }
  const { loadConfig } = await import("../config/load.ts");
  const { flowPacket, parseFlow, parsePacket } = await import("../explain/flow.ts");
  const { explain } = await import("../explain/explain.ts");
  const { renderExplanation } = await import("../explain/render.ts");
  const { macBytes } = await import("../mac.ts");
  // What is typed here is checked before what is in files.
  const parsed = flow === undefined ? undefined : parseFlow(flow);
  const raw = packet === undefined ? undefined : parsePacket(packet);
  const { config } = loadConfig(file);
  const macs = { source: macBytes(ROUTER_MAC), destination: macBytes(config.machine.mac) };
  const explanation = await explain(config, raw ?? flowPacket(parsed!, macs), 1 + repeat);
  process.stdout.write(`${json ? JSON.stringify(explanation, null, 2) : renderExplanation(explanation)}\n`);
}
