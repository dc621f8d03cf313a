/**
 * Two ends of QUIC-shaped UDP (RFC 8999 headers, nothing encrypted), started inside a lab's namespaces:
 *
 *     node quic-peer.ts server --name be1 --id 0a01 --address 10.99.0.1 --address fd99::1 --port 443
 *     node quic-peer.ts client --address 10.99.0.1 --port 443 --from 10.0.1.2 --from 10.0.1.3 --connections 40 --moves 10
 *
 * The server answers each datagram with its name, and with a connection id of its own: 0x05, its server id, five random bytes.
 * It says `ready` when it listens.
 *
 * A client's connection begins with a long header and a connection id of its own choice, which names no server. From then on it
 * uses the id that the server gave, and for every datagram another socket, from each of its addresses in turn: what NAT
 * rebinding and a change of networks look like from here. It waits a second for each answer. It writes one JSON object.
 */
import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { parseArgs } from "node:util";

const ANSWER_MS = 1000;

export interface QuicResult {
  sent: number;
  answered: number;
  /** Answers by another backend than the connection's first. */
  moved: number;
  /** Connections by backend. */
  backends: Record<string, number>;
}

interface Answer {
  name: string;
  connectionId: string;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    name: { type: "string", default: "backend" },
    id: { type: "string", default: "" },
    address: { type: "string", multiple: true, default: [] },
    from: { type: "string", multiple: true, default: [] },
    port: { type: "string", default: "443" },
    connections: { type: "string", default: "40" },
    moves: { type: "string", default: "10" },
  },
});
const port = Number(values.port);

if (positionals[0] === "server") {
  await Promise.all(values.address.map((address) => serve(address)));
  process.stdout.write("ready\n");
} else {
  const result: QuicResult = { sent: 0, answered: 0, moved: 0, backends: {} };
  const connections = Array.from({ length: Number(values.connections) }, () => connect(result));
  await Promise.all(connections);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

function socketFor(address: string): Socket {
  return createSocket({ type: address.includes(":") ? "udp6" : "udp4", recvBufferSize: 1 << 20 });
}

async function serve(address: string): Promise<void> {
  const socket = socketFor(address);
  socket.on("message", (_, peer) => {
    const connectionId = `05${values.id}${randomBytes(5).toString("hex")}`;
    const answer: Answer = { name: values.name, connectionId };
    socket.send(JSON.stringify(answer), peer.port, peer.address);
  });
  socket.bind(port, address);
  await once(socket, "listening");
}

/** One datagram from a socket of its own. */
async function ask(from: string, datagram: Uint8Array, result: QuicResult): Promise<Answer | undefined> {
  const socket = socketFor(from);
  socket.bind(0, from);
  await once(socket, "listening");
  const answer = once(socket, "message", { signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => undefined);
  result.sent++;
  socket.send(datagram, port, values.address[0]!);
  const [bytes] = ((await answer) ?? []) as [Buffer?];
  socket.close();
  if (!bytes) return undefined;
  result.answered++;
  return JSON.parse(bytes.toString()) as Answer;
}

async function connect(result: QuicResult): Promise<void> {
  const [home = ""] = values.from;
  // Version 1; an id of eight bytes whose first says that it names no server; none of the client's own.
  const chosen = Buffer.concat([Uint8Array.of(0xe0 | 7), randomBytes(7)]);
  const initial = Buffer.concat([
    Uint8Array.of(0xc3, 0, 0, 0, 1, chosen.length),
    chosen,
    Uint8Array.of(0),
    randomBytes(100),
  ]);
  const first = await ask(home, initial, result);
  if (!first) return;
  result.backends[first.name] = (result.backends[first.name] ?? 0) + 1;
  let { connectionId } = first;
  for (let move = 1; move <= Number(values.moves); move++) {
    const from = values.from[move % values.from.length]!;
    const short = Buffer.concat([Uint8Array.of(0x43), Buffer.from(connectionId, "hex"), randomBytes(50)]);
    const answer = await ask(from, short, result);
    if (!answer) continue;
    if (answer.name !== first.name) result.moved++;
    ({ connectionId } = answer);
  }
}
