import { resolve } from "node:path";
import type { Command } from "commander";
import type { Reloaded } from "../control/changes.ts";
import { type ConnectionOptions, connected, withConnection } from "./connection.ts";

interface ReloadOptions extends ConnectionOptions {
  config?: string;
  force?: true;
  json?: true;
}

/** `guideway reload`: another configuration for a running machine. */
export function register(program: Command): void {
  withConnection(program.command("reload"))
    .description("put a configuration in force on a running machine, without a lost packet on what stays")
    .option("-c, --config <file>", "the configuration (default: the machine's own file, read again)")
    .option("--force", "also if more moves than change.maxMoved allows")
    .option("--json", "one JSON object on stdout")
    .action(async ({ config, force, json, ...connection }: ReloadOptions) => {
      const { readConfigText } = await import("../config/load.ts");
      const document = config === undefined ? {} : { text: readConfigText(config), file: resolve(config) };
      const result = await connected(connection, (client) =>
        client.reload({ ...document, ...(force && { force }) }),
      );
      process.stdout.write(`${json ? JSON.stringify(result) : await render(result)}\n`);
    });
}

async function render({ outcome, generation, warnings, vips }: Reloaded): Promise<string> {
  const { columns, percent } = await import("../columns.ts");
  const head =
    outcome === "applied" ? `generation ${generation} is in force` : "nothing differs from what is in force";
  const rows = vips.map(({ name, change, slotsMoved }) => [name, change, percent(slotsMoved, 1)]);
  const table = columns([["VIP", "CHANGE", "SLOTS MOVED"], ...rows], [2]);
  return [
    head,
    ...warnings.map((warning) => `warning: ${warning}`),
    ...(vips.length > 0 ? ["", table] : []),
  ].join("\n");
}
