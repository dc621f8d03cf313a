// docs/datapath.md §3: sources that nobody could answer.

import { toHex } from "./bytes.ts";
import { PrefixMap } from "./prefix-map.ts";
import type { ModelSetup } from "./setup.ts";

/** RFC 6890, RFC 1122 §3.2.1.3, RFC 4291 §2.5: "this network", loopback, multicast, broadcast, unspecified, IPv4-mapped. */
const IMPOSSIBLE = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  "224.0.0.0/4",
  "255.255.255.255",
  "::",
  "::1",
  "::ffff:0:0/96",
  "ff00::/8",
];

export class Sources {
  readonly #forged: PrefixMap<true>;

  constructor({ machine, vips }: Pick<ModelSetup, "machine" | "vips">) {
    const own = [machine.address, machine.address6, ...vips.map(({ address }) => address)];
    this.#forged = new PrefixMap(
      [...IMPOSSIBLE, ...own.filter((each) => each !== undefined)].map((each) => [each, true]),
    );
  }

  /** Why a packet that is no hit is dropped, or undefined. */
  refusal(source: Uint8Array, destination: Uint8Array): "land" | "spoofed-source" | undefined {
    if (toHex(source) === toHex(destination)) return "land";
    return this.#forged.find(source) ? "spoofed-source" : undefined;
  }
}
