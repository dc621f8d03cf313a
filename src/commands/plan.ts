import { type Command, InvalidArgumentError, Option } from "commander";
import { parsePercent } from "../config/percent.ts";
import type { Config } from "../config/schema.ts";
import { GuidewayError } from "../errors.ts";
import type { Plan } from "../plan/plan.ts";
import type { ActiveFlows, ConnectionPlan } from "../plan/pools.ts";
import type { StateOf } from "../plan/tables.ts";
import { type ConnectionOptions, connected, withConnection } from "./connection.ts";

interface PlanCommandOptions extends ConnectionOptions {
  pcap?: string;
  live?: true;
  maxMoved?: number;
  json?: true;
}

/** The two sides of a change, and what a running machine knows of the first. */
interface Change {
  before: Config;
  after: Config;
  states?: StateOf;
  activeFlows?: ActiveFlows;
}

/** `guideway plan`: what a change of the configuration would move. */
export function register(program: Command): void {
  const command = program
    .command("plan")
    .description("show what a change of the configuration would move: slots, flows, connections")
    .argument("<files...>", "the configuration now and the one to come, YAML; with --live the latter alone")
    .usage("[options] <old> <new>\n       guideway plan --live [options] <new>")
    .option("--pcap <sample>", "try it on the flows of a capture, classic pcap, instead of generated ones")
    .option("--live", "compare with a running machine, and count its connections")
    .addOption(
      new Option("--max-moved <percent>", "fail when more of a VIP would move, such as 5%").argParser(
        percentage,
      ),
    )
    .option("--json", "one JSON object on stdout");
  withConnection(command).action(async (files: string[], options: PlanCommandOptions) => {
    await run(files, options);
  });
}

function percentage(text: string): number {
  const fraction = parsePercent(text);
  if (fraction === undefined)
    throw new InvalidArgumentError("Expected a percentage from 0% to 100%, such as 5%.");
  return fraction;
}

/**
 * Throws ConfigError for either file or both, PcapError, GuidewayError `USAGE`, NOT_RUNNING, and MOVED when more than
 * --max-moved would move.
 */
async function run(files: readonly string[], options: PlanCommandOptions): Promise<void> {
  const expected = options.live ? 1 : 2;
  if (files.length !== expected) {
    const names = options.live ? "one: NEW, to compare with what runs" : "two: OLD and NEW";
    throw new GuidewayError("USAGE", `${files.length} files are named, expected ${names}`, { exitCode: 2 });
  }
  if (!options.live && options.url !== undefined)
    throw new GuidewayError("USAGE", "--url names a machine to compare with, which takes --live", {
      exitCode: 2,
    });
  const { planChange } = await import("../plan/plan.ts");
  const { connectionsMoved } = await import("../plan/pools.ts");
  const { before, after, states, activeFlows } = options.live
    ? await readLive(files[0]!, options)
    : await readFiles(files[0]!, files[1]!);
  const flows = options.pcap === undefined ? undefined : await readFlows(before, after, options.pcap);
  const plan = planChange(before, after, { ...(flows && { flows }), ...(states && { states }) });
  const connections = activeFlows && connectionsMoved(plan, activeFlows);
  const { renderPlan } = await import("../plan/render.ts");
  const text = options.json
    ? JSON.stringify(toJson(plan, connections), null, 2)
    : renderPlan(plan, connections);
  process.stdout.write(`${text}\n`);
  if (options.maxMoved !== undefined) await refuseAbove(options.maxMoved, plan, connections);
}

async function readFiles(old: string, next: string): Promise<Change> {
  const { ConfigError, loadConfig } = await import("../config/load.ts");
  const issues: import("../config/load.ts").ConfigIssue[] = [];
  const [before, after] = [old, next].map((file) => {
    try {
      return loadConfig(file).config;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      issues.push(...error.issues);
      return undefined;
    }
  });
  if (!before || !after) throw new ConfigError(issues);
  return { before, after };
}

/** The configuration in force of a running machine, and what it knows of its backends. */
async function readLive(next: string, connection: ConnectionOptions): Promise<Change> {
  const { loadConfig, parseConfig } = await import("../config/load.ts");
  const { takeWeights } = await import("../plan/weights.ts");
  const after = loadConfig(next).config;
  const { text, file, pools } = await connected(connection, async (client) => {
    return { ...(await client.config()), pools: (await client.status()).pools };
  });
  const backends = new Map(
    pools.flatMap((pool) =>
      pool.backends.map((backend) => [JSON.stringify([pool.name, backend.name]), backend] as const),
    ),
  );
  const find = (pool: string, backend: string) => backends.get(JSON.stringify([pool, backend]));
  const before = parseConfig(text, file).config;
  takeWeights(before, after, (pool, backend) => find(pool, backend)?.weight);
  return {
    before,
    after,
    states: (pool, backend) => find(pool, backend)?.state ?? "active",
    activeFlows: (pool, backend) => find(pool, backend)?.activeFlows ?? 0,
  };
}

async function readFlows(before: Config, after: Config, file: string) {
  const { openPcap } = await import("../io/pcap-reader.ts");
  const { FlowSample } = await import("../plan/flow-sample.ts");
  const sample = new FlowSample(before, after, file);
  const capture = await openPcap(file);
  for await (const batch of capture.batches()) for (const { bytes } of batch) sample.add(bytes);
  if (sample.flows === 0) process.stderr.write(`warning: ${file} has no flow of a VIP\n`);
  return sample;
}

/** The object that `plan --json` prints. */
function toJson(plan: Plan, connections: ConnectionPlan | undefined) {
  if (!connections) return plan;
  const { vips: parts, ...rest } = connections;
  const vips = plan.vips.map((vip) => ({
    ...vip,
    connectionsMoved: vip.nameBefore === null ? 0 : parts[vip.nameBefore]!,
  }));
  return { ...plan, vips, connections: rest };
}

/** @throws GuidewayError MOVED that says which VIP moves more than `most` */
async function refuseAbove(most: number, plan: Plan, connections: ConnectionPlan | undefined): Promise<void> {
  const { part } = await import("../plan/render.ts");
  const above = plan.vips.flatMap(({ name, nameBefore, slotsMoved, flowsMoved }) => {
    const parts = {
      slots: slotsMoved,
      flows: flowsMoved,
      connections: connections?.vips[nameBefore ?? ""] ?? 0,
    };
    const beyond = Object.entries(parts).filter(([, moved]) => moved > most);
    if (beyond.length === 0) return [];
    return [`VIP ${name}: ${beyond.map(([what, moved]) => `${part(moved)} of ${what}`).join(", ")}`];
  });
  if (above.length === 0) return;
  throw new GuidewayError(
    "MOVED",
    `more would move than --max-moved ${part(most)} allows:\n${above.join("\n")}\n` +
      "Make the change in smaller steps, or allow more.",
  );
}
