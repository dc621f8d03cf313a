import { setTimeout as sleep } from "node:timers/promises";
import { type Command, InvalidArgumentError } from "commander";
import type { AdminClient } from "../admin/client.ts";
import { parseDuration } from "../config/duration.ts";
import type { CheckedBackend } from "../control/overview.ts";
import { GuidewayError } from "../errors.ts";
import { type ConnectionOptions, connected, withConnection } from "./connection.ts";
import { FORCE, findBackend } from "./operated-backend.ts";

/** Between two looks at how many flows are left. */
const STEP_MS = 500;

type DrainOptions = ConnectionOptions & { timeout?: number; force?: boolean };

/** `guideway drain` and `guideway undrain`: no new flows for a backend, and back. */
export function register(program: Command): void {
  withConnection(program.command("drain"))
    .description("give a backend no new flows; those it has stay")
    .argument("<backend>", "its name, or pool/name where several pools have one of that name")
    .option("--timeout <duration>", "wait until its flows have ended, so long at most: e.g. 5m", (text) => {
      const ms = parseDuration(text);
      if (ms === undefined) throw new InvalidArgumentError("expected a duration such as 30s or 5m.");
      return ms;
    })
    .option("--force", FORCE)
    .action(async (name: string, { timeout, force, ...connection }: DrainOptions) => {
      await connected(connection, async (client) => {
        const { pool, backend } = await findBackend(client, name);
        await client.setBackendState(pool, backend, "draining", force);
        if (timeout === undefined) await tell(client, pool, backend);
        else await awaitEnd(client, pool, backend, timeout);
      });
    });
  withConnection(program.command("undrain"))
    .description("give a drained backend new flows again")
    .argument("<backend>", "its name, or pool/name where several pools have one of that name")
    .action(async (name: string, connection: ConnectionOptions) => {
      await connected(connection, async (client) => {
        const { pool, backend } = await findBackend(client, name);
        await client.setBackendState(pool, backend, "active");
        const { state, health } = await find(client, pool, backend);
        const text =
          state === "active"
            ? "gets new flows again"
            : `is not drained any more, but down: ${health?.reason || "its checks fail"}`;
        process.stdout.write(`${pool}/${backend} ${text}\n`);
      });
    });
}

/** @throws GuidewayError UNKNOWN when it has left the configuration meanwhile */
async function find(client: AdminClient, pool: string, name: string): Promise<CheckedBackend> {
  const { pools } = await client.status();
  const found = pools.find((each) => each.name === pool)?.backends.find((each) => each.name === name);
  if (found) return found;
  throw new GuidewayError("UNKNOWN", `${pool}/${name} is not in the machine's configuration any more`);
}

async function activeFlows(client: AdminClient, pool: string, backend: string): Promise<number> {
  return (await find(client, pool, backend)).activeFlows;
}

async function tell(client: AdminClient, pool: string, backend: string): Promise<void> {
  const flows = await activeFlows(client, pool, backend);
  process.stdout.write(`${pool}/${backend} gets no new flows; ${flows} are active\n`);
}

async function awaitEnd(
  client: AdminClient,
  pool: string,
  backend: string,
  timeoutMs: number,
): Promise<void> {
  const until = performance.now() + timeoutMs;
  let flows = await activeFlows(client, pool, backend);
  let shown = -1;
  while (flows > 0 && performance.now() < until) {
    if (flows !== shown) process.stderr.write(`${pool}/${backend}: ${flows} flows are active\n`);
    shown = flows;
    await sleep(Math.min(STEP_MS, Math.max(1, until - performance.now())));
    flows = await activeFlows(client, pool, backend);
  }
  if (flows > 0) {
    throw new GuidewayError(
      "DRAINING",
      `${pool}/${backend} still has ${flows} active flows after ${timeoutMs / 1000} s: it goes on draining; wait longer, or ` +
        "stop the backend and they break",
    );
  }
  process.stdout.write(`${pool}/${backend} is drained: no flow is active\n`);
}
