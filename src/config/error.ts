import { GuidewayError } from "../errors.ts";

/** One thing that is wrong, or worth a warning, in a configuration file. */
export interface ConfigIssue {
  /** The file as the user named it. */
  file: string;
  /** From 1; 0 when the file as a whole is meant. */
  line: number;
  /** From 1, in UTF-16 units; 0 when the file as a whole is meant. */
  column: number;
  /** Key path such as `vips[0].port`; empty for the document itself. */
  path: string;
  /** What is wrong and what is expected. */
  message: string;
}

/** More lines than this are counted, not printed. */
const PRINTED = 100;

/** `file:line:column: key.path: message`, without the parts that do not apply. */
export function formatIssue(issue: ConfigIssue): string {
  const place = issue.line === 0 ? issue.file : `${issue.file}:${issue.line}:${issue.column}`;
  return issue.path === "" ? `${place}: ${issue.message}` : `${place}: ${issue.path}: ${issue.message}`;
}

/** A configuration that cannot be used: every problem of the file, in the order of the file. */
export class ConfigError extends GuidewayError {
  readonly issues: readonly ConfigIssue[];

  constructor(issues: readonly ConfigIssue[], cause?: unknown) {
    const lines = issues.slice(0, PRINTED).map(formatIssue);
    if (issues.length > PRINTED) lines.push(`… and ${issues.length - PRINTED} more`);
    super("CONFIG", lines.join("\n"), { exitCode: 2, cause });
    this.name = "ConfigError";
    this.issues = issues;
  }
}
