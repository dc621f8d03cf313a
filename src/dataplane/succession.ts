// What an engine has from the process before it and leaves to the next one, beside the connection table itself: when its clock
// began, and the numbers that are part of what the table says.

import { performance } from "node:perf_hooks";
import { MAX_SERVICES } from "../../assembly/layout.ts";
import { type Numbering, Numbers } from "./numbers.ts";

export interface Succession {
  /** Milliseconds since 1970 at the zero of the workers' clock. */
  readonly epochMs: number;
  /** Numbers of services: part of the flow key. */
  readonly services: Numbers;
  /** Called before numbers that are new, of backends or of services, can come into the connection table. Does not throw. */
  record(backends: Numbering): void;
}

export function serviceNumbers(): Numbers {
  return new Numbers("services", 1, MAX_SERVICES + 1);
}

/** Of an engine that nothing comes before and nothing comes after. */
export function firstOfItsKind(): Succession {
  return {
    epochMs: performance.timeOrigin + performance.now(),
    services: serviceNumbers(),
    record: () => {},
  };
}
