// Certificates made for a test, by openssl.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

export interface Certificate {
  /** PEM. */
  key: string;
  cert: string;
  /** The PEM file of the certificate, which is its own authority. */
  file: string;
}

/** A certificate that signs itself. @param names such as `DNS:example.com` and `IP:127.0.0.1` */
export function certificate(test: Pick<TestContext, "after">, names: string[]): Certificate {
  const folder = mkdtempSync(join(tmpdir(), "guideway-certificate-"));
  test.after(() => rmSync(folder, { recursive: true }));
  const [key, file] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
  const subject = ["-subj", "/CN=guideway test", "-addext", `subjectAltName=${names.join(",")}`];
  execFileSync(
    "openssl",
    ["req", "-x509", ...curve, "-nodes", "-days", "2", ...subject, "-keyout", key, "-out", file],
    {
      stdio: "ignore",
    },
  );
  return { key: readFileSync(key, "utf8"), cert: readFileSync(file, "utf8"), file };
}
