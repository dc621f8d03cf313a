// A pool's worker under the profiler.

import work from "../../src/dataplane/worker.ts";
import type { WorkerReport, WorkerTask } from "../../src/dataplane/worker-task.ts";
import { profiled, threadName } from "./profiler.ts";

export default function profiledWork(task: WorkerTask): WorkerReport {
  return profiled(threadName(task.worker), () => work(task));
}
