// The files that TCP clients and this machine show each other: token, certificate, authorities.

import { createSecureContext, type TlsOptions } from "node:tls";
import type { AdminConfig } from "../config/schema.ts";
import { GuidewayError } from "../errors.ts";
import { readSecretFile, type SecretFile } from "./secret-file.ts";
import { Token, tokenOf } from "./token.ts";

export interface Credentials {
  token: Token | undefined;
  /** For the server, and for its next handshakes. */
  tls: Pick<TlsOptions, "cert" | "key" | "ca" | "requestCert" | "rejectUnauthorized"> | undefined;
  /** Files that others may read. */
  warnings: string[];
}

/**
 * Reads all files that `listen` needs.
 * @throws GuidewayError ADMIN_FILE for one that cannot be read, ADMIN_TOKEN, ADMIN_TLS for content that is not valid
 */
export function readCredentials({ listen, token, tls }: AdminConfig): Credentials {
  const warnings: string[] = [];
  if (!listen) return { token: undefined, tls: undefined, warnings };
  const secret = (key: string, path: string): SecretFile => {
    const file = readSecretFile(key, path);
    if (file.shared) warnings.push(`${key}: others may read ${path}, expected its owner alone (chmod 600)`);
    return file;
  };
  return {
    token: token && new Token(tokenOf("admin.token.file", secret("admin.token.file", token.file))),
    tls: tls && readTls(tls, secret),
    warnings,
  };
}

function readTls(
  { certificate, key, clientCa }: NonNullable<AdminConfig["tls"]>,
  secret: (key: string, path: string) => SecretFile,
): NonNullable<Credentials["tls"]> {
  const options = {
    cert: readSecretFile("admin.tls.certificate", certificate).content,
    key: secret("admin.tls.key", key).content,
    ...(clientCa !== undefined && {
      ca: readSecretFile("admin.tls.clientCa", clientCa).content,
      requestCert: true,
      rejectUnauthorized: true,
    }),
  };
  try {
    createSecureContext(options);
  } catch (cause) {
    const files = [certificate, key, clientCa].filter(Boolean).join(", ");
    throw new GuidewayError(
      "ADMIN_TLS",
      `admin.tls: ${files} cannot be used: ${(cause as Error).message}; expected PEM files, and the certificate's own key`,
      { cause },
    );
  }
  return options;
}
