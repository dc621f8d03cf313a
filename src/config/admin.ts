// The section `admin`: where a machine is operated, and by whom.
import { isIPv4 } from "node:net";
import { hostPort, isLoopback } from "./listen-address.ts";
import { filePath, section, socketPath } from "./values.ts";
import type { Warning } from "./warnings.ts";

export const admin = section({
  socket: socketPath()
    .prefault("/run/guideway/admin.sock")
    .describe(
      "Unix socket that `status` and the other operating commands talk to. Only its owner may use it, for everything.",
    ),
  listen: hostPort()
    .optional()
    .describe(
      "TCP address of the same API (docs/api.md), for metrics and health checks of others. Without a token it only " +
        "answers, and changes nothing. Not on loopback it needs `token`.",
    ),
  token: section({
    file: filePath().describe(
      "File with the token, 16 to 1,024 of the characters of RFC 6750, readable by its owner alone. Read again on reload.",
    ),
  })
    .optional()
    .describe(
      "What requests over TCP must show (`Authorization: Bearer …`), `/healthz` and `/readyz` excepted.",
    ),
  tls: section({
    certificate: filePath().describe("File with the certificate and its chain, PEM. Read again on reload."),
    key: filePath().describe("File with its private key, PEM."),
    clientCa: filePath()
      .optional()
      .describe("File with authorities, PEM: then clients need a certificate of one of them, too."),
  })
    .optional()
    .describe("TLS for `listen`."),
});

interface Draft {
  listen?: { host?: string | undefined } | undefined;
  token?: unknown;
}

/** Nothing but loopback without a token. A token with an error of its own is there. */
export function checkAdmin(
  admin: Draft | undefined,
  report: (path: (string | number)[], message: string) => void,
): void {
  const host = admin?.listen?.host;
  if (admin === undefined || host === undefined || isLoopback(host) || "token" in admin) return;
  report(
    ["admin", "listen"],
    `${host} can be reached from other machines, expected admin.token to be set, or ` +
      `${isIPv4(host) ? "127.0.0.1" : "[::1]"} for host`,
  );
}

/** What is odd about the section. */
export function adminWarnings(admin: {
  listen?: { host: string } | undefined;
  token?: unknown;
  tls?: unknown;
}): Warning[] {
  const { listen, token, tls } = admin;
  if (listen === undefined) {
    const without = (key: string, value: unknown): Warning[] =>
      value === undefined
        ? []
        : [
            {
              path: ["admin", key],
              message: "there is no admin.listen: it has no effect on the unix socket",
              at: "key",
            },
          ];
    return [...without("token", token), ...without("tls", tls)];
  }
  if (isLoopback(listen.host) || tls !== undefined) return [];
  return [
    {
      path: ["admin", "listen"],
      message: "without admin.tls the token and all answers can be read on their way",
    },
  ];
}
