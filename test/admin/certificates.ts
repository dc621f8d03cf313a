// An authority, and certificates by it, made by openssl.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Certificate {
  /** PEM files, and what is in them. */
  certificate: string;
  key: string;
  pem: string;
}

const CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];

function openssl(...args: string[]): void {
  execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
}

export class Authority {
  readonly #folder: string;
  readonly ca: Certificate;

  constructor(folder: string, name: string) {
    this.#folder = folder;
    this.ca = this.#files(name);
    openssl(
      "req",
      "-x509",
      ...CURVE,
      "-subj",
      `/CN=${name}`,
      "-keyout",
      this.ca.key,
      "-out",
      this.ca.certificate,
    );
  }

  #files(name: string): Certificate {
    const certificate = join(this.#folder, `${name}.pem`);
    return {
      certificate,
      key: join(this.#folder, `${name}.key`),
      get pem() {
        return readFileSync(certificate, "utf8");
      },
    };
  }

  /** @param names such as `DNS:example.com` and `IP:127.0.0.1` */
  issue(name: string, names: string): Certificate {
    const made = this.#files(name);
    const [request, extensions] = [`${made.key}.csr`, `${made.key}.ext`];
    writeFileSync(extensions, `subjectAltName=${names}\n`);
    openssl("req", ...CURVE, "-subj", `/CN=${name}`, "-keyout", made.key, "-out", request);
    const { certificate, key } = this.ca;
    const by = ["-CA", certificate, "-CAkey", key, "-CAcreateserial", "-days", "2", "-extfile", extensions];
    openssl("x509", "-req", "-in", request, ...by, "-out", made.certificate);
    return made;
  }
}
