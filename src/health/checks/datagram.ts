// UDP sockets of the checks. They are connected, so that only the target's datagrams arrive, and its ICMP errors
// (udp(7)).
import { createSocket, type Socket } from "node:dgram";
import { addressFamily } from "../../config/address.ts";
import type { Attempt } from "../attempt.ts";
import type { ProbeTarget } from "../target.ts";

/** Sends a datagram; an error ends the attempt, and the attempt's end closes the socket. */
export function send(
  target: ProbeTarget,
  attempt: Attempt,
  payload: Uint8Array,
  receive: (datagram: Buffer) => void,
): void {
  const { address, localAddress, localPort, check } = target;
  const family = addressFamily(address);
  const socket: Socket = createSocket({
    type: family === 4 ? "udp4" : "udp6",
    // Addresses need no resolver.
    lookup: (host, _, found) => found(null, host, family),
  });
  attempt.phase = "waiting for the answer";
  attempt.onEnd(() => socket.close());
  socket.on("error", (error) => attempt.error(error));
  socket.on("message", receive);
  socket.once("connect", () => socket.send(payload));
  const connect = () => socket.connect(check.port!, address);
  if (localAddress === undefined && localPort === undefined) connect();
  else socket.bind({ address: localAddress, port: localPort ?? 0, exclusive: true }, connect);
}
