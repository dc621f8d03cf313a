// The admin API of a running machine, on its unix socket and, where configured, over TCP.
//
//   state      reached by        in it
//   listening  listen returned   both entrances answer; reload reads the files again
//   closed     close             no entrance is left, nor the socket's file

import type { Server as SecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { endpoint } from "../config/address.ts";
import { diffConfigs } from "../config/diff.ts";
import { isLoopback } from "../config/listen-address.ts";
import type { AdminConfig } from "../config/schema.ts";
import { GuidewayError } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { Entrance } from "./access.ts";
import { createApp } from "./app.ts";
import { type Credentials, readCredentials } from "./credentials.ts";
import type { App } from "./route.ts";
import type { Operated } from "./routes.ts";
import { bindSocket } from "./socket.ts";

type TcpEntrance = Extract<Entrance, { kind: "tcp" }>;

export class AdminServer {
  readonly #config: AdminConfig;
  readonly #log: Logger;
  readonly #apps: App[] = [];
  #tcp: App | undefined;
  readonly #entrance: TcpEntrance;

  private constructor(config: AdminConfig, log: Logger) {
    this.#config = config;
    this.#log = log;
    const loopback = config.listen !== undefined && isLoopback(config.listen.host);
    this.#entrance = { kind: "tcp", loopback, token: undefined };
  }

  /**
   * @throws GuidewayError ADMIN_SOCKET when the path is taken or cannot be bound, ADMIN_LISTEN when the TCP address cannot,
   *   ADMIN_FILE, ADMIN_TOKEN and ADMIN_TLS for its files; nothing listens then
   */
  static async listen(machine: Operated, config: AdminConfig, log: Logger): Promise<AdminServer> {
    const server = new AdminServer(config, log);
    try {
      const credentials = server.#readCredentials(config);
      await server.#listenOnSocket(machine);
      if (config.listen) await server.#listenOnTcp(machine, config.listen, credentials);
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  async #listenOnSocket(machine: Operated): Promise<void> {
    const app = await createApp(machine, { entrance: { kind: "socket" }, log: this.#log });
    this.#apps.push(app);
    await bindSocket(this.#config.socket, (path) => app.listen({ path }));
  }

  async #listenOnTcp(
    machine: Operated,
    { host, port }: { host: string; port: number },
    { token, tls }: Credentials,
  ): Promise<void> {
    this.#entrance.token = token;
    const app = await createApp(machine, { entrance: this.#entrance, log: this.#log, tls });
    this.#apps.push(app);
    this.#tcp = app;
    try {
      await app.listen({ host, port });
    } catch (cause) {
      throw new GuidewayError(
        "ADMIN_LISTEN",
        `admin.listen: cannot listen on ${host} port ${port}: ${(cause as Error).message}`,
        { cause },
      );
    }
    this.#log.info(
      { url: this.url, token: token !== undefined, tls: tls !== undefined },
      "admin API over TCP",
    );
  }

  #readCredentials(config: AdminConfig): Credentials {
    const credentials = readCredentials(config);
    for (const warning of credentials.warnings) this.#log.warn(warning);
    return credentials;
  }

  /** Where TCP clients connect; undefined without `admin.listen`. */
  get url(): string | undefined {
    const bound = this.#tcp?.server.address() as AddressInfo | null | undefined;
    if (!bound) return undefined;
    return `${this.#config.tls ? "https" : "http"}://${endpoint(bound.address, bound.port)}`;
  }

  /**
   * Reads token and certificates again, from where the configuration says now; requests from then on are held to them.
   * @throws GuidewayError ADMIN_RESTART for other changes; ADMIN_FILE, ADMIN_TOKEN, ADMIN_TLS. The old ones stay then
   */
  reload(config: AdminConfig): void {
    const fixed = diffConfigs({ admin: this.#config }, { admin: config })
      .filter(({ effect }) => effect === "restart")
      .map(({ path }) => path);
    if (fixed.length > 0)
      throw new GuidewayError("ADMIN_RESTART", `${fixed.join(", ")}: changes only with a restart`);
    const { token, tls } = this.#readCredentials(config);
    if (tls) (this.#tcp!.server as SecureServer).setSecureContext(tls);
    this.#entrance.token = token;
  }

  async close(): Promise<void> {
    await Promise.all(this.#apps.splice(0).map((app) => app.close()));
  }
}
