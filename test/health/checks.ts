// Checks as a configuration gives them, and servers that are closed when the test ends.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { Worker } from "node:worker_threads";
import { parseConfig } from "../../src/config/load.ts";
import type { Outcome } from "../../src/health/attempt.ts";
import { probe } from "../../src/health/check.ts";
import { reset } from "../../src/health/checks/connection.ts";
import type { HealthTarget, ResolvedCheck } from "../../src/health/target.ts";

export const LOCAL = "127.0.0.1";

/** The check of a `health` section, given as YAML inside braces: `type: http, path: /x`. */
export function checkOf(options: string, port?: number): ResolvedCheck {
  const yaml =
    `pools: { p: { health: { ${options} }, backends: [{ address: 10.0.0.1, port: 1 }] } }\n` +
    "vips: [{ name: v, address: 10.99.0.1, port: 1, pool: p }]\n";
  const { health } = parseConfig(yaml, "test.yaml").config.pools.p!;
  assert.ok(health);
  return { ...health, ...(port !== undefined && { port }) };
}

export function probeLocal(
  options: string,
  port: number,
  more: Partial<HealthTarget> = {},
): Promise<Outcome> {
  return probe({ address: LOCAL, check: checkOf(options, port), ...more });
}

export function passed({ verdict, reason, latencyMs }: Outcome, expected: string): void {
  assert.deepEqual({ verdict, reason }, { verdict: "passed", reason: expected });
  assert.ok(latencyMs >= 0);
}

export function failed({ verdict, reason }: Outcome, expected: string | RegExp): void {
  if (typeof expected === "string")
    assert.deepEqual({ verdict, reason }, { verdict: "failed", reason: expected });
  else {
    assert.match(reason, expected);
    assert.equal(verdict, "failed");
  }
}

/** A server on a port of the loopback, and its connections. */
export class Listener {
  readonly server: Server;
  readonly sockets = new Set<Socket>();
  /** Connections so far. */
  accepted = 0;

  private constructor(connection: (socket: Socket) => void) {
    this.server = createServer((socket) => {
      this.accepted++;
      this.sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.sockets.delete(socket));
      connection(socket);
      // A socket that nobody reads does not see its end.
      socket.resume();
    });
  }

  static async start(
    test: Pick<TestContext, "after">,
    connection: (socket: Socket) => void = () => {},
    port = 0,
    host = LOCAL,
  ): Promise<Listener> {
    const listener = new Listener(connection);
    listener.server.listen(port, host);
    await once(listener.server, "listening");
    test.after(() => listener.close());
    return listener;
  }

  get port(): number {
    return (this.server.address() as { port: number }).port;
  }

  /** When it has no connection left. */
  async idle(): Promise<void> {
    const closed = [...this.sockets].map((socket) => new Promise((resolve) => socket.once("close", resolve)));
    await Promise.all(closed);
  }

  async close(): Promise<void> {
    if (!this.server.listening) return;
    const closed = once(this.server, "close");
    this.server.close();
    for (const socket of this.sockets) reset(socket);
    await closed;
  }
}

/** A port that refuses connections. */
export async function closedPort(test: Pick<TestContext, "after">): Promise<number> {
  const listener = await Listener.start(test);
  const { port } = listener;
  await listener.close();
  return port;
}

/** A server that answers each first bytes with these. */
export const answering = (test: TestContext, answer: string | Buffer, end = true): Promise<Listener> =>
  Listener.start(test, (socket) => {
    socket.once("data", () => {
      socket.write(answer);
      if (end) socket.end();
    });
  });

/** Connections that fill the queue of a deaf port. */
export const FILLING = 6;

/** A port that takes no connection and refuses none: its listener never accepts, and its queue is full. */
export async function deafPort(test: Pick<TestContext, "after">): Promise<number> {
  const worker = new Worker(
    `const { parentPort } = require("node:worker_threads");
     const server = require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
       parentPort.postMessage(server.address().port);
       setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
     });`,
    { eval: true },
  );
  const [port] = (await once(worker, "message")) as [number];
  const fillers = Array.from({ length: FILLING }, () => connect(port, LOCAL).on("error", () => {}));
  test.after(async () => {
    for (const filler of fillers) filler.destroy();
    await worker.terminate();
  });
  await Promise.race(fillers.map((filler) => once(filler, "connect")));
  await new Promise((resolve) => setTimeout(resolve, 50));
  return port;
}
