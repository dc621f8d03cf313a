import type { Command } from "commander";
import { GuidewayError } from "../errors.ts";

/** `guideway table`: the lookup table of a VIP. */
export function register(program: Command): void {
  program
    .command("table")
    .description("print the lookup table of a VIP, or how evenly it is shared")
    .requiredOption("-c, --config <file>", "the configuration, YAML (docs/configuration.md)")
    .requiredOption("--vip <name>", "the VIP")
    .option("--json", "one JSON object on stdout, with every slot")
    .action(async (options: { config: string; vip: string; json?: true }) => {
      await run(options);
    });
}

/** Throws ConfigError, and GuidewayError `USAGE` for a VIP that there is not. */
async function run({
  config: file,
  vip: name,
  json,
}: {
  config: string;
  vip: string;
  json?: true;
}): Promise<void> {
  const { loadConfig } = await import("../config/load.ts");
  const { expectation } = await import("../config/suggest.ts");
  const { tableOf, renderTable } = await import("../explain/table.ts");
  const { config } = loadConfig(file);
  const vip = config.vips.find((each) => each.name === name);
  if (vip === undefined) {
    const names = config.vips.map((each) => each.name);
    const expected = names.length === 0 ? "there are none" : expectation(name, names);
    throw new GuidewayError("USAGE", `${file} has no VIP ${JSON.stringify(name)}, ${expected}`, {
      exitCode: 2,
    });
  }
  const table = tableOf(vip.name, config.pools[vip.pool]!);
  process.stdout.write(
    `${json ? JSON.stringify(table) : renderTable(table, vip.pool, config.pools[vip.pool]!)}\n`,
  );
}
