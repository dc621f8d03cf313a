/**
 * Clients inside a lab while traffic is recorded (record.ts), of what other programs do not do:
 *
 *     node clients.ts dns 10.99.0.1        asks for names; the resolver takes TCP where an answer was cut short
 *     node clients.ts leave 10.99.0.1      sends a datagram and closes its socket before the answer comes
 *     node clients.ts upload 10.99.0.1     sends a little of a large body at a time
 */
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { request } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";

const PIECE_BYTES = 2000;
const PIECES = 20;
const PIECE_MS = 50;

const [what, vip = ""] = process.argv.slice(2);

if (what === "dns") {
  // Each has its own socket.
  for (const name of ["one.example", "two.example", "three.example", "large.example"]) {
    const resolver = new Resolver({ timeout: 1000, tries: 2 });
    resolver.setServers([vip.includes(":") ? `[${vip}]` : vip]);
    await Promise.all([resolver.resolve4(name), resolver.resolve6(name)]);
  }
} else if (what === "upload") {
  const upload = request({ host: vip, method: "POST", path: "/upload" });
  const done = new Promise((resolve, reject) => {
    upload.once("error", reject);
    upload.once("response", (response) => response.resume().once("end", resolve));
  });
  await pipeline(Readable.from(pieces()), upload);
  await done;
} else {
  for (let i = 0; i < 3; i++) {
    const socket = createSocket(vip.includes(":") ? "udp6" : "udp4");
    await new Promise((resolve) => socket.send("nobody waits for the answer", 5353, vip, resolve));
    socket.close();
  }
}

async function* pieces(): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < PIECES; i++) {
    yield randomBytes(PIECE_BYTES);
    await sleep(PIECE_MS);
  }
}
