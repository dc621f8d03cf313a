// The token of the admin API. Only its hash is kept: what is not there cannot be logged.

import { createHash, timingSafeEqual } from "node:crypto";
import { GuidewayError } from "../errors.ts";
import type { SecretFile } from "./secret-file.ts";

const MIN_LENGTH = 16;
const MAX_LENGTH = 1024;
/** RFC 6750 §2.1: b64token. */
const TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;

function hash(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/**
 * The token in a file, without white space around it.
 * @throws GuidewayError ADMIN_TOKEN, which does not repeat it
 */
export function tokenOf(key: string, { path, content }: SecretFile): string {
  const token = content.toString("utf8").trim();
  const fail = (what: string) =>
    new GuidewayError(
      "ADMIN_TOKEN",
      `${key}: the token in ${path} ${what}; make one with: openssl rand -hex 32`,
    );
  if (token.length < MIN_LENGTH)
    throw fail(`has ${token.length} characters, expected at least ${MIN_LENGTH}`);
  if (token.length > MAX_LENGTH) throw fail(`has ${token.length} characters, expected at most ${MAX_LENGTH}`);
  if (!TOKEN.test(token))
    throw fail("is not valid, expected letters, digits and -._~+/ alone, and = at its end (RFC 6750)");
  return token;
}

export class Token {
  readonly #hash: Buffer;

  constructor(token: string) {
    this.#hash = hash(token);
  }

  /** Whether an Authorization header shows this token. Takes the same time for every token of a length. */
  admits(authorization: string | undefined): boolean {
    // RFC 7235 §2.1: the scheme's case does not matter.
    const [, shown] = /^bearer +([^ ]+)$/i.exec(authorization ?? "") ?? [];
    return shown !== undefined && timingSafeEqual(hash(shown), this.#hash);
  }
}
