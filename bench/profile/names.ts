// Names of the data plane's functions. The binary has none; its text form, which the compiler writes beside it, has the same
// functions in the same order. V8 names a function by where its body is in the binary.

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const PREAMBLE_BYTES = 8;
const SECTION_CODE = 10;

let names: ReadonlyMap<number, string> | undefined;

/** Names by the offset of the function's body; none where the text form is missing. */
export function namesOf(): ReadonlyMap<number, string> {
  names ??= read();
  return names;
}

function read(): Map<number, string> {
  const path = fileURLToPath(import.meta.resolve("#dataplane.wasm"));
  const text = path.replace(/\.wasm$/, ".wat");
  if (!existsSync(text)) return new Map();
  const defined = [...readFileSync(text, "utf8").matchAll(/^ \(func \$(\S+)/gm)].map(([, name]) => name!);
  const offsets = bodies(readFileSync(path));
  return offsets.length === defined.length
    ? new Map(offsets.map((offset, i) => [offset, defined[i]!]))
    : new Map();
}

/** Offsets of the bodies of all functions (core specification 3.0, §5.5.13). */
export function bodies(binary: Uint8Array): number[] {
  let at = PREAMBLE_BYTES;
  // LEB128, unsigned.
  const number = (): number => {
    for (let value = 0, shift = 0; ; shift += 7) {
      const byte = binary[at++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < binary.length) {
    const section = binary[at++]!;
    const bytes = number();
    if (section !== SECTION_CODE) {
      at += bytes;
      continue;
    }
    return Array.from({ length: number() }, () => {
      const size = number();
      at += size;
      return at - size;
    });
  }
  return [];
}
