// Health checks while one configuration takes the place of another: what is in force is checked on, and what comes is checked
// before it gets packets.
//
//   backend                       is checked             under
//   stays, or comes               as the next one says   its name
//   leaves                        as before              its name
//   gets another address or port  as before              its name
//                                 as the next one says   its name as a newcomer, which no configuration can give

import type { HealthTarget } from "../health/target.ts";

/** The name of a backend at its next address, as long as it is at another one. */
export function newcomer(backend: string): string {
  return `${backend} (next)`;
}

/** The targets of both. @returns `coming`, too: those of them that are checked as the next configuration says */
export function transition(
  before: readonly HealthTarget[],
  next: readonly HealthTarget[],
): { targets: HealthTarget[]; coming: HealthTarget[] } {
  const key = ({ pool, backend }: HealthTarget) => `${pool}\n${backend}`;
  const old = new Map(before.map((target) => [key(target), target]));
  const coming = next.map((target) => {
    const known = old.get(key(target));
    const moves =
      known && (known.address !== target.address || known.check.port !== target.check.port)
        ? known
        : undefined;
    return moves ? { ...target, backend: newcomer(target.backend) } : target;
  });
  return {
    targets: [...new Map([...before, ...coming].map((target) => [key(target), target])).values()],
    coming,
  };
}
