// Files with secrets: read whole, in one opening, with a look at who else may read them.

import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { GuidewayError } from "../errors.ts";

const MAX_BYTES = 1 << 20;
/** Mode bits of group and others. */
const OTHERS = 0o077;

export interface SecretFile {
  path: string;
  content: Buffer;
  /** Whether users other than the owner may use it. */
  shared: boolean;
}

/** @param key what the configuration calls it. @throws GuidewayError ADMIN_FILE, which says nothing of the content */
export function readSecretFile(key: string, path: string): SecretFile {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, "r");
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) throw new Error("it is no regular file");
    if (stat.size > MAX_BYTES) throw new Error(`it has more than ${MAX_BYTES} bytes`);
    return { path, content: readFileSync(descriptor), shared: (stat.mode & OTHERS) !== 0 };
  } catch (cause) {
    const { message } = cause as Error;
    throw new GuidewayError("ADMIN_FILE", `${key}: ${path} cannot be read: ${message}`, { cause });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
