// Where a server listens: an IP address and a port.
import { addressBytes, canonicalAddress } from "./address.ts";
import { refuse, scalar } from "./values.ts";

export interface ListenAddress {
  /** An IP address in canonical text, without brackets. */
  host: string;
  port: number;
}

/** `address:port` or `[address]:port`; `localhost` is 127.0.0.1. Other names could become another address any time. */
export function hostPort() {
  const expected = 'an IP address and a port such as 127.0.0.1:9180 or "[::1]:9180"';
  return scalar<ListenAddress>(expected, (value) => {
    if (typeof value !== "string") return refuse("is neither");
    const [, bracketed, plain, digits] = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,9})$/.exec(value) ?? [];
    if (digits === undefined) {
      if (canonicalAddress(value)?.includes(":")) return refuse("has no port, or no brackets");
      return refuse(value.includes(":") ? "is not valid" : "has no port");
    }
    const host = canonicalAddress(plain === "localhost" ? "127.0.0.1" : (bracketed ?? plain)!);
    if (host === undefined || host.includes(":") !== (bracketed !== undefined))
      return refuse("has no IP address");
    const port = Number(digits);
    return port >= 1 && port <= 65535 ? { host, port } : refuse("has a port out of range");
  });
}

/** Whether only this machine reaches an address: 127.0.0.0/8 or ::1 (RFC 6890), IPv4-mapped or not. */
export function isLoopback(host: string): boolean {
  const bytes = addressBytes(host);
  if (bytes.length === 4) return bytes[0] === 127;
  const zeros = (count: number) => bytes.subarray(0, count).every((byte) => byte === 0);
  if (zeros(10) && bytes[10] === 0xff && bytes[11] === 0xff) return bytes[12] === 127;
  return zeros(15) && bytes[15] === 1;
}
