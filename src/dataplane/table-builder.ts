// Lookup tables: which backend gets which slot. The construction is WebAssembly (assembly/builder); this
// is its TypeScript face.

import { createHash } from "node:crypto";
import { loadModule } from "./binary.ts";

/** Bytes and fields of assembly/builder/memory.ts: Entry. */
const ENTRY_WORDS = 12;

interface BuilderExports {
  memory: WebAssembly.Memory;
  prepare(backends: number, keyBytes: number, size: number): number;
  keysAt(): number;
  slotsAt(): number;
  maglev(): number;
}

/** A backend as the table sees it. */
export interface TableBackend {
  /** Its name: the permutation follows from it alone. */
  key: string;
  /** Relative share, an integer; 0 takes no slot. */
  weight: number;
  /** What goes into its slots, 16 bits. */
  id: number;
}

let builder: BuilderExports | undefined;

/**
 * Builds a Maglev table (NSDI 2016, §3.4) in Envoy's definition.
 * @param size a prime
 * @returns one id per slot; no slots when no backend has a weight
 */
export function buildMaglev(size: number, backends: readonly TableBackend[]): Uint16Array {
  builder ??= new WebAssembly.Instance(loadModule("#builder.wasm")).exports as unknown as BuilderExports;
  const entries = backends
    .map(({ key, weight, id }) => ({ key: Buffer.from(key), weight, id }))
    .sort((a, b) => Buffer.compare(a.key, b.key));
  const keyBytes = entries.reduce((sum, { key }) => sum + key.length, 0);
  const base = builder.prepare(entries.length, keyBytes, size);
  if (base === 0)
    throw new RangeError(`no memory for a table of ${size} slots and ${entries.length} backends`);
  const words = new Uint32Array(builder.memory.buffer);
  const bytes = new Uint8Array(builder.memory.buffer);
  let keyAt = builder.keysAt();
  entries.forEach(({ key, weight, id }, i) => {
    bytes.set(key, keyAt);
    words.set([keyAt, key.length, weight, id], base / 4 + i * ENTRY_WORDS);
    keyAt += key.length;
  });
  const filled = builder.maglev();
  return new Uint16Array(builder.memory.buffer, builder.slotsAt(), filled).slice();
}

/** Bytes that are hashed at once. */
const DIGEST_CHUNK = 1 << 16;

/** SHA-256 over the size and the names in slot order, each followed by a newline: equal tables, equal digests. */
export function tableDigest(size: number, names: readonly string[]): string {
  const hash = createHash("sha256").update(`${size}\n`);
  const lines = new Map<string, Buffer>();
  const chunk = Buffer.allocUnsafe(DIGEST_CHUNK);
  let used = 0;
  for (const name of names) {
    let line = lines.get(name);
    if (!line) {
      line = Buffer.from(`${name}\n`);
      lines.set(name, line);
    }
    if (used + line.length > DIGEST_CHUNK) {
      hash.update(chunk.subarray(0, used));
      used = 0;
    }
    used += line.copy(chunk, used);
  }
  return hash.update(chunk.subarray(0, used)).digest("hex");
}
