// Reading a WebAssembly binary's sections (core specification 3.0, §5.5), as far as the tests need it.

export interface Section {
  id: number;
  /** Its content, a view of the binary. */
  content: Uint8Array;
}

export const SECTION_IMPORT = 2;
export const SECTION_GLOBAL = 6;
export const SECTION_EXPORT = 7;
export const SECTION_START = 8;
export const SECTION_DATA = 11;
export const SECTION_DATA_COUNT = 12;

const KIND_FUNCTION = 0;
const KIND_TABLE = 1;
const KIND_MEMORY = 2;
const KIND_GLOBAL = 3;

/** A place in a binary. */
export class Cursor {
  readonly #bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.at >= this.#bytes.length;
  }

  byte(): number {
    return this.#bytes[this.at++]!;
  }

  /** LEB128, unsigned. */
  u32(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }

  bytes(length: number): Uint8Array {
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  name(): string {
    return Buffer.from(this.bytes(this.u32())).toString();
  }
}

export function sections(binary: Uint8Array): Section[] {
  const cursor = new Cursor(binary);
  const preamble = Buffer.from(cursor.bytes(8)).toString("hex");
  if (preamble !== "0061736d01000000") throw new Error(`not a WebAssembly binary: ${preamble}`);
  const found: Section[] = [];
  while (!cursor.done) found.push({ id: cursor.byte(), content: cursor.bytes(cursor.u32()) });
  return found;
}

function sectionOf(binary: Uint8Array, id: number): Cursor {
  return new Cursor(sections(binary).find((section) => section.id === id)!.content);
}

export interface MemoryImport {
  shared: boolean;
  initial: number;
  maximum: number | undefined;
}

/** The memories that a binary imports, by `module.name`. */
export function importedMemories(binary: Uint8Array): Map<string, MemoryImport> {
  const cursor = sectionOf(binary, SECTION_IMPORT);
  const memories = new Map<string, MemoryImport>();
  for (let count = cursor.u32(); count > 0; count--) {
    const name = `${cursor.name()}.${cursor.name()}`;
    const kind = cursor.byte();
    if (kind === KIND_FUNCTION) cursor.u32();
    else if (kind === KIND_GLOBAL) cursor.bytes(2);
    else if (kind === KIND_TABLE) throw new Error(`${name} is a table, which this reader does not know`);
    else if (kind === KIND_MEMORY) {
      const limits = cursor.byte();
      const initial = cursor.u32();
      memories.set(name, {
        shared: (limits & 2) !== 0,
        initial,
        maximum: limits & 1 ? cursor.u32() : undefined,
      });
    }
  }
  return memories;
}

/** A copy of a binary whose exported immutable global of type i32 has another value, from 0 to 63. */
export function withGlobal(binary: Uint8Array, name: string, value: number): Uint8Array<ArrayBuffer> {
  const exports = sectionOf(binary, SECTION_EXPORT);
  let index: number | undefined;
  for (let count = exports.u32(); count > 0; count--) {
    const found = exports.name();
    const kind = exports.byte();
    const at = exports.u32();
    if (found === name && kind === KIND_GLOBAL) index = at;
  }
  if (index === undefined) throw new Error(`no exported global ${name}`);
  const copy = Uint8Array.from(binary);
  const content = sections(copy).find((section) => section.id === SECTION_GLOBAL)!.content;
  const globals = new Cursor(content);
  const I32 = 0x7f;
  const I32_CONST = 0x41;
  const lengths: Record<number, number> = { 67: 4, 68: 8 };
  for (let count = globals.u32(), i = 0; i < count; i++) {
    const [type, mutable, instruction] = [globals.byte(), globals.byte(), globals.byte()];
    const from = globals.at;
    if (lengths[instruction] !== undefined) globals.bytes(lengths[instruction]);
    else globals.u32();
    if (i === index) {
      const room = globals.at - from;
      if (type !== I32 || mutable || instruction !== I32_CONST)
        throw new Error(`${name} is no constant of type i32`);
      // The same number of bytes: LEB128 may be padded.
      for (let byte = 0; byte < room; byte++)
        content[from + byte] = (byte === 0 ? value : 0) | (byte < room - 1 ? 0x80 : 0);
    }
    globals.byte();
  }
  return copy;
}
