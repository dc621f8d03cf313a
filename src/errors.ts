/**
 * Base class of every error that Guideway raises on purpose. The message names the thing, the value, what was
 * expected and what to do next; `code` is stable and may be matched on.
 */
export class GuidewayError extends Error {
  readonly code: string;
  /** Exit code of a command that ends with this error: 1 failed, 2 usage or configuration. */
  readonly exitCode: 1 | 2;

  constructor(code: string, message: string, options: { exitCode?: 1 | 2; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "GuidewayError";
    this.code = code;
    this.exitCode = options.exitCode ?? 1;
  }
}
