/** Servers and clients of this folder, started in the nodes of a lab. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { LabError } from "./errors.ts";
import type { Lab } from "./lab.ts";
import type { LoadReport } from "./load.ts";
import { entryPoint } from "./paths.ts";
import type { TransferResult } from "./transfer.ts";

const READY_MS = 15_000;
/** How long a client may take to end after SIGTERM: its requests on the way run into their own timeouts first. */
const STOP_MS = 15_000;

export interface ServerOptions {
  /** Default 80. */
  ports?: number[];
  /** Let it run when this process ends; the lab's `down` ends it. */
  detached?: boolean;
}

export interface LabServer {
  node: string;
  pid: number;
  /** Ends it by SIGTERM, or at once by SIGKILL, and waits for that. */
  stop(signal?: "SIGTERM" | "SIGKILL"): Promise<void>;
}

/** Starts the HTTP server in a node and returns when it listens. */
export async function startServer(lab: Lab, node: string, options: ServerOptions = {}): Promise<LabServer> {
  const { ports = [80], detached = false } = options;
  const argv = [process.execPath, entryPoint("server"), "--name", node, "--port", ports.join(",")];
  const child = lab.spawn(node, argv);
  const errors = collect(child.stderr);
  const timer = setTimeout(() => child.kill("SIGKILL"), READY_MS);
  const ready = await Promise.race([firstLine(child), once(child, "close").then(() => undefined)]);
  clearTimeout(timer);
  if (ready === undefined || child.pid === undefined) {
    throw new LabError(
      "LAB_COMMAND",
      `the server in ${node} did not start: ${errors() || `exit code ${child.exitCode}`}`,
    );
  }
  if (detached) {
    for (const stream of [child.stdout, child.stderr]) stream?.destroy();
    child.unref();
  }
  return {
    node,
    pid: child.pid,
    async stop(signal = "SIGTERM") {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill(signal);
      await gone;
    },
  };
}

/** Starts the server in every backend. */
export function startServers(lab: Lab, options?: ServerOptions): Promise<LabServer[]> {
  return Promise.all(lab.nodes("backend").map((node) => startServer(lab, node, options)));
}

/** See client.ts for what they mean; times in milliseconds. */
export interface ClientOptions {
  urls: string[];
  concurrency?: number;
  requestsPerConnection?: number;
  rate?: number;
  longLived?: number;
  longLivedIntervalMs?: number;
  timeoutMs?: number;
  intervalMs?: number;
  /** Ends by itself after this time. */
  forMs?: number;
  /** Called with every interval report. */
  onReport?: (report: LoadReport) => void;
}

export interface LabClient {
  pid: number;
  /** The summary, when the client has ended. Rejects when it ended without one. */
  readonly summary: Promise<LoadReport>;
  /** Ends the client and returns the summary. */
  stop(): Promise<LoadReport>;
}

/** Starts continuous requests in a node. */
export function startLoad(lab: Lab, options: ClientOptions, node = "client"): LabClient {
  const { urls, onReport, forMs } = options;
  const flag = (name: string, value: number | undefined, unit = "") =>
    value === undefined ? [] : [`--${name}`, `${value}${unit}`];
  const child = lab.spawn(node, [
    process.execPath,
    entryPoint("client"),
    "load",
    ...urls.flatMap((url) => ["--url", url]),
    ...flag("concurrency", options.concurrency),
    ...flag("requests-per-connection", options.requestsPerConnection),
    ...flag("rate", options.rate),
    ...flag("long-lived", options.longLived),
    ...flag("long-lived-interval", options.longLivedIntervalMs, "ms"),
    ...flag("timeout", options.timeoutMs, "ms"),
    ...flag("interval", options.intervalMs, "ms"),
    ...flag("for", forMs, "ms"),
  ]);
  const errors = collect(child.stderr);
  let last: LoadReport | undefined;
  createInterface({ input: child.stdout! }).on("line", (line) => {
    const report = JSON.parse(line) as LoadReport;
    if (report.type === "summary") last = report;
    else onReport?.(report);
  });
  const summary = once(child, "close").then(() => {
    if (last) return last;
    throw new LabError(
      "LAB_COMMAND",
      `the client in ${node} ended without a summary: ${errors() || child.signalCode}`,
    );
  });
  // Whoever asks for it gets the rejection; nobody asking is no reason to end the program.
  summary.catch(() => {});
  return {
    pid: child.pid ?? 0,
    summary,
    async stop() {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      return summary.finally(() => clearTimeout(timer));
    },
  };
}

/** Runs one verified transfer per URL in a node. A transfer that went wrong is a result with `ok: false`. */
export async function runTransfer(
  lab: Lab,
  mode: "download" | "upload",
  options: { urls: string[]; bytes?: number; seed?: number; timeoutMs?: number; limitMs?: number },
  node = "client",
): Promise<TransferResult[]> {
  const { urls, bytes = 20_000_000, seed = 1, timeoutMs = 5000, limitMs = 60_000 } = options;
  const parameters = ["--bytes", String(bytes), "--seed", String(seed), "--timeout", `${timeoutMs}ms`];
  const argv = [
    process.execPath,
    entryPoint("client"),
    mode,
    ...urls.flatMap((url) => ["--url", url]),
    ...parameters,
  ];
  const { stdout, stderr } = await lab.exec(node, argv, { check: false, timeoutMs: limitMs });
  const results = stdout.split("\n").filter((line) => line !== "");
  if (results.length !== urls.length)
    throw new LabError("LAB_COMMAND", `the client in ${node} failed: ${stderr.trim()}`);
  return results.map((line) => JSON.parse(line) as TransferResult);
}

/** `http://10.99.0.1/`, `http://[fd99::1]:8080/` */
export function vipUrl(address: string, port = 80): string {
  return `http://${address.includes(":") ? `[${address}]` : address}${port === 80 ? "" : `:${port}`}/`;
}

async function firstLine(child: ChildProcess): Promise<string | undefined> {
  for await (const line of createInterface({ input: child.stdout! })) return line;
  return undefined;
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  let text = "";
  stream?.on("data", (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-4096);
  });
  return () => text.trim();
}
