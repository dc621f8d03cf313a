// The backends of `bench health`: a process with a listener for each of them. Half speak HTTP, as little of it as
// there is.
//
//   message           answer
//   { start: n }      { started }: they listen
//   { stop: [...] }   { stopped }: when each of them was closed, milliseconds since 1970
import { createServer, type Server } from "node:net";
import { isHttp, type ListenersAnswer, type ListenersOrder, locate } from "./address.ts";

const RESPONSE = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
/** Listeners that are opened at once. */
const BATCH = 500;

const servers: Server[] = [];
const answer = (message: ListenersAnswer): void => void process.send!(message);

function listen(index: number): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    if (isHttp(index)) socket.once("data", () => socket.end(RESPONSE));
    else socket.resume();
  });
  servers[index] = server;
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ ...locate(index), backlog: 16 }, resolve);
  });
}

async function start(count: number): Promise<void> {
  for (let from = 0; from < count; from += BATCH) {
    const indices = Array.from({ length: Math.min(BATCH, count - from) }, (_, index) => from + index);
    await Promise.all(indices.map(listen));
  }
}

process.on("message", async (order: ListenersOrder) => {
  if ("start" in order) {
    try {
      await start(order.start);
      answer({ started: true });
    } catch (error) {
      answer({ failed: (error as Error).message });
    }
  } else {
    const stopped = order.stop.map((index) => {
      servers[index]!.close();
      return Date.now();
    });
    answer({ stopped });
  }
});
process.on("disconnect", () => process.exit());
