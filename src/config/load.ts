import { closeSync, openSync, readSync } from "node:fs";
import type { z } from "zod";
import { ConfigError, type ConfigIssue } from "./error.ts";
import { keysAt } from "./fields.ts";
import { type Config, schema } from "./schema.ts";
import { MAX_FILE_BYTES, readSource, type Source } from "./source.ts";
import { expectation } from "./suggest.ts";
import { findWarnings } from "./warnings.ts";

export { ConfigError, type ConfigIssue, formatIssue } from "./error.ts";

/** A valid configuration and what is odd about it. */
export interface LoadedConfig {
  config: Config;
  warnings: ConfigIssue[];
  /** What it was read from. */
  text: string;
}

/**
 * Reads a configuration from YAML text. `file` is what messages call it. Throws ConfigError, and nothing else, with
 * every problem of the text at once, in the order of the text.
 */
export function parseConfig(text: string, file: string): LoadedConfig {
  const source = readSource(text, file);
  if (!("value" in source)) throw new ConfigError(source.issues);
  const result = schema.safeParse(source.value);
  if (!result.success || source.issues.length > 0) {
    const issues = result.error?.issues.flatMap((issue) => place(issue, source)) ?? [];
    throw new ConfigError([...source.issues, ...issues].sort(byPosition));
  }
  const warnings = findWarnings(result.data).map(({ path, message, at }) => source.issue(path, message, at));
  return { config: result.data, warnings: warnings.sort(byPosition), text };
}

/** Reads a configuration file; like parseConfig, and a file that cannot be read is a ConfigError too. */
export function loadConfig(file: string): LoadedConfig {
  return parseConfig(readConfigText(file), file);
}

function byPosition(a: ConfigIssue, b: ConfigIssue): number {
  return a.line - b.line || a.column - b.column;
}

/** An issue of the schema as issues of the file: one for each unknown key. */
function place(issue: z.core.$ZodIssue, source: Source): ConfigIssue[] {
  if (issue.code === "unrecognized_keys") {
    const known = keysAt(schema, issue.path);
    return issue.keys.map((key) =>
      source.issue(
        [...issue.path, key],
        `unknown key ${JSON.stringify(key)}, ${expectation(key, known)}`,
        "key",
      ),
    );
  }
  const at = issue.code === "custom" && issue.params?.at === "key" ? "key" : undefined;
  const message = issue.path.length === 0 ? issue.message.replace(/^is /, "the document is ") : issue.message;
  return [source.issue(issue.path, message, at)];
}

/** The text of a file of at most MAX_FILE_BYTES. Pipes are fine: `--config <(generate)`. @throws ConfigError */
export function readConfigText(file: string): string {
  const fail = (message: string, cause?: unknown) =>
    new ConfigError([{ file, line: 0, column: 0, path: "", message }], cause);
  const bytes = Buffer.allocUnsafe(MAX_FILE_BYTES + 1);
  let length = 0;
  try {
    const descriptor = openSync(file, "r");
    try {
      for (;;) {
        const read = readSync(descriptor, bytes, length, bytes.length - length, null);
        length += read;
        if (read === 0 || length === bytes.length) break;
      }
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw fail(`${unreadable(error)}, expected a readable YAML file`, error);
  }
  if (length > MAX_FILE_BYTES)
    throw fail(`the file is larger than ${MAX_FILE_BYTES >> 20} MiB, expected a configuration`);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, length));
  } catch (error) {
    throw fail("the file is not UTF-8, expected YAML text", error);
  }
}

function unreadable(error: unknown): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case "ENOENT":
      return "there is no such file";
    case "EISDIR":
      return "it is a directory";
    case "EACCES":
    case "EPERM":
      return "it may not be read by this user";
    default:
      return `it cannot be read (${error instanceof Error ? error.message : error})`;
  }
}
