// A worker's thread of a running balancer, stopped from outside.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";

/** A thread that runs a worker's loop: Piscina names them. @throws Error when the process has none */
function workerThread(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`).map((tid) => ({
    tid: Number(tid),
    name: readFileSync(`/proc/${pid}/task/${tid}/comm`, "utf8").trim(),
  }));
  const found = threads.find(({ name }) => /^WorkerThread/.test(name));
  if (found === undefined) throw new Error(`process ${pid} has no worker: ${JSON.stringify(threads)}`);
  return found.tid;
}

/**
 * Stops a worker's thread by ptrace(2), which stops no other, until the process that is returned is told to end. Its sudden
 * end would stop the whole other process: the stopping signal would be delivered after all.
 */
export async function stopWorker(pid: number): Promise<ChildProcess> {
  const code = `
    use strict;
    my ($SYS_ptrace, $ATTACH, $DETACH, $tid) = (101, 16, 17, ${workerThread(pid)});
    $SIG{TERM} = sub { syscall($SYS_ptrace, $DETACH, $tid, 0, 0); exit };
    syscall($SYS_ptrace, $ATTACH, $tid, 0, 0) == 0 or die "ptrace: $!";
    $| = 1;
    print "stopped\n";
    sleep 60;`;
  const child = spawn("perl", ["-e", code], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout!, "data");
  return child;
}
