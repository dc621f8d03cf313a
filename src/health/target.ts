// What is checked: a backend of a pool, and how. Plain data, which goes to the prober's thread as it is.
import type { HealthConfig, Question } from "../config/health.ts";

/** A check as configured, with the port that it goes to; `exec` may have none. Times in milliseconds. */
export type ResolvedCheck = HealthConfig;

/** Where a check goes, and from where. */
export interface ProbeTarget<Q extends Question = Question> {
  /** Canonical text: the backend's address, or the VIP's when the check goes through the tunnel. */
  address: string;
  /** Address and port to bind to; the port names the backend when the check goes through the tunnel. */
  localAddress?: string | undefined;
  localPort?: number | undefined;
  check: Omit<ResolvedCheck, keyof Question> & Q;
}

/** A backend of a pool that is to be checked. */
export interface HealthTarget extends ProbeTarget {
  pool: string;
  /** The backend's name. */
  backend: string;
}

const texts = new WeakMap<object, string>();

/** Equal for targets that one probe can stand for: the same address, local end and check. */
export function probeKey({ address, localAddress = "", localPort = 0, check }: ProbeTarget): string {
  let text = texts.get(check);
  if (text === undefined) {
    text = JSON.stringify(check, (_, value: unknown) =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
        : value,
    );
    texts.set(check, text);
  }
  return `${address} ${localAddress} ${localPort} ${text}`;
}
