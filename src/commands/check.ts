import type { Command } from "commander";
import type { InterfaceFacts } from "../config/interfaces.ts";
import type { Config } from "../config/schema.ts";
import type { MemorySummary } from "../config/summary.ts";
import { GuidewayError } from "../errors.ts";

/** `guideway check`: validates a configuration and prints what it would do. */
export function register(program: Command): void {
  program
    .command("check")
    .description("validate a configuration and print what it would do")
    .requiredOption("-c, --config <file>", "the configuration, YAML (docs/configuration.md)")
    .option("--json", "one JSON object on stdout")
    .action(async (options: { config: string; json?: true }) => {
      await check(options.config, options.json === true);
    });
}

/** Prints the summary of a configuration file. Throws ConfigError; with `json` its issues are on stdout as well. */
async function check(file: string, json: boolean): Promise<void> {
  const { ConfigError, loadConfig } = await import("../config/load.ts");
  const { summarize, summarizeErrors } = await import("../config/summary.ts");
  const { readInterface } = await import("../config/interfaces.ts");
  const print = (text: string): void => void process.stdout.write(`${text}\n`);
  try {
    const { config, warnings } = loadConfig(file);
    const found = config.interfaces.map(readInterface).filter((each) => each !== undefined);
    const facts = new Map(found.map((each) => [each.name, each]));
    const summary = summarize(file, config, warnings, facts);
    summary.memory = await memory(file, config, facts);
    if (json) print(JSON.stringify(summary, null, 2));
    else print((await import("../config/render.ts")).renderSummary(summary));
  } catch (error) {
    if (json && error instanceof ConfigError)
      print(JSON.stringify(summarizeErrors(file, error.issues), null, 2));
    throw error;
  }
}

/** What the arena would take on this machine; an interface that it lacks counts as one queue. Throws ConfigError. */
async function memory(
  file: string,
  config: Config,
  facts: ReadonlyMap<string, InterfaceFacts>,
): Promise<MemorySummary> {
  const { planArena, workerCapacity } = await import("../dataplane/plan.ts");
  const { ConfigError } = await import("../config/error.ts");
  const queues = config.interfaces.reduce((sum, name) => sum + (facts.get(name)?.queues ?? 1), 0);
  const workers = workerCapacity(config, Math.max(1, queues));
  try {
    const plan = planArena(config, { queues: Math.max(1, queues), workers, selfTest: true });
    const regions = Object.entries(plan.regions).map(([name, region]) => [name, region.bytes] as const);
    return { bytes: plan.bytes, queues, workers, regions: Object.fromEntries(regions) };
  } catch (error) {
    if (!(error instanceof GuidewayError) || error.code !== "ARENA_SIZE") throw error;
    throw new ConfigError([{ file, line: 0, column: 0, path: "", message: error.message }], error);
  }
}
