// Configurations of tests: pools by name with backends, and VIPs.

import { stringify } from "yaml";
import { parseConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";

export interface DocumentBackend {
  name: string;
  address: string;
  port?: number;
  weight?: number;
}

/** Backends web-1 … web-n, each with an address of its own. */
export function numbered(count: number, prefix = "web"): DocumentBackend[] {
  return Array.from({ length: count }, (_, i) => ({
    name: `${prefix}-${i + 1}`,
    address: `10.1.${(i + 1) >> 8}.${(i + 1) & 255}`,
  }));
}

export interface DocumentOptions {
  tableSize?: number;
  vip?: object;
  seed?: number;
}

/** A document with one pool and one VIP, both called web. */
export function webDocument(backends: DocumentBackend[], options: DocumentOptions = {}) {
  const { tableSize = 1009, vip, seed } = options;
  return {
    ...(seed !== undefined && { hash: { seed } }),
    pools: { web: { tableSize, backends } },
    vips: [{ name: "web", address: "10.99.0.1", port: 80, pool: "web", ...vip }],
  };
}

export function configured(document: object): Config {
  return parseConfig(stringify(document), "test.yaml").config;
}

export function web(backends: DocumentBackend[], options: DocumentOptions = {}): Config {
  return configured(webDocument(backends, options));
}
