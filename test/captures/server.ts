/**
 * The servers of a backend, started inside its namespace while traffic is recorded (record.ts):
 *
 *     node server.ts --name be1 --id 0a01
 *
 *   port         serves
 *   80  TCP      HTTP: `GET /bytes?n=N`, and `/slow?n=N`, a little at a time; of anything else the body is read, and the name is the answer
 *   53  UDP, TCP DNS: an address for every name; over UDP a name that begins with `large` is cut short (RFC 7766)
 *   5353 UDP     what came comes back, behind a line with the name: what udp.ts of test/e2e asks for
 *   443 UDP      a connection id with the server's id: what quic-peer.ts of test/e2e asks for
 *
 * It says `ready` when all listen, and then of every flow that reaches it, once, a line of JSON (ServedFlow).
 */
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Socket } from "node:net";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Answer, decode, encode, type Packet, streamDecode, streamEncode } from "dns-packet";

/** A flow, and the backend that it was served by. */
export interface ServedFlow {
  /** As dissect.ts writes it: `tcp 10.0.1.2:40000 > 10.99.0.1:80`. */
  flow: string;
  backend: string;
}

const PIECE_BYTES = 3000;
const PIECE_MS = 20;
const VIPS = ["10.99.0.1", "fd99::1"];
const { values } = parseArgs({
  options: { name: { type: "string", default: "" }, id: { type: "string", default: "" } },
});
const { name, id } = values;

const told = new Set<string>();
function tell(protocol: "tcp" | "udp", client: string, clientPort: number, vip: string, port: number): void {
  const flow = `${protocol} ${client}:${clientPort} > ${vip}:${port}`;
  if (told.has(flow)) return;
  told.add(flow);
  process.stdout.write(`${JSON.stringify({ flow, backend: name } satisfies ServedFlow)}\n`);
}

function tellSocket({ remoteAddress, remotePort, localAddress, localPort }: Socket): void {
  const plain = (address = "") => address.replace(/^::ffff:/, "");
  tell("tcp", plain(remoteAddress), remotePort ?? 0, plain(localAddress), localPort ?? 0);
}

async function serveHttp(): Promise<void> {
  const server = createHttpServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://backend");
    const bytes = Number(searchParams.get("n"));
    response.setHeader("x-backend", name);
    request.resume();
    request.once("end", () => {
      if (pathname === "/bytes") response.end(randomBytes(bytes));
      else if (pathname === "/slow") Readable.from(pieces(bytes)).pipe(response);
      else response.end(`${name}\n`);
    });
  });
  server.on("connection", tellSocket);
  server.listen({ host: "::", port: 80 });
  await once(server, "listening");
}

async function* pieces(bytes: number): AsyncGenerator<Uint8Array> {
  for (let left = bytes; left > 0; left -= PIECE_BYTES) {
    yield randomBytes(Math.min(left, PIECE_BYTES));
    await sleep(PIECE_MS);
  }
}

/** The answer to a question; over UDP with nothing in it but that TCP has more. */
function answerOf(query: Packet, overUdp: boolean): Packet {
  const [question] = query.questions ?? [];
  const cut = overUdp && question?.name.startsWith("large");
  const data = question?.type === "AAAA" ? "2001:db8::1" : "192.0.2.1";
  const answers = question ? [{ name: question.name, type: question.type, ttl: 60, data } as Answer] : [];
  return {
    type: "response",
    ...(query.id !== undefined && { id: query.id }),
    // Authoritative answer; truncated (RFC 1035 §4.1.1).
    flags: 0x400 | (cut ? 0x200 : 0),
    questions: query.questions ?? [],
    answers: cut ? [] : answers,
  };
}

async function serveDnsByTcp(): Promise<void> {
  const server = createServer((socket) => {
    tellSocket(socket);
    let got = Buffer.alloc(0);
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => {
      got = Buffer.concat([got, bytes]);
      if (got.length >= 2 && got.length >= 2 + got.readUInt16BE())
        socket.end(streamEncode(answerOf(streamDecode(got), false)));
    });
  });
  server.listen({ host: "::", port: 53 });
  await once(server, "listening");
}

/** A UDP service at every VIP: a socket bound to none would answer from the machine's own address. */
async function serveDatagrams(port: number, answer: (message: Buffer) => Buffer): Promise<void> {
  for (const vip of VIPS) {
    const socket = createSocket({ type: vip.includes(":") ? "udp6" : "udp4", recvBufferSize: 1 << 20 });
    socket.on("message", (message, peer) => {
      tell("udp", peer.address, peer.port, vip, port);
      // A path MTU that was learnt just now, or a port that is closed, is what the traffic is to have.
      socket.send(answer(message), peer.port, peer.address, () => {});
    });
    socket.bind(port, vip);
    await once(socket, "listening");
  }
}

await Promise.all([
  serveHttp(),
  serveDnsByTcp(),
  serveDatagrams(53, (message) => encode(answerOf(decode(message), true))),
  serveDatagrams(5353, (message) => Buffer.concat([Buffer.from(`${name}\n`), message])),
  serveDatagrams(443, () =>
    Buffer.from(JSON.stringify({ name, connectionId: `05${id}${randomBytes(5).toString("hex")}` })),
  ),
]);
process.stdout.write("ready\n");
