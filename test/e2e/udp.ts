/**
 * A UDP echo server and its client, started inside a lab's namespaces:
 *
 *     node udp.ts server --name be1 --address 10.99.0.1 --address fd99::1 --port 5353
 *     node udp.ts client --address 10.99.0.1 --port 5353 --flows 40 --datagrams 25
 *     node udp.ts ask --address 10.99.0.1 --port 5353
 *
 * The server binds to every address: a socket bound to none would answer from the machine's own address, not from the
 * VIP. It answers with a line with its name and then what it got, and says `ready` when it listens.
 *
 * The client has a socket per flow and sends one datagram after the other on each, of all sizes up to `--bytes`, by default
 * 1,400; what is larger than the MTU goes in fragments. It waits a second for each answer and asks nothing twice. It writes one JSON object (UdpResult).
 *
 * `ask` sends one datagram, and writes what becomes of it: `answered`, `silence` after three seconds, or the code of the error that
 * the kernel was told of by ICMP.
 */
import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { parseArgs } from "node:util";

const ANSWER_MS = 1000;

export interface UdpResult {
  sent: number;
  answered: number;
  /** Answers that were not what was sent. */
  wrong: number;
  /** Flows by the backend that answered first. */
  backends: Record<string, number>;
  /** Answers by another backend than the flow's first. */
  moved: number;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    name: { type: "string", default: "backend" },
    address: { type: "string", multiple: true, default: [] },
    port: { type: "string", default: "5353" },
    flows: { type: "string", default: "40" },
    datagrams: { type: "string", default: "25" },
    bytes: { type: "string", default: "1400" },
  },
});
const port = Number(values.port);

if (positionals[0] === "server") {
  await Promise.all(values.address.map((address) => serve(address)));
  process.stdout.write("ready\n");
} else if (positionals[0] === "ask") {
  process.stdout.write(`${await ask(values.address[0]!)}\n`);
} else {
  const result: UdpResult = { sent: 0, answered: 0, wrong: 0, backends: {}, moved: 0 };
  const flows = Array.from({ length: Number(values.flows) }, () => flow(values.address[0]!, result));
  await Promise.all(flows);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

async function ask(address: string): Promise<string> {
  const socket = socketFor(address);
  socket.connect(port, address);
  await once(socket, "connect");
  const told = new Promise<string>((resolve) => {
    socket.once("message", () => resolve("answered"));
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    setTimeout(resolve, 3000, "silence").unref();
  });
  socket.send("?");
  const what = await told;
  socket.close();
  return what;
}

function socketFor(address: string): Socket {
  return createSocket({ type: address.includes(":") ? "udp6" : "udp4", recvBufferSize: 1 << 20 });
}

async function serve(address: string): Promise<void> {
  const socket = socketFor(address);
  const name = Buffer.from(`${values.name}\n`);
  socket.on("message", (message, peer) => {
    socket.send(Buffer.concat([name, message]), peer.port, peer.address);
  });
  socket.bind(port, address);
  await once(socket, "listening");
}

async function flow(address: string, result: UdpResult): Promise<void> {
  const socket = socketFor(address);
  socket.connect(port, address);
  await once(socket, "connect");
  let first: string | undefined;
  for (let left = Number(values.datagrams); left > 0; left--) {
    // Names take a few bytes of the answer, which has to fit into a packet too.
    const message = randomBytes(Math.floor(Math.random() * Number(values.bytes)));
    const answer = once(socket, "message", { signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => undefined);
    result.sent++;
    socket.send(message);
    const [bytes] = ((await answer) ?? []) as [Buffer?];
    if (!bytes) continue;
    const end = bytes.indexOf(10);
    const name = bytes.subarray(0, end).toString();
    result.answered++;
    if (!bytes.subarray(end + 1).equals(message)) result.wrong++;
    if (first === undefined) result.backends[name] = (result.backends[name] ?? 0) + 1;
    else if (first !== name) result.moved++;
    first ??= name;
  }
  socket.close();
}
