import { type Command, InvalidArgumentError } from "commander";
import { type ConnectionOptions, connected, withConnection } from "./connection.ts";
import { FORCE, findBackend } from "./operated-backend.ts";

type WeightOptions = ConnectionOptions & { force?: boolean };

/** `guideway weight`: a backend's share of new flows. */
export function register(program: Command): void {
  withConnection(program.command("weight"))
    .description(
      "change a backend's share of new flows, until the configuration says another or the machine restarts",
    )
    .argument("<backend>", "its name, or pool/name where several pools have one of that name")
    .argument("<weight>", "from 0, which takes no new flows, to 65535", (text) => {
      if (!/^\d{1,5}$/.test(text) || Number(text) > 65535)
        throw new InvalidArgumentError("expected an integer from 0 to 65535.");
      return Number(text);
    })
    .option("--force", FORCE)
    .action(async (name: string, weight: number, { force, ...connection }: WeightOptions) => {
      await connected(connection, async (client) => {
        const { pool, backend } = await findBackend(client, name);
        await client.setWeight(pool, backend, weight, force);
        process.stdout.write(`${pool}/${backend} has weight ${weight}\n`);
      });
    });
}
