// Where the checks of a pool go: ports, and for those through the tunnel, the VIP.
import type { CheckType } from "./health.ts";
import { containsPort, isSinglePort, type Ports } from "./ports.ts";

/** The parts that matter here, of a configuration that may be incomplete. */
interface Service {
  name?: string | undefined;
  address?: string | undefined;
  protocol?: "tcp" | "udp" | "any" | undefined;
  port?: (Ports | undefined)[] | undefined;
  pool?: string | undefined;
}

/** Protocol that a type of check speaks. */
export function protocolOf(type: CheckType): "tcp" | "udp" {
  return type === "dns" || type === "udp" ? "udp" : "tcp";
}

/** The port of a pool's VIPs, when all have the same one and no other. */
export function servicePort(vips: readonly (Service | undefined)[], pool: string): number | undefined {
  const [port, ...others] = new Set(vips.flatMap((vip) => (vip?.pool === pool ? (vip.port ?? []) : [])));
  return port !== undefined && isSinglePort(port) && others.length === 0 ? port : undefined;
}

/** The VIP that a check through the tunnel goes to: the pool's first one with that port and protocol. */
export function probedVip<V extends Service>(
  vips: readonly (V | undefined)[],
  pool: string,
  type: CheckType,
  port: number,
): V | undefined {
  const protocol = protocolOf(type);
  return vips.find(
    (vip) =>
      vip?.pool === pool &&
      (vip.protocol === "any" || vip.protocol === protocol) &&
      vip.port?.some((ports) => ports !== undefined && containsPort(ports, port)) === true,
  );
}

/**
 * Port that a check of a backend goes to; undefined where none is known. Through the tunnel that is a VIP's, which may lead to
 * another of the backend's (`forward: nat`).
 * @param fallback servicePort's
 */
export function checkPort(
  health: { port?: number | undefined; via?: string | undefined },
  backend: { port?: number | undefined; healthPort?: number | undefined },
  fallback: number | undefined,
): number | undefined {
  const named = backend.healthPort ?? health.port;
  if (health.via === "tunnel") return named ?? fallback ?? backend.port;
  return named ?? backend.port ?? fallback;
}
