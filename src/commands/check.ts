import type { Command } from "commander";

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
    const facts = config.interfaces.map(readInterface).filter((each) => each !== undefined);
    const summary = summarize(file, config, warnings, new Map(facts.map((each) => [each.name, each])));
    // ARENA PLAN CALL SITE: planArena(config, { interfaces: queues }) of src/dataplane/plan.ts goes here. It fills
    // summary.memory, and refuses more than 4 GiB by a ConfigError.
    if (json) print(JSON.stringify(summary, null, 2));
    else print((await import("../config/render.ts")).renderSummary(summary));
  } catch (error) {
    if (json && error instanceof ConfigError)
      print(JSON.stringify(summarizeErrors(file, error.issues), null, 2));
    throw error;
  }
}
