/** nginx as a backend of a lab: it answers as server.ts does, where that needs no program. */
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { LabError } from "./errors.ts";
import type { Lab } from "./lab.ts";
import type { LabServer } from "./traffic.ts";

const READY_MS = 10_000;
const STEP_MS = 10;

const folders = new Set<string>();
process.on("exit", () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/**
 * Starts nginx in a node and returns when it listens: `GET /` and `GET /healthz` name the node in `x-backend`. It is a master and
 * a worker; `stop` ends both.
 * Throws LAB_COMMAND.
 */
export async function startNginx(lab: Lab, node: string, ports: number[] = [80]): Promise<LabServer> {
  const folder = mkdtempSync(join(tmpdir(), `guideway-${lab.prefix}-`));
  folders.add(folder);
  const file = join(folder, "nginx.conf");
  writeFileSync(file, nginxConfig(node, folder, ports));
  const child = lab.spawn(node, ["nginx", "-e", "stderr", "-p", folder, "-c", file]);
  let told = "";
  child.stdout?.resume();
  child.stderr?.on("data", (text: Buffer) => {
    told = (told + text).slice(-4000);
  });
  const ended = once(child, "exit");
  ended.catch(() => {});
  const over = () => child.exitCode !== null || child.signalCode !== null;
  const remove = () => {
    rmSync(folder, { recursive: true, force: true });
    folders.delete(folder);
  };
  // It writes this file when its sockets are open.
  for (let waitedMs = 0; !existsSync(join(folder, "nginx.pid")); waitedMs += STEP_MS) {
    if (over() || child.pid === undefined || waitedMs >= READY_MS) {
      child.kill("SIGKILL");
      remove();
      throw new LabError(
        "LAB_COMMAND",
        `nginx in ${node} did not start: ${told.trim() || `exit code ${child.exitCode}`}`,
      );
    }
    await sleep(STEP_MS);
  }
  const pid = child.pid!;
  return {
    node,
    pid,
    async stop(signal = "SIGTERM") {
      if (over()) return;
      // The worker would outlive a master that is killed: both are the process group.
      process.kill(signal === "SIGKILL" ? -pid : pid, signal);
      await ended;
      remove();
    },
  };
}

function nginxConfig(name: string, folder: string, ports: number[]): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return `
    daemon off;
    worker_processes 1;
    pid ${folder}/nginx.pid;
    error_log stderr;
    events { worker_connections 4096; }
    http {
      access_log off;
      ${temporary.map((each) => `${each}_temp_path ${folder}/${each};`).join(" ")}
      default_type text/plain;
      keepalive_timeout 60s;
      keepalive_requests 1000000;
      add_header x-backend ${name} always;
      server {
        ${ports.map((port) => `listen ${port} backlog=4096; listen [::]:${port} backlog=4096;`).join(" ")}
        location = / { return 200 "${name}\\n"; }
        location = /healthz { return 200 "ok\\n"; }
        location / { return 404 "not found\\n"; }
      }
    }
  `;
}
