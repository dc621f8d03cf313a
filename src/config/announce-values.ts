// Kinds of values that only the section `announce` has, in the manner of values.ts.
import { isIPv4, isIPv6 } from "node:net";
import { nearest, oneOf } from "./suggest.ts";
import { refuse, scalar } from "./values.ts";

/** Where a gRPC server is: a unix socket, or a host and a port. In the form that gRPC takes. */
export function grpcAddress() {
  const expected = "a unix socket such as unix:///run/gobgp.sock, or host:port such as 127.0.0.1:50051";
  return scalar(expected, (value) => {
    if (typeof value !== "string") return refuse("is not text (put it in quotes)");
    if (value.startsWith("unix:")) {
      const path = value.slice("unix://".length);
      if (!/^unix:\/\/\/[^\0?#]+$/.test(value)) return refuse("is not unix:// and an absolute path");
      return Buffer.byteLength(path) <= 107
        ? value
        : refuse("is longer than a unix socket's path of 107 bytes");
    }
    const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:[\]/]*)):(\d{1,5})$/.exec(value) ?? [];
    const host = bracketed ?? plain;
    if (host === undefined) return refuse("is neither");
    const valid = bracketed === undefined ? isIPv4(host) || isHostName(host) : isIPv6(host);
    if (!valid) return refuse("has no valid host");
    return Number(port) >= 1 && Number(port) <= 65535 ? value : refuse("has no valid port");
  });
}

/** A host name (RFC 1123 §2.1) that cannot be taken for a mistyped IPv4 address. */
function isHostName(text: string): boolean {
  const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;
  return text.length <= 253 && text.split(".").every((part) => label.test(part)) && !/^[\d.]+$/.test(text);
}

/** Well-known communities: RFC 1997, RFC 3765, RFC 7999, RFC 8326. */
const COMMUNITIES = {
  "no-export": 0xffff_ff01,
  "no-advertise": 0xffff_ff02,
  "no-export-subconfed": 0xffff_ff03,
  "no-peer": 0xffff_ff04,
  blackhole: 0xffff_029a,
  "graceful-shutdown": 0xffff_0000,
} as const;

/** A BGP community (RFC 1997), as a number of 32 bits. */
export function community() {
  const names = Object.keys(COMMUNITIES);
  const expected = `asn:value with two numbers from 0 to 65535, in quotes, or ${oneOf(names)}`;
  return scalar<number>(expected, (value) => {
    // Not in quotes it would be text in YAML 1.2, but a number to base 60 for readers of YAML 1.1.
    if (typeof value !== "string") return refuse("is not text (put it in quotes)");
    if (Object.hasOwn(COMMUNITIES, value)) return COMMUNITIES[value as keyof typeof COMMUNITIES];
    const [, asn, number] = /^(\d{1,5}):(\d{1,5})$/.exec(value) ?? [];
    if (asn === undefined) {
      const near = nearest(value.slice(0, 64), names);
      return refuse(
        near ? `is not a community (did you mean ${JSON.stringify(near)}?)` : "is not a community",
      );
    }
    if (Number(asn) > 65535 || Number(number) > 65535) return refuse("is out of range");
    return Number(asn) * 65536 + Number(number);
  });
}

/** One argument of a command, in which only the given words may stand in braces. */
export function commandArgument(placeholders: readonly string[]) {
  return scalar(`text in which ${oneOf(placeholders.map((name) => `{${name}}`))} are replaced`, (value) => {
    // A number would be handed on in another spelling than it has in the file.
    if (typeof value !== "string") return refuse("is not text (put it in quotes)");
    if (value.includes("\0")) return refuse("has a NUL in it");
    if (Buffer.byteLength(value) > 4096) return refuse("is longer than 4096 bytes");
    for (const [whole, name] of value.matchAll(/\{([a-z0-9]+)\}/gi)) {
      if (placeholders.includes(name!)) continue;
      const near = nearest(name!, placeholders);
      return refuse(`has ${whole}${near ? ` (did you mean {${near}}?)` : ""}`);
    }
    return value;
  });
}
