// What a health check sends and what must come back, as a configuration says it.
import { RE2JS } from "re2js";
import { oneOf } from "./suggest.ts";
import { refuse, scalar } from "./values.ts";

/** DNS record types that can be asked for, and response codes (RFC 1035 §3.2.2, §4.1.1; RFC 3596; RFC 2782). */
const RECORD_TYPES = ["A", "AAAA", "SOA", "NS", "MX", "TXT", "CNAME", "PTR", "SRV"] as const;
const RESPONSE_CODES = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"] as const;

/** Longest text of a pattern or payload. */
const LONGEST = 4096;

/** Whether some bytes are what is expected. */
export type Matcher = (bytes: Uint8Array) => boolean;

/**
 * Reads a pattern: text that must be contained; `/…/` with flags i, m and s, a regular expression in RE2's syntax,
 * which takes time in proportion to what it searches, whatever a server sends; `hex:…`, bytes that must be contained.
 * @throws Error that says what is wrong with it
 */
export function compilePattern(pattern: string): Matcher {
  const expression = /^\/(.*)\/([ims]*)$/s.exec(pattern);
  if (expression) {
    const [, source = "", letters = ""] = expression;
    const flags =
      (letters.includes("i") ? RE2JS.CASE_INSENSITIVE : 0) |
      (letters.includes("m") ? RE2JS.MULTILINE : 0) |
      (letters.includes("s") ? RE2JS.DOTALL : 0);
    const compiled = RE2JS.compile(source, flags);
    return (bytes) => compiled.matcher(Buffer.from(bytes).toString("utf8")).find();
  }
  const wanted = payloadBytes(pattern);
  return (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(wanted);
}

/** Bytes of a payload: `hex:…`, or text as UTF-8. @throws Error when the hexadecimal digits are none */
export function payloadBytes(text: string): Buffer {
  if (!text.startsWith("hex:")) return Buffer.from(text, "utf8");
  const digits = text.slice(4).replaceAll(" ", "");
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error("it is not an even number of hexadecimal digits");
  return Buffer.from(digits, "hex");
}

function readText(value: unknown, least: number, parse: (text: string) => unknown) {
  if (typeof value !== "string") return refuse("is not text (put it in quotes)");
  if (value.length > LONGEST) return refuse(`is longer than ${LONGEST} characters`);
  if (value.length < least) return refuse("is empty");
  try {
    parse(value);
    return value;
  } catch (error) {
    return refuse(`is not valid (${(error as Error).message.replaceAll(/\s+/g, " ")})`);
  }
}

export function pattern() {
  return scalar("text to find, a regular expression such as /ok(ay)?/i (RE2), or hex: and bytes", (value) =>
    readText(value, 1, compilePattern),
  );
}

export function payload() {
  return scalar("text, or hex: and bytes", (value) => readText(value, 0, payloadBytes));
}

/** `200`, or `"200-399"`: an inclusive range. */
export function statusRange() {
  return scalar<[from: number, to: number]>(
    'a status from 100 to 599, or a range such as "200-399"',
    (value) => {
      const range = /^(\d{3})-(\d{3})$/.exec(String(value));
      const [from, to] = range ? [Number(range[1]), Number(range[2])] : [Number(value), Number(value)];
      if ((typeof value !== "number" && !range) || !Number.isInteger(from)) return refuse("is neither");
      if (from < 100 || to > 599) return refuse("is out of range");
      return from <= to ? [from, to] : refuse("is backwards");
    },
  );
}

function word<T extends string>(words: readonly T[]) {
  return scalar<T>(oneOf(words), (value) => {
    const upper = typeof value === "string" ? (value.toUpperCase() as T) : undefined;
    return upper !== undefined && words.includes(upper) ? upper : refuse("is not supported");
  });
}

export const recordType = () => word(RECORD_TYPES);
export const responseCode = () => word(RESPONSE_CODES);
