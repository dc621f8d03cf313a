import { type Command, InvalidArgumentError } from "commander";
import { MAX_WORKERS } from "../../assembly/layout.ts";
import { type ConnectionOptions, connected, withConnection } from "./connection.ts";

/** `guideway workers`: how many of them forward. */
export function register(program: Command): void {
  withConnection(program.command("workers"))
    .description(
      "change the number of workers while packets flow, until the configuration says another or the machine restarts",
    )
    .argument(
      "<count>",
      `from 1 to what the machine was started for (workers.max), ${MAX_WORKERS} at most`,
      (text) => {
        const count = Number(text);
        if (!/^\d{1,2}$/.test(text) || count < 1 || count > MAX_WORKERS)
          throw new InvalidArgumentError(`expected an integer from 1 to ${MAX_WORKERS}.`);
        return count;
      },
    )
    .action(async (count: number, connection: ConnectionOptions) => {
      await connected(connection, async (client) => {
        await client.resize(count);
        process.stdout.write(`${count} worker${count === 1 ? " forwards" : "s forward"}\n`);
      });
    });
}
