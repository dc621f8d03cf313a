// The program's log, on stderr: stdout belongs to the commands' results.
import { type Logger, pino } from "pino";
import { GuidewayError } from "./errors.ts";

export type { Logger } from "pino";

/** From quiet to chatty. */
const LOG_LEVELS = ["silent", "fatal", "error", "warn", "info", "debug", "trace"] as const;

export interface LogOptions {
  /** Least level to log; default: the environment's GUIDEWAY_LOG, else info. */
  level?: string | undefined;
  /** `text` is a short line for people. Default: text on a terminal, else JSON lines. */
  format?: "json" | "text" | undefined;
}

function ignore(): void {}

/** A logger. Throws GuidewayError `USAGE` for a level that does not exist. */
export function createLogger(options: LogOptions = {}): Logger {
  const level = options.level ?? process.env.GUIDEWAY_LOG ?? "info";
  if (!(LOG_LEVELS as readonly string[]).includes(level))
    throw new GuidewayError(
      "USAGE",
      `log level ${JSON.stringify(level)} is not known, expected one of ${LOG_LEVELS.join(", ")} ` +
        "(set by --log-level or GUIDEWAY_LOG)",
      { exitCode: 2 },
    );
  const format = options.format ?? (process.stderr.isTTY ? "text" : "json");
  // Node writes to stderr synchronously on Linux, so nothing is lost when the process exits.
  const write = (text: string): void => void process.stderr.write(text);
  // A log that cannot be written (a full disk, a reader that is gone) is no reason to end; lines are lost until it can.
  if (!process.stderr.listeners("error").includes(ignore)) process.stderr.on("error", ignore);
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    { write: format === "json" ? write : (line: string) => write(formatLine(line)) },
  );
}

/** `12:34:56.789 warn  message key=value`, and an error's stack below it, from one of pino's JSON lines. */
export function formatLine(json: string): string {
  const { level, time, msg = "", err, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const label = pino.levels.labels[Number(level)] ?? String(level);
  const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${fieldText(value)}`);
  const stack = (err as { stack?: string } | undefined)?.stack;
  const below = stack === undefined ? "" : `${stack.replace(/^/gm, "    ")}\n`;
  return `${String(time).slice(11, 23)} ${label.padEnd(5)} ${String(msg)}${pairs.join("")}\n${below}`;
}

function fieldText(value: unknown): string {
  if (typeof value === "string" && /^[^\s"=]+$/.test(value)) return value;
  return JSON.stringify(value);
}
