// The kinds of values of a configuration, as zod schemas: each reads what YAML gave and says, when it cannot,
// what is wrong and what is expected.
import { isIPv4, isIPv6 } from "node:net";
import { z } from "zod";
import { addressFamily, canonicalAddress, notUnicast } from "./address.ts";
import { parseDuration } from "./duration.ts";
import { parsePercent } from "./percent.ts";
import type { Ports } from "./ports.ts";
import { canonicalPrefix, hasHostBits } from "./prefix.ts";
import { nearest, oneOf } from "./suggest.ts";

/** What a reader returns for a value that it refuses: the words after the value, or "" when the expectation says it all. */
class Refusal {
  readonly why: string;
  constructor(why: string) {
    this.why = why;
  }
}
/** Refuses a value; `why` continues the sentence after the value: `"x" is not …`. */
export const refuse = (why: string): Refusal => new Refusal(why);

/** Numbers beyond this are not written out: a file can hold one of millions of digits. */
const HUGE = 1n << 128n;

/** A value as a message shows it: short, and on one line. */
function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value === "bigint" && (value < -HUGE || value > HUGE)) return "the huge number";
  return String(value);
}

/** Message for a value that is absent or of the wrong shape; undefined when it is a scalar. */
function misshapen(value: unknown, expected: string): string | undefined {
  if (value === undefined) return `is missing, expected ${expected}`;
  if (value === null) return `is empty, expected ${expected}`;
  if (Array.isArray(value)) return `is a list, expected ${expected}`;
  return typeof value === "object" ? `is a map, expected ${expected}` : undefined;
}

/** A scalar. `expected` is both the end of its error messages and its type in the documentation. */
export function scalar<T>(expected: string, read: (value: unknown) => T | Refusal) {
  return z
    .unknown()
    .transform((value, context): T => {
      const shape = misshapen(value, expected);
      const result = shape === undefined ? read(value) : refuse("");
      if (!(result instanceof Refusal)) return result;
      const message = shape ?? `${shown(value)} ${result.why || "is not valid"}, expected ${expected}`;
      context.issues.push({ code: "custom", input: value, message });
      // The value of a failed field: the consistency checks see "unknown" and the parse fails as a whole.
      return undefined as T;
    })
    .meta({ expected });
}

/** An integer from min to max. */
export function integer(min: number, max: number, unit = "") {
  return scalar(`an integer from ${min} to ${max}${unit}`, (value) => {
    if (typeof value === "bigint") return refuse("is out of range");
    if (typeof value !== "number") return refuse("is not a number");
    if (!Number.isInteger(value)) return refuse("is not an integer");
    return value >= min && value <= max ? value : refuse("is out of range");
  });
}

/** `auto`, or an integer from min to max. */
export function integerOrAuto(min: number, max: number) {
  return scalar<number | "auto">(`auto or an integer from ${min} to ${max}`, (value) => {
    if (value === "auto") return value;
    if (typeof value === "bigint") return refuse("is out of range");
    if (typeof value !== "number" || !Number.isInteger(value)) return refuse("is neither");
    return value >= min && value <= max ? value : refuse("is out of range");
  });
}

/** One of a few integers. */
export function integerOf<const T extends number>(...choices: T[]) {
  return scalar<T>(choices.join(" or "), (value) =>
    choices.includes(value as T) ? (value as T) : refuse("is not supported"),
  );
}

/** An unsigned 64-bit integer, as a bigint; hexadecimal or decimal, as a number or as text. */
export function word64() {
  const expected = "an integer of up to 64 bits, such as 0x5ca1ab1e";
  return scalar<bigint>(expected, (value) => {
    const text = typeof value === "string" && /^(0x[0-9a-f]+|\d+)$/i.test(value);
    const whole = typeof value === "bigint" || Number.isSafeInteger(value);
    if (!text && !whole) return refuse("is not an integer");
    if (typeof value === "string" && value.length > 40) return refuse("is out of range");
    const word = BigInt(value as string | number | bigint);
    return word >= 0n && word < 1n << 64n ? word : refuse("is out of range");
  });
}

export function boolean() {
  return scalar("true or false", (value) => (typeof value === "boolean" ? value : refuse("is neither")));
}

/** One of a few words. */
export function choice<const T extends string>(...words: T[]) {
  return scalar<T>(oneOf(words), (value) => {
    if (words.includes(value as T)) return value as T;
    const near = typeof value === "string" ? nearest(value.slice(0, 64), words) : undefined;
    return refuse(near ? `is not supported (did you mean ${JSON.stringify(near)}?)` : "is not supported");
  });
}

/** Milliseconds, written with a unit. */
export function duration(minMs: number, maxMs: number, range: string) {
  return scalar(`a duration such as 500ms, 30s, 15m or 1h, ${range}`, (value) => {
    const ms = typeof value === "string" ? parseDuration(value) : undefined;
    if (ms === undefined) return refuse(typeof value === "number" ? "has no unit" : "is not a duration");
    return ms >= minMs && ms <= maxMs ? ms : refuse("is out of range");
  });
}

/** A fraction from 0 to 1, written in percent. */
export function percentage() {
  return scalar("a percentage from 0% to 100%, such as 5%", (value) => {
    const fraction = typeof value === "string" ? parsePercent(value) : undefined;
    return fraction ?? refuse(typeof value === "number" ? "has no %" : "is not such a percentage");
  });
}

/** Text of visible ASCII characters without spaces: it is hashed, sorted by bytes and printed in tables. */
export function name() {
  const expected = "a name of 1 to 255 visible ASCII characters without spaces";
  return scalar(expected, (value) => {
    if (typeof value !== "string") return refuse("is not text (put it in quotes)");
    return /^[!-~]{1,255}$/.test(value) ? value : refuse("is not a name");
  });
}

/** A network interface's name, by the kernel's rules (dev_valid_name in net/core/dev.c). */
export function interfaceName() {
  return scalar("the name of a network interface, 1 to 15 characters", (value) => {
    if (typeof value !== "string") return refuse("is not text (put it in quotes)");
    const valid = /^[!-~]{1,15}$/.test(value) && !/[/:]/.test(value) && value !== "." && value !== "..";
    return valid ? value : refuse("is not a valid name");
  });
}

/** Path of a Unix socket: sun_path holds 107 bytes and a NUL. */
export function socketPath() {
  return scalar("a path of 1 to 107 bytes", (value) => {
    if (typeof value !== "string") return refuse("is not text (put it in quotes)");
    const bytes = Buffer.byteLength(value);
    return bytes >= 1 && bytes <= 107 && !value.includes("\0") ? value : refuse("is too short or too long");
  });
}

/** Path of a folder: PATH_MAX of the kernel with its NUL, and room for the names of files in it. */
export function folderPath() {
  return scalar("an absolute path of 1 to 3840 bytes", (value) => {
    if (typeof value !== "string") return refuse("is not text (put it in quotes)");
    if (!value.startsWith("/")) return refuse("is not absolute");
    return Buffer.byteLength(value) <= 3840 && !value.includes("\0") ? value : refuse("is not a path");
  });
}

/** Path of a file: PATH_MAX of the kernel is 4,096 with the NUL. */
export function filePath() {
  return scalar("the path of a file", (value) => {
    if (typeof value !== "string") return refuse("is not text (put it in quotes)");
    const bytes = Buffer.byteLength(value);
    return bytes >= 1 && bytes <= 4095 && !value.includes("\0") ? value : refuse("is no path");
  });
}

/** A unicast IP address of the given family, or of either (0), in canonical text. */
export function unicastAddress(family: 4 | 6 | 0 = 0) {
  const kind = family === 0 ? "IPv4 or IPv6" : `IPv${family}`;
  return scalar(`a unicast ${kind} address`, (value) => {
    if (typeof value !== "string") return refuse("is not an address");
    if (/^[^/]+\/\d+$/.test(value)) return refuse("is a prefix");
    const address = canonicalAddress(value);
    if (address === undefined) return refuse("is not an address");
    if (family !== 0 && !(family === 4 ? isIPv4(value) : isIPv6(value)))
      return refuse("is of the other family");
    const why = notUnicast(address);
    return why === undefined ? address : refuse(`is ${why}`);
  });
}

/** Bits that a VIP's prefix has at least: shorter ones contain addresses of other kinds, and are mistakes. */
const LEAST_VIP_LENGTH = { 4: 8, 6: 16 } as const;

/** A unicast address, or a prefix of such, in canonical text. */
export function unicastPrefix() {
  return scalar("a unicast IPv4 or IPv6 address, or a prefix such as 10.99.0.0/24", (value) => {
    const canonical = typeof value === "string" ? canonicalPrefix(value) : undefined;
    if (canonical === undefined) return refuse("is neither");
    if (hasHostBits(value as string))
      return refuse(`has bits beyond its length (did you mean ${JSON.stringify(canonical)}?)`);
    const [address = "", length] = canonical.split("/");
    const least = LEAST_VIP_LENGTH[addressFamily(address)];
    if (length !== undefined && Number(length) < least)
      return refuse(`has too many addresses: a length of at least ${least} is possible`);
    const why = notUnicast(address);
    return why === undefined ? canonical : refuse(`is ${why}`);
  });
}

/** An IPv4 or IPv6 prefix of any kind, or an address alone, in canonical text. */
export function prefix() {
  return scalar("an IPv4 or IPv6 prefix such as 192.0.2.0/24, or an address", (value) => {
    const canonical = typeof value === "string" ? canonicalPrefix(value) : undefined;
    if (canonical === undefined) return refuse("is not a prefix");
    return hasHostBits(value as string)
      ? refuse(`has bits beyond its length (did you mean ${JSON.stringify(canonical)}?)`)
      : canonical;
  });
}

/** Bytes in hexadecimal digits, in lower case. */
export function hexBytes(min: number, max: number) {
  const expected = `${min} to ${max} bytes in hexadecimal digits, such as "0a01"`;
  return scalar(expected, (value) => {
    if (typeof value === "number" || typeof value === "bigint")
      return refuse("is a number (put it in quotes)");
    if (typeof value !== "string" || !/^([0-9a-f]{2})+$/i.test(value)) return refuse("is not such bytes");
    const bytes = value.length / 2;
    if (bytes < min || bytes > max) return refuse(`has ${bytes} bytes`);
    return value.toLowerCase();
  });
}

/** A unicast MAC address, in canonical text: lower case, colons. */
export function unicastMac() {
  return scalar("a unicast MAC address such as 02:00:00:00:00:21", (value) => {
    if (typeof value !== "string" || !/^[0-9a-f]{2}([:-])([0-9a-f]{2}\1){4}[0-9a-f]{2}$/i.test(value))
      return refuse("is not a MAC address");
    const mac = value.toLowerCase().replaceAll("-", ":");
    if (mac === "ff:ff:ff:ff:ff:ff") return refuse("is the broadcast address");
    if (Number.parseInt(mac.slice(0, 2), 16) & 1) return refuse("is a multicast address");
    return mac === "00:00:00:00:00:00" ? refuse("is no address") : mac;
  });
}

/** A port number. */
export function portNumber() {
  return scalar("a port from 1 to 65535", (value) => {
    if (typeof value === "string" && /^\d+-\d+$/.test(value)) return refuse("is a range");
    if (typeof value === "string" && /^\d+$/.test(value)) return refuse("is text, not a number");
    if (typeof value === "bigint") return refuse("is out of range");
    if (typeof value !== "number" || !Number.isInteger(value)) return refuse("is not a port");
    return value >= 1 && value <= 65535 ? value : refuse("is out of range");
  });
}

/** A port, an inclusive range of ports, or 0 for every port. */
export function ports() {
  return scalar<Ports>(
    'a port from 1 to 65535, a range such as "8000-8099", or 0 for every port',
    (value) => {
      if (value === 0) return value;
      const range = typeof value === "string" ? /^(\d+)-(\d+)$/.exec(value) : null;
      if (!range && typeof value === "string")
        return refuse(/^\d+$/.test(value) ? "is text, not a number" : "is neither");
      const [first, last] = range ? [Number(range[1]), Number(range[2])] : [value, value];
      if (typeof first === "bigint") return refuse("is out of range");
      if (typeof first !== "number" || typeof last !== "number" || !Number.isInteger(first))
        return refuse("is not a port");
      if (first < 1 || last < 1 || first > 65535 || last > 65535) return refuse("is out of range");
      if (first > last) return refuse("is backwards");
      return first === last ? first : `${first}-${last}`;
    },
  );
}

// ── Containers ───────────────────────────────────────────────────────────────────────────────────

/** A value that passes `test` and is handed on unchanged, or one error and nothing handed on. */
function shaped<T>(expected: string, test: (value: unknown) => value is T) {
  return z.unknown().transform((value, context): T => {
    if (test(value)) return value;
    const message = misshapen(value, expected) ?? `${shown(value)} is a single value, expected ${expected}`;
    context.issues.push({ code: "custom", input: value, message });
    return undefined as T;
  });
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A map with the given keys and no others. */
export function section<S extends z.core.$ZodLooseShape>(shape: S) {
  return shaped(`a map of ${Object.keys(shape).join(", ")}`, isMap).pipe(z.strictObject(shape));
}

/** A map from names that the user chooses. */
export function mapOf<S extends z.core.SomeType>(what: string, item: S) {
  return shaped(`a map of ${what}`, isMap).pipe(z.record(z.string(), item));
}

/** A list. */
export function listOf<S extends z.core.SomeType>(what: string, item: S) {
  return shaped(`a list of ${what}`, (value): value is unknown[] => Array.isArray(value)).pipe(z.array(item));
}

/** One item, or a list of at least one; the result is always a list. */
export function oneOrMore<S extends z.core.SomeType>(what: string, item: S) {
  return z
    .unknown()
    .transform((value, context): unknown[] => {
      if (!Array.isArray(value)) return [value];
      if (value.length === 0)
        context.issues.push({ code: "custom", input: value, message: `is an empty list, expected ${what}` });
      return value;
    })
    .pipe(z.array(item))
    .meta({ expected: what });
}
