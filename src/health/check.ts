// The checks by type.
import { Attempt, type Outcome } from "./attempt.ts";
import { prepareDns } from "./checks/dns.ts";
import { prepareExec } from "./checks/exec.ts";
import { prepareGrpc } from "./checks/grpc.ts";
import { prepareHttp } from "./checks/http.ts";
import { prepareTcp } from "./checks/tcp.ts";
import { prepareUdp } from "./checks/udp.ts";
import type { ProbeTarget } from "./target.ts";

/** Runs a check once: what it finds goes to the attempt, and everything it opened is closed when that ends. */
export type Check = (attempt: Attempt) => void;

type Prepare = (target: ProbeTarget<never>) => Check;

const PREPARE: Record<ProbeTarget["check"]["type"], Prepare> = {
  tcp: prepareTcp,
  http: prepareHttp,
  https: prepareHttp,
  dns: prepareDns,
  udp: prepareUdp,
  grpc: prepareGrpc,
  exec: prepareExec,
};

/** Does once what every run of a target's check has in common. */
export function prepareCheck(target: ProbeTarget): Check {
  return PREPARE[target.check.type](target as ProbeTarget<never>);
}

/** Runs a prepared check. @param done is called once, never before this returns, unless the attempt is cancelled */
export function run(check: Check, timeoutMs: number, done: (outcome: Outcome) => void): Attempt {
  const attempt = new Attempt(timeoutMs, done);
  try {
    check(attempt);
  } catch (error) {
    // Node refuses some arguments at once, such as a local address of the other family.
    setImmediate(() => attempt.inconclusive((error as Error).message));
  }
  return attempt;
}

/** One check of a target. */
export function probe(target: ProbeTarget): Promise<Outcome> {
  return new Promise((resolve) => run(prepareCheck(target), target.check.timeout, resolve));
}
