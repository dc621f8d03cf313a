// The path of the unix socket: made free before, closed to others while it is bound.

import { lstatSync, mkdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import { GuidewayError } from "../errors.ts";

/** Error code of a connection to a unix socket; undefined when somebody answers. */
function knock(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on("connect", () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "UNKNOWN"));
  });
}

/** Makes the path free: a socket that a killed process left behind goes. @throws GuidewayError ADMIN_SOCKET */
async function clear(path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return;
  if (!found.isSocket()) {
    throw new GuidewayError(
      "ADMIN_SOCKET",
      `admin.socket: ${path} exists and is no socket; name another path`,
    );
  }
  const code = await knock(path);
  if (code === "ECONNREFUSED") {
    rmSync(path, { force: true });
  } else if (code === undefined) {
    throw new GuidewayError(
      "ADMIN_SOCKET",
      `admin.socket: another guideway answers on ${path}; stop it, or give this one another path`,
    );
  } else {
    throw new GuidewayError(
      "ADMIN_SOCKET",
      `admin.socket: ${path} is in the way, and does not say whose it is (${code})`,
    );
  }
}

/**
 * Binds a socket to the path by `listen`.
 * @throws GuidewayError ADMIN_SOCKET when the path is taken or cannot be bound
 */
export async function bindSocket(path: string, listen: (path: string) => Promise<unknown>): Promise<void> {
  try {
    await clear(path);
    // Created for its owner alone: a mode that is changed later would leave a moment for others.
    const umask = process.umask(0o177);
    try {
      await listen(path);
    } finally {
      process.umask(umask);
    }
  } catch (cause) {
    if (cause instanceof GuidewayError) throw cause;
    throw new GuidewayError(
      "ADMIN_SOCKET",
      `admin.socket: cannot listen on ${path}: ${(cause as Error).message}`,
      { cause },
    );
  }
}
