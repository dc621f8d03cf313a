// The key `health` of a pool: how its backends are checked. docs/health.md says what each option means.
import type { z } from "zod";
import { checkOptions } from "./check-options.ts";
import { parseDuration } from "./duration.ts";
import { pattern, payload, recordType, responseCode, statusRange } from "./expectation.ts";
import {
  boolean,
  choice,
  duration,
  integer,
  listOf,
  oneOrMore,
  portNumber,
  refuse,
  scalar,
  section,
} from "./values.ts";

const TYPES = ["tcp", "http", "https", "dns", "udp", "grpc", "exec"] as const;
export type CheckType = (typeof TYPES)[number];

const HOUR_MS = 3_600_000;
const DEFAULT_TIMEOUT_MS = 1000;

/** Parts of the interval, or milliseconds. */
type Jitter = { share: number } | { ms: number };

function jitter() {
  return scalar<Jitter>("a share of the interval up to 50%, or a duration up to half of it", (value) => {
    if (typeof value !== "string") return refuse("is neither");
    const percent = /^(\d{1,3}(?:\.\d{1,3})?)%$/.exec(value);
    if (percent) {
      const share = Number(percent[1]) / 100;
      return share <= 0.5 ? { share } : refuse("is out of range");
    }
    const ms = parseDuration(value);
    return ms === undefined ? refuse("is neither") : { ms };
  });
}

/** The target of an HTTP request (RFC 9112 §3.2.1): nothing in it may end the request line. */
function requestPath() {
  return scalar("a path such as /healthz, of up to 2000 visible ASCII characters", (value) => {
    if (typeof value !== "string") return refuse("is not text");
    return /^\/[!-~]{0,1999}$/.test(value) ? value : refuse("is not a path");
  });
}

function hostName() {
  return scalar("a host name, with or without a port", (value) => {
    if (typeof value !== "string") return refuse("is not text");
    return /^[\w.[\]:-]{1,255}$/.test(value) ? value : refuse("is not a host name");
  });
}

function text(expected: string, form: RegExp) {
  return scalar(expected, (value) => {
    if (typeof value !== "string") return refuse("is not text (put it in quotes)");
    return form.test(value) ? value : refuse("is not valid");
  });
}

const flap = section({
  changes: integer(2, 100).prefault(6).describe("So many changes between up and down …"),
  within: duration(1000, 24 * HOUR_MS, "from 1s to 24h")
    .prefault("60s")
    .describe("… in so long a time are flapping."),
  hold: duration(1000, 24 * HOUR_MS, "from 1s to 24h")
    .prefault("60s")
    .describe("A flapping backend is down until its checks have said the same for so long."),
});

const tls = section({
  verify: boolean().prefault(true).describe("Whether the certificate must be valid and for this server."),
  serverName: text("a host name", /^[\w.-]{1,253}$/)
    .optional()
    .describe("Name in the handshake and in the certificate. Default: `host`, else the address."),
  ca: text("the absolute path of a PEM file", /^\/[^\0]{1,4000}$/)
    .optional()
    .describe("PEM file of the authorities to trust, instead of the usual ones. Read again when it changes."),
});

const options = section({
  type: choice(...TYPES).describe("What is asked: docs/health.md."),
  port: portNumber()
    .optional()
    .describe(
      "Default: the backend's port, else the port of the pool's VIPs where all have the same one. `exec` needs none.",
    ),
  interval: duration(100, HOUR_MS, "from 100ms to 1h")
    .prefault("2s")
    .describe("From the start of a check to the start of the next one."),
  jitter: jitter().prefault("10%").describe("How much earlier or later than its turn a check may start."),
  timeout: duration(10, HOUR_MS, "from 10ms to 1h")
    .optional()
    .describe(
      "For all of a check, from connecting to the last byte. At most the interval. Default: 1s, or the interval where that is less.",
    ),
  rise: integer(1, 100).prefault(2).describe("Passed checks in a row that bring a backend up."),
  fall: integer(1, 100).prefault(3).describe("Failed checks in a row that bring a backend down."),
  initial: choice("first-result", "up", "down")
    .prefault("first-result")
    .describe(
      "State of a new backend. `first-result`: usable, and its first check alone decides. `up`, `down`: so, until " +
        "`fall` or `rise` checks say otherwise.",
    ),
  via: choice("direct", "tunnel")
    .prefault("direct")
    .describe(
      "`tunnel`: a check takes the way of the traffic, to the VIP, through the data plane to that backend. Not `exec`.",
    ),
  flap: flap.optional().describe("Flap damping. Without it there is none."),
  method: choice("GET", "HEAD", "OPTIONS", "POST").optional().describe("`http`, `https`. Default: GET."),
  path: requestPath().optional().describe("`http`, `https`. Default: /."),
  host: hostName().optional().describe("`http`, `https`: the Host header. Default: the address and port."),
  status: oneOrMore('a status such as 200, a range such as "200-399", or a list of them', statusRange())
    .optional()
    .describe("`http`, `https`: statuses that pass. Default: 200-299. Redirects are not followed."),
  body: pattern().optional().describe("`http`, `https`: what the first 64 KiB of the body must contain."),
  tls: tls.optional().describe("`https`, `grpc`. A `grpc` check without it is plaintext."),
  query: payload()
    .optional()
    .describe("`dns`: the name to ask for, required. `udp`: the datagram to send. Default: an empty one."),
  recordType: recordType().optional().describe("`dns`. Default: A."),
  rcode: oneOrMore("a response code such as NOERROR, or a list of them", responseCode())
    .optional()
    .describe("`dns`: response codes that pass. Default: NOERROR."),
  expect: pattern()
    .optional()
    .describe(
      "`dns`: what one of the answers must contain. `udp`: what the answer must contain; without it, silence passes and only an ICMP error fails.",
    ),
  service: text("a service's name of up to 255 visible ASCII characters", /^[!-~]{0,255}$/)
    .optional()
    .describe("`grpc`: the service asked for. Default: the server as a whole."),
  command: listOf(
    "a program's absolute path and its arguments",
    text("text of 1 to 4096 characters", /^[^\0]{1,4096}$/),
  )
    .optional()
    .describe("`exec`: program and arguments, without a shell. Required. Exit code 0 passes."),
});

export type Options = z.output<typeof options>;
export interface TlsOptions {
  verify: boolean;
  serverName?: string | undefined;
  ca?: string | undefined;
}

/** When a check runs, and what its results make of the state. Times in milliseconds. */
export interface Schedule {
  port?: number | undefined;
  interval: number;
  /** Most by which a check starts earlier or later than its turn. */
  jitter: number;
  timeout: number;
  rise: number;
  fall: number;
  initial: "first-result" | "up" | "down";
  via: "direct" | "tunnel";
  flap?: { changes: number; within: number; hold: number } | undefined;
}

/** What is asked, and what passes. Patterns as in expectation.ts. */
export type Question =
  | { type: "tcp" }
  | HttpQuestion
  | { type: "dns"; query: string; recordType: string; rcode: string[]; expect?: string | undefined }
  | { type: "udp"; query: string; expect?: string | undefined }
  | { type: "grpc"; service: string; tls?: TlsOptions | undefined }
  | { type: "exec"; command: string[] };

export interface HttpQuestion {
  type: "http" | "https";
  method: "GET" | "HEAD" | "OPTIONS" | "POST";
  path: string;
  host?: string | undefined;
  /** Inclusive ranges. */
  status: [from: number, to: number][];
  body?: string | undefined;
  tls?: TlsOptions | undefined;
}

export type HealthConfig = Schedule & Question;

/** `health` of a pool: all options are filled in, and none is there that the type does not have. */
export const health = options.superRefine(checkOptions, { when: () => true }).transform(complete);

/** Fills in the defaults that depend on other options. */
function complete(options: Options): HealthConfig {
  const { port, interval, timeout, rise, fall, initial, via, flap } = options;
  const schedule: Schedule = {
    ...(port !== undefined && { port }),
    interval,
    jitter: "ms" in options.jitter ? options.jitter.ms : interval * options.jitter.share,
    timeout: timeout ?? Math.min(DEFAULT_TIMEOUT_MS, interval),
    rise,
    fall,
    initial,
    via,
    ...(flap && { flap }),
  };
  return { ...schedule, ...question(options) };
}

function question(options: Options): Question {
  const { type, host, body, tls, query = "", expect } = options;
  switch (type) {
    case "tcp":
      return { type };
    case "http":
    case "https": {
      const { method = "GET", path = "/", status = [[200, 299]] } = options;
      return {
        ...{ type, method, path, status },
        ...(host !== undefined && { host }),
        ...(body !== undefined && { body }),
        ...(type === "https" && { tls: tls ?? { verify: true } }),
      };
    }
    case "dns": {
      const { recordType = "A", rcode = ["NOERROR"] } = options;
      return { type, query, recordType, rcode, ...(expect !== undefined && { expect }) };
    }
    case "udp":
      return { type, query, ...(expect !== undefined && { expect }) };
    case "grpc":
      return { type, service: options.service ?? "", ...(tls && { tls }) };
    case "exec":
      return { type, command: options.command ?? [] };
  }
}
