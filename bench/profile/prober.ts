// The prober's thread under the profiler, from its start to its end.

import { profiledToTheEnd } from "./profiler.ts";

profiledToTheEnd("prober");
await import("../../src/health/prober.ts");
