// The longest prefix that contains an address: the bits of all of them are compared.

import { addressBytes } from "./bytes.ts";

/** An address's bits as text, `length` of them. */
function bits(address: Uint8Array, length: number): string {
  return [...address]
    .map((byte) => byte.toString(2).padStart(8, "0"))
    .join("")
    .slice(0, length);
}

export class PrefixMap<T> {
  readonly #entries: { size: number; bits: string; value: T }[];

  /** @param entries prefixes as text: `10.0.0.0/8`, or an address alone for itself */
  constructor(entries: Iterable<readonly [prefix: string, value: T]>) {
    this.#entries = [...entries].map(([prefix, value]) => {
      const [text = "", length] = prefix.split("/");
      const address = addressBytes(text);
      const size = address.length * 8;
      return { size, bits: bits(address, Number(length ?? size)), value };
    });
    this.#entries.sort((a, b) => b.bits.length - a.bits.length);
  }

  /** Values of all prefixes that contain the address, longest first. */
  all(address: Uint8Array): T[] {
    const size = address.length * 8;
    const text = bits(address, size);
    return this.#entries
      .filter((each) => each.size === size && text.startsWith(each.bits))
      .map(({ value }) => value);
  }

  find(address: Uint8Array): T | undefined {
    return this.all(address)[0];
  }
}
