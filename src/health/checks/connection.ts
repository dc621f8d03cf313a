// TCP and TLS connections of the checks. They are closed by a reset, which leaves neither end in TIME_WAIT.
import { readFileSync, statSync } from "node:fs";
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import type { TlsOptions } from "../../config/health.ts";
import type { Attempt } from "../attempt.ts";
import type { ProbeTarget } from "../target.ts";

/** Connects; an error ends the attempt, and the attempt's end resets the connection. */
export function open(target: ProbeTarget, attempt: Attempt): Socket {
  const { address, localAddress, localPort, check } = target;
  const socket = connect({
    host: address,
    port: check.port!,
    autoSelectFamily: false,
    ...(localAddress !== undefined && { localAddress }),
    ...(localPort !== undefined && { localPort }),
  });
  socket.on("error", (error) => attempt.error(error));
  attempt.onEnd(() => reset(socket));
  return socket;
}

/**
 * Closes a connection at once, by a reset where one can be sent. `resetAndDestroy` alone waits for the connection of a
 * socket that connects, and where an end is on its way (a server's end is answered by one, by itself) it fails with the
 * handle lost: its descriptor stays open, and the process never ends.
 */
export function reset(socket: Socket): void {
  if (socket.connecting || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/**
 * Makes what starts TLS on a connection.
 * @param host whose certificate it should be: a name or an address
 */
export function tlsClient(options: TlsOptions, host: string, protocols: string[]) {
  const name = options.serverName ?? host;
  return (socket: Socket, attempt: Attempt, ready: (socket: TLSSocket) => void): void => {
    let secureContext: SecureContext;
    try {
      secureContext = trust(options.ca);
    } catch (error) {
      attempt.inconclusive(`tls.ca: ${(error as Error).message}`);
      return;
    }
    attempt.phase = "TLS handshake";
    const secure = connectTls({
      socket,
      secureContext,
      ALPNProtocols: protocols,
      rejectUnauthorized: options.verify,
      host: name,
      ...(isIP(name) === 0 && { servername: name }),
    });
    secure.on("error", (error) => {
      const { code, syscall } = error as NodeJS.ErrnoException;
      if (syscall === undefined) attempt.fail(`TLS: ${code ?? error.message}`);
      else attempt.error(error);
    });
    secure.once("secureConnect", () => ready(secure));
  };
}

const contexts = new Map<string, { modified: number; context: SecureContext }>();

/** The authorities of a PEM file, read again when the file has changed. @throws Error when it cannot be read */
function trust(file = ""): SecureContext {
  const modified = file === "" ? 0 : statSync(file).mtimeMs;
  const known = contexts.get(file);
  if (known?.modified === modified) return known.context;
  const context = createSecureContext(file === "" ? {} : { ca: readFileSync(file) });
  contexts.set(file, { modified, context });
  return context;
}
