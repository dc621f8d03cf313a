import type { Command } from "commander";
import type { ConnectionOptions } from "./connection.ts";
import { connected, withConnection } from "./connection.ts";

/** `guideway status`: what a running machine says of itself. */
export function register(program: Command): void {
  withConnection(program.command("status"))
    .description("show a running machine: whether it forwards, announcement, backends, traffic, drops")
    .option("--json", "one JSON object on stdout")
    .action(async ({ json, ...connection }: ConnectionOptions & { json?: true }) => {
      const status = await connected(connection, (client) => client.status());
      const { renderStatus } = await import("./status-text.ts");
      process.stdout.write(`${json ? JSON.stringify(status) : renderStatus(status)}\n`);
    });
}
