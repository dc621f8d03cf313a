import type { Command } from "commander";
import { columns, counted } from "../columns.ts";
import { type ConnectionOptions, connected, withConnection } from "./connection.ts";

/** `guideway audit`: what was changed on a running machine. */
export function register(program: Command): void {
  withConnection(program.command("audit"))
    .description("show what was changed on a running machine, by whom and when")
    .option("--json", "one JSON object on stdout")
    .action(async ({ json, ...connection }: ConnectionOptions & { json?: true }) => {
      const entries = await connected(connection, (client) => client.audit());
      if (json) {
        process.stdout.write(`${JSON.stringify({ entries })}\n`);
        return;
      }
      const rows = entries.map(({ at, by, user, action, target, outcome, detail }) =>
        [at, user ? `${by} ${user}` : by, action, target, outcome, firstLine(detail)].map(printable),
      );
      process.stdout.write(`${columns([["AT", "BY", "ACTION", "TARGET", "OUTCOME", "DETAIL"], ...rows])}\n`);
    });
}

function firstLine(text: string): string {
  const [first = "", ...more] = text.split("\n");
  return more.length === 0 ? first : `${first} (and ${counted(more.length, "more line")})`;
}

/** Names and errors are others' words: no control characters of theirs reach a terminal. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, "?");
}
