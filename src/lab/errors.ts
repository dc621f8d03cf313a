import { GuidewayError } from "../errors.ts";

/**
 * What can go wrong with a lab:
 *
 * | code | meaning |
 * |---|---|
 * | `LAB_PRIVILEGE` | not root, a tool is missing, or the XDP object was not built |
 * | `LAB_OPTION` | an option has an unusable value (exit code 2) |
 * | `LAB_EXISTS` | there is a lab with this prefix already |
 * | `LAB_UNKNOWN` | there is no such lab or node |
 * | `LAB_COMMAND` | a command failed; the message carries what it wrote |
 */
export type LabErrorCode = "LAB_PRIVILEGE" | "LAB_OPTION" | "LAB_EXISTS" | "LAB_UNKNOWN" | "LAB_COMMAND";

export class LabError extends GuidewayError {
  constructor(code: LabErrorCode, message: string, cause?: unknown) {
    super(code, message, { exitCode: code === "LAB_OPTION" ? 2 : 1, cause });
    this.name = "LabError";
  }
}
