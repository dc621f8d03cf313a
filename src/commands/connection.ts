// How the commands that operate a running machine find it.

import { type Command, Option } from "commander";
import type { AdminClient } from "../admin/client.ts";

export interface ConnectionOptions {
  socket: string;
  url?: string;
  tokenFile?: string;
  tlsCa?: string;
  tlsCertificate?: string;
  tlsKey?: string;
}

/** Adds the options to a command. */
export function withConnection(command: Command): Command {
  return command
    .addOption(
      new Option("-s, --socket <path>", "the machine's admin.socket").default("/run/guideway/admin.sock"),
    )
    .addOption(
      new Option("--url <url>", "its admin.listen instead, e.g. http://127.0.0.1:9180").conflicts("socket"),
    )
    .option("--token-file <file>", "with --url: file with its admin.token")
    .option("--tls-ca <file>", "with --url: authorities for its certificate, PEM (default: the system's)")
    .option("--tls-certificate <file>", "with --url: certificate for its admin.tls.clientCa, PEM")
    .option("--tls-key <file>", "with --url: key of that certificate, PEM");
}

/**
 * Calls with a client, and closes it.
 * @throws GuidewayError USAGE, and what the client throws
 */
export async function connected<T>(
  options: ConnectionOptions,
  call: (client: AdminClient) => Promise<T>,
): Promise<T> {
  const { AdminClient } = await import("../admin/client.ts");
  const { GuidewayError } = await import("../errors.ts");
  const { socket, url, tokenFile: token, tlsCa: ca, tlsCertificate: certificate, tlsKey: key } = options;
  if (url === undefined && (token ?? ca ?? certificate ?? key) !== undefined) {
    const message = "--token-file and --tls-… are for --url; the unix socket needs none of them";
    throw new GuidewayError("USAGE", message, { exitCode: 2 });
  }
  const client = new AdminClient(url === undefined ? { socket } : { url, token, ca, certificate, key });
  try {
    return await call(client);
  } finally {
    await client.close();
  }
}
